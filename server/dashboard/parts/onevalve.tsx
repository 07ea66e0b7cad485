/** One valve: where it stands, what passes, where its instances are, how it came to it, and the handles. */
import { useState } from 'preact/hooks'
import type { ValveFleet, ValveUsage } from '../../../schemas/valveusage.ts'
import { affectedText, durationText, settingText, shareText } from '../../../schemas/words.ts'
import { at, call, inEnvironment } from '../api.ts'
import type { ValveAnswer } from '../pages/valves.tsx'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { may } from '../session.ts'
import { type Done, Outcome } from './act.tsx'
import { Chart } from './chart.tsx'
import { Gauge, numberText, shareOf, Table, Tile, Tiles } from './figure.tsx'
import { History } from './history.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { ReleaseValve, SetValve, type ValveSet } from './setvalve.tsx'
import { CAUSE_WORDS, HeldWhy, instancesOf, minuteOf, sinceOf, VALVE_TONES, ValveStateMark } from './valvestate.tsx'

const LOOK_MS = 1_000
const PER_MINUTE = 6

type Asked = { readonly kind: 'set'; readonly mode: ValveSet } | { readonly kind: 'release'; readonly id: string } | null

export function OneValve({ flag }: { readonly flag: string }) {
  const path = inEnvironment(at`/valves/${flag}`)
  const { data, failure, refresh } = useResource<ValveAnswer>(path, { everyMs: LOOK_MS })
  const [asked, setAsked] = useState<Asked>(null)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    refresh()
  }
  const close = (): void => setAsked(null)
  return (
    <>
      <p class="crumb">
        <a href={linkTo('valves')}>Valves</a> ›
      </p>
      <div class="pagehead">
        <h1>{flag}</h1>
        {data !== null && <ValveStateMark state={data.valve.state} />}
        <a href={linkTo('flags', [flag])}>its flag</a>
        {data !== null && may('operator') && (
          <span class="buttons">
            <button type="button" class="secondary" onClick={() => setAsked({ kind: 'set', mode: 'throttle' })}>
              Throttle
            </button>
            <button type="button" class="secondary" onClick={() => setAsked({ kind: 'set', mode: 'flow' })}>
              Flow
            </button>
            <button type="button" class="danger" onClick={() => setAsked({ kind: 'set', mode: 'cut' })}>
              Cut
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={failure} onRetry={refresh} />
      {data !== null && (
        <>
          <Standing valve={data.valve} />
          <ByHand valve={data.valve} onRelease={id => setAsked({ kind: 'release', id })} onDone={finish} />
          <Passing {...data} />
          <Fleet {...data} />
        </>
      )}
      <History
        flag={flag}
        title="What moved it"
        isShown={action => action.startsWith('valve.') || /^flag\.(kill|lift|expire)$|^trigger\./.test(action)}
      />
      {asked?.kind === 'set' && data !== null && <SetValve valve={data.valve} mode={asked.mode} onClose={close} onDone={finish} />}
      {asked?.kind === 'release' && data !== null && <ReleaseValve valve={data.valve} id={asked.id} onClose={close} onDone={finish} />}
    </>
  )
}

function Standing({ valve }: { readonly valve: ValveUsage }) {
  const { calls, failures, slow, rejected, shadowed } = minuteOf(valve)
  const since = sinceOf(valve)
  return (
    <>
      <p class="said">
        <HeldWhy valve={valve} />
        {since !== null && (
          <>
            {' '}
            since <Moment at={since} />
          </>
        )}
      </p>
      <Tiles>
        <Tile name="Lets through">
          <Gauge share={valve.admit} tone={VALVE_TONES[valve.state]}>
            {shareText(valve.admit)}
          </Gauge>
        </Tile>
        <Tile name="Calls in the last minute">{numberText(calls)}</Tile>
        <Tile name="Failed">
          {shareOf(failures, calls)} <small>{numberText(failures)}</small>
        </Tile>
        <Tile name="Slow">
          {shareOf(slow, calls)} <small>{numberText(slow)}</small>
        </Tile>
        <Tile name="Turned away">
          {numberText(rejected)} {shadowed > 0 && <small>{numberText(shadowed)} would have been</small>}
        </Tile>
        <Tile name="Instances">{numberText(instancesOf(valve))}</Tile>
      </Tiles>
    </>
  )
}

/** What people and triggers have set, each with the way to take it away. */
function ByHand({
  valve,
  onRelease,
  onDone,
}: {
  readonly valve: ValveUsage
  readonly onRelease: (id: string) => void
  readonly onDone: (done: Done) => void
}) {
  const { flag, throttles, kills, setting } = valve
  if (throttles.length + kills.length === 0) return null
  const lift = async (id: string): Promise<void> => {
    await call(inEnvironment(at`/flags/${flag}/kills/${id}`), { method: 'DELETE' })
    onDone({ text: `Lifted the kill on ${flag}.`, next: 'The valve goes on as it is set.' })
  }
  return (
    <section aria-label="Set by hand">
      {kills.map(({ id, actor, at: moment, reason, clauses, until }) => (
        <div key={id} class="notice bad">
          <div class="line">
            <p>
              <strong>■ cut</strong> for {affectedText(clauses)} by {actor}, <Moment at={moment} />: “{reason}”
              {until !== null && (
                <>
                  {' '}
                  ends <Moment at={until} />
                </>
              )}
            </p>
            {may('operator') && (
              <button type="button" class="secondary small" onClick={() => void lift(id)}>
                Lift
              </button>
            )}
          </div>
        </div>
      ))}
      {throttles.map(({ id, percent, clauses, reason, value }) => (
        <div key={id} class="notice warn">
          <div class="line">
            <p>
              <strong>
                ▲ {value.mode === 'auto' ? 'at most ' : ''}
                {percent} %
              </strong>{' '}
              by hand for {affectedText(clauses)}
              {reason !== null && <>: “{reason}”</>}
            </p>
            {may('operator') && (
              <button type="button" class="secondary small" onClick={() => onRelease(id)}>
                Release: auto
              </button>
            )}
          </div>
        </div>
      ))}
      {setting.by === 'off' && <p class="hint">The flag is off.</p>}
    </section>
  )
}

function Passing({ trail }: ValveAnswer) {
  if (trail.length === 0) return <p class="hint">Nobody has called through it in the last quarter of an hour.</p>
  const last = trail.at(-1)
  return (
    <section>
      <h2>Calls a minute, the last quarter of an hour</h2>
      <Chart
        label={`Calls a minute over time: ${numberText((last?.calls ?? 0) * PER_MINUTE)} of late, ${numberText((last?.failures ?? 0) * PER_MINUTE)} failed, ${numberText((last?.rejected ?? 0) * PER_MINUTE)} turned away`}
        times={trail.map(({ at }) => Date.parse(at))}
        tick={value => numberText(value)}
        range={[0, 10]}
        lines={[
          { name: 'let through', color: '--busy', values: trail.map(({ calls }) => calls * PER_MINUTE) },
          { name: 'failed', color: '--bad', values: trail.map(({ failures }) => failures * PER_MINUTE) },
          { name: 'turned away', color: '--warn', values: trail.map(({ rejected }) => rejected * PER_MINUTE), isDashed: true },
        ]}
      />
    </section>
  )
}

function Fleet({ valve, instances }: ValveAnswer) {
  const services = valve.fleet.flatMap(({ variation, services }) => services.map(each => ({ variation, ...each })))
  return (
    <>
      {valve.fleet.length > 0 && (
        <section>
          <h2>The fleet</h2>
          <Table
            name="The fleet by variation"
            heads={['Variation', 'State', 'Lets through', '#flowing', '#throttled', '#probing', '#cut', 'Why', 'Since']}
            rows={valve.fleet.map(fleet => fleetRow(valve, fleet))}
          />
        </section>
      )}
      {services.length > 1 && (
        <section>
          <h2>Services, last minute</h2>
          <Table
            name="Services"
            heads={['Service', 'Variation', '#Calls', '#Failed', '#Slow', '#Turned away']}
            rows={services.map(({ service, variation, spans: { minute } }) => ({
              key: `${service} ${variation}`,
              cells: [
                service,
                variation,
                numberText(minute.calls),
                shareOf(minute.failures, minute.calls),
                shareOf(minute.slow, minute.calls),
                numberText(minute.rejected),
              ],
            }))}
          />
        </section>
      )}
      {instances.length > 0 && (
        <section>
          <h2>Instances, those that stand worst first</h2>
          <Table
            name="Instances"
            heads={['Instance', 'Service', 'Variation', 'State', '#Lets through', '#Calls/min', '#Failed', '#Turned away', 'Why']}
            rows={instances.map(({ instance, service, variation, state, admit, cause, retryMs, isGone, minute }) => ({
              key: `${instance} ${service} ${variation}`,
              cells: [
                instance,
                service,
                variation,
                <ValveStateMark state={state} />,
                shareText(admit),
                numberText(minute.calls),
                shareOf(minute.failures, minute.calls),
                numberText(minute.rejected),
                <span>
                  {cause === null ? '' : CAUSE_WORDS[cause]}
                  {retryMs > 0 && <small> probes in {durationText(retryMs)}</small>}
                  {isGone && <small> its link is gone</small>}
                </span>,
              ],
            }))}
          />
        </section>
      )}
      {instances.length === 0 && (
        <p class="hint">No instance has used it within the last minute. It stands {settingText(valve.setting)}.</p>
      )}
    </>
  )
}

/** A variation that is set by hand does as it is set, whatever instances see. */
function fleetRow({ throttles }: ValveUsage, { variation, state, admit, instances, cause, since, orderUntil }: ValveFleet) {
  const throttle = throttles.find(each => each.variation === variation && each.value.mode !== 'auto')
  const share = throttle === undefined ? admit : throttle.percent / 100
  const stands = throttle === undefined ? state : share === 1 ? 'flowing' : 'throttled'
  return {
    key: variation,
    cells: [
      variation,
      <ValveStateMark state={stands} />,
      <Gauge share={share} tone={VALVE_TONES[stands]}>
        {shareText(share)}
      </Gauge>,
      ...[instances.flowing, instances.throttled, instances.probing, instances.cut].map(each => numberText(each)),
      <span>
        {throttle === undefined ? (state === 'flowing' ? '' : CAUSE_WORDS[cause]) : 'by hand'}
        {orderUntil !== null && (
          <small>
            {' '}
            cut as one, ends <Moment at={orderUntil} />
          </small>
        )}
      </span>,
      <Moment at={since} />,
    ],
  }
}
