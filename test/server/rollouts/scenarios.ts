/** The scenarios that decide whether the statistics are right, with what a reference simulation found in them. */
import { begin, slice } from '../../../server/rollouts/statistics/process.ts'
import type { StatisticsState } from '../../../server/rollouts/statistics/types.ts'
import { always, draw, HOUR, noise, ramp, type Scenario, SLICE_S, stratumOf } from './simulation.ts'

/** Longest that harm is waited for. */
const SLICES_MAX = 4 * HOUR

/** An hour of a hundred calls a second over a ramp, without harm. In an outage both arms fail alike. */
export const NULLS: Readonly<Record<string, Scenario>> = {
  'base 1 %, steady': { perSecond: 100, share: ramp, base: always(0.01), risk: always(1) },
  'base 1 %, shared outages × 5': {
    ...{ perSecond: 100, share: ramp, risk: always(1) },
    base: index => (index % 60 >= 48 ? 0.05 : 0.01),
  },
  'base 0.1 %, noisy': { perSecond: 100, share: ramp, base: (_, random) => 0.001 * noise(random, 0.5), risk: always(1) },
  'base 20 %, noisy': { perSecond: 100, share: ramp, base: (_, random) => Math.min(0.9, 0.2 * noise(random, 0.3)), risk: always(1) },
}

export const DETECTIONS: readonly { readonly name: string; readonly scenario: Scenario; readonly referenceS: number }[] = (
  [
    [100, 0.1, 0.01, 1.5, 585],
    [100, 0.1, 0.01, 2, 160],
    [100, 0.1, 0.01, 5, 20],
    [100, 0.1, 0.001, 5, 160],
    [100, 0.01, 0.01, 5, 140],
    [100, 0.01, 0.01, 20, 20],
    [1_000, 0.1, 0.01, 1.5, 70],
    [1_000, 0.1, 0.001, 2, 170],
  ] as const
).map(([perSecond, share, base, risk, referenceS]) => ({
  name: `${perSecond}/s, ${share * 100} %, base ${base * 100} %, × ${risk}`,
  scenario: { perSecond, share: always(share), base: always(base), risk: always(risk) },
  referenceS,
}))

/** A whole hour of a scenario. */
export function quietly(scenario: Scenario, random: () => number): StatisticsState {
  let state = begin([{ key: 'errors', role: 'guardrail' }])
  for (let index = 0; index < HOUR; index++) state = slice(state, [stratumOf(draw(scenario, index, random))], scenario.share(index))
  return state
}

/** Seconds until harm is sure at alpha 0.01. */
export function detect(scenario: Scenario, random: () => number): number {
  let state = begin([{ key: 'errors', role: 'guardrail' }])
  for (let index = 0; index < SLICES_MAX; index++) {
    state = slice(state, [stratumOf(draw(scenario, index, random))], scenario.share(index))
    if (state.highest.guardrail >= Math.log(100)) return (index + 1) * SLICE_S
  }
  return Infinity
}
