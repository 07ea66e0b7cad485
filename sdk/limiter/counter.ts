/** One counter as an instance knows it: the tokens it holds, what it spent, and how much it is asked for. */
import type { Rate } from '../evaluator/rate.ts'

/** Demand is averaged over so long, and so much of it is asked for at once. */
export const REFILL_MS = 250
/** What is admitted is averaged over so long: the share that `last-share` goes on with. */
const SHARE_MS = 2_000

/** So many requests between two ticks. */
const SURGE = 4

/** A variation of a flag, and its counters. Kept with the outcomes that yield it. */
export interface Plan {
  readonly flag: string
  readonly variation: string
  /** The value it was made of, as JSON. */
  source: string
  rate: Rate
  readonly counters: Map<string, Counter>
  /** The one for keys that there is no room for. */
  rest: Counter | null
  /** Asked for last: an application often asks for one key many times in a row. */
  lastKey: string | null
  last: Counter | null
}

/**
 * Tokens are either lent by the server or the instance's own (`own`: a seed, a safe share); the own ones are spent first.
 * Fields that every decision touches stand first. Times are whole milliseconds since the limiter began.
 */
export class Counter {
  /** What can be spent now, lent and own. */
  stock: number
  /** Since the last `settle`. */
  spent = 0
  denied = 0
  usedAt: number
  isActive = false
  rate: Rate
  readonly plan: Plan
  readonly key: string
  inFlight = 0

  /** Of `stock` at the last `settle`. */
  own: number
  /** Settled and not yet reported; fractions stay until they make a token. */
  owedSpent = 0
  owedOwn = 0
  owedDenied = 0
  owedReturned = 0
  /** When lent tokens run out. */
  expiresAt = 0
  /** When own tokens were last added. */
  filledAt: number
  /** Asked for and not yet lent, as far as is known. */
  asked = 0
  /** The dearest request of late: fewer tokens are of no use. */
  least = 1
  /** Per millisecond: asked of this instance, and admitted by it. */
  demand = 0
  share = 0
  /** Somebody asked since the last tokens came: only then are new ones wanted. */
  isWanted = false
  reportedAt = 0
  /** The last row told of traffic: the ledger waits for more, or for a row that tells of none. */
  isOpen = false
  /** The connection it was named on; 0 for none. */
  link = 0
  readonly slot: number
  /** In the list of all counters. */
  place = 0

  constructor(plan: Plan, key: string, slot: number, own: number, now: number) {
    this.plan = plan
    this.key = key
    this.slot = slot
    this.rate = plan.rate
    this.stock = own
    this.own = own
    this.usedAt = now
    this.filledAt = now
    this.reportedAt = now
  }
}

/** Tokens lent and unspent. */
export function lentOf(counter: Counter): number {
  return Math.max(0, counter.stock - counter.own)
}

/** Put what was spent since the last time where it belongs. */
export function settle(counter: Counter): void {
  const { spent } = counter
  if (spent > 0) {
    const own = Math.min(counter.own, spent)
    counter.own -= own
    counter.owedOwn += own
    counter.owedSpent += spent
    counter.spent = 0
  }
  counter.owedDenied += counter.denied
  counter.denied = 0
}

/** Follow demand and share; `elapsed` since the last time. To be called before `settle`. */
export function follow(counter: Counter, elapsed: number): void {
  if (elapsed <= 0) return
  const asked = counter.spent + counter.denied
  const pace = asked / elapsed
  // Many at once are no chance: traffic that moves here is followed sooner than traffic that goes away.
  const isSurge = pace > counter.demand && asked >= SURGE * counter.least
  counter.demand += (isSurge ? 0.7 : 1 - Math.exp(-elapsed / REFILL_MS)) * (pace - counter.demand)
  counter.share += (1 - Math.exp(-elapsed / SHARE_MS)) * (counter.spent / elapsed - counter.share)
}

/** Add own tokens, up to `most` of them. */
export function addOwn(counter: Counter, tokens: number, most: number): void {
  const added = Math.min(tokens, most - counter.own)
  if (added <= 0) return
  counter.own += added
  counter.stock += added
}

export function dropOwn(counter: Counter): void {
  counter.stock -= counter.own
  counter.own = 0
}

/** Lent tokens that ran out go back: whole ones, so that the ledger can count them. */
export function expire(counter: Counter, now: number): void {
  if (now < counter.expiresAt) return
  giveBack(counter, lentOf(counter))
}

export function giveBack(counter: Counter, tokens: number): void {
  const whole = Math.floor(Math.min(tokens, lentOf(counter)))
  counter.stock -= whole
  counter.owedReturned += whole
}

export function lend(counter: Counter, tokens: number, ttlMs: number, now: number): void {
  counter.stock += tokens
  counter.asked = Math.max(0, counter.asked - tokens)
  counter.expiresAt = Math.max(counter.expiresAt, now + ttlMs)
  counter.isWanted = false
}

/** The rate has changed: the fill carries over as a share of the depth, and never grows. */
export function adapt(counter: Counter, rate: Rate): void {
  settle(counter)
  const before = counter.rate
  counter.rate = rate
  counter.least = 1
  counter.asked = 0
  const kept = rate.rate === 0 || rate.isUnlimited ? 0 : before.rate === 0 ? 1 : Math.min(1, rate.depth / before.depth)
  if (kept === 1) return
  const lent = lentOf(counter)
  const own = Math.floor(counter.own * kept)
  counter.stock -= counter.own - own
  counter.own = own
  giveBack(counter, lent - Math.floor(lent * kept))
}

/** How many tokens it would like to hold: what it is asked for in `REFILL_MS`. */
export function targetOf({ demand, least, rate }: Counter): number {
  return Math.min(Math.max(least, Math.ceil(demand * REFILL_MS)), Math.ceil(rate.depth + rate.ratePerMs * REFILL_MS))
}
