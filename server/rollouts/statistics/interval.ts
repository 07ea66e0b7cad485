/**
 * How many times as often the rising variation ends badly, with bounds that hold at every look together: all relative risks that a
 * bet on the others could not refute. The log likelihood over the log of the risk is kept at a few points (it is smooth and
 * concave, so that a cubic through four of them is the curve) and read as finely as wanted.
 */
import { logMean, logStep } from './eprocess.ts'
import type { RelativeRisk } from './types.ts'

/** Logs of the risks that are kept: 0.05 to 90, evenly, 1 among them. */
const STEP = 0.25
const FROM = -12
const POINTS = 31
export const PROFILE: readonly number[] = Array.from({ length: POINTS }, (_, i) => (FROM + i) * STEP)
const RISKS = PROFILE.map(Math.exp)

/** Between two kept points: about 1 % of the risk. */
const FINE = 24

/** What a stratum adds to the profile. */
export function addToProfile(profile: readonly number[], w: number, badRising: number, bad: number): number[] {
  return profile.map((log, i) => log + logStep(RISKS[i]!, w, badRising, bad))
}

/** @param coverage probability that the bounds hold the truth at every look, between 0 and 1 */
export function relativeRisk(profile: readonly number[], bad: number, coverage: number): RelativeRisk {
  if (bad === 0) return { estimate: null, low: 0, high: null, coverage }
  const logs = Array.from({ length: (POINTS - 1) * FINE + 1 }, (_, i) => between(profile, i / FINE))
  let best = 0
  for (let i = 1; i < logs.length; i++) if (logs[i]! > logs[best]!) best = i
  // A risk is refuted when the mixture of all of them beats it by 1/(1 - coverage): the same bet as against no difference.
  const least = logMean(logs) + Math.log(1 - coverage)
  let low = best
  while (low > 0 && logs[low - 1]! > least) low--
  let high = best
  while (high < logs.length - 1 && logs[high + 1]! > least) high++
  const last = logs.length - 1
  return {
    estimate: best === 0 ? 0 : best === last ? null : riskAt(best),
    low: low === 0 ? 0 : riskAt(low - 1),
    high: high === last ? null : riskAt(high + 1),
    coverage,
  }
}

function riskAt(fine: number): number {
  return Math.exp((FROM + fine / FINE) * STEP)
}

/** The cubic through the four nearest points (Lagrange). */
function between(profile: readonly number[], at: number): number {
  const first = Math.max(0, Math.min(POINTS - 4, Math.floor(at) - 1))
  const x = at - first
  const [a, b, c, d] = [profile[first]!, profile[first + 1]!, profile[first + 2]!, profile[first + 3]!]
  return (
    (-a * (x - 1) * (x - 2) * (x - 3)) / 6 +
    (b * x * (x - 2) * (x - 3)) / 2 -
    (c * x * (x - 1) * (x - 3)) / 2 +
    (d * x * (x - 1) * (x - 2)) / 6
  )
}
