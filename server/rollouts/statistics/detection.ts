/**
 * What a step can find out before it is taken: how many bad outcomes and how much time it takes to be sure of a harm, and
 * the smallest harm that its time is enough for. Averages: half of the cases take longer.
 */
import { HARM_GRID, type Traffic } from './types.ts'

/** Looked for up to so many times as many bad outcomes. */
const RISK_MAX = 1_000
const BISECTIONS = 40

/**
 * Bad outcomes of both arms until harm of `risk` times as many is sure: `(ln(1/alpha) + ln|R|) / KL(q || w)`.
 * @param share of the rising variation, between 0 and 1
 */
export function badNeeded(share: number, risk: number, alpha: number): number {
  return (Math.log(1 / alpha) + Math.log(HARM_GRID.length)) / divergence(badShare(share, risk), share)
}

/** Bad outcomes until harm of `ruleOut` can be ruled out, when there is none: `ln(1/beta) / KL(w || q)`. */
export function badNeededToClear(share: number, ruleOut: number, beta: number): number {
  return Math.log(1 / beta) / divergence(share, badShare(share, ruleOut))
}

/** @returns ms; Infinity when there is nothing to find it by */
export function msToDetect(traffic: Traffic, risk: number, alpha: number): number {
  return msFor(badNeeded(traffic.share, risk, alpha), traffic, risk)
}

/** @returns ms; Infinity when nothing ever fails */
export function msToClear(traffic: Traffic, ruleOut: number, beta: number): number {
  return msFor(badNeededToClear(traffic.share, ruleOut, beta), traffic, 1)
}

/**
 * The smallest relative risk that is sure within the time, on average; null when there is none up to a thousand, or up to
 * every context of the rising variation failing.
 */
export function smallestHarm(traffic: Traffic, withinMs: number, alpha: number): number | null {
  let high = Math.min(RISK_MAX, 1 / traffic.baseRate)
  if (!(msToDetect(traffic, high, alpha) <= withinMs)) return null
  let low = 1
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = Math.sqrt(low * high)
    if (msToDetect(traffic, middle, alpha) <= withinMs) high = middle
    else low = middle
  }
  return high
}

function msFor(bad: number, { perSecond, share, baseRate }: Traffic, risk: number): number {
  const badPerSecond = perSecond * (share * Math.min(1, baseRate * risk) + (1 - share) * baseRate)
  return badPerSecond > 0 ? (bad / badPerSecond) * 1_000 : Infinity
}

/** The rising's share of the bad outcomes. */
function badShare(share: number, risk: number): number {
  return (share * risk) / (share * risk + 1 - share)
}

/** Kullback-Leibler, of two coins, in nats. */
function divergence(p: number, q: number): number {
  return p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q))
}
