/** Stalls of the event loop: while one piece of work takes long, no socket is written and no request answered. Logged and counted. */
import type { FastifyBaseLogger } from 'fastify'
import type { Clock, Timer } from '../clock.ts'

/** A pause of so long is one. A kill to ten thousand SDKs takes about as long to write. */
export const STALL_MS = 200
/** Looked for so often: a pause is known to this, and shorter ones may count when they fall between two looks. */
export const LOOK_MS = 25
/** One line in so long at most; the metrics count all of them. */
const LOG_INTERVAL_MS = 10_000

export interface Stalls {
  /** Since the start. */
  readonly count: number
  readonly totalMs: number
  /** Looks from now on. A server that starts up may take its time: nobody waits for it yet. */
  start(): void
  close(): void
}

export function openStalls(clock: Pick<Clock, 'monotonic' | 'after'>, logger: Pick<FastifyBaseLogger, 'warn'>): Stalls {
  let count = 0
  let totalMs = 0
  let lookedAt = 0
  let loggedAt = -Infinity
  let timer: Timer | null = null

  function look(): void {
    const now = clock.monotonic()
    const ms = Math.round(now - lookedAt)
    lookedAt = now
    timer = clock.after(LOOK_MS, look)
    if (ms <= STALL_MS) return
    count++
    totalMs += ms
    if (now - loggedAt < LOG_INTERVAL_MS) return
    loggedAt = now
    logger.warn({ ms, stalls: count }, `the event loop stood still for ${ms} ms: nothing was delivered or answered meanwhile`)
  }

  return {
    get count() {
      return count
    },
    get totalMs() {
      return totalMs
    },
    start() {
      lookedAt = clock.monotonic()
      timer ??= clock.after(LOOK_MS, look)
    },
    close: () => timer?.cancel(),
  }
}
