/** Safety valves: where each stands in the fleet and what passes through it, as it moves; and setting one by hand. */
import { useState } from 'preact/hooks'
import type { ValveInstance, ValveTrail, ValveUsage } from '../../../schemas/valveusage.ts'
import { inEnvironment } from '../api.ts'
import { Empty } from '../parts/empty.tsx'
import { Gauge, numberText, shareOf, Table } from '../parts/figure.tsx'
import { Moment } from '../parts/moment.tsx'
import { Problem } from '../parts/problem.tsx'
import { OneValve } from '../parts/onevalve.tsx'
import { HeldWhy, instancesOf, minuteOf, sinceOf, VALVE_TONES, ValveStateMark } from '../parts/valvestate.tsx'
import { useResource } from '../resource.ts'
import { linkTo, route } from '../route.ts'
import { shareText } from '../../../schemas/words.ts'

/** Valves report each second. */
const LOOK_MS = 1_000

export interface ValveAnswer {
  readonly valve: ValveUsage
  readonly instances: readonly ValveInstance[]
  readonly trail: readonly ValveTrail[]
}

export function Valves() {
  const [flag] = route.value.rest
  return flag === undefined ? <AllValves /> : <OneValve key={flag} flag={flag} />
}

function AllValves() {
  const { data, failure, refresh } = useResource<{ valves: readonly ValveUsage[] }>(inEnvironment('/valves'), { everyMs: LOOK_MS })
  const [isAll, setAll] = useState(true)
  const valves = data?.valves ?? []
  const moved = valves.filter(({ state, setting }) => state !== 'flowing' || setting.by !== 'flag')
  const shown = isAll ? valves : moved
  return (
    <>
      <div class="pagehead">
        <h1>Valves</h1>
        {valves.length > 0 && (
          <span class="hint">
            {moved.length === 0 ? `all ${valves.length} as usual` : `${moved.length} of ${valves.length} not as usual`}
          </span>
        )}
        {valves.length > 0 && (
          <span class="buttons">
            <label>
              <input type="checkbox" role="switch" checked={!isAll} onChange={event => setAll(!event.currentTarget.checked)} /> Only those
              not as usual
            </label>
          </span>
        )}
      </div>
      <Problem failure={failure} onRetry={refresh} />
      {data !== null && valves.length === 0 && (
        <Empty
          title="No valve yet. One protects a dependency that fails or slows down:"
          command="sluice flags create payments-vendor --kind safety-valve"
        />
      )}
      {valves.length > 0 && shown.length === 0 && <Empty title="Every valve is as usual." />}
      {shown.length > 0 && (
        <Table
          name="Valves"
          heads={['Valve', 'State', 'Lets through', 'Held', '#Instances', '#Calls/min', '#Failed', '#Slow', '#Turned away/min', 'Since']}
          rows={shown.toSorted((a, b) => Number(moved.includes(b)) - Number(moved.includes(a))).map(rowOf)}
        />
      )}
    </>
  )
}

function rowOf(valve: ValveUsage) {
  const { flag, state, admit } = valve
  const { calls, failures, slow, rejected } = minuteOf(valve)
  const since = sinceOf(valve)
  return {
    key: flag,
    cells: [
      <a href={linkTo('valves', [flag])}>{flag}</a>,
      <ValveStateMark state={state} />,
      <Gauge share={admit} tone={VALVE_TONES[state]}>
        {shareText(admit)}
      </Gauge>,
      <HeldWhy valve={valve} />,
      numberText(instancesOf(valve)),
      numberText(calls),
      shareOf(failures, calls),
      shareOf(slow, calls),
      numberText(rejected),
      since === null ? '–' : <Moment at={since} />,
    ],
  }
}
