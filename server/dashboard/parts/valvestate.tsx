/** Where a valve stands, in a mark and words; who holds it there and why. */
import type { ValveState } from '../../../schemas/valve.ts'
import type { ValveUsage } from '../../../schemas/valveusage.ts'
import { settingText } from '../../../schemas/words.ts'
import { useHistory } from './history.tsx'
import { Moment } from './moment.tsx'
import { State, type Tone } from './state.tsx'

export const VALVE_TONES: Readonly<Record<ValveState, Tone>> = { flowing: 'good', throttled: 'warn', cut: 'bad', probing: 'busy' }

/** Why the fleet moved by itself. */
export const CAUSE_WORDS = {
  setting: 'as it is set',
  failures: 'too many calls failed',
  slow: 'too many calls were slow',
  overload: 'more is asked than the dependency answers',
  waited: 'it has waited and tries again',
  probes: 'probes went well',
  'probe-failed': 'probes failed',
  ramp: 'it opens step by step',
  fleet: 'the whole fleet together saw too much',
  restored: 'as it stood before',
} as const

export function ValveStateMark({ state }: { readonly state: ValveState }) {
  return <State tone={VALVE_TONES[state]}>{state}</State>
}

/** Of all variations in the last minute. */
export function minuteOf({ fleet }: ValveUsage) {
  const sums = { calls: 0, failures: 0, slow: 0, rejected: 0, shadowed: 0 }
  for (const { spans } of fleet)
    for (const name of ['calls', 'failures', 'slow', 'rejected', 'shadowed'] as const) sums[name] += spans.minute[name]
  return sums
}

/** How many instances use it; one that has used several variations counts once. */
export function instancesOf({ fleet }: ValveUsage): number {
  return Math.max(0, ...fleet.map(({ instances }) => instances.all))
}

/** Since when it stands so; null where nobody knows, as it never moved. */
export function sinceOf({ setting, kills, fleet, record, state }: ValveUsage): string | null {
  if (setting.by === 'kill') return kills.find(({ clauses }) => clauses.length === 0)?.at ?? null
  if (!setting.isAuto) return null
  return fleet.find(each => each.state === state)?.since ?? record?.since ?? null
}

/** Who or what holds it where it is, and why. */
export function HeldWhy({ valve }: { readonly valve: ValveUsage }) {
  const { flag, setting, kills, throttles, fleet, record, state } = valve
  const kill = kills.find(({ clauses }) => clauses.length === 0)
  const throttle = throttles.find(({ clauses }) => clauses.length === 0)
  if (setting.by === 'kill' && kill !== undefined)
    return (
      <span>
        killed by {kill.actor} <small>“{kill.reason}”</small>
      </span>
    )
  if (setting.by === 'throttle')
    return (
      <span>
        {settingText(setting)}
        <SetBy flag={flag} /> {throttle?.reason != null && <small>“{throttle.reason}”</small>}
      </span>
    )
  const cause = fleet.find(each => each.state === state)?.cause ?? record?.cause
  return (
    <span>
      {settingText(setting)}
      {state !== 'flowing' && setting.isAuto && cause !== undefined && <small>: {CAUSE_WORDS[cause]}</small>}
      {throttles.length + kills.length > 0 && <small> · for some by hand</small>}
    </span>
  )
}

/** Who set it last, as the log says. */
function SetBy({ flag }: { readonly flag: string }) {
  const { data } = useHistory(flag)
  const entry = data?.changes.find(({ action }) => action === 'valve.throttle')
  return entry === undefined ? null : (
    <>
      , by {entry.actor.name}, <Moment at={entry.at} />
    </>
  )
}
