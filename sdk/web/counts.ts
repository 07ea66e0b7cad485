/** Sums of what the page asked for and tracked, cut into messages that the server takes. What does not fit is dropped. */
import { KEY_LENGTH_MAX } from '../../schemas/limits.ts'
import { TRACKED_MAX } from '../../schemas/protocol.ts'
import type { Evaluated } from './messages.ts'

/** Rows that wait for a stream. */
export const ROWS_MAX = 500
/** Of one message, in characters of JSON: below the server's limit, whatever bytes they become. */
const MESSAGE_CHARACTERS_MAX = 4_000
/** Of one report: the server bounds how many it takes. The rest waits for the next. */
const MESSAGES_MAX = 3

interface Row {
  readonly flag: string
  readonly variation: string | null
  readonly reason: string
  count: number
}

interface Tracked {
  readonly event: string
  count: number
  value: number
}

export class Counts {
  readonly #rows = new Map<string, Row>()
  readonly #tracked = new Map<string, Tracked>()

  /** Takes over what was counted on an evaluation. */
  collect(evaluations: Iterable<Evaluated>): void {
    for (const evaluated of evaluations) {
      const { item, variation, reason, count } = evaluated
      evaluated.count = 0
      if (count > 0)
        add(
          this.#rows,
          ROWS_MAX,
          `${item.key}\n${variation}\n${reason}`,
          { flag: item.key, variation, reason, count: 0 },
          row => (row.count += count),
        )
    }
  }

  track(event: string, value: number): void {
    if (typeof event !== 'string' || event === '' || event.length > KEY_LENGTH_MAX) return
    add(this.#tracked, TRACKED_MAX, event, { event, count: 0, value: 0 }, one => {
      one.count++
      one.value += Number.isFinite(value) ? value : 0
    })
  }

  /** What there is to say, as messages; it is gone from here. */
  take(): readonly string[] {
    const messages: string[] = []
    while (this.#rows.size + this.#tracked.size > 0 && messages.length < MESSAGES_MAX) {
      const room = { left: MESSAGE_CHARACTERS_MAX }
      const counts = fill(this.#rows, room)
      const tracked = fill(this.#tracked, room)
      messages.push(JSON.stringify({ type: 'counts', counts, tracked }))
    }
    return messages
  }
}

function add<T>(sums: Map<string, T>, most: number, key: string, empty: T, change: (one: T) => void): void {
  const one = sums.get(key) ?? (sums.size < most ? empty : null)
  if (one === null) return
  sums.set(key, one)
  change(one)
}

function fill<T>(sums: Map<string, T>, room: { left: number }): T[] {
  const taken: T[] = []
  for (const [key, one] of sums) {
    if (room.left <= 0) break
    room.left -= JSON.stringify(one).length
    taken.push(one)
    sums.delete(key)
  }
  return taken
}
