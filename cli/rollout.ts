/** `--rollout on=25%`: shares as people type them, laid over what the flag has so that nobody moves who need not. */
import type { Flag, Rollout, Serve } from '../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../schemas/limits.ts'
import { usage } from './failure.ts'

export interface Share {
  readonly variation: string
  /** In thousandths of a percent. */
  readonly weight: number
}

/** `on=25%`, `on=25%,off=75%`, `a=33.333,b=66.667`. Error: `USAGE`. */
export function parseShares(text: string): Share[] {
  const shares = text.split(',').map(part => {
    const match = /^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*=\s*(\d+(?:\.\d{1,3})?)\s*%?\s*$/.exec(part)
    if (match === null)
      throw usage(
        `--rollout ${text} cannot be taken: ${JSON.stringify(part)} is not a variation and its share.`,
        'Write it as in --rollout on=25% or --rollout a=33.3%,b=66.7% (at most three decimals).',
      )
    return { variation: match[1] ?? '', weight: Math.round(Number(match[2]) * 1_000) }
  })
  const total = shares.reduce((sum, share) => sum + share.weight, 0)
  if (total > WEIGHT_TOTAL)
    throw usage(`--rollout ${text} adds up to ${total / 1_000} %.`, 'Shares may add up to 100 %; what is left goes to the off variation.')
  if (new Set(shares.map(share => share.variation)).size < shares.length) throw usage(`--rollout ${text} names a variation twice.`)
  return shares
}

/**
 * The rollout that gives those shares. What is left goes to the off variation. Order, seed and attribute of the rollout that
 * stands are kept: weights fill the buckets in order, so growing the first one then only ever adds people.
 * @param by the attribute to bucket by, or undefined to keep what stands (targetingKey for a new one)
 * Error: `USAGE` when the off variation has a share of its own and something is left.
 */
export function rolloutOf(
  shares: readonly Share[],
  flag: Pick<Flag, 'offVariation'>,
  standing: Serve | null,
  by: string | undefined,
): { rollout: Rollout } {
  const rest = WEIGHT_TOTAL - shares.reduce((sum, share) => sum + share.weight, 0)
  const named = new Map(shares.map(share => [share.variation, share.weight]))
  if (rest > 0) {
    if (named.has(flag.offVariation)) {
      throw usage(
        `The shares add up to ${100 - rest / 1_000} %, and the off variation ${JSON.stringify(flag.offVariation)} is one of them.`,
        'Make them 100 %, or leave it out: it takes what is left.',
      )
    }
    named.set(flag.offVariation, rest)
  }
  const old = standing !== null && 'rollout' in standing ? standing.rollout : null
  const order = (old?.weights ?? [])
    .map(weight => weight.variation)
    .filter(variation => named.has(variation) || variation === flag.offVariation)
  const variations = [...new Set([...order, ...named.keys()])]
  const { weights: _weights, ...kept } = old ?? { weights: [] }
  return {
    rollout: {
      ...kept,
      ...(by === undefined ? {} : { by }),
      weights: variations.map(variation => ({ variation, weight: named.get(variation) ?? 0 })),
    },
  }
}
