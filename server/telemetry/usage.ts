/**
 * Evaluation counts in memory, as SDKs report them and as OFREP adds them: enough to say whether a flag is still used.
 * Names come from outside, so everything that could grow with them is bounded, and what did not fit is counted.
 */
import { FLAGS_MAX } from '../../schemas/limits.ts'
import type { Clock } from '../clock.ts'
import { moment } from '../clock.ts'
import type { ChangeLog } from '../log/types.ts'
import type { FlagUsage, Usage } from '../services.ts'
import { openTracked, type TrackedEvent } from './tracked.ts'

/** Flags counted per log that the log does not have: a name misspelt in an application, or archived meanwhile. */
export const UNKNOWN_FLAGS_MAX = 1_000
/** Variations counted per flag beside the flag's own, such as those it had before an edit. */
export const VARIATIONS_COUNTED_MAX = 200
/** Pairs of operator and place remembered per log. */
export const UNKNOWN_OPERATORS_MAX = 1_000
/** How an evaluation without a variation (an error) is named. */
export const NO_VARIATION = ''

export interface UsageHandle extends Usage {
  /** Evaluations that were reported as dropped by SDKs, or did not fit here. */
  dropped(log: string): number
  /** Evaluations of all flags. */
  total(log: string): number
  /** Events of the applications' own. */
  tracked(log: string): readonly TrackedEvent[]
}

interface FlagCounts {
  evaluations: number
  unbucketed: number
  readonly variations: Map<string, number>
  firstSeen: number
  lastSeen: number
}

interface LogCounts {
  readonly flags: Map<string, FlagCounts>
  unknownFlags: number
  total: number
  dropped: number
  readonly operators: Map<string, { readonly op: string; readonly where: string }>
}

const NEVER: FlagUsage = { evaluations: 0, unbucketed: 0, variations: {}, firstSeen: null, lastSeen: null }

export function openUsage(options: { readonly clock: Clock; readonly log: Pick<ChangeLog, 'state'> }): UsageHandle {
  const { clock, log: changeLog } = options
  const logs = new Map<string, LogCounts>()
  const tracked = openTracked()

  return {
    add(log, report) {
      const counts = countsOf(logs, log)
      const now = clock.now()
      counts.dropped = sum(counts.dropped, report.dropped + tracked.add(log, report.tracked ?? []))
      for (const item of report.counts) {
        counts.total = sum(counts.total, item.count)
        const flag = flagOf(counts, item.flag, now, () => changeLog.state(log).documents.flag.has(item.flag))
        if (flag === null) {
          counts.dropped = sum(counts.dropped, item.count)
          continue
        }
        addTo(flag, item.variation, item.count, item.unbucketed ?? 0, now)
      }
      for (const { op, where } of report.unknownOperators) {
        if (counts.operators.size < UNKNOWN_OPERATORS_MAX) counts.operators.set(JSON.stringify([op, where]), { op, where })
      }
    },
    one(log, key, variation, unbucketed) {
      const counts = countsOf(logs, log)
      const now = clock.now()
      counts.total = sum(counts.total, 1)
      const flag = flagOf(counts, key, now, () => changeLog.state(log).documents.flag.has(key))
      if (flag === null) counts.dropped = sum(counts.dropped, 1)
      else addTo(flag, variation, 1, unbucketed ? 1 : 0, now)
    },
    flag(log, key) {
      const flag = logs.get(log)?.flags.get(key)
      if (flag === undefined) return NEVER
      return {
        evaluations: flag.evaluations,
        unbucketed: flag.unbucketed,
        // Built from entries, so that a variation reported as "__proto__" is a property like any other.
        variations: Object.fromEntries(flag.variations),
        firstSeen: moment(flag.firstSeen),
        lastSeen: moment(flag.lastSeen),
      }
    },
    unknownOperators: log => [...(logs.get(log)?.operators.values() ?? [])],
    dropped: log => logs.get(log)?.dropped ?? 0,
    total: log => logs.get(log)?.total ?? 0,
    tracked: log => tracked.of(log),
  }
}

function countsOf(logs: Map<string, LogCounts>, log: string): LogCounts {
  let counts = logs.get(log)
  if (counts === undefined) {
    counts = { flags: new Map(), unknownFlags: 0, total: 0, dropped: 0, operators: new Map() }
    logs.set(log, counts)
  }
  return counts
}

/** The counts of a flag, made at its first report; null when there is no room for one more. */
function flagOf(counts: LogCounts, key: string, now: number, exists: () => boolean): FlagCounts | null {
  const held = counts.flags.get(key)
  if (held !== undefined) return held
  const known = exists()
  // A log has at most FLAGS_MAX flags at a time, but over the months more come and go.
  if (known ? counts.flags.size - counts.unknownFlags >= 2 * FLAGS_MAX : counts.unknownFlags >= UNKNOWN_FLAGS_MAX) return null
  if (!known) counts.unknownFlags++
  const flag: FlagCounts = { evaluations: 0, unbucketed: 0, variations: new Map(), firstSeen: now, lastSeen: now }
  counts.flags.set(key, flag)
  return flag
}

function addTo(flag: FlagCounts, variation: string | null, count: number, unbucketed: number, now: number): void {
  const name = variation ?? NO_VARIATION
  flag.evaluations = sum(flag.evaluations, count)
  flag.unbucketed = sum(flag.unbucketed, unbucketed)
  const before = flag.variations.get(name)
  if (before !== undefined || flag.variations.size < VARIATIONS_COUNTED_MAX) flag.variations.set(name, sum(before ?? 0, count))
  flag.lastSeen = now
}

/** A sum that stays a safe integer, however hostile the report. */
function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER)
}
