/**
 * Sends what waits in the outbox: for each notifier in order, one request at a time, so that a slow place delays nobody else and
 * nothing is sent by two timers. What fails is tried again; after the last try the notifier is paused and what it has to send
 * waits. At least once: a process that ends between the answer and the note of it sends again, with the same id.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Actor } from '../../schemas/change.ts'
import type { Notifier } from '../../schemas/notifier.ts'
import { type Timer, moment } from '../clock.ts'
import type { Services } from '../services.ts'
import type { OutboxStorage } from '../storage/outbox.ts'
import type { OutboxRow } from '../storage/tables.ts'
import { attempt, type Outcome } from './attempt.ts'
import { KINDS } from './kinds.ts'
import type { Part } from './kinds/kind.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** When a message is tried, each after the one before: the schedule that Standard Webhooks recommends, three days and three hours long. */
export const RETRIES_MS = [0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR] as const
/** Each wait is longer by up to this share, drawn at random, so that many do not come back at one moment. */
const JITTER = 0.1
/** A new message is a reason to look whether a place that failed is back, but not more often than so. */
export const NEWS_TRY_MS = MINUTE
/** Messages in a row that a tool will never take, before it is taken for a mistake of the notifier. */
export const REFUSALS_MAX = 3
/** When storage fails. */
const STORAGE_RETRY_MS = 5 * SECOND
/** The longest a timer sleeps: the wall clock may be set while it does. */
const SLEEP_MAX_MS = MINUTE
const READ_AT_ONCE = 50
/** Kept of what is sent or refused, for each notifier. */
export const DELIVERIES_KEPT = 200
const TRIM_EVERY = 50

export interface Health {
  /** Failed tries in a row of what is next. */
  readonly failures: number
  /** What went wrong last; null once something was sent. */
  readonly problem: string | null
  readonly nextTryAt: number | null
}

export interface Counters {
  sent: number
  failed: number
  refused: number
}

export interface Delivery {
  /** Something was stored for it, or it has changed. */
  wake(log: string, notifier: string, isNews: boolean): void
  /** It was resumed: what waits is tried at once. */
  restart(log: string, notifier: string): Promise<void>
  health(log: string, notifier: string): Health
  /** Since the start. */
  counters(log: string, notifier: string): Readonly<Counters>
  /** Resolves when what is under way has ended. */
  close(): Promise<void>
}

interface Worker {
  readonly log: string
  readonly key: string
  running: Promise<void> | null
  isAgain: boolean
  isNews: boolean
  timer: Timer | null
  /** As a place asked for, or the pace of its kind. */
  notBefore: number
  lastTryAt: number
  /** What is done but not yet noted: it comes before everything else, so that nothing is sent for want of a note. */
  note: (() => Promise<void>) | null
  refusals: number
  untrimmed: number
  health: Health
  readonly counters: Counters
}

export function openDelivery(
  services: Pick<Services, 'log' | 'hub' | 'secrets' | 'egress' | 'clock' | 'logger'>,
  storage: OutboxStorage,
  random: () => number = Math.random,
): Delivery {
  const { log: changes, clock, logger } = services
  const workers = new Map<string, Worker>()
  let isClosed = false

  const workerOf = (log: string, key: string): Worker => {
    const place = `${log} ${key}`
    let worker = workers.get(place)
    if (worker === undefined) {
      const health = { failures: 0, problem: null, nextTryAt: null }
      const counters = { sent: 0, failed: 0, refused: 0 }
      const state = { running: null, isAgain: false, isNews: false, timer: null, note: null }
      worker = { log, key, ...state, notBefore: 0, lastTryAt: -Infinity, refusals: 0, untrimmed: TRIM_EVERY, health, counters }
      workers.set(place, worker)
    }
    return worker
  }

  const start = (worker: Worker): void => {
    if (isClosed) return
    if (worker.running !== null) {
      worker.isAgain = true
      return
    }
    worker.timer?.cancel()
    worker.timer = null
    worker.running = run(worker).finally(() => {
      worker.running = null
      if (!worker.isAgain) return
      worker.isAgain = false
      start(worker)
    })
  }

  const sleep = (worker: Worker, until: number): void => {
    if (isClosed) return
    worker.timer?.cancel()
    worker.timer = clock.after(Math.min(Math.max(0, until - clock.now()), SLEEP_MAX_MS), () => start(worker))
  }

  const run = async (worker: Worker): Promise<void> => {
    try {
      for (;;) {
        const until = await step(worker)
        if (isClosed || until === null) return
        if (until > clock.now()) return sleep(worker, until)
        await nextTurn()
      }
    } catch (error) {
      if (isClosed) return
      logger.warn({ err: error, log: worker.log, notifier: worker.key }, 'The outbox cannot be read or written; trying again in 5 s')
      sleep(worker, clock.now() + STORAGE_RETRY_MS)
    }
  }

  /** One thing done; answers when to go on, null for not before somebody says so. */
  const step = async (worker: Worker): Promise<number | null> => {
    const { log, key } = worker
    if (worker.note !== null) {
      await worker.note()
      worker.note = null
    }
    const notifier = changes.state(log).documents.notifier.get(key)
    if (notifier === undefined || !notifier.enabled || notifier.paused !== null) {
      worker.health = { failures: 0, problem: null, nextTryAt: null }
      return null
    }
    const rows = await storage.waiting(log, key, READ_AT_ONCE)
    const [head] = rows
    if (head === undefined) {
      worker.isNews = false
      worker.health = { failures: 0, problem: null, nextTryAt: null }
      await trim(worker)
      return null
    }
    const now = clock.now()
    const isNews = worker.isNews && now - worker.lastTryAt >= NEWS_TRY_MS
    worker.isNews = false
    const due = Math.max(worker.notBefore, isNews ? now : head.nextAt)
    if (due > now) {
      worker.health = { ...worker.health, failures: head.tries, problem: worker.health.problem ?? head.lastText, nextTryAt: due }
      return due
    }
    worker.lastTryAt = now
    // What is told early does not use up the tries of the schedule.
    await deliver(worker, notifier, rows, isNews && head.nextAt > now)
    return clock.now()
  }

  const deliver = async (worker: Worker, notifier: Notifier, rows: readonly OutboxRow[], isExtra: boolean): Promise<void> => {
    const { log, counters } = worker
    const kind = KINDS[notifier.kind]
    const [head] = rows
    const [first, ...others] = rows.map(row => ({ id: row.id, part: JSON.parse(row.body) as Part }))
    if (head === undefined || first === undefined) return
    const count = kind.together([first.part, ...others.map(each => each.part)])
    const outcome = await attempt(services, log, notifier, [first, ...others.slice(0, count - 1)])
    // It was ended by the close, which says nothing of the place.
    if (isClosed && outcome.kind === 'again') return
    const at = clock.now()
    const tried = { at, status: outcome.status, text: outcome.text }
    const ids = rows.slice(0, count).map(row => row.id)
    worker.notBefore = at + Math.max(kind.spacingMs, outcome.retryAfterMs ?? 0)
    if (outcome.kind === 'sent' || (outcome.kind === 'refused' && worker.refusals + 1 < REFUSALS_MAX)) {
      const state = outcome.kind
      counters[state] += count
      worker.refusals = state === 'sent' ? 0 : worker.refusals + 1
      worker.untrimmed += count
      worker.health = { failures: 0, problem: state === 'sent' ? null : outcome.text, nextTryAt: null }
      if (state === 'refused') logger.warn({ log, notifier: notifier.key, message: ids }, `A message was refused for good: ${outcome.text}`)
      worker.note = () => storage.settle(ids, state, tried)
      return
    }
    counters.failed++
    const tries = head.tries + (isExtra ? 0 : 1)
    const wait = RETRIES_MS[tries]
    const planned = isExtra ? head.nextAt : at + Math.round((wait ?? 0) * (1 + JITTER * random()))
    const nextAt = Math.max(planned, worker.notBefore)
    worker.health = { failures: tries, problem: outcome.text, nextTryAt: nextAt }
    const why = whyPaused(outcome, wait === undefined)
    worker.note = async () => {
      await storage.postpone(head.id, tries, nextAt, tried)
      if (why !== null) await pause(log, notifier.key, why)
    }
    if (why === null) logger.info({ log, notifier: notifier.key, tries }, `A message was not taken: ${outcome.text}; trying again`)
  }

  const whyPaused = ({ kind, text }: Outcome, isLast: boolean): string | null => {
    if (kind === 'gone') return `the place ${text}: it asks for nothing more`
    if (kind === 'refused') return `${REFUSALS_MAX} messages in a row were refused, the last ${text}`
    return isLast ? `${RETRIES_MS.length} tries failed, the last: ${text}` : null
  }

  const pause = async (log: string, key: string, why: string): Promise<void> => {
    logger.error({ log, notifier: key }, `Notifier paused: ${why}. What it has to send waits until it is resumed`)
    await changes.commit({
      log,
      actor: notifierActor(key),
      action: 'notifier.pause',
      comment: why,
      plan(state) {
        const notifier = state.documents.notifier.get(key)
        if (notifier === undefined || notifier.paused !== null) return []
        return [{ type: 'notifier', key, after: { ...notifier, paused: { at: moment(clock.now()), why } } }]
      },
    })
  }

  const trim = async (worker: Worker): Promise<void> => {
    if (worker.untrimmed < TRIM_EVERY) return
    await storage.trim(worker.log, worker.key, DELIVERIES_KEPT)
    worker.untrimmed = 0
  }

  return {
    wake(log, key, isNews) {
      const worker = workerOf(log, key)
      worker.isNews ||= isNews
      start(worker)
    },
    async restart(log, key) {
      await storage.restart(log, key, clock.now())
      const worker = workerOf(log, key)
      worker.notBefore = 0
      worker.refusals = 0
      start(worker)
    },
    health: (log, key) => workers.get(`${log} ${key}`)?.health ?? { failures: 0, problem: null, nextTryAt: null },
    counters: (log, key) => workers.get(`${log} ${key}`)?.counters ?? { sent: 0, failed: 0, refused: 0 },
    async close() {
      isClosed = true
      for (const { timer } of workers.values()) timer?.cancel()
      await Promise.all([...workers.values()].flatMap(({ running }) => running ?? []))
      // What was sent is noted, or else it is sent again.
      for (const { note } of workers.values())
        await note?.().catch((error: unknown) => logger.warn({ err: error }, 'What was sent could not be noted: it will be sent again'))
    },
  }
}

/** How the log names the server where it acts for a notifier. */
export function notifierActor(key: string): Actor {
  return { kind: 'system', id: 'notifier', name: `notifier "${key}"` }
}
