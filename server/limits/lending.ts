/**
 * Lends the tokens of limits to the connected instances: a ledger for each log, and rounds while there is somebody to
 * hear of them. Who is connected, and how a frame reaches it, is the hub's to say.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Flag } from '../../schemas/flag.ts'
import type { Grant, Lease } from '../../schemas/lease.ts'
import { LEASE_IDLE_MS, LEASE_INTERVAL_MS, PROBE_KEY } from '../../schemas/protocol.ts'
import { type Rate, rateOf } from '../../sdk/evaluator/rate.ts'
import { valveOf } from '../../sdk/evaluator/valve.ts'
import type { Clock, Timer } from '../clock.ts'
import type { ChangeLog } from '../log/types.ts'
import type { Ledger, LimitTotals, LimitUsage, Policy } from './ledger.ts'
import { MemoryLedger } from './memory.ts'

/** Instances are told of their number when it has grown or shrunk by so much. */
const STEP = 1.25

/** One connection of an instance. */
export interface Borrower {
  /** Its part in the ledger ends. @param isClosed it took leave; else it may live on without a connection */
  leave(isClosed: boolean): void
  report(lease: Lease): void
}

export interface Lending {
  /** An instance is connected. It costs nothing until it reports. */
  join(log: string, instance: string, send: (grant: Grant) => void): Borrower
  /** The counters of a flag, the busiest first. */
  usage(log: string, flag: string, limit: number): Promise<LimitUsage>
  /** Of every log with limits in use. */
  totals(): Promise<ReadonlyMap<string, readonly LimitTotals[]>>
  /** The log is deleted. */
  forget(log: string): void
  close(): void
}

interface Book {
  readonly ledger: Ledger
  readonly senders: Map<string, (grant: Grant) => void>
  /** Rounds go on for a while after the last report, for what ran out is to be noticed. */
  heardAt: number
  /** How many instances everybody was last told of. */
  told: number
  /** Whether there are limits at all, at a revision. */
  limits: { readonly revision: number; readonly some: boolean } | null
  timer: Timer | null
  isSharing: boolean
}

export function openLending(options: {
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: Pick<ChangeLog, 'state'>
}): Lending {
  const { clock, logger, log } = options
  // A server that has just started does not know what one before it has lent: every ledger learns from then on.
  const startedAt = clock.monotonic()
  const books = new Map<string, Book>()
  const policies = new WeakMap<Flag, Map<string, Policy | null>>()

  function bookOf(name: string): Book {
    let book = books.get(name)
    if (book === undefined) {
      const ledger = new MemoryLedger((flag, variation, key) => policyOf(name, flag, variation, key), startedAt)
      book = { ledger, senders: new Map(), heardAt: startedAt, told: 0, limits: null, timer: null, isSharing: false }
      books.set(name, book)
    }
    return book
  }

  /** Asked for every counter in every round, so what a document says is kept as long as the document stands. */
  function policyOf(name: string, flagKey: string, variation: string, key: string): Policy | null {
    const flag = log.state(name).documents.flag.get(flagKey)
    // Of a valve, probes alone are lent; no limit has a counter for them.
    if (flag === undefined || (flag.kind === 'safety-valve') !== (key === PROBE_KEY)) return null
    let known = policies.get(flag)
    if (known === undefined) policies.set(flag, (known = new Map<string, Policy | null>()))
    let policy = known.get(variation)
    if (policy === undefined) known.set(variation, (policy = readPolicy(flag, variation)))
    return policy
  }

  function wake(book: Book): void {
    book.heardAt = clock.monotonic()
    book.timer ??= clock.after(LEASE_INTERVAL_MS, () => void round(book))
  }

  /** Whoever comes or goes matters to nobody where nothing is limited. */
  function moved(name: string, book: Book): void {
    const { revision, documents } = log.state(name)
    if (book.limits?.revision !== revision) {
      book.limits = { revision, some: [...documents.flag.values()].some(({ kind }) => kind === 'rate-limit') }
    }
    if (book.limits.some) wake(book)
  }

  /**
   * Seeds and safe shares are parts of a limit by the number of instances, so each must know when there are many more or
   * fewer. Told in steps: a fleet that comes back would otherwise be told of every one of its own.
   */
  function announce(book: Book, now: number): void {
    const instances = book.ledger.instances(now)
    if (book.senders.size === 0 || (instances < book.told * STEP && instances > book.told / STEP)) return
    book.told = instances
    const learning = book.ledger.isLearning(now) ? { learning: true } : {}
    for (const send of book.senders.values()) send({ type: 'grant', instances, ...learning, keys: [] })
  }

  async function round(book: Book): Promise<void> {
    book.timer = null
    if (book.isSharing) return
    book.isSharing = true
    try {
      const now = clock.monotonic()
      announce(book, now)
      for (const [instance, grant] of await book.ledger.round(now)) book.senders.get(instance)?.(grant)
      if (now - book.heardAt < LEASE_IDLE_MS) book.timer ??= clock.after(LEASE_INTERVAL_MS, () => void round(book))
    } catch (error) {
      // Instances go on by themselves, as in a partition; the next report starts the rounds again.
      logger.error({ err: error }, 'tokens of limits could not be shared out; instances decide by onPartition until they can')
    } finally {
      book.isSharing = false
    }
  }

  return {
    join(name, instance, send) {
      const book = bookOf(name)
      // Two processes with one name, or a connection that is not noticed to be dead: each has a part of its own.
      let own = instance
      for (let i = 2; book.senders.has(own); i++) own = `${instance} ${i}`
      book.senders.set(own, send)
      book.ledger.join(own, clock.monotonic())
      moved(name, book)
      let isHere = true
      return {
        leave(isClosed) {
          if (!isHere) return
          isHere = false
          book.senders.delete(own)
          book.ledger.leave(own, isClosed, clock.monotonic())
          moved(name, book)
        },
        report(lease) {
          if (!isHere) return
          book.ledger.report(own, lease, clock.monotonic())
          if (lease.bye === true) this.leave(true)
          wake(book)
        },
      }
    },
    usage: async (name, flag, limit) => bookOf(name).ledger.usage(flag, clock.monotonic(), limit),
    async totals() {
      const all = new Map<string, readonly LimitTotals[]>()
      for (const [name, { ledger }] of books) {
        const { flag } = log.state(name).documents
        const totals = await ledger.totals()
        // Probes of valves are no limit's.
        all.set(
          name,
          totals.filter(total => flag.get(total.flag)?.kind !== 'safety-valve'),
        )
      }
      return all
    },
    forget(name) {
      books.get(name)?.timer?.cancel()
      books.delete(name)
    },
    close() {
      for (const { timer } of books.values()) timer?.cancel()
      books.clear()
    },
  }
}

function readPolicy(flag: Flag, key: string): Policy | null {
  const value = flag.variations.find(variation => variation.key === key)?.value
  if (flag.kind === 'safety-valve') return probesOf(flag, value)
  const rate = flag.kind === 'rate-limit' ? rateOf(value) : null
  return rate === null ? null : policyFor(rate)
}

/** The probes of the whole fleet: so many for each time that a valve waits before it probes. None while a person's cut stands. */
function probesOf({ enabled, kills }: Flag, value: unknown): Policy | null {
  const valve = valveOf(value)
  if (valve === null) return null
  const { probes, openMs } = valve.breaker
  const isCut = valve.mode !== 'auto' || !enabled || kills.some(({ clauses }) => clauses.length === 0)
  // Whoever cannot reach the server probes by itself, and seldom: nothing is set aside for it.
  return { kind: 'rate', ratePerMs: isCut ? 0 : probes / openMs, depth: probes, onPartition: 'closed' }
}

function policyFor({ isUnlimited, ratePerMs, depth, onPartition }: Rate): Policy {
  return isUnlimited ? { kind: 'unlimited' } : { kind: 'rate', ratePerMs, depth, onPartition }
}
