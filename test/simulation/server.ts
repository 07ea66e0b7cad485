/**
 * A server process: the real sessions and the real channel over a model log, doing what the hub does with their actions.
 * It checks what a server promises: no socket is kept beyond its limits, and no receipt says more than is held.
 */
import type { Counts } from '../../schemas/stream.ts'
import {
  beatFrame,
  catchUpFrame,
  type Channel,
  currentFrame,
  followLog,
  openChannel,
  rulesetOf,
  take,
} from '../../server/stream/channel.ts'
import { changesMessage, drainMessage, RESET_OPENING, rulesetOpening, stepOf } from '../../server/stream/messages.ts'
import { fill, isOther, stepsFrom } from '../../server/stream/recent.ts'
import { openSession, type Session, type SessionAction, type SessionEvent, step } from '../../server/stream/session.ts'
import { parseUpstream } from '../../server/stream/upstream.ts'
import type { Place } from '../../sdk/connection.ts'
import type { Fate, ModelLog } from './log.ts'
import { placeName } from './log.ts'
import type { Timeline } from './timeline.ts'
import type { Wire } from './wire.ts'

/** How far back the storage is read after a start, and what is kept: both are outrun often. */
const STORED_ENTRIES = 12
const KEPT_ENTRIES = 20
const BEAT_TURNS = 5
const CLOSE_ANSWER_MS = 5_000

/** What a socket may be at most, beside what its unsent bytes explain at 256 KiB a second. Written down here anew, to hold the server to it. */
const GREETING_MAX_MS = 10_000
const SILENT_MAX_MS = 40_000
const BEHIND_MAX_MS = 10_000
const SLOWEST_BYTES_PER_MS = 262
/** It is looked at once a second, and falls behind at the next beat at the latest. */
const LOOK_MS = 1_000
const BEAT_MS = 5_000

export interface Surroundings {
  readonly timeline: Timeline
  readonly log: ModelLog
  readonly random: () => number
  /** What a message weighs beside its text, so that lines of every thickness are filled. */
  bytesOf(text: string): number
  say(what: () => string): void
  fail(problem: string): void
  /** Whether an SDK has ever held a place. */
  hasHeld(instance: string, place: string): boolean
  said(text: string): void
  counted(what: string): void
}

interface Peer {
  readonly name: string
  readonly wire: Wire
  readonly session: Session
  readonly openedAt: number
  instance: string | null
  /** Since when more is unsent than a reader that keeps up leaves unsent. */
  fullSince: number | null
  confirmed: number
}

/** What `GET /ruleset` answers: nothing new, or a text. */
export type Answer = { readonly status: 304 } | { readonly status: 200; readonly text: string; readonly place: Place | null }

export class Server {
  readonly #in: Surroundings
  readonly #channel: Channel<Peer>
  readonly #peers = new Set<Peer>()
  #isGone = false
  #isTurning = false
  #turn = 0

  constructor(surroundings: Surroundings) {
    this.#in = surroundings
    this.#channel = openChannel(surroundings.log, 'model')
  }

  get sockets(): number {
    return this.#peers.size
  }

  wires(): Wire[] {
    return [...this.#peers].map(peer => peer.wire)
  }

  confirmedBy(instance: string): readonly number[] {
    return [...this.#peers].filter(peer => peer.instance === instance).map(peer => peer.confirmed)
  }

  accept(name: string, wire: Wire): void {
    const { timeline, random } = this.#in
    const session = openSession(timeline.now, random())
    const peer: Peer = { name, wire, session, openedAt: timeline.now, instance: null, fullSince: null, confirmed: 0 }
    this.#peers.add(peer)
    wire.heardAt = timeline.now
    wire.hearer = {
      heard: text => this.#hear(peer, text),
      ponged: () => this.#handle(peer, { kind: 'heard' }),
      drained: () => {
        peer.fullSince = null
        this.#handle(peer, { kind: 'drained' })
      },
      closed: () => this.#forget(peer),
    }
    if (!this.#isTurning) this.#turns()
  }

  /**
   * Publish the log's newest entry.
   * @param most sockets that are told before the process is no more
   */
  publish(entry: Parameters<typeof stepOf>[0], fate: Fate, most = Infinity): void {
    const { epoch } = this.#in.log
    const entryStep = stepOf(entry)
    const frame = take(this.#channel, epoch, entryStep, fate !== 'stored')
    this.#trim()
    const { from, revision, hash } = entryStep
    let told = 0
    for (const peer of this.#peers) {
      if (told++ >= most) return
      this.#handle(peer, { kind: 'published', epoch, from, revision, hash }, textOf(frame))
    }
  }

  /** The log has moved without an entry, in this process. */
  follow(): void {
    followLog(this.#channel, this.#in.log)
  }

  answer(held: Place): Answer {
    const { recent } = this.#channel
    const { etag, body } = rulesetOf(this.#channel, this.#in.log)
    if (
      etag === `"${held.epoch}.${held.revision}.${held.hash}"` ||
      (held.hash === '' && etag.startsWith(`"${held.epoch}.${held.revision}.`))
    )
      return { status: 304 }
    const isSameEpoch = held.epoch === recent.epoch
    if (isSameEpoch && held.revision < recent.floor && !recent.isFilled) this.#fill()
    if (isSameEpoch && (held.revision > recent.revision || isOther(recent, held.revision, held.hash)))
      return { status: 200, text: RESET_OPENING + body.toString().slice(1), place: null }
    if (isSameEpoch && held.revision >= recent.floor)
      return { status: 200, text: changesMessage(recent.epoch, stepsFrom(recent, held.revision)), place: null }
    const { epoch, revision, hash } = recent
    return { status: 200, text: body.toString(), place: { epoch, revision, hash } }
  }

  /** Tell everyone when to come back, and close. */
  drain(afterMs: number, spreadMs: number): void {
    for (const peer of [...this.#peers]) {
      this.#send(peer, drainMessage(afterMs, spreadMs))
      this.#shut(peer)
    }
  }

  /** Close all, as when a key is revoked. */
  closeAll(): void {
    for (const peer of [...this.#peers]) this.#shut(peer)
  }

  /** The process is gone. @param isSilent the whole machine is: nobody is told */
  kill(isSilent: boolean): void {
    this.#isGone = true
    for (const { wire } of [...this.#peers]) {
      if (isSilent) wire.swallow()
      wire.cut()
    }
  }

  /** Something that no server of ours would send. */
  sendRaw(text: string): void {
    for (const peer of this.#peers) this.#send(peer, text)
  }

  #hear(peer: Peer, text: string): void {
    // Counts are most of what is said, and their reading is tested elsewhere.
    const event: SessionEvent = text.startsWith('{"type":"counts"')
      ? { kind: 'counts', counts: JSON.parse(text) as Counts }
      : parseUpstream(Buffer.from(text), false)
    if (event.kind === 'hello') this.follow()
    this.#handle(peer, event)
  }

  #handle(peer: Peer, event: SessionEvent, change: string | null = null): void {
    if (!this.#peers.has(peer) || this.#isGone) return
    const readings = { now: this.#in.timeline.now, buffered: peer.wire.buffered, recent: this.#channel.recent }
    for (const action of step(peer.session, event, readings)) this.#perform(peer, action, change)
  }

  #perform(peer: Peer, action: SessionAction, change: string | null): void {
    const channel = this.#channel
    this.#in.counted(action.kind)
    switch (action.kind) {
      case 'sendChange':
        if (change !== null) this.#send(peer, change)
        return
      case 'sendBeat':
        return this.#send(peer, textOf(beatFrame(channel)))
      case 'sendCurrent':
        return this.#send(peer, textOf(currentFrame(channel)))
      case 'sendChanges':
        return this.#send(peer, textOf(catchUpFrame(channel, action.from)))
      case 'sendRuleset': {
        if (action.isReset) this.#in.counted('reset')
        return this.#send(peer, rulesetOpening(action.isReset) + rulesetOf(channel, this.#in.log).body.toString().slice(1))
      }
      case 'fill':
        this.#in.timeline.after(this.#in.random() * 200, () => {
          if (this.#isGone) return
          this.#fill()
          for (const other of [...this.#peers]) this.#handle(other, { kind: 'filled' })
        })
        return
      case 'join':
        peer.instance = action.hello.instance
        return this.#confirm(peer, action.held)
      case 'confirm':
        return this.#confirm(peer, action.revision)
      case 'count':
      case 'lend':
        return
      case 'ping':
        return peer.wire.ping()
      case 'close':
        this.#in.say(() => `server closes ${peer.name}: ${action.reason}`)
        return this.#shut(peer)
      case 'terminate':
        this.#in.say(() => `server gives ${peer.name} up: silent`)
        peer.session.phase = 'closed'
        peer.wire.cut()
        return
    }
  }

  #confirm(peer: Peer, revision: number): void {
    const { epoch, log, instance } = { epoch: this.#channel.recent.epoch, log: this.#in.log, instance: peer.instance ?? '' }
    peer.confirmed = revision
    const hash = log.hashAt(revision)
    if (revision === 0 || (hash !== undefined && this.#in.hasHeld(instance, placeName(epoch, revision, hash)))) return
    this.#in.fail(`the server takes it that ${instance} holds revision ${revision} of ${epoch}, which it never held`)
  }

  #send(peer: Peer, text: string): void {
    this.#in.said(text)
    peer.wire.send(text, this.#in.bytesOf(text))
  }

  #shut(peer: Peer): void {
    peer.session.phase = 'closed'
    peer.wire.close()
    this.#forget(peer)
    // The other side has so long to answer.
    this.#in.timeline.after(CLOSE_ANSWER_MS, () => peer.wire.cut())
  }

  #forget(peer: Peer): void {
    peer.session.phase = 'closed'
    this.#peers.delete(peer)
  }

  #fill(): void {
    const { recent } = this.#channel
    const { floor } = recent
    const older = this.#in.log.entries.filter(({ change }) => change.revision <= floor && change.revision > floor - STORED_ENTRIES)
    fill(
      recent,
      older.map(({ change }) => ({ step: stepOf(change), bytes: 100 })),
    )
  }

  /** A history as short as this one is outrun often. */
  #trim(): void {
    const { recent } = this.#channel
    while (recent.kept.length > KEPT_ENTRIES) recent.floor = recent.kept.shift()?.step.revision ?? recent.floor
  }

  #turns(): void {
    this.#isTurning = this.#peers.size > 0 && !this.#isGone
    if (!this.#isTurning) return
    this.#turn++
    this.follow()
    for (const peer of [...this.#peers]) {
      this.#handle(peer, { kind: 'tick' })
      if (this.#turn % BEAT_TURNS === 0) this.#handle(peer, { kind: 'beat' })
      if (this.#peers.has(peer)) this.#look(peer)
    }
    this.#in.timeline.after(LOOK_MS, () => this.#turns())
  }

  /** What a socket may not be, if the server does what it says. */
  #look(peer: Peer): void {
    const { now } = this.#in.timeline
    const { buffered, heardAt } = peer.wire
    const patienceMs = buffered / SLOWEST_BYTES_PER_MS
    peer.fullSince = buffered > 256 * 1024 ? (peer.fullSince ?? now) : null
    const problem =
      peer.instance === null && now - peer.openedAt > GREETING_MAX_MS + 2 * LOOK_MS
        ? 'has said no hello'
        : now - heardAt > SILENT_MAX_MS + patienceMs + 2 * LOOK_MS
          ? 'is silent'
          : peer.fullSince !== null && now - peer.fullSince > BEAT_MS + BEHIND_MAX_MS + patienceMs + 2 * LOOK_MS
            ? 'does not read'
            : null
    if (problem !== null) this.#in.fail(`the server keeps a socket that ${problem}: ${peer.name}`)
  }
}

/** The payload of a text frame. */
function textOf(frame: Buffer): string {
  const length = frame[1] ?? 0
  return frame.toString('utf8', length < 126 ? 2 : length === 126 ? 4 : 10)
}
