/**
 * One connection of the stream, as a pure state machine: events and readings in, actions out. It decides what an SDK
 * is sent and when it is given up; it holds no socket and no timer and never asks for the time. The hub performs the
 * actions, so that thousands of schedules of drops and delays can be run through this file in a second.
 *
 * What it promises: revisions that an SDK is sent only grow within an epoch (a `reset` ruleset excepted, which says
 * so), each delta starts where the last message ended, and a socket that does not read is owed one message, not many.
 */
import type { Lease } from '../../schemas/lease.ts'
import { LEASE_INTERVAL_MS, VALVES_INTERVAL_MS } from '../../schemas/protocol.ts'
import { HELLO_WITHIN_MS } from '../../schemas/stream.ts'
import type { Counts, Hello } from '../../schemas/stream.ts'
import type { ValvesReport } from '../../schemas/valve.ts'
import { hashAt, isOther, type Recent } from './recent.ts'

/** Above this many unsent bytes a socket gets no more deltas: it is behind until it has taken all of them. */
export const BEHIND_BYTES = 256 * 1024
/** How long a socket may be behind, beside what its unsent bytes take at `SLOWEST_BYTES_PER_MS`: one that does not read at all is closed within 10 s. */
export const BEHIND_MS = 6_000
/** The slowest line that is still served: 256 KiB a second, so that a large ruleset on a thin line is not cut off. */
export const SLOWEST_BYTES_PER_MS = 262
/** A websocket ping to each socket about so often. */
export const PING_INTERVAL_MS = 15_000
/** Nothing heard for so long, in spite of two pings: the link is dead. */
export const SILENT_MS = 40_000
/** Messages an SDK may send within the window, apart from receipts, of which there is one per change, leases and valves. */
export const MESSAGES_MAX = 20
export const MESSAGES_WINDOW_MS = 10_000
/** Leases within the window: twice what an SDK sends, for those that a slow line brings together. */
export const LEASES_MAX = (2 * MESSAGES_WINDOW_MS) / LEASE_INTERVAL_MS
/** Reports of valves within the window, likewise. */
export const REPORTS_MAX = (2 * MESSAGES_WINDOW_MS) / VALVES_INTERVAL_MS

/** What the hub reads off the socket and the log with every event. */
export interface Readings {
  /** Milliseconds of a clock that only runs forward. */
  now: number
  /** Bytes written to the socket that the system has not taken yet. */
  buffered: number
  /** The log's newest entries. */
  recent: Recent
}

export type SessionEvent =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'applied'; readonly revision: number; readonly epoch?: string | undefined }
  | { readonly kind: 'counts'; readonly counts: Counts }
  | { readonly kind: 'lease'; readonly lease: Lease }
  | { readonly kind: 'valves'; readonly report: ValvesReport }
  /** A message of a type that this server does not know: counted and left alone. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'malformed'; readonly reason: string }
  /** The log has one more entry. */
  | { readonly kind: 'published'; readonly epoch: string; readonly from: number; readonly revision: number; readonly hash: string }
  /** It has, and what of that concerns this socket is told in one message, however many entries there were. */
  | { readonly kind: 'overtaken' }
  | { readonly kind: 'beat' }
  /** The storage was asked for older changes. */
  | { readonly kind: 'filled' }
  /** All bytes are taken. */
  | { readonly kind: 'drained' }
  /** A pong: the other side lives. */
  | { readonly kind: 'heard' }
  /** About once a second. */
  | { readonly kind: 'tick' }

export type SessionAction =
  /** The SDK has introduced itself: it is an instance now and holds `held`. */
  | { readonly kind: 'join'; readonly hello: Hello; readonly held: number }
  /** The entry of the event at hand, shared by all sockets. */
  | { readonly kind: 'sendChange' }
  | { readonly kind: 'sendBeat' }
  | { readonly kind: 'sendCurrent' }
  | { readonly kind: 'sendChanges'; readonly from: number }
  | { readonly kind: 'sendRuleset'; readonly isReset: boolean }
  /** Ask the storage for older changes, then say `filled`. */
  | { readonly kind: 'fill' }
  /** The newest revision the SDK has confirmed; 0 when what it had confirmed no longer counts. */
  | { readonly kind: 'confirm'; readonly revision: number }
  | { readonly kind: 'count'; readonly counts: Counts }
  /** What the instance says of its limits. */
  | { readonly kind: 'lend'; readonly lease: Lease }
  /** What the instance says of its valves. */
  | { readonly kind: 'pool'; readonly report: ValvesReport }
  | { readonly kind: 'ping' }
  | { readonly kind: 'close'; readonly why: 'protocol' | 'slow'; readonly reason: string }
  /** Destroy the socket: nobody is there to answer a close. */
  | { readonly kind: 'terminate' }

export interface Session {
  /**
   * greeting: waits for hello · filling: waits for older changes · live: gets every change ·
   * behind: gets nothing until its bytes are taken · closed: ignores everything
   */
  phase: 'greeting' | 'filling' | 'live' | 'behind' | 'closed'
  readonly openedAt: number
  heardAt: number
  pingAt: number
  readonly pingIntervalMs: number
  behindSince: number
  /** What the SDK holds once it has applied everything it was sent. */
  epoch: string
  revision: number
  /** Of that revision, as the SDK says it; empty for one that does not know. */
  hash: string
  /** The newest revision it has confirmed. */
  confirmed: number
  /** The epoch of the first answer, null before it: a receipt that names none is of this one. */
  firstEpoch: string | null
  /** A hello waits for its answer, so even "you are up to date" must be said. */
  owesAnswer: boolean
  windowStart: number
  windowCount: number
  windowLeases: number
  windowReports: number
}

const NOTHING: readonly SessionAction[] = []
const SEND_CHANGE: readonly SessionAction[] = [{ kind: 'sendChange' }]
const SEND_BEAT: readonly SessionAction[] = [{ kind: 'sendBeat' }]
const SEND_CURRENT: readonly SessionAction[] = [{ kind: 'sendCurrent' }]
const FILL: readonly SessionAction[] = [{ kind: 'fill' }]
const PING: readonly SessionAction[] = [{ kind: 'ping' }]
const TERMINATE: readonly SessionAction[] = [{ kind: 'terminate' }]

/** @param jitter in [0, 1): spreads the pings of many sockets over time */
export function openSession(now: number, jitter: number): Session {
  const pingIntervalMs = PING_INTERVAL_MS * (0.8 + 0.2 * jitter)
  return {
    phase: 'greeting',
    openedAt: now,
    heardAt: now,
    pingAt: now + pingIntervalMs * jitter,
    pingIntervalMs,
    behindSince: 0,
    epoch: '',
    revision: 0,
    hash: '',
    confirmed: 0,
    firstEpoch: null,
    owesAnswer: false,
    windowStart: now,
    windowCount: 0,
    windowLeases: 0,
    windowReports: 0,
  }
}

/** Takes one event; changes the session and says what to do, in order. */
export function step(session: Session, event: SessionEvent, readings: Readings): readonly SessionAction[] {
  if (session.phase === 'closed') return NOTHING
  switch (event.kind) {
    case 'published':
      return onPublished(session, event, readings)
    case 'applied':
      session.heardAt = readings.now
      return onApplied(session, event, readings)
    case 'overtaken':
      if (session.phase !== 'live') return NOTHING
      return readings.buffered > BEHIND_BYTES ? fallBehind(session, readings) : catchUp(session, readings)
    case 'beat':
      return session.phase === 'live' ? onBeat(session, readings) : NOTHING
    case 'tick':
      return onTick(session, readings)
    case 'heard':
      session.heardAt = readings.now
      return NOTHING
    case 'drained':
      return session.phase === 'behind' ? catchUp(session, readings) : NOTHING
    case 'filled':
      return session.phase === 'filling' ? catchUp(session, readings) : NOTHING
    case 'lease':
      session.heardAt = readings.now
      return onLease(session, event.lease, readings)
    case 'valves':
      session.heardAt = readings.now
      return onValves(session, event.report, readings)
    case 'hello':
    case 'counts':
    case 'unknown':
    case 'malformed':
      session.heardAt = readings.now
      return onMessage(session, event, readings)
  }
}

function onPublished(
  session: Session,
  event: { epoch: string; from: number; revision: number; hash: string },
  readings: Readings,
): readonly SessionAction[] {
  if (session.phase !== 'live') return NOTHING
  if (event.epoch === session.epoch && event.revision <= session.revision) return NOTHING
  if (readings.buffered > BEHIND_BYTES) return fallBehind(session, readings)
  if (event.epoch === session.epoch && event.from === session.revision) {
    session.revision = event.revision
    session.hash = event.hash
    return SEND_CHANGE
  }
  return catchUp(session, readings)
}

/** The beat names the log's revision: whoever was not brought to it takes the place of a gap otherwise. */
function onBeat(session: Session, readings: Readings): readonly SessionAction[] {
  if (readings.buffered > BEHIND_BYTES) return fallBehind(session, readings)
  if (session.epoch === readings.recent.epoch && session.revision === readings.recent.revision) return SEND_BEAT
  return catchUp(session, readings)
}

function onMessage(
  session: Session,
  event: Extract<SessionEvent, { kind: 'hello' | 'counts' | 'unknown' | 'malformed' }>,
  readings: Readings,
): readonly SessionAction[] {
  if (event.kind === 'malformed') return close(session, 'protocol', event.reason)
  if (session.phase === 'greeting' && event.kind !== 'hello') return close(session, 'protocol', 'the first message must be hello')
  if (isFlood(session, readings.now))
    return close(session, 'protocol', `more than ${MESSAGES_MAX} messages in ${MESSAGES_WINDOW_MS / 1_000} s`)
  if (event.kind === 'counts') return [{ kind: 'count', counts: event.counts }]
  if (event.kind === 'unknown') return NOTHING
  return onHello(session, event.hello, readings)
}

function onLease(session: Session, lease: Lease, { now }: Readings): readonly SessionAction[] {
  if (session.phase === 'greeting') return close(session, 'protocol', 'the first message must be hello')
  openWindow(session, now)
  session.windowLeases++
  if (session.windowLeases > LEASES_MAX)
    return close(session, 'protocol', `more than ${LEASES_MAX} leases in ${MESSAGES_WINDOW_MS / 1_000} s`)
  return [{ kind: 'lend', lease }]
}

function onValves(session: Session, report: ValvesReport, { now }: Readings): readonly SessionAction[] {
  if (session.phase === 'greeting') return close(session, 'protocol', 'the first message must be hello')
  openWindow(session, now)
  session.windowReports++
  if (session.windowReports > REPORTS_MAX)
    return close(session, 'protocol', `more than ${REPORTS_MAX} reports of valves in ${MESSAGES_WINDOW_MS / 1_000} s`)
  return [{ kind: 'pool', report }]
}

/** May come again on an open stream: an SDK that has noticed a gap says what it holds and is brought up to date. */
function onHello(session: Session, hello: Hello, readings: Readings): readonly SessionAction[] {
  session.epoch = hello.epoch
  session.revision = hello.revision
  session.hash = hello.hash ?? ''
  // What it holds of another epoch or history, or beyond the log, confirms nothing.
  const isKnown = hello.epoch === readings.recent.epoch && hello.revision <= readings.recent.revision
  session.confirmed = isKnown && (session.hash === '' || session.hash === hashAt(readings.recent, hello.revision)) ? hello.revision : 0
  session.owesAnswer = true
  const join: SessionAction = { kind: 'join', hello, held: session.confirmed }
  if (session.phase === 'behind' || session.phase === 'filling') return [join]
  if (readings.buffered > BEHIND_BYTES) return [join, ...fallBehind(session, readings)]
  return [join, ...catchUp(session, readings)]
}

/** Brings the SDK from what it holds to the newest state, in one message. */
function catchUp(session: Session, { recent }: Readings): readonly SessionAction[] {
  const owesAnswer = session.owesAnswer
  const { revision: from, hash } = session
  const isSameEpoch = session.epoch === recent.epoch
  if (isSameEpoch && from < recent.revision && from < recent.floor && !recent.isFilled) {
    session.phase = 'filling'
    return FILL
  }
  session.phase = 'live'
  session.owesAnswer = false
  session.epoch = recent.epoch
  session.firstEpoch ??= recent.epoch
  session.revision = recent.revision
  session.hash = recent.hash
  // Changes can be lost and their numbers taken by others: then only the hash tells that a delta would build on what never was.
  const isReset = isSameEpoch && (from > recent.revision || isOther(recent, from, hash))
  if (isSameEpoch && !isReset) {
    if (from === recent.revision) return owesAnswer ? SEND_CURRENT : NOTHING
    return from >= recent.floor ? [{ kind: 'sendChanges', from }] : [{ kind: 'sendRuleset', isReset }]
  }
  // What was confirmed of another epoch or history, or beyond the log, is worth nothing in this one.
  session.confirmed = 0
  return [
    { kind: 'confirm', revision: 0 },
    { kind: 'sendRuleset', isReset },
  ]
}

function onApplied(
  session: Session,
  { revision, epoch }: { revision: number; epoch?: string | undefined },
  readings: Readings,
): readonly SessionAction[] {
  if (session.phase === 'greeting') return close(session, 'protocol', 'the first message must be hello')
  const isOfThisEpoch = session.epoch === readings.recent.epoch && session.epoch === (epoch ?? session.firstEpoch)
  if (revision > session.confirmed && revision <= session.revision && isOfThisEpoch) {
    session.confirmed = revision
    return [{ kind: 'confirm', revision }]
  }
  // A receipt that confirms nothing new costs as any other message does.
  return isFlood(session, readings.now) ? close(session, 'protocol', 'too many receipts') : NOTHING
}

function onTick(session: Session, readings: Readings): readonly SessionAction[] {
  const { now, buffered } = readings
  // Bytes that wait before a ping, at the slowest speed allowed, explain so much silence.
  const patienceMs = buffered / SLOWEST_BYTES_PER_MS
  if (session.phase === 'greeting' && now - session.openedAt > HELLO_WITHIN_MS) {
    return close(session, 'protocol', `no hello within ${HELLO_WITHIN_MS / 1_000} s`)
  }
  if (now - session.heardAt > SILENT_MS + patienceMs) {
    session.phase = 'closed'
    return TERMINATE
  }
  if (session.phase === 'behind' && now - session.behindSince > BEHIND_MS + patienceMs) {
    return close(session, 'slow', 'this socket takes too long to read what it is sent')
  }
  if (now >= session.pingAt) {
    session.pingAt = now + session.pingIntervalMs
    return PING
  }
  return NOTHING
}

function fallBehind(session: Session, readings: Readings): readonly SessionAction[] {
  session.phase = 'behind'
  session.behindSince = readings.now
  return NOTHING
}

function isFlood(session: Session, now: number): boolean {
  openWindow(session, now)
  session.windowCount++
  return session.windowCount > MESSAGES_MAX
}

function openWindow(session: Session, now: number): void {
  if (now - session.windowStart < MESSAGES_WINDOW_MS) return
  session.windowStart = now
  session.windowCount = 0
  session.windowLeases = 0
  session.windowReports = 0
}

function close(session: Session, why: 'protocol' | 'slow', reason: string): readonly SessionAction[] {
  session.phase = 'closed'
  return [{ kind: 'close', why, reason }]
}
