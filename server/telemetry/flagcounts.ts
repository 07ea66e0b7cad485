/**
 * What is kept in memory of one flag's evaluations: when and by whom it was asked for, the last hour, and the sums that
 * wait to be stored. Plain data and what changes it; knows no database and no clock.
 */
import type { Evaluation } from '../../sdk/evaluator/evaluation.ts'
import type { Asker } from '../services.ts'
import { outcomeText } from './outcome.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** Services remembered per flag, those that asked last. */
export const SERVICES_MAX = 10
/** Results told apart between two folds; more are folded at once. */
const TALLIES_MAX = 200

/** One result of evaluations that this server makes itself: results are shared objects, so counting one is an addition. */
interface Tally {
  readonly evaluation: Evaluation
  count: number
}

export interface FlagCounts {
  readonly log: string
  readonly key: string
  /** In the database; null before it is there. */
  id: number | null
  /** Milliseconds since 1970. */
  readonly firstSeen: number
  lastSeen: number
  /** When each service asked last, the most recent one last. */
  readonly services: Map<string, number>
  /** By minute since 1970 and outcome: what is not in the database yet. */
  waiting: Map<number, Map<string, number>>
  /** Evaluations of the last 60 minutes, that of minute `m` at `m % 60`; null before the first: most flags rest. */
  lastHour: Float64Array | null
  newestMinute: number
  /** Evaluations made here since the last fold. */
  tallies: Tally[]
  last: Tally | null
  by: Asker | null
  readonly heard: Set<string>
}

export function newFlagCounts(log: string, key: string, now: number): FlagCounts {
  return {
    log,
    key,
    id: null,
    firstSeen: now,
    lastSeen: now,
    services: new Map(),
    waiting: new Map(),
    lastHour: null,
    newestMinute: 0,
    tallies: [],
    last: null,
    by: null,
    heard: new Set(),
  }
}

/**
 * Count an evaluation other than the last one. Allocates for a result that was not seen since the last fold.
 * @returns whether it is time to fold
 */
export function tally(flag: FlagCounts, evaluation: Evaluation): boolean {
  const { tallies } = flag
  for (const known of tallies) {
    if (known.evaluation !== evaluation) continue
    known.count++
    flag.last = known
    return false
  }
  flag.last = { evaluation, count: 1 }
  tallies.push(flag.last)
  return tallies.length >= TALLIES_MAX
}

/** What was tallied, by outcome; it is gone from there. */
export function untallied(flag: FlagCounts): Map<string, number> {
  const sums = new Map<string, number>()
  for (const { evaluation, count } of flag.tallies) {
    const outcome = outcomeText(evaluation.variation, evaluation.reason, evaluation.error, evaluation.unbucketed === true)
    sums.set(outcome, (sums.get(outcome) ?? 0) + count)
  }
  flag.tallies = []
  flag.last = null
  flag.by = null
  return sums
}

export function heardFrom(flag: FlagCounts, service: string, now: number): void {
  flag.services.delete(service)
  flag.services.set(service, now)
  if (flag.services.size > SERVICES_MAX) for (const oldest of flag.services.keys()) return void flag.services.delete(oldest)
}

export function addToLastHour(flag: FlagCounts, minute: number, count: number): void {
  const { newestMinute } = flag
  const lastHour = (flag.lastHour ??= new Float64Array(60))
  const ahead = minute - newestMinute
  // Further ahead than all that is held, or back beyond it: a clock that was set. What is held says nothing any more.
  if (ahead >= 60 || ahead <= -60) lastHour.fill(0)
  else for (let gone = newestMinute + 1; gone <= minute; gone++) lastHour[gone % 60] = 0
  if (ahead > 0 || ahead <= -60) flag.newestMinute = minute
  lastHour[minute % 60]! += count
}

export function sumOfLastHour(flag: FlagCounts, minute: number): number {
  const { lastHour, newestMinute } = flag
  let sum = 0
  if (lastHour !== null) for (let i = Math.max(newestMinute - 59, minute - 59); i <= newestMinute; i++) sum += lastHour[i % 60]!
  return sum
}
