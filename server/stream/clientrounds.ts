/**
 * Tells all clients of a commit, behind the SDKs and in portions: to evaluate for thousands of pages must hold up
 * neither a kill nor the API.
 */
import type { Clock } from '../clock.ts'

/** How long clients are evaluated for before everything else has its turn. */
const PORTION_MS = 2

export interface Rounds<Peer> {
  /**
   * Visit everyone soon. One that is asked for while another goes on follows it: so the last of them is reached,
   * however many commit.
   */
  start(peers: ReadonlySet<Peer>): void
}

export function openRounds<Peer>(clock: Pick<Clock, 'monotonic'>, visit: (peer: Peer) => void): Rounds<Peer> {
  const running = new Map<ReadonlySet<Peer>, { isDueAgain: boolean }>()

  function run(peers: ReadonlySet<Peer>): void {
    const round = { isDueAgain: false }
    running.set(peers, round)
    // Whoever comes meanwhile is visited too, whoever goes is not.
    const rest = peers.values()
    const portion = (): void => {
      const end = clock.monotonic() + PORTION_MS
      do {
        const { value: peer, done } = rest.next()
        if (done === true) {
          running.delete(peers)
          if (round.isDueAgain) run(peers)
          return
        }
        visit(peer)
      } while (clock.monotonic() < end)
      setImmediate(portion)
    }
    setImmediate(portion)
  }

  return {
    start(peers) {
      const round = running.get(peers)
      if (round !== undefined) round.isDueAgain = true
      else if (peers.size > 0) run(peers)
    },
  }
}
