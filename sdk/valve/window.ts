/**
 * The calls of the last stretch of time, counted in buckets. A call is counted when it begins, and how it ended in the bucket it
 * began in: so those that have begun and not ended are known, and how old they are. Pure: time is an argument.
 */

/** What the window holds, summed. None is ever negative, and `bad` ≤ `ended` ≤ `calls`. */
export interface Sums {
  /** Let through, whether they have ended or not. */
  readonly calls: number
  readonly ended: number
  readonly failures: number
  readonly slow: number
  /** Failed or slow: what the dependency did not answer well. */
  readonly bad: number
  /** Turned away because the valve had narrowed. */
  readonly rejected: number
}

/** What the throttle goes by: what was asked, as far as it is known how that ended, and what was answered well. */
export interface Asked {
  readonly requests: number
  readonly accepts: number
}

const CALLS = 0
const ENDED = 1
const FAILURES = 2
const SLOW = 3
const BAD = 4
const REJECTED = 5
const WIDTH = 6

export class Window {
  readonly #buckets: number
  readonly #bucketMs: number
  /** Of each bucket, `WIDTH` numbers. */
  readonly #counts: Float64Array
  readonly #sums = new Float64Array(WIDTH)
  /** Where the bucket that calls are counted in now begins in `#counts`. */
  #at: number
  /** Numbers of buckets since time began: the one now, and the first one of this window. */
  #epoch: number
  #first: number
  #since: number

  constructor(windowMs: number, buckets: number, now: number) {
    this.#buckets = buckets
    this.#bucketMs = windowMs / buckets
    this.#counts = new Float64Array(buckets * WIDTH)
    this.#epoch = Math.floor(now / this.#bucketMs)
    this.#first = this.#epoch
    this.#since = now
    this.#at = this.#placeOf(this.#epoch)
  }

  /** The bucket that begins now; `end` and `forget` are told which one a call began in. */
  get epoch(): number {
    return this.#epoch
  }

  get sums(): Sums {
    const sums = this.#sums
    return {
      calls: sums[CALLS]!,
      ended: sums[ENDED]!,
      failures: sums[FAILURES]!,
      slow: sums[SLOW]!,
      bad: sums[BAD]!,
      rejected: sums[REJECTED]!,
    }
  }

  /** For how long it has looked, at most the whole window. */
  spanMs(now: number): number {
    return Math.min(this.#buckets * this.#bucketMs, now - this.#since)
  }

  call(): void {
    this.#counts[this.#at]!++
    this.#sums[CALLS]!++
  }

  reject(): void {
    this.#counts[this.#at + REJECTED]!++
    this.#sums[REJECTED]!++
  }

  /** A call ended that began in `epoch`. One that has left the window is nobody's any more. @returns whether it counts */
  end(epoch: number, isFailure: boolean, isSlow: boolean): boolean {
    if (!this.#holds(epoch)) return false
    const at = this.#placeOf(epoch)
    this.#counts[at + ENDED]!++
    this.#sums[ENDED]!++
    if (isFailure) this.#add(at, FAILURES)
    if (isSlow) this.#add(at, SLOW)
    if (isFailure || isSlow) this.#add(at, BAD)
    return true
  }

  /** A call that says nothing about the dependency: as if it had not been made. */
  forget(epoch: number): void {
    if (!this.#holds(epoch)) return
    this.#counts[this.#placeOf(epoch)]!--
    this.#sums[CALLS]!--
  }

  /** Time goes on; a clock that stands still or goes back changes nothing. */
  turn(now: number): void {
    const epoch = Math.floor(now / this.#bucketMs)
    let left = Math.min(epoch - this.#epoch, this.#buckets)
    if (left <= 0) return
    for (; left > 0; left--) this.#empty(this.#placeOf(epoch - left + 1))
    this.#epoch = epoch
    this.#at = this.#placeOf(epoch)
  }

  /** All is forgotten, calls under way included. */
  clear(now: number): void {
    this.turn(now)
    this.#counts.fill(0)
    this.#sums.fill(0)
    // The bucket that has begun may have calls of before under way: the next one is the first to be theirs.
    this.#epoch++
    this.#at = this.#placeOf(this.#epoch)
    this.#first = this.#epoch
    this.#since = now
  }

  /**
   * What was asked in the last buckets, and answered well.
   * @param spanMs  how far back, in whole buckets; `Infinity` for the window
   * @param graceMs calls under way that are no older are not counted: nobody can know yet
   */
  asked(spanMs: number, graceMs: number): Asked {
    const counts = this.#counts
    const last = Math.min(this.#buckets, Math.max(1, Math.ceil(spanMs / this.#bucketMs)), this.#epoch - this.#first + 1)
    const young = Math.floor(graceMs / this.#bucketMs) + 2
    let [requests, accepts] = [0, 0]
    for (let i = 0; i < last; i++) {
      const at = this.#placeOf(this.#epoch - i)
      requests += counts[at + REJECTED]! + (i < young ? counts[at + ENDED]! : counts[at + CALLS]!)
      accepts += counts[at + ENDED]! - counts[at + BAD]!
    }
    return { requests, accepts }
  }

  /** Calls that ended of those begun in the last `spanMs`, in whole buckets, and how many of them ended badly. */
  recent(spanMs: number): { readonly ended: number; readonly bad: number } {
    const last = Math.min(this.#buckets, Math.floor(spanMs / this.#bucketMs) + 1)
    let [ended, bad] = [0, 0]
    for (let i = 0; i < last; i++) {
      const at = this.#placeOf(this.#epoch - i)
      ended += this.#counts[at + ENDED]!
      bad += this.#counts[at + BAD]!
    }
    return { ended, bad }
  }

  #add(at: number, what: number): void {
    this.#counts[at + what]!++
    this.#sums[what]!++
  }

  #empty(at: number): void {
    for (let i = 0; i < WIDTH; i++) {
      this.#sums[i]! -= this.#counts[at + i]!
      this.#counts[at + i] = 0
    }
  }

  #holds(epoch: number): boolean {
    return epoch >= this.#first && epoch > this.#epoch - this.#buckets && epoch <= this.#epoch
  }

  #placeOf(epoch: number): number {
    return (((epoch % this.#buckets) + this.#buckets) % this.#buckets) * WIDTH
  }
}
