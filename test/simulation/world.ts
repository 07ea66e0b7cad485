/**
 * Everything in one: several SDKs (the real client with its state machine and evaluator), a server (the real sessions
 * over a model log), the network between them, and what can befall any of it. One seed decides all.
 */
import type { Change } from '../../schemas/change.ts'
import { startClient } from '../../sdk/client.ts'
import type { Clock, Timer } from '../../sdk/clock.ts'
import type { Place, PollAnswer } from '../../sdk/connection.ts'
import { isDelta, isWhole } from '../../sdk/messages.ts'
import { readOptions } from '../../sdk/options.ts'
import type { Link, LinkEvents, Transport } from '../../sdk/transport.ts'
import type { Sluice } from '../../sdk/types.ts'
import { randomFrom } from '../random.ts'
import { type Fate, FLAGS, ModelLog, placeName, SEGMENTS } from './log.ts'
import { type Answer, Server } from './server.ts'
import { Timeline } from './timeline.ts'
import { HEAD, Watch } from './watch.ts'
import { Wire } from './wire.ts'

const KEY = 'slc_server_k1_0123456789abcdef0123456789abcdef'
/** What the SDK's transport allows a poll. */
const ANSWER_TIMEOUT_MS = 10_000
const TRANSFER_TIMEOUT_MS = 120_000
const CACHED_ANSWERS = 4
/** More than this at one moment is a loop without end. */
const AT_ONCE_MAX = 10_000
const SAID_KEPT = 50

/** How things are, for everyone at once. */
export interface Weather {
  isKeyGood: boolean
  isCertificateGood: boolean
  /** A proxy lets no websocket through. */
  areUpgradesBlocked: boolean
  /** The server refuses handshakes for the moment, and says for how many seconds (0: it does not say). */
  busySeconds: number | null
  /** A proxy closes each connection after so long. */
  closesAfterMs: number | null
  /** Answers to polls may take so long. */
  answersTakeMs: number
  /** A cache on the way answers polls with what it has. */
  areAnswersCached: boolean
  latencyMs: number
  bytesPerMs: number
  /** Shares of messages that somebody on the way loses or repeats. */
  lost: number
  repeated: number
  /** How much heavier than their text messages are. */
  heaviest: number
}

export const FINE: Weather = {
  isKeyGood: true,
  isCertificateGood: true,
  areUpgradesBlocked: false,
  busySeconds: null,
  closesAfterMs: null,
  answersTakeMs: 100,
  areAnswersCached: false,
  latencyMs: 60,
  bytesPerMs: 5_000,
  lost: 0,
  repeated: 0,
  heaviest: 1,
}

/** What runs on a machine until it is ended. */
interface Application {
  readonly watch: Watch
  readonly sdk: Sluice
  end(): void
}

/** A machine with an SDK on it. */
export class Machine {
  readonly name: string
  application: Application
  wire: Wire | null = null
  network: 'fine' | 'unreachable' | 'hanging' = 'fine'
  asleepUntil = 0
  fellAsleepAt = 0
  /** Whether its clock stands still while it sleeps, and what it has missed so far. */
  isFrozen = false
  missedMs = 0
  /** When it last woke, by its own clock. */
  wokeAt = 0

  constructor(name: string, start: (machine: Machine) => Application) {
    this.name = name
    this.application = start(this)
  }
}

export class Failure extends Error {}

export class World {
  readonly timeline = new Timeline()
  readonly log = new ModelLog()
  readonly random: () => number
  readonly machines: Machine[]
  readonly counted: Record<string, number> = {}
  weather: Weather = { ...FINE }
  server: Server | null
  /** Storage takes nothing at the moment: only kills are possible, and are kept by the journal or by nothing. */
  isStorageSick = false
  wallOffsetMs = 0
  readonly #trace: ((line: string) => void) | null
  /** By machine: what its applications have held. */
  readonly #held = new Map<string, Set<string>>()
  #cached: { text: string; place: Place }[] = []
  /** Promises have been kept, and what follows from them is not done yet. */
  #areKept = false
  /** Some of what the server has said. */
  readonly #said: string[] = []
  readonly #checks: (() => void)[] = []
  #failure: Failure | null = null

  constructor(seed: number, trace: ((line: string) => void) | null) {
    this.random = randomFrom(seed)
    this.#trace = trace
    this.server = this.#startServer()
    this.machines = Array.from(
      { length: 2 + Math.floor(this.random() * 2) },
      (_, i) => new Machine(`i${i}`, machine => this.#start(machine)),
    )
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  between(low: number, high: number): number {
    return low + this.random() * (high - low)
  }

  say(who: string, what: () => string): void {
    this.#trace?.(`${(this.timeline.now / 1_000).toFixed(3).padStart(12)} s  ${who.padEnd(6)} ${what()}`)
  }

  /** Noted rather than thrown: an SDK contains whatever is thrown in it. */
  fail(who: string, problem: string): void {
    this.say(who, () => `FAILED: ${problem}`)
    this.#failure ??= new Failure(`${(this.timeline.now / 1_000).toFixed(3)} s: ${who}: ${problem}`)
  }

  /** Let time pass. */
  async pass(ms: number): Promise<void> {
    const end = this.timeline.now + ms
    let [at, atOnce] = [this.timeline.now, 0]
    while (this.timeline.step(end)) {
      if (this.timeline.now > at) [at, atOnce] = [this.timeline.now, 0]
      else if (++atOnce > AT_ONCE_MAX) this.fail('world', 'does not come to rest')
      if (this.#areKept) {
        this.#areKept = false
        // As many turns as the longest chain of promises in the client takes.
        for (let i = 0; i < 12; i++) await Promise.resolve()
        for (const check of this.#checks.splice(0)) check()
      }
      if (this.#failure !== null) throw this.#failure
    }
    for (const { application, wire, asleepUntil, missedMs } of this.machines) {
      if (asleepUntil > this.timeline.now) continue
      application.watch.checkNotStopped()
      if (wire !== null) application.watch.checkNotDeaf(wire.arrivedAt - missedMs)
    }
    if (this.#failure !== null) throw this.#failure
  }

  // The weather.

  /** Something is otherwise than fine for a time. */
  storm(change: Partial<Weather>, ms: number): void {
    this.say('world', () => `${JSON.stringify(change)} for ${Math.round(ms)} ms`)
    const { weather } = this
    Object.assign(weather, change)
    this.timeline.after(ms, () => {
      for (const name of Object.keys(change) as (keyof Weather)[]) Object.assign(weather, { [name]: FINE[name] })
    })
  }

  clear(): void {
    // Another object: what an earlier storm puts back when it is over is no weather any more.
    this.weather = { ...FINE }
  }

  // The server.

  commit(most = Infinity): void {
    const isFlag = this.chance(0.85)
    const keys = isFlag ? FLAGS : SEGMENTS
    const key = keys[Math.floor(this.random() * keys.length)]!
    const fate: Fate = !this.isStorageSick ? 'stored' : this.chance(0.5) ? 'journalled' : 'memory'
    const change: Change = this.log.commit(isFlag ? 'flag' : 'segment', key, this.chance(0.25), fate)
    this.say('log', () => `revision ${change.revision} (${change.hash}): ${key}, ${fate}`)
    this.server?.publish(change, fate, most)
  }

  stopServer(how: 'drain' | 'kill' | 'silent'): void {
    const { server } = this
    if (server === null) return
    this.say('server', () => `stops: ${how}`)
    if (how === 'drain') {
      server.drain(this.between(0, 3_000), this.between(0, 9_000))
      this.log.store()
    }
    server.kill(how === 'silent')
    this.server = null
    this.isStorageSick = false
    this.log.crash()
    this.#cached = []
  }

  startServer(): void {
    if (this.server !== null) return
    this.say('server', () => `starts at ${this.log.epoch}.${this.log.revision}.${this.log.hash}`)
    this.server = this.#startServer()
  }

  restore(entries: number, how: 'above' | 'below' | 'unnoticed'): void {
    this.say('log', () => `a backup from ${entries} entries ago is restored: ${how}`)
    this.log.restore(entries, how)
    this.#cached = []
  }

  /** The log begins a new life without a restart. */
  beginEpoch(): void {
    this.say('log', () => 'a new epoch, in the same process')
    this.log.restore(0, 'above')
    this.server?.follow()
  }

  #startServer(): Server {
    const { timeline, log, random } = this
    return new Server({
      timeline,
      log,
      random,
      bytesOf: text => (this.chance(0.2) ? text.length * this.weather.heaviest : text.length),
      say: what => this.say('server', what),
      fail: problem => this.fail('server', problem),
      hasHeld: (instance, place) => this.#heldBy(instance).has(place),
      said: text => {
        if (!this.chance(0.1) || text.includes('"beat"')) return
        this.#said[this.#said.length < SAID_KEPT ? this.#said.length : Math.floor(this.random() * SAID_KEPT)] = text
      },
      counted: what => (this.counted[what] = (this.counted[what] ?? 0) + 1),
    })
  }

  /** Somebody on the way says again what the server said earlier: something of another epoch, or of the history that counts. */
  replay(): void {
    const { server, log } = this
    // What would seem to come next is the most tempting.
    const tempting = this.#said.find(said => Number(HEAD.exec(said)?.[4]) === log.revision + 1)
    const text = tempting ?? this.#said[Math.floor(this.random() * this.#said.length)]
    const [, type, reset, epoch, revision, hash] = (text === undefined ? null : HEAD.exec(text)) ?? []
    if (server === null || text === undefined || epoch === undefined || reset !== undefined) return
    const isOfThisHistory = epoch === log.epoch && log.hashAt(Number(revision)) === (hash ?? log.hashAt(Number(revision)))
    // A whole ruleset of another epoch cannot be told from a restored backup, nor a change of a lost history from one of this.
    if (!isOfThisHistory && (type === 'ruleset' || epoch === log.epoch)) return
    this.say('world', () => `replays ${text.slice(0, 80)}`)
    server.sendRaw(text)
  }

  // The machines.

  /** The application begins anew, with nothing in its hands. */
  restartApplication(machine: Machine): void {
    this.say(machine.name, () => 'starts anew')
    machine.application.end()
    machine.application = this.#start(machine)
  }

  #start(machine: Machine): Application {
    const { name } = machine
    const life = { isOver: false }
    const clock = this.#clockOf(machine, life)
    const say = (what: () => string): void => this.say(name, what)
    const watch = new Watch(this.#transportOf(machine, life), {
      now: () => clock.monotonic(),
      wokeAt: () => machine.wokeAt,
      contentAt: place => this.log.places.get(place),
      holds: place => this.#heldBy(name).add(place),
      fail: problem => this.fail(name, problem),
      say,
    })
    const note = (text: string): void => say(() => text)
    const logger = { debug: note, info: note, warn: note, error: note }
    const settings = readOptions({ url: 'ws://localhost:7400', key: KEY, service: 'model', instance: name, logger }, name)
    const sdk = startClient(settings, { clock, random: this.random, transport: () => watch })
    watch.sdk = sdk
    const end = (): void => {
      life.isOver = true
      machine.wire?.drop()
      machine.wire = null
    }
    return { watch, sdk, end }
  }

  #heldBy(name: string): Set<string> {
    const held = this.#held.get(name) ?? new Set()
    this.#held.set(name, held)
    return held
  }

  sleep(machine: Machine, ms: number): void {
    const { now } = this.timeline
    if (machine.asleepUntil > now) return
    machine.isFrozen = this.chance(0.5)
    machine.fellAsleepAt = now
    machine.asleepUntil = now + ms
    this.say(machine.name, () => `sleeps for ${Math.round(ms / 1_000)} s${machine.isFrozen ? ', its clock too' : ''}`)
    this.timeline.after(ms, () => {
      if (machine.isFrozen) machine.missedMs += ms
      machine.isFrozen = false
      machine.wokeAt = this.#own(machine)
    })
  }

  #own(machine: Machine): number {
    const { now } = this.timeline
    return (machine.isFrozen && machine.asleepUntil > now ? machine.fellAsleepAt : now) - machine.missedMs
  }

  #clockOf(machine: Machine, life: { isOver: boolean }): Clock {
    const monotonic = (): number => this.#own(machine)
    const after = (asked: number, run: () => void): Timer => {
      // As the machine's own clock has it.
      const ms = Math.max(0, Math.ceil(asked))
      const due = monotonic() + ms
      let timer: Timer
      const look = (): void => {
        if (life.isOver) return
        const asleepMs = machine.asleepUntil - this.timeline.now
        const left = asleepMs > 0 ? asleepMs : due - monotonic()
        if (left > 1e-6) timer = this.timeline.after(left, look)
        else run()
      }
      timer = this.timeline.after(ms, look)
      return { cancel: () => timer.cancel() }
    }
    return { now: () => 1_764_000_000_000 + this.wallOffsetMs + this.timeline.now, monotonic, after }
  }

  // The network.

  #transportOf(machine: Machine, life: { isOver: boolean }): Transport {
    return {
      open: events => this.#open(machine, events),
      poll: (held, signal) => this.#poll(machine, life, held, signal),
      report: () => this.#report(machine, life),
      close: () => Promise.resolve(),
    }
  }

  cut(machine: Machine): void {
    this.say(machine.name, () => '(its link is cut)')
    machine.wire?.cut()
  }

  swallow(machine: Machine): void {
    this.say(machine.name, () => '(its link swallows everything from now on)')
    machine.wire?.swallow()
  }

  stall(machine: Machine, ms: number): void {
    this.say(machine.name, () => `(reads nothing for ${Math.round(ms)} ms)`)
    machine.wire?.stall(ms)
  }

  #latency(): number {
    const { latencyMs } = this.weather
    return 1 + latencyMs * this.random()
  }

  /** What is told to a machine is heard when it is awake. */
  #later(machine: Machine, ms: number, run: () => void): void {
    this.timeline.after(ms, () => {
      const asleepMs = machine.asleepUntil - this.timeline.now
      if (asleepMs > 0) this.#later(machine, asleepMs, run)
      else run()
    })
  }

  #open(machine: Machine, events: LinkEvents): Link {
    const wire: Wire = new Wire(
      {
        timeline: this.timeline,
        latencyMs: () => this.#latency(),
        bytesPerMs: () => this.weather.bytesPerMs,
        fateOf: () => {
          const { lost, repeated } = this.weather
          if (lost + repeated === 0) return 'arrives'
          const dice = this.random()
          return dice < lost ? 'lost' : dice < lost + repeated ? 'twice' : 'arrives'
        },
        asleepUntil: () => machine.asleepUntil,
      },
      {
        opened: () => {
          this.say(machine.name, () => 'is connected')
          events.opened()
        },
        message: text => {
          this.say(machine.name, () => `hears ${text.slice(0, 150)}`)
          events.message(text)
        },
        lost: (...why) => {
          if (machine.wire === wire) machine.wire = null
          events.lost(...why)
        },
      },
    )
    machine.wire = wire
    this.say(machine.name, () => 'connects')
    this.timeline.after(this.#latency(), () => this.#arrive(machine, wire))
    return {
      send: text => wire.say(text),
      drop: () => {
        if (machine.wire === wire) machine.wire = null
        wire.drop()
      },
      bytesRead: () => wire.bytesRead(),
    }
  }

  /** A handshake is before the server, or before whatever stands in the way. */
  #arrive(machine: Machine, wire: Wire): void {
    const lost = (...why: Parameters<LinkEvents['lost']>): void => this.#later(machine, this.#latency(), () => wire.lost(...why))
    const { isCertificateGood, areUpgradesBlocked, busySeconds, closesAfterMs, isKeyGood } = this.weather
    if (machine.network === 'hanging' || !wire.isHere) return
    if (machine.network === 'unreachable' || this.server === null) return this.chance(0.9) ? lost('unreachable') : undefined
    if (!isCertificateGood) return lost('untrusted')
    if (areUpgradesBlocked) return lost('refused')
    if (busySeconds !== null) return lost('refused', busySeconds * 1_000)
    if (!isKeyGood) return lost('refused')
    wire.open()
    this.server.accept(machine.name, wire)
    if (closesAfterMs !== null) this.timeline.after(closesAfterMs, () => wire.cut())
  }

  #poll(machine: Machine, life: { isOver: boolean }, held: Place, signal: AbortSignal): Promise<PollAnswer> {
    return new Promise(resolve => {
      const answer = (ms: number, it: PollAnswer, head: RegExpExecArray | null = null): void =>
        this.#later(machine, ms, () => {
          if (life.isOver || signal.aborted) return
          this.#areKept = true
          if (head !== null) this.#checks.push(() => machine.application.watch.check(head))
          resolve(it)
        })
      const failed = (ms: number, problem: string, retryAfterMs = 0): void => answer(ms, { kind: 'failed', problem, retryAfterMs })
      signal.addEventListener('abort', () => {
        this.#areKept = true
        resolve({ kind: 'failed', problem: 'aborted' })
      })
      this.timeline.after(this.#latency(), () => {
        const { isCertificateGood, isKeyGood, busySeconds, answersTakeMs } = this.weather
        if (machine.network === 'hanging') return failed(ANSWER_TIMEOUT_MS, 'no answer')
        if (machine.network === 'unreachable' || this.server === null) return failed(this.#latency(), 'unreachable')
        if (!isCertificateGood) return answer(this.#latency(), { kind: 'untrusted' })
        if (busySeconds !== null && this.chance(0.5)) return failed(this.#latency(), 'busy', busySeconds * 1_000)
        const takes = this.#latency() + this.between(0, answersTakeMs)
        if (!isKeyGood) return answer(Math.min(takes, ANSWER_TIMEOUT_MS), { kind: 'refused' })
        const said = this.#answerOf(held)
        if (takes > TRANSFER_TIMEOUT_MS) return failed(TRANSFER_TIMEOUT_MS, 'too slow')
        if (said.status === 304) return answer(takes, { kind: 'unchanged' })
        const body: unknown = JSON.parse(said.text)
        if (isDelta(body)) answer(takes, { kind: 'changes', delta: body }, HEAD.exec(said.text))
        else if (isWhole(body)) answer(takes, { kind: 'whole', whole: body }, HEAD.exec(said.text))
        else this.fail('server', `answers a poll with ${said.text}`)
      })
    })
  }

  #answerOf(held: Place): Answer {
    const { server, log } = this
    if (server === null) throw new Error('No server.')
    const cached = this.#cached.filter(({ place }) => place.epoch === held.epoch && log.hashAt(place.revision) === place.hash)
    if (this.weather.areAnswersCached && cached.length > 0 && this.chance(0.7)) {
      const { text, place } = cached[Math.floor(this.random() * cached.length)]!
      return { status: 200, text, place }
    }
    const answer = server.answer(held)
    if (answer.status === 200 && answer.place !== null)
      this.#cached = [{ text: answer.text, place: answer.place }, ...this.#cached].slice(0, CACHED_ANSWERS)
    return answer
  }

  #report(machine: Machine, life: { isOver: boolean }): Promise<boolean> {
    return new Promise(resolve =>
      this.#later(machine, this.#latency(), () => {
        if (life.isOver) return
        this.#areKept = true
        resolve(this.server !== null && machine.network === 'fine')
      }),
    )
  }

  /** Who is not connected, does not show the log's newest state, or has not confirmed it. */
  difference(areReceiptsNeeded: boolean): string | null {
    const { epoch, revision, hash } = this.log
    const expected = placeName(epoch, revision, hash)
    for (const { name, application } of this.machines) {
      const { watch, sdk } = application
      const { place } = watch
      const held = placeName(place.epoch, place.revision, place.hash)
      if (held !== expected) return `${name} holds ${held}, the log is at ${expected}`
      if (!watch.isLive) return `${name} is not connected`
      if (sdk.status().stale) return `${name} is stale`
      if (areReceiptsNeeded && this.server?.confirmedBy(name).includes(revision) !== true) return `${name} has not confirmed ${revision}`
    }
    return null
  }
}
