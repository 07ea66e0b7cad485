/** From unknown to typed at the edge: zod's issues become one `INVALID_REQUEST` that names every place. */
import type { z } from 'zod'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import { unfit } from '../../schemas/json.ts'

/** Deepest nesting of any body: an import holds flags, which hold values. */
const BODY_DEPTH_MAX = 40
const DETAILS_MAX = 50

/**
 * @param what where the value stands, for the message: `body`, `query`
 * Errors: `INVALID_REQUEST` with one detail per problem, at most 50.
 */
export function parsed<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const problem = unfit(value, BODY_DEPTH_MAX)
  if (problem !== null) {
    throw new SluiceError('INVALID_REQUEST', `The ${what} cannot be taken: ${at(problem.path, what)} ${problem.message}`, {
      details: [problem],
    })
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const details = result.error.issues.flatMap(detailsOf).slice(0, DETAILS_MAX)
  const first = details[0]
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  throw new SluiceError(
    'INVALID_REQUEST',
    `The ${what} cannot be taken: ${at(first?.path ?? '', what)} ${first?.message ?? 'is invalid'}${more}.`,
    { details },
  )
}

/** `rules[2].clauses[0].op` from zod's path. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = ''
  for (const step of path) text += typeof step === 'number' ? `[${step}]` : text === '' ? String(step) : `.${String(step)}`
  return text
}

function at(path: string, what: string): string {
  return path === '' ? `the ${what}` : path
}

/** One problem of zod as details of ours. */
export function detailsOf(issue: z.core.$ZodIssue): ErrorDetail[] {
  const path = pathText(issue.path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({
      path: path === '' ? key : `${path}.${key}`,
      code: 'unknown_field',
      message: 'is not a field known here. Remove it, or correct its name',
    }))
  }
  // A union of two shapes: the branch that came furthest tells more than "invalid input".
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const branches = issue.errors.map(errors => errors.flatMap(error => detailsOf({ ...error, path: [...issue.path, ...error.path] })))
    branches.sort((a, b) => a.length - b.length)
    const best = branches[0]
    if (best !== undefined && best.length > 0) return best
  }
  return [{ path, code: issue.code, message: lowerFirst(issue.message) }]
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
