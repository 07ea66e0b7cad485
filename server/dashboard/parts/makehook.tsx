/** A way in for a monitoring tool: made here, its secret and what to paste into the tool shown once. */
import { useState } from 'preact/hooks'
import type { Hook, HookAuth, HookSource } from '../../../schemas/hook.ts'
import { setUp } from '../../../schemas/hooksetup.ts'
import { call, inEnvironment } from '../api.ts'
import { may } from '../session.ts'
import { Act, type Done } from './act.tsx'
import { addressOf, PROOF_WORDS, type ShownHook } from './hookview.ts'
import { Once } from './once.tsx'

const SOURCES: readonly HookSource[] = [
  ...(['alertmanager', 'grafana', 'datadog', 'pagerduty', 'sentry', 'honeycomb', 'newrelic'] as const),
  ...(['cloudwatch-sns', 'standard-webhooks', 'generic'] as const),
]

export function MakeHook({ onClose, onDone }: { readonly onClose: () => void; readonly onDone: (done: Done) => void }) {
  const [key, setKey] = useState('')
  const [source, setSource] = useState<HookSource>('alertmanager')
  const [auth, setAuth] = useState<HookAuth | ''>('')
  const [secret, setSecret] = useState('')
  const [topic, setTopic] = useState('')
  const run = async (comment: string): Promise<Done> => {
    const written = await call<{ hook: ShownHook & Hook; secret?: string }>(inEnvironment('/hooks'), {
      method: 'POST',
      body: {
        key,
        source,
        ...(auth === '' ? {} : { auth }),
        ...(secret === '' ? {} : { secret }),
        ...(topic === '' ? {} : { topicArn: topic }),
        ...(comment === '' ? {} : { comment }),
      },
    })
    const address = addressOf(written.hook, written.secret)
    const lines = setUp({ ...written.hook, address }, written.secret)
    return {
      text: `Made the hook ${key}.`,
      next: 'It takes deliveries from now on.',
      more: <Once title={`To paste into ${source}`} text={lines.join('\n')} isSecret={written.secret !== undefined} />,
    }
  }
  return (
    <Act title="Make a hook" verb="Make it" reason="may" run={run} onClose={onClose} onDone={onDone}>
      <fieldset class="pair">
        <label>
          Key
          <input
            name="key"
            required
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
            autocomplete="off"
            value={key}
            onInput={event => setKey(event.currentTarget.value)}
          />
        </label>
        <label>
          The tool that delivers
          <select name="source" value={source} onChange={event => setSource(event.currentTarget.value as HookSource)}>
            {SOURCES.map(each => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          Proved by
          <select name="auth" value={auth} onChange={event => setAuth(event.currentTarget.value as HookAuth | '')}>
            <option value="">as is usual for the tool</option>
            {Object.entries(PROOF_WORDS).map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {source === 'cloudwatch-sns' && (
          <label>
            The topic's ARN
            <input name="topic" required value={topic} onInput={event => setTopic(event.currentTarget.value)} />
          </label>
        )}
        {may('admin') && source !== 'cloudwatch-sns' && (
          <label>
            The tool's own secret, where it makes one
            <input
              name="secret"
              type="password"
              autocomplete="off"
              value={secret}
              onInput={event => setSecret(event.currentTarget.value)}
            />
          </label>
        )}
      </fieldset>
    </Act>
  )
}
