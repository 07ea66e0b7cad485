/**
 * The delivery side: every change of every log to every connected SDK, and their receipts back. What each is sent is
 * decided in `session.ts`, who may come in `handshake.ts`; this file owns the sockets, the timers and the shared
 * bytes. A message that many get is serialised and framed once and written as it is to each socket.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { SluiceError } from '../../schemas/errors.ts'
import { BEAT_INTERVAL_MS, CLOSE_CODES, PROTOCOL, UPSTREAM_BYTES_MAX } from '../../schemas/stream.ts'
import type { Access } from '../access/policy.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Config } from '../config.ts'
import { type Member, openReceipts } from '../instances/receipts.ts'
import { type ChangeLog, type Published, SERVER_LOG } from '../log/types.ts'
import type { Hub, KeyRing, Usage } from '../services.ts'
import { textFrame, textFrameHeader } from './frame.ts'
import { answerRefusal, type Gate, judge } from './handshake.ts'
import {
  beatMessage,
  changeMessage,
  changesMessage,
  currentMessage,
  drainMessage,
  rulesetBody,
  rulesetOpening,
  stepOf,
} from './messages.ts'
import { append, emptyRecent, fill, follow, type Recent, RECENT_STEPS_MAX, stepsFrom } from './recent.ts'
import { openSession, type Readings, type Session, type SessionAction, type SessionEvent, step } from './session.ts'
import { openTokenBucket } from './tokenbucket.ts'
import { parseUpstream } from './upstream.ts'

/** Fragments of one message, and pieces of it as they come off the line: an SDK sends small messages whole. */
const FRAGMENTS_MAX = 16
const CHUNKS_MAX = 256
/** How long the other side may take to answer a close before the socket is destroyed. */
const CLOSE_ANSWER_MS = 5_000
/** How long a refused handshake may take to read its answer. */
const REFUSAL_MS = 5_000

/** Sockets are looked at in turns, so that the beats of ten thousand do not hold up one change. */
const TURN_MS = 100
const TURNS_PER_BEAT = BEAT_INTERVAL_MS / TURN_MS
/** Every socket is looked at once in so many turns: once a second. */
const TURNS_PER_TICK = 10

/** Catch-up messages kept for the next SDK that missed the same. */
const CATCH_UPS_KEPT = 50
/** After a drain clients come back no sooner than this, and spread over at least and at most so long. */
const DRAIN_AFTER_MS = 1_000
const DRAIN_SPREAD_MIN_MS = 1_000
const DRAIN_SPREAD_MAX_MS = 60_000
/** How long a drain waits for the sockets to close before it destroys them. */
const DRAIN_WAIT_MS = 2_000

export interface HubOptions {
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: ChangeLog
  readonly keys: KeyRing
  readonly usage: Usage
  readonly config: Pick<Config, 'handshakesPerSecond' | 'closeTimeoutMs'>
}

/** Counted since the start, apart from the first two, which are as of now. */
export interface HubStatistics {
  readonly sockets: number
  readonly instances: number
  readonly handshakesAccepted: number
  readonly handshakesRefused: number
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
  attach(app: FastifyInstance): void
  /** The whole state of a log, serialised once per revision: what `GET /ruleset` answers. */
  ruleset(log: string): { readonly etag: string; readonly body: Buffer }
  /** What changed since a revision, as the message `changes`; null when nothing did or when it is no longer known. */
  missed(log: string, epoch: string, revision: number): Promise<string | null>
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
  readonly channel: Channel
  readonly session: Session
  readonly turn: number
  member: Member | null
}

/** One log that SDKs ask for, with the bytes they share. */
interface Channel {
  readonly log: string
  readonly peers: Set<Peer>
  readonly recent: Recent
  filling: boolean
  /** Valid for the revision at hand; dropped with the next change. */
  ruleset: { readonly etag: string; readonly body: Buffer } | null
  current: Buffer | null
  beat: Buffer | null
  readonly catchUps: Map<number, Buffer>
}

export function openHub(options: HubOptions): HubHandle {
  const { clock, log, logger, usage } = options
  const bucket = openTokenBucket(clock, options.config.handshakesPerSecond)
  const book = openReceipts(clock)
  const channels = new Map<string, Channel>()
  const byKey = new Map<string, Set<Peer>>()
  const turns: Set<Peer>[] = Array.from({ length: TURNS_PER_BEAT }, () => new Set())
  const totals = {
    sockets: 0,
    handshakesAccepted: 0,
    handshakesRefused: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesSent: 0,
    catchUps: 0,
    rulesetsSent: 0,
    slowClosed: 0,
    deadClosed: 0,
    protocolClosed: 0,
  }
  let isDraining = false
  let turn = 0
  let timer: Timer | null = null
  let nextTurn = 0
  let whenEmpty: (() => void) | null = null

  const socketOptions = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: UPSTREAM_BYTES_MAX,
    maxFragments: FRAGMENTS_MAX,
    maxBufferedChunks: CHUNKS_MAX,
    closeTimeout: CLOSE_ANSWER_MS,
    handleProtocols: () => PROTOCOL,
  }
  const gate: Gate = {
    keys: options.keys,
    log,
    isDraining: () => isDraining,
    admit: () => bucket.take(),
    sockets: () => totals.sockets,
    socketsOf: key => byKey.get(key)?.size ?? 0,
  }
  const sockets = new WebSocketServer(socketOptions)
  sockets.on('wsClientError', (error, line) => {
    refuse(line, new SluiceError('INVALID_REQUEST', `This is no websocket handshake: ${error.message}.`), null)
  })

  const unsubscribe = log.subscribe(publish)
  const unwatch = options.keys.onRevoked(id => {
    for (const peer of [...(byKey.get(id) ?? [])]) shut(peer, CLOSE_CODES.KEY, 'the key is not valid any more')
  })

  // --- coming and going

  function onUpgrade(request: IncomingMessage, line: Duplex, head: Buffer): void {
    line.on('error', () => line.destroy())
    try {
      const verdict = judge(request, gate, Math.random())
      if ('error' in verdict) refuse(line, verdict.error, verdict.retryAfter)
      else sockets.handleUpgrade(request, line, head, socket => welcome(socket, line, verdict.access, verdict.log))
    } catch (error) {
      logger.error({ err: error }, 'a handshake could not be decided; refusing it')
      refuse(line, new SluiceError('INTERNAL', 'The server could not decide this handshake. Its log says why.'), null)
    }
  }

  function refuse(line: Duplex, error: SluiceError, retryAfter: number | null): void {
    totals.handshakesRefused++
    const giveUp = clock.after(REFUSAL_MS, () => line.destroy())
    line.once('close', () => giveUp.cancel())
    answerRefusal(line, { error, retryAfter })
  }

  function welcome(socket: WebSocket, line: Duplex, access: Access, logName: string): void {
    const channel = channelOf(logName)
    nextTurn = (nextTurn + 1) % TURNS_PER_BEAT
    const peer: Peer = {
      socket,
      line,
      access,
      channel,
      session: openSession(clock.monotonic(), Math.random()),
      turn: nextTurn,
      member: null,
    }
    totals.handshakesAccepted++
    totals.sockets++
    channel.peers.add(peer)
    turns[peer.turn]?.add(peer)
    const same = byKey.get(access.id)
    if (same === undefined) byKey.set(access.id, new Set([peer]))
    else same.add(peer)
    timer ??= clock.after(TURN_MS, takeTurn)

    socket.on('message', (data, isBinary) => {
      totals.messagesReceived++
      const event = parseUpstream(data as Buffer, isBinary)
      if (event.kind === 'hello') followLog(channel)
      handle(peer, event)
    })
    socket.on('pong', () => handle(peer, { kind: 'heard' }))
    socket.on('ping', () => handle(peer, { kind: 'unknown' }))
    // Frames that are malformed or too large: ws closes the socket with the right code by itself.
    socket.on('error', error => {
      if (peer.session.phase !== 'closed') totals.protocolClosed++
      peer.session.phase = 'closed'
      leave(peer)
      logger.info({ log: logName, key: access.id, problem: error.message }, 'a stream sent what is no websocket message; closing it')
    })
    socket.on('close', () => farewell(peer))
    line.on('drain', () => handle(peer, { kind: 'drained' }))
  }

  function farewell(peer: Peer): void {
    const { channel, access } = peer
    if (!channel.peers.delete(peer)) return
    peer.session.phase = 'closed'
    totals.sockets--
    turns[peer.turn]?.delete(peer)
    const same = byKey.get(access.id)
    same?.delete(peer)
    if (same?.size === 0) byKey.delete(access.id)
    leave(peer)
    if (totals.sockets === 0) whenEmpty?.()
  }

  function leave(peer: Peer): void {
    if (peer.member !== null) book.left(peer.channel.log, peer.member)
    peer.member = null
  }

  function shut(peer: Peer, code: number, reason: string): void {
    peer.session.phase = 'closed'
    // Whoever waits for receipts does not wait for a socket that is told no more.
    leave(peer)
    peer.socket.close(code, reason)
  }

  // --- deciding and doing

  function handle(peer: Peer, event: SessionEvent): void {
    try {
      perform(peer, step(peer.session, event, readingsOf(peer.channel, peer.line.writableLength)), null)
    } catch (error) {
      // A mistake of ours with one socket must not take the others down.
      logger.error({ err: error, log: peer.channel.log }, 'a stream could not be served; closing it')
      shut(peer, 1011, 'internal error')
    }
  }

  function readingsOf(channel: Channel, buffered: number): Readings {
    const { epoch, revision, floor, isFilled } = channel.recent
    return { now: clock.monotonic(), buffered, epoch, revision, floor, isFilled }
  }

  function perform(peer: Peer, actions: readonly SessionAction[], change: Buffer | null): void {
    const { channel } = peer
    for (const action of actions) {
      switch (action.kind) {
        case 'sendChange':
          if (change !== null) send(peer, change)
          break
        case 'sendBeat':
          send(peer, (channel.beat ??= textFrame(beatMessage(channel.recent.epoch, channel.recent.revision))))
          break
        case 'sendCurrent':
          send(peer, (channel.current ??= textFrame(currentMessage(channel.recent.epoch, channel.recent.revision))))
          break
        case 'sendChanges':
          totals.catchUps++
          send(peer, catchUpOf(channel, action.from))
          break
        case 'sendRuleset':
          totals.rulesetsSent++
          sendRuleset(peer, action.isReset)
          break
        case 'fill':
          void fillRecent(channel)
          break
        case 'join':
          join(peer, action)
          break
        case 'confirm':
          if (peer.member !== null) book.confirmed(channel.log, peer.member, action.revision)
          break
        case 'count':
          usage.add(channel.log, action.counts)
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
    const rest = rulesetOf(peer.channel).body.subarray(1)
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
  }

  // --- what all share

  function channelOf(name: string): Channel {
    let channel = channels.get(name)
    if (channel === undefined) {
      const { epoch, revision } = log.state(name)
      channel = {
        log: name,
        peers: new Set(),
        recent: emptyRecent(epoch, revision),
        filling: false,
        ruleset: null,
        current: null,
        beat: null,
        catchUps: new Map(),
      }
      channels.set(name, channel)
    }
    return channel
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
    const frame = textFrame(changeMessage(epoch, entry, published.volatile))
    append(channel.recent, epoch, entry, frame.length)
    forgetShared(channel)

    const event: SessionEvent = { kind: 'published', epoch, from: entry.from, revision: entry.revision }
    // One object for all of them: only what waits in the socket differs.
    const readings = readingsOf(channel, 0)
    for (const peer of channel.peers) {
      readings.buffered = peer.line.writableLength
      perform(peer, step(peer.session, event, readings), frame)
    }
  }

  /** A log may move without an entry: a revision that was lost is passed over, a new epoch begins. */
  function followLog(channel: Channel): void {
    const { epoch, revision } = log.state(channel.log)
    if (follow(channel.recent, epoch, revision)) forgetShared(channel)
  }

  function forgetShared(channel: Channel): void {
    channel.ruleset = null
    channel.current = null
    channel.beat = null
    channel.catchUps.clear()
  }

  function closeDeleted({ change }: Published): void {
    for (const { type, key, after } of change.edits) {
      if (type !== 'environment' || after !== null) continue
      for (const peer of [...(channels.get(key)?.peers ?? [])]) shut(peer, CLOSE_CODES.PROTOCOL, 'the environment was deleted')
      channels.delete(key)
    }
  }

  function catchUpOf(channel: Channel, from: number): Buffer {
    let frame = channel.catchUps.get(from)
    if (frame === undefined) {
      frame = textFrame(changesMessage(channel.recent.epoch, stepsFrom(channel.recent, from)))
      if (channel.catchUps.size < CATCH_UPS_KEPT) channel.catchUps.set(from, frame)
    }
    return frame
  }

  function rulesetOf(channel: Channel): { readonly etag: string; readonly body: Buffer } {
    if (channel.ruleset === null) {
      const state = log.state(channel.log)
      channel.ruleset = { etag: `"${state.epoch}.${state.revision}"`, body: rulesetBody(state) }
    }
    return channel.ruleset
  }

  /** Once per start and log: what SDKs missed while the server was down is read for all of them together. */
  async function fillRecent(channel: Channel): Promise<void> {
    if (channel.filling) return
    channel.filling = true
    const { floor } = channel.recent
    const isStored = await log
      .changes(channel.log, {
        afterRevision: Math.max(0, floor - RECENT_STEPS_MAX),
        toRevision: floor,
        limit: RECENT_STEPS_MAX,
        order: 'oldest',
      })
      .then(changes => {
        const { epoch } = channel.recent
        fill(
          channel.recent,
          changes.map(stepOf).map(entry => ({ step: entry, bytes: Buffer.byteLength(changeMessage(epoch, entry, false)) })),
        )
        return true
      })
      .catch((error: unknown) => {
        logger.warn({ err: error, log: channel.log }, 'older changes cannot be read; SDKs that missed some get the whole ruleset')
        channel.recent.isFilled = true
        return false
      })
    channel.filling = false
    for (const peer of [...channel.peers]) if (peer.session.phase === 'filling') handle(peer, { kind: 'filled' })
    // The next one who needs them asks again.
    if (!isStored) channel.recent.isFilled = false
  }

  // --- time

  function takeTurn(): void {
    timer = totals.sockets === 0 ? null : clock.after(TURN_MS, takeTurn)
    turn = (turn + 1) % TURNS_PER_BEAT
    for (const channel of channels.values()) followLog(channel)
    for (let i = turn % TURNS_PER_TICK; i < TURNS_PER_BEAT; i += TURNS_PER_TICK) {
      for (const peer of [...(turns[i] ?? [])]) handle(peer, { kind: 'tick' })
    }
    for (const peer of [...(turns[turn] ?? [])]) handle(peer, { kind: 'beat' })
  }

  async function drain(): Promise<void> {
    isDraining = true
    if (totals.sockets === 0) return
    const comeBackMs = (totals.sockets / options.config.handshakesPerSecond) * 2_000
    const spreadMs = Math.round(Math.min(DRAIN_SPREAD_MAX_MS, Math.max(DRAIN_SPREAD_MIN_MS, comeBackMs)))
    const frame = textFrame(drainMessage(DRAIN_AFTER_MS, spreadMs))
    logger.info({ sockets: totals.sockets, spreadMs }, 'draining the streams')
    const waitMs = Math.min(DRAIN_WAIT_MS, options.config.closeTimeoutMs / 2)
    await new Promise<void>(resolve => {
      const giveUp = clock.after(waitMs, resolve)
      whenEmpty = () => {
        giveUp.cancel()
        resolve()
      }
      for (const peer of allPeers()) {
        send(peer, frame)
        shut(peer, CLOSE_CODES.RESTART, 'the server restarts')
      }
    })
    whenEmpty = null
    for (const peer of allPeers()) peer.socket.terminate()
  }

  function allPeers(): Peer[] {
    return turns.flatMap(peers => [...peers])
  }

  async function close(): Promise<void> {
    isDraining = true
    unsubscribe()
    unwatch()
    for (const peer of allPeers()) peer.socket.terminate()
    timer?.cancel()
    timer = null
    book.close()
  }

  return {
    instances: name => book.instances(name),
    receipts: (name, revision) => book.receipts(name, revision),
    arrived: (name, revision, waitMs) => book.arrived(name, revision, waitMs),
    attach(app) {
      app.server.on('upgrade', onUpgrade)
      app.addHook('preClose', async () => {
        await drain()
        await close()
      })
    },
    async missed(name, epoch, from) {
      const channel = channelOf(name)
      followLog(channel)
      const { recent } = channel
      const isBehind = (): boolean => epoch === recent.epoch && from < recent.revision
      if (isBehind() && from < recent.floor && !recent.isFilled) await fillRecent(channel)
      return isBehind() && from >= recent.floor ? changesMessage(recent.epoch, stepsFrom(recent, from)) : null
    },
    ruleset(name) {
      const channel = channelOf(name)
      followLog(channel)
      return rulesetOf(channel)
    },
    statistics: () => ({ ...totals, instances: [...channels.keys()].reduce((count, name) => count + book.count(name), 0) }),
    drain,
    close,
  }
}
