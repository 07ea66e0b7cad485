/** Whether the evaluator and its slow twin agree about one flag and one context, in everything that can be asked. */
import { isDeepStrictEqual } from 'node:util'
import type { Context } from '../../schemas/context.ts'
import { VALUE_TYPES } from '../../schemas/reason.ts'
import { evaluate, evaluateAs } from '../../sdk/evaluator/evaluate.ts'
import type { Evaluation } from '../../sdk/evaluator/evaluation.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import type { Prepared } from '../../sdk/evaluator/prepare.ts'
import { FLAG_KEYS, type Ruleset } from './documents.ts'
import { stepsProblem } from './steps.ts'
import type { Outcome } from './twin.ts'

/** Of the flags that may be there, and of some that never are. */
export const KEYS = [...FLAG_KEYS, 'gone', '__proto__'] as const

/** All the way down, so that whoever writes to it throws. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(frozen)
  return value
}

function isFrozenAllTheWay(value: unknown): boolean {
  return typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozenAllTheWay))
}

const FIELDS = [
  'value',
  'variation',
  'reason',
  'flagVersion',
  'ruleId',
  'killId',
  'prerequisite',
  'error',
  'unbucketed',
  'rollout',
  'static',
] as const

/** Field by field; `isDeepStrictEqual` is for the values that are objects. */
export function differs(result: Evaluation | Outcome, expected: Evaluation | Outcome): boolean {
  return FIELDS.some(field => result[field] !== expected[field] && !isDeepStrictEqual(result[field], expected[field]))
}

export function told(key: string, result: object, expected: object): string {
  return `${key}: ${JSON.stringify(result)} rather than ${JSON.stringify(expected)}`
}

/** Everything that is asked of one flag and one context. */
export function disagreement(prepared: Prepared, ruleset: Ruleset, key: string, context: Context, expected: Outcome): string | null {
  const result = evaluate(prepared, key, context)
  if (differs(result, expected)) return told(key, result, expected)
  if (!isFrozenAllTheWay(result)) return `${key}: its result can be changed`
  if (evaluate(prepared, key, context) !== result && result.reason !== 'ERROR') return `${key}: the same result is built anew`
  const value = ruleset.flags.find(flag => flag.key === key)?.variations[0]?.value
  for (const type of VALUE_TYPES) {
    const asked = evaluateAs(prepared, key, context, type)
    const isOther = expected.error === undefined && typeof value !== type
    if (isOther ? asked.error !== 'TYPE_MISMATCH' || asked.flagVersion !== result.flagVersion : differs(asked, expected))
      return told(`${key} as ${type}`, asked, isOther ? { error: 'TYPE_MISMATCH' } : expected)
  }
  const { flag: _, revision: __, steps, ...explained } = explain(prepared, key, context)
  if (differs(explained, expected)) return told(`${key} explained`, explained, expected)
  const problem = stepsProblem(ruleset, key, context, expected, steps)
  return problem === null ? null : `${key}: ${problem}`
}
