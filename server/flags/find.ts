/** Looking up a flag or segment by key, with an error that helps the one who mistyped it. */
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { State } from '../log/types.ts'

/** Error: `FLAG_NOT_FOUND`. */
export function findFlag(state: State, key: string): Flag {
  const flag = state.documents.flag.get(key)
  if (flag !== undefined) return flag
  throw new SluiceError(
    'FLAG_NOT_FOUND',
    `No flag "${key}" in "${state.log}".${suggestion(key, state.documents.flag.keys(), 'GET …/flags')}`,
  )
}

/** Error: `SEGMENT_NOT_FOUND`. */
export function findSegment(state: State, key: string): Segment {
  const segment = state.documents.segment.get(key)
  if (segment !== undefined) return segment
  throw new SluiceError(
    'SEGMENT_NOT_FOUND',
    `No segment "${key}" in "${state.log}".${suggestion(key, state.documents.segment.keys(), 'GET …/segments')}`,
  )
}

/** ` Did you mean "new-cart"?`, or where to look. */
function suggestion(key: string, known: Iterable<string>, list: string): string {
  const best = nearest(key, known)
  return best === undefined ? ` ${list} lists what exists.` : ` Did you mean "${best}"?`
}

/** The known key that was meant, if one is so near that it is likely. */
export function nearest(key: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(key.length / 4)) + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - key.length) >= least) continue
    const distance = editDistance(key.toLowerCase(), candidate.toLowerCase(), least)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Levenshtein distance, given up at `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const cost = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1))
      next.push(cost)
      least = Math.min(least, cost)
    }
    if (least >= limit) return limit
    row = next
  }
  return row[b.length] ?? limit
}
