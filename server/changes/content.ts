/** What two states of a document say, whatever the log counts and whatever lies over them. */
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../../schemas/json.ts'
import { type Difference, differences } from '../log/diff.ts'

/** Not part of what an edit says: the log counts versions, and kills lie over the flag. */
export const NOT_CONTENT: readonly string[] = ['version', 'kills']

/** Whether both say the same; null is no document. */
export function sameContent(a: object | null, b: object | null, ignored: readonly string[] = NOT_CONTENT): boolean {
  if (a === null || b === null) return a === b
  return a === b || isDeepStrictEqual(without(a, ignored), without(b, ignored))
}

/** Where they differ, place by place. */
export function contentDifferences(a: object | null, b: object | null, ignored: readonly string[] = NOT_CONTENT): readonly Difference[] {
  if (a === b) return []
  return differences(a === null ? null : (without(a, ignored) as Json), b === null ? null : (without(b, ignored) as Json))
}

function without(document: object, ignored: readonly string[]): object {
  return Object.fromEntries(Object.entries(document).filter(([field]) => !ignored.includes(field)))
}
