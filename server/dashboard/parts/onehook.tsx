/** One way in: what it is, what was delivered, what fires by it, what to paste into its tool, and trying a payload. */
import { useState } from 'preact/hooks'
import type { Alert } from '../../../schemas/alert.ts'
import type { HookDelivery, HookSource, HookVerdict } from '../../../schemas/hook.ts'
import { setUp } from '../../../schemas/hooksetup.ts'
import { at, call, type Failure, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { may } from '../session.ts'
import { Act, type Done, failureOf, Outcome } from './act.tsx'
import { Delivery } from './delivery.tsx'
import { numberText, Table, Tile, Tiles } from './figure.tsx'
import { addressOf, countsOf, PROOF_WORDS, type ShownHook, verdictTone } from './hookview.ts'
import { Moment } from './moment.tsx'
import { Once } from './once.tsx'
import { Problem } from './problem.tsx'
import { State } from './state.tsx'

const LOOK_MS = 2_000
const SHOWN = 30

export function OneHook({ hook: key }: { readonly hook: string }) {
  const path = inEnvironment(at`/hooks/${key}`)
  const { data: hook, failure, refresh } = useResource<ShownHook>(path, { everyMs: LOOK_MS })
  const deliveries = useResource<{ deliveries: readonly HookDelivery[] }>(`${path}/deliveries?limit=${SHOWN}`, { everyMs: LOOK_MS })
  const alerts = useResource<{ alerts: readonly Alert[] }>(inEnvironment(`${at`/alerts?hook=${key}`}&firing=true&limit=20`), {
    everyMs: LOOK_MS,
  })
  const [isSwitching, setSwitching] = useState(false)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    refresh()
  }
  return (
    <>
      <p class="crumb">
        <a href={linkTo('hooks')}>Hooks</a> ›
      </p>
      <div class="pagehead">
        <h1>{key}</h1>
        {hook !== null && <HookMark hook={hook} />}
        {hook !== null && may('editor') && (
          <span class="buttons">
            <button type="button" class="secondary" onClick={() => setSwitching(true)}>
              {hook.enabled ? 'Disable' : 'Enable'}
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={failure} onRetry={refresh} />
      {hook !== null && <About hook={hook} />}
      {(alerts.data?.alerts.length ?? 0) > 0 && (
        <section>
          <h2>Fires now</h2>
          {alerts.data?.alerts.map(({ id, severity, title, startsAt, labels }) => (
            <div key={id} class="notice bad">
              <p>
                <strong>■ {severity}</strong> {title}, <Moment at={startsAt} />{' '}
                <small>
                  {Object.entries(labels)
                    .slice(0, 8)
                    .map(([name, value]) => `${name}=${value}`)
                    .join(' ')}
                </small>
              </p>
            </div>
          ))}
        </section>
      )}
      <section>
        <h2>Deliveries</h2>
        <Problem failure={deliveries.failure} />
        {deliveries.data?.deliveries.length === 0 && <p class="hint">Nothing was delivered yet.</p>}
        <ul class="entries" aria-label="Deliveries">
          {deliveries.data?.deliveries.map(delivery => (
            <li key={delivery.id}>
              <Delivery delivery={delivery} />
            </li>
          ))}
        </ul>
      </section>
      {hook !== null && may('operator') && <TryHook path={path} />}
      {hook !== null && (
        <section>
          <h2>Set-up</h2>
          <Once
            title="To paste into the tool; the secret was shown when it was made"
            text={setUp({ ...hook, address: addressOf(hook) }, undefined).join('\n')}
            isSecret={false}
          />
        </section>
      )}
      {isSwitching && hook !== null && <Switch hook={hook} path={path} onClose={() => setSwitching(false)} onDone={finish} />}
    </>
  )
}

export function HookMark({ hook }: { readonly hook: ShownHook }) {
  if (!hook.enabled) return <State tone="quiet">disabled</State>
  if (hook.dryRun) return <State tone="warn">records only</State>
  return <State tone="good">on</State>
}

function About({ hook }: { readonly hook: ShownHook }) {
  const { taken, refused } = countsOf(hook)
  return (
    <>
      <p class="said">
        {hook.name ?? hook.source}, proved by {PROOF_WORDS[hook.auth]}.{' '}
        {hook.auth === 'path' && !hook.mayAct && 'Triggers may hold and tell by it, no more. '}
        {hook.dryRun && 'Triggers only say what they would do. '}
        {hook.secrets.length === 0 && hook.source !== 'cloudwatch-sns' && (
          <strong>▲ It has no secret yet: every delivery is refused. </strong>
        )}
        {hook.description}
      </p>
      <Tiles>
        <Tile name="Taken">{numberText(taken)}</Tile>
        <Tile name="Refused" tone={refused > 0 ? 'bad' : ''}>
          {numberText(refused)}
        </Tile>
        {Object.entries(hook.deliveries).map(([verdict, count]) => (
          <Tile key={verdict} name={verdict}>
            {numberText(count)}
          </Tile>
        ))}
        <Tile name="Alerts that fire" tone={hook.firing > 0 ? 'bad' : ''}>
          {numberText(hook.firing)}
        </Tile>
      </Tiles>
    </>
  )
}

interface SwitchProps {
  readonly hook: ShownHook
  readonly path: string
  readonly onClose: () => void
  readonly onDone: (done: Done) => void
}

function Switch({ hook, path, onClose, onDone }: SwitchProps) {
  const set = (enabled: boolean, comment: string): Promise<unknown> =>
    call(path, { method: 'PATCH', body: { enabled, ...(comment === '' ? {} : { comment }) } })
  const verb = hook.enabled ? 'Disable' : 'Enable'
  const run = async (reason: string): Promise<Done> => {
    await set(!hook.enabled, reason)
    return {
      text: `${verb}d ${hook.key}.`,
      next: hook.enabled ? 'What is delivered is refused from now on.' : 'What is delivered is taken again.',
      undo: { what: hook.enabled ? 'enable it' : 'disable it', run: () => set(hook.enabled, '') },
    }
  }
  return (
    <Act title={`${verb} ${hook.key}`} verb={verb} reason="may" run={run} onClose={onClose} onDone={onDone}>
      <p>{hook.enabled ? 'Every delivery to it is refused until it is enabled again.' : 'It takes deliveries again.'}</p>
    </Act>
  )
}

interface Tried {
  readonly verdict: HookVerdict
  readonly reason: string
  readonly alerts: readonly Pick<Alert, 'status' | 'severity' | 'title' | 'dedupKey' | 'labels'>[]
  readonly looksLike: HookSource | null
}

function TryHook({ path }: { readonly path: string }) {
  const [text, setText] = useState('')
  const [tried, setTried] = useState<Tried | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const run = async (): Promise<void> => {
    setFailure(null)
    try {
      setTried(await call<Tried>(`${path}/try`, { method: 'POST', body: { body: text } }))
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
        <label>
          What the tool sends: nothing is stored, and nobody is told
          <textarea name="sample" rows={4} required value={text} onInput={event => setText(event.currentTarget.value)} />
        </label>
        <button type="submit" class="secondary">
          Try it
        </button>
      </form>
      <Problem failure={failure} />
      {tried !== null && (
        <div role="status">
          <p>
            <State tone={verdictTone(tried.verdict)}>{tried.verdict}</State> {tried.reason}
            {tried.looksLike !== null && <> It looks like {tried.looksLike}.</>}
          </p>
          {tried.alerts.length > 0 && (
            <Table
              name="Alerts in the sample"
              heads={['Alert', 'Status', 'Severity', 'Key', 'Labels']}
              rows={tried.alerts.map(({ title, status, severity, dedupKey, labels }, i) => ({
                key: String(i),
                cells: [
                  title,
                  status,
                  severity,
                  dedupKey,
                  Object.entries(labels)
                    .map(([name, value]) => `${name}=${value}`)
                    .join(' '),
                ],
              }))}
            />
          )}
        </div>
      )}
    </section>
  )
}
