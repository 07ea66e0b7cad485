/** Waiting for something without keeping the server from closing: a wait ends when it happens, in time, or with the server. */
import { setMaxListeners } from 'node:events'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'

/** Most milliseconds one request may wait. */
export const WAIT_MAX_MS = 30_000

/** Aborted when the server begins to close, so that no waiting request delays it. */
export function closing(app: FastifyInstance): AbortSignal {
  const controller = new AbortController()
  // One listener per waiting request is not a leak.
  setMaxListeners(0, controller.signal)
  app.addHook('preClose', async () => controller.abort())
  return controller.signal
}

/**
 * Resolves when `begin` calls its argument, after `ms`, when `signal` aborts or when the caller hangs up.
 * @param begin starts listening and answers how to stop
 */
export function until(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  call: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  begin: (done: () => void) => () => void,
): Promise<void> {
  return new Promise(resolve => {
    if (ms <= 0 || signal.aborted || call.request.raw.socket.destroyed) {
      resolve()
      return
    }
    const timer = clock.after(ms, done)
    const stop = begin(done)
    signal.addEventListener('abort', done)
    call.request.raw.socket.once('close', done)
    function done(): void {
      timer.cancel()
      stop()
      signal.removeEventListener('abort', done)
      call.request.raw.socket.off('close', done)
      // A connection that stayed open for the next request would be waited for.
      if (signal.aborted) call.reply.header('connection', 'close')
      resolve()
    }
  })
}
