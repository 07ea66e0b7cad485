/**
 * Runs one course of events, or several: `node dist/test/simulation/run.js --seed 123 --trace` shows everything that
 * happened in it.
 */
import { parseArgs } from 'node:util'
import { simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '1000' },
    trace: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed)
const steps = Number(values.steps)
const totals: Record<string, number> = {}

for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const { problem, counted } = await simulate({ seed, steps, ...(values.trace ? { trace: line => console.log(line) } : {}) })
  for (const [what, count] of Object.entries(counted)) totals[what] = (totals[what] ?? 0) + count
  if (problem === null) continue
  console.log(`seed ${seed}: ${problem}`)
  process.exitCode = 1
}
console.log(totals)
