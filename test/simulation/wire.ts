/**
 * One connection between an SDK and the server: bytes in order, each way, with what a network does to them. It can be
 * slow, stalled, cut in the middle of a message, or swallow everything without a word.
 */
import type { LinkEvents } from '../../sdk/transport.ts'
import type { Timeline } from './timeline.ts'

/** What the systems between the two processes hold before a sender notices that nothing is read. */
const IN_SYSTEMS_BYTES = 64 * 1024

/** What the world says about a wire, each time it is asked. */
export interface Line {
  readonly timeline: Timeline
  latencyMs(): number
  bytesPerMs(): number
  /** Whether this message is lost by somebody in between, or sent twice. */
  fateOf(): 'arrives' | 'lost' | 'twice'
  /** Until when the reader cannot read: its machine sleeps. */
  asleepUntil(): number
}

/** The server's end. */
export interface Hearer {
  heard(text: string): void
  ponged(): void
  /** All that was sent is taken. */
  drained(): void
  /** The other end is gone, and the server knows. */
  closed(): void
}

type Item =
  { readonly kind: 'text'; readonly text: string; readonly bytes: number } | { readonly kind: 'open' | 'ping' | 'close'; readonly bytes: 0 }

export class Wire {
  hearer: Hearer | null = null
  /** When the server's end last heard anything. */
  heardAt = 0
  readonly #line: Line
  readonly #events: LinkEvents
  /** Nothing arrives any more, in either direction, and nobody is told. */
  #isBlack = false
  #stalledUntil = 0
  #isHere = true
  readonly #down: Item[] = []
  #waiting = 0
  #isMoving = false
  #movedFrom = 0
  #movedUntil = 0
  #read = 0
  #arrivedAt: number
  #upAt = 0

  constructor(line: Line, events: LinkEvents) {
    this.#line = line
    this.#events = events
    this.#arrivedAt = line.timeline.now
  }

  /** Whether the SDK still has it. */
  get isHere(): boolean {
    return this.#isHere
  }

  // What befalls it.

  swallow(): void {
    this.#arrivedAt = this.arrivedAt
    this.#isBlack = true
  }

  stall(ms: number): void {
    this.#arrivedAt = this.arrivedAt
    this.#stalledUntil = this.#line.timeline.now + ms
  }

  /** Both ends at once, whatever is on the way. */
  cut(): void {
    this.#arrivedAt = this.arrivedAt
    this.#hangUp()
    this.#down.length = 0
    if (!this.#isBlack) this.#line.timeline.after(this.#line.latencyMs(), () => this.#whenAwake(() => this.lost('closed')))
  }

  // The SDK's end.

  lost(...why: Parameters<LinkEvents['lost']>): void {
    if (!this.#isHere) return
    this.#isHere = false
    this.#events.lost(...why)
  }

  say(text: string): void {
    if (!this.#isHere) return
    const fate = this.#line.fateOf()
    if (fate === 'lost') return
    this.#upstream(() => this.hearer?.heard(text))
    if (fate === 'twice') this.#upstream(() => this.hearer?.heard(text))
  }

  drop(): void {
    if (!this.#isHere) return
    this.#isHere = false
    this.#upstream(() => this.#hangUp())
  }

  /** When the last byte arrived at the SDK. */
  get arrivedAt(): number {
    return this.#isFlowing ? this.#line.timeline.now : this.#arrivedAt
  }

  get #isFlowing(): boolean {
    const { now } = this.#line.timeline
    return this.#isMoving && (this.#down[0]?.bytes ?? 0) > 0 && !this.#isBlack && now >= this.#stalledUntil && now <= this.#movedUntil
  }

  /** What has arrived of a message counts before the rest is there. */
  bytesRead(): number {
    const { now } = this.#line.timeline
    const item = this.#down[0]
    if (item === undefined || !this.#isFlowing) return this.#read
    const share = Math.min(1, (now - this.#movedFrom) / Math.max(1, this.#movedUntil - this.#movedFrom))
    return this.#read + Math.floor(item.bytes * share)
  }

  // The server's end.

  /** Bytes that the system has not taken. */
  get buffered(): number {
    return Math.max(0, this.#waiting - IN_SYSTEMS_BYTES)
  }

  /** The handshake was taken: the SDK hears of it before anything else. */
  open(): void {
    this.#put({ kind: 'open', bytes: 0 })
  }

  send(text: string, bytes: number): void {
    const fate = this.#line.fateOf()
    if (fate === 'lost') return
    for (let i = fate === 'twice' ? 2 : 1; i > 0; i--) this.#put({ kind: 'text', text, bytes })
  }

  ping(): void {
    this.#put({ kind: 'ping', bytes: 0 })
  }

  /** After what is on the way. */
  close(): void {
    this.hearer = null
    this.#put({ kind: 'close', bytes: 0 })
  }

  #hangUp(): void {
    const { hearer } = this
    this.hearer = null
    hearer?.closed()
  }

  #upstream(run: () => void): void {
    const { timeline } = this.#line
    this.#upAt = Math.max(this.#upAt, timeline.now + this.#line.latencyMs())
    timeline.after(this.#upAt - timeline.now, () => {
      if (this.#isBlack) return
      this.heardAt = timeline.now
      run()
    })
  }

  #put(item: Item): void {
    this.#down.push(item)
    this.#waiting += item.bytes
    this.#move()
  }

  #move(): void {
    const item = this.#down[0]
    if (this.#isMoving || item === undefined) return
    const { timeline } = this.#line
    const takesMs = this.#line.latencyMs() + item.bytes / this.#line.bytesPerMs()
    this.#isMoving = true
    this.#movedFrom = timeline.now
    this.#movedUntil = timeline.now + takesMs
    timeline.after(takesMs, () => this.#arrive())
  }

  #arrive(): void {
    const { timeline } = this.#line
    const item = this.#down[0]
    if (this.#isBlack || item === undefined) return
    const wait = Math.max(this.#stalledUntil, this.#line.asleepUntil()) - timeline.now
    if (wait > 0) return void timeline.after(wait, () => this.#arrive())
    this.#down.shift()
    this.#isMoving = false
    this.#arrivedAt = timeline.now
    const wasFull = this.buffered > 0
    this.#waiting -= item.bytes
    this.#read += item.bytes
    if (wasFull && this.buffered === 0) this.hearer?.drained()
    if (item.kind === 'text') {
      if (this.#isHere) this.#events.message(item.text)
    } else if (item.kind === 'open') {
      if (this.#isHere) this.#events.opened()
    } else if (item.kind === 'ping') this.#upstream(() => this.hearer?.ponged())
    else this.lost('closed')
    this.#move()
  }

  #whenAwake(run: () => void): void {
    const wait = this.#line.asleepUntil() - this.#line.timeline.now
    if (wait > 0) this.#line.timeline.after(wait, () => this.#whenAwake(run))
    else run()
  }
}
