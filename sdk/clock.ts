/** Time as an argument: the client never asks the machine itself, so that tests can move it. */
export interface Clock {
  /** Milliseconds since 1970: for what people read. May jump. */
  now(): number
  /** Milliseconds of a clock that only runs forward: for everything decided. */
  monotonic(): number
  /** Call `run` once after `ms`. */
  after(ms: number, run: () => void): Timer
}

export interface Timer {
  cancel(): void
}

/** The machine's own clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    let afterwards: NodeJS.Immediate | undefined
    // Not in the timer itself but once waiting sockets were read: an application that held up its process for long has
    // heard what came meanwhile before silence is judged.
    const timer = setTimeout(() => (afterwards = setImmediate(run).unref()), Math.max(0, Math.ceil(ms))).unref()
    return {
      cancel: () => {
        clearTimeout(timer)
        clearImmediate(afterwards)
      },
    }
  },
}
