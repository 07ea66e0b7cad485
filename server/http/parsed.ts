/** From unknown to typed at the edge: zod's issues become one `INVALID_REQUEST` that names every place. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { z } from 'zod'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import { unfit } from '../../schemas/json.ts'

/** Deepest nesting of any body: an import holds flags, which hold values. */
const BODY_DEPTH_MAX = 40
const DETAILS_MAX = 50
/** Items of a long list parsed at a time. */
const PIECE_ITEMS = 200

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
  throw refusal(result.error.issues, what)
}

/** Lists of a body by their field, with the most items each may hold. */
export type LongLists = Readonly<Record<string, number>>

/**
 * A body whose lists hold thousands of items, parsed as `parsed` does, but the event loop has its turn between pieces.
 * @param schema of an object; what it asks of a list must hold for every part of one that is not too long
 * Errors: as with `parsed`.
 */
export async function parsedInPieces<T extends z.ZodType>(schema: T, value: unknown, longLists: LongLists): Promise<z.infer<T>> {
  const lists = Object.entries(longLists).flatMap(([field, most]) => {
    const list = isObject(value) && Object.hasOwn(value, field) ? value[field] : undefined
    return Array.isArray(list) && list.length <= most ? [{ field, list: list as readonly unknown[] }] : []
  })
  if (!isObject(value) || lists.every(({ list }) => list.length <= PIECE_ITEMS)) return parsed(schema, value, 'body')
  const empty = { ...value, ...Object.fromEntries(lists.map(({ field }) => [field, []])) }
  const whole = parsed(schema, empty, 'body') as Record<string, unknown>
  const issues: z.core.$ZodIssue[] = []
  for (const { field, list } of lists) {
    const items: unknown[] = []
    for (let start = 0; start < list.length && issues.length < DETAILS_MAX; start += PIECE_ITEMS) {
      await nextTurn()
      const piece = { ...empty, [field]: list.slice(start, start + PIECE_ITEMS) }
      const problem = unfit(piece, BODY_DEPTH_MAX)
      if (problem !== null) return parsed(schema, value, 'body')
      const result = schema.safeParse(piece)
      if (result.success) items.push(...((result.data as Record<string, unknown>)[field] as unknown[]))
      else issues.push(...result.error.issues.map(issue => ({ ...issue, path: moved(issue.path, start) })))
    }
    whole[field] = items
  }
  if (issues.length > 0) throw refusal(issues, 'body')
  return whole as z.infer<T>
}

/** The path of an item of a piece, in the whole list. */
function moved([field, i, ...rest]: readonly PropertyKey[], start: number): PropertyKey[] {
  return [...(field === undefined ? [] : [field]), ...(typeof i === 'number' ? [i + start] : i === undefined ? [] : [i]), ...rest]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refusal(issues: readonly z.core.$ZodIssue[], what: string): SluiceError {
  const details = issues.flatMap(detailsOf).slice(0, DETAILS_MAX)
  const first = details[0]
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  return new SluiceError(
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
  return [{ path, code: issue.code, message: worded(issue.message) }]
}

/** Zod's own sentences so that they read on after a path: `clauses[0].op is none of "in", …`. Ours begin in lower case already. */
function worded(text: string): string {
  return text
    .replace(/^Invalid input: expected (.+), received undefined$/, 'is missing: expected $1')
    .replace(/^Invalid input: expected (.+), received (.+)$/, 'is of type $2, expected $1')
    .replace(/^Invalid option: expected one of (.+)$/, (_, options: string) => `is none of ${options.replaceAll('|', ', ')}`)
    .replace(/^Too (big|small): /, 'is too $1: ')
    .replace(/^[A-Z]/, first => first.toLowerCase())
}
