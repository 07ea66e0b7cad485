/** How often a property is tried: seeded, so that every run of the suite tries the same; more and other ones on request. */

/** Multiplies the number of runs, as in `SLUICE_PROPERTY_RUNS=100`; the seed is then a new one. */
const FACTOR = Number(process.env.SLUICE_PROPERTY_RUNS ?? '1')
const SEED = 20_261_121

export function runs(count: number): { numRuns: number; seed: number } {
  return FACTOR > 1 ? { numRuns: count * FACTOR, seed: Date.now() | 0 } : { numRuns: count, seed: SEED }
}
