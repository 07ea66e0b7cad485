/**
 * The slow exact twin of the e-process: fractions of whole numbers, multiplied out as the formulas stand, without a
 * logarithm until the very end.
 */
import { LATE_STAKE } from '../../../server/rollouts/statistics/process.ts'
import { type Arms, HARM_GRID, type Trials } from '../../../server/rollouts/statistics/types.ts'

/** A fraction. */
type Exact = readonly [numerator: bigint, denominator: bigint]

const times = ([a, b]: Exact, [c, d]: Exact): Exact => [a * c, b * d]
const plus = ([a, b]: Exact, [c, d]: Exact): Exact => [a * d + c * b, b * d]
const over = (a: Exact, [c, d]: Exact): Exact => times(a, [d, c])
const power = ([a, b]: Exact, n: number): Exact => [a ** BigInt(n), b ** BigInt(n)]
const sum = (all: readonly Exact[]): Exact => all.reduce(plus)
/** Of a number with a few decimals. */
const exact = (value: number): Exact => [BigInt(Math.round(value * 1_000)), 1_000n]

export interface Twin {
  readonly logE: number
  /** Without what is staked later: as it stands in the literature. */
  readonly logFirst: number
  readonly logA: number
}

export function twinOf(slices: readonly Arms<Trials>[], ruleOut: number): Twin {
  const parts: Exact = [BigInt(HARM_GRID.length), 1n]
  let e: Exact[] = HARM_GRID.map(() => [1n, 1n])
  let late: Exact[] = HARM_GRID.map(() => [0n, 1n])
  let a: Exact = [1n, 1n]
  let t = 0
  for (const { rising, control } of slices) {
    if (rising.contexts === 0 || control.contexts === 0 || rising.bad + control.bad === 0) continue
    t++
    const w: Exact = [BigInt(rising.contexts), BigInt(rising.contexts + control.contexts)]
    const ratio = (risk: number): Exact => {
      const one: Exact = [1n, 1n]
      const rest: Exact = [w[1] - w[0], w[1]]
      const weighted = times(w, exact(risk))
      const q = over(weighted, plus(weighted, rest))
      const notQ: Exact = plus(one, [-q[0], q[1]])
      return times(power(over(q, w), rising.bad), power(over(notQ, rest), control.bad))
    }
    const ratios = HARM_GRID.map(ratio)
    e = e.map((each, i) => times(each, ratios[i]!))
    late = late.map((each, i) => times(plus(each, over([1n, BigInt(t * (t + 1))], parts)), ratios[i]!))
    a = over(a, ratio(ruleOut))
  }
  const first = over(sum(e), parts)
  const later = plus(sum(late), [1n, BigInt(t + 1)])
  const stake = exact(LATE_STAKE)
  const capital = plus(times([stake[1] - stake[0], stake[1]], first), times(stake, later))
  return { logE: logOf(capital), logFirst: logOf(first), logA: logOf(a) }
}

function logOf([a, b]: Exact): number {
  return logOfWhole(a) - logOfWhole(b)
}

/** By the first 60 bits. */
function logOfWhole(value: bigint): number {
  const shift = Math.max(0, value.toString(2).length - 60)
  return Math.log(Number(value >> BigInt(shift))) + shift * Math.LN2
}
