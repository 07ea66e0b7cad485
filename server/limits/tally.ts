/** What a counter admitted and denied within the last minute and hour, in a fixed few numbers. */
import type { Spans } from './ledger.ts'

const MINUTE = { slots: 6, slotMs: 10_000 }
const HOUR = { slots: 12, slotMs: 300_000 }

/** Sums in slots of 10 s and of 5 min: a span reaches up to one slot less far back than its name says. */
export class Tally {
  readonly #minute: number[] = Array.from({ length: 2 * MINUTE.slots }, () => 0)
  readonly #hour: number[] = Array.from({ length: 2 * HOUR.slots }, () => 0)
  readonly #since: number
  #at: number

  constructor(now: number) {
    this.#since = now
    this.#at = now
  }

  add(admitted: number, denied: number, now: number): void {
    this.#turn(now)
    for (const [ring, { slots, slotMs }] of this.#rings()) {
      const slot = 2 * (Math.floor(this.#at / slotMs) % slots)
      ring[slot]! += admitted
      ring[slot + 1]! += denied
    }
  }

  admitted(now: number): Spans {
    return this.#sums(0, now)
  }

  denied(now: number): Spans {
    return this.#sums(1, now)
  }

  /** How long the last minute is, in the slots it is kept in, from the first that was counted. */
  minuteMs(now: number): number {
    const { slots, slotMs } = MINUTE
    const from = Math.max(this.#since, (Math.floor(now / slotMs) - slots + 1) * slotMs)
    return Math.max(1, now - from)
  }

  #sums(which: number, now: number): Spans {
    this.#turn(now)
    const sum = (ring: readonly number[]): number => ring.reduce((total, value, i) => (i % 2 === which ? total + value : total), 0)
    return { minute: sum(this.#minute), hour: sum(this.#hour) }
  }

  /** Slots that came round again begin anew. */
  #turn(now: number): void {
    if (now <= this.#at) return
    for (const [ring, { slots, slotMs }] of this.#rings()) {
      const last = Math.floor(this.#at / slotMs)
      const next = Math.min(Math.floor(now / slotMs), last + slots)
      for (let slot = last + 1; slot <= next; slot++) {
        // Those in between were passed over; the newest is where `now` falls.
        const index = 2 * ((Math.floor(now / slotMs) - (next - slot)) % slots)
        ring[index] = 0
        ring[index + 1] = 0
      }
    }
    this.#at = now
  }

  #rings(): readonly (readonly [number[], typeof MINUTE])[] {
    return [
      [this.#minute, MINUTE],
      [this.#hour, HOUR],
    ]
  }
}
