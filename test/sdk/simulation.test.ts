/**
 * Thousands of courses of events: revisions only grow within an epoch, nothing is taken by half, waits stay within
 * their bounds, and the client always comes back to what the server has.
 * More of them: `SLUICE_SIMULATION_SEEDS=100000 node dist/test/sdk/simulation.test.js`; one again: `SLUICE_SIMULATION_SEED=7`.
 */
import t from 'tap'
import { simulate } from './simulation.ts'

const STEPS = Number(process.env.SLUICE_SIMULATION_STEPS ?? 300)
const only = process.env.SLUICE_SIMULATION_SEED
const seeds = only === undefined ? Array.from({ length: Number(process.env.SLUICE_SIMULATION_SEEDS ?? 200) }, (_, i) => i) : [Number(only)]

// Runs of many seeds take longer than a test may.
t.setTimeout(3_600_000)

t.test(`${seeds.length} seeded courses of ${STEPS} steps`, async t => {
  const failures: string[] = []
  let taken = 0
  let polls = 0
  for (const seed of seeds) {
    try {
      const outcome = simulate(seed, STEPS)
      taken += outcome.taken
      polls += outcome.polls
    } catch (error) {
      failures.push(
        `${String(error)}\n  SLUICE_SIMULATION_SEED=${seed} SLUICE_SIMULATION_STEPS=${STEPS} node dist/test/sdk/simulation.test.js`,
      )
      if (failures.length === 5) break
    }
  }
  t.strictSame(failures, [])
  t.comment(`${taken} rulesets and changes taken, ${polls} polls`)
  t.ok(taken > seeds.length * 10, 'something happened')
})
