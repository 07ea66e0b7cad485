/** Everything of an environment that is not as usual, those first that hurt most; or that everything is as usual. */
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { DocumentType } from '../../../schemas/change.ts'
import type { Instance, Receipts } from '../../../schemas/instance.ts'
import type { Kill } from '../../../schemas/kill.ts'
import type { LimitUsage } from '../../../schemas/limitusage.ts'
import type { LiveMessage } from '../../../schemas/live.ts'
import type { Notifier, NotifierDelivery } from '../../../schemas/notifier.ts'
import type { Outlook, Plan } from '../../../schemas/plan.ts'
import type { Trigger } from '../../../schemas/trigger.ts'
import type { ValveCause } from '../../../schemas/valve.ts'
import type { ValveUsage } from '../../../schemas/valveusage.ts'
import { affectedText } from '../../../schemas/words.ts'
import { inEnvironment } from '../api.ts'
import { fleets } from '../live.ts'
import { type Resource, useResource } from '../resource.ts'
import { linkTo, type PageName } from '../route.ts'
import { may, nameOf, type Place } from '../session.ts'
import { Command } from './copy.tsx'
import { countText, listText, shareText } from './counts.ts'
import { LiftDialog } from './kill.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { State, type Tone } from './state.tsx'

/** Figures that move without a change. */
const VALVES_EVERY_MS = 5_000
const FIGURES_EVERY_MS = 15_000

type StandingKill = Kill & { readonly flag: string }
interface Standing {
  readonly plan: Plan
  readonly outlook: Outlook
}
interface Tripped extends Pick<Trigger, 'key' | 'tripped'> {
  readonly standing: readonly string[]
  readonly undo: string | null
}
interface Status {
  readonly storage: { readonly healthy: boolean; readonly problem: string | null; readonly volatile: number }
}

/** @param here the environment; another one needs another `key` */
export function Unusual({ here }: { readonly here: Place }) {
  const of = (path: string): string => inEnvironment(path, here)
  const on = (...types: readonly DocumentType[]) => ({ on: (message: LiveMessage) => touches(message, here, types) })
  const status = useResource<Status>('/api/v1/status', { everyMs: FIGURES_EVERY_MS, ...on('flag') })
  const kills = useResource<{ kills: readonly StandingKill[] }>(of('/kills'), on('flag'))
  const valves = useResource<{ valves: readonly ValveUsage[] }>(of('/valves'), { everyMs: VALVES_EVERY_MS, ...on('flag', 'valve') })
  const rollouts = useResource<{ rollouts: readonly Standing[] }>(of('/rollouts'), { everyMs: FIGURES_EVERY_MS, ...on('plan', 'flag') })
  const limits = useResource<{ limits: readonly LimitUsage[] }>(of('/limits'), { everyMs: FIGURES_EVERY_MS, ...on('flag') })
  const triggers = useResource<{ triggers: readonly Tripped[] }>(of('/triggers?tripped=true'), on('trigger', 'flag'))
  const notifiers = useResource<{ notifiers: readonly (Notifier & { readonly delivery: NotifierDelivery })[] }>(of('/notifiers'), {
    everyMs: FIGURES_EVERY_MS,
    ...on('notifier'),
  })
  const [lifting, setLifting] = useState<StandingKill | null>(null)

  const asked: readonly Resource<unknown>[] = [status, kills, valves, rollouts, limits, triggers, notifiers]
  const failure = asked.find(each => each.failure !== null)?.failure ?? null
  const storage = status.data?.storage
  const isStored = storage === undefined || (storage.healthy && storage.volatile === 0)
  const killed = kills.data?.kills.toReversed() ?? []
  // What a kill does to a valve is told with the kill.
  const narrowed = (valves.data?.valves ?? []).filter(({ state, setting }) => state !== 'flowing' && setting.by !== 'kill')
  const moving = (rollouts.data?.rollouts ?? []).filter(({ plan }) => ROLLOUT_TONES[plan.state] !== undefined)
  const denying = (limits.data?.limits ?? []).filter(({ denied }) => denied.minute > 0)
  const tripped = triggers.data?.triggers ?? []
  const silent = (notifiers.data?.notifiers ?? []).filter(
    ({ enabled, paused, delivery }) => enabled && (paused !== null || delivery.failures > 0),
  )
  const fleet = fleets.value.get(nameOf(here))
  const behind = fleet === undefined ? 0 : fleet.instances - fleet.confirmed
  const count =
    killed.length +
    narrowed.length +
    moving.length +
    denying.length +
    tripped.length +
    silent.length +
    (isStored ? 0 : 1) +
    (behind > 0 ? 1 : 0)
  const isKnown = asked.every(each => each.data !== null)

  return (
    <section class="unusual" aria-label="Not as usual">
      <p class="verdict" role="status">
        {count > 0 ? (
          <State tone={killed.length > 0 || !isStored ? 'bad' : 'warn'}>
            {count === 1 ? '1 thing is' : `${count} things are`} not as usual
          </State>
        ) : isKnown ? (
          <State tone="good">Everything is as usual</State>
        ) : (
          <State tone="busy">Looking</State>
        )}
      </p>
      <Problem failure={failure} onRetry={() => asked.forEach(each => each.refresh())} />
      {storage !== undefined && !isStored && (
        <div class="problem" role="alert">
          <p>
            <strong>✕ Changes are not stored.</strong>{' '}
            {storage.problem ?? 'The storage is well again; what was kept aside is being stored.'}{' '}
            {storage.volatile > 0 && `${countText(storage.volatile, 'change')} published and kept in a file of the server until it is.`}
          </p>
        </div>
      )}
      <Group title="Kills" count={killed.length} page="flags">
        {killed.map(kill => (
          <Row
            key={kill.id}
            {...{ tone: 'bad', state: kill.clauses.length === 0 ? 'killed' : 'killed for some', flag: kill.flag }}
            action={
              may('operator') && (
                <button type="button" class="secondary small" onClick={() => setLifting(kill)} aria-label={`Lift the kill on ${kill.flag}`}>
                  Lift
                </button>
              )
            }
          >
            <p>
              serves <strong>{kill.variation}</strong> to {affectedText(kill.clauses)}
            </p>
            <p class="comment">“{kill.reason}”</p>
            <p class="when">
              {kill.actor}, <Moment at={kill.at} />
              {kill.incident !== undefined && `, incident ${kill.incident}`}
              {kill.until === null ? ', until it is lifted' : ', ends '}
              {kill.until !== null && <Moment at={kill.until} />}
            </p>
          </Row>
        ))}
      </Group>
      <Group title="Valves" count={narrowed.length} page="valves">
        {narrowed.map(valve => (
          <Row key={valve.flag} {...{ tone: VALVE_TONES[valve.state], state: valve.state, flag: valve.flag }}>
            <ValveText valve={valve} />
          </Row>
        ))}
      </Group>
      <Group title="Rollouts" count={moving.length} page="rollouts">
        {moving.map(({ plan, outlook }) => (
          <Row key={plan.key} {...{ tone: ROLLOUT_TONES[plan.state] ?? 'quiet', state: plan.state, flag: plan.key }}>
            <RolloutText plan={plan} outlook={outlook} />
          </Row>
        ))}
      </Group>
      <Group title="Limits" count={denying.length} page="limits">
        {denying.map(limit => (
          <Row key={limit.flag} {...{ tone: 'warn', state: 'denying', flag: limit.flag }}>
            <LimitText limit={limit} />
          </Row>
        ))}
      </Group>
      <Group title="Triggers" count={tripped.length} page="hooks">
        {tripped.map(({ key, standing, undo, tripped: what }) => (
          <Row key={key} {...{ tone: 'warn', state: 'tripped', name: key }}>
            <p>
              holds{' '}
              {standing.map((flag, i) => (
                <span key={flag}>
                  {i > 0 && ', '}
                  <a href={linkTo('flags', [flag])}>{flag}</a>
                </span>
              ))}
            </p>
            {what !== null && (
              <>
                <p class="comment">“{what.title}”</p>
                <p class="when">
                  {what.text}, <Moment at={what.at} />
                  {what.link !== null && /^https?:/.test(what.link) && (
                    <>
                      {' · '}
                      <a href={what.link} target="_blank" rel="noopener noreferrer">
                        the alert
                      </a>
                    </>
                  )}
                </p>
              </>
            )}
            {undo !== null && <Command text={undo} />}
          </Row>
        ))}
      </Group>
      <Group title="Notifiers" count={silent.length} page="hooks">
        {silent.map(({ key, kind, paused, delivery }) => (
          <Row key={key} {...{ tone: paused === null ? 'warn' : 'bad', state: paused === null ? 'failing' : 'paused', name: key }}>
            <p>
              {kind}: {countText(delivery.waiting, 'message')} waiting
              {delivery.problem !== null && `. ${delivery.problem}`}
            </p>
            {paused !== null && (
              <p class="when">
                since <Moment at={paused.at} />: {paused.why}
              </p>
            )}
          </Row>
        ))}
      </Group>
      <Fleet here={here} />
      {lifting !== null && <LiftDialog flag={lifting.flag} kill={lifting} onClose={() => setLifting(null)} />}
    </section>
  )
}

function Group({
  title,
  count,
  page,
  children,
}: {
  readonly title: string
  readonly count: number
  readonly page: PageName
  readonly children: ComponentChildren
}) {
  if (count === 0) return null
  return (
    <section aria-label={title}>
      <h2>
        <a href={linkTo(page)}>{title}</a> <span class="count">{count.toLocaleString('en')}</span>
      </h2>
      <ul class="rows">{children}</ul>
    </section>
  )
}

function Row({
  tone,
  state,
  flag,
  name,
  action,
  children,
}: {
  readonly tone: Tone
  readonly state: string
  /** It leads to its flag, or is only named. */
  readonly flag?: string
  readonly name?: string
  readonly action?: ComponentChildren
  readonly children: ComponentChildren
}) {
  return (
    <li class={`row ${tone}-row`}>
      <div>
        <p class="title">
          {flag === undefined ? <strong>{name}</strong> : <a href={linkTo('flags', [flag])}>{flag}</a>} <State tone={tone}>{state}</State>
        </p>
        {children}
      </div>
      {action}
    </li>
  )
}

const VALVE_TONES = { flowing: 'good', throttled: 'warn', cut: 'bad', probing: 'busy' } as const

const CAUSE_WORDS: Readonly<Record<ValveCause, string>> = {
  setting: 'as it is set',
  failures: 'too many calls fail',
  slow: 'too many calls are slow',
  overload: 'the dependency is overloaded',
  waited: 'it has waited long enough, and probes',
  probes: 'probes went well',
  'probe-failed': 'a probe failed',
  ramp: 'it opens step by step',
  fleet: 'the fleet was cut as one',
  restored: 'as it stood before a restart',
}

function ValveText({ valve }: { readonly valve: ValveUsage }) {
  const { setting, throttles, admit, fleet, state } = valve
  const own = fleet.find(each => each.state === state)
  const everyone = throttles.find(({ clauses }) => clauses.length === 0)
  const calls = own?.spans.minute
  return (
    <>
      <p>
        lets <strong>{shareText(admit)}</strong> of the calls through:{' '}
        {setting.by === 'throttle'
          ? 'set by hand'
          : setting.by === 'off'
            ? 'the flag is off'
            : own === undefined
              ? 'by itself'
              : CAUSE_WORDS[own.cause]}
      </p>
      {setting.by === 'throttle' && everyone?.reason != null && <p class="comment">“{everyone.reason}”</p>}
      <p class="when">
        {own !== undefined && (
          <>
            since <Moment at={own.since} />, in {own.instances[state]} of {countText(own.instances.all, 'instance')}
          </>
        )}
        {calls !== undefined &&
          `; in the last minute ${countText(calls.calls, 'call')}, ${calls.failures.toLocaleString('en')} failed, ${calls.rejected.toLocaleString('en')} not let through`}
      </p>
    </>
  )
}

/** Those that are told of; the others are as usual. */
const ROLLOUT_TONES: Readonly<Partial<Record<Plan['state'], Tone>>> = { running: 'busy', held: 'warn', reverting: 'bad', reverted: 'bad' }

function RolloutText({ plan, outlook }: Standing) {
  const { step, steps, held, reverted, state } = plan
  const now = step === null ? undefined : steps[step]
  return (
    <>
      {now !== undefined && (
        <p>
          step {(step ?? 0) + 1} of {steps.length}: <strong>{now.variation}</strong> to {now.percent} %
        </p>
      )}
      {state === 'held' && held !== null && <p class="comment">{held.text}</p>}
      {(state === 'reverting' || state === 'reverted') && reverted !== null && <p class="comment">{reverted.text}</p>}
      <p class="when">
        {state === 'held' && held !== null && (
          <>
            by {held.by}, <Moment at={held.at} />;{' '}
          </>
        )}
        {(state === 'reverting' || state === 'reverted') && reverted !== null && (
          <>
            by {reverted.by}, <Moment at={reverted.at} />;{' '}
          </>
        )}
        next: {outlook.text} · <a href={linkTo('rollouts', [plan.key])}>evidence</a>
      </p>
    </>
  )
}

function LimitText({ limit }: { readonly limit: LimitUsage }) {
  const { admitted, denied, keys } = limit
  const most = keys
    .filter(each => each.denied.minute > 0)
    .map(({ key, denied: own }) => `${key === '' ? 'without a key' : key} ${own.minute.toLocaleString('en')}`)
  return (
    <>
      <p>
        denied <strong>{denied.minute.toLocaleString('en')}</strong> of {(denied.minute + admitted.minute).toLocaleString('en')} in the last
        minute
      </p>
      <p class="when">
        {most.length > 0 && `most: ${listText(most, 3)} · `}
        <a href={linkTo('limits', [limit.flag])}>keys</a>
      </p>
    </>
  )
}

/** Who is connected, and who is behind. Counted live; names are asked for when somebody looks. */
function Fleet({ here }: { readonly here: Place }) {
  const fleet = fleets.value.get(nameOf(here))
  const [isOpen, setOpen] = useState(false)
  const behind = fleet === undefined ? 0 : fleet.instances - fleet.confirmed
  const isFleet = (message: LiveMessage): boolean => message.type === 'fleet' && nameOf(message) === nameOf(here)
  const receipts = useResource<Receipts>(
    fleet === undefined || behind === 0 || fleet.revision === 0 ? null : inEnvironment(`/changes/${fleet.revision}/receipts`, here),
    { on: isFleet },
  )
  const { data } = useResource<{ instances: readonly Instance[] }>(isOpen ? inEnvironment('/instances', here) : null, { on: isFleet })
  if (fleet === undefined) return null
  if (fleet.instances === 0) {
    return (
      <p class="fleet hint">
        No instance is connected. An application connects with a server key:{' '}
        <code>sluice keys create --kind server -e {here.environment}</code>
      </p>
    )
  }
  return (
    <div class="fleet">
      <p>
        <State tone={behind === 0 ? 'good' : 'warn'}>
          {countText(fleet.instances, 'instance')} connected,{' '}
          {behind === 0
            ? `${fleet.instances === 1 ? 'and has' : 'all have'} r${fleet.revision}`
            : `${behind.toLocaleString('en')} behind r${fleet.revision}`}
        </State>
      </p>
      {behind > 0 && receipts.data !== null && receipts.data.missing.length > 0 && (
        <p class="when">
          Behind:{' '}
          {listText(
            receipts.data.missing.map(({ service, id, revision }) => `${service} ${id} (r${revision})`),
            5,
          )}
        </p>
      )}
      <details onToggle={event => setOpen(event.currentTarget.open)}>
        <summary>By service</summary>
        {data === null ? <p aria-busy="true">…</p> : <Services instances={data.instances} revision={fleet.revision} />}
      </details>
    </div>
  )
}

function Services({ instances, revision }: { readonly instances: readonly Instance[]; readonly revision: number }) {
  const services = new Map<string, Instance[]>()
  for (const instance of instances) {
    const list = services.get(instance.service)
    if (list === undefined) services.set(instance.service, [instance])
    else list.push(instance)
  }
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Service</th>
          <th scope="col">Instances</th>
          <th scope="col">Behind</th>
          <th scope="col">SDK</th>
        </tr>
      </thead>
      <tbody>
        {[...services].map(([service, list]) => (
          <tr key={service}>
            <th scope="row">{service}</th>
            <td>{list.length.toLocaleString('en')}</td>
            <td>{list.filter(each => each.revision < revision).length.toLocaleString('en')}</td>
            <td>{listText([...new Set(list.map(({ sdk }) => sdk))], 3)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function touches(message: LiveMessage, here: Place, types: readonly DocumentType[]): boolean {
  if (message.type !== 'change' || nameOf(message) !== nameOf(here)) return false
  return message.editCount > message.edits.length || message.edits.some(({ type }) => types.includes(type))
}
