/** Entries of a log a page at a time, bounded in number and in bytes: one import can weigh as much as 10,000 edits. */
import type { Change } from '../../schemas/change.ts'
import type { ChangeLog, ChangesQuery } from '../log/types.ts'
import { bytesOf } from '../rulesets/draft.ts'

/** Most entries of one page. */
export const PAGE_MAX = 500
/** A page ends with the entry that passes this many bytes of JSON. */
export const PAGE_BYTES_MAX = 8 * 1024 * 1024
/** Entries read at once: few, so that little is read that does not fit. */
const BATCH = 50
/** Most entries that one request looks at for those that are wanted. */
export const LOOKED_AT_MAX = 5_000

export interface Page {
  readonly changes: readonly Change[]
  /** Whether further entries may fit the query. */
  readonly more: boolean
  /** Where the next page begins: its `until`, or with `order=oldest` its `since`. Null without further entries. */
  readonly next: number | null
}

/**
 * The first `query.limit` entries, or fewer when they are large; at least one when there is any.
 * @param isWanted what the database does not select; after many entries without one the page ends, and `next` goes on
 */
export async function page(
  log: Pick<ChangeLog, 'changes'>,
  name: string,
  query: ChangesQuery,
  isWanted?: (change: Change) => boolean,
): Promise<Page> {
  const changes: Change[] = []
  let bytes = 0
  let lookedAt = 0
  let rest = query
  const isNewestFirst = query.order === 'newest'
  for (;;) {
    const asked = isWanted === undefined ? Math.min(BATCH, query.limit - changes.length + 1) : BATCH
    const batch = await log.changes(name, { ...rest, limit: asked })
    for (const change of batch) {
      const from = isNewestFirst ? change.revision : change.revision - 1
      if (changes.length >= query.limit || lookedAt >= LOOKED_AT_MAX) return { changes, more: true, next: from }
      if (isWanted !== undefined) lookedAt++
      if (isWanted?.(change) === false) continue
      bytes += bytesOf(change)
      if (changes.length > 0 && bytes > PAGE_BYTES_MAX) return { changes, more: true, next: from }
      changes.push(change)
    }
    const last = batch.at(-1)
    if (last === undefined || batch.length < asked) return { changes, more: false, next: null }
    rest = isNewestFirst ? { ...rest, toRevision: last.revision - 1 } : { ...rest, afterRevision: last.revision }
  }
}
