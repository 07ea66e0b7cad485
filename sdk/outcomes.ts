/**
 * Sums how what was done under a variation ended, per flag, variation and side, until it is sent. Sums, not events: of a
 * context no more than a hash is kept, until the slice ends, and 16 bits of it leave the process if it failed or was slow. Pure: when a slice ends is said by whoever owns the clock.
 *
 * A context counts once per slice, as an error once and as slow once, however often it calls: retries and one busy account
 * are not independent, and statistics that took them for it would be wrong. All calls are summed beside.
 */
import { KEY_LENGTH_MAX } from '../schemas/limits.ts'
import { MARK_VALUES, MARKS_MAX, OUTCOMES_MAX } from '../schemas/protocol.ts'
import type { Context } from '../schemas/context.ts'
import { type Attribute, readRaw, TARGETING_KEY } from './evaluator/attribute.ts'
import { bucketKeyOf } from './evaluator/bucket.ts'
import type { Outcome } from './evaluator/evaluation.ts'
import type { Reported } from './types.ts'

/** Most flags, variations and sides at once. What is beyond is dropped and counted. */
export const SUMS_MAX = 2_000
/** Most contexts told apart in a slice, over all sums: about 5 MB. Each call of one beyond counts as a context of its own. */
export const CONTEXTS_MAX = 100_000
/** Most calls without a key that count as contexts in a slice, per sum. No rollout chose for them. */
export const ANONYMOUS_MAX = 1_000
/** Most marks sent at once, over all sums: about 25 KB. */
const MARKS_SENT_MAX = 4_000
/** Longest time that a call is believed to have taken. */
const MS_MAX = 86_400_000

const BY_TARGETING_KEY: Attribute = { name: TARGETING_KEY, path: null }

/** What a context is marked with in a slice. */
const SEEN = 1
const FAILED = 2
const SLOW = 4

/** Of one `counts` message: see `schemas/stream.ts`. */
export interface OutcomeRow {
  readonly flag: string
  readonly variation: string
  /** Absent for ''. */
  readonly side?: string
  readonly contexts: number
  readonly errors: number
  readonly slow: number
  /** Absent for none. */
  readonly failed?: readonly number[]
  readonly slowed?: readonly number[]
  readonly allCalls: number
  readonly allErrors: number
  readonly allSlow: number
  readonly totalMs: number
}

interface Sum {
  readonly flag: string
  readonly variation: string
  readonly side: string
  contexts: number
  errors: number
  slow: number
  /** What tells those that failed, and those that were slow, apart a little: see `schemas/stream.ts`. */
  failed: number[]
  slowed: number[]
  allCalls: number
  allErrors: number
  allSlow: number
  totalMs: number
  /** Contexts of this slice by their hash. */
  marks: Map<number, number>
  anonymous: number
}

export class Outcomes {
  /** By flag, of which each has a few. Those without calls since the last slice are forgotten. */
  #sums = new Map<string, Sum[]>()
  /** Those with something to send, the longest waiting first. */
  #waiting: Sum[] = []
  #size = 0
  /** Contexts marked in this slice. */
  #marked = 0
  #dropped = 0

  /**
   * Count one call that ended.
   * @param outcome what the flag had given this context
   * @param side    '' for a call of the application's own; `old`, `new` and `mismatch` are a migration's
   */
  add(outcome: Outcome, context: Context, side: string, { ok, ms, slow }: Reported): void {
    const { variation } = outcome.evaluation
    if (variation === null) return
    const sum = this.#sumOf(outcome.flag, variation, side)
    if (sum === null) {
      this.#dropped++
      return
    }
    if (sum.allCalls++ === 0) this.#waiting.push(sum)
    const ended = SEEN | (ok === false ? FAILED : 0) | (slow === true ? SLOW : 0)
    if ((ended & FAILED) !== 0) sum.allErrors++
    if ((ended & SLOW) !== 0) sum.allSlow++
    if (typeof ms === 'number' && ms > 0) sum.totalMs += Math.min(ms, MS_MAX)
    const key = keyOf(outcome.by, context)
    const hash = key === null ? null : hashOf(key)
    const isNew = this.#mark(sum, hash, ended)
    if ((isNew & SEEN) !== 0) sum.contexts++
    if ((isNew & FAILED) !== 0) {
      sum.errors++
      if (hash !== null) keepMark(sum.failed, hash)
    }
    if ((isNew & SLOW) !== 0) {
      sum.slow++
      if (hash !== null) keepMark(sum.slowed, hash)
    }
  }

  /** @returns what of `ended` the context was not marked with yet */
  #mark(sum: Sum, hash: number | null, ended: number): number {
    if (hash === null) return sum.anonymous++ < ANONYMOUS_MAX ? ended : 0
    const marked = sum.marks.get(hash)
    if (marked === undefined) {
      if (this.#marked >= CONTEXTS_MAX) return ended
      this.#marked++
      sum.marks.set(hash, ended)
      return ended
    }
    const isNew = ended & ~marked
    if (isNew !== 0) sum.marks.set(hash, marked | ended)
    return isNew
  }

  #sumOf(flag: string, variation: string, side: string): Sum | null {
    let sums = this.#sums.get(flag)
    if (sums !== undefined) {
      for (const sum of sums) if (sum.variation === variation && sum.side === side) return sum
    }
    if (this.#size >= SUMS_MAX || flag.length > KEY_LENGTH_MAX || variation.length > KEY_LENGTH_MAX) return null
    this.#size++
    const counters = { contexts: 0, errors: 0, slow: 0, allCalls: 0, allErrors: 0, allSlow: 0, totalMs: 0 }
    const sum: Sum = { flag, variation, side, ...counters, failed: [], slowed: [], marks: new Map(), anonymous: 0 }
    if (sums === undefined) this.#sums.set(flag, (sums = []))
    sums.push(sum)
    return sum
  }

  /** A slice is over: contexts count anew. */
  endSlice(): void {
    this.#marked = 0
    this.#size = this.#waiting.length
    this.#sums = new Map()
    for (const sum of this.#waiting) {
      sum.marks = new Map()
      sum.anonymous = 0
      const sums = this.#sums.get(sum.flag)
      if (sums === undefined) this.#sums.set(sum.flag, [sum])
      else sums.push(sum)
    }
  }

  /** At most `OUTCOMES_MAX` rows, gone from here; the rest waits. Give back those that could not be sent. */
  take(): readonly OutcomeRow[] {
    let room = MARKS_SENT_MAX
    const taken = (marks: readonly number[]): readonly number[] | undefined => {
      const some = marks.slice(0, room)
      room -= some.length
      return some.length > 0 ? some : undefined
    }
    return this.#waiting.splice(0, OUTCOMES_MAX).map(sum => {
      const failed = taken(sum.failed)
      const slowed = taken(sum.slowed)
      const { flag, variation, side, contexts, errors, slow, allCalls, allErrors, allSlow, totalMs } = sum
      Object.assign(sum, { contexts: 0, errors: 0, slow: 0, allCalls: 0, allErrors: 0, allSlow: 0, totalMs: 0, failed: [], slowed: [] })
      const named = { flag, variation, ...(side === '' ? {} : { side }) }
      const marks = { ...(failed === undefined ? {} : { failed }), ...(slowed === undefined ? {} : { slowed }) }
      const all = { allCalls, allErrors, allSlow, totalMs: Math.round(totalMs * 1_000) / 1_000 }
      return { ...named, contexts, errors, slow, ...marks, ...all }
    })
  }

  /** Calls that no longer fitted, since somebody last asked. */
  takeDropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }

  giveBack(rows: readonly OutcomeRow[]): void {
    for (const row of rows) {
      const sum = this.#sumOf(row.flag, row.variation, row.side ?? '')
      if (sum === null) {
        this.#dropped += row.allCalls
        continue
      }
      if (sum.allCalls === 0) this.#waiting.push(sum)
      sum.contexts += row.contexts
      sum.errors += row.errors
      sum.slow += row.slow
      sum.allCalls += row.allCalls
      sum.allErrors += row.allErrors
      sum.allSlow += row.allSlow
      sum.totalMs += row.totalMs
      sum.failed = [...(row.failed ?? []), ...sum.failed].slice(0, MARKS_MAX)
      sum.slowed = [...(row.slowed ?? []), ...sum.slowed].slice(0, MARKS_MAX)
    }
  }
}

/** What tells this context from others: what a rollout chose by, where one did; null for nothing. */
export function keyOf(by: Attribute | null, context: Context): string | null {
  return typeof context === 'object' && context !== null ? bucketKeyOf(readRaw(by ?? BY_TARGETING_KEY, context)) : null
}

function keepMark(marks: number[], hash: number): void {
  if (marks.length < MARKS_MAX) marks.push((hash ^ (hash >>> 16)) & (MARK_VALUES - 1))
}

/**
 * FNV-1a (Fowler, Noll, Vo) over the character codes, 32 bits as a signed integer, which V8 keeps without allocating. Among
 * 10,000 contexts in a slice it takes two for one about once in a hundred slices.
 */
function hashOf(key: string): number {
  let hash = 0x811c_9dc5 | 0
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x0100_0193)
  return hash
}
