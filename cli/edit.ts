/** Changes one flag in one environment: read, decide, write if nobody else did meanwhile, report. */
import type { Change } from '../schemas/change.ts'
import type { Flag, FlagPatch } from '../schemas/flag.ts'
import { serveText } from '../schemas/words.ts'
import type { FlagWritten } from './answers.ts'
import { changeLines } from './changes.ts'
import { at } from './client.ts'
import { Failure } from './failure.ts'
import type { WaitOptions } from './receipts.ts'
import { reportWrite } from './report.ts'
import type { Session } from './session.ts'
import { stateOf } from './words.ts'

/** How often an edit is planned anew when somebody else was quicker. */
const ATTEMPTS_MAX = 4

/**
 * @param plan what to replace, from the flag as it stands; called again when that has changed meanwhile
 */
export async function editFlag(session: Session, key: string, wait: WaitOptions, plan: (flag: Flag) => FlagPatch): Promise<void> {
  const path = `${session.environmentPath}${at`/flags/${key}`}`
  for (let attempt = 1; ; attempt++) {
    const flag = await session.client().call<Flag>(path)
    const { dryRun, comment } = session.write
    const body = { ...plan(flag), ...(comment === undefined ? {} : { comment }) }
    try {
      const written = await session.client().call<FlagWritten>(path, { method: 'PATCH', body, ifMatch: flag.version, query: { dryRun } })
      return await reportEdit(session, written, wait)
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'VERSION_CONFLICT' || attempt === ATTEMPTS_MAX) throw error
    }
  }
}

async function reportEdit(session: Session, written: FlagWritten, wait: WaitOptions): Promise<void> {
  const { flag, change } = written
  const verb = written.dryRun === true ? 'WOULD CHANGE' : 'CHANGED'
  await reportWrite(session, written, wait, {
    title: change === null ? `NOTHING TO CHANGE: ${flag.key} in ${session.place} is already so` : `${verb} ${flag.key} in ${session.place}`,
    rows: [['serves', servesText(flag)]],
    lines: change === null ? [] : changeLines(change, session.output).slice(1),
    undo: change === null ? null : ['revert', String(change.revision), '-e', session.settings.environment],
    ...(isReshuffled(change) ? { next: 'the rollout goes by something else now: who gets what is drawn anew for everyone' } : {}),
  })
}

/** Whether a rollout of the fallthrough keeps its shares but places people anew. */
function isReshuffled(change: Change | null): boolean {
  const [edit] = change?.edits ?? []
  const before = (edit?.before as Flag | null | undefined)?.fallthrough
  const after = (edit?.after as Flag | null | undefined)?.fallthrough
  if (before === undefined || after === undefined || !('rollout' in before) || !('rollout' in after)) return false
  return before.rollout.by !== after.rollout.by || before.rollout.seed !== after.rollout.seed
}

/** What a flag answers now, and to whom. */
export function servesText(flag: Flag): string {
  const kills = flag.kills.map(kill => kill.id).join(', ')
  const state = stateOf(flag)
  if (state === 'killed')
    return `${flag.kills.find(kill => kill.clauses.length === 0)?.variation ?? flag.offVariation} to everyone all the same: it is killed (${kills})`
  const some = state === 'killed for some' ? `; killed for some (${kills})` : ''
  if (!flag.enabled) return `${flag.offVariation} to everyone: the flag is off${some}`
  const before = [
    flag.prerequisites.length > 0
      ? `${flag.offVariation} unless ${flag.prerequisites.map(each => each.flag).join(' and ')} ${flag.prerequisites.length === 1 ? 'allows' : 'allow'} it`
      : '',
    flag.targets.length > 0 ? 'its targets' : '',
    flag.rules.length > 0 ? `its ${flag.rules.length === 1 ? 'rule' : `${flag.rules.length} rules`}` : '',
  ].filter(text => text !== '')
  return `${before.length === 0 ? '' : `${before.join(', ')}, then `}${serveText(flag.fallthrough)}${before.length === 0 && 'variation' in flag.fallthrough ? ' to everyone' : ''}${some}`
}
