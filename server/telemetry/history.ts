/**
 * Evaluation counts over time, in the database: by the minute at first, later by the hour, at last let go. Everything
 * that touches the database takes turns here, in small transactions, so that a commit waits for one of them at most.
 *
 * Each count stands in one place at any time (in memory, by the minute, or by the hour) and moves within a transaction:
 * what is read is the sum of all three, a crash at any moment counts nothing twice, and what was not stored yet, the
 * last seconds, is lost with the process. A clock that jumps misplaces counts but loses none: time that passes by the
 * wall clock alone lets history go only slowly (see `maintain`).
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import type { CountStorage, FlagAddition } from '../storage/counts.ts'
import { DAY_MS, type FlagCounts, HOUR_MS, MINUTE_MS } from './flagcounts.ts'
import { addTo, pack, type Slots, unpack } from './packed.ts'
import type { ProblemBook } from './problems.ts'

/** Flags per transaction: a few milliseconds, which is what a commit may have to wait. */
const FLAGS_PER_WRITE = 100
/** Sums that may wait to be stored, over all flags: about an hour of 1,000 busy flags while the disk is full. */
export const WAITING_MAX = 200_000
/** Most that one `maintain` does. Twice an hour, it keeps up with what comes in. */
const HOURS_COMPACTED_MAX = 2
const DAYS_DROPPED_MAX = 1
const FLAGS_FORGOTTEN_MAX = 100

export interface HistoryOptions {
  readonly storage: CountStorage
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'info' | 'warn'>
  readonly config: Pick<Config, 'minuteCountsHours' | 'hourCountsDays'>
  readonly problems: ProblemBook
  /** Told of evaluations that fitted nowhere. */
  readonly drop: (log: string, count: number) => void
}

export interface History {
  /** Count now; stored by the next `write`. */
  add(flag: FlagCounts, outcome: string, count: number, now: number): void
  /** Store everything that waits, as far as it can be. Never fails: what could not be stored waits on. */
  write(): Promise<void>
  /**
   * Move minutes to hours and let old hours go, a little at a time. A wall clock that is years ahead thus costs the
   * oldest day for every half an hour that nobody corrects it, and not the year.
   * @param forgettable flags that nothing but their counts remember
   * @returns those that are forgotten
   */
  maintain(forgettable: () => readonly FlagCounts[]): Promise<readonly FlagCounts[]>
  /**
   * Every sum of a flag from `since` up to before `until`, in no order: by the minute where that is known, else by the
   * hour. An hour counts as a whole when it begins in the range.
   * Errors: `STORAGE_UNAVAILABLE`, `LOG_DAMAGED`.
   */
  read(flag: FlagCounts, since: number, until: number, take: (startMs: number, outcome: string, count: number) => void): Promise<void>
  /** Sums that wait. */
  waiting(): number
  /** Why the last write failed, for people; null when it did not. */
  problem(): string | null
}

/** @param spans the hours and days that have rows */
export function openHistory(
  options: HistoryOptions,
  spans: { readonly hours: readonly number[]; readonly days: readonly number[] },
): History {
  const { storage, clock, logger, config, problems, drop } = options
  const hoursPresent = new Set(spans.hours)
  const daysPresent = new Set(spans.days)
  const dirty = new Set<FlagCounts>()
  let waiting = 0
  let problem: string | null = null
  let turn: Promise<unknown> = Promise.resolve()
  let writing: Promise<void> | null = null

  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = turn.then(run)
    turn = result.catch(() => undefined)
    return result
  }

  function addToMinute(flag: FlagCounts, minute: number, outcome: string, count: number, isNew: boolean): void {
    let sums = flag.waiting.get(minute)
    const held = sums?.get(outcome)
    if (held === undefined && isNew) {
      if (waiting >= WAITING_MAX) return drop(flag.log, count)
      waiting++
    } else if (held !== undefined && !isNew) {
      // Two sums that waited have become one.
      waiting--
    }
    if (sums === undefined) {
      sums = new Map()
      flag.waiting.set(minute, sums)
    }
    sums.set(outcome, Math.min((held ?? 0) + count, Number.MAX_SAFE_INTEGER))
  }

  /** @returns whether it was stored */
  async function writeFlags(flags: readonly FlagCounts[]): Promise<boolean> {
    const taken = flags.map(flag => ({ flag, sums: flag.waiting, lastSeen: flag.lastSeen }))
    for (const { flag } of taken) {
      flag.waiting = new Map()
      dirty.delete(flag)
    }
    try {
      const ids = await storage.add(taken.map(({ flag, sums }) => additionOf(flag, sums)))
      for (const [i, { flag, sums }] of taken.entries()) {
        flag.id = ids[i]!
        for (const [minute, outcomes] of sums) {
          waiting -= outcomes.size
          hoursPresent.add(Math.floor(minute / 60))
        }
      }
      succeeded()
    } catch (error) {
      for (const { flag, sums } of taken) {
        dirty.add(flag)
        for (const [minute, outcomes] of sums) for (const [outcome, count] of outcomes) addToMinute(flag, minute, outcome, count, false)
      }
      failed(error)
      return false
    }
    return true
  }

  async function writeProblems(): Promise<void> {
    const batch = problems.batch()
    if (batch === null) return
    try {
      await storage.addProblems(batch.additions, batch.gone)
      batch.stored()
      succeeded()
    } catch (error) {
      failed(error)
    }
  }

  async function writeAll(): Promise<void> {
    const flags = [...dirty]
    for (let start = 0; start < flags.length; start += FLAGS_PER_WRITE) {
      if (!(await inTurn(() => writeFlags(flags.slice(start, start + FLAGS_PER_WRITE))))) return
      await nextTurn()
    }
    await inTurn(writeProblems)
  }

  function failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    if (problem === null) {
      logger.warn(
        { err: error },
        'Evaluation counts could not be stored. Flags are not touched by this; the counts wait in memory and are tried again in a few seconds',
      )
    }
    problem = text
  }

  function succeeded(): void {
    if (problem !== null) logger.info({}, 'Evaluation counts can be stored again')
    problem = null
  }

  async function compactHour(hour: number): Promise<void> {
    const slot = hour % 24
    for (;;) {
      const moved = await inTurn(async () => {
        const count = await storage.compact(hour, FLAGS_PER_WRITE, (held, minutes) => {
          const day: Slots = held === null ? new Map<string, number[]>() : unpack(held, 24)
          for (const [outcome, counts] of unpack(minutes, 60)) addTo(day, 24, outcome, slot, sumOf(counts))
          return pack(day, 24)
        })
        if (count > 0) daysPresent.add(Math.floor(hour / 24))
        if (count < FLAGS_PER_WRITE) hoursPresent.delete(hour)
        return count
      })
      if (moved < FLAGS_PER_WRITE) return
      await nextTurn()
    }
  }

  async function dropDay(day: number): Promise<void> {
    for (;;) {
      const dropped = await inTurn(async () => {
        const count = await storage.dropDay(day, FLAGS_PER_WRITE)
        if (count < FLAGS_PER_WRITE) daysPresent.delete(day)
        return count
      })
      if (dropped < FLAGS_PER_WRITE) return
      await nextTurn()
    }
  }

  return {
    add(flag, outcome, count, now) {
      dirty.add(flag)
      addToMinute(flag, Math.floor(now / MINUTE_MS), outcome, count, true)
    },
    async write() {
      // One at a time; what has come meanwhile is for the next.
      writing ??= writeAll().finally(() => (writing = null))
      await writing
    },
    async maintain(forgettable) {
      const now = clock.now()
      const firstHour = Math.floor((now - config.minuteCountsHours * HOUR_MS) / HOUR_MS)
      const firstDay = Math.floor((now - config.hourCountsDays * DAY_MS) / DAY_MS)
      try {
        for (const hour of before(hoursPresent, firstHour).slice(0, HOURS_COMPACTED_MAX)) await compactHour(hour)
        const days = before(daysPresent, firstDay)
        for (const day of days.slice(0, DAYS_DROPPED_MAX)) await dropDay(day)
        if (days.length > DAYS_DROPPED_MAX) return []
        return await inTurn(async () => {
          const flags = forgettable()
            .filter(flag => flag.id !== null && !dirty.has(flag) && flag.lastSeen < firstDay * DAY_MS)
            .slice(0, FLAGS_FORGOTTEN_MAX)
          await storage.dropFlags(flags.map(flag => flag.id!))
          return flags
        })
      } catch (error) {
        failed(error)
        return []
      }
    },
    read: (flag, since, until, take) =>
      inTurn(async () => {
        const within = (startMs: number): boolean => startMs >= since && startMs < until
        if (flag.id !== null) {
          const hours = [...hoursPresent].filter(hour => (hour + 1) * HOUR_MS > since && hour * HOUR_MS < until)
          const days = [...daysPresent].filter(day => (day + 1) * DAY_MS > since && day * DAY_MS < until)
          for (const { hour, counts } of await storage.minutes(flag.id, hours)) each(counts, 60, hour * HOUR_MS, MINUTE_MS)
          for (const { day, counts } of await storage.hours(flag.id, days)) each(counts, 24, day * DAY_MS, HOUR_MS)
        }
        // After the wait and in the same turn as what follows, so that nothing is between the two.
        for (const [minute, outcomes] of flag.waiting) {
          if (within(minute * MINUTE_MS)) for (const [outcome, count] of outcomes) take(minute * MINUTE_MS, outcome, count)
        }
        function each(packed: Uint8Array, slots: number, startMs: number, slotMs: number): void {
          for (const [outcome, counts] of unpack(packed, slots)) {
            for (let i = 0; i < slots; i++) {
              if (counts[i] !== 0 && within(startMs + i * slotMs)) take(startMs + i * slotMs, outcome, counts[i]!)
            }
          }
        }
      }),
    waiting: () => waiting,
    problem: () => problem,
  }
}

function additionOf(flag: FlagCounts, sums: ReadonlyMap<number, ReadonlyMap<string, number>>): FlagAddition {
  const { id, log, key, firstSeen, lastSeen } = flag
  const hours = new Map<number, [minute: number, outcomes: ReadonlyMap<string, number>][]>()
  for (const [minute, outcomes] of sums) {
    const hour = Math.floor(minute / 60)
    const minutes = hours.get(hour)
    if (minutes === undefined) hours.set(hour, [[minute, outcomes]])
    else minutes.push([minute, outcomes])
  }
  return {
    row: { id, log, flag: key, firstSeen, lastSeen, services: JSON.stringify([...flag.services]) },
    hours: new Map(
      [...hours].map(([hour, minutes]) => [
        hour,
        (held: Uint8Array | null) => {
          const slots: Slots = held === null ? new Map<string, number[]>() : unpack(held, 60)
          for (const [minute, outcomes] of minutes) {
            for (const [outcome, count] of outcomes) addTo(slots, 60, outcome, minute % 60, count)
          }
          return pack(slots, 60)
        },
      ]),
    ),
  }
}

function before(spans: ReadonlySet<number>, first: number): number[] {
  return [...spans].filter(span => span < first).sort((a, b) => a - b)
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}
