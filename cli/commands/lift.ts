/** `sluice lift`: take a kill away; what stood before serves again. */
import type { Command } from 'commander'
import type { Flag } from '../../schemas/flag.ts'
import { affectedText, serveText } from '../../schemas/words.ts'
import type { Kills, Lifted, StandingKill } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { EXIT, Failure, usage } from '../failure.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportText, reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { whereText } from '../where.ts'
import { stateOf } from '../words.ts'

interface LiftOptions extends WaitOptions {
  readonly id: readonly string[]
  readonly tag?: string
  readonly all?: boolean
}

const HELP = `
Examples:
  $ sluice lift checkout -e production
  $ sluice lift checkout -e production --id k_01 -m "fixed in 4.2.1"
  $ sluice lift checkout -e production --all
  $ sluice lift --tag dependency:payments-vendor -e production

A flag with several kills is lifted by --id, or with --all: two incidents may share a flag.`

export function addLift(program: Command): void {
  const command = program
    .command('lift')
    .summary('take a kill away; what stood before serves again')
    .description('Take kills away. The flag serves exactly what it served before: its rules were never touched.')
    .argument('[flags...]', 'the flags to lift kills from')
    .option('--id <kill>', 'the kill to lift; may be repeated', collect, [])
    .option('--tag <tag>', 'lift every kill on flags with this tag, in one change')
    .option('--all', 'lift every kill on the flags')
    .addHelpText('after', HELP)
  withWait(command).action(async (flags: string[], options: LiftOptions, self: Command) => lift(flags, options, self))
}

async function lift(flags: readonly string[], options: LiftOptions, command: Command): Promise<void> {
  const session = openSession(command, { environmentNamed: true })
  if (flags.length === 0 && options.id.length === 0 && options.tag === undefined) {
    throw usage(
      'Nothing to lift was named.',
      'Name a flag or a kill, as in "sluice lift checkout" or --id k_01. See what stands with "sluice kills".',
    )
  }
  if (options.tag !== undefined && (flags.length > 0 || options.id.length > 0))
    throw usage('--tag was given beside flags or kills.', 'Give one of them.')
  const { kills } = await session.client().call<Kills>(`${session.environmentPath}/kills`)
  if (options.tag !== undefined) return liftTag(session, options.tag, kills, options)
  const chosen = choose(flags, options, kills, session)
  const answers: object[] = []
  for (const [flag, list] of byFlag(chosen)) answers.push(...(await liftFlag(session, flag, list, options)))
  session.output.data(answers.length === 1 ? answers[0] : answers)
}

/** The kills that are meant. Errors: `KILL_NOT_FOUND`; `USAGE` when it is not clear which. */
function choose(flags: readonly string[], options: LiftOptions, kills: readonly StandingKill[], session: Session): StandingKill[] {
  const onFlags = flags.length === 0 ? kills : kills.filter(kill => flags.includes(kill.flag))
  if (options.id.length > 0) {
    const lost = options.id.find(id => !onFlags.some(kill => kill.id === id))
    if (lost !== undefined) throw notStanding(`kill ${lost}${flags.length === 0 ? '' : ` on ${flags.join(', ')}`}`, session)
    return onFlags.filter(kill => options.id.includes(kill.id))
  }
  for (const flag of flags) {
    const list = kills.filter(kill => kill.flag === flag)
    if (list.length === 0) throw notStanding(`kill on ${JSON.stringify(flag)}`, session)
    if (list.length > 1 && options.all !== true) {
      throw usage(
        `${list.length} kills stand on ${JSON.stringify(flag)} in ${session.place}: ${list.map(kill => `${kill.id} (${affectedText(kill.clauses)}, ${JSON.stringify(kill.reason)})`).join('; ')}.`,
        `Name one with --id ${list[0]?.id ?? ''}, or lift all with --all.`,
      )
    }
  }
  return onFlags.filter(kill => flags.includes(kill.flag))
}

function notStanding(what: string, session: Session): Failure {
  return new Failure('KILL_NOT_FOUND', EXIT.refused, `No ${what} stands in ${session.place}.`, {
    advice: `It may have been lifted or have ended. See what stands with "sluice kills -e ${session.settings.environment}".`,
  })
}

function byFlag(kills: readonly StandingKill[]): Map<string, StandingKill[]> {
  const map = new Map<string, StandingKill[]>()
  for (const kill of kills) map.set(kill.flag, [...(map.get(kill.flag) ?? []), kill])
  return map
}

/** All chosen kills of a flag: in one change when they are all that stand, else one after the other. */
async function liftFlag(session: Session, flag: string, kills: readonly StandingKill[], options: LiftOptions): Promise<object[]> {
  const path = `${session.environmentPath}${at`/flags/${flag}/kills`}`
  if (options.all === true && options.id.length === 0) {
    const lifted = await session.client().call<Lifted>(path, { method: 'DELETE', query: session.write })
    return [await report(session, lifted, flag, kills, options)]
  }
  const answers: object[] = []
  for (const kill of kills) {
    const lifted = await session.client().call<Lifted>(`${path}${at`/${kill.id}`}`, { method: 'DELETE', query: session.write })
    answers.push(await report(session, lifted, flag, [kill], options))
  }
  return answers
}

async function liftTag(session: Session, tag: string, before: readonly StandingKill[], options: LiftOptions): Promise<void> {
  const lifted = await session
    .client()
    .call<Lifted>(`${session.environmentPath}/kills`, { method: 'DELETE', query: { tag, ...session.write } })
  const flags = lifted.change?.edits.map(edit => edit.key) ?? []
  const gone = before.filter(kill => flags.includes(kill.flag))
  const undo = againWords(session, gone)
  await reportWrite(session, lifted, options, {
    title:
      flags.length === 0
        ? `NOTHING LIFTED in ${session.place}: no kill stands on a flag tagged ${tag}`
        : `${verb(lifted)} every kill on flags tagged ${tag} in ${session.place}`,
    rows: [
      ['flags', flags.join(', ')],
      ['affects', [...new Set(gone.map(kill => affectedText(kill.clauses)))].join('; ')],
    ],
    undo,
    ...(undo === null && gone.length > 0 && lifted.change !== null
      ? {
          next: `the kills were not alike: see them with "sluice history -e ${session.settings.environment} --revision ${lifted.revision}"`,
        }
      : {}),
  })
}

async function report(
  session: Session,
  lifted: Lifted,
  flag: string,
  kills: readonly StandingKill[],
  options: LiftOptions,
): Promise<object> {
  const after = lifted.change?.edits.find(edit => edit.type === 'flag' && edit.key === flag)?.after as Flag | undefined | null
  const undo = againWords(session, kills)
  return reportText(session, lifted, options, {
    title: `${verb(lifted)} ${kills.map(kill => kill.id).join(', ')} on ${flag} in ${session.place}`,
    rows: [
      ['was for', kills.map(kill => JSON.stringify(kill.reason)).join(', ')],
      ['affects', kills.map(kill => affectedText(kill.clauses)).join('; ')],
      ['serves', after === undefined || after === null ? '' : servesNow(after)],
    ],
    undo,
    ...(undo === null ? { next: 'to kill it again, use "sluice kill" with the same clauses' } : {}),
  })
}

function verb(lifted: Lifted): string {
  return lifted.dryRun === true ? 'WOULD LIFT' : 'LIFTED'
}

function servesNow(flag: Flag): string {
  const state = stateOf(flag)
  if (state === 'killed')
    return `still ${flag.kills[0]?.variation ?? flag.offVariation}: killed by ${flag.kills.map(kill => kill.id).join(', ')}`
  const left = state === 'killed for some' ? `; still killed for some by ${flag.kills.map(kill => kill.id).join(', ')}` : ''
  if (!flag.enabled) return `${flag.offVariation}: the flag is off${left}`
  const rules = flag.rules.length + flag.targets.length === 0 ? '' : 'its targets and rules, then '
  return `what stood before: ${rules}${serveText(flag.fallthrough)}${left}`
}

/** The kill that undoes the lift; null when it would take several, or clauses that --where cannot say. */
function againWords(session: Session, kills: readonly StandingKill[]): string[] | null {
  const [first] = kills
  if (first === undefined) return null
  const wheres = first.clauses.map(whereText)
  const alike = kills.every(
    kill =>
      JSON.stringify([kill.clauses, kill.variation, kill.until, kill.reason]) ===
      JSON.stringify([first.clauses, first.variation, first.until, first.reason]),
  )
  if (!alike || wheres.includes(null)) return null
  return [
    'kill',
    ...new Set(kills.map(kill => kill.flag)),
    ...['-e', session.settings.environment],
    ...wheres.flatMap(where => ['--where', where ?? '']),
    ...['--variation', first.variation],
    ...(first.until === null ? [] : ['--until', first.until]),
    ...(first.incident === undefined ? [] : ['--incident', first.incident]),
    ...['-m', first.reason],
  ]
}
