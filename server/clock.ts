/** Time as an argument: the server never asks the machine for the time itself, so that tests can move it. */
export interface Clock {
  /** Milliseconds since 1970: for what people read and for moments they set. May jump. */
  now(): number
  /** Milliseconds of a clock that only runs forward: for durations. */
  monotonic(): number
  /** Call `run` once after `ms`; the timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer
}

export interface Timer {
  cancel(): void
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    // setTimeout holds 31 bits; a longer wait is asked again by whoever set it.
    const timer = setTimeout(run, Math.min(Math.max(0, ms), 0x7fff_ffff))
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

/** A moment as the log writes it. */
export function moment(ms: number): string {
  return new Date(ms).toISOString()
}
