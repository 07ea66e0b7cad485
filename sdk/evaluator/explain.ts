/** The same decision as `evaluate`, by the same code, with every step that led to it. */
import type { Context } from '../../schemas/context.ts'
import type { Json } from '../../schemas/json.ts'
import { evaluate } from './evaluate.ts'
import type { Evaluation } from './evaluation.ts'
import type { Prepared } from './prepare.ts'

/** One clause that was looked at; those after the first that did not match are not. */
export interface ClauseStep {
  readonly attribute?: string
  readonly op: string
  /** At most the first 20. */
  readonly values: readonly Json[]
  readonly negate?: true
  /** What the context has there; absent when it is missing. */
  readonly value?: Json
  readonly matched: boolean
  /** Why, where that is not plain: an unknown operator, a missing attribute, what a segment said. */
  readonly note?: string
}

/** One thing that was looked at, in order. */
export interface Step {
  readonly step: 'kill' | 'enabled' | 'prerequisite' | 'target' | 'rule' | 'fallthrough' | 'rollout' | 'error'
  /** Whether it decided (for `enabled`: whether it is; for `prerequisite`: whether it is met). */
  readonly matched: boolean
  /** A sentence for people. */
  readonly text: string
  /** Of the kill or rule, or the key of the prerequisite. */
  readonly id?: string
  readonly variation?: string | null
  readonly clauses?: readonly ClauseStep[]
  /** For a rollout: 0 to 99,999; null when the context has nothing to bucket by. */
  readonly bucket?: number | null
  /** For a prerequisite: its own steps. */
  readonly steps?: readonly Step[]
}

export interface Explanation extends Evaluation {
  readonly flag: string
  readonly revision: number
  readonly steps: readonly Step[]
}

export function explain(prepared: Prepared, flag: string, context: Context): Explanation {
  return { ...evaluate(prepared, flag, context), flag, revision: prepared.revision, steps: [] }
}
