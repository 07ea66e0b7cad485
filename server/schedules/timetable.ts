/**
 * When what is to be looked at next: one timer for the earliest, one run at a time for each name. It decides nothing; whoever
 * runs reads what stands in the log, so that a moment that comes twice, late or on two servers finds the work done.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Clock, Timer } from '../clock.ts'

/** The longest the timer sleeps: the wall clock may be set while it does, and moments that people set go by that. */
const SLEEP_MAX_MS = 60_000
/** After a run that failed. */
const RETRY_MS = 5_000

export interface Timetable {
  /** Run it now; once more after the run that is under way, if there is one. */
  now(name: string): void
  /** Forget it. */
  forget(name: string): void
  /** Resolves when nothing runs; for the end. */
  close(): Promise<void>
}

/**
 * @param run looks at what stands, does what is due, and answers in how many ms to be asked again; null for not by itself.
 *            When it fails it is logged and run again after a while.
 */
export function openTimetable(
  { clock, logger }: { readonly clock: Clock; readonly logger: Pick<FastifyBaseLogger, 'error'> },
  what: string,
  run: (name: string) => Promise<number | null>,
): Timetable {
  /** By name, on the clock that only runs forward. */
  const due = new Map<string, number>()
  const running = new Map<string, { again: boolean }>()
  const underway = new Set<Promise<void>>()
  let timer: Timer | null = null
  let closed = false

  const arm = (): void => {
    timer?.cancel()
    timer = null
    if (closed || due.size === 0) return
    const next = Math.min(...due.values())
    timer = clock.after(Math.max(0, next - clock.monotonic()), () => {
      const now = clock.monotonic()
      for (const [name, at] of [...due]) if (at <= now) start(name)
      arm()
    })
  }

  const start = (name: string): void => {
    if (closed) return
    const busy = running.get(name)
    if (busy !== undefined) {
      busy.again = true
      return
    }
    due.delete(name)
    const promise = go(name)
    underway.add(promise)
    void promise.finally(() => underway.delete(promise))
  }

  const go = async (name: string): Promise<void> => {
    const mine = { again: false }
    running.set(name, mine)
    let inMs: number | null = null
    do {
      mine.again = false
      try {
        inMs = await run(name)
      } catch (error) {
        if (!closed) logger.error({ err: error, name }, `${what} failed; trying again in ${RETRY_MS / 1_000} s`)
        inMs = RETRY_MS
        break
      }
    } while (mine.again && !closed)
    running.delete(name)
    if (inMs !== null) due.set(name, clock.monotonic() + Math.min(Math.max(0, inMs), SLEEP_MAX_MS))
    arm()
  }

  return {
    now: start,
    forget(name) {
      due.delete(name)
      arm()
    },
    async close() {
      closed = true
      timer?.cancel()
      await Promise.all(underway)
    },
  }
}
