/**
 * Sums the outcomes that SDKs report into slices of `SLICE_MS`, tells of each slice when it has ended, and keeps the last
 * hour for people. In memory: what a restart loses is a slice, since whoever bets on slices keeps the bet.
 *
 * A report counts in the slice in which it arrives, also when it was held up: both arms are in it alike, so that nothing is
 * to be gained by putting it back where it belongs.
 *
 * A context that fails again and again is one failure for `REPEAT_MS`, on whichever instance: chance has put it into one arm,
 * and every further failure would be taken for evidence against that arm. Instances send a mark for each that failed, for this.
 * Both arms of a flag share the marks, so that what is taken for a repetition by mistake is so in both alike.
 *
 * Names come from outside; everything that grows with them is bounded.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { OutcomeSeries } from '../../schemas/outcome.ts'
import { MARK_VALUES, SLICE_MS } from '../../schemas/protocol.ts'
import type { Counts } from '../../schemas/stream.ts'
import { type Clock, moment, type Timer } from '../clock.ts'
import type { ChangeLog } from '../log/types.ts'
import type { ClosedSlice, Outcomes, OutcomeSum } from '../services.ts'

/** Most sums in one slice, all logs together: about 3 MB. */
export const SUMS_MAX = 10_000
/** Most sums kept of slices that have ended: about 25 MB. The oldest go first. */
export const KEPT_MAX = 100_000
/** An hour. */
export const SLICES_KEPT = 360
/** Most sums for metrics, of a log. */
export const TOTALS_MAX = 5_000
/** Failing for so long is one failure. Shorter, few who always fail turn rollouts back; longer, harm to few accounts takes too long to see. */
export const REPEAT_MS = 300_000
/** Flags and sides whose marks are kept; of others every slice counts. About 16 MB. */
export const MARKED_MAX = 1_000
const NAME_MAX = 128

type Row = NonNullable<Counts['outcomes']>[number]
type Numbers = Omit<OutcomeSum, 'variation' | 'side' | 'service' | 'largest'>

export interface OutcomeTotal extends Numbers {
  readonly flag: string
  readonly variation: string
  readonly side: string
}

export interface OutcomesHandle extends Outcomes {
  /** Since the start, by flag, variation and side: for metrics. */
  totals(log: string): readonly OutcomeTotal[]
  /** Rows that did not fit, or are about no variation of a flag, since the start. */
  dropped(): number
  close(): void
}

export interface OutcomesOptions {
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'error'>
  readonly log: Pick<ChangeLog, 'state'>
}

/** The sums of a log's flags in a slice. */
type Flags = Map<string, Map<string, Sum>>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Sum extends Mutable<OutcomeSum> {
  /** Contexts by instance, while the slice is open. */
  byInstance: Map<string, number>
}

interface Kept {
  readonly at: number
  readonly logs: ReadonlyMap<string, ReadonlyMap<string, readonly OutcomeSum[]>>
  readonly size: number
}

const NOTHING: readonly OutcomeSum[] = []

export function openOutcomes({ clock, logger, log: changeLog }: OutcomesOptions): OutcomesHandle {
  const listeners = new Set<(slice: ClosedSlice) => void>()
  const totals = new Map<string, Map<string, Mutable<OutcomeTotal>>>()
  const kept: Kept[] = []
  let keptSums = 0
  let open = new Map<string, Flags>()
  let size = 0
  let startedAt = clock.now()
  const swept = new Set<string>()
  /** By flag and side, since the last `REPEAT_MS` began: whose failure, and whose slowness, has counted. */
  const marks = new Map<string, { readonly failed: Marks; readonly slowed: Marks }>()
  let forgotAt = clock.monotonic()
  let dropped = 0
  let timer: Timer = clock.after(SLICE_MS, endSlice)

  function endSlice(): void {
    timer = clock.after(SLICE_MS, endSlice)
    const logs = new Map([...open].map(([log, flags]) => [log, closed(flags)]))
    const slice: ClosedSlice = { startedAt, endedAt: clock.now(), of: (log, flag) => logs.get(log)?.get(flag) ?? NOTHING }
    keep({ at: startedAt, logs, size })
    startedAt = slice.endedAt
    open = new Map()
    size = 0
    swept.clear()
    forget()
    for (const listener of listeners) {
      try {
        listener(slice)
      } catch (error) {
        logger.error({ err: error }, 'Whoever follows outcomes failed; the next slice is told as usual')
      }
    }
  }

  /** When their time is over; and those that are half full, which would take more and more new contexts for old ones. */
  function forget(): void {
    const now = clock.monotonic()
    const isOver = now - forgotAt >= REPEAT_MS
    if (isOver) forgotAt = now
    for (const [name, { failed, slowed }] of marks) if (isOver || Math.max(failed.count, slowed.count) > MARK_VALUES / 2) marks.delete(name)
  }

  /** The row without those whose failure has counted. */
  function once(log: string, row: Row): Row {
    if (row.failed === undefined && row.slowed === undefined) return row
    const name = JSON.stringify([log, row.flag, row.side ?? ''])
    let held = marks.get(name)
    if (held === undefined) {
      if (marks.size >= MARKED_MAX) return row
      held = { failed: newMarks(), slowed: newMarks() }
      marks.set(name, held)
    }
    return {
      ...row,
      errors: Math.max(0, row.errors - repeated(held.failed, row.failed ?? [])),
      slow: Math.max(0, row.slow - repeated(held.slowed, row.slowed ?? [])),
    }
  }

  function keep(slice: Kept): void {
    kept.push(slice)
    keptSums += slice.size
    while (kept.length > SLICES_KEPT || keptSums > KEPT_MAX) keptSums -= kept.shift()!.size
  }

  function sumOf(log: string, row: Row, service: string): Sum | null {
    const flags = entryOf(open, log, () => new Map() as Flags)
    const sums = entryOf(flags, row.flag, () => new Map<string, Sum>())
    const side = row.side ?? ''
    const name = JSON.stringify([row.variation, side, service])
    const held = sums.get(name)
    if (held !== undefined || size >= SUMS_MAX) return held ?? null
    size++
    const sum: Sum = { variation: row.variation, side, service, ...none(), largest: 0, byInstance: new Map() }
    sums.set(name, sum)
    return sum
  }

  function totalOf(log: string, row: Row): Mutable<OutcomeTotal> | null {
    const sums = entryOf(totals, log, () => new Map<string, Mutable<OutcomeTotal>>())
    const side = row.side ?? ''
    const name = JSON.stringify([row.flag, row.variation, side])
    const held = sums.get(name)
    if (held !== undefined) return held
    if (sums.size >= TOTALS_MAX && !swept.has(log)) {
      // Those of flags that have left make room; looked for once a slice.
      swept.add(log)
      for (const [one, total] of sums) if (!exists(log, total)) sums.delete(one)
    }
    if (sums.size >= TOTALS_MAX) return null
    const total = { flag: row.flag, variation: row.variation, side, ...none() }
    sums.set(name, total)
    return total
  }

  function exists(log: string, { flag, variation }: Pick<Row, 'flag' | 'variation'>): boolean {
    const variations: unknown = changeLog.state(log).documents.flag.get(flag)?.variations
    // A document that cannot be understood may lack them.
    return Array.isArray(variations) && (variations as readonly { readonly key: string }[]).some(({ key }) => key === variation)
  }

  return {
    add(log, rows, by) {
      for (const reported of rows) {
        const isKnown = exists(log, reported)
        const row = isKnown ? once(log, reported) : reported
        const sum = isKnown ? sumOf(log, row, by.service.slice(0, NAME_MAX)) : null
        if (sum === null) {
          dropped++
          continue
        }
        addTo(sum, row)
        const contexts = (sum.byInstance.get(by.instance) ?? 0) + row.contexts
        sum.byInstance.set(by.instance, contexts)
        sum.largest = Math.max(sum.largest, contexts)
        const total = totalOf(log, row)
        if (total !== null) addTo(total, row)
      }
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    recent(log, flag, since) {
      const series = new Map<string, { sum: OutcomeSum; slices: { at: number; sum: OutcomeSum }[] }>()
      for (const { at, logs } of kept) {
        if (at < since) continue
        for (const sum of logs.get(log)?.get(flag) ?? []) {
          const one = entryOf(series, JSON.stringify([sum.variation, sum.side]), () => ({ sum: { ...sum, ...none() }, slices: [] }))
          addTo(one.sum, sum)
          const last = one.slices.at(-1)
          // The services of a slice together.
          if (last?.at === at) addTo(last.sum, sum)
          else one.slices.push({ at, sum: { ...sum } })
        }
      }
      return [...series.values()].map(({ sum, slices }): OutcomeSeries => ({
        variation: sum.variation,
        side: sum.side,
        ...shown(sum),
        slices: slices.map(slice => ({ at: moment(slice.at), ...shown(slice.sum) })),
      }))
    },
    totals: log => [...(totals.get(log)?.values() ?? [])].filter(total => exists(log, total)),
    dropped: () => dropped,
    close() {
      timer.cancel()
      listeners.clear()
    },
  }
}

interface Marks {
  readonly set: Uint8Array
  count: number
}

function newMarks(): Marks {
  return { set: new Uint8Array(MARK_VALUES / 8), count: 0 }
}

/** @returns how many of them were there already; all are then */
function repeated(marks: Marks, more: readonly number[]): number {
  let count = 0
  for (const mark of more) {
    const bit = 1 << (mark & 7)
    if ((marks.set[mark >> 3]! & bit) !== 0) count++
    else {
      marks.set[mark >> 3]! |= bit
      marks.count++
    }
  }
  return count
}

function closed(flags: Flags): Map<string, readonly OutcomeSum[]> {
  return new Map([...flags].map(([flag, sums]) => [flag, [...sums.values()].map(({ byInstance: _, ...sum }) => sum)]))
}

function none(): Mutable<Numbers> {
  return { contexts: 0, errors: 0, slow: 0, allCalls: 0, allErrors: 0, allSlow: 0, totalMs: 0 }
}

function addTo(sum: Mutable<Numbers>, more: Numbers): void {
  sum.contexts = add(sum.contexts, more.contexts)
  sum.errors = add(sum.errors, more.errors)
  sum.slow = add(sum.slow, more.slow)
  sum.allCalls = add(sum.allCalls, more.allCalls)
  sum.allErrors = add(sum.allErrors, more.allErrors)
  sum.allSlow = add(sum.allSlow, more.allSlow)
  sum.totalMs = add(sum.totalMs, more.totalMs)
}

/** Stays a safe number, however hostile the report. */
function add(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER)
}

function shown({
  contexts,
  errors,
  slow,
  allCalls,
  allErrors,
  allSlow,
  totalMs,
}: Numbers): Omit<OutcomeSeries, 'variation' | 'side' | 'slices'> {
  const meanMs = allCalls === 0 ? null : Math.round((totalMs / allCalls) * 1_000) / 1_000
  return { contexts, errors, slow, allCalls, allErrors, allSlow, meanMs }
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
