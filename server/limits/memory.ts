/**
 * The ledger in the memory of one server. Pure: time is an argument, and nothing is stored, for after a restart it learns
 * from the instances what they hold.
 *
 * What it holds to, for each counter: the tokens granted in any span of time, less those given back, are at most rate ×
 * span + depth. Lent and unspent at once are at most `OUTSTANDING_MS` of the rate and one request of each instance
 * that asks. So the tokens spent are at most the sum of the two; seeds, which no grant covers, come on top.
 */
import type { Grant, GrantRow, Lease, LeaseRow } from '../../schemas/lease.ts'
import { LEASE_ANSWER_MS, LEASE_IDLE_MS, LEASE_INTERVAL_MS, LEASE_KEYS_MAX, LEASE_TTL_MS, REST_KEY } from '../../schemas/protocol.ts'
import { EXPECTED_MS, Fleet, type Instance } from './fleet.ts'
import type { CounterUsage, Grants, Ledger, LimitTotals, LimitUsage, Policy, PolicyOf, Spans } from './ledger.ts'
import { shareOut } from './share.ts'
import { Tally } from './tally.ts'

/** Of the rate: the most that is lent at once beyond one request of each instance. */
export const OUTSTANDING_MS = 250
/** When others want tokens in vain, those that are lent are not to lie about. */
const SCARCE_TTL_MS = LEASE_INTERVAL_MS
/** Counters of one environment; further keys are counted together. */
const COUNTERS_MAX = 100_000
/** Slots of one instance: more than an SDK has counters. */
const SLOTS_MAX = 100_000
/** A counter without traffic is kept for what it tells of the last hour. */
const KEPT_MS = 3_600_000
/** Everything is looked at once in so long, for what ran out. */
const SWEEP_MS = 1_000
/** What an instance admits is averaged over so long: the share that `last-share` goes on with. */
const SHARE_MS = 2_000
/** Rows that wait for an instance. */
const ROWS_MAX = 10 * LEASE_KEYS_MAX
/** Most counters in an answer about usage. */
const USAGE_MAX = 1_000

/** One instance's part in a counter. */
interface Holding {
  readonly instance: Instance
  readonly counter: Counter
  slot: number
  /** The connection on which it was named. */
  link: number
  /** Lent, and not reported as spent or given back. */
  lent: number
  expiresAt: number
  want: number
  least: number
  reportedAt: number
  /** Admitted per ms, of late. */
  share: number
  /** Of the instance's silences, what is accounted for. */
  asideMs: number
  silentMs: number
}

interface Counter {
  readonly group: Group
  readonly key: string
  policy: Policy
  /** Tokens that can be lent; below 0 when instances admitted more on their own than there was. */
  level: number
  filledAt: number
  /** Of the fleet's silences, what is accounted for. */
  asideMs: number
  usedAt: number
  readonly holdings: Map<Instance, Holding>
  /** Those that want tokens, whoever waits longest first. */
  readonly waiting: Set<Holding>
  /** Sums over the holdings. */
  lent: number
  least: number
  readonly tally: Tally
}

/** The counters of one variation of a flag. */
interface Group {
  readonly flag: string
  readonly variation: string
  readonly counters: Map<string, Counter>
  admitted: number
  denied: number
  granted: number
  returned: number
}

export class MemoryLedger implements Ledger {
  readonly #policyOf: PolicyOf
  readonly #learningUntil: number
  readonly #fleet: Fleet
  readonly #flags = new Map<string, Map<string, Group>>()
  readonly #counters = new Set<Counter>()
  readonly #slots = new Map<Instance, Map<number, Holding>>()
  readonly #waiting = new Set<Counter>()
  /** Holdings that were in use when they were last reported. */
  readonly #busy = new Set<Holding>()
  /** Connected instances that have something to hear. */
  readonly #listening = new Set<Instance>()
  #sweptAt: number

  constructor(policyOf: PolicyOf, startedAt: number) {
    this.#policyOf = policyOf
    // By then the tokens that a server before this one has lent are spent or have run out.
    this.#learningUntil = startedAt + LEASE_TTL_MS
    this.#fleet = new Fleet(startedAt, this.#learningUntil)
    this.#sweptAt = startedAt
  }

  // Instances.

  instances(now: number): number {
    return this.#fleet.count(now)
  }

  isLearning(now: number): boolean {
    return now < this.#learningUntil
  }

  join(name: string, now: number): void {
    const { instance, replaced } = this.#fleet.join(name, now)
    if (replaced !== null) this.#release(replaced)
    this.#stopWaiting(instance)
    this.#slots.set(instance, new Map())
    this.#listening.add(instance)
  }

  leave(name: string, isClosed: boolean, now: number): void {
    const instance = this.#fleet.get(name)
    if (instance === undefined || instance.link === null) return
    instance.link = null
    this.#listening.delete(instance)
    this.#stopWaiting(instance)
    if (!isClosed) return this.#fleet.fallSilent(instance, now)
    this.#fleet.remove(instance, now)
    this.#release(instance)
  }

  #stopWaiting(instance: Instance): void {
    for (const holding of this.#slots.get(instance)?.values() ?? []) {
      this.#wait(holding, 0)
      this.#busy.delete(holding)
    }
  }

  /** What it was lent and did not give back is gone: it may have spent it. */
  #release(instance: Instance): void {
    this.#slots.delete(instance)
    for (const counter of this.#counters) {
      const holding = counter.holdings.get(instance)
      if (holding !== undefined) this.#drop(holding)
    }
  }

  #drop(holding: Holding): void {
    const { counter, instance } = holding
    this.#wait(holding, 0)
    counter.lent -= holding.lent
    counter.least -= holding.least
    holding.lent = 0
    counter.holdings.delete(instance)
    this.#busy.delete(holding)
    const slots = this.#slots.get(instance)
    if (slots?.get(holding.slot) === holding) slots.delete(holding.slot)
  }

  // Reports.

  report(name: string, lease: Lease, now: number): void {
    const instance = this.#fleet.get(name)
    if (instance === undefined || instance.link === null) return
    instance.heardAt = now
    this.#fleet.speakAgain(instance, now)
    if (lease.instances !== undefined) this.#fleet.expect(lease.instances, now)
    for (const row of lease.keys.slice(0, LEASE_KEYS_MAX)) this.#reportRow(instance, row, now)
  }

  #reportRow(instance: Instance, row: LeaseRow, now: number): void {
    const holding = this.#holdingOf(instance, row, now)
    if (holding === null || holding.counter.policy.kind === 'unlimited') this.#listening.add(instance)
    if (holding === null) return
    const { counter } = holding
    const { group, tally } = counter
    this.#fill(counter, now)
    const spent = row.spent
    const own = Math.min(row.local ?? 0, spent)
    if (holding.link !== instance.link) {
      holding.link = instance.link!
      this.#recount(holding, row, spent - own, now)
    }
    // What it spends beyond what it was lent is as good as its own.
    const fromLent = Math.min(spent - own, holding.lent)
    const returned = Math.min(row.returned ?? 0, holding.lent - fromLent)
    this.#setLent(holding, holding.lent - fromLent - returned)
    this.#putBack(counter, returned)
    this.#charge(holding, spent - fromLent, now)
    const elapsed = Math.max(1, now - holding.reportedAt)
    holding.share += (1 - Math.exp(-elapsed / SHARE_MS)) * (spent / elapsed - holding.share)
    holding.reportedAt = now
    // Then more is to be heard soon, unless the instance is cut off.
    if (spent + row.denied + row.want > 0) this.#busy.add(holding)
    else this.#busy.delete(holding)
    if (spent + row.denied > 0) counter.usedAt = now
    tally.add(spent, row.denied, now)
    group.admitted += spent
    group.denied += row.denied
    const { policy } = counter
    if (policy.kind === 'unlimited') return
    this.#setLeast(holding, Math.min(Math.max(1, row.least ?? 1), policy.depth))
    // It wants them on top of what it holds; what is on its way to it is among them.
    const underWay = Math.max(0, holding.lent - row.held)
    const most = Math.ceil(policy.depth + policy.ratePerMs * OUTSTANDING_MS)
    this.#wait(holding, policy.ratePerMs === 0 ? 0 : Math.min(most, Math.max(0, row.want - underWay)))
  }

  /** @returns null when it is to be named first, or names what is no limit here */
  #holdingOf(instance: Instance, { slot, flag, variation, key }: LeaseRow, now: number): Holding | null {
    const slots = this.#slots.get(instance)!
    if (flag === undefined || variation === undefined || key === undefined) {
      const known = slots.get(slot)
      if (known === undefined) this.#tell(instance, { slot, tokens: 0, ttlMs: 0, gone: true })
      return known ?? null
    }
    if (slots.size >= SLOTS_MAX && !slots.has(slot)) return null
    const counter = this.#counterOf(flag, variation, key, now)
    if (counter === null) return null
    let holding = counter.holdings.get(instance)
    if (holding === undefined) {
      const [asideMs, silentMs] = [instance.asideMs(now), instance.silentMs(now)]
      holding = {
        ...{ instance, counter, slot, link: 0, lent: 0, expiresAt: now, want: 0, least: 0, reportedAt: now },
        ...{ share: 0, asideMs, silentMs },
      }
      counter.holdings.set(instance, holding)
    }
    const before = slots.get(slot)
    // A slot that is given another name.
    if (before !== undefined && before !== holding) this.#drop(before)
    holding.slot = slot
    slots.set(slot, holding)
    return holding
  }

  /** On a new connection: what was under way on the one before has not arrived and never will. */
  #recount(holding: Holding, { held, returned = 0 }: LeaseRow, spent: number, now: number): void {
    const { counter } = holding
    const accounted = held + spent + returned
    if (holding.lent > accounted) this.#putBack(counter, holding.lent - accounted)
    // After a restart it may hold what the server before this one has lent.
    const { policy } = counter
    const most =
      policy.kind === 'rate' && now < this.#learningUntil + EXPECTED_MS ? Math.ceil(policy.depth + policy.ratePerMs * LEASE_TTL_MS) : 0
    this.#setLent(holding, Math.min(accounted, Math.max(holding.lent, most)))
    holding.expiresAt = Math.max(holding.expiresAt, holding.reportedAt + LEASE_TTL_MS)
  }

  /** Admitted without a grant: it lowers what can be lent, unless it was set aside for it. */
  #charge(holding: Holding, tokens: number, now: number): void {
    const { counter, instance } = holding
    const { policy } = counter
    if (policy.kind === 'unlimited') return
    // Whoever chose `open` does not pay for it afterwards.
    if (policy.onPartition === 'open' && instance.silentMs(now) > holding.silentMs) tokens = 0
    const excused =
      policy.onPartition === 'last-share'
        ? holding.share * (instance.silentMs(now) - holding.silentMs)
        : policy.ratePerMs * (instance.asideMs(now) - holding.asideMs)
    holding.asideMs = instance.asideMs(now)
    holding.silentMs = instance.silentMs(now)
    // Seeds can be more than there was, but not by more than this; whoever claims more does not stop the others for long.
    const lowest = -(2 * policy.depth + this.#fleet.count(now))
    counter.level = Math.max(Math.min(counter.level, lowest), counter.level - Math.max(0, tokens - excused))
  }

  #putBack(counter: Counter, tokens: number): void {
    const { policy, group, level } = counter
    if (policy.kind !== 'rate') return
    counter.level = Math.min(policy.depth, level + tokens)
    group.returned += counter.level - level
  }

  #setLent(holding: Holding, lent: number): void {
    holding.counter.lent += lent - holding.lent
    holding.lent = lent
  }

  #setLeast(holding: Holding, least: number): void {
    holding.counter.least += least - holding.least
    holding.least = least
  }

  #wait(holding: Holding, want: number): void {
    const { counter } = holding
    holding.want = want
    if (want > 0) {
      counter.waiting.add(holding)
      this.#waiting.add(counter)
      return
    }
    counter.waiting.delete(holding)
    if (counter.waiting.size === 0) this.#waiting.delete(counter)
  }

  #tell(instance: Instance, row: GrantRow): void {
    if (instance.rows.length < ROWS_MAX) instance.rows.push(row)
    this.#listening.add(instance)
  }

  // Counters.

  #counterOf(flag: string, variation: string, key: string, now: number): Counter | null {
    const policy = this.#policyOf(flag, variation, key)
    if (policy === null) return null
    let groups = this.#flags.get(flag)
    if (groups === undefined) this.#flags.set(flag, (groups = new Map<string, Group>()))
    let group = groups.get(variation)
    if (group === undefined)
      groups.set(variation, (group = { flag, variation, counters: new Map(), admitted: 0, denied: 0, granted: 0, returned: 0 }))
    const known = group.counters.get(key) ?? (this.#counters.size >= COUNTERS_MAX ? group.counters.get(REST_KEY) : undefined)
    if (known !== undefined) return known
    const name = this.#counters.size >= COUNTERS_MAX ? REST_KEY : key
    const counter: Counter = {
      ...{ group, key: name, policy, level: this.#firstLevel(groups, group, name, policy, now), filledAt: now },
      ...{ asideMs: this.#fleet.asideMs(now), usedAt: now, holdings: new Map(), waiting: new Set(), lent: 0, least: 0 },
      tally: new Tally(now),
    }
    group.counters.set(name, counter)
    this.#counters.add(counter)
    return counter
  }

  /** Full, but for what the same key has used up under another variation. While learning, nothing. */
  #firstLevel(groups: ReadonlyMap<string, Group>, mine: Group, key: string, policy: Policy, now: number): number {
    if (policy.kind === 'unlimited' || this.isLearning(now)) return 0
    let level = policy.depth
    for (const group of groups.values()) {
      const other = group === mine ? undefined : group.counters.get(key)
      if (other === undefined) continue
      this.#fill(other, now)
      if (other.policy.kind === 'rate') level = Math.min(level, carriedOver(other.level, other.policy.depth, policy.depth))
    }
    return level
  }

  /** Bring the level up to now, at the rate that holds now. */
  #fill(counter: Counter, now: number): void {
    const { group, filledAt } = counter
    const asideMs = this.#fleet.asideMs(now)
    const { policy } = counter
    const passed = Math.max(0, now - filledAt)
    if (policy.kind === 'rate') {
      const tokens = policy.ratePerMs * passed - this.#setAside(counter, policy, asideMs - counter.asideMs, now)
      counter.level = Math.min(policy.depth, counter.level + Math.max(0, tokens))
    }
    counter.filledAt = Math.max(filledAt, now)
    counter.asideMs = asideMs
    const next = this.#policyOf(group.flag, group.variation, counter.key)
    if (next === null || next === policy) return
    counter.policy = next
    if (next.kind === 'unlimited') counter.level = 0
    else if (policy.kind === 'rate') counter.level = carriedOver(counter.level, policy.depth, next.depth)
    // After a time without limit it begins with nothing in hand: a full depth at once would be a burst.
    else counter.level = 0
  }

  /** Tokens that silent instances may have admitted on their own. */
  #setAside(counter: Counter, policy: Extract<Policy, { kind: 'rate' }>, asideMs: number, now: number): number {
    if (policy.onPartition === 'safe-share') return policy.ratePerMs * asideMs
    if (policy.onPartition !== 'last-share' || asideMs === 0) return 0
    let tokens = 0
    for (const { instance, share } of counter.holdings.values())
      if (instance.aside > 0) tokens += share * Math.min(now - counter.filledAt, now - instance.silentSince)
    return tokens
  }

  // Rounds.

  round(now: number): Grants {
    // Nobody is answered: instances live on what they hold and on their safe shares meanwhile.
    if (this.isLearning(now)) return new Map()
    if (now - this.#sweptAt >= SWEEP_MS) this.#sweep(now)
    for (const counter of this.#waiting) this.#shareOut(counter, now)
    const grants = new Map<string, Grant>()
    const instances = this.#fleet.count(now)
    for (const instance of this.#listening) {
      const keys = instance.rows.splice(0, LEASE_KEYS_MAX)
      grants.set(instance.name, { type: 'grant', instances, keys })
      instance.isNew = false
      instance.answeredAt = now
      if (instance.rows.length === 0) this.#listening.delete(instance)
    }
    return grants
  }

  #shareOut(counter: Counter, now: number): void {
    this.#fill(counter, now)
    const { policy } = counter
    if (policy.kind === 'unlimited' || policy.ratePerMs === 0) {
      for (const holding of counter.waiting) this.#answer(holding, now)
      return
    }
    const room = Math.floor(policy.ratePerMs * OUTSTANDING_MS) + counter.least - counter.lent
    const waiting = [...counter.waiting]
    const given = shareOut(Math.max(0, Math.min(Math.floor(counter.level), room)), waiting)
    const isScarce = waiting.some(({ want }, i) => given[i]! < want)
    for (const [i, holding] of waiting.entries()) {
      if (given[i] === 0) this.#answer(holding, now)
      else this.#grant(holding, given[i]!, isScarce, now)
    }
  }

  #grant(holding: Holding, tokens: number, isScarce: boolean, now: number): void {
    const { counter, instance, slot } = holding
    counter.level -= tokens
    counter.group.granted += tokens
    this.#setLent(holding, holding.lent + tokens)
    // Whoever asks seldom keeps one for the next time, as long as nobody else waits for it.
    const isSpare = !isScarce && holding.want <= holding.least
    const ttlMs = isSpare ? LEASE_IDLE_MS : isScarce ? SCARCE_TTL_MS : LEASE_TTL_MS
    holding.expiresAt = Math.max(holding.expiresAt, now + ttlMs)
    this.#tell(instance, { slot, tokens, ttlMs })
    counter.waiting.delete(holding)
    this.#wait(holding, holding.want - tokens)
  }

  /** There is nothing for it now; that it waits in vain, and not for a server that is gone, it hears from time to time. */
  #answer({ instance }: Holding, now: number): void {
    if (now - instance.answeredAt >= LEASE_ANSWER_MS) this.#listening.add(instance)
  }

  #sweep(now: number): void {
    this.#sweptAt = now
    for (const { instance } of this.#busy)
      if (instance.link !== null && now - instance.heardAt >= LEASE_TTL_MS) this.#fleet.fallSilent(instance, now)
    for (const instance of this.#fleet.lost(now)) {
      this.#fleet.remove(instance, now)
      this.#release(instance)
    }
    for (const counter of this.#counters) this.#sweepCounter(counter, now)
  }

  #sweepCounter(counter: Counter, now: number): void {
    for (const holding of counter.holdings.values()) {
      // Whoever was lent them has had twice the time to give them back. They may be spent: they are not lent again.
      if (holding.lent > 0 && now >= holding.expiresAt + LEASE_TTL_MS) this.#setLent(holding, 0)
      if (holding.lent === 0 && now - holding.reportedAt >= LEASE_IDLE_MS && holding.instance.aside === 0) this.#drop(holding)
    }
    if (counter.holdings.size > 0 || now - counter.usedAt < KEPT_MS) return
    this.#fill(counter, now)
    // Dropped any sooner, it would begin anew with more than it had.
    if (counter.policy.kind === 'rate' && counter.level < counter.policy.depth) return
    counter.group.counters.delete(counter.key)
    this.#counters.delete(counter)
  }

  // What people see.

  usage(flag: string, now: number, limit = 100): LimitUsage {
    const counters = [...(this.#flags.get(flag)?.values() ?? [])].flatMap(group => [...group.counters.values()])
    const [admitted, denied] = [
      { minute: 0, hour: 0 },
      { minute: 0, hour: 0 },
    ]
    const tallied = counters.map(counter => {
      const own = { admitted: counter.tally.admitted(now), denied: counter.tally.denied(now) }
      add(admitted, own.admitted)
      add(denied, own.denied)
      return { counter, minute: own.admitted.minute + own.denied.minute }
    })
    const busiest = tallied.sort((a, b) => b.minute - a.minute).slice(0, Math.min(limit, USAGE_MAX))
    return {
      ...{ counters: counters.length, admitted, denied },
      keys: busiest.map(({ counter }) => this.#usageOf(counter, now)),
      instances: this.#fleet.count(now),
      silent: this.#fleet.silent(),
      learningUntil: this.isLearning(now) ? this.#learningUntil : null,
    }
  }

  #usageOf(counter: Counter, now: number): CounterUsage {
    this.#fill(counter, now)
    const { group, key, policy, tally, lent, level } = counter
    const [admitted, denied] = [tally.admitted(now), tally.denied(now)]
    const isRate = policy.kind === 'rate'
    return {
      variation: group.variation,
      key,
      admitted,
      denied,
      outstanding: lent,
      remaining: isRate ? Math.max(0, Math.floor(level)) + lent : null,
      overAdmissionMax: isRate ? overAdmissionMax(policy, counter.least, this.#fleet.count(now)) : null,
      usedShare: isRate && policy.ratePerMs > 0 ? admitted.minute / (policy.ratePerMs * tally.minuteMs(now)) : null,
    }
  }

  totals(): readonly LimitTotals[] {
    return [...this.#flags.values()].flatMap(groups =>
      [...groups.values()].map(({ flag, variation, admitted, denied, granted, returned, counters }) => ({
        ...{ flag, variation, admitted, denied, granted, returned },
        counters: counters.size,
      })),
    )
  }

  /** Counters kept. */
  get size(): number {
    return this.#counters.size
  }
}

function add(sum: { minute: number; hour: number }, { minute, hour }: Spans): void {
  sum.minute += minute
  sum.hour += hour
}

/**
 * The most tokens that can be spent beyond rate × time + depth, in any span of time.
 * @param least one request of each instance that uses the counter, together
 */
export function overAdmissionMax({ ratePerMs, depth }: Extract<Policy, { kind: 'rate' }>, least: number, instances: number): number {
  if (ratePerMs === 0) return 0
  const seeds = instances * Math.max(1, Math.floor(depth / instances))
  return Math.floor(ratePerMs * OUTSTANDING_MS) + least + seeds
}

/** The same share of the depth as before, but never more tokens: a change brings no burst. */
function carriedOver(level: number, before: number, depth: number): number {
  return Math.min(level, (level / before) * depth, depth)
}
