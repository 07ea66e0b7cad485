/** A clock that tests move by hand: nothing happens until `advance` says so, and then in the order of the moments set. */
import type { Clock, Timer } from '../server/clock.ts'

export interface ManualClock extends Clock {
  /** Move on by `ms`; timers that fall due run in order, each seeing its own moment, those set on the way included. */
  advance(ms: number): void
  /** The wall clock jumps (a correction, a wrong battery); durations and timers do not notice. */
  jump(ms: number): void
  /** The machine sleeps for `ms`: time goes on, and timers that fell due run when it is over, all of them late. */
  sleep(ms: number): void
  /** How many timers are waiting. */
  readonly waiting: number
}

/** @param startMs ms since 1970; a round number that is easy to recognise unless given */
export function manualClock(startMs: number = Date.parse('2026-11-21T03:00:00.000Z')): ManualClock {
  let elapsed = 0
  let offset = startMs
  let order = 0
  const timers = new Set<{ due: number; order: number; run: () => void }>()
  return {
    now: () => offset + elapsed,
    monotonic: () => elapsed,
    after(ms, run): Timer {
      const timer = { due: elapsed + Math.max(0, ms), order: order++, run }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
    advance(ms) {
      const end = elapsed + ms
      for (;;) {
        let next: { due: number; order: number; run: () => void } | null = null
        for (const timer of timers) {
          if (timer.due <= end && (next === null || timer.due < next.due || (timer.due === next.due && timer.order < next.order)))
            next = timer
        }
        if (next === null) break
        timers.delete(next)
        elapsed = Math.max(elapsed, next.due)
        next.run()
      }
      elapsed = end
    },
    jump(ms) {
      offset += ms
    },
    sleep(ms) {
      elapsed += ms
      this.advance(0)
    },
    get waiting() {
      return timers.size
    },
  }
}
