/**
 * The client of a page: answers from the values it was sent, and does what `connection.ts` decides, which is the same for
 * pages as for servers. Everything that can fail is contained here; a page never sees an exception of ours.
 */
import { CLIENT_PROTOCOL } from '../../schemas/protocol.ts'
import type { Clock, Timer } from '../clock.ts'
import { type Action, begin, type Event, next, NOTHING, type Place, placeOf, type State, wakeAt } from '../connection.ts'
import { messageOf } from '../failure.ts'
import { Listeners } from '../listeners.ts'
import { duration } from '../options.ts'
import type { Context, Details, EvaluationError, Events, Json, Ready, ValueType } from '../types.ts'
import { VERSION } from '../version.ts'
import { Counts } from './counts.ts'
import { type Evaluated, evaluatedOf, type Item, itemsOf, parseMessage } from './messages.ts'
import { contextText, type Settings } from './options.ts'
import { type Page, watchPage } from './page.ts'
import type { Store } from './storage.ts'
import type { Link, Transport } from './transport.ts'
import type { Sluice, Status } from './types.ts'

/** How often counts are sent. */
const REPORT_INTERVAL_MS = 10_000
/** The cache is written at most so often. */
const SAVE_INTERVAL_MS = 1_000
/** Hellos that are sent at once, within a window. Further contexts wait: the server closes for more messages than it bears. */
export const HELLOS_MAX = 8
export const HELLOS_WINDOW_MS = 10_000

/** The world outside: given by `connect`, and by tests. */
export interface Surroundings {
  readonly page: Page
  readonly clock: Clock
  /** Answers a number in [0, 1). */
  readonly random: () => number
  readonly transport: Transport
  readonly store: Store | null
}

/** Start a client. Never throws. */
export function startClient(settings: Settings, surroundings: Surroundings): Sluice {
  return new Client(settings, surroundings)
}

class Client implements Sluice {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #random: () => number
  readonly #transport: Transport
  readonly #store: Store | null
  readonly #listeners: Listeners
  readonly #counts = new Counts()
  readonly #unwatch: () => void

  /** As JSON, and its number: each context of this page has one. */
  #context: string
  #contextId = 1
  /** What the page is answered, and for which context it was evaluated; 0 for none. */
  #values = new Map<string, Evaluated>()
  #valuesId = 0
  /** Of the context asked about now, as a poll brought it: holds for the place beside it. */
  #tag: { readonly tag: string; readonly place: Place } | null = null

  #state: State
  #link: { readonly id: number; readonly link: Link; answered: number } | null = null
  #poll: AbortController | null = null
  #wake: Timer | null = null
  #hellos: number[] = []
  #helloLater: Timer | null = null
  /** Events that arrived while one was being handled. */
  readonly #events: Event[] = []
  #isHandling = false

  #reportTimer: Timer | null = null
  #saveTimer: Timer | null = null

  readonly #waiting = new Set<() => void>()
  /** Contexts that somebody waits for: until then being behind is no news. */
  #renewing = 0
  #wasReady = false
  #wasStale: boolean
  #wasConnected = false
  #since: number
  #isClosed = false

  constructor(settings: Settings, { page, clock, random, transport, store }: Surroundings) {
    this.#settings = settings
    this.#clock = clock
    this.#random = random
    this.#transport = transport
    this.#store = store
    this.#listeners = new Listeners(settings.logger)
    this.#context = settings.context
    this.#since = clock.now()
    for (const problem of settings.problems) settings.logger.error(problem)
    const state = begin(this.#loadKept(), settings.pollIntervalMs, clock.monotonic())
    this.#state = settings.base === null ? { ...state, stream: { phase: 'closed' } } : state
    this.#wasStale = this.#isStale()
    this.#unwatch = watchPage(page, () => clock.now(), {
      woke: () => this.#handle({ type: 'woke' }),
      hidden: () => this.#report(),
      left: () => this.#leave(),
    })
    if (settings.base === null) return
    this.#arm()
    this.#reportLater()
  }

  // The answers.

  value(flag: string, fallback: boolean): boolean
  value(flag: string, fallback: string): string
  value(flag: string, fallback: number): number
  value(flag: string, fallback?: null): Json | undefined
  value<T extends Json>(flag: string, fallback: T): T
  value(flag: string, fallback?: Json): Json | undefined {
    return this.#value(flag, fallback, typeOf(fallback))
  }

  boolean(flag: string, fallback: boolean): boolean {
    return this.#value(flag, fallback, 'boolean') as boolean
  }

  string(flag: string, fallback: string): string {
    return this.#value(flag, fallback, 'string') as string
  }

  number(flag: string, fallback: number): number {
    return this.#value(flag, fallback, 'number') as number
  }

  object<T extends Json>(flag: string, fallback: T): T {
    return this.#value(flag, fallback, 'object') as T
  }

  #value(flag: string, fallback: Json | undefined, type: ValueType | null): Json | undefined {
    const evaluated = this.#values.get(flag)
    if (evaluated?.value === undefined || (type !== null && evaluated.type !== type)) return fallback
    evaluated.count++
    return evaluated.value
  }

  details<T extends Json | undefined>(flag: string, fallback: T, type?: ValueType): Details<T> {
    const evaluated = this.#values.get(flag)
    const wanted = type ?? typeOf(fallback)
    const failed = (error: EvaluationError, message: string) =>
      ({ variation: null, reason: 'ERROR', flagVersion: null, error, message }) as const
    const answer = (decided: Omit<Details<unknown>, 'value' | 'revision' | 'stale'>, value: unknown): Details<T> => {
      return { ...decided, value: value as T, revision: this.#state.held.revision, stale: this.#isStale() }
    }
    if (this.#valuesId === 0) return answer(failed('NOT_READY', 'No values have arrived yet. Await ready()'), fallback)
    if (evaluated === undefined)
      return answer(
        failed('FLAG_NOT_FOUND', 'There is no such flag that this key may see. Check its spelling, and that it is client-visible'),
        fallback,
      )
    if (wanted !== null && evaluated.type !== null && evaluated.type !== wanted)
      return answer(failed('TYPE_MISMATCH', `The values of the flag are of type ${evaluated.type}. Ask for that type`), fallback)
    const { item: _, count: __, type: ___, value, ...decided } = evaluated
    if (value !== undefined) evaluated.count++
    return answer(decided, value === undefined ? fallback : value)
  }

  all(): Record<string, Json> {
    return Object.fromEntries([...this.#values].flatMap(([key, { value }]) => (value === undefined ? [] : [[key, value] as const])))
  }

  track(event: string, value = 0): void {
    this.#counts.track(event, value)
  }

  // Who is asking.

  setContext(context: Context): Promise<Ready> {
    const text = contextText(context, problem => this.#settings.logger.error(problem))
    if (text === null || text === this.#context || this.#isClosed) return this.ready()
    this.#context = text
    this.#contextId++
    this.#tag = null
    this.#renewing++
    const before = this.#values
    const held = this.#loadKept()
    this.#tellChanges(before)
    this.#handle({ type: 'renew', held })
    return this.ready().finally(() => {
      this.#renewing--
      this.#tell()
    })
  }

  // What is known about the connection.

  status(): Status {
    const { held } = this.#state
    return { revision: held.revision, epoch: held.epoch, connected: this.#wasConnected, stale: this.#isStale(), since: this.#since }
  }

  ready(timeoutMs?: number): Promise<Ready> {
    const answer = (): Ready => ({ ok: this.#isCurrent(), stale: this.#isStale(), revision: this.#state.held.revision })
    if (this.#isReady() || this.#isOver()) return Promise.resolve(answer())
    return new Promise(resolve => {
      const done = (): void => {
        timer.cancel()
        this.#waiting.delete(done)
        resolve(answer())
      }
      const timer = this.#clock.after(duration(timeoutMs, this.#settings.readyTimeoutMs), done)
      this.#waiting.add(done)
    })
  }

  on<E extends Exclude<keyof Events, 'mismatch' | 'valve'>>(event: E, listener: Events[E]): () => void {
    return this.#listeners.on(event, listener)
  }

  close(): void {
    if (this.#isClosed) return
    this.#report()
    this.#isClosed = true
    this.#unwatch()
    if (this.#saveTimer !== null) this.#save()
    this.#handle({ type: 'close' })
    for (const timer of [this.#wake, this.#reportTimer, this.#helloLater]) timer?.cancel()
    for (const done of [...this.#waiting]) done()
  }

  /** The page is gone, or kept to be gone back to; with a socket it would not be kept. */
  #leave(): void {
    this.#report()
    if (this.#saveTimer !== null) this.#save()
    const link = this.#link
    if (link === null) return
    link.link.drop()
    this.#link = null
    this.#handle({ type: 'lost', link: link.id, why: 'closed' })
  }

  // The connection: events go in, actions come out.

  #handle(event: Event): void {
    this.#events.push(event)
    if (this.#isHandling) return
    this.#isHandling = true
    for (let one = this.#events.shift(); one !== undefined; one = this.#events.shift()) {
      const step = next(this.#state, one, this.#clock.monotonic(), this.#random())
      this.#state = step.state
      try {
        for (const action of step.actions) this.#do(action)
      } catch (error) {
        this.#settings.logger.error(`An answer could not be taken: ${messageOf(error)}. Asking anew`)
        this.#events.push({ type: 'unusable' })
      }
    }
    this.#isHandling = false
    this.#tell()
    this.#arm()
  }

  #do(action: Action): void {
    switch (action.do) {
      case 'connect':
        return this.#connect(action.link)
      case 'hello':
        return this.#hello()
      case 'drop':
        this.#link?.link.drop()
        this.#link = null
        return
      case 'apply':
        return this.#take(() => {
          for (const key of action.delta.removedFlags) this.#values.delete(key)
          for (const item of itemsOf(action.delta)) this.#values.set(item.key, evaluated(item))
        })
      case 'replace':
        return this.#take(() => this.#show(itemsOf(action.whole)))
      case 'poll':
        return this.#startPoll(action)
      case 'stop-polling':
        return this.#poll?.abort()
      case 'note':
        return this.#settings.logger[action.level](action.text)
      case 'applied':
        // Servers count who has a revision; pages are not counted.
        return
    }
  }

  #connect(id: number): void {
    const mine = (event: Event): void => {
      if (event.type === 'lost' && this.#link?.id === id) this.#link = null
      this.#handle(event)
    }
    const link = this.#transport.open({
      opened: () => mine({ type: 'opened', link: id }),
      message: text => mine(this.#read(id, text)),
      lost: (why, problem) => {
        if (problem !== '') this.#settings.logger.warn(`The stream ended: ${problem}`)
        mine({ type: 'lost', link: id, why })
      },
    })
    this.#link = { id, link, answered: 0 }
  }

  /** What was said for a former context, or is told from it, only shows that the link lives. */
  #read(id: number, text: string): Event {
    const { message, contextId } = parseMessage(text)
    const link = this.#link
    if (contextId !== null && contextId === this.#contextId && link !== null) link.answered = contextId
    const isFormer = contextId === null ? message?.type === 'change' && link?.answered !== this.#contextId : contextId !== this.#contextId
    return isFormer ? { type: 'heard', link: id } : { type: 'message', link: id, message }
  }

  /** Now, or a little later where contexts change many times in a row; then for the newest of them. */
  #hello(): void {
    const now = this.#clock.monotonic()
    this.#hellos = this.#hellos.filter(at => now - at < HELLOS_WINDOW_MS)
    this.#helloLater?.cancel()
    this.#helloLater = null
    const first = this.#hellos[0]
    if (first !== undefined && this.#hellos.length >= HELLOS_MAX) {
      this.#helloLater = this.#clock.after(first + HELLOS_WINDOW_MS - now, () => this.#hello())
      return
    }
    this.#hellos.push(now)
    const { epoch, revision, hash } = this.#state.held
    this.#send(
      `{"type":"hello","sdk":"web/${VERSION}","contextId":${this.#contextId},"context":${this.#context},"revision":${revision},"epoch":${JSON.stringify(epoch)},"hash":${JSON.stringify(hash)}}`,
    )
  }

  #send(text: string): void {
    // Closing or closed: what is not sent is sent again by the next link, or was only a count.
    if (this.#state.stream.phase === 'greeting' || this.#state.stream.phase === 'live') this.#link?.link.send(text)
  }

  #startPoll({ poll, held }: Extract<Action, { do: 'poll' }>): void {
    const controller = new AbortController()
    this.#poll = controller
    const contextId = this.#contextId
    const tag = this.#tag !== null && isSame(this.#tag.place, held) ? this.#tag.tag : ''
    void this.#transport.poll(this.#context, tag, controller.signal).then(({ answer, tag }) => {
      if (contextId !== this.#contextId || controller.signal.aborted) return
      if (answer.kind === 'failed') this.#settings.logger.debug(`Polling failed: ${answer.problem}`)
      if (answer.kind === 'whole') this.#tag = { tag, place: placeOf(answer.whole) }
      this.#handle({ type: 'polled', poll, answer })
    })
  }

  #arm(): void {
    this.#wake?.cancel()
    const at = wakeAt(this.#state)
    this.#wake = at === null ? null : this.#clock.after(at - this.#clock.monotonic(), () => this.#handle({ type: 'tick' }))
  }

  // The values.

  #take(change: () => void): void {
    const before = new Map(this.#values)
    // Counted on what goes now.
    this.#counts.collect(before.values())
    change()
    this.#valuesId = this.#contextId
    this.#saveLater()
    this.#tellChanges(before)
  }

  #show(items: readonly Item[]): void {
    this.#values = new Map(items.map(item => [item.key, evaluated(item)]))
  }

  #tellChanges(before: ReadonlyMap<string, Evaluated>): void {
    const after = this.#values
    if (after === before) return
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter(key => differs(before.get(key), after.get(key)))
    if (changed.length > 0) this.#listeners.emit('change', changed)
  }

  /** The values that the cache has for the context, shown until better ones come. */
  #loadKept(): Place {
    const kept = this.#store?.load(this.#context) ?? null
    if (kept === null) return NOTHING
    this.#counts.collect(this.#values.values())
    try {
      this.#show(kept.flags)
    } catch {
      // Whoever else writes to the storage of this origin may have written anything.
      return NOTHING
    }
    this.#valuesId = this.#contextId
    return placeOf(kept)
  }

  #saveLater(): void {
    if (this.#store === null || this.#isClosed) return
    this.#saveTimer ??= this.#clock.after(SAVE_INTERVAL_MS, () => this.#save())
  }

  #save(): void {
    this.#saveTimer?.cancel()
    this.#saveTimer = null
    if (!this.#isCurrent() || this.#state.held.epoch === '') return
    this.#store?.save(this.#context, { ...this.#state.held, flags: [...this.#values.values()].map(({ item }) => item) })
  }

  // What is told to the page.

  #tell(): void {
    const { phase } = this.#state.stream
    // While a context is asked about on an open link, that link is up.
    const connected = phase === 'live' || (phase === 'greeting' && this.#wasConnected)
    const stale = this.#isStale()
    const becameStale = stale !== this.#wasStale && !(stale && this.#renewing > 0)
    if (becameStale || connected !== this.#wasConnected) this.#since = this.#clock.now()
    if (connected !== this.#wasConnected) this.#settings.logger.info(connected ? `Connected by ${CLIENT_PROTOCOL}` : 'The stream is down')
    this.#wasConnected = connected
    if (becameStale) {
      this.#wasStale = stale
      this.#listeners.emit('stale', stale)
    }
    if (!this.#isReady()) return
    for (const done of [...this.#waiting]) done()
    if (this.#wasReady) return
    this.#wasReady = true
    this.#listeners.emit('ready')
  }

  /** Whether the values are those of the context that is asked about. */
  #isCurrent(): boolean {
    return this.#valuesId === this.#contextId
  }

  #isStale(): boolean {
    return this.#valuesId !== 0 && !(this.#isCurrent() && this.#state.confirmed)
  }

  /** Confirmed by the server, or held from the cache while it cannot be reached. */
  #isReady(): boolean {
    return this.#isCurrent() && (this.#state.confirmed || this.#state.tried)
  }

  #isOver(): boolean {
    return this.#isClosed || this.#state.stream.phase === 'closed'
  }

  // The counts.

  #reportLater(): void {
    this.#reportTimer = this.#clock.after(REPORT_INTERVAL_MS, () => {
      this.#report()
      this.#reportLater()
    })
  }

  /** Over the stream alone: to a poll the server counts its answers itself. */
  #report(): void {
    this.#counts.collect(this.#values.values())
    if (this.#state.stream.phase === 'live') for (const message of this.#counts.take()) this.#send(message)
  }
}

function evaluated(item: Item): Evaluated {
  return evaluatedOf(item, typeOf(item.value))
}

/** The type of a flag's value or of a page's default; null for what no flag can hold. */
function typeOf(value: unknown): ValueType | null {
  const type = typeof value
  return type === 'boolean' || type === 'string' || type === 'number' || (type === 'object' && value !== null) ? type : null
}

/** Whether a page could notice. */
function differs(before: Evaluated | undefined, after: Evaluated | undefined): boolean {
  const seen = (one: Evaluated | undefined): unknown => one && [one.value, one.variation, one.reason, one.error, one.metadata]
  return before !== after && JSON.stringify(seen(before)) !== JSON.stringify(seen(after))
}

function isSame(one: Place, other: Place): boolean {
  return one.epoch === other.epoch && one.revision === other.revision
}
