/** What a call is refused with when a valve does not let it through and nobody said what to do instead. */
import type { ValveState } from '../types.ts'

export class ValveCutError extends Error {
  readonly code = 'VALVE_CUT'
  /** The flag's key. */
  readonly flag: string
  readonly state: ValveState
  /** When to try again, an estimate in milliseconds. */
  readonly retryAfterMs: number
  /** What the valve's setting names to be done instead; empty for nothing. */
  readonly instead: string

  constructor(flag: string, state: ValveState, retryAfterMs: number, instead: string) {
    super(`The valve "${flag}" is ${state} and did not let this call through. Try again in ${retryAfterMs} ms, or give a fallback`)
    this.name = 'ValveCutError'
    this.flag = flag
    this.state = state
    this.retryAfterMs = retryAfterMs
    this.instead = instead
  }
}
