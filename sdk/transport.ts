/**
 * The only part that touches the network: one websocket at a time, polls and reports. Decides nothing. Sockets do not
 * keep the process alive: an application whose work is done ends, connected or not.
 */
import { Socket } from 'node:net'
import { Agent, buildConnector, type Dispatcher, request, WebSocket } from 'undici'
import { RULESET_BYTES_MAX } from '../schemas/limits.ts'
import { PROTOCOL } from '../schemas/protocol.ts'
import { CONNECT_TIMEOUT_MS, type Loss, type Place, type PollAnswer } from './connection.ts'
import { messageOf } from './failure.ts'
import { readRuleset } from './messages.ts'
import { VERSION } from './version.ts'

/** Largest message or answer taken: the largest ruleset and what stands around it. */
const PAYLOAD_BYTES_MAX = RULESET_BYTES_MAX + 1024 * 1024
/** How long the server may take to start answering a poll or report, and to send each further part. */
const ANSWER_TIMEOUT_MS = 10_000
/** How long a whole answer may take. */
const TRANSFER_TIMEOUT_MS = 120_000
/** How long a socket that is let go may take to get rid of what was sent: one whose other end is dead never would. */
const FLUSH_TIMEOUT_MS = 1_500

export interface Transport {
  /** Start a link. Its events come later, never from within this call, and none after `drop`. */
  open(events: LinkEvents): Link
  /** Ask `GET /ruleset`. Never rejects. */
  poll(held: Place, signal: AbortSignal): Promise<PollAnswer>
  /** Send `POST /telemetry`; resolves to whether it was taken. Never rejects. */
  report(body: string): Promise<boolean>
  /** Drop what is open. Resolves once what was sent on the way has left, or could not within a second or two. */
  close(): Promise<void>
}

export interface LinkEvents {
  opened(): void
  message(text: string): void
  /** Once, at the end, however it came. `retryAfterMs`: how long the server asks to be left alone. */
  lost(why: Loss, retryAfterMs?: number): void
}

export interface Link {
  send(text: string): void
  drop(): void
  /** Grows with every byte received: a large transfer shows as life before it is whole. */
  bytesRead(): number
}

/**
 * @param base the server's address, `http://` or `https://`, without a trailing slash
 */
export function networkTransport(base: string, key: string): Transport {
  const headers = { authorization: `Bearer ${key}`, 'user-agent': `sluice-sdk/${VERSION}` }
  const connector = buildConnector({ timeout: CONNECT_TIMEOUT_MS })
  const links = new Set<Link>()
  /** Let go, with something still to be sent. */
  const leaving = new Map<Socket, Promise<void>>()

  /**
   * An agent that shows its sockets, and lets the process end.
   * @param created   told of each socket when it starts to connect
   * @param connected told what became of it
   */
  function agent(created: (socket: Socket) => void, connected: (failure: Error | null) => void): Agent {
    return new Agent({
      connect: (options, callback) => {
        // undici types this as void; it is the socket, and letting go of it now spares the wait for a black hole.
        const socket: unknown = connector(options, (...outcome) => {
          connected(outcome[0])
          callback(...outcome)
        })
        if (!(socket instanceof Socket)) return
        socket.unref()
        // Between undici's hands nobody listens for a moment, and an error would be the application's.
        socket.on('error', () => undefined)
        created(socket)
      },
      // One request per connection: a kept one would be held by the next request again.
      pipelining: 0,
      headersTimeout: ANSWER_TIMEOUT_MS,
      bodyTimeout: ANSWER_TIMEOUT_MS,
      webSocket: { maxPayloadSize: PAYLOAD_BYTES_MAX },
    })
  }

  const pollSockets = new Set<Socket>()
  const polls = agent(
    socket => {
      pollSockets.add(socket)
      socket.once('close', () => pollSockets.delete(socket))
    },
    () => undefined,
  )

  function flush(socket: Socket): void {
    const gone = new Promise<void>(resolve => {
      const timer = setTimeout(() => socket.destroy(), FLUSH_TIMEOUT_MS).unref()
      socket.once('close', () => {
        clearTimeout(timer)
        leaving.delete(socket)
        resolve()
      })
    })
    leaving.set(socket, gone)
    socket.destroySoon()
  }

  return {
    open(events) {
      let why: Loss = 'unreachable'
      let askedMs = 0
      let socket: Socket | null = null
      let isOver = false
      const dispatcher = agent(
        its => (socket = its),
        failure => (why = failure === null ? 'refused' : isUntrusted(failure) ? 'untrusted' : 'unreachable'),
      )
      const websocket = new WebSocket(`${base}/stream`, {
        protocols: [PROTOCOL],
        headers,
        dispatcher: peeking(dispatcher, header => (askedMs = retryAfterMs(header))),
      })
      const link: Link = {
        send: text => {
          // What is sent in one turn, as the receipts of a burst of changes are, leaves in one write.
          if (socket?.writableCorked === 0) {
            socket.cork()
            process.nextTick((corked: Socket) => corked.uncork(), socket)
          }
          websocket.send(text)
        },
        drop: () => {
          if (isOver) return
          end()
          websocket.close()
          // The close frame goes out, its answer is not waited for: a dead peer never gives one.
          if (why === 'closed' && socket !== null) flush(socket)
          else socket?.destroy(new LetGo())
        },
        bytesRead: () => socket?.bytesRead ?? 0,
      }
      function end(): void {
        isOver = true
        links.delete(link)
        // The connection has left the agent by its upgrade; what is still connecting goes with it.
        void dispatcher.destroy().catch(() => undefined)
      }
      websocket.addEventListener('open', () => {
        why = 'closed'
        if (!isOver) events.opened()
      })
      websocket.addEventListener('message', event => {
        // Binary is not of this protocol: handed on as what cannot be read.
        if (!isOver) events.message(typeof event.data === 'string' ? event.data : '')
      })
      // Says nothing that `close` does not, but without a listener it would be reported as uncaught.
      websocket.addEventListener('error', () => undefined)
      websocket.addEventListener('close', () => {
        if (isOver) return
        end()
        events.lost(why, why === 'refused' ? askedMs : 0)
      })
      links.add(link)
      return link
    },

    async poll(held, signal) {
      // What is held: so that the answer is nothing, or what changed since, where the server still knows it.
      const { epoch, revision, hash } = held
      const condition = epoch === '' ? {} : { 'if-none-match': hash === '' ? `"${epoch}.${revision}"` : `"${epoch}.${revision}.${hash}"` }
      const named = `epoch=${encodeURIComponent(epoch)}&revision=${revision}`
      const basis = epoch === '' ? '' : hash === '' ? `?${named}` : `?${named}&hash=${encodeURIComponent(hash)}`
      const limit = limited(TRANSFER_TIMEOUT_MS)
      signal.addEventListener('abort', limit.abort, { once: true })
      try {
        const answer = await request(`${base}/ruleset${basis}`, {
          dispatcher: polls,
          headers: { ...headers, ...condition, accept: 'application/json' },
          signal: limit.signal,
        })
        if (answer.statusCode !== 200) {
          await answer.body.dump()
          if (answer.statusCode === 304) return { kind: 'unchanged' }
          if (answer.statusCode === 401 || answer.statusCode === 403) return { kind: 'refused' }
          return {
            kind: 'failed',
            problem: `the server answered ${answer.statusCode}`,
            retryAfterMs: retryAfterMs(answer.headers['retry-after']),
          }
        }
        const chunks: Buffer[] = []
        let bytes = 0
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          bytes += chunk.length
          // Leaving the loop closes the connection.
          if (bytes > PAYLOAD_BYTES_MAX) return { kind: 'failed', problem: `the answer is larger than ${PAYLOAD_BYTES_MAX} bytes` }
          chunks.push(chunk)
        }
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
        const ruleset = readRuleset(body)
        if (ruleset === null) return { kind: 'failed', problem: 'the answer is no ruleset' }
        return 'delta' in ruleset ? { kind: 'changes', delta: ruleset.delta } : { kind: 'whole', whole: ruleset.whole }
      } catch (error) {
        if (isUntrusted(error)) return { kind: 'untrusted' }
        return { kind: 'failed', problem: messageOf(error) }
      } finally {
        limit.end()
      }
    },

    async report(body) {
      const limit = limited(ANSWER_TIMEOUT_MS)
      try {
        const answer = await request(`${base}/telemetry`, {
          method: 'POST',
          dispatcher: polls,
          headers: { ...headers, 'content-type': 'application/json' },
          body,
          signal: limit.signal,
        })
        await answer.body.dump()
        return answer.statusCode >= 200 && answer.statusCode < 300
      } catch {
        return false
      } finally {
        limit.end()
      }
    },

    async close() {
      for (const link of links) link.drop()
      void polls.destroy().catch(() => undefined)
      for (const socket of pollSockets) socket.destroy(new LetGo())
      await Promise.all(leaving.values())
    },
  }
}

/** Why a socket is destroyed. Without an error undici's timer for a connection that is being made would run on. */
class LetGo extends Error {
  override readonly message = 'let go'
}

/** A signal that aborts after a time. Unlike `AbortSignal.timeout`, its timer does not outlive what it limits. */
function limited(ms: number): { readonly signal: AbortSignal; readonly abort: () => void; readonly end: () => void } {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  const timer = setTimeout(abort, ms).unref()
  return { signal: controller.signal, abort, end: () => clearTimeout(timer) }
}

/** The same dispatcher, which also shows the `Retry-After` of what it answers: a websocket keeps a refused upgrade to itself. */
function peeking(dispatcher: Dispatcher, show: (header: string | string[] | undefined) => void): Dispatcher {
  return dispatcher.compose(dispatch => (options, handler) => {
    const start = handler.onResponseStart?.bind(handler)
    handler.onResponseStart = (controller, status, headers, text) => {
      show(headers['retry-after'])
      start?.(controller, status, headers, text)
    }
    return dispatch(options, handler)
  })
}

/** Of the two forms of `Retry-After` the one in seconds: a date would have to be measured by a clock that may be wrong. */
function retryAfterMs(header: string | string[] | undefined): number {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) * 1_000 : 0
}

/** Whether a connection failed for the certificate or for speaking TLS to what does not: waiting a second will not help. */
function isUntrusted(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return /CERT|^UNABLE_TO_|^ERR_TLS|^ERR_SSL|^EPROTO|^INVALID_CA|^HOSTNAME_MISMATCH/.test(code) || isUntrusted(error.cause)
}
