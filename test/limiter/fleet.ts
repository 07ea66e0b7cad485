/**
 * A fleet in virtual time: limiters as the SDK has them and the ledger as the server has it, with a network between that
 * is slow, can be cut and is reset with its frames. Seeded: a run can be repeated.
 */
import type { Grant, Lease } from '../../schemas/lease.ts'
import { LEASE_INTERVAL_MS } from '../../schemas/protocol.ts'
import { outcomeOf, type Outcome } from '../../sdk/evaluator/evaluation.ts'
import { rateOf } from '../../sdk/evaluator/rate.ts'
import { Limiter } from '../../sdk/limiter/limiter.ts'
import type { Limited } from '../../sdk/types.ts'
import type { Json } from '../../schemas/json.ts'
import type { Policy } from '../../server/limits/ledger.ts'
import { MemoryLedger } from '../../server/limits/memory.ts'
import { randomFrom } from '../random.ts'

const STEP_MS = 5
const UNCONNECTED = { link: 0, isUp: false, lastUp: 0, lastDown: 0 }

/** What the server would make of a rate. */
export function policyFor(value: Json): Policy {
  const rate = rateOf(value)!
  return rate.isUnlimited
    ? { kind: 'unlimited' }
    : { kind: 'rate', ratePerMs: rate.ratePerMs, depth: rate.depth, onPartition: rate.onPartition }
}

export function rateOutcome(value: Json, variation = 'standard', flag = 'api'): Outcome {
  return outcomeOf(flag, { value, variation, reason: 'FALLTHROUGH', type: 'object', flagVersion: 1 })
}

export interface FleetOptions {
  readonly instances: number
  readonly value: Json
  readonly seed?: number
  /** One way, from and up to. */
  readonly delayMs?: readonly [number, number]
}

interface Node {
  readonly name: string
  readonly limiter: Limiter
  /** Its own: a limiter keeps its plan with it. */
  outcome: Outcome
  /** Counts connections: frames of those before are lost. */
  link: number
  isUp: boolean
  readonly phase: number
  /** The latest delivery each way: frames do not overtake each other. */
  lastUp: number
  lastDown: number
}

export class Fleet {
  now = 0
  ledger: MemoryLedger
  readonly nodes: Node[] = []
  readonly random: () => number
  /** By second: admitted and denied tokens. */
  readonly admitted: number[] = []
  readonly denied: number[] = []
  /** By instance, since the start. */
  readonly admittedBy: number[] = []
  frames = { up: 0, down: 0, rows: 0 }
  /** Spent and granted less returned, after every step: for bounds over all windows. */
  readonly history: { now: number; spent: number; issued: number; lent: number }[] = []
  #value: Json
  #variation = 'standard'
  #policies = new Map<string, Policy>()
  #spent = 0
  #issuedBefore = 0
  #isServerUp = true
  readonly #delay: readonly [number, number]
  readonly #deliveries = new Map<number, (() => void)[]>()

  constructor({ instances, value, seed = 1, delayMs = [10, 40] }: FleetOptions) {
    this.random = randomFrom(seed)
    this.#delay = delayMs
    this.#value = value
    this.#policies.set('standard', policyFor(value))
    this.ledger = this.#newLedger()
    for (let i = 0; i < instances; i++) this.addNode()
  }

  #newLedger(): MemoryLedger {
    return new MemoryLedger((_, variation) => this.#policies.get(variation) ?? null, this.now)
  }

  addNode(): Node {
    const limiter = new Limiter({ monotonic: () => this.now, wake: () => undefined })
    const phase = Math.floor(this.random() * (LEASE_INTERVAL_MS / STEP_MS)) * STEP_MS
    const node: Node = {
      name: `i-${this.nodes.length}`,
      limiter,
      outcome: rateOutcome(this.#value, this.#variation),
      ...UNCONNECTED,
      phase,
    }
    this.nodes.push(node)
    this.admittedBy.push(0)
    return node
  }

  connect(node: Node): void {
    if (!this.#isServerUp) return
    node.link++
    node.isUp = true
    node.limiter.connected(this.now)
    this.ledger.join(node.name, this.now)
  }

  connectAll(): void {
    for (const node of this.nodes) if (!node.isUp) this.connect(node)
  }

  /** Both ends notice, the server when it does. */
  cut(node: Node, serverNoticesMs = 0): void {
    node.isUp = false
    node.link++
    node.limiter.disconnected(this.now)
    this.#at(this.now + serverNoticesMs, () => this.ledger.leave(node.name, false, this.now))
  }

  /** The server is gone, and forgets. */
  stopServer(): void {
    for (const node of this.nodes) if (node.isUp) this.cut(node)
    this.#isServerUp = false
  }

  startServer(): void {
    this.#issuedBefore = this.#issued()
    this.ledger = this.#newLedger()
    this.#isServerUp = true
  }

  /** The flag has another rate: known everywhere at once, as within a second it is. */
  setRate(value: Json, variation = 'standard'): void {
    this.#value = value
    this.#variation = variation
    for (const node of this.nodes) node.outcome = rateOutcome(value, variation)
    this.#policies.set(variation, policyFor(value))
  }

  take(index: number, key: string, cost?: number): Limited {
    const { limiter, outcome } = this.nodes[index]!
    const answer = limiter.take(outcome, { targetingKey: key }, cost)
    const second = Math.floor(this.now / 1_000)
    const amount = cost ?? 1
    const sums = answer.allowed ? this.admitted : this.denied
    sums[second] = (sums[second] ?? 0) + amount
    if (answer.allowed) {
      this.#spent += amount
      this.admittedBy[index]! += amount
    }
    return answer
  }

  /** Let time pass; `traffic` is called every step and answers how many requests come to which instance. */
  run(ms: number, traffic: (now: number, stepMs: number) => void = () => undefined): void {
    const end = this.now + ms
    while (this.now < end) {
      this.now += STEP_MS
      const due = this.#deliveries.get(this.now)
      if (due !== undefined) {
        this.#deliveries.delete(this.now)
        for (const one of due) one()
      }
      if (this.#isServerUp && this.now % LEASE_INTERVAL_MS === 0) this.#round()
      for (const node of this.nodes) if (this.now % LEASE_INTERVAL_MS === node.phase && node.limiter.isAwake) this.#tick(node)
      traffic(this.now, STEP_MS)
      this.history.push({ now: this.now, spent: this.#spent, issued: this.#issued(), lent: this.#lent() })
    }
  }

  #issued(): number {
    return this.#issuedBefore + this.ledger.totals().reduce((sum, { granted, returned }) => sum + granted - returned, 0)
  }

  /** Tokens that can be spent without another word from the server: those on their way included. */
  #lent(): number {
    return this.ledger.usage('api', this.now, 1_000).keys.reduce((sum, { outstanding }) => sum + outstanding, 0)
  }

  #tick(node: Node): void {
    const frame = node.limiter.tick(this.now)
    if (frame === null) return
    this.frames.up++
    this.frames.rows += frame.keys.length
    const text = JSON.stringify(frame)
    const { link } = node
    node.lastUp = Math.max(node.lastUp, this.#arrival())
    this.#at(node.lastUp, () => {
      if (node.link === link && this.#isServerUp) this.ledger.report(node.name, JSON.parse(text) as Lease, this.now)
    })
  }

  #round(): void {
    for (const [name, frame] of this.ledger.round(this.now)) {
      this.frames.down++
      const node = this.nodes.find(one => one.name === name)!
      const text = JSON.stringify(frame)
      const { link } = node
      node.lastDown = Math.max(node.lastDown, this.#arrival())
      this.#at(node.lastDown, () => {
        if (node.link === link && node.isUp) node.limiter.granted(JSON.parse(text) as Grant, this.now)
      })
    }
  }

  #arrival(): number {
    const [from, to] = this.#delay
    return this.now + from + this.random() * (to - from)
  }

  #at(when: number, run: () => void): void {
    const step = Math.max(this.now + STEP_MS, Math.ceil(when / STEP_MS) * STEP_MS)
    const due = this.#deliveries.get(step)
    if (due === undefined) this.#deliveries.set(step, [run])
    else due.push(run)
  }
}

/** Requests at random moments, so many per second in all. */
export function poisson(random: () => number, mean: number): number {
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)))
  const limit = Math.exp(-mean)
  let count = 0
  for (let product = random(); product > limit; product *= random()) count++
  return count
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Places drawn with Zipf's weights; the busiest is place `shift`. */
export function zipf(random: () => number, places: number, exponent = 1.2): (shift: number) => number {
  const sums: number[] = []
  let total = 0
  for (let i = 0; i < places; i++) sums.push((total += 1 / (i + 1) ** exponent))
  return shift => {
    const target = random() * total
    let low = 0
    let high = places - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < target) low = middle + 1
      else high = middle
    }
    return (low + shift) % places
  }
}

/** The most by which a running sum ever grew beyond `ratePerMs` × the time it took, in any window. */
export function mostBeyond(points: readonly { readonly now: number; readonly sum: number }[], ratePerMs: number): number {
  let lowest = Infinity
  let most = 0
  for (const { now, sum } of points) {
    const over = sum - ratePerMs * now
    most = Math.max(most, over - lowest)
    lowest = Math.min(lowest, over)
  }
  return most
}
