/** Where two JSON documents differ, place by place. */
import type { Json } from '../../schemas/json.ts'

/** One place: `rules[2].clauses[0].op`. A side that has nothing there is null. */
export interface Difference {
  readonly path: string
  readonly before: Json
  readonly after: Json
}

/** At most so many per document: two long lists differ in every place. */
export const DIFFERENCES_MAX = 1_000

/**
 * @param ignored fields at the top that are not compared
 * @returns at most `DIFFERENCES_MAX` places, in the order of the documents' fields; empty for equal documents
 *
 * Arrays are compared by position; where one is longer, each further element is a place of its own.
 */
export function differences(before: unknown, after: unknown, ignored: readonly string[] = []): Difference[] {
  const found: Difference[] = []
  compare(before as Json, after as Json, '', new Set(ignored), found)
  return found
}

const NONE: ReadonlySet<string> = new Set()

function compare(before: Json | undefined, after: Json | undefined, path: string, ignored: ReadonlySet<string>, found: Difference[]): void {
  if (before === after || found.length >= DIFFERENCES_MAX) return
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length)
    for (let i = 0; i < length; i++) compare(before[i] as Json | undefined, after[i] as Json | undefined, `${path}[${i}]`, NONE, found)
    return
  }
  if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (ignored.has(key)) continue
      compare(own(before, key), own(after, key), path === '' ? key : `${path}.${key}`, NONE, found)
    }
    return
  }
  found.push({ path, before: before ?? null, after: after ?? null })
}

function own(object: { readonly [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
