/**
 * The delivery side: every change of every log to every connected SDK, and their receipts back. What each is sent is
 * decided in `session.ts`, who may come in `handshake.ts`; `channel.ts` holds the bytes that many share, `turns.ts`
 * the time; this file owns the sockets. A message that many get is serialised and framed once and written as it is.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { SluiceError } from '../../schemas/errors.ts'
import { CLOSE_CODES, UPSTREAM_BYTES_MAX } from '../../schemas/stream.ts'
import type { ValveStates } from '../../schemas/valve.ts'
import type { Access } from '../access/policy.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { type Member, openReceipts } from '../instances/receipts.ts'
import type { Borrower, Lending } from '../limits/lending.ts'
import { type ChangeLog, type Published, SERVER_LOG } from '../log/types.ts'
import type { Asker, Hub, KeyRing, Outcomes, Rulesets, Usage } from '../services.ts'
import type { ValveLink, ValvesHandle } from '../valves/valves.ts'
import { openAppointments } from './appointments.ts'
import { beatFrame, catchUpFrame, type Channel, currentFrame, fillRecent, followLog, openChannel, rulesetOf, take } from './channel.ts'
import { openRounds } from './clientrounds.ts'
import { openClients, openView, type View } from './clients.ts'
import { parseClientUpstream } from './clientupstream.ts'
import { comeBack, drainStreams } from './drain.ts'
import { textFrame, textFrameHeader } from './frame.ts'
import { type Admission, answerRefusal, type Gate, judge, protocolOf, type Refusal } from './handshake.ts'
import { changesMessage, drainMessage, grantMessage, RESET_OPENING, rulesetOpening, stepOf, valveStatesMessage } from './messages.ts'
import { emptyRecent, isOther, stepsFrom } from './recent.ts'
import { openSession, type Readings, type Session, type SessionAction, type SessionEvent, step } from './session.ts'
import { openTokenBucket } from './tokenbucket.ts'
import { openTurns } from './turns.ts'
import { parseUpstream } from './upstream.ts'

/** Fragments of one message, and pieces of it as they come off the line: an SDK sends small messages whole. */
const FRAGMENTS_MAX = 16
const CHUNKS_MAX = 256
/** How long the other side may take to answer a close before the socket is destroyed. */
const CLOSE_ANSWER_MS = 5_000
/** How long a refused handshake may take to read its answer. */
const REFUSAL_MS = 5_000

export interface HubOptions {
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: ChangeLog
  readonly keys: KeyRing
  readonly usage: Usage
  readonly outcomes: Pick<Outcomes, 'add'>
  readonly lending: Lending
  readonly valves: Pick<ValvesHandle, 'join'>
  /** What the evaluations for clients run on. */
  readonly rulesets: Pick<Rulesets, 'current'>
  readonly config: Pick<Config, 'handshakesPerSecond' | 'closeTimeoutMs'>
}

/** Counted since the start, apart from the first five, which are as of now. */
export interface HubStatistics {
  readonly sockets: number
  /** Those of client keys among them. */
  readonly clientSockets: number
  readonly instances: number
  /** Sockets that are fed no more until they have taken what waits for them; and all that waits, for whomever. */
  readonly behind: number
  readonly unsentBytes: number
  readonly handshakesAccepted: number
  readonly handshakesRefused: number
  /** Whose client had left before its turn came. */
  readonly handshakesAbandoned: number
  readonly messagesReceived: number
  readonly messagesSent: number
  readonly bytesSent: number
  /** Times an SDK was brought to the newest state with one message of changes. */
  readonly catchUps: number
  readonly rulesetsSent: number
  /** Sockets closed because they could not keep up, were silent, or broke the protocol. */
  readonly slowClosed: number
  readonly deadClosed: number
  readonly protocolClosed: number
}

export interface HubHandle extends Hub {
  /** Takes the websocket upgrades of the app's server, and drains and closes before it does. Call once, before it listens. */
  /** @param elsewhere takes care of upgrades that are not for a stream of ours, and says whether one was */
  attach(app: FastifyInstance, elsewhere?: (request: IncomingMessage, line: Duplex, head: Buffer) => boolean): void
  /** The whole state of a log, serialised once per revision: what `GET /ruleset` answers. */
  ruleset(log: string): { readonly etag: string; readonly body: Buffer }
  /**
   * What brings a caller from what it holds to the newest state: the message `changes`, or the whole with `reset` when what
   * it holds was lost here. Null when nothing changed, or when all it needs is what `ruleset` says.
   * @param hash of what it holds; empty for a caller that does not know
   */
  missed(log: string, epoch: string, revision: number, hash: string): Promise<string | Buffer | null>
  statistics(): HubStatistics
  /** Refuse new sockets, tell everyone when to come back, and close all of them. Resolves when they are gone. */
  drain(): Promise<void>
  /** Drop what is left and stop all timers. */
  close(): Promise<void>
}

/** One socket. */
interface Peer {
  readonly socket: WebSocket
  /** What the socket writes to: frames that are shared go there as they are, between the socket's own. */
  readonly line: Duplex
  readonly access: Access
  readonly channel: Channel<Peer>
  readonly session: Session
  member: Member | null
  /** Its part in the limits that are shared; null before its hello, and for clients. */
  borrower: Borrower | null
  /** Its part in the view of the fleet's valves; null as the borrower is. */
  valves: ValveLink | null
  /** Of a client, which is sent evaluations; null for an SDK, which is sent rules. */
  readonly view: View | null
  /** Takes it out of the turns. */
  leaveTurns(): void
}

export function openHub(options: HubOptions): HubHandle {
  const { clock, log, logger, usage, outcomes, lending, valves } = options
  const { handshakesPerSecond, closeTimeoutMs } = options.config
  const bucket = openTokenBucket(clock, handshakesPerSecond)
  const appointments = openAppointments(clock, handshakesPerSecond)
  // What clients leave of the handshakes: applications do not wait behind pages.
  const reserve = Math.min(handshakesPerSecond / 2, handshakesPerSecond - 1)
  const clients = openClients({ log, rulesets: options.rulesets, usage })
  const rounds = openRounds<Peer>(clock, peer => handle(peer, { kind: 'overtaken' }))
  const book = openReceipts(clock)
  const channels = new Map<string, Channel<Peer>>()
  const byKey = new Map<string, Set<Peer>>()
  const turns = openTurns<Peer>(clock, {
    turn() {
      for (const channel of channels.values()) follow(channel)
    },
    tick: peer => handle(peer, { kind: 'tick' }),
    beat: peer => handle(peer, { kind: 'beat' }),
  })
  const totals = {
    handshakesAccepted: 0,
    handshakesRefused: 0,
    handshakesAbandoned: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesSent: 0,
    catchUps: 0,
    rulesetsSent: 0,
    slowClosed: 0,
    deadClosed: 0,
    protocolClosed: 0,
  }
  let clientSockets = 0
  let isDraining = false
  let whenEmpty: (() => void) | null = null
  let framed: { readonly states: ValveStates; readonly frame: Buffer } | null = null

  const gate: Gate = {
    keys: options.keys,
    log,
    isDraining: () => isDraining,
    admit: isClient => bucket.take(isClient ? reserve : 0),
    appointment: () => appointments.next(),
    sockets: () => turns.count,
    clientSockets: () => clientSockets,
    socketsOf: key => byKey.get(key)?.size ?? 0,
  }
  // Apart from its use: the types of ws do not know `closeTimeout` yet.
  const socketOptions = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: UPSTREAM_BYTES_MAX,
    maxFragments: FRAGMENTS_MAX,
    maxBufferedChunks: CHUNKS_MAX,
    closeTimeout: CLOSE_ANSWER_MS,
    handleProtocols: (_offered: Set<string>, request: IncomingMessage) => protocolOf(request),
  }
  const sockets = new WebSocketServer(socketOptions)
  sockets.on('wsClientError', (error, line) => {
    refuse(line, { error: new SluiceError('INVALID_REQUEST', `This is no websocket handshake: ${error.message}.`), retryAfter: null })
  })

  const unsubscribe = log.subscribe(publish)
  const unwatch = options.keys.onRevoked(id => {
    for (const peer of [...(byKey.get(id) ?? [])]) shut(peer, CLOSE_CODES.KEY, 'the key is not valid any more')
  })

  // --- coming and going

  function onUpgrade(request: IncomingMessage, line: Duplex, head: Buffer): void {
    let isGone = false
    line.on('error', () => line.destroy())
    line.once('end', () => (isGone = true))
    // Two turns of the event loop later it is known who has left: the first brings the request, the next the end. When so
    // many come that they are kept waiting for longer than they wait, the rate must go to those who are still there, or it
    // would let in nobody but the gone.
    setImmediate(() =>
      setImmediate(() => {
        if (!isGone && !line.destroyed) return decide(request, line, head)
        totals.handshakesAbandoned++
        line.destroy()
      }),
    )
  }

  function decide(request: IncomingMessage, line: Duplex, head: Buffer): void {
    try {
      const verdict = judge(request, gate, Math.random())
      if ('error' in verdict) refuse(line, verdict)
      else sockets.handleUpgrade(request, line, head, socket => welcome(socket, line, verdict))
    } catch (error) {
      logger.error({ err: error }, 'a handshake could not be decided; refusing it')
      refuse(line, {
        error: new SluiceError('INTERNAL', 'The server could not decide this handshake. Its log says why.'),
        retryAfter: null,
      })
    }
  }

  function refuse(line: Duplex, refusal: Refusal): void {
    totals.handshakesRefused++
    const giveUp = clock.after(REFUSAL_MS, () => line.destroy())
    line.once('close', () => giveUp.cancel())
    answerRefusal(line, refusal)
  }

  function welcome(socket: WebSocket, line: Duplex, { access, log: logName, isClient }: Admission): void {
    const channel = channelOf(logName)
    const session = openSession(clock.monotonic(), Math.random())
    const view = isClient ? openView(access) : null
    const peer: Peer = {
      socket,
      line,
      access,
      channel,
      session,
      member: null,
      borrower: null,
      valves: null,
      view,
      leaveTurns: () => undefined,
    }
    totals.handshakesAccepted++
    if (isClient) clientSockets++
    ;(isClient ? channel.clients : channel.peers).add(peer)
    peer.leaveTurns = turns.add(peer)
    const same = byKey.get(access.id)
    if (same === undefined) byKey.set(access.id, new Set([peer]))
    else same.add(peer)

    socket.on('message', (data, isBinary) => {
      totals.messagesReceived++
      const event = eventOf(peer, data as Buffer, isBinary)
      if (event.kind === 'hello') follow(channel)
      handle(peer, event)
    })
    socket.on('pong', () => handle(peer, { kind: 'heard' }))
    socket.on('ping', () => handle(peer, { kind: 'unknown' }))
    // Frames that are malformed or too large: ws closes the socket with the right code by itself.
    socket.on('error', error => {
      if (session.phase !== 'closed') totals.protocolClosed++
      session.phase = 'closed'
      leave(peer)
      logger.info({ log: logName, key: access.id, problem: error.message }, 'a stream sent what is no websocket message; closing it')
    })
    socket.on('close', () => farewell(peer))
    line.on('drain', () => handle(peer, { kind: 'drained' }))
  }

  function eventOf({ view }: Peer, data: Buffer, isBinary: boolean): SessionEvent {
    if (view === null) return parseUpstream(data, isBinary)
    const { event, asked } = parseClientUpstream(data, isBinary)
    if (asked !== null) Object.assign(view, asked, { sent: null })
    return event
  }

  function farewell(peer: Peer): void {
    const { channel, access, view } = peer
    if (!(view === null ? channel.peers : channel.clients).delete(peer)) return
    if (view !== null) clientSockets--
    peer.session.phase = 'closed'
    peer.leaveTurns()
    const same = byKey.get(access.id)
    same?.delete(peer)
    if (same?.size === 0) byKey.delete(access.id)
    leave(peer)
    if (turns.count === 0) whenEmpty?.()
  }

  function leave(peer: Peer): void {
    if (peer.member !== null) book.left(peer.channel.log, peer.member)
    peer.member = null
    peer.borrower?.leave(false)
    peer.borrower = null
    peer.valves?.leave()
    peer.valves = null
  }

  function shut(peer: Peer, code: number, reason: string): void {
    peer.session.phase = 'closed'
    // Whoever waits for receipts does not wait for a socket that is told no more.
    leave(peer)
    peer.socket.close(code, reason)
  }

  // --- deciding and doing

  /** Read anew for each event and kept by nobody: one object serves all of them. */
  const readings: Readings = { now: 0, buffered: 0, recent: emptyRecent('', 0, '') }

  function read({ recent }: Channel<Peer>): void {
    readings.now = clock.monotonic()
    readings.recent = recent
  }

  function handle(peer: Peer, event: SessionEvent): void {
    read(peer.channel)
    act(peer, event, null)
  }

  /** @param change the frame of the event `published`, null for every other event */
  function act(peer: Peer, event: SessionEvent, change: Buffer | null): void {
    try {
      readings.buffered = peer.line.writableLength
      for (const action of step(peer.session, event, readings)) perform(peer, action, change)
    } catch (error) {
      // A mistake of ours with one socket must not take the others down.
      logger.error({ err: error, log: peer.channel.log }, 'a stream could not be served; closing it')
      shut(peer, 1011, 'internal error')
    }
  }

  function perform(peer: Peer, action: SessionAction, change: Buffer | null): void {
    const { channel, view } = peer
    if (view !== null && clients.perform(view, channel, action, frame => send(peer, frame))) return
    switch (action.kind) {
      case 'sendChange':
        if (change !== null) send(peer, change)
        break
      case 'sendBeat':
        send(peer, beatFrame(channel))
        break
      case 'sendCurrent':
        send(peer, currentFrame(channel))
        break
      case 'sendChanges':
        totals.catchUps++
        send(peer, catchUpFrame(channel, action.from))
        break
      case 'sendRuleset':
        totals.rulesetsSent++
        sendRuleset(peer, action.isReset)
        break
      case 'fill':
        void fillFor(channel)
        break
      case 'join':
        join(peer, action)
        break
      case 'confirm':
        if (peer.member !== null) book.confirmed(channel.log, peer.member, action.revision)
        break
      case 'count':
        usage.add(channel.log, action.counts, askerOf(peer))
        outcomes.add(channel.log, action.counts.outcomes ?? [], askerOf(peer))
        break
      case 'lend':
        peer.borrower?.report(action.lease)
        break
      case 'pool':
        peer.valves?.report(action.report)
        break
      case 'ping':
        peer.socket.ping()
        break
      case 'close':
        if (action.why === 'slow') totals.slowClosed++
        else totals.protocolClosed++
        logger.info({ log: channel.log, key: peer.access.id, instance: peer.member?.id, reason: action.reason }, 'closing a stream')
        shut(peer, action.why === 'slow' ? CLOSE_CODES.TRY_LATER : CLOSE_CODES.PROTOCOL, action.reason)
        break
      case 'terminate':
        totals.deadClosed++
        logger.info({ log: channel.log, instance: peer.member?.id }, 'a stream is silent; dropping it')
        leave(peer)
        peer.socket.terminate()
        break
    }
  }

  function send(peer: Peer, frame: Buffer): void {
    if (peer.socket.readyState !== peer.socket.OPEN) return
    totals.messagesSent++
    totals.bytesSent += frame.length
    peer.line.write(frame)
  }

  /** The body is shared by all, and by `GET /ruleset`: only the few bytes before it are this message's own. */
  function sendRuleset(peer: Peer, isReset: boolean): void {
    if (peer.socket.readyState !== peer.socket.OPEN) return
    const rest = rulesetOf(peer.channel, log).body.subarray(1)
    const opening = Buffer.from(rulesetOpening(isReset))
    totals.messagesSent++
    totals.bytesSent += opening.length + rest.length
    peer.line.cork()
    peer.line.write(textFrameHeader(opening.length + rest.length))
    peer.line.write(opening)
    peer.line.write(rest)
    peer.line.uncork()
  }

  function join(peer: Peer, { hello, held }: Extract<SessionAction, { kind: 'join' }>): void {
    const { log: name } = peer.channel
    leave(peer)
    const { instance: id, service, sdk } = hello
    const [connectedAt, joinedAt] = [clock.now(), clock.monotonic()]
    peer.member = { id, service, sdk, connectedAt, joinedAt, revision: held, confirmedAt: held === 0 ? null : connectedAt }
    book.joined(name, peer.member)
    peer.borrower = lending.join(name, id, grant => send(peer, textFrame(grantMessage(grant))))
    peer.valves = valves.join(name, { instance: id, service }, states => send(peer, statesFrame(states)))
  }

  /** One message for the whole fleet is made once. */
  function statesFrame(states: ValveStates): Buffer {
    if (framed?.states !== states) framed = { states, frame: textFrame(valveStatesMessage(states)) }
    return framed.frame
  }

  // --- the logs

  function channelOf(name: string): Channel<Peer> {
    let channel = channels.get(name)
    if (channel === undefined) {
      channel = openChannel(log, name)
      channels.set(name, channel)
    }
    return channel
  }

  /** Older changes, and their share of them for those who wait. */
  async function fillFor(channel: Channel<Peer>): Promise<void> {
    await fillRecent(channel, log, logger, () => {
      for (const peer of [...channel.peers, ...channel.clients]) if (peer.session.phase === 'filling') handle(peer, { kind: 'filled' })
    })
  }

  function publish(published: Published): void {
    const { log: name, epoch, change } = published
    if (name === SERVER_LOG) {
      closeDeleted(published)
      return
    }
    const channel = channels.get(name)
    const isKnown = channel?.recent.epoch === epoch && change.revision <= channel.recent.revision
    // A volatile change that is stored after all is told again; everyone has it.
    if (isKnown) return
    book.published(name, change.revision)
    if (channel === undefined) return

    const entry = stepOf(change)
    const frame = take(channel, epoch, entry, published.volatile)
    const event: SessionEvent = { kind: 'published', epoch, from: entry.from, revision: entry.revision, hash: entry.hash }
    read(channel)
    for (const peer of channel.peers) act(peer, event, frame)
    clients.published(name, entry)
    rounds.start(channel.clients)
  }

  /** A log may move without an entry: a revision that was lost is passed over, a new epoch begins. */
  function follow(channel: Channel<Peer>): void {
    if (followLog(channel, log)) clients.forget(channel.log)
  }

  function closeDeleted({ change }: Published): void {
    for (const { type, key, after } of change.edits) {
      if (type !== 'environment' || after !== null) continue
      const { peers = [], clients: pages = [] } = channels.get(key) ?? {}
      for (const peer of [...peers, ...pages]) shut(peer, CLOSE_CODES.PROTOCOL, 'the environment was deleted')
      channels.delete(key)
      clients.forget(key)
      lending.forget(key)
    }
  }

  // --- the end

  async function drain(): Promise<void> {
    isDraining = true
    if (turns.count === 0) return
    const { afterMs, spreadMs } = comeBack(turns.count, handshakesPerSecond)
    logger.info({ sockets: turns.count, spreadMs }, 'draining the streams')
    await drainStreams(clock, closeTimeoutMs, {
      empty: new Promise(resolve => (whenEmpty = resolve)),
      dismiss() {
        const frame = textFrame(drainMessage(afterMs, spreadMs))
        for (const peer of turns.all()) {
          send(peer, frame)
          shut(peer, CLOSE_CODES.RESTART, 'the server restarts')
        }
      },
      terminate() {
        for (const peer of turns.all()) peer.socket.terminate()
      },
    })
    whenEmpty = null
  }

  async function close(): Promise<void> {
    isDraining = true
    unsubscribe()
    unwatch()
    for (const peer of turns.all()) peer.socket.terminate()
    turns.close()
    book.close()
  }

  return {
    instances: name => book.instances(name),
    receipts: (name, revision) => book.receipts(name, revision),
    arrived: (name, revision, waitMs) => book.arrived(name, revision, waitMs),
    attach(app, elsewhere) {
      app.server.on('upgrade', (request: IncomingMessage, line: Duplex, head: Buffer) => {
        if (elsewhere?.(request, line, head) !== true) onUpgrade(request, line, head)
      })
      app.addHook('preClose', async () => {
        await drain()
        await close()
      })
    },
    async missed(name, epoch, from, hash) {
      const channel = channelOf(name)
      follow(channel)
      const { recent } = channel
      const isBehind = (): boolean => epoch === recent.epoch && from < recent.revision
      if (isBehind() && from < recent.floor && !recent.isFilled) await fillFor(channel)
      const isLost = epoch === recent.epoch && (from > recent.revision || isOther(recent, from, hash))
      if (isLost) return Buffer.concat([Buffer.from(RESET_OPENING), rulesetOf(channel, log).body.subarray(1)])
      return isBehind() && from >= recent.floor ? changesMessage(recent.epoch, stepsFrom(recent, from)) : null
    },
    ruleset(name) {
      const channel = channelOf(name)
      follow(channel)
      return rulesetOf(channel, log)
    },
    statistics() {
      let [instances, behind, unsentBytes] = [0, 0, 0]
      for (const { log: name, peers, clients: pages } of channels.values()) {
        instances += book.count(name)
        for (const { session, line } of [...peers, ...pages]) {
          if (session.phase === 'behind') behind++
          unsentBytes += line.writableLength
        }
      }
      return { sockets: turns.count, clientSockets, instances, behind, unsentBytes, ...totals }
    },
    drain,
    close,
  }
}

/** Whose counts they are. The hello has been said before: the session sees to it. */
function askerOf({ member }: Peer): Asker {
  return { service: member?.service ?? '', instance: member?.id ?? '', sdk: member?.sdk ?? '' }
}
