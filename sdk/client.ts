/**
 * The client: answers from the ruleset it holds, and does what `connection.ts` decides. Everything that can fail is
 * contained here; an application never sees an exception of ours.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Flag } from '../schemas/flag.ts'
import type { EvaluationError, ValueType } from '../schemas/reason.ts'
import { SLICE_MS } from '../schemas/protocol.ts'
import type { Segment } from '../schemas/segment.ts'
import { type Cache, cacheFile } from './cache.ts'
import type { Clock, Timer } from './clock.ts'
import { type Action, begin, type Event, isStale, next, NOTHING, placeOf, type State, wakeAt } from './connection.ts'
import { Counts, type Report } from './counts.ts'
import { Dependents } from './evaluator/dependents.ts'
import { decideSafely, evaluateAs, outcomeAs } from './evaluator/evaluate.ts'
import { type Evaluation, type Outcome, typeOfValue } from './evaluator/evaluation.ts'
import { explain } from './evaluator/explain.ts'
import { applyDelta, type Prepared, type PreparedFlag, prepare, unknownOperators } from './evaluator/prepare.ts'
import { messageOf } from './failure.ts'
import { Limiting } from './limiting.ts'
import { Listeners } from './listeners.ts'
import { type Delta, type Downstream, parseMessage, type Whole } from './messages.ts'
import { Migrations } from './migration.ts'
import { duration, type Settings } from './options.ts'
import { Outcomes } from './outcomes.ts'
import { Saver } from './saver.ts'
import type { Link, Transport } from './transport.ts'
import type {
  Acquired,
  Context,
  Details,
  Events,
  Explanation,
  Json,
  Limited,
  Migration,
  MigrationOptions,
  Ready,
  Reported,
  Sluice,
  Status,
  Valve,
} from './types.ts'
import { type Asking, ValveFace } from './valve/face.ts'
import { Valving } from './valving.ts'
import { VERSION } from './version.ts'

/** What this SDK is, as the server shows it. */
const SDK = `node/${VERSION}`
/** How often counts are sent. */
const REPORT_INTERVAL_MS = 5_000
/** How long `close` waits for what is still to be written or sent. */
const CLOSE_TIMEOUT_MS = 2_000

/** The world outside: given by `connect`, and by tests. */
export interface Surroundings {
  readonly clock: Clock
  /** Answers a number in [0, 1). */
  readonly random: () => number
  readonly transport: (base: string, key: string) => Transport
}

/** Start a client. Never throws. */
export function startClient(settings: Settings, surroundings: Surroundings): Sluice {
  return new Client(settings, surroundings)
}

class Client implements Sluice {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #random: () => number
  /** Null when the options name no server. */
  readonly #transport: Transport | null
  readonly #saver: Saver | null
  readonly #outcomes = new Outcomes()
  readonly #counts = new Counts(this.#outcomes)
  readonly #limiting: Limiting
  readonly #migrations: Migrations
  readonly #valving: Valving
  readonly #asking: Asking = {
    evaluate: (flag, context) => this.#outcome(flag, context),
    look: (flag, context) => this.#found(flag, context),
  }

  #prepared: Prepared = prepare({ flags: [], segments: [] }, 0)
  /** The flag that was asked for last. */
  #lastKey = ''
  #last: PreparedFlag | undefined = undefined
  #flags = new Map<string, Flag>()
  #segments = new Map<string, Segment>()
  #hasRuleset = false
  /** Kept while somebody listens for changes. */
  #dependents: Dependents | null = null
  #operatorsAreOld = true

  #state: State
  #link: { readonly id: number; readonly link: Link; bytesRead: number } | null = null
  #poll: AbortController | null = null
  #wake: Timer | null = null
  /** Events that arrived while one was being handled. */
  readonly #events: Event[] = []
  #isHandling = false

  #reportTimer: Timer | null = null
  /** When the slice of outcomes began. */
  #sliceAt: number
  #rulesets = 0

  readonly #listeners: Listeners
  readonly #waiting = new Set<() => void>()
  #wasReady = false
  #wasStale = false
  #wasConnected = false
  #since: number
  #closed: Promise<void> | null = null

  constructor(settings: Settings, { clock, random, transport }: Surroundings) {
    this.#settings = settings
    this.#clock = clock
    this.#random = random
    this.#since = clock.now()
    this.#sliceAt = clock.monotonic()
    const { base, key, logger } = settings
    this.#listeners = new Listeners(logger)
    this.#limiting = new Limiting(clock, lease => this.#send(lease))
    this.#migrations = new Migrations({
      clock,
      random,
      outcomes: this.#outcomes,
      listeners: this.#listeners,
      logger,
      decide: (flag, context) => this.#outcome(flag, context),
    })
    this.#valving = new Valving({
      ...{ clock, random, logger, limiting: this.#limiting },
      seedOf: flag => this.#flags.get(flag)?.seed ?? 0,
      send: report => this.#send(report),
      moved: event => this.#listeners.emit('valve', event),
      ended: (outcome, context, reported) => this.#outcomes.add(outcome, context, '', reported),
    })
    for (const problem of settings.problems) logger.error(problem)
    this.#transport = base === null ? null : transport(base, key)
    const cache = base === null || settings.cache === null ? null : cacheFile(settings.cache, base, key)
    this.#saver = cache === null ? null : new Saver(cache, clock, logger, () => this.#whole())
    const cached = cache === null ? null : this.#load(cache)
    const state = begin(cached === null ? NOTHING : placeOf(cached), settings.pollIntervalMs, clock.monotonic())
    this.#state = this.#transport === null ? { ...state, stream: { phase: 'closed' } } : state
    this.#wasStale = isStale(this.#state)
    if (this.#transport === null) return
    this.#arm()
    this.#reportLater()
  }

  // The answers. As little as possible stands between these and the evaluator.

  value(flag: string, context: Context, fallback: boolean): boolean
  value(flag: string, context: Context, fallback: string): string
  value(flag: string, context: Context, fallback: number): number
  value(flag: string, context: Context, fallback?: null): Json | undefined
  value<T extends Json>(flag: string, context: Context, fallback: T): T
  value(flag: string, context: Context, fallback?: Json): Json | undefined {
    return this.#value(flag, context, fallback, typeOfValue(fallback))
  }

  boolean(flag: string, context: Context, fallback: boolean): boolean {
    return this.#value(flag, context, fallback, 'boolean') as boolean
  }

  string(flag: string, context: Context, fallback: string): string {
    return this.#value(flag, context, fallback, 'string') as string
  }

  number(flag: string, context: Context, fallback: number): number {
    return this.#value(flag, context, fallback, 'number') as number
  }

  object<T extends Json>(flag: string, context: Context, fallback: T): T {
    return this.#value(flag, context, fallback, 'object') as T
  }

  #value(flag: string, context: Context, fallback: Json | undefined, type: ValueType | null): Json | undefined {
    const prepared = flag === this.#lastKey ? this.#last : this.#find(flag)
    if (prepared === undefined) return this.#failedValue(flag, context, fallback, type)
    const outcome = decideSafely(prepared, context, null)
    // Errors and other types are rare, and take the longer way.
    if (outcome.value === undefined || (type !== null && outcome.type !== type)) return this.#failedValue(flag, context, fallback, type)
    this.#counts.add(outcome)
    return outcome.value
  }

  /** An application often asks for one flag many times in a row: then the key need not be looked up again. */
  #find(flag: string): PreparedFlag | undefined {
    const prepared = this.#prepared.flags.get(flag)
    if (prepared !== undefined) {
      this.#lastKey = flag
      this.#last = prepared
    }
    return prepared
  }

  #failedValue(flag: string, context: Context, fallback: Json | undefined, type: ValueType | null): Json | undefined {
    const { value } = this.#evaluateAndCount(flag, context, type)
    return value === undefined ? fallback : value
  }

  #evaluateAndCount(flag: string, context: Context, type: ValueType | null): Evaluation {
    const outcome = outcomeAs(this.#prepared, flag, context, type)
    if (outcome.value === undefined) this.#counts.addError(flag, outcome.evaluation, type)
    else this.#counts.add(outcome)
    return outcome.evaluation
  }

  all(context: Context, options?: { readonly clientVisible?: boolean }): Record<string, Json> {
    // Without a prototype: right for a key such as "__proto__", and five times as quick to fill as an ordinary object.
    const values = Object.create(null) as Record<string, Json>
    for (const prepared of this.#prepared.flags.values()) {
      if (options?.clientVisible === true && !prepared.clientVisible) continue
      const { value } = decideSafely(prepared, context, null)
      if (value !== undefined) values[prepared.key] = value
    }
    return values
  }

  details<T extends Json | undefined>(flag: string, context: Context, fallback: T, type?: ValueType): Details<T> {
    if (this.#state.held.epoch === '') return this.#notReady(fallback)
    return this.#detailsOf(flag, this.#evaluateAndCount(flag, context, type ?? typeOfValue(fallback)), fallback)
  }

  explain<T extends Json | undefined>(flag: string, context: Context, fallback: T): Explanation<T> {
    if (this.#state.held.epoch === '') return { ...this.#notReady(fallback), steps: [] }
    try {
      const { steps, ...explained } = explain(this.#prepared, flag, context)
      const asked = evaluateAs(this.#prepared, flag, context, typeOfValue(fallback))
      return { ...this.#detailsOf(flag, asked.error === 'TYPE_MISMATCH' ? asked : explained, fallback), steps }
    } catch (error) {
      return { ...this.#failed(fallback, 'MALFORMED_FLAG', messageOf(error)), steps: [] }
    }
  }

  #detailsOf<T extends Json | undefined>(flag: string, evaluation: Evaluation, fallback: T): Details<T> {
    const metadata = this.#prepared.flags.get(flag)?.metadata ?? null
    return {
      ...evaluation,
      value: (evaluation.value === undefined ? fallback : evaluation.value) as T,
      ...(metadata === null ? {} : { metadata }),
      revision: this.#state.held.revision,
      stale: isStale(this.#state),
    }
  }

  #notReady<T>(fallback: T): Details<T> {
    return this.#failed(fallback, 'NOT_READY', 'No ruleset has arrived yet. Await ready(), or give a cache file.')
  }

  #failed<T>(fallback: T, error: EvaluationError, message: string): Details<T> {
    const { revision } = this.#state.held
    return { value: fallback, variation: null, reason: 'ERROR', error, message, flagVersion: null, revision, stale: isStale(this.#state) }
  }

  limit(flag: string, context: Context, cost?: number): Limited {
    return this.#limiting.take(this.#outcome(flag, context), context, cost)
  }

  limitOrWait(flag: string, context: Context, options?: { readonly cost?: number; readonly timeoutMs?: number }): Promise<Limited> {
    return this.#limiting.wait(() => this.limit(flag, context, options?.cost), options?.timeoutMs)
  }

  acquire(flag: string, context: Context): Acquired {
    return this.#limiting.acquire(this.#outcome(flag, context), context)
  }

  valve(flag: string): Valve {
    return new ValveFace(this.#valving, this.#asking, flag)
  }

  /** What the flag gives, not counted. */
  #found(flag: string, context: Context): Outcome {
    const prepared = flag === this.#lastKey ? this.#last : this.#find(flag)
    return prepared === undefined ? outcomeAs(this.#prepared, flag, context, null) : decideSafely(prepared, context, null)
  }

  /** What the flag gives, counted as an evaluation. */
  #outcome(flag: string, context: Context): Outcome {
    const prepared = flag === this.#lastKey ? this.#last : this.#find(flag)
    const outcome = prepared === undefined ? outcomeAs(this.#prepared, flag, context, null) : decideSafely(prepared, context, null)
    if (outcome.value === undefined) this.#counts.addError(flag, outcome.evaluation, null)
    else this.#counts.add(outcome)
    return outcome
  }

  migrate<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written>(
    flag: string,
    options: MigrationOptions<ReadArgs, Read, WriteArgs, Written>,
  ): Migration<ReadArgs, Read, WriteArgs, Written> {
    return this.#migrations.migrate(flag, options)
  }

  report(flag: string, context: Context, reported: Reported): void {
    const prepared = flag === this.#lastKey ? this.#last : this.#find(flag)
    if (prepared === undefined) return
    try {
      this.#outcomes.add(decideSafely(prepared, context, null), context, '', reported)
    } catch (error) {
      // A getter that throws, or nothing at all where the outcome should be.
      this.#settings.logger.debug(`report of "${messageOf(flag)}" was not understood: ${messageOf(error)}`)
    }
  }

  track(event: string, value?: number): void {
    this.#counts.track(event, value)
  }

  // What is known about the connection.

  status(): Status {
    const { held } = this.#state
    return {
      revision: held.revision,
      epoch: held.epoch,
      connected: this.#state.stream.phase === 'live',
      stale: isStale(this.#state),
      since: this.#since,
      rulesets: this.#rulesets,
    }
  }

  ready(timeoutMs?: number): Promise<Ready> {
    const answer = (): Ready => ({ ok: this.#state.held.epoch !== '', stale: isStale(this.#state), revision: this.#state.held.revision })
    if (this.#isReady() || this.#closed !== null || this.#transport === null) return Promise.resolve(answer())
    return new Promise(resolve => {
      // Not unref'ed: whoever waits wants the process to live, which no socket of ours sees to.
      const timer = setTimeout(() => done(), duration(timeoutMs, this.#settings.readyTimeoutMs))
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve(answer())
      }
      this.#waiting.add(done)
    })
  }

  on<E extends keyof Events>(event: E, listener: Events[E]): () => void {
    return this.#listeners.on(event, listener)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#reportTimer?.cancel()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)))
    // Writes under way are waited for, and are part of the last report.
    await Promise.race([this.#migrations.idle(), late])
    await Promise.race([Promise.all([this.#report(true), this.#saver?.close()]), late])
    this.#valving.close()
    this.#limiting.close()
    this.#handle({ type: 'close' })
    this.#wake?.cancel()
    await Promise.race([this.#transport?.close(), late])
    clearTimeout(timer)
    for (const done of this.#waiting) done()
  }

  // The connection: events go in, actions come out.

  #handle(event: Event): void {
    this.#events.push(event)
    if (this.#isHandling) return
    this.#isHandling = true
    for (let one = this.#events.shift(); one !== undefined; one = this.#events.shift()) {
      try {
        const step = next(this.#state, one, this.#clock.monotonic(), this.#random())
        this.#state = step.state
        for (const action of step.actions) this.#do(action)
      } catch (error) {
        this.#settings.logger.error(`A ruleset could not be taken: ${messageOf(error)}. Keeping the one before, asking anew`)
        if (one.type !== 'unusable') this.#events.push({ type: 'unusable' })
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
      case 'hello': {
        const { instance, service } = this.#settings
        return this.#send({
          type: 'hello',
          instance,
          service,
          sdk: SDK,
          ...action.held,
          hash: action.held.hash === '' ? undefined : action.held.hash,
        })
      }
      case 'applied':
        return this.#send({ type: 'applied', revision: action.revision, epoch: action.epoch })
      case 'drop':
        this.#link?.link.drop()
        this.#link = null
        return
      case 'apply':
        return this.#apply(action.delta)
      case 'replace':
        return this.#replace(action.whole)
      case 'poll':
        return this.#startPoll(action)
      case 'stop-polling':
        return this.#poll?.abort()
      case 'note':
        return this.#settings.logger[action.level](action.text)
    }
  }

  #connect(id: number): void {
    if (this.#transport === null) return
    const mine = (event: Event): void => {
      // What has been read so far belongs to this event: only what comes after it is a new sign of life.
      if (this.#link?.id === id) this.#link.bytesRead = this.#link.link.bytesRead()
      if (event.type === 'lost' && this.#link?.id === id) this.#link = null
      this.#handle(event)
    }
    const link = this.#transport.open({
      opened: () => mine({ type: 'opened', link: id }),
      message: text => {
        const message = parseMessage(text)
        if (this.#link?.id === id) this.#toldOfTokens(message)
        mine({ type: 'message', link: id, message })
      },
      lost: (why, retryAfterMs) => mine({ type: 'lost', link: id, why, retryAfterMs }),
    })
    this.#link = { id, link, bytesRead: 0 }
    // Whoever listens on this link has not heard them.
    this.#counts.repeatUnknownOperators()
  }

  /** What is for the limits and valves, and no business of the connection. */
  #toldOfTokens(message: Downstream | null): void {
    if (message?.type === 'grant') {
      this.#limiting.granted(message.frame)
      this.#valving.granted()
    } else if (message?.type === 'valve-states') this.#valving.statesTold(message.frame)
  }

  #send(message: object): void {
    this.#link?.link.send(JSON.stringify(message))
  }

  #startPoll({ poll, held }: Extract<Action, { do: 'poll' }>): void {
    if (this.#transport === null) return
    const controller = new AbortController()
    this.#poll = controller
    void this.#transport.poll(held, controller.signal).then(answer => {
      if (answer.kind === 'failed' && !controller.signal.aborted) this.#settings.logger.debug(`Polling failed: ${answer.problem}`)
      this.#handle({ type: 'polled', poll, answer })
    })
  }

  #arm(): void {
    this.#wake?.cancel()
    const at = wakeAt(this.#state)
    if (at === null) return
    this.#wake = this.#clock.after(Math.max(0, at - this.#clock.monotonic()), () => {
      // A large transfer is life, though no message came yet.
      const link = this.#link
      const bytesRead = link?.link.bytesRead() ?? 0
      if (link !== null && bytesRead > link.bytesRead) {
        link.bytesRead = bytesRead
        this.#handle({ type: 'heard', link: link.id })
      }
      this.#handle({ type: 'tick' })
    })
  }

  // The ruleset: taken whole, between two evaluations.

  #apply(delta: Delta): void {
    for (const flag of delta.flags) this.#flags.set(flag.key, flag)
    for (const segment of delta.segments) this.#segments.set(segment.key, segment)
    for (const key of delta.removedFlags) this.#flags.delete(key)
    for (const key of delta.removedSegments) this.#segments.delete(key)
    try {
      this.#hold(applyDelta(this.#prepared, delta, delta.revision))
    } catch {
      // A delta that stopped half-way may have touched what it built on: everything anew, from the documents.
      this.#hold(prepare({ flags: [...this.#flags.values()], segments: [...this.#segments.values()] }, delta.revision))
    }
    this.#taken(
      [...delta.flags.map(flag => flag.key), ...delta.removedFlags],
      [...delta.segments.map(segment => segment.key), ...delta.removedSegments],
    )
  }

  #replace(whole: Whole): void {
    const flags = new Map(whole.flags.map(flag => [flag.key, flag]))
    const segments = new Map(whole.segments.map(segment => [segment.key, segment]))
    this.#counts.collect()
    this.#hold(prepare(whole, whole.revision))
    this.#rulesets += 1
    const before = { flags: this.#flags, segments: this.#segments }
    this.#flags = flags
    this.#segments = segments
    // Comparing is the expensive part: only for those who listen.
    const isHeard = this.#listeners.isHeard('change')
    this.#taken(isHeard ? differing(before.flags, flags) : [], isHeard ? differing(before.segments, segments) : [])
  }

  #hold(prepared: Prepared): void {
    this.#prepared = prepared
    this.#lastKey = ''
    this.#last = undefined
  }

  #taken(changedFlags: readonly string[], changedSegments: readonly string[]): void {
    // Defaults answered before there was a ruleset say nothing about a flag.
    if (!this.#hasRuleset) this.#counts.clear()
    this.#hasRuleset = true
    this.#operatorsAreOld = true
    this.#saver?.changed()
    if (!this.#listeners.isHeard('change')) {
      this.#dependents = null
      return
    }
    if (this.#dependents === null) this.#dependents = new Dependents(this.#flags, this.#segments)
    else this.#dependents.update(this.#flags, this.#segments, changedFlags, changedSegments)
    const affected = this.#dependents.affected(changedFlags, changedSegments)
    if (affected.length > 0) this.#listeners.emit('change', affected)
  }

  // What is told to the application.

  #tell(): void {
    const connected = this.#state.stream.phase === 'live'
    const stale = isStale(this.#state)
    const becameStale = stale !== this.#wasStale
    if (becameStale || connected !== this.#wasConnected) this.#since = this.#clock.now()
    if (connected !== this.#wasConnected)
      this.#settings.logger.info(connected ? `Connected at revision ${this.#state.held.revision}` : 'The stream is down')
    this.#limiting.link(connected)
    this.#valving.link(connected)
    this.#wasConnected = connected
    this.#wasStale = stale
    if (becameStale) this.#listeners.emit('stale', stale)
    if (this.#isReady() && !this.#wasReady) {
      this.#wasReady = true
      for (const done of this.#waiting) done()
      this.#listeners.emit('ready')
    }
  }

  /** Confirmed by the server, or held from the cache while it cannot be reached. */
  #isReady(): boolean {
    const { held, confirmed, tried } = this.#state
    return held.epoch !== '' && (confirmed || tried)
  }

  // The counts.

  #reportLater(): void {
    this.#reportTimer = this.#clock.after(REPORT_INTERVAL_MS, () => {
      void this.#report()
      this.#endSlice()
      this.#reportLater()
    })
  }

  /** After a report, so that what it sent was all of one slice: it lasts at least `SLICE_MS`. */
  #endSlice(): void {
    const now = this.#clock.monotonic()
    if (now - this.#sliceAt < SLICE_MS) return
    this.#sliceAt = now
    this.#outcomes.endSlice()
    this.#migrations.endSlice()
  }

  /** Over the stream, or beside it while polling works; otherwise the sums wait. The last ones are sent unless the server is known to be dark. */
  async #report(isLast = false): Promise<void> {
    const { stream, pollWorked, held, confirmed, tried } = this.#state
    const isLive = stream.phase === 'live'
    const isWorthIt = isLive || pollWorked || (isLast && (confirmed || !tried))
    if (held.epoch === '' || stream.phase === 'closed' || !isWorthIt) return
    try {
      if (this.#operatorsAreOld) this.#counts.setUnknownOperators(unknownOperators(this.#prepared))
      this.#operatorsAreOld = false
      for (const report of this.#counts.take()) {
        if (isLive) this.#send(report)
        else if ((await this.#transport?.report(this.#named(report))) !== true) this.#counts.giveBack(report)
      }
    } catch (error) {
      // Nobody awaits a report: what is thrown here would be the application's.
      this.#settings.logger.error(`Counts could not be sent: ${messageOf(error)}. They are lost, values are not touched`)
    }
  }

  /** Beside the stream no hello has said whose counts these are. */
  #named(report: Report): string {
    const { service, instance } = this.#settings
    return JSON.stringify({ ...report, service: service.slice(0, 128), instance: instance.slice(0, 128), sdk: SDK })
  }

  // The cache file.

  #load(cache: Cache): Whole | null {
    const loaded = cache.load()
    if (loaded.whole === null) {
      if (loaded.problem !== null) this.#settings.logger.warn(loaded.problem)
      return null
    }
    try {
      this.#hold(prepare(loaded.whole, loaded.whole.revision))
      this.#hasRuleset = true
      this.#flags = new Map(loaded.whole.flags.map(flag => [flag.key, flag]))
      this.#segments = new Map(loaded.whole.segments.map(segment => [segment.key, segment]))
      return loaded.whole
    } catch (error) {
      this.#settings.logger.warn(`The cache file is ignored: ${messageOf(error)}`)
      return null
    }
  }

  #whole(): Whole | null {
    const { held } = this.#state
    return held.epoch === '' ? null : { ...held, flags: [...this.#flags.values()], segments: [...this.#segments.values()] }
  }
}

/** Keys of documents that are not the same in both. */
function differing(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  const keys = new Set([...before.keys(), ...after.keys()])
  return [...keys].filter(key => !isSame(before.get(key), after.get(key)))
}

function isSame(a: unknown, b: unknown): boolean {
  try {
    return isDeepStrictEqual(a, b)
  } catch {
    // Nested deeper than the stack: a change too many is told rather than one too few.
    return false
  }
}
