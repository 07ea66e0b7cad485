/** Weights of a rollout: whole thousandths of a percent that always add up. */
import type { Flag, Serve } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'

export interface Weight {
  readonly variation: string
  readonly weight: number
}

/**
 * One weight is moved and the others share what is left as they did before.
 * @returns whole numbers that add up to `WEIGHT_TOTAL`
 */
export function moved(weights: readonly Weight[], i: number, wanted: number): Weight[] {
  const others = weights.filter((_, j) => j !== i)
  const weight = others.length === 0 ? WEIGHT_TOTAL : Math.max(0, Math.min(WEIGHT_TOTAL, Math.round(wanted)))
  const shares = shared(
    WEIGHT_TOTAL - weight,
    others.map(each => each.weight),
  )
  return weights.map((each, j) => ({ variation: each.variation, weight: j === i ? weight : shares[j < i ? j : j - 1]! }))
}

/** Without one; what it had goes to the others. */
export function without(weights: readonly Weight[], i: number): Weight[] {
  return moved(weights, i, 0).filter((_, j) => j !== i)
}

/** A total in the proportion of the parts, by largest remainder; all to the last one when there is no proportion. */
function shared(total: number, parts: readonly number[]): number[] {
  const sum = parts.reduce((all, part) => all + part, 0)
  if (sum === 0) return parts.map((_, i) => (i === parts.length - 1 ? total : 0))
  const exact = parts.map(part => (total * part) / sum)
  const whole = exact.map(Math.floor)
  let left = total - whole.reduce((all, part) => all + part, 0)
  const order = exact.map((part, i) => ({ i, rest: part - Math.floor(part) })).sort((a, b) => b.rest - a.rest || a.i - b.i)
  for (const { i } of order) if (left-- > 0) whole[i]! += 1
  return whole
}

/** Everything to the variation that was served, ready to be moved. */
export function splitOf(serve: Serve, flag: Pick<Flag, 'variations'>): Serve {
  if ('rollout' in serve) return serve
  const others = flag.variations.filter(({ key }) => key !== serve.variation)
  return {
    rollout: {
      weights: [{ variation: serve.variation, weight: WEIGHT_TOTAL }, ...others.map(({ key }) => ({ variation: key, weight: 0 }))],
    },
  }
}
