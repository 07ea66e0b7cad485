/**
 * Putting back exactly what a trigger did, flag by flag, where nobody has touched the flag since. Pure, called inside a
 * write's turn on the entries that the trigger made.
 */
import type { Change } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import { arranged, picked, SETTINGS_FIELDS } from '../flags/arrange.ts'
import type { PlannedEdit, State } from '../log/types.ts'

export interface Restoration {
  readonly edits: readonly PlannedEdit[]
  /** Flags that are put back. */
  readonly restored: readonly string[]
  /** Those that are not, each with the reason. */
  readonly left: readonly { readonly flag: string; readonly why: string }[]
}

/** @param changes the entries of one tripping, oldest first */
export function planRestore(state: State, changes: readonly Change[]): Restoration {
  const edits: PlannedEdit[] = []
  const left: { flag: string; why: string }[] = []
  for (const [key, marks] of marksOf(changes)) {
    const current = state.documents.flag.get(key)
    if (current === undefined) {
      left.push({ flag: key, why: 'it was archived' })
    } else if (marks.isBroken || current.version !== marks.after.version) {
      // Of kills nothing is left to put back once they are lifted or have ended, whatever else was changed.
      if (marks.kills.length > 0 && !current.kills.some(kill => marks.kills.includes(kill.id))) continue
      left.push({ flag: key, why: `it was changed since, to version ${current.version}` })
    } else {
      const gone = lostVariation(current, marks.before)
      if (gone === null) edits.push({ type: 'flag', key, after: putBack(current, marks.before) })
      else left.push({ flag: key, why: `what it served before, "${gone}", is no variation any more` })
    }
  }
  return { edits, restored: edits.map(edit => edit.key), left }
}

/** What the flag did before. What it is, is the same everywhere, and not a trigger's to change back. */
function putBack(current: Flag, before: Flag): Flag {
  return arranged({ ...current, ...(picked(before, SETTINGS_FIELDS) as Partial<Flag>), kills: before.kills })
}

/** A variation that what stood before serves, and that is gone: one made for a throttle goes with it. */
function lostVariation(current: Flag, before: Flag): string | null {
  const serves = [before.fallthrough, ...before.rules.map(rule => rule.serve)]
  const named = [
    ...serves.flatMap(serve => ('variation' in serve ? [serve.variation] : serve.rollout.weights.map(each => each.variation))),
    ...before.kills.map(kill => kill.variation),
  ]
  return named.find(key => !current.variations.some(variation => variation.key === key)) ?? null
}

interface Marks {
  /** What stood before the first entry, and after the last. */
  readonly before: Flag
  readonly after: Flag
  /** Somebody changed it between two of the entries. */
  readonly isBroken: boolean
  /** The kills that the entries laid over it. */
  readonly kills: readonly string[]
}

function marksOf(changes: readonly Change[]): Map<string, Marks> {
  const found = new Map<string, Marks>()
  for (const { edits } of changes) {
    for (const edit of edits) {
      if (edit.type !== 'flag' || edit.before === null || edit.after === null) continue
      const before = edit.before as unknown as Flag
      const after = edit.after as unknown as Flag
      const known = found.get(edit.key)
      const kills = after.kills.filter(kill => !before.kills.some(each => each.id === kill.id)).map(kill => kill.id)
      found.set(edit.key, {
        before: known?.before ?? before,
        after,
        isBroken: known !== undefined && (known.isBroken || known.after.version !== before.version),
        kills: [...(known?.kills ?? []), ...kills],
      })
    }
  }
  return found
}
