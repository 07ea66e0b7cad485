/**
 * The limits of one client: decides from tokens that it holds, and says which it would like. Pure: frames go in and out,
 * time is an argument, and nothing throws. See `types.ts` for how it is used.
 *
 * A decision finds the counter and takes tokens from an integer; all else (asking for more, running out, safe shares,
 * forgetting) happens at ticks.
 */
import type { Context } from '../../schemas/context.ts'
import type { Lease, LeaseRow } from '../../schemas/lease.ts'
import {
  LEASE_ANSWER_MS,
  LEASE_IDLE_MS,
  LEASE_INTERVAL_MS,
  LEASE_KEYS_MAX,
  LEASE_TOKENS_MAX,
  LEASE_TTL_MS,
  REST_KEY,
  UPSTREAM_BYTES_MAX,
} from '../../schemas/protocol.ts'
import type { Outcome } from '../evaluator/evaluation.ts'
import { type Rate, rateOf } from '../evaluator/rate.ts'
import type { Acquired, Limited, LimitReason } from '../types.ts'
import {
  adapt,
  addOwn,
  Counter,
  dropOwn,
  expire,
  follow,
  giveBack,
  lend,
  lentOf,
  type Plan,
  REFILL_MS,
  settle,
  targetOf,
} from './counter.ts'
import { Decision, Permit } from './decision.ts'
import { joinedKeyOf, keyOf } from './key.ts'
import type { LimiterOptions, Limits } from './types.ts'

const COUNTERS_MAX = 50_000
/** Before the server has told how many instances there are: on the careful side, for they may all have started at once. */
const INSTANCES_UNTOLD = 10
/** With all counters in use a new key takes the place of one that rested so long, else it goes to the rest. */
const RESTED_MS = 10_000
/** How many are looked at to find one. */
const CANDIDATES = 16
/** A counter is kept until its seed would have come in again by the safe share, but no longer than this. */
const KEPT_MAX_MS = 3_600_000
/** A row without its names, and what stands around the rows. */
const ROW_BYTES = 140
const ROWS_BYTES_MAX = UPSTREAM_BYTES_MAX - 4_096
/** A tick that comes later than this (the process was held up, the machine slept) counts as this much of demand. */
const TICK_MAX_MS = 1_000

/** What is kept with an outcome that is no rate. */
const NOT_A_RATE = Object.freeze({})

export class Limiter implements Limits {
  readonly #monotonic: () => number
  readonly #wake: () => void
  readonly #countersMax: number
  readonly #startedAt: number
  /** Milliseconds since the start, whole: the coarse time of all decisions. */
  #now = 0
  #tickedAt = 0
  #isAwake = false

  /** By flag, then variation. */
  readonly #plans = new Map<string, Map<string, Plan>>()
  readonly #all: Counter[] = []
  /** Where the sweep over them stands. */
  #hand = 0
  /** Those with something to do at ticks. */
  #active: Counter[] = []
  /** Named on this connection. */
  readonly #slots = new Map<number, Counter>()
  #nextSlot = 1

  #isUp = false
  /** Connections so far. */
  #link = 0
  #isFirstFrame = true
  #instances = INSTANCES_UNTOLD
  #isTold = false
  /** The connection on which it was told. */
  #toldLink = 0
  /** Since when the server owes an answer; null for not. At the start it does. */
  #unansweredSince: number | null = 0
  /** Nobody lends: the link was lost, or the server has just started and learns what was lent. */
  #isUnlent = false
  #isCutOff = false

  constructor({ monotonic, wake, countersMax }: LimiterOptions) {
    this.#monotonic = monotonic
    this.#wake = wake
    this.#countersMax = countersMax ?? COUNTERS_MAX
    this.#startedAt = monotonic()
  }

  get isAwake(): boolean {
    return this.#isAwake
  }

  /** Counters kept, those for the rest included. */
  get size(): number {
    return this.#all.length
  }

  get instances(): number {
    return this.#instances
  }

  /** Whether decisions are made by `onPartition`. */
  get isCutOff(): boolean {
    return this.#isCutOff
  }

  // The decision.

  take(outcome: Outcome, context: Context, cost: number | undefined): Limited {
    const plan = (outcome.plan ?? this.#planOf(outcome)) as Plan
    if (plan === NOT_A_RATE) return this.#notARate(outcome)
    const { rate } = plan
    const amount = typeof cost === 'number' && cost >= 0 && cost <= LEASE_TOKENS_MAX ? cost : rate.cost
    const counter = this.#counterOf(plan, context)
    if (!counter.isActive || counter.rate !== rate) this.#activate(counter)
    if (counter.stock >= amount && amount > 0) {
      counter.stock -= amount
      counter.spent += amount
      counter.isWanted = true
      if (amount > counter.least) counter.least = Math.ceil(amount)
      return new Decision(true, 'ALLOWED', counter.stock, 0, plan.flag, plan.variation, rate)
    }
    return this.#withoutTokens(counter, plan, amount)
  }

  takeLent(flag: string, variation: string, key: string, rate: Rate): boolean {
    const plan = this.#lentPlan(flag, variation, rate)
    let counter = plan.counters.get(key)
    if (counter === undefined) {
      this.#rouse()
      if (this.#all.length >= this.#countersMax && !this.#makeRoom()) return false
      plan.counters.set(key, (counter = this.#newCounter(plan, key, 0)))
    }
    if (!counter.isActive || counter.rate !== rate) this.#activate(counter)
    counter.usedAt = this.#now
    if (counter.stock >= 1) {
      counter.stock--
      counter.spent++
      return true
    }
    counter.isWanted = true
    return false
  }

  #lentPlan(flag: string, variation: string, rate: Rate): Plan {
    let plans = this.#plans.get(flag)
    if (plans === undefined) this.#plans.set(flag, (plans = new Map<string, Plan>()))
    let plan = plans.get(variation)
    if (plan === undefined)
      plans.set(variation, (plan = { flag, variation, source: '', rate, counters: new Map(), rest: null, lastKey: null, last: null }))
    plan.rate = rate
    return plan
  }

  #counterOf(plan: Plan, context: Context): Counter {
    const { keyBy } = plan.rate
    const key = plan.rate.isUnlimited ? '' : keyBy.length === 1 ? keyOf(keyBy[0]!, context) : joinedKeyOf(keyBy, context)
    // Equal texts are mostly the same one here, and then this costs less than the look-up.
    if (key === plan.lastKey) return plan.last!
    const counter = plan.counters.get(key) ?? this.#counterFor(plan, key)
    plan.lastKey = key
    plan.last = counter
    return counter
  }

  #withoutTokens(counter: Counter, plan: Plan, amount: number): Limited {
    const { rate } = plan
    const answer = (allowed: boolean, reason: LimitReason, retryAfterMs: number): Limited => {
      const remaining = reason === 'UNLIMITED' ? Infinity : Math.max(0, counter.stock)
      return new Decision(allowed, reason, remaining, retryAfterMs, plan.flag, plan.variation, rate)
    }
    const admitted = (reason: LimitReason): Limited => {
      // Tokens of its own, made and spent at once.
      counter.own += amount
      counter.spent += amount
      return answer(true, reason, 0)
    }
    if (rate.isUnlimited) return admitted('UNLIMITED')
    if (this.#isCutOff && rate.onPartition === 'open' && rate.rate > 0) return admitted('ALLOWED')
    if (amount === 0 && rate.rate > 0) return answer(true, 'ALLOWED', 0)
    counter.denied += amount
    if (rate.isShadow) return answer(true, 'SHADOW', 0)
    if (rate.rate === 0) return answer(false, 'CUT', Infinity)
    if (amount > rate.depth) return answer(false, 'TOO_COSTLY', Infinity)
    counter.isWanted = true
    if (amount > counter.least) counter.least = Math.ceil(amount)
    return answer(false, 'LIMITED', this.#waitFor(counter, amount - counter.stock))
  }

  /** At the pace this instance was served at of late; at the whole rate when that is not known. */
  #waitFor({ share, rate }: Counter, tokens: number): number {
    const safe = rate.ratePerMs / this.#instances
    const pace = this.#isCutOff ? safe : share === 0 ? rate.ratePerMs : Math.min(rate.ratePerMs, Math.max(share, safe))
    return Math.max(LEASE_INTERVAL_MS, Math.ceil(tokens / pace))
  }

  #notARate(outcome: Outcome): Limited {
    return new Decision(true, 'ERROR', Infinity, 0, outcome.flag, variationOf(outcome), null)
  }

  acquire(outcome: Outcome, context: Context): Acquired {
    const plan = (outcome.plan ?? this.#planOf(outcome)) as Plan
    if (plan === NOT_A_RATE) return new Permit(true, 'ERROR', Infinity, 0, outcome.flag, variationOf(outcome), null, null)
    const { rate } = plan
    const answer = (allowed: boolean, reason: LimitReason, remaining: number, held: Counter | null): Acquired =>
      new Permit(allowed, reason, remaining, allowed ? 0 : LEASE_INTERVAL_MS, plan.flag, plan.variation, rate, held)
    if (rate.isUnlimited) return answer(true, 'UNLIMITED', Infinity, null)
    const counter = this.#counterOf(plan, context)
    counter.usedAt = this.#now
    const most = rate.concurrency ?? Infinity
    const isFull = counter.inFlight >= most
    if (isFull && !rate.isShadow) return answer(false, 'CONCURRENCY', 0, null)
    counter.inFlight++
    return answer(true, isFull ? 'SHADOW' : 'ALLOWED', Math.max(0, most - counter.inFlight), counter)
  }

  // Plans and counters.

  /** What is kept with an outcome. Outcomes of one variation share a plan; a new value is taken over by it. */
  #planOf(outcome: Outcome): object {
    const plan = this.#findPlan(outcome)
    outcome.plan = plan
    return plan
  }

  #findPlan({ flag, value, evaluation: { variation, reason } }: Outcome): object {
    if (variation === null || reason === 'ERROR') return NOT_A_RATE
    const rate = rateOf(value)
    if (rate === null) return NOT_A_RATE
    const source = JSON.stringify(value)
    let plans = this.#plans.get(flag)
    if (plans === undefined) this.#plans.set(flag, (plans = new Map<string, Plan>()))
    const known = plans.get(variation)
    if (known === undefined) {
      const plan: Plan = { flag, variation, source, rate, counters: new Map(), rest: null, lastKey: null, last: null }
      plans.set(variation, plan)
      return plan
    }
    if (known.source !== source) {
      known.source = source
      known.rate = rate
      known.lastKey = null
    }
    return known
  }

  /** A key that was not asked for yet. */
  #counterFor(plan: Plan, key: string): Counter {
    this.#rouse()
    if (this.#all.length >= this.#countersMax && !this.#makeRoom()) return (plan.rest ??= this.#newCounter(plan, REST_KEY))
    const counter = this.#newCounter(plan, key)
    plan.counters.set(key, counter)
    return counter
  }

  #newCounter(plan: Plan, key: string, own = this.#seedOf(plan, key)): Counter {
    const counter = new Counter(plan, key, this.#nextSlot++, own, this.#now)
    counter.place = this.#all.length
    this.#all.push(counter)
    return counter
  }

  /** What a cold counter begins with. A key that was counted under another variation takes no more along than it had there. */
  #seedOf({ flag, rate, counters }: Plan, key: string): number {
    if (rate.isUnlimited || rate.rate === 0 || (this.#isCutOff && rate.onPartition === 'closed')) return 0
    let seed = Math.max(1, Math.floor(rate.depth / this.#instances))
    for (const plan of this.#plans.get(flag)?.values() ?? []) {
      const other = plan.counters === counters ? undefined : plan.counters.get(key)
      if (other === undefined || plan.rate.isUnlimited) continue
      seed = Math.min(seed, Math.max(0, Math.floor(other.stock)))
      // It does not have them twice.
      settle(other)
      const own = Math.min(other.own, seed)
      other.own -= own
      other.stock -= own
      giveBack(other, lentOf(other))
      this.#add(other)
    }
    return seed
  }

  /** Roughly the least recently used of all: the one of a few. */
  #makeRoom(): boolean {
    let oldest: Counter | null = null
    for (let i = 0; i < CANDIDATES; i++) {
      this.#hand = this.#hand > 0 ? this.#hand - 1 : this.#all.length - 1
      const counter = this.#all[this.#hand]!
      if (this.#canGo(counter) && (oldest === null || counter.usedAt < oldest.usedAt)) oldest = counter
    }
    if (oldest === null || this.#now - oldest.usedAt < RESTED_MS) return false
    this.#drop(oldest)
    return true
  }

  #canGo({ isActive, inFlight, key }: Counter): boolean {
    return !isActive && inFlight === 0 && key !== REST_KEY
  }

  #drop(counter: Counter): void {
    const { plan, key, slot, place } = counter
    plan.counters.delete(key)
    if (plan.last === counter || plan.lastKey === key) plan.lastKey = null
    this.#slots.delete(slot)
    const last = this.#all.pop()!
    if (last !== counter) {
      this.#all[place] = last
      last.place = place
    }
  }

  /** The coarse time stood still while nothing was asked. */
  #rouse(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.#turnTo(this.#monotonic())
    this.#tickedAt = this.#now
    this.#judge()
    this.#wake()
  }

  #turnTo(now: number): void {
    // A clock that stands still or runs backwards for once changes nothing.
    const since = Math.floor(now - this.#startedAt)
    if (since > this.#now) this.#now = since
  }

  /** It is asked for, after a rest or with another rate. */
  #activate(counter: Counter): void {
    this.#rouse()
    if (counter.rate !== counter.plan.rate) adapt(counter, counter.plan.rate)
    if (counter.isActive) return
    settle(counter)
    expire(counter, this.#now)
    // What it was asked for before the rest says nothing any more.
    const rested = this.#now - counter.usedAt
    counter.demand *= Math.exp(-rested / REFILL_MS)
    counter.share *= Math.exp(-rested / LEASE_TTL_MS)
    this.#fill(counter)
    counter.usedAt = this.#now
    this.#add(counter)
  }

  #add(counter: Counter): void {
    if (counter.isActive) return
    counter.isActive = true
    this.#active.push(counter)
  }

  // The link.

  connected(now: number): void {
    this.#turnTo(now)
    this.#isUp = true
    this.#link++
    this.#isFirstFrame = true
    this.#slots.clear()
    this.#unansweredSince ??= this.#now
    // The server is told again what is held, that it may count it.
    for (const counter of this.#all) {
      counter.asked = 0
      counter.isOpen = false
      if (this.#owes(counter)) this.#add(counter)
    }
    if (this.#active.length > 0) this.#rouse()
  }

  disconnected(now: number): void {
    this.#turnTo(now)
    this.#isUp = false
    this.#unansweredSince ??= this.#now
    // The other end knows it too, and sets its share aside: there is nothing to wait for.
    if (this.#link > 0) this.#isUnlent = true
    this.#judge()
  }

  granted(frame: unknown, now: number): void {
    this.#turnTo(now)
    if (!this.#isUp || !isObject(frame) || !Array.isArray(frame.keys)) return
    const { instances, learning } = frame
    if (Number.isSafeInteger(instances) && (instances as number) >= 1) {
      // A server that has just started does not know yet what it is to be told: until then the larger number is the safe one.
      const isEarly = this.#isFirstFrame && this.#isTold && this.#toldLink < this.#link
      if (!isEarly || (instances as number) > this.#instances) {
        this.#instances = instances as number
        this.#toldLink = this.#link
      }
      this.#isTold = true
    }
    this.#unansweredSince = null
    this.#isUnlent = learning === true
    this.#judge()
    for (const row of frame.keys as readonly unknown[]) if (isObject(row)) this.#grantedRow(row)
  }

  #grantedRow({ slot, tokens, ttlMs, gone }: Record<string, unknown>): void {
    const counter = this.#slots.get(slot as number)
    if (counter === undefined) return
    if (gone === true) {
      this.#slots.delete(counter.slot)
      counter.link = 0
      counter.asked = 0
      this.#add(counter)
      this.#rouse()
      return
    }
    if (!isTokens(tokens) || tokens === 0 || !isTokens(ttlMs)) return
    lend(counter, tokens, Math.min(ttlMs, LEASE_IDLE_MS), this.#now)
    this.#add(counter)
    this.#rouse()
    // The rate was cut or lowered while they were on their way.
    if (counter.rate.rate === 0 || counter.rate.isUnlimited) giveBack(counter, lentOf(counter))
  }

  // Ticks.

  tick(now: number): Lease | null {
    this.#turnTo(now)
    const elapsed = Math.min(this.#now - this.#tickedAt, TICK_MAX_MS)
    if (elapsed <= 0) return null
    this.#tickedAt = this.#now
    this.#judge()
    for (const counter of this.#active) this.#pass(counter, elapsed)
    this.#sweep(elapsed)
    const frame = this.#isUp ? this.#frame(counter => this.#isDue(counter)) : null
    this.#active = this.#active.filter(counter => this.#staysActive(counter))
    this.#isAwake = this.#active.length > 0
    return frame
  }

  /** Whether nobody lends, or the server has been silent for too long. */
  #judge(): void {
    this.#isCutOff = this.#isUnlent || (this.#unansweredSince !== null && this.#now - this.#unansweredSince >= LEASE_TTL_MS)
  }

  /** Nothing was heard for so long, or the link is known to be down: cut off, or soon to be. */
  #isLost(): boolean {
    return !this.#isUp || (this.#unansweredSince !== null && this.#now - this.#unansweredSince >= LEASE_ANSWER_MS)
  }

  #pass(counter: Counter, elapsed: number): void {
    if (counter.rate !== counter.plan.rate) adapt(counter, counter.plan.rate)
    if (counter.spent > 0 || counter.denied > 0) counter.usedAt = this.#now
    const { share } = counter
    follow(counter, elapsed)
    // It stays what it was before the silence.
    if (this.#isLost()) counter.share = share
    settle(counter)
    expire(counter, this.#now)
    this.#fill(counter)
  }

  /** While it is cut off, tokens of its own come in. */
  #fill(counter: Counter): void {
    const { rate, share, least, filledAt } = counter
    counter.filledAt = this.#now
    if (!this.#isCutOff || rate.isUnlimited || rate.rate === 0 || rate.onPartition === 'open') return
    if (rate.onPartition === 'closed') return dropOwn(counter)
    const safe = rate.ratePerMs / this.#instances
    // A key that was not seen before the silence has no share of its own.
    const isLast = rate.onPartition === 'last-share' && share > 0
    const pace = isLast ? Math.min(share, rate.ratePerMs) : safe
    const depth = isLast ? Math.min(rate.depth, pace * REFILL_MS) : rate.depth / this.#instances
    // A request must fit in, or it would wait for ever.
    addOwn(counter, pace * (this.#now - filledAt), Math.max(1, Math.min(least, rate.depth), depth))
  }

  /** Forget those that rest; all of them are looked at once a minute. */
  #sweep(elapsed: number): void {
    let looks = Math.min(this.#all.length, Math.ceil((this.#all.length * elapsed) / LEASE_IDLE_MS))
    while (looks-- > 0) {
      this.#hand = this.#hand > 0 ? this.#hand - 1 : this.#all.length - 1
      const counter = this.#all[this.#hand]
      if (counter === undefined) return
      const rested = this.#now - counter.usedAt
      if (!this.#canGo(counter) || rested < LEASE_IDLE_MS) continue
      expire(counter, this.#now)
      // Back first, then gone.
      if (this.#isUp && this.#owes(counter)) this.#add(counter)
      else if (rested >= this.#keptFor(counter)) this.#drop(counter)
    }
  }

  /** Dropping it any sooner would give it its seed more often than its rate allows. */
  #keptFor({ rate }: Counter): number {
    if (rate.isUnlimited || rate.rate === 0) return LEASE_IDLE_MS
    const seed = Math.max(1, Math.floor(rate.depth / this.#instances))
    return Math.min(KEPT_MAX_MS, Math.max(LEASE_IDLE_MS, (seed * this.#instances) / rate.ratePerMs))
  }

  #staysActive(counter: Counter): boolean {
    const isBusy = this.#now - counter.usedAt < LEASE_ANSWER_MS
    // While the link is down what is owed waits; a counter that rests need not wait with it.
    const isOpen = this.#isUp && (this.#owes(counter) || this.#wish(counter) > 0)
    // A single token that is lent for long is looked after by the sweep.
    const runsOut = lentOf(counter) >= 1 && counter.expiresAt - this.#now <= LEASE_TTL_MS
    counter.isActive = isBusy || isOpen || runsOut
    return counter.isActive
  }

  /** Whether there is something to say that the ledger must hear. */
  #owes(counter: Counter): boolean {
    const { owedSpent, owedDenied, owedReturned, isOpen } = counter
    return owedSpent >= 1 || owedDenied >= 1 || owedReturned >= 1 || isOpen || this.#isUntold(counter)
  }

  /** It holds tokens that the ledger on this link was not told of. */
  #isUntold(counter: Counter): boolean {
    return counter.link !== this.#link && lentOf(counter) >= 1
  }

  /** Tokens it would like on top of what it holds. */
  #wish(counter: Counter): number {
    const { rate, isWanted, stock, least } = counter
    if (!isWanted || rate.rate === 0 || rate.isUnlimited || least > rate.depth) return 0
    return Math.max(0, targetOf(counter) - Math.floor(stock))
  }

  /** Whether it is worth a row now. */
  #isDue(counter: Counter): boolean {
    const { stock, least, asked, owedSpent, owedOwn, owedReturned, reportedAt, rate } = counter
    if (this.#isUntold(counter)) return true
    const age = this.#now - reportedAt
    const wish = this.#wish(counter)
    if (age >= LEASE_ANSWER_MS && (wish > 0 || this.#owes(counter))) return true
    if (rate.isUnlimited || rate.rate === 0) return false
    const target = targetOf(counter)
    // Low water: half of what it would like is neither here nor asked for.
    if (wish > 0 && stock + asked < Math.max(least, target / 2)) return true
    // The ledger takes for unspent what it has not heard of, and lends the less; what comes back it lends to others.
    return owedReturned >= 1 || (age >= 2 * LEASE_INTERVAL_MS && asked > 0 && owedSpent - owedOwn >= 1)
  }

  /** The rows of those that are due, within the limits of a frame; where it stops, the next one goes on. */
  #frame(isDue: (counter: Counter) => boolean): Lease | null {
    const keys: LeaseRow[] = []
    let bytes = 0
    let isAsking = false
    const active = this.#active
    let i = 0
    for (; i < active.length; i++) {
      const counter = active[i]!
      if (!isDue(counter)) continue
      const names = counter.link === this.#link ? null : namesOf(counter)
      const size = ROW_BYTES + (names === null ? 0 : Buffer.byteLength(JSON.stringify(names)))
      if (keys.length === LEASE_KEYS_MAX || bytes + size > ROWS_BYTES_MAX) break
      bytes += size
      const row = this.#row(counter, names)
      if (row.want > 0) isAsking = true
      keys.push(row)
    }
    if (i < active.length) this.#active = [...active.slice(i), ...active.slice(0, i)]
    if (keys.length === 0) return null
    if (isAsking) this.#unansweredSince ??= this.#now
    // What this very server said it need not hear.
    const instances = this.#isFirstFrame && this.#isTold && this.#toldLink < this.#link ? { instances: this.#instances } : {}
    this.#isFirstFrame = false
    return { type: 'lease', ...instances, keys }
  }

  #row(counter: Counter, names: ReturnType<typeof namesOf> | null): LeaseRow {
    const want = Math.min(this.#wish(counter), LEASE_TOKENS_MAX)
    const spent = whole(counter.owedSpent)
    const local = Math.min(spent, whole(counter.owedOwn))
    const denied = whole(counter.owedDenied)
    const returned = whole(counter.owedReturned)
    const least = Math.min(counter.least, LEASE_TOKENS_MAX)
    counter.owedSpent -= spent
    counter.owedOwn -= local
    counter.owedDenied -= denied
    counter.owedReturned -= returned
    counter.asked = want
    counter.isOpen = spent + denied + want > 0
    counter.reportedAt = this.#now
    // One dear request does not make all later ones wait for as many tokens.
    counter.least = Math.max(1, Math.ceil(counter.rate.cost))
    if (names !== null) {
      counter.link = this.#link
      this.#slots.set(counter.slot, counter)
    }
    return {
      slot: counter.slot,
      ...names,
      held: Math.min(Math.ceil(lentOf(counter)), LEASE_TOKENS_MAX),
      spent,
      ...(local > 0 ? { local } : {}),
      denied,
      ...(returned > 0 ? { returned } : {}),
      want,
      ...(least > 1 ? { least } : {}),
    }
  }

  farewell(now: number): Lease | null {
    this.#turnTo(now)
    if (!this.#isUp) return null
    this.#active = this.#all.filter(counter => {
      settle(counter)
      giveBack(counter, lentOf(counter))
      counter.isWanted = false
      return counter.owedSpent >= 1 || counter.owedDenied >= 1 || counter.owedReturned >= 1
    })
    return this.#frame(() => true)
  }
}

function variationOf({ evaluation }: Outcome): string | null {
  return evaluation.reason === 'ERROR' ? null : evaluation.variation
}

function namesOf({ plan, key }: Counter): { readonly flag: string; readonly variation: string; readonly key: string } {
  return { flag: plan.flag, variation: plan.variation, key }
}

/** Tokens as a row can carry them. */
function whole(tokens: number): number {
  // Sums of fractions such as 0.1 fall short of the whole by a little.
  return Math.min(Math.floor(tokens + 1e-6), LEASE_TOKENS_MAX)
}

function isTokens(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LEASE_TOKENS_MAX
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
