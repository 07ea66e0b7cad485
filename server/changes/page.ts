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

export interface Page {
  readonly changes: readonly Change[]
  /** Whether further entries fit the query. */
  readonly more: boolean
}

/** The first `query.limit` entries, or fewer when they are large; at least one when there is any. */
export async function page(log: Pick<ChangeLog, 'changes'>, name: string, query: ChangesQuery): Promise<Page> {
  const changes: Change[] = []
  let bytes = 0
  let rest = query
  for (;;) {
    const asked = Math.min(BATCH, query.limit - changes.length + 1)
    const batch = await log.changes(name, { ...rest, limit: asked })
    for (const change of batch) {
      if (changes.length >= query.limit) return { changes, more: true }
      bytes += bytesOf(change)
      if (changes.length > 0 && bytes > PAGE_BYTES_MAX) return { changes, more: true }
      changes.push(change)
    }
    const last = batch.at(-1)
    if (last === undefined || batch.length < asked) return { changes, more: false }
    rest = query.order === 'newest' ? { ...rest, toRevision: last.revision - 1 } : { ...rest, afterRevision: last.revision }
  }
}
