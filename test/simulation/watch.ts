/**
 * Stands between an SDK and its network and holds it to what it promises: when it may connect and poll, that what it
 * shows is exactly what the log had at the place it holds, and that it only goes forward. What is promised is written
 * down here anew; nothing is taken from the code that is watched.
 */
import type { Place, PollAnswer } from '../../sdk/connection.ts'
import type { Link, LinkEvents, Transport } from '../../sdk/transport.ts'
import type { Sluice } from '../../sdk/types.ts'
import { type Content, CONTEXT, FLAGS, placeName, visible } from './log.ts'

const SECOND = 1_000
const FIRST_WAIT_MS = SECOND
const LONGEST_WAIT_MS = 30 * SECOND
const HEALTHY_MS = 30 * SECOND
/** After a refused key or certificate. */
const SLOW_MS = [150 * SECOND, 285 * SECOND] as const
/** The longest that a server may ask for. */
const ASKED_MAX_MS = 300 * SECOND
/** Without a stream for at most so long it polls, and then so often. */
const POLL_AFTER_MS = 6 * SECOND
const POLL_EVERY_MS = 30 * SECOND
const CONNECTING_MAX_MS = 10 * SECOND
/** Without a first answer, however much is heard. */
const GREETING_MAX_MS = 120 * SECOND
/** Without a word. */
const SILENT_MAX_MS = 15 * SECOND
/** Timers are kept to a millisecond. */
const EXACT_MS = 1.001

export interface World {
  /** The SDK's own clock. */
  now(): number
  /** When its machine last woke, by that clock: what was due before comes then. */
  wokeAt(): number
  contentAt(place: string): Content | undefined
  /** This is held from now on. */
  holds(place: string): void
  fail(problem: string): void
  say(what: () => string): void
}

interface Watched {
  readonly since: number
  isOpen: boolean
  liveSince: number | null
  heardAt: number
  bytesRead: number
  /** What a `drain` just asked for. */
  drain: { readonly afterMs: number; readonly spreadMs: number } | null
}

/** How every message that has a place begins: type, reset, epoch, revision, hash. */
export const HEAD = /^\{(?:"type":"(\w+)",)?("reset":true,)?"epoch":"(\w+)",(?:"from":\d+,)?"revision":(\d+)(?:,"hash":"(\w+)")?/

export class Watch implements Transport {
  /** Attempts to open a stream, and polls. */
  attempts = 0
  polls = 0
  taken = 0
  place: Place = { epoch: '', revision: 0, hash: '' }
  sdk: Sluice | null = null
  readonly #inner: Transport
  readonly #world: World
  #link: Watched | null = null
  #isPolling = false
  #failures = 0
  #isRefused = false
  /** When the next attempt may come, at the earliest and at the latest. */
  #next: readonly [number, number]
  /** When it polls at the latest; null while it need not. */
  #pollBy: number | null
  /** Until when the server asked not to be polled. */
  #pollNotBefore = 0

  constructor(inner: Transport, world: World) {
    this.#inner = inner
    this.#world = world
    this.#next = [world.now(), world.now()]
    this.#pollBy = world.now() + POLL_AFTER_MS
  }

  get isLive(): boolean {
    return this.#link !== null && this.#link.liveSince !== null
  }

  /** Whether it waits for something that it should have given up or begun by now. */
  checkNotStopped(): void {
    const link = this.#link
    const now = this.#world.now()
    const due = (at: number, what: string): void => {
      const late = now - Math.max(at, this.#world.wokeAt()) - EXACT_MS
      if (late > 0) this.#world.fail(`should have ${what} ${Math.round(late)} ms ago`)
    }
    if (this.#pollBy !== null && !this.#isPolling && link?.isOpen !== true) due(Math.max(this.#pollBy, this.#pollNotBefore), 'polled')
    if (link === null) return due(this.#next[1], 'connected')
    if (!link.isOpen) return due(link.since + CONNECTING_MAX_MS, 'given up connecting')
    if (link.liveSince === null) due(link.since + CONNECTING_MAX_MS + GREETING_MAX_MS, 'given up waiting for an answer')
  }

  /** Whether it listens to a link on which nothing has come for too long. @param arrived when the last byte came */
  checkNotDeaf(arrived: number): void {
    // Bytes that are no whole message yet are noticed only when the link would count as dead.
    const late = this.#world.now() - Math.max(arrived, this.#world.wokeAt()) - 2 * SILENT_MAX_MS
    if (this.#link?.isOpen === true && late > 2 * EXACT_MS) this.#world.fail(`listens to a dead link since ${Math.round(late)} ms`)
  }

  open(events: LinkEvents): Link {
    const now = this.#world.now()
    this.attempts++
    if (this.#link !== null) this.#world.fail('opens a second link')
    const [from, until] = this.#next
    if (now < from - EXACT_MS || now > Math.max(until, this.#world.wokeAt()) + EXACT_MS)
      this.#world.fail(`connects ${Math.round(now - from)} ms after the earliest and ${Math.round(now - until)} ms after the latest moment`)
    const watched: Watched = { since: now, isOpen: false, liveSince: null, heardAt: now, bytesRead: 0, drain: null }
    this.#link = watched
    const link = this.#inner.open({
      opened: () => {
        watched.isOpen = true
        watched.heardAt = this.#world.now()
        events.opened()
      },
      message: text => {
        watched.heardAt = this.#world.now()
        const head = HEAD.exec(text)
        if (text.startsWith('{"type":"drain"')) watched.drain = JSON.parse(text) as Watched['drain']
        events.message(text)
        if (head === null || head[1] === 'beat') return
        if (this.#link === watched && ['current', 'change', 'changes', 'ruleset'].includes(head[1] ?? '')) {
          watched.liveSince ??= this.#world.now()
          this.#isRefused = false
        }
        this.check(head)
      },
      lost: (why, retryAfterMs = 0) => {
        this.#ended(watched, why, retryAfterMs)
        events.lost(why, retryAfterMs)
      },
    })
    return {
      send: text => {
        this.#world.say(() => `says ${text.slice(0, 150)}`)
        // Said while the message is being taken: what is shown may be asked only afterwards.
        link.send(text)
      },
      drop: () => {
        this.#ended(watched, 'dropped', 0)
        link.drop()
      },
      bytesRead: () => {
        const bytes = link.bytesRead()
        if (bytes > watched.bytesRead) watched.heardAt = this.#world.now()
        watched.bytesRead = bytes
        return bytes
      },
    }
  }

  async poll(held: Place, signal: AbortSignal): Promise<PollAnswer> {
    this.polls++
    if (this.#isPolling) this.#world.fail('polls twice at once')
    if (this.#link?.isOpen === true) this.#world.fail('polls beside an open stream')
    this.#isPolling = true
    signal.addEventListener('abort', () => (this.#isPolling = false))
    this.#world.say(() => `polls, holding ${held.epoch}.${held.revision}.${held.hash}`)
    const answer = await this.#inner.poll(held, signal)
    if (signal.aborted) return answer
    this.#isPolling = false
    this.#polled(answer)
    return answer
  }

  report(body: string): Promise<boolean> {
    return this.#inner.report(body)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  /** Hold what is shown against the log. @param head of the message that was taken */
  check(head: RegExpExecArray | null): void {
    if (this.sdk === null) return
    const { epoch, revision } = this.sdk.status()
    const before = this.place
    // What ends where it stood is known already; only a stream's `current` and `ruleset` may say something new about that.
    const mayRepeat = head?.[1] === 'current' || head?.[1] === 'ruleset' || head?.[2] !== undefined
    const isKnown = !mayRepeat && epoch === before.epoch && revision === before.revision
    const isThis = head !== null && !isKnown && head[3] === epoch && Number(head[4]) === revision
    if (!isThis) {
      if (epoch !== before.epoch || revision !== before.revision)
        this.#world.fail(`moved from ${before.epoch}.${before.revision} to ${epoch}.${revision} without being told`)
      return
    }
    const place = { epoch, revision, hash: head[5] ?? before.hash }
    const isForward = epoch !== before.epoch || revision > before.revision || (revision === before.revision && place.hash === before.hash)
    if (!isForward && head[2] === undefined)
      this.#world.fail(`went from ${before.epoch}.${before.revision}.${before.hash} to ${epoch}.${revision}.${place.hash} unasked`)
    this.place = place
    const name = placeName(epoch, revision, place.hash)
    this.#world.holds(name)
    this.taken++
    const content = this.#world.contentAt(name)
    if (content === undefined) return this.#world.fail(`holds ${name}, which never was`)
    for (const flag of FLAGS) {
      const shown = this.sdk.value(flag, CONTEXT)
      const expected = visible(content, flag)
      if ((shown ?? null) !== expected) this.#world.fail(`shows ${flag} as ${JSON.stringify(shown)} at ${name}, where it was ${expected}`)
    }
  }

  #ended(link: Watched, why: string, retryAfterMs: number): void {
    if (this.#link !== link) return
    this.#link = null
    const now = this.#world.now()
    if (link.liveSince !== null && link.heardAt - link.liveSince >= HEALTHY_MS) this.#failures = 0
    if (link.drain !== null) {
      const { afterMs, spreadMs } = link.drain
      const from = now + Math.min(ASKED_MAX_MS, afterMs)
      this.#next = [from, from + Math.min(ASKED_MAX_MS, spreadMs)]
      this.#pollBy = this.#next[1] + POLL_AFTER_MS
      return
    }
    // A link that never came to answer leaves the polls where they were.
    const pollBy = link.liveSince === null ? (this.#pollBy ?? 0) : 0
    this.#pollBy = why === 'untrusted' ? null : link.isOpen || this.#pollBy === null ? Math.max(pollBy, now + POLL_AFTER_MS) : this.#pollBy
    if (why === 'untrusted') this.#isRefused = true
    else if (why !== 'refused' || retryAfterMs > 0) this.#isRefused = false
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures++)
    const [from, until] = this.#isRefused ? SLOW_MS : [longest / 2, longest]
    const asked = Math.min(ASKED_MAX_MS, retryAfterMs)
    if (asked > 0) this.#pollNotBefore = Math.max(this.#pollNotBefore, now + asked)
    this.#next = [now + Math.max(from, asked), now + Math.max(until, asked === 0 ? 0 : asked + SECOND)]
    this.#world.say(() => `lost its link (${why}): ${this.#failures} failures, back in ${from} to ${until} ms`)
  }

  #polled(answer: PollAnswer): void {
    const now = this.#world.now()
    this.#world.say(() => `polled: ${answer.kind}`)
    const [from, until] = this.#next
    const asked = answer.kind === 'failed' ? Math.min(ASKED_MAX_MS, answer.retryAfterMs ?? 0) : 0
    if (asked > 0) this.#pollNotBefore = now + asked + SECOND
    this.#pollBy = now + POLL_EVERY_MS
    if (answer.kind === 'refused' || answer.kind === 'untrusted') {
      this.#isRefused = true
      this.#pollBy = null
      if (this.#link === null) this.#next = [Math.max(from, now + SLOW_MS[0]), Math.max(until, now + SLOW_MS[1])]
      return
    }
    if (this.#isRefused && answer.kind !== 'failed' && this.#link === null)
      this.#next = [Math.min(from, now + FIRST_WAIT_MS / 2), Math.min(until, now + FIRST_WAIT_MS)]
    this.#isRefused = false
  }
}
