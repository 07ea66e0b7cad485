/**
 * The valves of one environment: what its instances say of them, where each stands in the fleet, whom to tell and what to write.
 * Pure: time is an argument, and the documents are asked for.
 */
import type { Flag } from '../../schemas/flag.ts'
import type { ValveCause, ValveRecord, ValveRow, ValveState, ValveStates } from '../../schemas/valve.ts'
import { VALVES_MAX } from '../../schemas/protocol.ts'
import { type Valve, valveOf } from '../../sdk/evaluator/valve.ts'
import { byThemselves, fleetState, hasProbedWell, type Standing, standingOf, tripOf } from './fleet.ts'
import { isShut, type Member, Pool, type Who } from './pool.ts'
import type { Sums } from './ring.ts'

/** At most one entry of the log for a valve in so long. */
export const MOVE_INTERVAL_MS = 5_000
/** After a restart, what stood before is not taken for better until the instances have had so long to come back. */
export const RETURN_MS = 30_000

/** So long after it flows again. */
const FLOWING_TOLD_MS = 600_000

export type StateRow = ValveStates['valves'][number]

/** A transition that is to be written. */
export interface Move {
  readonly flag: string
  readonly variation: string
  readonly state: ValveState
  readonly admit: number
  readonly cause: ValveCause
  readonly numbers: ValveRecord['numbers']
}

/** What is due: rows that everybody is to be told, and transitions to write. */
export interface Due {
  readonly rows: readonly StateRow[]
  readonly moves: readonly Move[]
}

/** One variation of a valve, as the fleet knows it. */
export interface Known {
  readonly flag: string
  readonly variation: string
  readonly pool: Pool
  state: ValveState
  admit: number
  cause: ValveCause
  /** When it came to stand so. */
  since: number
  /** When and as what it was last written. */
  writtenAt: number
  written: ValveState
  /** What was said before a restart counts until then, unless it is worse. */
  keptUntil: number
  /** The fleet was cut as one until then, so often in a row. */
  orderUntil: number
  trips: number
  /** When it was last shut, and when probes last found it well; since then whoever was shut before may open. */
  shutSince: number
  wellAt: number
  /** Somebody was told that it does not flow. */
  isTold: boolean
}

export class Book {
  readonly #flagOf: (key: string) => Flag | undefined
  readonly #valves = new Map<string, Map<string, Known>>()
  readonly #settings = new WeakMap<Flag, Map<string, Valve | null>>()

  constructor(flagOf: (key: string) => Flag | undefined) {
    this.#flagOf = flagOf
  }

  /** As a server before this one has left it. @param ageMs how long ago that was */
  restore(record: ValveRecord, ageMs: number, now: number): void {
    if (record.state === 'flowing') return
    const known = this.#knownOf(record.key, record.variation, now)
    if (known === null) return
    const { state, admit, cause } = record
    Object.assign(known, { state, admit, cause, since: now - ageMs, written: state, writtenAt: now - ageMs })
    Object.assign(known, { keptUntil: now + RETURN_MS, shutSince: now, isTold: true })
  }

  report(who: Who, rows: readonly ValveRow[], now: number): void {
    for (const row of rows.slice(0, VALVES_MAX)) this.#knownOf(row.flag, row.variation, now)?.pool.report(who, row, now)
  }

  leave(link: string, now: number): void {
    for (const { pool } of this.all()) pool.leave(link, now)
  }

  forget(flag: string): void {
    this.#valves.delete(flag)
  }

  *all(): Iterable<Known> {
    for (const variations of this.#valves.values()) yield* variations.values()
  }

  of(flag: string): readonly Known[] {
    return [...(this.#valves.get(flag)?.values() ?? [])]
  }

  /** Where all valves stand now. To be asked once a second or so. */
  look(now: number): Due {
    const rows: StateRow[] = []
    const moves: Move[] = []
    for (const known of this.all()) {
      const valve = this.#settingOf(known.flag, known.variation)
      if (valve === null || valve.mode !== 'auto') continue
      const members = byThemselves(known.pool.members(now))
      const standing = standingOf(members)
      if (this.#step(known, valve, members, standing, now)) rows.push(rowOf(known, valve, members, now))
      const isFirst = !moves.some(({ flag }) => flag === known.flag)
      if (known.state !== known.written && isFirst && this.#mayWrite(known, now)) moves.push(moveOf(known, valve, standing, now))
    }
    return { rows: worstFirst(rows), moves }
  }

  /** It stands in the log. */
  wrote(flag: string, variation: string, state: ValveState, now: number): void {
    const known = this.#valves.get(flag)?.get(variation)
    if (known === undefined) return
    known.written = state
    known.writtenAt = now
  }

  /** What an instance that comes is told: what does not flow. */
  notFlowing(now: number): readonly StateRow[] {
    const rows: StateRow[] = []
    for (const known of this.all()) {
      const valve = this.#settingOf(known.flag, known.variation)
      if (valve === null || valve.mode !== 'auto' || !this.#isNews(known, now)) continue
      rows.push(rowOf(known, valve, byThemselves(known.pool.members(now)), now))
    }
    return worstFirst(rows)
  }

  /** One document tells of a flag, and in the interval one move of it: of the variation that stands worst. */
  #mayWrite(known: Known, now: number): boolean {
    return this.of(known.flag).every(other => now - other.writtenAt >= MOVE_INTERVAL_MS && SEVERITY[other.state] <= SEVERITY[known.state])
  }

  /** That it flows again is told for a while to those who come back, for they may have heard last that it does not. */
  #isNews({ state, isTold, since }: Known, now: number): boolean {
    return state !== 'flowing' || (isTold && now - since < FLOWING_TOLD_MS)
  }

  /** @returns whether everybody is to be told */
  #step(known: Known, valve: Valve, members: readonly Member[], standing: Standing, now: number): boolean {
    if (this.#trips(known, valve, members, now)) return true
    // An order stands until it has run out, whatever those say that have not heard of it yet.
    const isOrder = now < known.orderUntil
    const stands = known.wellAt === -Infinity ? standing : standingOf(members.map(member => opened(member, known.wellAt)))
    let state = isOrder ? 'cut' : fleetState(known.state, stands)
    if (!isOrder && isShut(known.state) && isShut(state) && hasProbedWell(members, valve.breaker, known.shutSince)) {
      state = 'throttled'
      known.wellAt = now
    }
    if (now < known.keptUntil && SEVERITY[state] < SEVERITY[known.state]) return false
    const before = known.state
    if (!isOrder && standing.instances > 0) known.admit = standing.admit
    if (state === before) return false
    if (isShut(state) && !isShut(before)) this.#shut(known, now)
    known.state = state
    known.since = now
    known.isTold = true
    known.cause = causeOf(state, members) ?? known.cause
    return true
  }

  #trips(known: Known, valve: Valve, members: readonly Member[], now: number): boolean {
    if (!valve.isFleetTrip || !valve.breaker.isEnabled || valve.isShadow || now < known.orderUntil) return false
    const { windowMs, openMs, backoff, maxOpenMs } = valve.breaker
    // A fleet that has flowed for a whole window is well.
    if (known.state === 'flowing' && now - known.since >= windowMs) known.trips = 0
    const breach = tripOf(known.pool.sums(Math.min(windowMs, now - known.orderUntil), now), members, valve.breaker, now)
    if (breach === null) return false
    known.trips++
    known.orderUntil = now + Math.min(maxOpenMs, openMs * backoff ** (known.trips - 1))
    if (known.state !== 'cut') known.since = now
    this.#shut(known, now)
    Object.assign(known, { state: 'cut', admit: 0, cause: 'fleet', keptUntil: 0, isTold: true })
    return true
  }

  #shut(known: Known, now: number): void {
    known.shutSince = now
    known.wellAt = -Infinity
  }

  /** Null for what is no valve: whoever reports it has an older ruleset, or a newer one. */
  #knownOf(flag: string, variation: string, now: number): Known | null {
    if (this.#settingOf(flag, variation) === null) return null
    let variations = this.#valves.get(flag)
    if (variations === undefined) this.#valves.set(flag, (variations = new Map<string, Known>()))
    let known = variations.get(variation)
    if (known !== undefined) return known
    known = {
      ...{ flag, variation, pool: new Pool(now), state: 'flowing', admit: 1, cause: 'setting', since: now },
      ...{ written: 'flowing', writtenAt: -Infinity, keptUntil: -Infinity, orderUntil: -Infinity, trips: 0 },
      ...{ shutSince: -Infinity, wellAt: -Infinity, isTold: false },
    }
    variations.set(variation, known)
    return known
  }

  /** Asked at every look, so what a document says is kept as long as it stands. */
  #settingOf(key: string, variation: string): Valve | null {
    const flag = this.#flagOf(key)
    if (flag === undefined || flag.kind !== 'safety-valve') return null
    let known = this.#settings.get(flag)
    if (known === undefined) this.#settings.set(flag, (known = new Map(flag.variations.map(each => [each.key, valveOf(each.value)]))))
    return known.get(variation) ?? null
  }
}

/** An instance that was shut before the fleet was found well opens with its next call. */
function opened(member: Member, wellAt: number): Pick<Member, 'state' | 'admit'> {
  return isShut(member.state) && member.shutAt <= wellAt ? { state: 'throttled', admit: member.admit } : member
}

export const SEVERITY: Readonly<Record<ValveState, number>> = { flowing: 0, throttled: 1, probing: 2, cut: 3 }

function worstFirst(rows: readonly StateRow[]): readonly StateRow[] {
  return rows.toSorted((a, b) => SEVERITY[b.state] - SEVERITY[a.state]).slice(0, VALVES_MAX)
}

function rowOf(known: Known, valve: Valve, members: readonly Member[], now: number): StateRow {
  const { flag, variation, state, admit } = known
  const isOrder = now < known.orderUntil
  const shut = members.filter(member => member.state === 'cut')
  const trips = Math.max(known.trips, 0, ...members.map(member => member.trips).slice(0, MEMBERS_ASKED))
  const until = isOrder
    ? known.orderUntil
    : shut.length > 0
      ? Math.min(...shut.slice(0, MEMBERS_ASKED).map(({ retryAt }) => retryAt))
      : known.since + valve.breaker.openMs
  return {
    ...{ flag, variation, state, admit },
    ...(state === 'cut' ? { retryMs: Math.max(0, Math.ceil(until - now)) } : {}),
    ...(trips > 0 ? { trips } : {}),
    ...(isOrder ? { isOrder } : {}),
  }
}

/** Of ten thousand instances some hundreds say enough. */
const MEMBERS_ASKED = 500

/** What most of those give as cause that stand so, or in a fleet that moved on, all of them. */
function causeOf(state: ValveState, members: readonly Member[]): ValveCause | null {
  const counts = new Map<ValveCause, number>()
  const those = members.filter(member => member.state === state)
  for (const { cause } of those.length === 0 ? members : those) if (cause !== null) counts.set(cause, (counts.get(cause) ?? 0) + 1)
  const [most] = [...counts].sort(([, a], [, b]) => b - a)
  return most?.[0] ?? null
}

function moveOf(known: Known, { breaker }: Valve, standing: Standing, now: number): Move {
  const { flag, variation, state, admit, cause, pool } = known
  const { calls, failures, slow, rejected }: Sums = pool.sums(breaker.windowMs, now)
  const numbers = {
    ...{ instances: standing.instances, inState: standing[state], windowMs: breaker.windowMs },
    ...{ calls, failures, slow, rejected },
  }
  return { flag, variation, state, admit, cause, numbers }
}
