/**
 * The end of a server's streams: everyone is told when to come back, then closed. The moments are spread, so that the
 * fleet does not stand before the next server as one, and no faster than that server admits.
 */
import type { Clock } from '../clock.ts'

/** Clients come back no sooner than this, and spread over at least and at most so long. */
const AFTER_MS = 1_000
const SPREAD_MIN_MS = 1_000
const SPREAD_MAX_MS = 60_000
/** The spread leaves half of what is admitted to others: those who were refused, and those of the next server's own. */
const SHARE = 0.5
/** How long a drain waits for the sockets to close before it destroys them. */
const WAIT_MS = 2_000

/** @returns how long a fleet is asked to stay away at least, and over how long it is spread */
export function comeBack(sockets: number, handshakesPerSecond: number): { readonly afterMs: number; readonly spreadMs: number } {
  const needMs = (sockets / (handshakesPerSecond * SHARE)) * 1_000
  return { afterMs: AFTER_MS, spreadMs: Math.round(Math.min(SPREAD_MAX_MS, Math.max(SPREAD_MIN_MS, needMs))) }
}

export interface Leaving {
  /** When the last socket is gone. */
  readonly empty: Promise<void>
  /** Says farewell to everyone. */
  dismiss(): void
  /** Destroys what is left. */
  terminate(): void
}

/** @param closeTimeoutMs how long closing the whole server may take */
export async function drainStreams(clock: Pick<Clock, 'after'>, closeTimeoutMs: number, leaving: Leaving): Promise<void> {
  const late = new Promise<void>(resolve => {
    const timer = clock.after(Math.min(WAIT_MS, closeTimeoutMs / 2), resolve)
    void leaving.empty.then(() => timer.cancel())
  })
  leaving.dismiss()
  await Promise.race([leaving.empty, late])
  leaving.terminate()
}
