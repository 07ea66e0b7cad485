/**
 * Where a valve stands in the fleet, from where it stands in the instances, and when the fleet trips as one. Pure.
 *
 * - **cut**, or **probing** when at least one instance probes: half of the instances that use it are cut or probing; left when
 *   fewer than a quarter are.
 * - **throttled**: a quarter of them do not flow; left when fewer than a tenth do not.
 * - **flowing** otherwise.
 *
 * A fleet that is shut is well again, and throttled, as soon as so many instances have opened by probes of their own that all
 * probes of the fleet together went well: the others are told, and need not probe.
 *
 * Instances that a person's or trigger's setting holds do not count: that the valve is set is an entry of its own.
 */
import type { ValveState } from '../../schemas/valve.ts'
import { isShut, type Member } from './pool.ts'
import type { Sums } from './ring.ts'

const CUT_ENTER = 1 / 2
const CUT_LEAVE = 1 / 4
const THROTTLED_ENTER = 1 / 4
const THROTTLED_LEAVE = 1 / 10
/** So many instances must see it themselves before all of them are cut. */
export const TRIP_AGREE = 3

/** How many instances stand where, and the share of calls they let through on average. */
export interface Standing {
  readonly instances: number
  readonly flowing: number
  readonly throttled: number
  readonly cut: number
  readonly probing: number
  readonly admit: number
}

export function standingOf(members: readonly Pick<Member, 'state' | 'admit'>[]): Standing {
  const counts = { flowing: 0, throttled: 0, cut: 0, probing: 0 }
  let admit = 0
  for (const member of members) {
    counts[member.state]++
    admit += member.admit
  }
  const instances = members.length
  return { instances, ...counts, admit: instances === 0 ? 1 : admit / instances }
}

/** Those that move by themselves. */
export function byThemselves<T extends Pick<Member, 'cause'>>(members: readonly T[]): T[] {
  return members.filter(({ cause }) => cause !== 'setting')
}

/** With nobody to ask it stays where it is. */
export function fleetState(before: ValveState, { instances, flowing, cut, probing }: Standing): ValveState {
  if (instances === 0) return before
  const shut = (cut + probing) / instances
  if (isShut(before) ? shut >= CUT_LEAVE : shut >= CUT_ENTER) return probing > 0 ? 'probing' : 'cut'
  const narrowed = (instances - flowing) / instances
  return (before === 'flowing' ? narrowed >= THROTTLED_ENTER : narrowed > THROTTLED_LEAVE) ? 'throttled' : 'flowing'
}

/**
 * Whether the probes that the fleet has made since it was shut went well. Each instance makes its part of them.
 * @param since when it was shut
 */
export function hasProbedWell(
  members: readonly Member[],
  { probes, probeSuccess }: Pick<Bounds, 'probes' | 'probeSuccess'>,
  since: number,
) {
  let [well, failed] = [0, 0]
  for (const { wellAt, shutAt, state, cause } of members) {
    if (wellAt >= since && !isShut(state)) well++
    else if (cause === 'probe-failed' && shutAt >= since) failed++
  }
  const each = Math.max(1, Math.ceil(probes / Math.max(1, members.length)))
  return well >= Math.ceil(probes / each) && well >= probeSuccess * (well + failed)
}

/** As the valve is set, with every default filled in. */
export interface Bounds {
  readonly windowMs: number
  readonly minCalls: number
  readonly failureRate: number
  /** Null when slow calls are not looked at. */
  readonly slowMs: number | null
  readonly slowRate: number
  readonly probes: number
  readonly probeSuccess: number
}

export type Breach = 'failures' | 'slow'

/** @param minCalls fewer say nothing */
export function breachOf({ calls, failures, slow }: Sums, bounds: Bounds, minCalls: number): Breach | null {
  if (calls < minCalls || calls === 0) return null
  if (failures / calls >= bounds.failureRate) return 'failures'
  return bounds.slowMs !== null && slow / calls >= bounds.slowRate ? 'slow' : null
}

/**
 * Whether the fleet is to be cut as one: all calls together breach, and at least `TRIP_AGREE` instances are shut or narrowed by
 * themselves, or breach on their own with their share of the calls that are needed.
 * @param pooled of the window, since the fleet was last cut
 */
export function tripOf(pooled: Sums, members: readonly Member[], bounds: Bounds, now: number): Breach | null {
  const breach = breachOf(pooled, bounds, bounds.minCalls)
  if (breach === null) return null
  const own = Math.max(1, Math.ceil(bounds.minCalls / Math.max(1, members.length)))
  let agreeing = 0
  for (const member of members) if (hasMoved(member) || breachOf(member.ring.sums(bounds.windowMs, now), bounds, own) !== null) agreeing++
  return agreeing >= TRIP_AGREE ? breach : null
}

/** By what it saw itself, and not by what it was told. */
function hasMoved({ state, cause }: Member): boolean {
  return state !== 'flowing' && cause !== 'fleet' && cause !== 'restored'
}
