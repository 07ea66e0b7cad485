/**
 * What the instances of an environment say of one valve, pooled: sums by service and in all, and where each instance stands.
 * Pure: time is an argument. Bounded: an instance that says nothing for a while is forgotten.
 */
import type { ValveCause, ValveRow, ValveState } from '../../schemas/valve.ts'
import { Ring, type Sums } from './ring.ts'

/** A connected instance that has not used the valve for so long does not count; one that waits to probe, so long after that. */
export const SILENT_MS = 60_000
/** An instance whose link is gone counts as it last stood for so long: a restart or a deploy moves nothing. */
export const GONE_MS = 30_000
/** Instances and services of one valve that are kept apart; what others say is in the sums alone. */
const MEMBERS_MAX = 20_000
const SERVICES_MAX = 100

const MINUTE_MS = 60_000
/** What is kept to be drawn: a quarter of an hour by tens of seconds. */
const TRAIL_SLOT_MS = 10_000
const TRAIL_SLOTS = 91
const HOUR_MS = 3_600_000

export interface Who {
  /** What the connection is called here: two processes with one name are two. */
  readonly link: string
  readonly instance: string
  readonly service: string
}

/** Of the last 10 s, minute and hour. */
export interface Spans {
  readonly tenSeconds: Sums
  readonly minute: Sums
  readonly hour: Sums
}

export interface Member {
  readonly instance: string
  readonly service: string
  state: ValveState
  admit: number
  cause: ValveCause | null
  trips: number
  heardAt: number
  /** When it probes, if it is cut by itself. */
  retryAt: number
  /** When it was cut last, and when its own probes last opened it again. */
  shutAt: number
  wellAt: number
  /** Its link is gone since then. */
  goneAt: number | null
  readonly ring: Ring
}

/** Sums for a minute by the second and for an hour by the minute. */
class Tally {
  readonly #seconds: Ring
  readonly #minutes: Ring

  constructor(now: number) {
    this.#seconds = new Ring(1_000, 60, now)
    this.#minutes = new Ring(MINUTE_MS, 60, now)
  }

  add(row: ValveRow, now: number): void {
    this.#seconds.add(row, now)
    this.#minutes.add(row, now)
  }

  sums(ms: number, now: number): Sums {
    return ms <= MINUTE_MS ? this.#seconds.sums(ms, now) : this.#minutes.sums(ms, now)
  }

  spans(now: number): Spans {
    return { tenSeconds: this.sums(10_000, now), minute: this.sums(MINUTE_MS, now), hour: this.sums(HOUR_MS, now) }
  }
}

export class Pool {
  readonly #all: Tally
  readonly #trail: Ring
  readonly #services = new Map<string, Tally>()
  readonly #members = new Map<string, Member>()
  /** Since the start, for metrics. */
  readonly #totals = { calls: 0, failures: 0, slow: 0, rejected: 0, shadowed: 0 }

  constructor(now: number) {
    this.#all = new Tally(now)
    this.#trail = new Ring(TRAIL_SLOT_MS, TRAIL_SLOTS, now)
  }

  report({ link, instance, service }: Who, row: ValveRow, now: number): void {
    this.#all.add(row, now)
    this.#trail.add(row, now)
    this.#serviceOf(service, now)?.add(row, now)
    for (const name of ['calls', 'failures', 'slow', 'rejected'] as const) this.#totals[name] += row[name]
    this.#totals.shadowed += row.shadowed ?? 0
    let member = this.#members.get(link)
    if (member === undefined) {
      if (this.#members.size >= MEMBERS_MAX) return
      const ring = new Ring(5_000, 12, now)
      member = {
        ...{ instance, service, state: 'flowing', admit: 1, cause: null, trips: 0, heardAt: now, retryAt: 0 },
        ...{ shutAt: -Infinity, wellAt: -Infinity, goneAt: null, ring },
      }
      this.#members.set(link, member)
    }
    member.ring.add(row, now)
    if (row.state === 'cut' && member.state !== 'cut') member.shutAt = now
    const hasOpened = isShut(member.state) && !isShut(row.state)
    if (hasOpened && row.cause !== 'fleet' && row.cause !== 'setting') member.wellAt = now
    member.state = row.state
    member.admit = row.admit
    member.cause = row.cause ?? member.cause
    member.trips = row.trips ?? 0
    member.heardAt = now
    member.retryAt = now + (row.retryMs ?? 0)
    member.goneAt = null
  }

  /** The link is gone. @param isClosed it took leave */
  leave(link: string, now: number): void {
    const member = this.#members.get(link)
    if (member !== undefined) member.goneAt ??= now
  }

  /** Those that count, whoever stands worst first. Forgets the others. */
  members(now: number): readonly Member[] {
    for (const [link, member] of this.#members) if (!isCounted(member, now)) this.#members.delete(link)
    return [...this.#members.values()]
  }

  sums(ms: number, now: number): Sums {
    return this.#all.sums(ms, now)
  }

  spans(now: number): Spans {
    return this.#all.spans(now)
  }

  /** The last quarter of an hour by tens of seconds, the oldest first. */
  trail(now: number): readonly (Sums & { readonly from: number })[] {
    return this.#trail.slots(now)
  }

  services(now: number): readonly { readonly service: string; readonly spans: Spans }[] {
    const all = [...this.#services].map(([service, tally]) => ({ service, spans: tally.spans(now) }))
    return all.sort((a, b) => b.spans.minute.calls - a.spans.minute.calls || (a.service < b.service ? -1 : 1))
  }

  totals(): Sums {
    return { ...this.#totals }
  }

  #serviceOf(service: string, now: number): Tally | undefined {
    const known = this.#services.get(service)
    if (known !== undefined) return known
    for (const [name, tally] of this.#services) if (this.#services.size >= SERVICES_MAX && isQuiet(tally, now)) this.#services.delete(name)
    if (this.#services.size >= SERVICES_MAX) return undefined
    const tally = new Tally(now)
    this.#services.set(service, tally)
    return tally
  }
}

/** Nothing passes but probes. */
export function isShut(state: ValveState): boolean {
  return state === 'cut' || state === 'probing'
}

function isQuiet(tally: Tally, now: number): boolean {
  const { calls, rejected } = tally.sums(HOUR_MS, now)
  return calls + rejected === 0
}

function isCounted({ goneAt, heardAt, state, retryAt }: Member, now: number): boolean {
  if (goneAt !== null) return now - goneAt < GONE_MS
  return now - (state === 'flowing' ? heardAt : Math.max(heardAt, retryAt)) < SILENT_MS
}
