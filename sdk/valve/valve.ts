/**
 * One valve of one instance: lets calls through, turns them away, and moves by what became of them. Pure: time and chance are
 * arguments, permits to probe and the fleet's state are told, and nothing throws.
 *
 * Flowing, it narrows as `throttle.ts` says and is cut as `breaker.ts` says. A cut lasts for its open time, then a few probes
 * decide (`probing.ts`). After a cut it opens step by step. With `shadow` all this goes on, and nobody is turned away.
 */
import type { ValveCause, ValveState } from '../../schemas/valve.ts'
import type { Valve } from '../evaluator/valve.ts'
import type { Ended } from '../types.ts'
import { breachOf, openMsOf } from './breaker.ts'
import { Probing } from './probing.ts'
import { graceMsOf, isBusy, isExhausted, openShare, STEP_MAX_MS } from './throttle.ts'
import { Window } from './window.ts'

/** What it lets through first after a cut. */
const RAMP_FROM = 0.1
/** From there to everything it takes this part of the window, if all goes well. */
const RAMP_PART = 1 / 3
/** Narrower than by so much is throttled, and flowing again within so much: else it would be told of every wavering. */
const NARROW = 0.01
const WIDE = 0.001
/** When to come back to a valve that is narrowed or cut by its setting: nobody knows. */
const THROTTLED_RETRY_MS = 1_000

/** Why a call was not let through. */
export type Refusal = 'THROTTLED' | 'CUT' | 'PROBING'
/** Since the valve was first used. */
export interface Totals {
  calls: number
  failures: number
  slow: number
  rejected: number
  /** Would have been turned away. */
  shadowed: number
}

export interface Moved {
  readonly from: ValveState
  readonly to: ValveState
  readonly cause: ValveCause
  readonly calls: number
  readonly failures: number
  readonly slow: number
}

/** What the fleet says of the valve. */
export interface FleetState {
  readonly state: ValveState
  readonly admit: number
  readonly retryMs: number
  readonly trips: number
  readonly isOrder: boolean
}

export class ValveCore {
  #moved: (moved: Moved) => void = () => undefined
  #setting: Valve
  #now: number
  readonly totals: Totals = { calls: 0, failures: 0, slow: 0, rejected: 0, shadowed: 0 }

  /** By itself; `state` says what comes of it below the setting's ceiling. */
  #state: ValveState = 'flowing'
  /** Null until it has moved. */
  #cause: ValveCause | null = null
  #since: number
  /** What is let through: `#gate` after a cut, and of that what the throttle leaves. */
  #share = 1
  #gate = 1
  #open = 1

  #window: Window
  #openUntil = 0
  #trips = 0
  #probing: Probing
  /** Of the fleet's probes, those that this instance has to make. */
  #needed = 1
  #fleet: ValveState = 'flowing'
  /** When the fleet was last told to be well again. */
  #fleetWellAt = -Infinity

  /** @param moved told of every transition, once it is done */
  constructor(setting: Valve, now: number, moved: (moved: Moved) => void) {
    this.#setting = setting
    this.#now = now
    this.#since = now
    this.#window = new Window(setting.breaker.windowMs, setting.breaker.buckets, now)
    this.#probing = new Probing(setting.breaker, now)
    this.#hold()
    // That it begins as it is set is no transition.
    this.#moved = moved
  }

  get setting(): Valve {
    return this.#setting
  }

  get state(): ValveState {
    return this.#shown(this.#state, this.#setting)
  }

  /** The share of calls let through now. */
  get admit(): number {
    return this.#share * this.#ceiling
  }

  /** The most that an `auto` lets through, however well all goes: the valve moves by itself below it. */
  get #ceiling(): number {
    return this.#setting.mode === 'auto' ? this.#setting.admit : 1
  }

  /** Of what the ceiling lets through: what the valve itself does. */
  get share(): number {
    return this.#share
  }

  #shown(state: ValveState, { mode, admit }: Valve): ValveState {
    return state === 'flowing' && mode === 'auto' && admit < 1 ? (admit === 0 ? 'cut' : 'throttled') : state
  }

  get cause(): ValveCause | null {
    return this.#cause
  }

  get since(): number {
    return this.#since
  }

  get trips(): number {
    return this.#trips
  }

  /** The bucket that calls are counted in now. */
  get epoch(): number {
    return this.#window.epoch
  }

  get window(): Window {
    return this.#window
  }

  /** Nothing is turned away: whoever asks may spare itself a place. */
  get isWide(): boolean {
    return this.#share === 1 && this.#ceiling === 1
  }

  /** The setting has changed: what the valve has seen stays, as far as the window is the same. */
  set(setting: Valve): void {
    const { windowMs, buckets } = this.#setting.breaker
    const { breaker, mode } = setting
    const wasAuto = this.#setting.mode === 'auto'
    const shown = this.state
    this.#setting = setting
    if (breaker.windowMs !== windowMs || breaker.buckets !== buckets)
      this.#window = new Window(breaker.windowMs, breaker.buckets, this.#now)
    if (mode !== 'auto') return this.#hold()
    if (this.#state === 'probing') this.#probing = new Probing(breaker, this.#now)
    if (wasAuto) {
      if (this.state !== shown) this.#tell(shown, 'setting')
      return
    }
    this.#window.clear(this.#now)
    this.#gate = this.#open = this.#share = 1
    this.#trips = 0
    this.#move('flowing', 'setting')
    // From here on it moves by itself.
    this.#cause = null
  }

  /** As the setting says, whatever happens. */
  #hold(): void {
    const { mode, admit } = this.#setting
    if (mode === 'auto') return
    this.#share = admit
    this.#move(admit === 1 ? 'flowing' : admit === 0 ? 'cut' : 'throttled', 'setting')
  }

  // Calls.

  /** A call begins, while `isWide`. */
  pass(): void {
    this.totals.calls++
    this.#window.call()
  }

  /**
   * May a call begin?
   * @param place in [0, 1): by chance, or the same for the same context
   * @returns the number of the probe it is, 0 for an ordinary call, or why not
   */
  enter(place: number): number | Refusal {
    const refusal = this.#enter(place)
    if (typeof refusal === 'number') this.pass()
    else if (this.#setting.isShadow) this.totals.shadowed++
    else this.totals.rejected++
    return refusal
  }

  #enter(place: number): number | Refusal {
    if (this.#setting.mode !== 'auto') return place < this.#share ? 0 : this.#share === 0 ? 'CUT' : 'THROTTLED'
    if (this.#state === 'cut') {
      if (this.#now < this.#openUntil) return 'CUT'
      this.#wait()
    }
    if (this.#state === 'probing') {
      const probe = this.#probing.begin(this.#now)
      return probe === 0 ? 'PROBING' : probe
    }
    // What the ceiling and the gate hold back says nothing about how much is asked of the dependency, and is not the throttle's to count.
    const below = place / this.#ceiling
    if (!(below < this.#gate)) return 'THROTTLED'
    if (below < this.#share) return 0
    this.#window.reject()
    return 'THROTTLED'
  }

  /** It is let through all the same, with `shadow`: counted, but what becomes of it would not have been seen. */
  passAnyway(): void {
    this.totals.calls++
  }

  /** When to ask again, of one that was turned away; an estimate. */
  retryAfterMs(): number {
    const { mode, breaker } = this.#setting
    if (mode === 'auto' && this.#state === 'cut') return Math.max(1, Math.ceil(this.#openUntil - this.#now))
    return this.#state === 'cut' ? breaker.openMs : THROTTLED_RETRY_MS
  }

  /**
   * A call has ended.
   * @param epoch the valve's when it began, -1 for one that would not have been let through
   * @param probe the number of the probe it was, 0 for none
   */
  end(epoch: number, probe: number, ended: Ended, isSlow: boolean): void {
    if (ended === 'ignore') {
      if (epoch >= 0) this.#window.forget(epoch)
      if (probe !== 0) this.#probing.end(probe, null, this.#now)
      return
    }
    const isFailure = ended === 'failure'
    if (isFailure) this.totals.failures++
    if (isSlow) this.totals.slow++
    if (epoch < 0) return
    const counts = this.#window.end(epoch, isFailure, isSlow)
    if (probe !== 0) {
      this.#probing.end(probe, !isFailure && !isSlow, this.#now)
      this.#judge()
    } else if (counts && (isFailure || isSlow)) this.#check()
  }

  // Time.

  /**
   * Time goes on: to be called every now and then while the valve is used, and before the first call after a rest.
   * @param needed of the fleet's probes, those that this instance has to make
   */
  tick(now: number, needed: number): void {
    const elapsed = now - this.#now
    if (elapsed < 0) return
    this.#now = now
    this.#needed = needed
    this.#window.turn(now)
    if (this.#setting.mode !== 'auto') return
    if (this.#state === 'probing') {
      this.#probing.turn(this.#setting.breaker.timeoutMs ?? graceMsOf(this.#setting.breaker), now)
      return this.#judge()
    }
    if (this.#state === 'cut') return
    this.#check()
    if (!this.#isShut) this.#narrow(elapsed)
  }

  /** A method, for the state may have changed since it was last looked at. */
  get #isShut(): boolean {
    return this.#state === 'cut' || this.#state === 'probing'
  }

  /** Too much, and narrowing is no help? */
  #check(): void {
    const { breaker, mode } = this.#setting
    if (mode !== 'auto' || !breaker.isEnabled || this.#isShut) return
    // On its way back from a cut it is cut again sooner: as few calls as would have been probes say enough.
    const minCalls = this.#gate < 1 ? Math.min(breaker.minCalls, breaker.probes) : breaker.minCalls
    const breach = breachOf(this.#window.sums, breaker, minCalls)
    if (breach === null) return
    if (isBusy(this.#window, this.#setting, this.#now) && !isExhausted(this.#window, this.#setting, minCalls)) return
    this.#cut(breach, null)
  }

  #narrow(elapsed: number): void {
    const { breaker } = this.#setting
    this.#open = openShare(this.#window, this.#setting, this.#open, elapsed, this.#now)
    if (this.#gate < 1 && breachOf(this.#window.sums, breaker, breaker.probes) === null) {
      const step = ((1 - RAMP_FROM) * Math.min(elapsed, STEP_MAX_MS)) / (breaker.windowMs * RAMP_PART)
      this.#gate = Math.min(1, this.#gate + step)
    }
    this.#share = this.#gate * this.#open
    const narrowedBy = 1 - this.#share
    if (this.#state === 'flowing' ? narrowedBy > NARROW : narrowedBy > WIDE) {
      if (this.#state === 'flowing') this.#move('throttled', 'overload')
      // Once the way back from a cut is over, what is narrow is the throttle's doing.
      else if (this.#gate === 1) this.#cause = 'overload'
      return
    }
    if (this.#state !== 'flowing') this.#move('flowing', 'ramp')
    else if (this.#now - this.#since >= breaker.windowMs) this.#trips = 0
  }

  // Transitions.

  /** @param ms how long; null for what the breaker says */
  #cut(cause: ValveCause, ms: number | null): void {
    this.#trips++
    this.#openUntil = this.#now + (ms ?? openMsOf(this.#setting.breaker, this.#trips))
    this.#share = 0
    this.#move('cut', cause)
  }

  /** It has waited: a few may try, unless the fleet knows already. */
  #wait(): void {
    if (this.#fleetWellAt > this.#since) return this.#recover('fleet', RAMP_FROM)
    this.#probing = new Probing(this.#setting.breaker, this.#now)
    this.#move('probing', 'waited')
  }

  #judge(): void {
    if (this.#state !== 'probing') return
    const verdict = this.#probing.verdict(this.#needed)
    if (verdict === 'good') this.#recover('probes', RAMP_FROM)
    else if (verdict === 'bad') this.#cut('probe-failed', null)
  }

  /** Open again, step by step: what was seen before the cut says nothing any more. */
  #recover(cause: ValveCause, from: number): void {
    this.#window.clear(this.#now)
    this.#gate = this.#share = from
    this.#open = 1
    this.#move('throttled', cause)
  }

  #move(to: ValveState, cause: ValveCause): void {
    const shown = this.state
    this.#state = to
    this.#cause = cause
    this.#since = this.#now
    if (this.state !== shown) this.#tell(shown, cause)
  }

  #tell(from: ValveState, cause: ValveCause): void {
    const { ended, failures, slow } = this.#window.sums
    this.#moved({ from, to: this.state, cause, calls: ended, failures, slow })
  }

  // Probes and the fleet.

  /** Calls that probe have begun and not ended. */
  get isTrying(): boolean {
    return this.#state === 'probing' && this.#probing.isTrying
  }

  /** Whether a permit to probe would be of use. */
  get wantsProbe(): boolean {
    return this.#state === 'probing' && this.#probing.wants(this.#needed)
  }

  /** Since when it has been probing. */
  get probingSince(): number {
    return this.#probing.startedAt
  }

  permitProbe(): void {
    this.#probing.permit(this.#now)
  }

  /**
   * What the fleet says. An order is followed; a valve that has seen nothing yet begins where the fleet stands; one that
   * waits to probe, or will, need not when the fleet is well again.
   */
  fleet({ state, admit, retryMs, trips, isOrder }: FleetState, now: number): void {
    this.tick(now, this.#needed)
    const wasIll = this.#fleet === 'cut' || this.#fleet === 'probing'
    this.#fleet = state
    if (this.#setting.mode !== 'auto') return
    if (isOrder && state === 'cut') {
      if (this.#state === 'cut' && this.#openUntil >= now + retryMs) return
      this.#trips = Math.max(this.#trips, trips - 1)
      return this.#cut('fleet', retryMs)
    }
    const isNew = this.#cause === null && this.#window.sums.ended < this.#setting.breaker.minCalls
    if (isNew) return this.#restore(state, admit, retryMs, trips)
    if (!wasIll || state === 'cut' || state === 'probing') return
    this.#fleetWellAt = now
    if (this.#state === 'probing') this.#recover('fleet', RAMP_FROM)
  }

  /** Begin where another valve of the same dependency stands, unless this one is narrower or shut already. */
  beginAt(other: ValveCore): void {
    if (this.#setting.mode !== 'auto' || this.#state !== 'flowing') return
    this.#restore(other.#state, other.#share, Math.max(0, other.#openUntil - this.#now), other.#trips)
  }

  #restore(state: ValveState, admit: number, retryMs: number, trips: number): void {
    if (state === 'flowing') return
    if (state === 'throttled') return this.#recover('restored', Math.min(1, Math.max(RAMP_FROM, admit)))
    this.#trips = Math.max(0, trips - 1)
    this.#cut('restored', state === 'probing' ? 0 : retryMs)
  }
}
