/** Makes a call through a valve: its time limit, how it ended, and what is done instead when it may not begin. */
import type { Clock } from '../clock.ts'
import { isThenable } from '../failure.ts'
import type { Ended, RunOptions, ValveTicket } from '../types.ts'
import { classifyError, classifyValue } from './classify.ts'
import type { ValveCutError } from './error.ts'

/** Node's timers take no more. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1
/** For calls that take no argument: shared, so it is given to nobody who could pile up listeners on it. */
const NEVER = new AbortController().signal

export interface Running<T> {
  readonly clock: Clock
  readonly ticket: ValveTicket
  readonly call: (signal: AbortSignal) => T | PromiseLike<T>
  readonly options: RunOptions<T> | RunOptions<T>['fallback']
  /** The setting's; null for none. */
  readonly timeoutMs: number | null
  /** Whether anybody looks at how long it took: to read the clock twice costs more than the valve itself. */
  readonly isTimed: boolean
  refused(): ValveCutError
  /** How the call ended, once. */
  ended(ended: Ended, ms: number): void
  /** What is wrong with what the application gave. */
  failed(error: unknown): void
}

/** Never throws, but answers a promise that may reject. */
export function run<T>(running: Running<T>): Promise<T> {
  const { ticket, call, clock } = running
  const options = typeof running.options === 'function' ? undefined : running.options
  if (!ticket.admitted) return instead(running, typeof running.options === 'function' ? running.options : options?.fallback)
  const timeoutMs = limitOf(options?.timeoutMs, running.timeoutMs)
  // Making one costs more than all the rest: for those alone that have a parameter to take it.
  const controller = call.length > 0 ? new AbortController() : null
  const startedAt = running.isTimed ? clock.monotonic() : 0
  const answered = (value: T): T => {
    running.ended(classified(running, options, undefined, value), tookMs(running, startedAt))
    return value
  }
  const threw = (error: unknown): Promise<never> => {
    running.ended(classified(running, options, error, undefined), tookMs(running, startedAt))
    return rejected(error as Error)
  }

  let result: T | PromiseLike<T>
  try {
    result = call(controller?.signal ?? NEVER)
  } catch (error) {
    return threw(error)
  }
  if (!isThenable(result)) return Promise.resolve(answered(result))
  if (timeoutMs === null) return Promise.resolve(result).then(answered, threw)
  return limited(result, timeoutMs, controller, {
    clock,
    answered,
    threw: error => void threw(error).catch(() => undefined),
    late: () => running.ended('failure', tookMs(running, startedAt)),
  })
}

function tookMs({ isTimed, clock }: Pick<Running<unknown>, 'isTimed' | 'clock'>, startedAt: number): number {
  return isTimed ? clock.monotonic() - startedAt : 0
}

function limited<T>(
  result: PromiseLike<T>,
  timeoutMs: number,
  controller: AbortController | null,
  told: {
    readonly clock: Clock
    readonly answered: (value: T) => T
    readonly threw: (error: unknown) => void
    readonly late: () => void
  },
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isOver = false
    const timer = told.clock.after(timeoutMs, () => {
      if (isOver) return
      isOver = true
      told.late()
      const error = new DOMException(`The call took longer than ${timeoutMs} ms`, 'TimeoutError')
      // First the one who waits: what the call says once it is aborted is not heard.
      reject(error)
      controller?.abort(error)
    })
    const first = (): boolean => {
      if (isOver) return false
      isOver = true
      timer.cancel()
      return true
    }
    Promise.resolve(result).then(
      value => void (first() && resolve(told.answered(value))),
      (error: Error) => {
        if (!first()) return
        told.threw(error)
        reject(error)
      },
    )
  })
}

function instead<T>(running: Running<T>, fallback: RunOptions<T>['fallback']): Promise<T> {
  const error = running.refused()
  if (typeof fallback !== 'function') return rejected(error)
  try {
    return Promise.resolve(fallback(error))
  } catch (problem) {
    return rejected(problem as Error)
  }
}

/** What the call threw is passed on as it is, whatever it is. */
function rejected(error: Error): Promise<never> {
  return Promise.reject(error)
}

function limitOf(given: number | undefined, usual: number | null): number | null {
  const ms = typeof given === 'number' && given > 0 ? given : usual
  return ms === null || ms === Infinity ? null : Math.min(ms, TIMEOUT_MAX_MS)
}

function classified<T>(running: Running<T>, options: RunOptions<T> | undefined, error: unknown, value: T | undefined): Ended {
  const classify = options?.classify
  if (typeof classify === 'function') {
    try {
      const ended = classify(error, value)
      if (ended === 'success' || ended === 'failure' || ended === 'ignore') return ended
      running.failed(new Error(`it answered ${String(ended)}, expected success, failure or ignore`))
    } catch (problem) {
      running.failed(problem)
    }
  }
  return error === undefined ? classifyValue(value) : classifyError(error)
}
