/** Where a valve stands and what passes through it, for people: its setting, and what the fleet has reported. Pure. */
import type { Flag } from '../../schemas/flag.ts'
import type { ValveRecord, ValveState } from '../../schemas/valve.ts'
import type { ValveFleet, ValveInstance, ValveTrail, ValveUsage } from '../../schemas/valveusage.ts'
import { moment } from '../clock.ts'
import type { Known } from './book.ts'
import { SEVERITY } from './book.ts'
import { standingOf } from './fleet.ts'
import { setFor, throttlesOf } from './throttle.ts'

/** Services of one valve in an answer. */
const SERVICES_SHOWN = 20

/** Both clocks, read together. */
export interface Now {
  readonly wall: number
  readonly monotonic: number
}

export function usageOf(flag: Flag, record: ValveRecord | null, known: readonly Known[], now: Now): ValveUsage {
  const setting = setFor(flag, [])
  const fleet = known.map(each => fleetOf(each, now))
  const own = setting.isAuto ? standsNow(flag, record, fleet) : null
  const admit = setting.percent / 100
  return {
    ...{ flag: flag.key, state: own?.state ?? setState(admit), admit: own === null ? admit : Math.min(own.admit, admit) },
    ...{ setting, throttles: throttlesOf(flag), kills: flag.kills, record, fleet },
  }
}

function setState(admit: number): ValveState {
  return admit === 0 ? 'cut' : admit === 1 ? 'flowing' : 'throttled'
}

/** What the variation that everyone is served does by itself: as reported, else as it was last recorded. */
function standsNow(flag: Flag, record: ValveRecord | null, fleet: readonly ValveFleet[]): { state: ValveState; admit: number } {
  const autos = fleet.filter(({ variation }) => isServed(flag, variation))
  const [worst] = autos.toSorted((a, b) => SEVERITY[b.state] - SEVERITY[a.state])
  return worst ?? (record !== null && isServed(flag, record.variation) ? record : { state: 'flowing', admit: 1 })
}

function isServed({ fallthrough, rules }: Flag, variation: string): boolean {
  return [fallthrough, ...rules.map(({ serve }) => serve)].some(serve =>
    'variation' in serve ? serve.variation === variation : serve.rollout.weights.some(weight => weight.variation === variation),
  )
}

function fleetOf({ variation, state, admit, cause, since, orderUntil, pool }: Known, { wall, monotonic }: Now): ValveFleet {
  const { instances, flowing, throttled, cut, probing } = standingOf(pool.members(monotonic))
  const at = (time: number): string => moment(wall + time - monotonic)
  return {
    ...{ variation, state, admit, cause, since: at(since), orderUntil: orderUntil > monotonic ? at(orderUntil) : null },
    instances: { all: instances, flowing, throttled, cut, probing },
    spans: pool.spans(monotonic),
    services: pool.services(monotonic).slice(0, SERVICES_SHOWN),
  }
}

/** Whoever stands worst first, then whoever calls most. */
export function instancesOf(known: readonly Known[], { monotonic }: Now): ValveInstance[] {
  const rows = known.flatMap(({ variation, pool }) =>
    pool.members(monotonic).map(({ instance, service, state, admit, cause, trips, retryAt, goneAt, ring }): ValveInstance => ({
      ...{ instance, service, variation, state, admit, cause, trips },
      retryMs: state === 'cut' ? Math.max(0, Math.ceil(retryAt - monotonic)) : 0,
      isGone: goneAt !== null,
      minute: ring.sums(60_000, monotonic),
    })),
  )
  return rows.sort((a, b) => SEVERITY[b.state] - SEVERITY[a.state] || b.minute.calls - a.minute.calls || (a.instance < b.instance ? -1 : 1))
}

/** What passed in the last quarter of an hour, by tens of seconds, the oldest first; from the first slice with a call on. */
export function trailOf(known: readonly Known[], { wall, monotonic }: Now): ValveTrail[] {
  const slices = new Map<number, { -readonly [K in keyof ValveTrail]: ValveTrail[K] }>()
  for (const { pool } of known) {
    for (const { from, ...sums } of pool.trail(monotonic)) {
      const sum = slices.get(from)
      if (sum === undefined) slices.set(from, { at: moment(wall + from - monotonic), ...sums })
      else for (const name of ['calls', 'failures', 'slow', 'rejected', 'shadowed'] as const) sum[name] += sums[name]
    }
  }
  const all = [...slices.values()]
  const first = all.findIndex(({ calls, rejected }) => calls + rejected > 0)
  return first === -1 ? [] : all.slice(first)
}
