/**
 * Calls that run beside others whose answer is already known to be the right one: bounded in number and in time, and nothing of
 * theirs surfaces. Begun in a turn of their own, so that whoever has its answer goes on first.
 */
import type { Clock } from './clock.ts'

/** Writes that wait for their turn. */
export const WAITING_MAX = 1_000

/** How a call ended. */
export type Ended<T> =
  | { readonly ok: true; readonly value: T; readonly ms: number }
  | { readonly ok: false; readonly why: 'failed'; readonly error: unknown; readonly ms: number }
  /** It had no more time. What becomes of it later is of no interest. */
  | { readonly ok: false; readonly why: 'late'; readonly ms: number }
  /** There was no room for it: it was never called. */
  | { readonly ok: false; readonly why: 'dropped' }

export type Call<T> = () => T | PromiseLike<T>

interface Waiting {
  readonly key: string
  readonly since: number
  readonly start: () => void
  readonly drop: () => void
}

/** Call at once. Never rejects. */
export async function ended<T>(call: Call<T>, clock: Clock): Promise<Ended<T>> {
  const startedAt = clock.monotonic()
  try {
    const value = await call()
    return { ok: true, value, ms: clock.monotonic() - startedAt }
  } catch (error) {
    return { ok: false, why: 'failed', error, ms: clock.monotonic() - startedAt }
  }
}

export class Beside {
  readonly #clock: Clock
  readonly #max: number
  readonly #timeoutMs: number
  #running = 0
  #dropped = 0
  /** Whose write runs now. */
  readonly #busy = new Set<string>()
  /** Writes, the oldest first. */
  readonly #waiting: Waiting[] = []

  /**
   * @param max       most that run at once, at least 1
   * @param timeoutMs how long one may take, and how long a write may wait before
   */
  constructor(clock: Clock, max: number, timeoutMs: number) {
    this.#clock = clock
    this.#max = max
    this.#timeoutMs = timeoutMs
  }

  get status(): { readonly running: number; readonly waiting: number; readonly dropped: number } {
    return { running: this.#running, waiting: this.#waiting.length, dropped: this.#dropped }
  }

  /** Now, or not at all. Never rejects. */
  now<T>(call: Call<T>): Promise<Ended<T>> {
    return new Promise(resolve => {
      if (this.#running >= this.#max) this.#drop(resolve)
      else this.#start(null, call, resolve)
    })
  }

  /** One after the other for each key, in the order they came; without a key as soon as there is room. Never rejects. */
  inTurn<T>(key: string | null, call: Call<T>): Promise<Ended<T>> {
    return new Promise(resolve => {
      // Who has no key is nobody's turn: the empty text is no key of a context.
      const mine = key ?? ''
      if (this.#hasRoom(mine) && !this.#waiting.some(waiting => waiting.key === mine)) this.#start(key, call, resolve)
      else if (this.#waiting.length >= WAITING_MAX) this.#drop(resolve)
      else {
        const drop = (): void => this.#drop(resolve)
        this.#waiting.push({ key: mine, since: this.#clock.monotonic(), start: () => this.#start(key, call, resolve), drop })
      }
    })
  }

  #hasRoom(key: string): boolean {
    return this.#running < this.#max && !this.#busy.has(key)
  }

  #start<T>(key: string | null, call: Call<T>, done: (how: Ended<T>) => void): void {
    this.#running++
    if (key !== null) this.#busy.add(key)
    setImmediate(() => {
      const startedAt = this.#clock.monotonic()
      let isOver = false
      const finish = (how: Ended<T>): void => {
        if (isOver) return
        isOver = true
        timer.cancel()
        this.#running--
        if (key !== null) this.#busy.delete(key)
        done(how)
        this.#next()
      }
      const timer = this.#clock.after(this.#timeoutMs, () => finish({ ok: false, why: 'late', ms: this.#clock.monotonic() - startedAt }))
      void ended(call, this.#clock).then(finish)
    })
  }

  #next(): void {
    const now = this.#clock.monotonic()
    while (this.#waiting.length > 0 && now - this.#waiting[0]!.since > this.#timeoutMs) this.#waiting.shift()!.drop()
    const at = this.#waiting.findIndex(({ key }) => this.#hasRoom(key))
    if (at >= 0) this.#waiting.splice(at, 1)[0]!.start()
  }

  #drop(done: (how: { readonly ok: false; readonly why: 'dropped' }) => void): void {
    this.#dropped++
    done({ ok: false, why: 'dropped' })
  }
}
