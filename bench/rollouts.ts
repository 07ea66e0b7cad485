/**
 * How often is a rollout turned back that does no harm, and how soon one that does? Drawn, not run: counts of slices of ten
 * seconds, an hour each, beside the figures of a reference simulation and beside rules that are widely used.
 *
 *     npx tsc -b test && node dist/bench/rollouts.js [runs]
 */
import { HARM_GRID } from '../server/rollouts/statistics/types.ts'
import { begin, slice } from '../server/rollouts/statistics/process.ts'
import { randomFrom } from '../test/random.ts'
import { DETECTIONS, detect, NULLS } from '../test/server/rollouts/scenarios.ts'
import { draw, HOUR, stratumOf } from '../test/server/rollouts/simulation.ts'
import { budget, machine, median, print, table } from './report.ts'

const RUNS = Number(process.argv[2] ?? '2000')
/** Of the e-process, the z-test at each look, and the rule of twice the control in a slice: percent of 2,000 runs. */
const REFERENCE: readonly (readonly [number, number, number])[] = [
  [0.8, 25.4, 100],
  [0.3, 100, 100],
  [0.4, 25.9, 94.8],
  [0.1, 46.5, 99],
]
/** One-sided, at 1 %. */
const Z = 2.326

print(`${machine()}, ${RUNS} runs each, alpha 0.01, harm at ${HARM_GRID.join(', ')} times\n`)
falseReverts()
print('')
detections()

function falseReverts(): void {
  const rows = [['harmless rollouts turned back, in % (reference)', 'Sluice', 'z-test at each look', 'twice the control in a slice']]
  for (const [i, [name, scenario]] of Object.entries(NULLS).entries()) {
    const turned = [0, 0, 0]
    for (let run = 0; run < RUNS; run++) {
      const random = randomFrom(run + 1)
      let state = begin([{ key: 'errors', role: 'guardrail' }])
      const sums = { rising: 0, bad: 0, control: 0, badControl: 0 }
      const said = [false, false]
      for (let index = 0; index < HOUR; index++) {
        const drawn = draw(scenario, index, random)
        const { rising, control } = drawn
        state = slice(state, [stratumOf(drawn)], null)
        sums.rising += rising.contexts
        sums.bad += rising.bad
        sums.control += control.contexts
        sums.badControl += control.bad
        const pooled = (sums.bad + sums.badControl) / (sums.rising + sums.control)
        const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / sums.rising + 1 / sums.control))
        said[0] ||= deviation > 0 && (sums.bad / sums.rising - sums.badControl / sums.control) / deviation > Z
        said[1] ||= rising.bad > 0 && rising.bad / rising.contexts > (2 * control.bad) / control.contexts
      }
      for (const [at, isTurned] of [state.highest.guardrail >= Math.log(100), ...said].entries()) if (isTurned) turned[at]!++
    }
    const shares = turned.map(count => (100 * count) / RUNS)
    rows.push([name, ...shares.map((share, at) => `${share.toFixed(1)} (${REFERENCE[i]?.[at]})`)])
    budget(
      `harmless rollouts turned back, ${name}`,
      '≤ 1 %',
      `${shares[0]!.toFixed(1)} %`,
      shares[0]! <= 1 + 310 * Math.sqrt(0.0099 / RUNS),
    )
  }
  print('')
  print(table(rows))
}

function detections(): void {
  const rows = [['harm', 'median, s', 'reference, s', 'ratio']]
  for (const { name, scenario, referenceS } of DETECTIONS) {
    const middle = median(Array.from({ length: RUNS }, (_, run) => detect(scenario, randomFrom(run + 1))))
    rows.push([name, String(middle), String(referenceS), (middle / referenceS).toFixed(2)])
    budget(`harm found, ${name}`, `${referenceS} s ± 25 %`, `${middle} s`, Math.abs(middle - referenceS) <= referenceS / 4)
  }
  print('')
  print(table(rows))
}
