/** What `enter` answers: whether the call may begin, and where it says how it ended. */
import type { Ended, ValveReason, ValveTicket } from '../types.ts'
import type { ValveCore } from './valve.ts'

/** Where a ticket says that its call has ended. */
export interface Counting {
  readonly core: ValveCore
  /** The valve is looked at: its time is not that of long ago. */
  rouse(): void
  readonly monotonic: () => number
}

export class Ticket implements ValveTicket {
  readonly admitted: boolean
  readonly reason: ValveReason
  readonly retryAfterMs: number
  /** Null once it has said so, and when there is nothing to say. */
  #counting: Counting | null
  /** Of the window, -1 for a call that would not have been let through. */
  readonly #epoch: number
  readonly #probe: number
  /** NaN where nobody looks at how long calls take. */
  readonly #startedAt: number

  constructor(admitted: boolean, reason: ValveReason, retryAfterMs: number, counting: Counting | null, epoch: number, probe: number) {
    this.admitted = admitted
    this.reason = reason
    this.retryAfterMs = retryAfterMs
    this.#counting = counting
    this.#epoch = epoch
    this.#probe = probe
    this.#startedAt = counting === null || counting.core.setting.breaker.slowMs === null ? NaN : counting.monotonic()
  }

  done(ended: Ended = 'success', ms?: number): void {
    const counting = this.#counting
    if (counting === null) return
    this.#counting = null
    counting.rouse()
    const { core, monotonic } = counting
    const { slowMs } = core.setting.breaker
    const tookMs = slowMs === null ? 0 : (ms ?? monotonic() - this.#startedAt)
    core.end(this.#epoch, this.#probe, ended, slowMs !== null && tookMs >= slowMs)
  }
}
