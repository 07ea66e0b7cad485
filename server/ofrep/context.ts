/**
 * A context as OFREP brings it. Checked by hand, because this runs for every evaluation and a schema walk costs as much
 * as the evaluation and the request together; what it accepts is what `contextSchema` accepts, and a test holds the two equal.
 */
import type { Context } from '../../schemas/context.ts'
import { unfit } from '../../schemas/json.ts'
import { ARRAY_MAX, ATTRIBUTES_MAX, KEYS_REFUSED, VALUE_LENGTH_MAX } from '../../schemas/limits.ts'

const none: Context = Object.freeze({})

/** What makes a context unfit, as a sentence without its subject: `has more than 256 attributes…`. */
export interface ContextProblem {
  readonly path: string
  readonly message: string
}

/**
 * @param context the `context` of a request's body; a missing one is an empty one
 * @returns the problem, or null when it can be evaluated
 */
export function contextProblem(context: unknown): ContextProblem | null {
  if (typeof context !== 'object' || context === null || Array.isArray(context)) {
    return { path: '', message: 'is not an object. Send { "targetingKey": "…", …attributes }' }
  }
  let attributes = 0
  // Parsed from JSON, so every enumerable key is its own.
  for (const name in context) {
    attributes += 1
    if (KEYS_REFUSED.includes(name)) return { path: name, message: 'is a name that is not allowed. Rename the attribute' }
    const value = (context as Record<string, unknown>)[name]
    switch (typeof value) {
      case 'string':
        if (value.length > VALUE_LENGTH_MAX) return { path: name, message: `is longer than ${VALUE_LENGTH_MAX} characters` }
        if (!value.isWellFormed()) return { path: name, message: 'holds half of a surrogate pair, which is not text' }
        break
      case 'object': {
        if (value === null) break
        if (Array.isArray(value) && value.length > ARRAY_MAX) return { path: name, message: `has more than ${ARRAY_MAX} elements` }
        // One level less than the whole context may have: it is looked at from its attribute on.
        const problem = unfit({ [name]: value })
        if (problem !== null) return { path: problem.path, message: problem.message }
        break
      }
      case 'number':
        // JSON can spell a number that a double cannot hold, as in 1e999.
        if (!Number.isFinite(value)) return { path: name, message: 'is not a finite number' }
        break
    }
    if (name === 'targetingKey' && typeof value !== 'string') {
      return { path: name, message: 'is not a text. Send an id as a string, or leave it out' }
    }
    if (!name.isWellFormed()) return { path: '', message: 'has an attribute whose name holds half of a surrogate pair' }
  }
  if (attributes > ATTRIBUTES_MAX)
    return { path: '', message: `has more than ${ATTRIBUTES_MAX} attributes. Send only those that rules look at` }
  return null
}

/** The context of a request's body that `contextProblem` has passed. */
export function contextOf(body: { readonly context?: unknown }): Context {
  return (body.context ?? none) as Context
}
