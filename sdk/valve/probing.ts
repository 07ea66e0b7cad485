/**
 * One round of probes: a few calls that try the dependency after a cut. Each needs a permit, which is a token of the fleet's
 * budget or the instance's own; what is asked for more has to wait.
 */
import type { Breaker } from '../evaluator/valve.ts'

/** A share such as 0.8 of 5 is no exact number. */
const ROUNDING = 1e-9

export class Probing {
  readonly #breaker: Breaker
  readonly startedAt: number
  /** Granted and not used. */
  #permits = 0
  #permittedAt = 0
  /** When those under way began, by the number of the probe. */
  readonly #open = new Map<number, number>()
  #next = 1
  #good = 0
  #bad = 0
  /** Somebody would have liked to. */
  #isAsked = false

  constructor(breaker: Breaker, now: number) {
    this.#breaker = breaker
    this.startedAt = now
  }

  /** Whether another permit would be of use. @param needed probes that this instance has to make */
  wants(needed: number): boolean {
    return this.#isAsked && this.#permits + this.#open.size + this.#good + this.#bad < needed
  }

  get isTrying(): boolean {
    return this.#open.size > 0
  }

  permit(now: number): void {
    this.#permits++
    this.#permittedAt = now
  }

  /** @returns the number of the probe that may begin, or 0 for none */
  begin(now: number): number {
    this.#isAsked = true
    if (this.#permits === 0) return 0
    this.#permits--
    this.#open.set(this.#next, now)
    return this.#next++
  }

  /** @param isGood null when it says nothing: its permit is good for another one */
  end(probe: number, isGood: boolean | null, now: number): void {
    if (!this.#open.delete(probe)) return
    if (isGood === null) this.permit(now)
    else if (isGood) this.#good++
    else this.#bad++
  }

  /** Probes that never end have gone badly, and permits that nobody used in an open time are void. */
  turn(limitMs: number, now: number): void {
    for (const [probe, beganAt] of this.#open) if (now - beganAt >= limitMs) this.end(probe, false, now)
    if (now - this.#permittedAt >= this.#breaker.openMs) this.#permits = 0
  }

  /** Null while it is not known yet. */
  verdict(needed: number): 'good' | 'bad' | null {
    const { probeSuccess } = this.#breaker
    if (this.#bad > needed * (1 - probeSuccess) + ROUNDING) return 'bad'
    return this.#good + this.#bad >= needed ? 'good' : null
  }
}
