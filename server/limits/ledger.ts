/**
 * The ledger of one environment's limits: who was lent how many tokens of which counter, and who gets the next ones.
 * An interface, so that several nodes can share one later; `memory.ts` is the one there is.
 */
import type { Grant, Lease } from '../../schemas/lease.ts'
import type { PartitionMode } from '../../sdk/evaluator/rate.ts'

/** What a counter may give out. The ledger knows nothing else of what the tokens stand for. */
export type Policy =
  /** `ratePerMs` 0 cuts: nothing is given out. */
  | { readonly kind: 'rate'; readonly ratePerMs: number; readonly depth: number; readonly onPartition: PartitionMode }
  /** Nothing is lent, only summed up. */
  | { readonly kind: 'unlimited' }

/** Says what a counter of a flag and variation may give out now; null for none such. Asked often: it should be a look-up. */
export type PolicyOf = (flag: string, variation: string, key: string) => Policy | null

/** Time is an argument everywhere: milliseconds of a clock that only runs forward. */
export interface Ledger {
  /**
   * An instance is connected, on a new link: what it called its slots before is void. It is told how many instances
   * there are with the next round.
   */
  join(instance: string, now: number): void
  /**
   * Its link is gone.
   * @param isClosed it said goodbye; else it may live on, on its safe share, which is set aside for it
   */
  leave(instance: string, isClosed: boolean, now: number): void
  /** What a connected instance says; of any other it is ignored. */
  report(instance: string, lease: Lease, now: number): void
  /** Share out what there is: every `LEASE_INTERVAL_MS`. At most one frame for each instance; no entry for those with nothing to hear. */
  round(now: number): Grants | Promise<Grants>
  /** Whether nothing is lent yet, after a restart. */
  isLearning(now: number): boolean
  /** Instances that may be using the limits: those connected, those that fell silent, and after a restart those that are expected. */
  instances(now: number): number
  /** The counters of a flag, those with most admitted in the last minute first. */
  usage(flag: string, now: number, limit?: number): LimitUsage | Promise<LimitUsage>
  /** Sums over all counters of a flag and variation since the start, for metrics. */
  totals(): readonly LimitTotals[] | Promise<readonly LimitTotals[]>
}

/** Frames to send, by instance. */
export type Grants = ReadonlyMap<string, Grant>

export interface LimitUsage {
  /** Counters that are known of this flag, of which `keys` are the busiest. */
  readonly counters: number
  readonly keys: readonly CounterUsage[]
  /** Over all counters. */
  readonly admitted: Spans
  readonly denied: Spans
  /** Instances connected, and those that may live on their safe shares. */
  readonly instances: number
  readonly silent: number
  /** Until then no tokens are given out, after a restart; null when that is over. */
  readonly learningUntil: number | null
}

export interface CounterUsage {
  readonly variation: string
  /** `REST_KEY` for the counter of all keys that an SDK had no room for, '' for those without a value. */
  readonly key: string
  readonly admitted: Spans
  readonly denied: Spans
  /** Tokens not lent and lent; null where nothing is limited. */
  readonly remaining: number | null
  readonly outstanding: number
  /** At most so many tokens can be spent beyond rate × time + depth, in any span of time; null where nothing is limited. */
  readonly overAdmissionMax: number | null
  /** Of the last minute: admitted ÷ what the rate allows; null where nothing is limited. */
  readonly usedShare: number | null
}

/** Tokens of the last minute and the last hour. */
export interface Spans {
  readonly minute: number
  readonly hour: number
}

export interface LimitTotals {
  readonly flag: string
  readonly variation: string
  readonly admitted: number
  readonly denied: number
  /** Lent, and taken back unspent to be lent again. */
  readonly granted: number
  readonly returned: number
  readonly counters: number
}
