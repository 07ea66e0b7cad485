/**
 * OpenFeature's context as ours. The two differ in one thing: OpenFeature allows dates. A date becomes the RFC 3339 text
 * that JSON has for it, which is what the same context is when a remote provider sends it.
 */
import type { EvaluationContext } from '@openfeature/core'
import { DEPTH_MAX } from '../../schemas/limits.ts'
import type { Context } from '../types.ts'

/**
 * Values looked at in one context. Whoever puts a whole request into a context by mistake must not pay for walking it:
 * what lies beyond is handed on as it is, and a date in it is then no value.
 */
export const VALUES_MAX = 1_000

/** @returns the context itself when it holds no date; what is copied is only the way to one */
export function contextOf(context: EvaluationContext): Context {
  try {
    return withoutDates(context, 1, { left: VALUES_MAX }) as Context
  } catch {
    // A getter that throws, in an object of the application's: to the evaluator that is a missing attribute.
    return context as Context
  }
}

function withoutDates(value: object, depth: number, budget: { left: number }): object {
  let copy: Record<string, unknown> | unknown[] | null = null
  for (const name of Object.keys(value)) {
    if (--budget.left < 0) break
    const before = (value as Record<string, unknown>)[name]
    if (typeof before !== 'object' || before === null) continue
    const after =
      before instanceof Date ? before.toJSON() : depth < DEPTH_MAX && isPlain(before) ? withoutDates(before, depth + 1, budget) : before
    if (after === before) continue
    copy ??= Array.isArray(value) ? [...(value as unknown[])] : { ...value }
    ;(copy as Record<string, unknown>)[name] = after
  }
  return copy ?? value
}

/** Data, and not an object of the application's with a life of its own. */
function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
