/** Ways in and out: hooks with what was delivered, triggers with what they did, notifiers with how they fare. */
import { useEffect, useState } from 'preact/hooks'
import type { HookDelivery } from '../../../schemas/hook.ts'
import { doText, whenText } from '../../../schemas/words.ts'
import { at, inEnvironment } from '../api.ts'
import { type Done, Outcome } from '../parts/act.tsx'
import { Empty } from '../parts/empty.tsx'
import { numberText, Table } from '../parts/figure.tsx'
import { countsOf, type ShownHook, verdictTone } from '../parts/hookview.ts'
import { MakeHook } from '../parts/makehook.tsx'
import { MakeNotifier } from '../parts/makenotifier.tsx'
import { Moment } from '../parts/moment.tsx'
import { HookMark, OneHook } from '../parts/onehook.tsx'
import { NotifierMark, NotifierWhy, OneNotifier, type ShownNotifier } from '../parts/onenotifier.tsx'
import { OneTrigger, type ShownTrigger, TriggerMark, Tripped } from '../parts/onetrigger.tsx'
import { Problem } from '../parts/problem.tsx'
import { State } from '../parts/state.tsx'
import { useResource } from '../resource.ts'
import { linkTo, route } from '../route.ts'
import { may } from '../session.ts'

/** Deliveries are no entries of the log, so it is looked again. */
const LOOK_MS = 2_000

export function Hooks() {
  const [kind, key] = route.value.rest
  if (key !== undefined && kind === 'hook') return <OneHook key={key} hook={key} />
  if (key !== undefined && kind === 'trigger') return <OneTrigger key={key} trigger={key} />
  if (key !== undefined && kind === 'notifier') return <OneNotifier key={key} notifier={key} />
  return <All />
}

function All() {
  const hooks = useResource<{ hooks: readonly ShownHook[] }>(inEnvironment('/hooks'), { everyMs: LOOK_MS })
  const triggers = useResource<{ triggers: readonly ShownTrigger[] }>(inEnvironment('/triggers'), { everyMs: LOOK_MS })
  const notifiers = useResource<{ notifiers: readonly ShownNotifier[] }>(inEnvironment('/notifiers'), { everyMs: LOOK_MS })
  const [asked, setAsked] = useState<'hook' | 'notifier' | null>(null)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    for (const each of [hooks, triggers, notifiers]) each.refresh()
  }
  return (
    <>
      <div class="pagehead">
        <h1>Hooks</h1>
        {may('editor') && (
          <span class="buttons">
            <button type="button" onClick={() => setAsked('hook')}>
              Make a hook
            </button>
            <button type="button" class="secondary" onClick={() => setAsked('notifier')}>
              Make a notifier
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={hooks.failure ?? triggers.failure ?? notifiers.failure} onRetry={hooks.refresh} />
      {triggers.data?.triggers.map(trigger => (
        <Tripped key={trigger.key} trigger={trigger} onDone={finish} />
      ))}
      {hooks.data !== null && <HookList hooks={hooks.data.hooks} />}
      {triggers.data !== null && <TriggerList triggers={triggers.data.triggers} />}
      {notifiers.data !== null && <NotifierList notifiers={notifiers.data.notifiers} />}
      {asked === 'hook' && <MakeHook onClose={() => setAsked(null)} onDone={finish} />}
      {asked === 'notifier' && <MakeNotifier onClose={() => setAsked(null)} onDone={finish} />}
    </>
  )
}

function HookList({ hooks }: { readonly hooks: readonly ShownHook[] }) {
  return (
    <section>
      <h2>Hooks: the ways in</h2>
      {hooks.length === 0 && (
        <Empty
          title="No hook yet. By one a monitoring tool says that something fires:"
          command="sluice hooks add am --source alertmanager"
        />
      )}
      {hooks.length > 0 && (
        <Table
          name="Hooks"
          heads={['Hook', 'Source', 'State', '#Firing', '#Taken', '#Refused', 'Last delivery']}
          rows={hooks.map(hook => {
            const { taken, refused, all } = countsOf(hook)
            return {
              key: hook.key,
              cells: [
                <a href={linkTo('hooks', ['hook', hook.key])}>{hook.key}</a>,
                hook.source,
                <HookMark hook={hook} />,
                hook.firing > 0 ? <strong class="bad">■ {numberText(hook.firing)}</strong> : '0',
                numberText(taken),
                refused > 0 ? <span class="bad">✕ {numberText(refused)}</span> : '0',
                <LastDelivery hook={hook.key} count={all} />,
              ],
            }
          })}
        />
      )}
    </section>
  )
}

/** Asked anew whenever there was one more. */
function LastDelivery({ hook, count }: { readonly hook: string; readonly count: number }) {
  const { data, refresh } = useResource<{ deliveries: readonly HookDelivery[] }>(
    inEnvironment(`${at`/hooks/${hook}/deliveries`}?limit=1`),
    {
      on: () => false,
    },
  )
  useEffect(() => {
    if (count > 0) refresh()
  }, [count])
  const [last] = data?.deliveries ?? []
  if (last === undefined) return <>–</>
  return (
    <span>
      <State tone={verdictTone(last.verdict)}>{last.verdict}</State> <Moment at={last.at} /> <small>{last.reason}</small>
    </span>
  )
}

function TriggerList({ triggers }: { readonly triggers: readonly ShownTrigger[] }) {
  return (
    <section>
      <h2>Triggers: what an alert does</h2>
      {triggers.length === 0 && (
        <Empty
          title="No trigger yet. One kills, throttles, holds or tells when an alert fires:"
          command="sluice triggers add checkout-5xx --severity critical --kill checkout"
        />
      )}
      {triggers.length > 0 && (
        <Table
          name="Triggers"
          heads={['Trigger', 'State', 'When', 'Do', 'Last']}
          rows={triggers.map(trigger => ({
            key: trigger.key,
            cells: [
              <a href={linkTo('hooks', ['trigger', trigger.key])}>{trigger.key}</a>,
              <TriggerMark trigger={trigger} />,
              whenText(trigger.when),
              doText(trigger.do),
              trigger.activity.last === null ? (
                '–'
              ) : (
                <span>
                  <Moment at={trigger.activity.last.at} /> <small>{trigger.activity.last.text}</small>
                </span>
              ),
            ],
          }))}
        />
      )}
    </section>
  )
}

function NotifierList({ notifiers }: { readonly notifiers: readonly ShownNotifier[] }) {
  return (
    <section>
      <h2>Notifiers: who hears of it</h2>
      {notifiers.length === 0 && (
        <Empty
          title="No notifier yet. By one a team hears of kills, valves and rollouts:"
          command="sluice notifiers add ops --kind slack"
        />
      )}
      {notifiers.length > 0 && (
        <Table
          name="Notifiers"
          heads={['Notifier', 'Kind', 'State', 'Why', '#Waiting', '#Sent', '#Failed']}
          rows={notifiers.map(notifier => ({
            key: notifier.key,
            cells: [
              <a href={linkTo('hooks', ['notifier', notifier.key])}>{notifier.key}</a>,
              notifier.kind,
              <NotifierMark notifier={notifier} />,
              <NotifierWhy notifier={notifier} />,
              numberText(notifier.delivery.waiting),
              numberText(notifier.delivery.sent),
              numberText(notifier.delivery.failed),
            ],
          }))}
        />
      )}
    </section>
  )
}
