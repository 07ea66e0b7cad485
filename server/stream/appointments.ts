/**
 * When those who come too fast are told to come back: each at a moment of its own, no faster than they can be let in. A
 * fleet that stands before the server as one is then refused once, and not again and again by chance.
 */
import type { Clock } from '../clock.ts'

/** Nobody is sent away for longer; when all of this is given away it is given away once more. */
export const APPOINTMENT_MAX_MS = 30_000
/** The share of the rate that is given away; the rest is for who comes without. */
const SHARE = 0.8

export interface Appointments {
  /** @returns in how many ms, below `APPOINTMENT_MAX_MS` */
  next(): number
}

export function openAppointments(clock: Pick<Clock, 'monotonic'>, perSecond: number): Appointments {
  const stepMs = 1_000 / (perSecond * SHARE)
  let last = -Infinity
  return {
    next() {
      const now = clock.monotonic()
      last = Math.max(last, now) + stepMs
      if (last - now >= APPOINTMENT_MAX_MS) last = now
      return last - now
    },
  }
}
