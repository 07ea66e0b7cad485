/**
 * Counts evaluations, as SDKs report them and as OFREP adds them, and answers how a flag is used. Counting happens in
 * memory and never waits; what is counted goes to the history in the database every few seconds. Names come from
 * outside, so everything that could grow with them is bounded, and what did not fit is counted as dropped.
 */
import type { FastifyBaseLogger } from 'fastify'
import { FLAGS_MAX } from '../../schemas/limits.ts'
import { EVALUATION_ERRORS } from '../../schemas/reason.ts'
import type { EvaluationSeries, Usage as FlagUsage } from '../../schemas/usage.ts'
import { UNKNOWN_OPERATOR } from '../../schemas/usage.ts'
import type { Clock, Timer } from '../clock.ts'
import { moment } from '../clock.ts'
import type { Config } from '../config.ts'
import type { ChangeLog } from '../log/types.ts'
import type { Asker, Dropped, Usage } from '../services.ts'
import type { CountStorage } from '../storage/counts.ts'
import {
  addToLastHour,
  DAY_MS,
  type FlagCounts,
  heardFrom,
  HOUR_MS,
  MINUTE_MS,
  newFlagCounts,
  sumOfLastHour,
  tally,
  untallied,
} from './flagcounts.ts'
import { openHistory } from './history.ts'
import { outcomeOf, outcomeText } from './outcome.ts'
import { unpack } from './packed.ts'
import { openProblems, plain } from './problems.ts'
import { openTracked, type TrackedEvent } from './tracked.ts'

/** How often counts are stored: what `kill -9` loses. */
export const WRITE_INTERVAL_MS = 10_000
/** How often minutes are moved to hours and old hours let go; the first time a minute after the start. */
export const MAINTAIN_INTERVAL_MS = 30 * MINUTE_MS
/** Problems not seen for so long are forgotten, a few at a time. */
export const PROBLEM_KEPT_MS = 30 * DAY_MS
const PROBLEMS_FORGOTTEN_MAX = 50
/** A log has at most FLAGS_MAX flags at a time, but over the months more come and go. */
const FLAGS_COUNTED_MAX = 2 * FLAGS_MAX

export interface UsageHandle extends Usage {
  /** Evaluations of all flags, since the start. */
  total(log: string): number
  /** Events of the applications' own. */
  tracked(log: string): readonly TrackedEvent[]
  /** Sums that wait to be stored, and why the last write failed; null when it did not. */
  storing(): { readonly waiting: number; readonly problem: string | null }
  /** Store what was counted. Happens by itself every few seconds. */
  write(): Promise<void>
  /** Move minutes to hours, let old hours go. Happens by itself twice an hour. */
  maintain(): Promise<void>
  close(): Promise<void>
}

export interface UsageOptions {
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'info' | 'warn'>
  readonly log: Pick<ChangeLog, 'state'>
  readonly storage: CountStorage
  readonly config: Pick<Config, 'minuteCountsHours' | 'hourCountsDays'>
}

interface LogCounts {
  readonly log: string
  readonly flags: Map<string, FlagCounts>
  total: number
  sdkDropped: number
  serverDropped: number
}

/** Errors: those of `Storage`. */
export async function openUsage(options: UsageOptions): Promise<UsageHandle> {
  const { clock, logger, log: changeLog, storage, config } = options
  const logs = new Map<string, LogCounts>()
  const problems = openProblems()
  const tracked = openTracked()
  const startedAt = clock.now()
  /** The one that was evaluated in last. */
  let latest: LogCounts | null = null
  /** Flags that this server has evaluated since the last fold. */
  let tallied: FlagCounts[] = []

  await load()
  const history = openHistory({ storage, clock, logger, config, problems, drop }, await storage.spans())

  async function load(): Promise<void> {
    const byId = new Map<number, FlagCounts>()
    for (const { id, log, flag, firstSeen, lastSeen, services } of await storage.flags()) {
      const counts = { ...newFlagCounts(log, flag, firstSeen), id, lastSeen, services: servicesOf(services) }
      countsOf(log).flags.set(flag, counts)
      byId.set(id, counts)
    }
    for (const row of await storage.problems()) problems.load(row)
    const now = Math.floor(clock.now() / HOUR_MS)
    const rows = await storage.minutes(null, [now - 1, now])
    for (const { flag, hour, counts } of [...rows].sort((a, b) => a.hour - b.hour)) {
      const held = byId.get(flag)
      if (held === undefined) continue
      for (const sums of unpack(counts, 60).values())
        for (let i = 0; i < 60; i++) if (sums[i] !== 0) addToLastHour(held, hour * 60 + i, sums[i]!)
    }
  }

  function countsOf(log: string): LogCounts {
    let counts = logs.get(log)
    if (counts === undefined) {
      counts = { log, flags: new Map(), total: 0, sdkDropped: 0, serverDropped: 0 }
      logs.set(log, counts)
    }
    return counts
  }

  function drop(log: string, count: number): void {
    const counts = countsOf(log)
    counts.serverDropped = sum(counts.serverDropped, count)
  }

  /** The counts of a flag that exists or did once; null for one that nobody knows, or when there is no room. */
  function flagOf(counts: LogCounts, key: string, now: number): FlagCounts | null {
    const held = counts.flags.get(key)
    if (held !== undefined) return held
    if (counts.flags.size >= FLAGS_COUNTED_MAX || !exists(counts.log, key)) return null
    const flag = newFlagCounts(counts.log, key, now)
    counts.flags.set(key, flag)
    return flag
  }

  function exists(log: string, key: string): boolean {
    return changeLog.state(log).documents.flag.has(key)
  }

  function count(flag: FlagCounts, outcome: string, count: number, now: number): void {
    flag.lastSeen = now
    addToLastHour(flag, Math.floor(now / MINUTE_MS), count)
    history.add(flag, outcome, count, now)
  }

  function note(counts: LogCounts, code: string, subject: string, detail: string, by: Asker, count: number, now: number): void {
    counts.serverDropped = sum(counts.serverDropped, problems.note(counts.log, { code, subject, detail }, by, count, now))
  }

  /** What this server has evaluated itself, counted as of now. */
  function fold(): void {
    if (tallied.length === 0) return
    const now = clock.now()
    for (const flag of tallied) {
      const counts = countsOf(flag.log)
      for (const service of flag.heard) heardFrom(flag, service, now)
      flag.heard.clear()
      for (const [outcome, sums] of untallied(flag)) {
        counts.total = sum(counts.total, sums)
        count(flag, outcome, sums, now)
      }
    }
    tallied = []
  }

  function seen(log: string, key: string): FlagCounts | undefined {
    fold()
    return logs.get(log)?.flags.get(key)
  }

  async function write(): Promise<void> {
    fold()
    await history.write()
  }

  /** Under way, so that closing waits for it. */
  let maintaining: Promise<void> = Promise.resolve()
  function maintain(): Promise<void> {
    maintaining = maintaining.then(maintainNow)
    return maintaining
  }

  async function maintainNow(): Promise<void> {
    problems.forget(clock.now() - PROBLEM_KEPT_MS, PROBLEMS_FORGOTTEN_MAX)
    const archived = (): FlagCounts[] => {
      fold()
      return [...logs.values()].flatMap(({ log, flags }) => [...flags.values()].filter(flag => !exists(log, flag.key)))
    }
    for (const flag of await history.maintain(archived)) logs.get(flag.log)?.flags.delete(flag.key)
  }

  const timers = new Map<() => Promise<void>, Timer>()
  function repeat(run: () => Promise<void>, afterMs: number, everyMs: number): void {
    timers.set(
      run,
      clock.after(afterMs, () => {
        repeat(run, everyMs, everyMs)
        void run()
      }),
    )
  }
  repeat(write, WRITE_INTERVAL_MS, WRITE_INTERVAL_MS)
  repeat(maintain, MINUTE_MS, MAINTAIN_INTERVAL_MS)

  return {
    add(log, report, by) {
      const counts = countsOf(log)
      const now = clock.now()
      const service = plain(by.service)
      counts.sdkDropped = sum(counts.sdkDropped, report.dropped)
      drop(log, tracked.add(log, report.tracked ?? []))
      for (const row of report.counts) {
        counts.total = sum(counts.total, row.count)
        const isError = row.variation === null || row.reason === 'ERROR'
        // Older SDKs do not say which error it was.
        const isMissing = row.error === 'FLAG_NOT_FOUND' || (isError && row.error === undefined && !exists(log, row.flag))
        const flag = isMissing ? null : flagOf(counts, row.flag, now)
        if (flag === null) {
          // Full of others, which only a log with tens of thousands of flags can be: it is not the application's mistake.
          if (!isMissing && exists(log, row.flag)) drop(log, row.count)
          else note(counts, 'FLAG_NOT_FOUND', row.flag, '', by, row.count, now)
          continue
        }
        heardFrom(flag, service, now)
        if (isError) note(counts, codeOf(row.error), row.flag, row.asked ?? '', by, row.count, now)
        const unbucketed = Math.min(row.unbucketed ?? 0, row.count)
        if (row.count > unbucketed) count(flag, outcomeText(row.variation, row.reason, row.error, false), row.count - unbucketed, now)
        if (unbucketed > 0) count(flag, outcomeText(row.variation, row.reason, row.error, true), unbucketed, now)
      }
      for (const { op, where } of report.unknownOperators) note(counts, UNKNOWN_OPERATOR, where, op, by, 1, now)
    },
    one(log, key, evaluation, by) {
      const counts = latest !== null && latest.log === log ? latest : (latest = countsOf(log))
      const flag = counts.flags.get(key) ?? flagOf(counts, key, clock.now())
      if (flag === null) {
        counts.total = sum(counts.total, 1)
        return drop(log, 1)
      }
      const { last } = flag
      if (last === null) tallied.push(flag)
      if (last !== null && last.evaluation === evaluation) last.count++
      else if (tally(flag, evaluation)) return fold()
      if (flag.by !== by) {
        flag.by = by
        flag.heard.add(by.service)
      }
    },
    unknown(log, key, by) {
      const counts = countsOf(log)
      counts.total = sum(counts.total, 1)
      note(counts, 'FLAG_NOT_FOUND', key, '', by, 1, clock.now())
    },
    lastHour(log, key) {
      const flag = seen(log, key)
      return flag === undefined ? 0 : sumOfLastHour(flag, Math.floor(clock.now() / MINUTE_MS))
    },
    lastSeen(log, key) {
      const flag = seen(log, key)
      // A clock that was ahead may have left a moment that has not come yet.
      return flag === undefined ? null : Math.min(flag.lastSeen, clock.now())
    },
    async flag(log, key) {
      const flag = seen(log, key)
      if (flag === undefined) return NEVER_USED
      const now = clock.now()
      const since = Math.floor((now - DAY_MS) / MINUTE_MS) * MINUTE_MS + MINUTE_MS
      const day = new Map<string, number>()
      let isRead = true
      try {
        await history.read(flag, since, now + MINUTE_MS, (_, outcome, sums) => void day.set(outcome, sum(day.get(outcome) ?? 0, sums)))
      } catch (error) {
        logger.warn({ err: error, log, flag: key }, 'The history of evaluations could not be read; what is in memory is answered')
        isRead = false
      }
      return {
        lastHour: sumOfLastHour(flag, Math.floor(now / MINUTE_MS)),
        lastDay: isRead ? [...day.values()].reduce(sum, 0) : null,
        firstSeen: moment(flag.firstSeen),
        lastSeen: moment(Math.min(flag.lastSeen, now)),
        services: [...flag.services].reverse().map(([service, at]) => ({ service, lastSeen: moment(at) })),
        ...sharesOf(day),
      }
    },
    async series(log, key, { since, until, stepMs }) {
      const flag = seen(log, key)
      const series = new Map<string, number[]>()
      if (flag !== undefined) {
        const steps = Math.ceil((until - since) / stepMs)
        await history.read(flag, since, until, (startMs, outcome, sums) => {
          let counts = series.get(outcome)
          if (counts === undefined) {
            counts = new Array<number>(steps).fill(0)
            series.set(outcome, counts)
          }
          const step = Math.floor((startMs - since) / stepMs)
          counts[step] = sum(counts[step] ?? 0, sums)
        })
      }
      return [...series]
        .map(([outcome, counts]): EvaluationSeries => ({ ...outcomeOf(outcome), total: counts.reduce(sum, 0), counts }))
        .sort((a, b) => b.total - a.total)
    },
    isCounted: (log, key) => logs.get(log)?.flags.has(key) ?? false,
    countedSince: log =>
      [...(logs.get(log)?.flags.values() ?? [])].reduce<number | null>(
        (least, { firstSeen }) => Math.min(least ?? Infinity, firstSeen),
        null,
      ),
    problems: log => problems.list(log),
    dropped(log): Dropped {
      fold()
      const counts = countsOf(log)
      return { sdk: counts.sdkDropped, server: counts.serverDropped, since: moment(startedAt) }
    },
    total(log) {
      fold()
      return countsOf(log).total
    },
    tracked: log => tracked.of(log),
    storing: () => ({ waiting: history.waiting(), problem: history.problem() }),
    write,
    maintain,
    async close() {
      for (const timer of timers.values()) timer.cancel()
      await maintaining
      // Once for what may be under way, once for what has come meanwhile.
      await write()
      await write()
    },
  }
}

/** Of a flag that was never evaluated. */
export const NEVER_USED: FlagUsage = {
  lastHour: 0,
  lastDay: 0,
  firstSeen: null,
  lastSeen: null,
  services: [],
  variations: {},
  errors: {},
  unbucketed: 0,
}

function sharesOf(sums: ReadonlyMap<string, number>): Pick<FlagUsage, 'variations' | 'errors' | 'unbucketed'> {
  const variations = new Map<string, number>()
  const errors = new Map<string, number>()
  let unbucketed = 0
  for (const [text, count] of sums) {
    const outcome = outcomeOf(text)
    if (outcome.unbucketed) unbucketed = sum(unbucketed, count)
    if (outcome.variation !== null) variations.set(outcome.variation, sum(variations.get(outcome.variation) ?? 0, count))
    else if (outcome.error !== null) errors.set(outcome.error, sum(errors.get(outcome.error) ?? 0, count))
  }
  // Built from entries, so that a variation reported as "__proto__" is a property like any other.
  return { variations: Object.fromEntries(variations), errors: Object.fromEntries(errors), unbucketed }
}

function codeOf(error: string | undefined): string {
  return (EVALUATION_ERRORS as readonly (string | undefined)[]).includes(error) ? error! : 'OTHER'
}

function servicesOf(text: string): Map<string, number> {
  try {
    return new Map(JSON.parse(text) as [string, number][])
  } catch {
    return new Map()
  }
}

/** A sum that stays a safe integer, however hostile the report. */
function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER)
}
