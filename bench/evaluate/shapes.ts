/** The shapes that are compared: which environment, which contexts, and which flag in the n-th call. */
import type { Context } from '../../schemas/context.ts'
import type { Clause, Sketch } from './sketch.ts'

export interface Shape {
  readonly id: string
  readonly name: string
  readonly environment: Environment
  /** As many as a power of two. */
  readonly contexts: readonly Context[]
  /** The flag of the n-th call, over and over, as many as a power of two; null: all of the environment in one call. */
  readonly keys: readonly string[] | null
}

export type Environment = 'small' | 'large'

const SEED = 2_984_379_123

const people = contextsOf(i => ({ plan: ['free', 'pro', 'beta'][i % 3], country: ['CH', 'DE', 'FR', 'US'][i % 4], version: i }))
/** All of them match the last of the ten rules, and nine tenths of each rule before. */
const lastRule = contextsOf(() => ({ plan: 'plan-9', country: 'country-9', version: 9 }))

const tenRules = Array.from({ length: 10 }, (_, i): Clause[] => [
  { attribute: 'country', oneOf: ['country-9'] },
  { attribute: 'version', above: i - 1 },
  { attribute: 'plan', oneOf: [`plan-${i}`, `plan-${i}-yearly`] },
])
const singles: readonly Sketch[] = [
  sketch('boolean', {}),
  sketch('ten-rules', { rules: tenRules, others: false }),
  sketch('ten-failing', {
    rules: tenRules.map((clauses, i): Clause[] => [{ attribute: 'plan', oneOf: [`other-${i}`] }, ...clauses]),
    others: false,
  }),
  sketch('half', { others: 'half' }),
  sketch('top', { needs: 'middle' }),
  sketch('middle', { needs: 'bottom' }),
  sketch('bottom', { rules: [[{ attribute: 'plan', oneOf: ['free', 'pro'] }]], others: false }),
  sketch('list', { except: Array.from({ length: 1_000 }, (_, i) => `user-${i * 7}`) }),
]

export const environments: Readonly<Record<Environment, readonly Sketch[]>> = {
  small: mixture(1_000),
  large: [...mixture(10_000), ...singles],
}

export const shapes: readonly Shape[] = [
  single('boolean', 'boolean without rules', people),
  single('ten-rules', 'ten rules of three clauses, the last matches', lastRule),
  single('ten-failing', 'ten rules of four clauses, none matches', people),
  single('half', '50/50 rollout', people),
  single('top', 'two-deep prerequisites', people),
  single('list', '1,000-key list', people),
  { id: 'each', name: 'all of 1,000 flags, one by one', environment: 'small', contexts: people, keys: keysOf(1_024, i => i % 1_000) },
  // 7,919 and 1,000,003 are prime: no visit finds the caches as the last one left them.
  {
    id: 'random',
    name: '10,000 flags at random',
    environment: 'large',
    contexts: people,
    keys: keysOf(16_384, i => Math.floor(((i * 8_191 * 7_919) % 1_000_003) / 100.000_4)),
  },
  { id: 'all', name: 'all of 1,000 flags in one call', environment: 'small', contexts: people, keys: null },
]

/** A mixture as in a company's environment, a quarter each: plain, rolled out, by a rule, with exceptions (half of these switched off). */
function mixture(count: number): Sketch[] {
  return Array.from({ length: count }, (_, i) => {
    const key = `flag-${i}`
    if (i % 4 === 0) return sketch(key, {})
    // Seeds are any 32 bits: half of them are more than a small integer of the engine holds.
    if (i % 4 === 1) return sketch(key, { seed: Math.imul(i, 0x9e37_79b1) >>> 0, others: 'half' })
    if (i % 4 === 2) return sketch(key, { rules: [[{ attribute: 'plan', oneOf: ['beta', `plan-${i}`] }]], others: false })
    return sketch(key, { except: ['user-1', `user-${i}`], enabled: i % 8 === 3 })
  })
}

function sketch(key: string, over: Partial<Sketch>): Sketch {
  return { key, enabled: true, seed: SEED, rules: [], others: true, ...over }
}

function single(id: string, name: string, contexts: readonly Context[]): Shape {
  return { id, name, environment: 'large', contexts, keys: [id] }
}

/** Parsed from JSON, as a request brings them. */
function contextsOf(attributes: (i: number) => object): Context[] {
  const made = Array.from({ length: 256 }, (_, i) => ({
    targetingKey: `user-${i}`,
    ...attributes(i),
    account: { id: `account-${i * 31}`, tier: 'gold' },
  }))
  return JSON.parse(JSON.stringify(made)) as Context[]
}

/** As property names, so that the engine holds each of them once: in an application they are literals in its code. */
function keysOf(amount: number, flagAt: (i: number) => number): string[] {
  return Array.from({ length: amount }, (_, i) => Object.keys({ [`flag-${flagAt(i)}`]: true })[0] ?? '')
}
