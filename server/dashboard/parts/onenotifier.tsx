/** One way out: how it fares and why, what it sent and has to send, testing it, pausing and resuming it. */
import { useState } from 'preact/hooks'
import type { Notifier, NotifierDelivery, SentMessage } from '../../../schemas/notifier.ts'
import { at, call, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { may } from '../session.ts'
import { Act, type Done, Outcome } from './act.tsx'
import { numberText, Tile, Tiles } from './figure.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { State, type Tone } from './state.tsx'

const LOOK_MS = 2_000

export interface ShownNotifier extends Notifier {
  readonly delivery: NotifierDelivery
}

export function NotifierMark({ notifier: { paused, enabled, delivery } }: { readonly notifier: ShownNotifier }) {
  if (!enabled) return <State tone="quiet">disabled</State>
  if (paused !== null) return <State tone="warn">paused</State>
  if (delivery.failures > 0) return <State tone="bad">failing</State>
  return delivery.waiting > 0 ? <State tone="busy">sending</State> : <State tone="good">on</State>
}

/** Why it does not send. */
export function NotifierWhy({ notifier: { paused, delivery } }: { readonly notifier: ShownNotifier }) {
  if (paused !== null)
    return (
      <span>
        {paused.why}, <Moment at={paused.at} />
      </span>
    )
  if (delivery.failures === 0) return null
  return (
    <span>
      {numberText(delivery.failures)} tries failed: {delivery.problem?.replace(/\.$/, '')}
      {delivery.nextTryAt !== null && (
        <>
          ; again <Moment at={delivery.nextTryAt} />
        </>
      )}
    </span>
  )
}

export function OneNotifier({ notifier: key }: { readonly notifier: string }) {
  const path = inEnvironment(at`/notifiers/${key}`)
  const { data: notifier, failure, refresh } = useResource<ShownNotifier>(path, { everyMs: LOOK_MS })
  const sent = useResource<{ deliveries: readonly SentMessage[] }>(`${path}/deliveries?limit=30`, { everyMs: LOOK_MS })
  const [asked, setAsked] = useState<'pause' | 'resume' | 'test' | null>(null)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    refresh()
    sent.refresh()
  }
  const post = (action: 'pause' | 'resume', comment: string): Promise<unknown> =>
    call(`${path}/${action}`, { method: 'POST', body: comment === '' ? {} : { comment } })
  const runs = {
    pause: async (reason: string): Promise<Done> => {
      await post('pause', reason)
      return { text: `Paused ${key}.`, next: 'What it has to send waits.', undo: { what: 'resume it', run: () => post('resume', '') } }
    },
    resume: async (reason: string): Promise<Done> => {
      await post('resume', reason)
      return {
        text: `Resumed ${key}.`,
        next: 'What waits is sent, the oldest first.',
        undo: { what: 'pause it', run: () => post('pause', '') },
      }
    },
    test: async (): Promise<Done> => {
      const { ok, text, ms } = await call<{ ok: boolean; text: string; ms: number }>(`${path}/test`, { method: 'POST' })
      return ok
        ? { text: `The test arrived: ${text} in ${numberText(ms)} ms.` }
        : { text: 'The test was sent.', warnings: [{ message: `It did not arrive: ${text}` }] }
    },
  }
  const said = {
    pause: 'What it has to send waits until it is resumed.',
    resume: 'What waits is sent, the oldest first.',
    test: 'A message that says it is a test goes out now.',
  }
  return (
    <>
      <p class="crumb">
        <a href={linkTo('hooks')}>Hooks</a> › notifier
      </p>
      <div class="pagehead">
        <h1>{key}</h1>
        {notifier !== null && <NotifierMark notifier={notifier} />}
        {notifier !== null && may('operator') && (
          <span class="buttons">
            <button type="button" class="secondary" onClick={() => setAsked('test')}>
              Test
            </button>
            <button type="button" class="secondary" onClick={() => setAsked(notifier.paused === null ? 'pause' : 'resume')}>
              {notifier.paused === null ? 'Pause' : 'Resume'}
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={failure} onRetry={refresh} />
      {notifier !== null && (
        <>
          {(notifier.paused !== null || notifier.delivery.failures > 0) && (
            <div class={`notice ${notifier.paused === null ? 'bad' : 'warn'}`} role="status">
              <p>
                <NotifierMark notifier={notifier} />: <NotifierWhy notifier={notifier} />
              </p>
            </div>
          )}
          <p class="said">
            {notifier.kind}
            {notifier.url !== undefined && <> to {notifier.url}</>}; hears of {(notifier.topics ?? ['all but flags and access']).join(', ')}
            {notifier.tags !== undefined && <>, of flags with the tag {notifier.tags.join(' or ')}</>}. {notifier.description}
          </p>
          <Tiles>
            <Tile name="Waiting">{numberText(notifier.delivery.waiting)}</Tile>
            <Tile name="Sent">{numberText(notifier.delivery.sent)}</Tile>
            <Tile name="Tries that failed" tone={notifier.delivery.failed > 0 ? 'bad' : ''}>
              {numberText(notifier.delivery.failed)}
            </Tile>
            <Tile name="Refused">{numberText(notifier.delivery.refused)}</Tile>
            <Tile name="Left out: no room">{numberText(notifier.delivery.leftOut)}</Tile>
          </Tiles>
        </>
      )}
      <section>
        <h2>Messages</h2>
        <Problem failure={sent.failure} />
        {sent.data?.deliveries.length === 0 && <p class="hint">Nothing to send yet.</p>}
        <ul class="entries" aria-label="Messages">
          {sent.data?.deliveries.map(message => (
            <li key={message.id}>
              <Message message={message} />
            </li>
          ))}
        </ul>
      </section>
      {asked !== null && (
        <Act
          title={`${{ pause: 'Pause', resume: 'Resume', test: 'Test' }[asked]} ${key}`}
          verb={{ pause: 'Pause', resume: 'Resume', test: 'Send a test' }[asked]}
          reason={asked === 'test' ? 'none' : asked === 'pause' ? 'asked' : 'may'}
          run={runs[asked]}
          onClose={() => setAsked(null)}
          onDone={finish}
        >
          <p>{said[asked]}</p>
        </Act>
      )}
    </>
  )
}

const MESSAGE_TONES: Readonly<Record<SentMessage['state'], Tone>> = { waiting: 'busy', sent: 'good', refused: 'bad' }

function Message({ message: { at: moment, title, state, tries, lastAt, lastText, nextAt, message } }: { readonly message: SentMessage }) {
  return (
    <>
      <State tone={MESSAGE_TONES[state]}>{state}</State>{' '}
      <span class="when">
        <Moment at={moment} />
        {tries > 0 && <> · {numberText(tries)} tries failed</>}
        {lastText !== null && lastAt !== null && (
          <>
            {' '}
            · last <Moment at={lastAt} />: {lastText}
          </>
        )}
        {nextAt !== null && tries > 0 && (
          <>
            {' '}
            · again <Moment at={nextAt} />
          </>
        )}
      </span>
      <div>{title}</div>
      <details>
        <summary>Payload</summary>
        <pre class="payload" tabIndex={0} aria-label="What is sent">
          {JSON.stringify(message, null, 2)}
        </pre>
      </details>
    </>
  )
}
