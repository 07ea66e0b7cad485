/** What the client and the limiter say to each other. */
import type { Context } from '../../schemas/context.ts'
import type { Lease } from '../../schemas/lease.ts'
import type { Outcome } from '../evaluator/evaluation.ts'
import type { Rate } from '../evaluator/rate.ts'
import type { Acquired, Limited } from '../types.ts'

/**
 * The limits of one client. Synchronous, pure, never throws.
 *
 * It keeps its own coarse time, that of the last `tick`, `granted`, `connected` or `disconnected`: no decision asks a
 * clock. While it is awake, `tick` is called every `LEASE_INTERVAL_MS`, so times within it are up to that much (and
 * whatever holds up the event loop) behind. That does not change what is admitted, for tokens are only added and run
 * out at ticks; it makes `retryAfterMs` that much too short or too long.
 */
export interface Limits {
  /** Decide: `outcome` is what the evaluator said of the flag for this context. Not a rate, or an error: allowed, `ERROR`. */
  take(outcome: Outcome, context: Context, cost: number | undefined): Limited
  /** Only the concurrency of the key; takes no tokens. */
  acquire(outcome: Outcome, context: Context): Acquired
  /**
   * Take one token that the server has lent, for what is no limit and shares its tokens all the same: the probes of a valve. There is no
   * seed and no share of its own. Without a token one is asked for.
   */
  takeLent(flag: string, variation: string, key: string, rate: Rate): boolean
  /** Instances of the environment, as the server last said; a guess until then. */
  readonly instances: number

  /** The link is up: its first frames may be sent. Frames of the link before are no longer given to `granted`. */
  connected(now: number): void
  disconnected(now: number): void
  /** A `grant` frame, as it was parsed: of whatever shape. */
  granted(frame: unknown, now: number): void
  /** Time goes on. Answers the frame to send, if any; null while the link is down. */
  tick(now: number): Lease | null
  /** What is left to say before the link is closed for good: gives everything back. */
  farewell(now: number): Lease | null
  /** Whether `tick` wants to be called again; when it is not, `wake` of the surroundings says when it does. */
  readonly isAwake: boolean
}

/** What the limiter is given. */
export interface LimiterOptions {
  /** A clock that only runs forward, in milliseconds. Asked when the limiter wakes, not when it decides. */
  readonly monotonic: () => number
  /** Begin to call `tick`: something was asked after a rest. */
  readonly wake: () => void
  /** Most counters that are kept. Default: 50,000. */
  readonly countersMax?: number
}
