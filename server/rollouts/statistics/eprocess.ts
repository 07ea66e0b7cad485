/**
 * The conditional error-share e-process: of the bad outcomes in one short slice, how many came from the rising variation, held
 * against the share of outcomes that it had in that slice.
 *
 * When both arms fail alike, each bad outcome is the rising variation's with probability `w`, its share of the slice's outcomes;
 * when the rising one fails r times as often, with `q = w r / (w r + 1 - w)`. So the base rate cancels, and an outage that hits
 * both arms is evidence for nothing. The likelihood ratio of the two, multiplied over slices, is a bet whose capital does
 * not grow on average unless there is harm, and by Ville's inequality passes 1/alpha with probability alpha at most,
 * however often one looks (Ville 1939; Howard, Ramdas, McAuliffe, Sekhon 2020). With a fixed number of bad outcomes, the
 * rising's are drawn without replacement, which is smaller in convex order than the binomial here (Hoeffding 1963): bad
 * outcomes need not be rare.
 */
import type { Trials } from './types.ts'

/**
 * What one stratum adds to `log E_r`: with `q/w = r/d` and `(1-q)/(1-w) = 1/d` for `d = w r + 1 - w`, the logs of the
 * shares themselves are never needed, and none of them is of 0.
 * @param bad of both arms
 */
export function logStep(r: number, w: number, badRising: number, bad: number): number {
  return badRising * Math.log(r) - bad * Math.log1p(w * (r - 1))
}

/** The rising's share of the outcomes; null when one arm has none, so that nothing can be compared. */
export function shareOf(rising: Trials, control: Trials): number | null {
  const { contexts } = rising
  return contexts > 0 && control.contexts > 0 ? contexts / (contexts + control.contexts) : null
}

/** `log(sum of exp)`, without ever leaving the range of a double; minus infinity of nothing. */
export function logSum(logs: readonly number[]): number {
  let highest = -Infinity
  for (const log of logs) if (log > highest) highest = log
  if (!Number.isFinite(highest)) return highest
  let sum = 0
  for (const log of logs) sum += Math.exp(log - highest)
  return highest + Math.log(sum)
}

export function logMean(logs: readonly number[]): number {
  return logSum(logs) - Math.log(logs.length)
}

/**
 * A stake that is set little by little, for what begins later: 1/(t (t + 1)) of it in slice t, in even parts, so that
 * 1/(t + 1) is kept after it. A bet that was all set at once would have to win back first what the time before cost it.
 * @param logs of what runs; empty before the first
 * @param t    the slice at hand, the first is 1
 * @returns    what runs in it
 */
export function staked(logs: readonly number[], t: number, parts: number): readonly number[] {
  const more = -Math.log(t * (t + 1) * parts)
  return Array.from({ length: parts }, (_, i) => logSum([logs[i] ?? -Infinity, more]))
}

/** The log of its capital after slice t: what runs, and what is kept. */
export function stakedLog(logs: readonly number[], t: number): number {
  return logSum([...logs, -Math.log(t + 1)])
}
