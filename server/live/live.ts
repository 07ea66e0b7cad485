/**
 * The dashboard's live stream: one websocket per page, opened with a ticket that is good once. It says that something
 * changed, in every environment the session may see; what exactly, the page asks the API. A page that does not read is cut
 * off: it comes back and asks anew.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { SluiceError } from '../../schemas/errors.ts'
import { LIVE_EDITS_MAX, LIVE_PATH, type LiveMessage } from '../../schemas/live.ts'
import { CLOSE_CODES } from '../../schemas/protocol.ts'
import { type Access, everyone, hasRole } from '../access/policy.ts'
import type { Clock, Timer } from '../clock.ts'
import { seesEnvironment } from '../access/visible.ts'
import { route } from '../http/route.ts'
import { type ChangeLog, type Published, SERVER_LOG } from '../log/types.ts'
import type { Hub, KeyRing } from '../services.ts'
import type { Sessions } from '../session/session.ts'
import { answerRefusal } from '../stream/handshake.ts'
import { VERSION } from '../version.ts'

/** Pages of one server. */
const PAGES_MAX = 1_000
/** How often a page is told how many instances are connected, where that changed. */
const FLEET_INTERVAL_MS = 1_000
const PING_INTERVAL_MS = 15_000
/** How long a page may take to answer a close. */
const CLOSE_ANSWER_MS = 1_000
/** A page that has not taken so many bytes is cut off. */
const UNREAD_MAX = 1024 * 1024
/** A page says nothing; what it sends is cut short. */
const MESSAGE_BYTES_MAX = 1_024

interface Page {
  readonly socket: WebSocket
  readonly access: Access
  /** By log: what it was told last. */
  readonly told: Map<string, string>
  isAlive: boolean
}

export interface Live {
  /** @returns whether the request was for this stream, and is taken care of */
  upgrade(request: IncomingMessage, line: Duplex, head: Buffer): boolean
  readonly pages: number
  /** Before the server closes, which waits for its connections: every page is told, and cut off when it does not listen. */
  close(): void
}

export function openLive(options: {
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: Pick<ChangeLog, 'state' | 'subscribe'>
  readonly hub: Pick<Hub, 'receipts'>
  readonly keys: Pick<KeyRing, 'onRevoked'>
  readonly sessions: Pick<Sessions, 'redeem'>
}): Live {
  const { clock, log, hub, sessions } = options
  const pages = new Set<Page>()
  const sockets = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX })
  let fleetTimer: Timer | null = null
  let pingTimer: Timer | null = null

  function send(page: Page, text: string): void {
    if (page.socket.bufferedAmount > UNREAD_MAX) return page.socket.terminate()
    page.socket.send(text)
  }

  function publish({ log: name, change, volatile }: Published): void {
    if (pages.size === 0) return
    if (name === SERVER_LOG) {
      for (const page of pages) send(page, JSON.stringify({ type: 'places' } satisfies LiveMessage))
      return
    }
    const environment = log.state(SERVER_LOG).documents.environment.get(name)
    if (environment === undefined) return
    const { revision, at, actor, action, comment, edits } = change
    const place = { project: environment.project, environment: environment.environment }
    const named = edits.slice(0, LIVE_EDITS_MAX).map(({ type, key }) => ({ type, key }))
    const message: LiveMessage = {
      type: 'change',
      ...place,
      revision,
      at,
      actor,
      action,
      comment,
      edits: named,
      editCount: edits.length,
      volatile,
    }
    const text = JSON.stringify(message)
    for (const page of pages) if (hasRole(page.access, 'viewer', place.project, place.environment)) send(page, text)
  }

  /** Where instances came, went or confirmed since the last time. */
  function tellFleet(): void {
    fleetTimer = pages.size === 0 ? null : clock.after(FLEET_INTERVAL_MS, tellFleet)
    const known = new Map<string, string>()
    for (const page of pages) {
      for (const { key, project, environment } of log.state(SERVER_LOG).documents.environment.values()) {
        if (!seesEnvironment(page.access, project, environment)) continue
        let text = known.get(key)
        if (text === undefined) {
          const { revision } = log.state(key)
          const { instances, confirmed } = hub.receipts(key, revision)
          text = JSON.stringify({ type: 'fleet', project, environment, revision, instances, confirmed } satisfies LiveMessage)
          known.set(key, text)
        }
        if (page.told.get(key) === text) continue
        page.told.set(key, text)
        send(page, text)
      }
    }
  }

  function ping(): void {
    pingTimer = pages.size === 0 ? null : clock.after(PING_INTERVAL_MS, ping)
    for (const page of pages) {
      if (!page.isAlive) page.socket.terminate()
      page.isAlive = false
      page.socket.ping()
    }
  }

  function welcome(socket: WebSocket, access: Access): void {
    const page: Page = { socket, access, told: new Map(), isAlive: true }
    pages.add(page)
    socket.on('pong', () => (page.isAlive = true))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => pages.delete(page))
    send(page, JSON.stringify({ type: 'welcome', version: VERSION } satisfies LiveMessage))
    if (fleetTimer === null) tellFleet()
    pingTimer ??= clock.after(PING_INTERVAL_MS, ping)
  }

  const unsubscribe = log.subscribe(publish)
  const unwatch = options.keys.onRevoked(id => {
    for (const page of pages) if (page.access.id === id) page.socket.close(CLOSE_CODES.KEY, 'the key is not valid any more')
  })

  return {
    get pages() {
      return pages.size
    },
    upgrade(request, line, head) {
      const url = new URL(request.url ?? '/', 'http://page')
      if (url.pathname !== LIVE_PATH) return false
      const refusal = refusalOf(request, pages.size)
      const access = refusal === null ? sessions.redeem(url.searchParams.get('ticket') ?? '') : null
      if (access !== null) sockets.handleUpgrade(request, line, head, socket => welcome(socket, access))
      else answerRefusal(line, { error: refusal ?? noTicket(), retryAfter: null })
      return true
    },
    close() {
      unsubscribe()
      unwatch()
      fleetTimer?.cancel()
      pingTimer?.cancel()
      const open = [...pages]
      for (const { socket } of open) socket.close(CLOSE_CODES.RESTART, 'the server restarts')
      clock.after(CLOSE_ANSWER_MS, () => open.forEach(({ socket }) => socket.terminate()))
    },
  }
}

/** What the path is, for who asks without a websocket. */
export function liveRoutes(app: FastifyInstance): void {
  route(app, {
    method: 'GET',
    url: LIVE_PATH,
    policy: everyone,
    tag: 'session',
    summary: "The dashboard's live stream: a websocket",
    description: 'Opened with `?ticket=` from `POST /api/v1/session/ticket`. It says what changed where, one JSON object per text frame.',
    status: 101,
    handler: ({ reply }) => {
      reply.header('upgrade', 'websocket')
      throw new SluiceError('UPGRADE_REQUIRED', `${LIVE_PATH} is a websocket. Connect to it with a ticket of POST /api/v1/session/ticket.`)
    },
  })
}

function refusalOf(request: IncomingMessage, pages: number): SluiceError | null {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
    return new SluiceError('UPGRADE_REQUIRED', 'The header Upgrade must be "websocket" and the method GET.')
  }
  const { origin, host } = request.headers
  if (origin !== undefined && hostOf(origin) !== host)
    return new SluiceError('FORBIDDEN', 'This stream is for the pages of this server alone.')
  return pages < PAGES_MAX ? null : new SluiceError('NOT_READY', 'This server serves no more pages at the moment. Come back later.')
}

function hostOf(origin: string): string | null {
  try {
    return new URL(origin).host
  } catch {
    return null
  }
}

function noTicket(): SluiceError {
  return new SluiceError(
    'KEY_INVALID',
    'This ticket was used already, is too old, or was never given. Ask for another: POST /api/v1/session/ticket.',
  )
}
