/** Sockets are looked at in turns, so that the beats of ten thousand never hold up one change. */
import { BEAT_INTERVAL_MS } from '../../schemas/stream.ts'
import type { Clock, Timer } from '../clock.ts'

const TURN_MS = 100
const TURNS_PER_BEAT = BEAT_INTERVAL_MS / TURN_MS
/** Every socket is looked at once in so many turns: once a second. */
const TURNS_PER_TICK = 10

export interface Turns<Peer> {
  readonly count: number
  /** @returns what takes it out again */
  add(peer: Peer): () => void
  all(): Peer[]
  close(): void
}

/** Runs while there is somebody to look at. */
export function openTurns<Peer>(
  clock: Pick<Clock, 'after'>,
  look: {
    /** Before the others of the turn. */
    turn(): void
    /** Once a second for each. */
    tick(peer: Peer): void
    /** Once in `BEAT_INTERVAL_MS` for each. */
    beat(peer: Peer): void
  },
): Turns<Peer> {
  const places: readonly Set<Peer>[] = Array.from({ length: TURNS_PER_BEAT }, () => new Set())
  let count = 0
  let turn = 0
  let nextPlace = 0
  let timer: Timer | null = null

  function takeTurn(): void {
    timer = count === 0 ? null : clock.after(TURN_MS, takeTurn)
    turn = (turn + 1) % TURNS_PER_BEAT
    look.turn()
    // Copies: whoever is looked at may go.
    for (let i = turn % TURNS_PER_TICK; i < TURNS_PER_BEAT; i += TURNS_PER_TICK) {
      for (const peer of [...(places[i] ?? [])]) look.tick(peer)
    }
    for (const peer of [...(places[turn] ?? [])]) look.beat(peer)
  }

  return {
    get count() {
      return count
    },
    add(peer) {
      nextPlace = (nextPlace + 1) % TURNS_PER_BEAT
      const place = places[nextPlace]
      place?.add(peer)
      count++
      timer ??= clock.after(TURN_MS, takeTurn)
      return () => {
        if (place?.delete(peer) === true) count--
      }
    },
    all: () => places.flatMap(place => [...place]),
    close() {
      timer?.cancel()
      timer = null
    },
  }
}
