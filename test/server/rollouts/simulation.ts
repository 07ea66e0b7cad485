/**
 * Rollouts that are drawn instead of run: counts of a slice by the binomial distribution, so that an hour of a hundred calls
 * a second takes milliseconds. What the tests and the bench of the statistics are made of.
 */
import type { Arms, Stratum, Trials } from '../../../server/rollouts/statistics/types.ts'

export const SLICE_S = 10
export const HOUR = 360
/** Shares of a ramp of an hour. */
export const RAMP = [0.01, 0.05, 0.1, 0.25, 0.5] as const

export interface Scenario {
  readonly perSecond: number
  /** Of the rising variation. */
  readonly share: (slice: number) => number
  /** Of calls that end badly in the control. */
  readonly base: (slice: number, random: () => number) => number
  /** In the rising variation, so many times as often. */
  readonly risk: (slice: number) => number
}

export const ramp = (slice: number): number => RAMP[Math.min(RAMP.length - 1, Math.floor((slice * RAMP.length) / HOUR))]!
export const always = (value: number) => () => value

/** A slice of a scenario. */
export function draw(scenario: Scenario, slice: number, random: () => number): Arms<Trials> {
  const calls = scenario.perSecond * SLICE_S
  const base = scenario.base(slice, random)
  const treated = binomial(random, calls, scenario.share(slice))
  return {
    rising: { contexts: treated, bad: binomial(random, treated, Math.min(1, base * scenario.risk(slice))) },
    control: { contexts: calls - treated, bad: binomial(random, calls - treated, base) },
  }
}

/** As one service reports it. */
export function stratumOf(arms: Arms<Trials>, key = 'errors'): Stratum {
  const { rising, control } = arms
  return {
    trials: { [key]: arms },
    seen: { rising: rising.contexts, control: control.contexts },
    succeeded: { rising: rising.contexts - rising.bad, control: control.contexts - control.bad },
  }
}

/** How many of `n` come true: by the gaps between those that do, which are geometric, so that rare ones are quick. */
export function binomial(random: () => number, n: number, p: number): number {
  if (p <= 0 || n <= 0) return 0
  if (p > 0.5) return n - binomial(random, n, 1 - p)
  const log = Math.log1p(-p)
  let count = 0
  for (let at = gap(random, log); at < n; at += 1 + gap(random, log)) count++
  return count
}

function gap(random: () => number, log: number): number {
  return Math.floor(Math.log(1 - random()) / log)
}

/** Log-normal around 1: a base rate that is never the same twice. */
export function noise(random: () => number, sigma: number): number {
  return Math.exp(sigma * normal(random))
}

/** Box and Muller. */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** The most of `n` runs that a true probability of `p` explains, but for once in about a thousand. */
export function mostOf(n: number, p: number): number {
  return n * p + 3.1 * Math.sqrt(n * p * (1 - p)) + 1
}
