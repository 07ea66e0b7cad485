/**
 * Alerts: stored before the delivery is answered, each edge once, and told afterwards to whoever listens, in the order they
 * came in. What was stored and not told when the process ended is told at the next start.
 */
import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Alert } from '../../schemas/alert.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Alerts } from '../services.ts'
import type { AlertStorage, Arrival, Taken } from '../storage/alerts.ts'
import type { AlertRow } from '../storage/tables.ts'

/** Deliveries that may wait to be stored; more are told to come again. */
export const WAITING_MAX = 1_000
/** Alerts that may wait to be told. */
export const UNTOLD_MAX = 20_000
/** What those that were taken just before the limit may have brought, at the most. */
const UNTOLD_READ_MAX = 100_000
/** Deliveries stored in one transaction: a kill that comes meanwhile waits for no more than these. */
const TOGETHER_MAX = 50
/** Alerts told between two turns of the event loop. */
const TOLD_TOGETHER_MAX = 100
/** A tool that never says that an alert is over has forgotten it after so long without a word. */
export const FIRING_MAX_MS = 7 * 24 * 3_600_000
/** And how many fire at once; beyond that those that were delivered longest ago are let go. */
export const FIRING_KEPT = 20_000
/** How long an edge is known, so that a repetition is told from a new one. */
export const ALERTS_KEPT_MS = 30 * 24 * 3_600_000
/** And how many of them. */
export const ALERTS_KEPT = 100_000
/** Deliveries go by number per hook; those of a hook that is not used any more go after this. */
export const DELIVERIES_KEPT_MS = 30 * 24 * 3_600_000
const CLEAN_INTERVAL_MS = 10 * 60_000
const RETRY_MS = 2_000
/** For those who are being told when the server closes. */
const CLOSE_WAIT_MS = 2_000

type Listener = Parameters<Alerts['subscribe']>[0]

export interface AlertsHandle extends Alerts {
  /**
   * Store a delivery and what came of it; it is told later.
   * Errors: `NOT_READY` (too many wait), `STORAGE_FULL`, `STORAGE_UNAVAILABLE`, `LOG_DAMAGED`.
   */
  take(arrival: Arrival): Promise<Taken>
  /** Alerts stored and not told yet. */
  readonly untold: number
  /** Tell from now on, once whoever listens has subscribed. */
  start(): void
  /** Stores what waits, and tells nothing more: the next start does. */
  close(): Promise<void>
}

export interface AlertsOptions {
  readonly storage: AlertStorage
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'warn' | 'error'>
}

/** Errors: `STORAGE_UNAVAILABLE`, `LOG_DAMAGED`. */
export async function openAlerts({ storage, clock, logger }: AlertsOptions): Promise<AlertsHandle> {
  const listeners = new Set<Listener>()
  /** What fires, per log, by the id of its row. */
  const firing = new Map<string, Map<string, Alert>>()
  for (const row of await storage.standing()) note(row)
  const untold: AlertRow[] = [...(await storage.untold(UNTOLD_READ_MAX))]

  const waiting: { arrival: Arrival; resolve: (taken: Taken) => void; reject: (error: unknown) => void }[] = []
  let storing: Promise<void> | null = null
  let telling: Promise<void> | null = null
  let started = false
  let closed = false
  let isGivenUp = false
  let timer: Timer | null = null
  /** Ends the pause before another try. */
  let wake: (() => void) | null = null
  arm()

  function note(row: AlertRow): void {
    const alerts = firing.get(row.log) ?? new Map<string, Alert>()
    alerts.set(row.id, JSON.parse(row.body) as Alert)
    firing.set(row.log, alerts)
  }

  async function store(): Promise<void> {
    while (waiting.length > 0) {
      const part = waiting.splice(0, TOGETHER_MAX)
      try {
        const taken = await storage.take(part.map(each => each.arrival))
        for (const [i, each] of taken.entries()) {
          keep(each)
          part[i]?.resolve(each)
        }
        tell()
      } catch (error) {
        for (const each of part) each.reject(error)
      }
      await nextTurn()
    }
    storing = null
  }

  function keep({ placed, delivery }: Taken): void {
    for (const { row, ended } of placed) {
      for (const id of ended) firing.get(delivery.log)?.delete(id)
      if (row === null) continue
      if (row.standing === 1) note(row)
      untold.push(row)
    }
  }

  function tell(): void {
    if (started && !closed && untold.length > 0) telling ??= tellAll()
  }

  async function tellAll(): Promise<void> {
    while (untold.length > 0 && !closed) {
      await nextTurn()
      const part = untold.slice(0, TOLD_TOGETHER_MAX)
      await Promise.all(part.flatMap(row => [...listeners].map(listener => told(listener, row))))
      // Closed meanwhile, and perhaps the database too.
      if (isGivenUp) return
      untold.splice(0, part.length)
      await markTold(part.map(row => row.id))
    }
    telling = null
  }

  async function told(listener: Listener, row: AlertRow): Promise<void> {
    try {
      await listener({ log: row.log, alert: JSON.parse(row.body) as Alert, mayAct: row.mayAct === 1, dryRun: row.dryRun === 1 })
    } catch (err) {
      logger.error({ err, alert: row.id }, 'a listener to alerts failed; the others are told all the same')
    }
  }

  async function markTold(ids: readonly string[]): Promise<void> {
    for (;;) {
      try {
        return await storage.setTold(ids)
      } catch (err) {
        if (closed) return
        logger.warn({ err, alerts: ids.length }, `that alerts were told cannot be stored; trying again in ${RETRY_MS / 1_000} s`)
        await new Promise<void>(resolve => {
          wake = resolve
          clock.after(RETRY_MS, resolve)
        })
      }
    }
  }

  function arm(): void {
    timer = clock.after(CLEAN_INTERVAL_MS, () => {
      void clean().finally(() => {
        if (!closed) arm()
      })
    })
  }

  async function clean(): Promise<void> {
    const now = clock.now()
    try {
      const forgotten = new Set(await storage.endBefore(now - FIRING_MAX_MS, FIRING_KEPT))
      for (const alerts of firing.values()) for (const id of alerts.keys()) if (forgotten.has(id)) alerts.delete(id)
      await storage.drop({ seenAt: now - ALERTS_KEPT_MS, deliveredAt: now - DELIVERIES_KEPT_MS, keep: ALERTS_KEPT })
    } catch (err) {
      logger.warn({ err }, `alerts could not be cleaned up; trying again in ${CLEAN_INTERVAL_MS / 60_000} min`)
    }
  }

  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async recent(log, query) {
      return (await storage.recent(log, query)).map(row => JSON.parse(row.body) as Alert)
    },
    firing: log => [...(firing.get(log)?.values() ?? [])],
    take(arrival) {
      if (closed || waiting.length >= WAITING_MAX || untold.length >= UNTOLD_MAX) {
        return Promise.reject(new SluiceError('NOT_READY', 'More is delivered than this server can store at the moment. Send it again.'))
      }
      const taken = new Promise<Taken>((resolve, reject) => waiting.push({ arrival, resolve, reject }))
      storing ??= store()
      return taken
    },
    get untold() {
      return untold.length
    },
    start() {
      started = true
      tell()
    },
    async close() {
      closed = true
      timer?.cancel()
      wake?.()
      await storing
      // Who does not come to an end keeps nobody from closing; what it was told is told again at the next start.
      const waited = new AbortController()
      await Promise.race([telling, pause(CLOSE_WAIT_MS, undefined, { signal: waited.signal }).catch(() => undefined)])
      waited.abort()
      isGivenUp = true
    },
  }
}

let lastMs = 0
let inMs = 0

/** An id that sorts by when it was made, also within a millisecond. */
export function sortedId(prefix: string, now: number): string {
  const ms = Math.max(now, lastMs)
  inMs = ms === lastMs ? inMs + 1 : 0
  lastMs = ms
  return `${prefix}_${ms.toString(36).padStart(9, '0')}${inMs.toString(36).padStart(4, '0')}${randomBytes(5).toString('hex')}`
}
