/**
 * What reverting one change would make stand: for each document it touched, what stood before it. Three-way by document:
 * one that has been edited since is a conflict. Kills are not part of it: those that stand now stay, none comes back.
 */
import type { Change } from '../../schemas/change.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { refuseKilled } from '../flags/archive.ts'
import { arranged } from '../flags/arrange.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { checkEdits, named } from '../rulesets/check.ts'
import { sameContent } from './content.ts'

/**
 * @param later the entries after it that touch the same documents, for the message of a conflict
 * Errors: `REVERT_CONFLICT` (a document edited since, unless `force`; a kill or lift, always), `FLAG_KILLED` (a flag that
 * would go), and those of `checkEdits`.
 */
export function planRevert(state: State, change: Change, later: readonly Change[], force: boolean): readonly PlannedEdit[] {
  refuseOverrides(state, change)
  const conflicts: ErrorDetail[] = []
  const edits: PlannedEdit[] = []
  for (const edit of change.edits) {
    if (edit.type !== 'flag' && edit.type !== 'segment') continue
    const current = state.documents[edit.type].get(edit.key) ?? null
    if (!sameContent(current, edit.after as object | null)) conflicts.push(conflict(edit.type, edit.key, later))
    if (edit.type === 'segment') edits.push({ type: 'segment', key: edit.key, after: edit.before as unknown as Segment | null })
    else edits.push({ type: 'flag', key: edit.key, after: restored(edit.before as unknown as Flag | null, current as Flag | null) })
  }
  const [first] = conflicts
  if (first !== undefined && !force) {
    const more = conflicts.length > 1 ? ` (${conflicts.length - 1} more in details)` : ''
    throw new SluiceError(
      'REVERT_CONFLICT',
      `Revision ${change.revision} of "${state.log}": ${first.message}${more}. Revert those first, or revert all the same with force=true.`,
      {
        details: conflicts.slice(0, 50),
      },
    )
  }
  refuseKilled(
    state,
    edits.flatMap(edit => (edit.type === 'flag' && edit.after === null ? (state.documents.flag.get(edit.key) ?? []) : [])),
  )
  return checkEdits(state, edits, edit => `${edit.type}s.${edit.key}`)
}

/** The edit's `before` under the kills that stand now. */
function restored(before: Flag | null, current: Flag | null): Flag | null {
  return before === null ? null : arranged({ ...before, kills: current?.kills ?? [] })
}

function conflict(type: 'flag' | 'segment', key: string, later: readonly Change[]): ErrorDetail {
  const revisions = later
    .filter(change => change.edits.some(edit => edit.type === type && edit.key === key))
    .map(change => String(change.revision))
  const where = revisions.length === 0 ? '' : ` by revision ${revisions.slice(0, 10).join(', ')}${revisions.length > 10 ? ', …' : ''}`
  return { path: `${type}s.${key}`, code: 'changed_since', message: `${type} "${key}" was changed since${where}` }
}

/** A kill is lifted, not reverted; a lifted kill is made again by whoever wants it. */
function refuseOverrides(state: State, change: Change): void {
  if (change.action !== 'flag.kill' && change.action !== 'flag.lift' && change.action !== 'flag.expire') return
  const flags = named(change.edits.map(edit => edit.key))
  const cure =
    change.action === 'flag.kill'
      ? 'Lift the kill instead: DELETE …/flags/:flag/kills/:id'
      : 'Kill the flag again instead: POST …/flags/:flag/kills'
  throw new SluiceError(
    'REVERT_CONFLICT',
    `Revision ${change.revision} of "${state.log}": is a ${change.action} of ${flags}, and reverting never lifts or makes a kill. ${cure}.`,
    {
      details: change.edits
        .slice(0, 50)
        .map(edit => ({ path: `flags.${edit.key}`, code: 'is_override', message: `revision ${change.revision} is a ${change.action}` })),
    },
  )
}
