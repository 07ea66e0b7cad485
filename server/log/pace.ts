/** Long work in pieces: between two of them the event loop has its turn, so that kills and health checks go on. */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** How long a piece may take. Short work never waits at all. */
const PIECE_MS = 20

export class Pace {
  #since = performance.now()

  /** Whether the event loop has been held long enough. */
  isDue(): boolean {
    return performance.now() - this.#since >= PIECE_MS
  }

  /** Lets the event loop have its turn. */
  async rest(): Promise<void> {
    await nextTurn()
    this.#since = performance.now()
  }
}
