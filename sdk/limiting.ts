/**
 * The limits of one client: the limiter, made when the first limit is asked for, and the timer it runs on. An
 * application without limits pays nothing for them.
 */
import type { Lease } from '../schemas/lease.ts'
import { LEASE_INTERVAL_MS } from '../schemas/protocol.ts'
import type { Clock, Timer } from './clock.ts'
import type { Outcome } from './evaluator/evaluation.ts'
import type { Rate } from './evaluator/rate.ts'
import { Limiter } from './limiter/limiter.ts'
import type { Limits } from './limiter/types.ts'
import { duration } from './options.ts'
import type { Acquired, Context, Limited } from './types.ts'

/** How long `limitOrWait` waits unless told otherwise. */
const WAIT_MS = 1_000
/** Sooner than this nothing can have changed. */
const WAIT_MIN_MS = 5

export class Limiting {
  readonly #clock: Clock
  readonly #send: (lease: Lease) => void
  #limits: Limits | null = null
  #isConnected = false
  #isClosed = false
  #timer: Timer | null = null
  #lastFrame: unknown = null
  /** Those who wait for tokens, the first first. */
  readonly #waiting = new Set<() => void>()

  /** @param send to the server, on the stream that is up */
  constructor(clock: Clock, send: (lease: Lease) => void) {
    this.#clock = clock
    this.#send = send
  }

  take(outcome: Outcome, context: Context, cost: number | undefined): Limited {
    return (this.#limits ?? this.#begin()).take(outcome, context, cost)
  }

  acquire(outcome: Outcome, context: Context): Acquired {
    return (this.#limits ?? this.#begin()).acquire(outcome, context)
  }

  /** One token of the server's, without seed or share of one's own. */
  takeLent(flag: string, variation: string, key: string, rate: Rate): boolean {
    return (this.#limits ?? this.#begin()).takeLent(flag, variation, key, rate)
  }

  /** Instances of the environment, as far as is known. */
  get instances(): number {
    return (this.#limits ?? this.#begin()).instances
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  /** Ask again until it is allowed or cannot be in time: who cannot be served in time is told so at once. */
  async wait(ask: () => Limited, timeoutMs: number | undefined): Promise<Limited> {
    const deadline = this.#clock.monotonic() + duration(timeoutMs, WAIT_MS)
    for (;;) {
      const limited = ask()
      const waitMs = Math.max(WAIT_MIN_MS, limited.retryAfterMs)
      if (limited.allowed || this.#isClosed || this.#clock.monotonic() + waitMs > deadline) return limited
      await this.#moment(waitMs)
    }
  }

  /** So long, or until tokens arrive: scarce ones do not lie about, and whoever waits longest asks first. */
  #moment(ms: number): Promise<void> {
    return new Promise(resolve => {
      const go = (): void => {
        this.#waiting.delete(go)
        timer.cancel()
        resolve()
      }
      const timer = this.#clock.after(ms, go)
      this.#waiting.add(go)
    })
  }

  /** The stream is up, or down. */
  link(isConnected: boolean): void {
    if (isConnected === this.#isConnected) return
    this.#isConnected = isConnected
    if (this.#limits !== null) this.#follow(this.#limits)
  }

  /** A `grant` frame, of whatever shape. What the last one said of the fleet is true for limits that are asked for later. */
  granted(frame: unknown): void {
    this.#lastFrame = frame
    this.#limits?.granted(frame, this.#clock.monotonic())
    for (const go of [...this.#waiting]) go()
  }

  /** The end: tokens that are not needed any more go back, so that others have them at once. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const go of [...this.#waiting]) go()
    if (!this.#isConnected) return
    const lease = this.#limits?.farewell(this.#clock.monotonic()) ?? null
    this.#send({ type: 'lease', keys: [], ...lease, bye: true })
  }

  #begin(): Limits {
    const limits = new Limiter({ monotonic: () => this.#clock.monotonic(), wake: () => this.#tickLater() })
    this.#limits = limits
    if (this.#isConnected) {
      this.#follow(limits)
      // It has no counters yet: of the frame it takes how many instances there are.
      limits.granted(this.#lastFrame, this.#clock.monotonic())
    }
    return limits
  }

  #follow(limits: Limits): void {
    if (this.#isConnected) limits.connected(this.#clock.monotonic())
    else limits.disconnected(this.#clock.monotonic())
    if (limits.isAwake) this.#tickLater()
  }

  #tickLater(): void {
    if (this.#isClosed) return
    this.#timer ??= this.#clock.after(LEASE_INTERVAL_MS, () => {
      this.#timer = null
      const lease = this.#limits?.tick(this.#clock.monotonic()) ?? null
      if (lease !== null) this.#send(lease)
      if (this.#limits?.isAwake === true) this.#tickLater()
    })
  }
}
