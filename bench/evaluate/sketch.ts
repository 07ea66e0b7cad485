/**
 * What the flags of the comparison shall do, in nobody's words: every contender puts the same sketches into its own
 * form, and its answers are held against `expected` before anything is timed.
 */
import type { Context } from '../../schemas/context.ts'
import { bucketOf } from '../../sdk/evaluator/bucket.ts'

export interface Sketch {
  readonly key: string
  /** A flag that is not enabled yields false. */
  readonly enabled: boolean
  readonly seed: number
  /** Another flag that has to yield true; otherwise this one yields false. */
  readonly needs?: string
  /** Targeting keys that get false. */
  readonly except?: readonly string[]
  /** A context that meets all clauses of one of them gets true. */
  readonly rules: readonly (readonly Clause[])[]
  /** What everybody else gets; `half` is true for one half of them. */
  readonly others: boolean | 'half'
}

export type Clause =
  { readonly attribute: 'plan' | 'country'; readonly oneOf: readonly string[] } | { readonly attribute: 'version'; readonly above: number }

export const BY_SHARE = Symbol('by share')

/**
 * The slow, obvious reading of a sketch.
 * @param keepsBuckets whether a rollout shall place contexts as Sluice does; otherwise only the share is known
 */
export function expected(
  sketches: ReadonlyMap<string, Sketch>,
  key: string,
  context: Context,
  keepsBuckets: boolean,
): boolean | typeof BY_SHARE {
  const sketch = sketches.get(key)
  if (sketch?.enabled !== true) return false
  if (sketch.needs !== undefined && expected(sketches, sketch.needs, context, keepsBuckets) !== true) return false
  const targetingKey = String(context.targetingKey)
  if (sketch.except?.includes(targetingKey) === true) return false
  if (sketch.rules.some(clauses => clauses.every(clause => isMet(clause, context)))) return true
  if (sketch.others !== 'half') return sketch.others
  return keepsBuckets ? bucketOf(targetingKey, sketch.seed) < 50_000 : BY_SHARE
}

function isMet(clause: Clause, context: Context): boolean {
  const value = context[clause.attribute]
  if ('oneOf' in clause) return typeof value === 'string' && clause.oneOf.includes(value)
  return typeof value === 'number' && value > clause.above
}
