/**
 * A dependency that has a bad day, and the real valve before it, in virtual time: so many calls are offered a second, of which
 * it answers `capacity` well from one moment to another. Nothing waits; time is moved.
 */
import { valveOf } from '../../../sdk/evaluator/valve.ts'
import { type Moved, ValveCore } from '../../../sdk/valve/valve.ts'

/** How often the valve is told that time goes on, as the client does. */
const TICK_MS = 50

export interface Fault {
  readonly setting: object
  readonly random: () => number
  readonly offeredRps: number
  /** Of a second, those that are answered well while it is sick; the others fail. */
  readonly capacityRps: number
  readonly sickFromMs: number
  readonly sickUntilMs: number
  readonly untilMs: number
  /** How long a call takes. */
  readonly latencyMs: number
}

export interface Course {
  /** Calls a second that reached the dependency, by the second. */
  readonly load: readonly number[]
  /** The share of those offered that was let through, by the second. */
  readonly let: readonly number[]
  readonly moves: readonly (Moved & { readonly at: number })[]
}

export function runFault({ setting, random, offeredRps, capacityRps, sickFromMs, sickUntilMs, untilMs, latencyMs }: Fault): Course {
  const moves: (Moved & { at: number })[] = []
  let now = 0
  const valve = new ValveCore(valveOf(setting)!, 0, moved => moves.push({ ...moved, at: now }))
  const seconds = Math.ceil(untilMs / 1_000)
  const load = Array.from({ length: seconds }, () => 0)
  const offered = Array.from({ length: seconds }, () => 0)
  const underWay: { endsAt: number; epoch: number; probe: number; isGood: boolean }[] = []
  let first = 0
  let credit = 0
  let tickedAt = 0
  const stepMs = 1_000 / offeredRps
  for (let call = 0; (now = call * stepMs) < untilMs; call++) {
    while (first < underWay.length && underWay[first]!.endsAt <= now) {
      const { epoch, probe, isGood } = underWay[first++]!
      valve.end(epoch, probe, isGood ? 'success' : 'failure', false)
    }
    if (now - tickedAt >= TICK_MS) {
      tickedAt = now
      valve.tick(now, 1)
      if (valve.wantsProbe) valve.permitProbe()
    }
    const second = Math.floor(now / 1_000)
    offered[second]!++
    const isSick = now >= sickFromMs && now < sickUntilMs
    // What it can take comes evenly, and what it did not take is gone after a quarter of a second.
    credit = Math.min(capacityRps / 4, credit + (capacityRps * stepMs) / 1_000)
    const probe = valve.enter(random())
    if (typeof probe !== 'number') continue
    load[second]!++
    const isGood = !isSick || credit >= 1
    if (isSick && isGood) credit--
    underWay.push({ endsAt: now + latencyMs, epoch: valve.epoch, probe, isGood })
  }
  return { load, let: load.map((count, i) => (offered[i] === 0 ? 1 : count / offered[i]!)), moves }
}

/** Average of the seconds from one to before another. */
export function average(numbers: readonly number[], from: number, to: number): number {
  const some = numbers.slice(from, to)
  return some.reduce((sum, one) => sum + one, 0) / some.length
}
