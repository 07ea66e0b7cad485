/** The answer to an evaluation, and the types of values. */
import type { Json } from '../../schemas/json.ts'
import type { EvaluationError, Reason, ValueType } from '../../schemas/reason.ts'
import type { Attribute } from './attribute.ts'

/** A decision. Frozen and shared between all contexts that get it: built when the ruleset is prepared. */
export interface Evaluation {
  /** Undefined for an `ERROR`: the caller's default takes its place. Objects are frozen all the way down. */
  readonly value: Json | undefined
  readonly variation: string | null
  readonly reason: Reason
  /** Of the flag's values; null when it is not known. */
  readonly type: ValueType | null
  readonly flagVersion: number | null
  readonly ruleId?: string
  readonly killId?: string
  /** The first prerequisite that was not met. */
  readonly prerequisite?: string
  readonly error?: EvaluationError
  /** For an `ERROR`: what is wrong and what to do. */
  readonly message?: string
  /** A rollout was reached, but the context has no value to bucket by: the off variation was served. */
  readonly unbucketed?: true
  /** The bucket of a rollout decided. */
  readonly rollout?: true
  /** Nothing about the context could have changed the outcome: no kills, prerequisites, targets, rules or rollout. */
  readonly static?: true
}

/**
 * An evaluation as the ruleset holds it. Evaluations have different fields; these have the same, whichever flag they
 * belong to, so that code that asks for a value is compiled for one hidden class.
 */
export interface Outcome {
  readonly value: Json | undefined
  readonly type: ValueType | null
  /** How often it came out since somebody last asked: for whoever counts evaluations. Nothing here looks at it. */
  count: number
  /** What whoever limits by it keeps with it: a map would cost as much again as the decision. Nothing here looks at it. */
  plan: object | null
  /** The same for whoever has a valve by it. */
  valve: object | null
  readonly evaluation: Evaluation
  /** The flag's key. */
  readonly flag: string
  /** What the rollout chose by that decided; null where none did. */
  readonly by: Attribute | null
}

export function outcomeOf(flag: string, evaluation: Evaluation, by: Attribute | null = null): Outcome {
  return {
    value: evaluation.value,
    type: evaluation.type,
    count: 0,
    plan: null,
    valve: null,
    evaluation: Object.freeze(evaluation),
    flag,
    by,
  }
}

/** The type of a flag's value or of a caller's default; null for what no flag can hold (null, undefined, a function). */
export function typeOfValue(value: unknown): ValueType | null {
  switch (typeof value) {
    case 'boolean':
      return 'boolean'
    case 'string':
      return 'string'
    case 'number':
      return 'number'
    case 'object':
      return value === null ? null : 'object'
    default:
      return null
  }
}
