/** Comparing what flags do in two environments, and copying it from one to the other. */
import type { Flag } from '../../schemas/flag.ts'
import type { Json } from '../../schemas/json.ts'
import { contentDifferences } from '../changes/content.ts'
import { arranged, picked, SETTINGS_FIELDS } from '../flags/arrange.ts'
import { findFlag } from '../flags/find.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'

export interface Comparison {
  readonly key: string
  readonly state: 'same' | 'different' | 'missing-here' | 'missing-there'
  readonly differences: readonly { readonly path: string; readonly here: Json; readonly there: Json }[]
  /** Kills are not part of the comparison, nor copied; whether some stand is said beside it. */
  readonly killed: { readonly here: boolean; readonly there: boolean }
}

/** Every flag of either environment, sorted by key; with `only`, that one. Versions and kills are not compared. */
export function compared(here: State, there: State, only?: string): Comparison[] {
  const keys = only === undefined ? [...new Set([...here.documents.flag.keys(), ...there.documents.flag.keys()])].sort() : [only]
  return keys.map(key => {
    const ours = here.documents.flag.get(key)
    const theirs = there.documents.flag.get(key)
    const killed = { here: (ours?.kills.length ?? 0) > 0, there: (theirs?.kills.length ?? 0) > 0 }
    if (ours === undefined || theirs === undefined) {
      return { key, state: ours === undefined ? 'missing-here' : 'missing-there', differences: [], killed }
    }
    const found = contentDifferences(ours, theirs).map(({ path, before, after }) => ({ path, here: before, there: after }))
    return { key, state: found.length === 0 ? 'same' : 'different', differences: found, killed }
  })
}

/**
 * The settings of the flags as they are in `source`; a flag that is missing here comes whole. Kills stay where they are.
 * Errors: `FLAG_NOT_FOUND` for one that `source` does not have, and those of `checkEdits`.
 */
export function planCopy(state: State, source: State, keys: readonly string[]): readonly PlannedEdit[] {
  const edits = [...new Set(keys)].map((key): PlannedEdit => {
    const theirs = findFlag(source, key)
    const ours = state.documents.flag.get(key)
    const after =
      ours === undefined
        ? { ...theirs, version: 1, kills: [] }
        : { ...ours, ...(picked(theirs, SETTINGS_FIELDS) as unknown as Partial<Flag>) }
    return { type: 'flag', key, after: arranged(after) }
  })
  return checkEdits(state, edits, edit => `flags[${keys.indexOf(edit.key)}]`)
}
