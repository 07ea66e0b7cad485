/** One trigger: when and do in words, what it did last and the way back, switching it off, and trying it on an alert. */
import { useState } from 'preact/hooks'
import type { AlertSeverity } from '../../../schemas/alert.ts'
import type { Trigger } from '../../../schemas/trigger.ts'
import { doText, durationText, whenText } from '../../../schemas/words.ts'
import { at, call, type Failure, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { may } from '../session.ts'
import { Act, type Done, failureOf, Outcome } from './act.tsx'
import { numberText, Tile, Tiles } from './figure.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { State } from './state.tsx'

const LOOK_MS = 3_000

export interface ShownTrigger extends Trigger {
  readonly standing: readonly string[]
  readonly undo: string | null
  readonly activity: {
    readonly alerts: number
    readonly outcomes: Readonly<Record<string, number>>
    readonly last: { readonly at: string; readonly outcome: string; readonly text: string } | null
  }
  readonly problems: readonly { readonly message: string }[]
}

export function TriggerMark({ trigger }: { readonly trigger: ShownTrigger }) {
  if (trigger.problems.length > 0) return <State tone="warn">cannot act</State>
  if (!trigger.enabled) return <State tone="quiet">disabled</State>
  if (trigger.standing.length > 0) return <State tone="bad">tripped</State>
  return trigger.dryRun === true ? <State tone="warn">only says so</State> : <State tone="good">armed</State>
}

/** What it did, where that is in force, and the button that puts it back. */
export function Tripped({ trigger, onDone }: { readonly trigger: ShownTrigger; readonly onDone: (done: Done) => void }) {
  const [isAsking, setAsking] = useState(false)
  const { tripped, standing, key } = trigger
  if (tripped === null || standing.length === 0) return null
  const run = async (reason: string): Promise<Done> => {
    const { restored, left } = await call<{ restored: readonly string[]; left: readonly { flag: string; why: string }[] }>(
      inEnvironment(at`/triggers/${key}/restore`),
      { method: 'POST', query: reason === '' ? {} : { comment: reason } },
    )
    return {
      text: `Put back ${restored.length === 0 ? 'nothing' : restored.join(', ')}.`,
      next: 'It fires again for new alerts.',
      warnings: left.map(({ flag, why }) => ({ message: `${flag} is left: ${why}` })),
    }
  }
  return (
    <div class="notice bad" role="status">
      <div class="line">
        <p>
          <strong>■ tripped by trigger {key}</strong>, <Moment at={tripped.at} />: {tripped.text}
          <br />
          <small>
            alert{' '}
            {tripped.link !== null && /^https?:/.test(tripped.link) ? (
              <a href={tripped.link} rel="noreferrer noopener" target="_blank">
                “{tripped.title}”
              </a>
            ) : (
              <>“{tripped.title}”</>
            )}{' '}
            from {tripped.hook}; in force over{' '}
            {standing.map((flag, i) => (
              <span key={flag}>
                {i > 0 && ', '}
                <a href={linkTo('flags', [flag])}>{flag}</a>
              </span>
            ))}
          </small>
        </p>
        {may('operator') && (
          <button type="button" class="secondary small" onClick={() => setAsking(true)}>
            Put back
          </button>
        )}
      </div>
      {isAsking && (
        <Act title={`Put back what ${key} did`} verb="Put back" reason="may" run={run} onClose={() => setAsking(false)} onDone={onDone}>
          <p>Exactly what stood before, in one entry. Flags that somebody has touched since are left and named.</p>
        </Act>
      )}
    </div>
  )
}

export function OneTrigger({ trigger: key }: { readonly trigger: string }) {
  const path = inEnvironment(at`/triggers/${key}`)
  const { data: trigger, failure, refresh } = useResource<ShownTrigger>(path, { everyMs: LOOK_MS })
  const [isSwitching, setSwitching] = useState(false)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    refresh()
  }
  const set = (enabled: boolean, comment: string): Promise<unknown> =>
    call(path, { method: 'PATCH', body: { enabled, ...(comment === '' ? {} : { comment }) } })
  const switched = async (isOn: boolean, reason: string): Promise<Done> => {
    await set(!isOn, reason)
    return {
      text: `${isOn ? 'Disabled' : 'Enabled'} ${key}.`,
      next: isOn ? 'It does nothing until it is enabled again; what it did stays.' : 'It acts on alerts that begin from now on.',
      undo: { what: isOn ? 'enable it' : 'disable it', run: () => set(isOn, '') },
    }
  }
  return (
    <>
      <p class="crumb">
        <a href={linkTo('hooks')}>Hooks</a> › trigger
      </p>
      <div class="pagehead">
        <h1>{key}</h1>
        {trigger !== null && <TriggerMark trigger={trigger} />}
        {trigger !== null && may('editor') && (
          <span class="buttons">
            <button type="button" class="secondary" onClick={() => setSwitching(true)}>
              {trigger.enabled ? 'Disable' : 'Enable'}
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={failure} onRetry={refresh} />
      {trigger !== null && (
        <>
          <Tripped trigger={trigger} onDone={finish} />
          {trigger.problems.map(({ message }, i) => (
            <p key={i} class="notice warn">
              ▲ {message}
            </p>
          ))}
          <dl class="said facts">
            <dt>When</dt>
            <dd>{whenText(trigger.when)}</dd>
            <dt>Do</dt>
            <dd>{doText(trigger.do)}</dd>
            <dt>And then</dt>
            <dd>
              nothing for {durationText(trigger.coolDownMs ?? 300_000)}, at most {trigger.maxFiresPerHour ?? 6} times an hour;{' '}
              {trigger.onResolve === 'restore'
                ? 'put back once all its alerts are resolved'
                : 'what it did stays until somebody puts it back'}
            </dd>
          </dl>
          {trigger.description !== undefined && <p>{trigger.description}</p>}
          <Tiles>
            <Tile name="Alerts it looked at">{numberText(trigger.activity.alerts)}</Tile>
            {Object.entries(trigger.activity.outcomes)
              .filter(([, count]) => count > 0)
              .map(([outcome, count]) => (
                <Tile key={outcome} name={outcome}>
                  {numberText(count)}
                </Tile>
              ))}
          </Tiles>
          {trigger.activity.last !== null && (
            <p class="said">
              Last, <Moment at={trigger.activity.last.at} />: {trigger.activity.last.text}
            </p>
          )}
          <TryTrigger path={path} trigger={trigger} />
        </>
      )}
      {isSwitching && trigger !== null && (
        <Act
          title={`${trigger.enabled ? 'Disable' : 'Enable'} ${key}`}
          verb={trigger.enabled ? 'Disable' : 'Enable'}
          reason="may"
          run={reason => switched(trigger.enabled, reason)}
          onClose={() => setSwitching(false)}
          onDone={finish}
        >
          <p>{trigger.enabled ? 'It does nothing until it is enabled again. What it did stays.' : 'It acts on alerts again.'}</p>
        </Act>
      )}
    </>
  )
}

interface Tried {
  readonly wouldAct: boolean
  readonly text: string
  readonly checks: readonly { readonly clause: string; readonly holds: boolean; readonly text: string }[]
}

const SEVERITIES: readonly AlertSeverity[] = ['critical', 'error', 'warning', 'info']

function TryTrigger({ path, trigger }: { readonly path: string; readonly trigger: ShownTrigger }) {
  const [severity, setSeverity] = useState<AlertSeverity>('error')
  const [status, setStatus] = useState<'firing' | 'resolved'>('firing')
  const [labels, setLabels] = useState(() =>
    (trigger.when.labels ?? []).map(({ label, values }) => `${label}=${values[0] ?? ''}`).join(' '),
  )
  const [tried, setTried] = useState<Tried | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const run = async (): Promise<void> => {
    setFailure(null)
    try {
      setTried(await call<Tried>(`${path}/try`, { method: 'POST', body: { severity, status, labels: labelsOf(labels) } }))
    } catch (error) {
      setTried(null)
      setFailure(failureOf(error))
    }
  }
  return (
    <section>
      <h2>Try</h2>
      <form
        onSubmit={event => {
          event.preventDefault()
          void run()
        }}
      >
        <fieldset class="pair">
          <label>
            Severity
            <select name="severity" value={severity} onChange={event => setSeverity(event.currentTarget.value as AlertSeverity)}>
              {SEVERITIES.map(each => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <label>
            Status
            <select name="status" value={status} onChange={event => setStatus(event.currentTarget.value as 'firing' | 'resolved')}>
              <option>firing</option>
              <option>resolved</option>
            </select>
          </label>
          <label>
            Labels
            <input
              name="labels"
              placeholder="service=payments severity=page"
              value={labels}
              onInput={event => setLabels(event.currentTarget.value)}
            />
          </label>
        </fieldset>
        <button type="submit" class="secondary">
          Would it act?
        </button>
      </form>
      <Problem failure={failure} />
      {tried !== null && (
        <div role="status">
          <p>
            <State tone={tried.wouldAct ? 'bad' : 'quiet'}>{tried.wouldAct ? 'it would act' : 'it would not act'}</State> {tried.text}
          </p>
          <ul class="entries">
            {tried.checks.map(({ clause, holds, text }, i) => (
              <li key={i}>
                <span class={holds ? 'good' : 'bad'}>{holds ? '✓' : '✕'}</span> {clause}: {text}
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  )
}

/** `name=value` with blanks between. */
function labelsOf(text: string): Record<string, string> {
  const pairs = text.split(/\s+/).filter(part => part.includes('='))
  return Object.fromEntries(pairs.map(part => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]))
}
