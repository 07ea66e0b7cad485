/**
 * The valves of one client: each (flag, variation) that was used has one, made when it is first asked for. Runs the time they
 * go by, asks for probes, reports them, and hears what the fleet says. An application without valves pays nothing for them.
 */
import { WEIGHT_TOTAL } from '../schemas/limits.ts'
import { LEASE_INTERVAL_MS, PROBE_KEY, UPSTREAM_BYTES_MAX, VALVES_INTERVAL_MS, VALVES_MAX } from '../schemas/protocol.ts'
import type { ValveRow, ValvesReport } from '../schemas/valve.ts'
import type { Clock, Timer } from './clock.ts'
import { readRaw } from './evaluator/attribute.ts'
import { bucketKeyOf, bucketOf } from './evaluator/bucket.ts'
import type { Outcome } from './evaluator/evaluation.ts'
import type { Rate } from './evaluator/rate.ts'
import { type Valve as Setting, valveOf } from './evaluator/valve.ts'
import { messageOf } from './failure.ts'
import type { Limiting } from './limiting.ts'
import type { Context, Ended, Logger, RunOptions, ValveEvent, ValveState, ValveStatus, ValveTicket } from './types.ts'
import { ValveCutError } from './valve/error.ts'
import { run, type Running } from './valve/run.ts'
import { type Counting, Ticket } from './valve/ticket.ts'
import { type FleetState, type Moved, type Totals, ValveCore } from './valve/valve.ts'

/** A valve that nobody asked for so long does not need to know what time it is. */
const REST_MS = 1_000
/** Valves kept; beyond it those that rest are forgotten. */
const VALVES_KEPT_MAX = 1_000
/** Complaints about flags that are no valves: one each, and no more than so many. */
const COMPLAINTS_MAX = 100
/** A row without its names, and what stands around the rows. */
const ROW_BYTES = 240
const ROWS_BYTES_MAX = UPSTREAM_BYTES_MAX - 4_096

const STATES: readonly string[] = ['flowing', 'throttled', 'cut', 'probing'] satisfies ValveState[]

/** What is kept with an outcome that is no valve. */
const NOT_A_VALVE = Object.freeze({})

export interface ValvingOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly logger: Required<Logger>
  readonly limiting: Pick<Limiting, 'takeLent' | 'instances' | 'isConnected'>
  readonly seedOf: (flag: string) => number
  readonly send: (report: ValvesReport) => void
  readonly moved: (event: ValveEvent) => void
  /** How a call under an outcome ended, for whoever sums it up. */
  readonly ended: (
    outcome: Outcome,
    context: Context,
    reported: { readonly ok: boolean; readonly ms: number; readonly slow: boolean },
  ) => void
}

export class Valving {
  readonly #options: ValvingOptions
  /** By flag, then variation. */
  readonly #valves = new Map<string, Map<string, Held>>()
  #size = 0
  /** Those that were asked for of late, or have something to say. */
  #active: Held[] = []
  #timer: Timer | null = null
  #reportedAt = -Infinity
  #isConnected = false
  #isClosed = false
  /** What the fleet last said of valves that were not asked for yet. */
  #told = new Map<string, { readonly fleet: FleetState; readonly at: number }>()
  readonly #complaints = new Set<string>()

  constructor(options: ValvingOptions) {
    this.#options = options
  }

  enter(flag: string, outcome: Outcome, context: Context): ValveTicket {
    const held = (outcome.valve ?? this.#heldOf(outcome)) as Held
    if ((held as object) === NOT_A_VALVE) {
      this.#complain(flag, outcome)
      return new Ticket(true, 'ERROR', 0, null, -1, 0)
    }
    if (!held.isActive) this.#activate(held)
    const { core } = held
    if (core.isWide) {
      core.pass()
      return new Ticket(true, 'FLOWING', 0, held, core.epoch, 0)
    }
    const entered = core.enter(this.#placeOf(held, context))
    if (typeof entered === 'number') return new Ticket(true, entered === 0 ? 'FLOWING' : 'PROBE', 0, held, core.epoch, entered)
    if (!core.setting.isShadow) return new Ticket(false, entered, core.retryAfterMs(), null, -1, 0)
    core.passAnyway()
    return new Ticket(true, 'SHADOW', 0, held, -1, 0)
  }

  run<T>(
    flag: string,
    outcome: Outcome,
    context: Context,
    call: (signal: AbortSignal) => T | PromiseLike<T>,
    options: RunOptions<T> | RunOptions<T>['fallback'],
  ): Promise<T> {
    const ticket = this.enter(flag, outcome, context)
    return run(new Making(this.#options, flag, outcome, context, ticket, call, options))
  }

  state(outcome: Outcome): ValveStatus {
    const held = (outcome.valve ?? this.#heldOf(outcome)) as Held
    const { clock } = this.#options
    if ((held as object) === NOT_A_VALVE) {
      const since = Math.round(clock.now())
      return { state: 'flowing', admit: 1, cause: null, since, retryAfterMs: 0, variation: null, shadow: false }
    }
    this.#turn(held)
    const { core, variation } = held
    const { state, admit, cause, setting } = core
    const since = Math.round(clock.now() - (clock.monotonic() - core.since))
    const retryAfterMs = admit === 1 ? 0 : core.retryAfterMs()
    return { state, admit, cause, since, retryAfterMs, variation, shadow: setting.isShadow }
  }

  #placeOf({ core, seed }: Held, context: Context): number {
    const { stickyBy } = core.setting
    if (stickyBy === null) return this.#options.random()
    const key = keyOf(() => bucketKeyOf(readRaw(stickyBy, context)))
    // Nothing to go by: as if it were not sticky.
    return key === null ? this.#options.random() : bucketOf(key, seed) / WEIGHT_TOTAL
  }

  /** An application that asks a flag that cannot answer is told so once. */
  #complain(flag: string, { evaluation }: Outcome): void {
    const name = messageOf(flag)
    if (this.#complaints.has(name) || this.#complaints.size >= COMPLAINTS_MAX) return
    this.#complaints.add(name)
    const why = evaluation.reason === 'ERROR' ? (evaluation.message ?? 'there is none') : 'its value is no valve setting'
    this.#options.logger.warn(`The valve "${name}" lets everything through: ${why}`)
  }

  // Valves.

  #heldOf(outcome: Outcome): object {
    const held = this.#find(outcome)
    outcome.valve = held
    return held
  }

  #find({ flag, value, evaluation: { variation, reason } }: Outcome): object {
    if (variation === null || reason === 'ERROR') return NOT_A_VALVE
    const setting = valveOf(value)
    if (setting === null) return NOT_A_VALVE
    const source = JSON.stringify(value)
    const { seedOf, clock, moved, logger } = this.#options
    const seed = seedOf(flag)
    const known = this.#valves.get(flag)?.get(variation)
    if (known !== undefined) {
      known.seed = seed
      if (known.source === source) return known
      known.source = source
      this.#turn(known)
      known.core.set(setting)
      return known
    }
    if (this.#size >= VALVES_KEPT_MAX) this.#forgetResting()
    const held: Held = new Held(
      flag,
      variation,
      source,
      seed,
      setting,
      clock.monotonic(),
      event => {
        held.isNews = true
        this.#activate(held)
        logger.info(`Valve "${flag}" (${variation}) is ${event.to}, was ${event.from}: ${event.cause}`)
        moved(eventOf(held, event))
      },
      () => void (held.isActive || this.#activate(held)),
      () => clock.monotonic(),
    )
    this.#keep(held)
    this.#beginBeside(held)
    const told = this.#told.get(nameOf(flag, variation))
    if (told !== undefined) this.#tellFleet(held, sinceThen(told.fleet, clock.monotonic() - told.at))
    return held
  }

  #keep(held: Held): void {
    let variations = this.#valves.get(held.flag)
    if (variations === undefined) this.#valves.set(held.flag, (variations = new Map<string, Held>()))
    variations.set(held.variation, held)
    this.#size++
  }

  #forgetResting(): void {
    for (const [flag, variations] of this.#valves) {
      for (const [variation, { isActive, core }] of variations) {
        if (isActive || core.state !== 'flowing') continue
        variations.delete(variation)
        this.#size--
      }
      if (variations.size === 0) this.#valves.delete(flag)
    }
  }

  // Time.

  #activate(held: Held): void {
    if (held.isActive) return
    held.isActive = true
    held.usedAt = this.#options.clock.monotonic()
    this.#active.push(held)
    this.#turn(held)
    this.#beginBeside(held)
    this.#tickLater()
  }

  /**
   * The settings of one flag stand before one dependency: a valve that was not in use (its setting is new, or serves again)
   * begins where the worst of the others stands, or a change of the setting would flood what is sick.
   */
  #beginBeside(held: Held): void {
    let worst: ValveCore | null = null
    for (const { core, isActive } of this.#valves.get(held.flag)?.values() ?? []) {
      if (core === held.core || !isActive || core.setting.mode !== 'auto') continue
      if (worst === null || core.share < worst.share) worst = core
    }
    if (worst !== null) held.core.beginAt(worst)
  }

  #turn(held: Held): void {
    const { isConnected, instances } = this.#options.limiting
    const { probes } = held.core.setting.breaker
    // Alone, or without anybody to share them with, one probe says enough.
    const needed = isConnected ? Math.max(1, Math.ceil(probes / instances)) : 1
    held.core.tick(this.#options.clock.monotonic(), needed)
    if (held.core.wantsProbe) this.#askProbe(held)
  }

  #tickLater(): void {
    if (this.#isClosed) return
    this.#timer ??= this.#options.clock.after(LEASE_INTERVAL_MS, () => {
      this.#timer = null
      this.#tick()
      if (this.#active.length > 0) this.#tickLater()
    })
  }

  #tick(): void {
    const now = this.#options.clock.monotonic()
    for (const held of this.#active) {
      const used = usesOf(held.core.totals)
      if (used !== held.used) {
        held.used = used
        held.usedAt = now
      }
      this.#turn(held)
    }
    if (this.#isConnected && now - this.#reportedAt >= VALVES_INTERVAL_MS) this.#report(now)
    this.#active = this.#active.filter(held => {
      const { core } = held
      held.isActive = now - held.usedAt < REST_MS || core.isTrying || core.wantsProbe || (this.#isConnected && owes(held))
      return held.isActive
    })
  }

  // Probes.

  /** One of the fleet's, by the server; of its own only where there is nobody to ask. */
  #askProbe(held: Held): void {
    const { limiting, clock } = this.#options
    const { core, flag, variation } = held
    const now = clock.monotonic()
    const { openMs, maxOpenMs } = core.setting.breaker
    if (core.setting.isShadow) return core.permitProbe()
    if (limiting.isConnected) {
      if (limiting.takeLent(flag, variation, PROBE_KEY, probeRateOf(held))) return core.permitProbe()
      // A server that gives none, for as long as a cut can last, knows nothing of valves.
      if (now - core.probingSince < maxOpenMs) return
    }
    if (now - held.probedAt < openMs) return
    held.probedAt = now
    core.permitProbe()
  }

  /** Tokens have arrived: those that are scarce do not lie about. */
  granted(): void {
    for (const held of this.#active) if (held.core.wantsProbe) this.#askProbe(held)
  }

  // The link.

  /** The stream is up, or down. */
  link(isConnected: boolean): void {
    if (isConnected === this.#isConnected) return
    this.#isConnected = isConnected
    if (!isConnected) return
    // The server sums up by the second: what happened while nobody listened would be taken for what happens now.
    for (const variations of this.#valves.values()) {
      for (const held of variations.values()) {
        held.reported = { ...held.core.totals }
        if (held.core.state === 'flowing' && !held.isActive) continue
        held.isNews = true
        this.#activate(held)
      }
    }
  }

  #report(now: number): void {
    const rows: ValveRow[] = []
    let bytes = 0
    for (const held of this.#active) {
      if (!owes(held)) continue
      bytes += ROW_BYTES + Buffer.byteLength(held.flag) + Buffer.byteLength(held.variation)
      if (rows.length === VALVES_MAX || bytes > ROWS_BYTES_MAX) break
      rows.push(rowOf(held))
    }
    if (rows.length === 0) return
    this.#reportedAt = now
    this.#options.send({ type: 'valves', valves: rows })
  }

  /** A `valve-states` frame, of whatever shape. */
  statesTold(frame: unknown): void {
    const rows = (frame as { readonly valves?: unknown }).valves
    if (!Array.isArray(rows)) return
    const at = this.#options.clock.monotonic()
    for (const row of rows.slice(0, VALVES_MAX) as readonly unknown[]) {
      const read = readState(row)
      if (read === null) continue
      const { flag, variation, fleet } = read
      const held = this.#valves.get(flag)?.get(variation)
      if (held !== undefined) this.#tellFleet(held, fleet)
      else this.#remember(nameOf(flag, variation), fleet, at)
    }
  }

  #remember(name: string, fleet: FleetState, at: number): void {
    // The newest last, so that the oldest go first.
    this.#told.delete(name)
    if (fleet.state !== 'flowing') this.#told.set(name, { fleet, at })
    const [oldest] = this.#told.keys()
    if (this.#told.size > VALVES_KEPT_MAX && oldest !== undefined) this.#told.delete(oldest)
  }

  #tellFleet(held: Held, fleet: FleetState): void {
    this.#activate(held)
    held.core.fleet(fleet, this.#options.clock.monotonic())
  }

  /** The last numbers, so that what was counted in the last second is not lost. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    if (this.#isConnected) this.#report(this.#options.clock.monotonic())
  }
}

/** One call through a valve. */
class Making<T> implements Running<T> {
  readonly ticket: ValveTicket
  readonly call: (signal: AbortSignal) => T | PromiseLike<T>
  readonly options: RunOptions<T> | RunOptions<T>['fallback']
  readonly timeoutMs: number | null
  readonly clock: Clock
  readonly #to: ValvingOptions
  readonly #flag: string
  readonly #outcome: Outcome
  readonly #context: Context
  readonly #core: ValveCore | null
  readonly #slowMs: number | null
  /** Where a rollout chose the setting: only there is something to compare. What becomes of the others the valve itself counts. */
  readonly #isReported: boolean
  readonly isTimed: boolean

  constructor(
    to: ValvingOptions,
    flag: string,
    outcome: Outcome,
    context: Context,
    ticket: ValveTicket,
    call: (signal: AbortSignal) => T | PromiseLike<T>,
    options: RunOptions<T> | RunOptions<T>['fallback'],
  ) {
    this.#to = to
    this.clock = to.clock
    this.#flag = flag
    this.#outcome = outcome
    this.#context = context
    this.ticket = ticket
    this.call = call
    this.options = options
    this.#core = outcome.valve instanceof Held ? outcome.valve.core : null
    this.timeoutMs = this.#core?.setting.breaker.timeoutMs ?? null
    this.#slowMs = this.#core?.setting.breaker.slowMs ?? null
    this.#isReported = this.#core !== null && outcome.evaluation.rollout === true
    this.isTimed = this.#isReported || this.#slowMs !== null
  }

  refused(): ValveCutError {
    const core = this.#core
    return new ValveCutError(this.#flag, core?.state ?? 'cut', this.ticket.retryAfterMs, core?.setting.fallback ?? '')
  }

  ended(ended: Ended, ms: number): void {
    this.ticket.done(ended, ms)
    if (ended === 'ignore' || !this.#isReported) return
    this.#to.ended(this.#outcome, this.#context, { ok: ended === 'success', ms, slow: this.#slowMs !== null && ms >= this.#slowMs })
  }

  failed(error: unknown): void {
    this.#to.logger.error(`classify of a call through the valve "${this.#flag}" failed: ${messageOf(error)}. It counts as usual`)
  }
}

/** A valve, and what is known around it. */
class Held implements Counting {
  readonly flag: string
  readonly variation: string
  readonly core: ValveCore
  readonly rouse: () => void
  readonly monotonic: () => number
  /** The value it was made of, as JSON. */
  source: string
  seed: number
  isActive = false
  /** It has moved, and the server has not heard of it. */
  isNews = false
  /** Of `totals` at the last tick, and when that last changed. */
  used = 0
  usedAt = 0
  /** What the server was told. */
  reported: Readonly<Totals>
  /** When it last allowed itself a probe. */
  probedAt = -Infinity
  probeRate: Rate | null = null

  constructor(
    flag: string,
    variation: string,
    source: string,
    seed: number,
    setting: Setting,
    now: number,
    moved: (moved: Moved) => void,
    rouse: () => void,
    monotonic: () => number,
  ) {
    this.flag = flag
    this.variation = variation
    this.source = source
    this.seed = seed
    this.core = new ValveCore(setting, now, moved)
    this.reported = { ...this.core.totals }
    this.rouse = rouse
    this.monotonic = monotonic
  }
}

function eventOf({ flag, variation, core }: Held, { from, to, cause, calls, failures, slow }: Moved): ValveEvent {
  const retryAfterMs = to === 'cut' ? core.retryAfterMs() : 0
  const shadow = core.setting.isShadow
  return { flag, variation, from, to, cause, admit: core.admit, retryAfterMs, calls, failures, slow, shadow }
}

function usesOf({ calls, rejected, shadowed, failures }: Totals): number {
  return calls + rejected + shadowed + failures
}

function owes({ isNews, core: { totals }, reported }: Held): boolean {
  return isNews || usesOf(totals) !== usesOf(reported)
}

/** What it says since the last row. A valve that only watches lets everything through, whatever it makes of it. */
function rowOf(held: Held): ValveRow {
  const { flag, variation, core, reported } = held
  const { totals, setting, trips } = core
  const isShadow = setting.isShadow
  const [state, admit, cause] = isShadow ? (['flowing', 1, null] as const) : ([core.state, core.admit, core.cause] as const)
  const shadowed = totals.shadowed - reported.shadowed
  const row: ValveRow = {
    ...{ flag, variation, state, admit },
    ...(cause === null ? {} : { cause }),
    calls: totals.calls - reported.calls,
    failures: totals.failures - reported.failures,
    slow: totals.slow - reported.slow,
    rejected: totals.rejected - reported.rejected,
    ...(shadowed > 0 ? { shadowed } : {}),
    ...(state === 'cut' && setting.mode === 'auto' ? { retryMs: core.retryAfterMs() } : {}),
    ...(trips > 0 && !isShadow ? { trips } : {}),
  }
  held.reported = { ...totals }
  held.isNews = false
  return row
}

/** As the ledger of the server has it, so that what is said of it here does not matter: it lends, or it does not. */
function probeRateOf(held: Held): Rate {
  const { probes, openMs } = held.core.setting.breaker
  const known = held.probeRate
  if (known !== null && known.rate === probes && known.perMs === openMs) return known
  const rate: Rate = {
    ...{ isUnlimited: false, rate: probes, perMs: openMs, ratePerMs: probes / openMs, depth: probes, unit: 'probe', cost: 1 },
    ...{ concurrency: null, isShadow: false, onPartition: 'closed', keyBy: [] },
  }
  held.probeRate = rate
  return rate
}

function readState(row: unknown): { readonly flag: string; readonly variation: string; readonly fleet: FleetState } | null {
  if (typeof row !== 'object' || row === null) return null
  const { flag, variation, state, admit, retryMs, trips, isOrder } = row as Record<string, unknown>
  if (typeof flag !== 'string' || typeof variation !== 'string' || typeof state !== 'string' || !STATES.includes(state)) return null
  const amount = (value: unknown, usual: number): number => (typeof value === 'number' && value >= 0 && value < Infinity ? value : usual)
  return {
    flag,
    variation,
    fleet: {
      state: state as ValveState,
      admit: Math.min(1, amount(admit, 1)),
      retryMs: amount(retryMs, 0),
      trips: amount(trips, 1),
      isOrder: isOrder === true,
    },
  }
}

/** What was said some time ago, as of now. */
function sinceThen(fleet: FleetState, ms: number): FleetState {
  return { ...fleet, retryMs: Math.max(0, fleet.retryMs - ms), isOrder: fleet.isOrder && fleet.retryMs > ms }
}

function nameOf(flag: string, variation: string): string {
  return `${flag}\n${variation}`
}

/** A context with a trap that throws has nothing to go by. */
function keyOf(read: () => string | null): string | null {
  try {
    return read()
  } catch {
    return null
  }
}
