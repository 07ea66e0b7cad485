/** A way out: who hears of what. A signing secret that is made is shown once, with how to check a signature. */
import { useState } from 'preact/hooks'
import type { Notifier, NotifierKind, NoticeTopic } from '../../../schemas/notifier.ts'
import { call, inEnvironment } from '../api.ts'
import { may } from '../session.ts'
import { Act, type Done } from './act.tsx'
import { Once } from './once.tsx'

/** The secret that people have of each kind; a webhook's is made. */
const SECRETS = {
  slack: ['url', 'The URL of the incoming webhook'],
  'pagerduty-alerts': ['routingKey', 'The integration key'],
  'pagerduty-changes': ['routingKey', 'The integration key'],
} as const
type Kind = Exclude<NotifierKind, 'statuspage'>

const TOPICS: readonly NoticeTopic[] = ['kills', 'valves', 'rollouts', 'limits', 'triggers', 'flags', 'access', 'trouble']
const UNUSUAL: readonly NoticeTopic[] = ['flags', 'access']

export function MakeNotifier({ onClose, onDone }: { readonly onClose: () => void; readonly onDone: (done: Done) => void }) {
  const [key, setKey] = useState('')
  const [kind, setKind] = useState<Kind>('webhook')
  const [url, setUrl] = useState('')
  const [secret, setSecret] = useState('')
  const [topics, setTopics] = useState<readonly NoticeTopic[]>(TOPICS.filter(topic => !UNUSUAL.includes(topic)))
  const kinds: readonly Kind[] = may('admin') ? ['webhook', 'slack', 'pagerduty-alerts', 'pagerduty-changes'] : ['webhook']
  const asked = kind === 'webhook' ? null : SECRETS[kind]
  const run = async (comment: string): Promise<Done> => {
    const written = await call<{ notifier: Notifier; secret?: string }>(inEnvironment('/notifiers'), {
      method: 'POST',
      body: {
        ...{ key, kind, topics },
        ...(kind === 'webhook' ? { url } : {}),
        ...(asked === null ? {} : { secrets: { [asked[0]]: secret } }),
        ...(comment === '' ? {} : { comment }),
      },
    })
    return {
      text: `Made the notifier ${key}.`,
      next: 'It hears of what happens from now on. Test it on its page.',
      ...(written.secret === undefined
        ? {}
        : { more: <Once title="How the receiver knows that a message is genuine" text={checkText(written.secret)} isSecret /> }),
    }
  }
  return (
    <Act title="Make a notifier" verb="Make it" reason="may" run={run} onClose={onClose} onDone={onDone}>
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
          Kind
          <select name="kind" value={kind} onChange={event => setKind(event.currentTarget.value as Kind)}>
            {kinds.map(each => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        {asked === null ? (
          <label>
            Where to
            <input
              name="url"
              type="url"
              required
              placeholder="https://audit.example.com/in"
              value={url}
              onInput={event => setUrl(event.currentTarget.value)}
            />
          </label>
        ) : (
          <label>
            {asked[1]}
            <input
              name="secret"
              type="password"
              required
              autocomplete="off"
              value={secret}
              onInput={event => setSecret(event.currentTarget.value)}
            />
          </label>
        )}
      </fieldset>
      <fieldset>
        <legend>Hears of</legend>
        <div class="buttons">
          {TOPICS.map(topic => (
            <label key={topic}>
              <input
                type="checkbox"
                checked={topics.includes(topic)}
                onChange={event =>
                  setTopics(
                    event.currentTarget.checked
                      ? TOPICS.filter(each => each === topic || topics.includes(each))
                      : topics.filter(each => each !== topic),
                  )
                }
              />{' '}
              {topic}
            </label>
          ))}
        </div>
      </fieldset>
      <p class="hint">Statuspage, with its components: sluice notifiers add page --kind statuspage --help</p>
    </Act>
  )
}

/** As Standard Webhooks have it. */
function checkText(secret: string): string {
  return [
    `secret  ${secret}`,
    '',
    'Messages are signed as Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature.',
    'In Node, with npm install standardwebhooks:',
    '',
    "import { Webhook } from 'standardwebhooks'",
    `new Webhook(${JSON.stringify(secret)}).verify(rawBody, headers) // throws unless it is genuine`,
  ].join('\n')
}
