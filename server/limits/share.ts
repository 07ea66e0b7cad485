/** Divides whole tokens among those who want some. */

export interface Wish {
  readonly want: number
  /** Fewer are of no use to it, unless it wants fewer. */
  readonly least: number
}

/**
 * Max-min (progressive filling): nobody gets more than it wants, and what one does not want goes to those who want more,
 * evenly. When there is not even the least for everybody, whole leasts go out in the order of the wishes: whoever waits
 * longest is to stand first, and nobody behind it gets what it must wait for.
 * @returns what each gets, in the order of the wishes; together at most `tokens`
 */
export function shareOut(tokens: number, wishes: readonly Wish[]): number[] {
  const useful = wishes.map(({ want, least }) => Math.min(want, Math.max(1, least)))
  if (tokens < useful.reduce((total, one) => total + one, 0)) return inTurn(tokens, useful)
  const given = [...useful]
  let left = tokens - useful.reduce((total, one) => total + one, 0)
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[a]!.want - useful[a]! - (wishes[b]!.want - useful[b]!) || b - a)
  order.forEach((i, position) => {
    // The remainder of the division goes to the last, which is the one that stood first among equals.
    const more = Math.min(wishes[i]!.want - useful[i]!, Math.floor(left / (order.length - position)))
    given[i]! += more
    left -= more
  })
  return given
}

function inTurn(tokens: number, useful: readonly number[]): number[] {
  const given = useful.map(() => 0)
  let left = tokens
  for (const [i, one] of useful.entries()) {
    if (one > left) break
    given[i] = one
    left -= one
  }
  return given
}
