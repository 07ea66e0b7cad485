/** Sums of calls over the last stretch of time, in a fixed few numbers. Time is an argument. */
import type { ValveRow } from '../../schemas/valve.ts'

/** What instances count of a valve: calls let through and how they ended; those that were not let through. */
export interface Sums {
  readonly calls: number
  readonly failures: number
  readonly slow: number
  readonly rejected: number
  /** Would have been rejected, with `shadow`. */
  readonly shadowed: number
}

const WIDTH = 5

/** Slots that follow each other in time; the oldest is given to the newest. */
export class Ring {
  readonly #slotMs: number
  readonly #slots: number
  readonly #numbers: Float64Array
  /** The number of the newest slot since time began. */
  #newest: number

  constructor(slotMs: number, slots: number, now: number) {
    this.#slotMs = slotMs
    this.#slots = slots
    this.#numbers = new Float64Array(slots * WIDTH)
    this.#newest = Math.floor(now / slotMs)
  }

  add({ calls, failures, slow, rejected, shadowed = 0 }: Pick<ValveRow, keyof Sums>, now: number): void {
    this.#turn(now)
    const at = (this.#newest % this.#slots) * WIDTH
    this.#numbers[at]! += calls
    this.#numbers[at + 1]! += failures
    this.#numbers[at + 2]! += slow
    this.#numbers[at + 3]! += rejected
    this.#numbers[at + 4]! += shadowed
  }

  /** Of the last `ms`, in whole slots: the one that has begun, and as many before it as make up so much. */
  sums(ms: number, now: number): Sums {
    this.#turn(now)
    const slots = Math.min(this.#slots, Math.ceil(ms / this.#slotMs))
    let [calls, failures, slow, rejected, shadowed] = [0, 0, 0, 0, 0]
    for (let i = 0; i < slots; i++) {
      const sums = this.#slot(i)
      calls += sums.calls
      failures += sums.failures
      slow += sums.slow
      rejected += sums.rejected
      shadowed += sums.shadowed
    }
    return { calls, failures, slow, rejected, shadowed }
  }

  /** Each whole slot that has passed, the oldest first, with the moment it began. */
  slots(now: number): (Sums & { readonly from: number })[] {
    this.#turn(now)
    return Array.from({ length: this.#slots - 1 }, (_, i) => {
      const back = this.#slots - 1 - i
      return { from: (this.#newest - back) * this.#slotMs, ...this.#slot(back) }
    })
  }

  /** @param back how many slots before the newest */
  #slot(back: number): Sums {
    const at = ((((this.#newest - back) % this.#slots) + this.#slots) % this.#slots) * WIDTH
    const [calls = 0, failures = 0, slow = 0, rejected = 0, shadowed = 0] = this.#numbers.subarray(at, at + WIDTH)
    return { calls, failures, slow, rejected, shadowed }
  }

  /** Slots that come round again begin anew. A clock that goes back stands still. */
  #turn(now: number): void {
    const next = Math.floor(now / this.#slotMs)
    const passed = Math.min(next - this.#newest, this.#slots)
    for (let i = 0; i < passed; i++) {
      const at = ((next - i) % this.#slots) * WIDTH
      this.#numbers.fill(0, at, at + WIDTH)
    }
    this.#newest = Math.max(this.#newest, next)
  }
}
