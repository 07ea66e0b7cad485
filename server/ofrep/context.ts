/**
 * A context as OFREP brings it. This runs for every evaluation, and a schema walk costs more than the evaluation itself:
 * so a context is looked over by hand, and only one that does not pass is put to `contextSchema`, which then says why.
 */
import { type Context, contextSchema } from '../../schemas/context.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { ARRAY_MAX, ATTRIBUTES_MAX, DEPTH_MAX, KEYS_REFUSED, VALUE_LENGTH_MAX } from '../../schemas/limits.ts'
import { parsed } from '../http/parsed.ts'

const NO_CONTEXT: Context = Object.freeze({})

/**
 * What makes the context of a request's body unfit to be evaluated, as a sentence; null when nothing does.
 * @param context anything `JSON.parse` can answer
 */
export function contextProblem(context: unknown): string | null {
  if (isPlain(context)) return null
  try {
    parsed(contextSchema, context, 'context')
    return null
  } catch (error) {
    if (error instanceof SluiceError) return error.message
    throw error
  }
}

/** The context of a body whose context has passed `contextProblem`; a missing body or context is an empty one. */
export function contextOf(body: unknown): Context {
  return (body as { readonly context?: Context } | undefined)?.context ?? NO_CONTEXT
}

/** Whether the context is within every limit. Must never be true for one that `contextSchema` refuses; a test holds it to that. */
export function isPlain(context: unknown): boolean {
  if (typeof context !== 'object' || context === null || Array.isArray(context)) return false
  let attributes = 0
  // Made by JSON.parse: every enumerable key is its own.
  for (const name in context) {
    attributes += 1
    const value = (context as Record<string, unknown>)[name]
    if (typeof value === 'string') {
      if (value.length > VALUE_LENGTH_MAX || !value.isWellFormed()) return false
    } else if (name === 'targetingKey') return false
    else if (Array.isArray(value) && value.length > ARRAY_MAX) return false
    else if (!isFit(value, 1)) return false
    if (KEYS_REFUSED.includes(name) || !name.isWellFormed()) return false
  }
  return attributes <= ATTRIBUTES_MAX
}

/** As `unfit` says, without saying where: the path it would name is what makes it slow. */
function isFit(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  // JSON can spell numbers that a double cannot hold, as in 1e999.
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  // Within the limit before it goes deeper: recursion cannot run away.
  if (depth >= DEPTH_MAX) return false
  if (Array.isArray(value)) return value.every(item => isFit(item, depth + 1))
  for (const name in value) {
    if (KEYS_REFUSED.includes(name) || !name.isWellFormed() || !isFit((value as Record<string, unknown>)[name], depth + 1)) return false
  }
  return true
}
