/** When it is too much, and for how long a cut lasts. */
import type { Breaker } from '../evaluator/valve.ts'
import type { Sums } from './window.ts'

export type Breach = 'failures' | 'slow'

/** @param minCalls fewer calls that ended say nothing */
export function breachOf({ ended, failures, slow }: Sums, { failureRate, slowMs, slowRate }: Breaker, minCalls: number): Breach | null {
  if (ended < minCalls) return null
  if (failures >= failureRate * ended) return 'failures'
  return slowMs !== null && slow >= slowRate * ended ? 'slow' : null
}

/** @param trips cuts in a row, this one included */
export function openMsOf({ openMs, maxOpenMs, backoff }: Breaker, trips: number): number {
  return Math.min(maxOpenMs, openMs * backoff ** Math.max(0, trips - 1))
}
