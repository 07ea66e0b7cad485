/**
 * When the cache file is written: soon after a change, at most once a second, one writing at a time. A file that cannot
 * be written is told once and tried again every minute, so that a disk that was full does not leave last week's flags.
 */
import type { Cache } from './cache.ts'
import type { Clock, Timer } from './clock.ts'
import { messageOf } from './failure.ts'
import type { Whole } from './messages.ts'
import type { Logger } from './types.ts'

const INTERVAL_MS = 1_000
const RETRY_MS = 60_000

export class Saver {
  readonly #cache: Cache
  readonly #clock: Clock
  readonly #logger: Required<Logger>
  readonly #current: () => Whole | null
  #timer: Timer | null = null
  #saving: Promise<void> | null = null
  #savedAt = -Infinity
  /** What is held is newer than the file. */
  #isDue = false
  #hasFailed = false
  #isClosed = false

  /** @param current what is to be saved at this moment; null for nothing */
  constructor(cache: Cache, clock: Clock, logger: Required<Logger>, current: () => Whole | null) {
    this.#cache = cache
    this.#clock = clock
    this.#logger = logger
    this.#current = current
  }

  /** Something was taken that is to be in the file. */
  changed(): void {
    this.#isDue = true
    this.#later()
  }

  /** Until the file holds what is held, or could not be written. Nothing is written afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#saving
    if (this.#isDue) this.#start()
    await this.#saving
  }

  #later(): void {
    if (this.#timer !== null || this.#saving !== null || this.#isClosed) return
    const wait = this.#savedAt + (this.#hasFailed ? RETRY_MS : INTERVAL_MS) - this.#clock.monotonic()
    this.#timer = this.#clock.after(Math.max(0, wait), () => {
      this.#timer = null
      this.#start()
    })
  }

  #start(): void {
    const whole = this.#current()
    if (whole === null) return
    this.#isDue = false
    this.#savedAt = this.#clock.monotonic()
    this.#saving = this.#cache.save(whole).then(
      () => this.#ended(null),
      (error: unknown) =>
        this.#ended(`The cache file could not be written: ${messageOf(error)}. The older one stands; trying again every minute`),
    )
  }

  #ended(problem: string | null): void {
    this.#saving = null
    if (problem !== null) {
      this.#isDue = true
      if (!this.#hasFailed) this.#logger.warn(problem)
    }
    this.#hasFailed = problem !== null
    if (this.#isDue) this.#later()
  }
}
