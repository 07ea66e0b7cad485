/** Keys: who and what gets in, how far each reaches, and how to end one. */
import { useState } from 'preact/hooks'
import type { Grant, KeyInput, KeyKind, KeyView, Role } from '../../../schemas/accesskey.ts'
import { at, call } from '../api.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Empty } from '../parts/empty.tsx'
import { Moment } from '../parts/moment.tsx'
import { Problem } from '../parts/problem.tsx'
import { Snippet } from '../parts/snippet.tsx'
import { State } from '../parts/state.tsx'
import { useResource } from '../resource.ts'
import { ask, route } from '../route.ts'
import { useSending } from '../sending.ts'
import { may, nameOf, type Place, place, places, session } from '../session.ts'
import './admin.css'

const KINDS: readonly (readonly [kind: KeyKind, what: string])[] = [
  ['server', 'for applications: the SDK of one environment, sees its rules'],
  ['client', 'for browsers: results only, of flags that are for clients; it is no secret'],
  ['hook', 'for monitoring tools that send alerts to one environment'],
  ['admin', 'for people and tools: this page, the command line, the API'],
]
const ROLES: readonly (readonly [role: Role, what: string])[] = [
  ['viewer', 'looks'],
  ['operator', 'kills, lifts, holds'],
  ['editor', 'edits'],
  ['admin', 'everything'],
]
const DAY_MS = 86_400_000
const EXPIRIES: readonly (readonly [days: number, what: string])[] = [
  [0, 'never'],
  [1, 'in a day'],
  [7, 'in a week'],
  [30, 'in 30 days'],
  [90, 'in 90 days'],
  [365, 'in a year'],
]

export function Keys() {
  const { data, failure, refresh } = useResource<{ keys: readonly KeyView[] }>('/api/v1/keys', { on: ({ type }) => type === 'places' })
  const [text, setText] = useState('')
  const [revoked, setRevoked] = useState<KeyView | null>(null)
  // The address says that one is being made, so that another page can lead there.
  const wanted = KINDS.find(([kind]) => kind === route.value.query.get('new'))?.[0] ?? null
  const mayMake = (session.value?.grants ?? []).some(({ role }) => role === 'admin')
  const shown = (data?.keys ?? []).filter(key =>
    `${key.name} ${key.id} ${key.kind} ${reachText(key)}`.toLowerCase().includes(text.toLowerCase()),
  )
  return (
    <>
      <header class="title">
        <h1>Keys</h1>
        {mayMake && (
          <button type="button" class="small" onClick={() => ask({ new: 'server' })}>
            New key
          </button>
        )}
      </header>
      <Problem failure={failure} onRetry={refresh} />
      {data !== null && data.keys.length === 0 && (
        <Empty title="Here stand the keys that you may give and revoke: those over which your own key has the role admin. There are none." />
      )}
      {data !== null && data.keys.length > 0 && (
        <>
          <input
            type="search"
            class="filter"
            aria-label="Find a key by name, id, kind or place"
            placeholder="Find by name, id, kind or place"
            value={text}
            onInput={event => setText(event.currentTarget.value)}
          />
          {shown.length === 0 && <p>No key here has “{text}” in its name, id, kind or place.</p>}
          {shown.length > 0 && <Table keys={shown} onRevoke={setRevoked} />}
        </>
      )}
      {wanted !== null && mayMake && <NewKey kind={wanted} onClose={() => ask({})} onDone={refresh} />}
      {revoked !== null && <Revoke revoked={revoked} onClose={() => setRevoked(null)} onDone={refresh} />}
    </>
  )
}

function Table({ keys, onRevoke }: { readonly keys: readonly KeyView[]; readonly onRevoke: (key: KeyView) => void }) {
  return (
    <table class="cards">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Kind</th>
          <th scope="col">Reaches</th>
          <th scope="col">Made</th>
          <th scope="col">Ends</th>
          <th scope="col">
            <span class="sr">What to do</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {keys.map(key => (
          <tr key={key.id}>
            <th scope="row">
              {key.name} <small class="quiet">{key.id}</small>
              {key.id === session.value?.id && <small class="below">you are signed in with it</small>}
            </th>
            <td data-label="Kind">{key.kind}</td>
            <td data-label="Reaches">{reachText(key)}</td>
            <td data-label="Made">
              {key.createdAt === null ? (
                'by configuration'
              ) : (
                <>
                  <Moment at={key.createdAt} /> {key.createdBy !== null && <small>by {key.createdBy}</small>}
                </>
              )}
            </td>
            <td data-label="Ends">
              {key.expiresAt === null ? (
                <span class="quiet">never</span>
              ) : Date.parse(key.expiresAt) <= Date.now() ? (
                <State tone="bad">
                  ended <Moment at={key.expiresAt} />
                </State>
              ) : (
                <Moment at={key.expiresAt} />
              )}
            </td>
            <td class="actions">
              {!key.configured && (
                <button type="button" class="secondary outline small" aria-label={`Revoke ${key.name}`} onClick={() => onRevoke(key)}>
                  Revoke
                </button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** What a key may do where: `operator in default/production`. */
function reachText({ kind, grants, project, environment }: Pick<KeyView, 'kind' | 'grants' | 'project' | 'environment'>): string {
  if (kind !== 'admin') return `${project ?? ''}/${environment ?? ''}`
  return grants.map(grant => `${grant.role} ${scopeText(grant)}`).join(', ')
}

function scopeText({ project, environment }: Omit<Grant, 'role'>): string {
  if (project === undefined) return environment === undefined ? 'everywhere' : `in ${environment} of every project`
  return `in ${project}${environment === undefined ? '' : `/${environment}`}`
}

interface NewKeyProps {
  readonly kind: KeyKind
  readonly onClose: () => void
  readonly onDone: () => void
}

interface Made {
  readonly key: KeyView
  readonly token: string
}

function NewKey({ kind, onClose, onDone }: NewKeyProps) {
  const [made, setMade] = useState<Made | null>(null)
  if (made !== null) return <ShownOnce made={made} onClose={onClose} />
  return (
    <KeyForm
      kind={kind}
      onClose={onClose}
      onMade={fresh => {
        setMade(fresh)
        onDone()
      }}
    />
  )
}

function KeyForm({ kind, onClose, onMade }: Omit<NewKeyProps, 'onDone'> & { readonly onMade: (made: Made) => void }) {
  const own = places.value.filter(each => may('admin', each))
  const [name, setName] = useState('')
  const [where, setWhere] = useState<Place | null>(
    own.find(each => place.value !== null && nameOf(each) === nameOf(place.value)) ?? own[0] ?? null,
  )
  const [grants, setGrants] = useState<readonly Grant[]>([{ role: 'operator' }])
  const [days, setDays] = useState(0)
  const { isBusy, failure, send } = useSending()
  const submit = (): Promise<boolean> =>
    send(async () => {
      const body: KeyInput = {
        kind,
        name,
        ...(kind === 'admin' ? { grants: [...grants] } : (where ?? {})),
        ...(days === 0 ? {} : { expiresAt: new Date(Date.now() + days * DAY_MS).toISOString() }),
      }
      onMade(await call<Made>('/api/v1/keys', { method: 'POST', body }))
    })
  return (
    <Dialog title="New key" onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault()
          void submit()
        }}
      >
        <fieldset class="kinds">
          <legend>What is it for?</legend>
          {KINDS.map(([each, what]) => (
            <label key={each}>
              <input type="radio" name="kind" checked={each === kind} onChange={() => ask({ new: each })} />
              <span>
                <strong>{each}</strong> <small>{what}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <label>
          Name
          <input
            type="text"
            required
            autofocus
            maxLength={200}
            placeholder={kind === 'admin' ? 'who will use it' : 'what will use it, as in checkout-service'}
            value={name}
            onInput={event => setName(event.currentTarget.value)}
          />
        </label>
        {kind === 'admin' ? (
          <Grants grants={grants} onChange={setGrants} />
        ) : (
          <label>
            Environment
            <select
              required
              value={where === null ? '' : nameOf(where)}
              onChange={event => setWhere(own.find(each => nameOf(each) === event.currentTarget.value) ?? null)}
            >
              {own.map(each => (
                <option key={nameOf(each)} value={nameOf(each)}>
                  {nameOf(each)}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          It ends
          <select value={String(days)} onChange={event => setDays(Number(event.currentTarget.value))}>
            {EXPIRIES.map(([each, what]) => (
              <option key={each} value={String(each)}>
                {what}
              </option>
            ))}
          </select>
        </label>
        <Problem failure={failure} />
        <div class="buttons">
          <button type="submit" disabled={isBusy} aria-busy={isBusy}>
            Create the key
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Grants({ grants, onChange }: { readonly grants: readonly Grant[]; readonly onChange: (grants: readonly Grant[]) => void }) {
  const projects = [...new Set(places.value.map(({ project }) => project))]
  const set = (i: number, grant: Grant): void => onChange(grants.map((each, j) => (i === j ? grant : each)))
  return (
    <fieldset class="grants">
      <legend>What may it do, and where?</legend>
      {grants.map((grant, i) => {
        const { role, project, environment } = grant
        const own = places.value.filter(each => each.project === project)
        return (
          <div key={i} role="group" aria-label={`Grant ${i + 1}`}>
            <select aria-label="Role" value={role} onChange={event => set(i, { ...grant, role: event.currentTarget.value as Role })}>
              {ROLES.map(([each, what]) => (
                <option key={each} value={each}>
                  {each}: {what}
                </option>
              ))}
            </select>
            <select
              aria-label="Project"
              value={project ?? ''}
              onChange={event => set(i, event.currentTarget.value === '' ? { role } : { role, project: event.currentTarget.value })}
            >
              <option value="">every project</option>
              {projects.map(each => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
            {project !== undefined && (
              <select
                aria-label="Environment of the grant"
                value={environment ?? ''}
                onChange={event => {
                  const { value } = event.currentTarget
                  set(i, value === '' ? { role, project } : { role, project, environment: value })
                }}
              >
                <option value="">every environment</option>
                {own.map(each => (
                  <option key={each.environment} value={each.environment}>
                    {each.environment}
                  </option>
                ))}
              </select>
            )}
            {grants.length > 1 && (
              <button
                type="button"
                class="plain"
                aria-label={`Remove grant ${i + 1}`}
                onClick={() => onChange(grants.filter((_, j) => i !== j))}
              >
                ✕
              </button>
            )}
          </div>
        )
      })}
      <button type="button" class="secondary outline small" onClick={() => onChange([...grants, { role: 'viewer' }])}>
        Another grant
      </button>
    </fieldset>
  )
}

function ShownOnce({ made: { key, token }, onClose }: { readonly made: Made; readonly onClose: () => void }) {
  const [isAsked, setAsked] = useState(false)
  const variable = key.kind === 'server' ? 'SLUICE_SERVER_KEY' : 'SLUICE_KEY'
  return (
    // Closed by its button alone: a stray Escape would lose the key for good.
    <Dialog title={`Key “${key.name}” is made`} onClose={() => setAsked(true)}>
      <p class="warning">
        <span aria-hidden="true">▲</span> This is the only time it is shown. Nobody can read it again, not even this server.
      </p>
      <Snippet label="The key" text={token} />
      {key.kind !== 'client' && <Snippet label="For the environment of a process" text={`export ${variable}=${token}`} />}
      <p>
        It reaches {reachText(key)}
        {key.expiresAt === null ? ' and does not end by itself.' : '.'}
      </p>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          I have kept it
        </button>
      </div>
      {isAsked && (
        <p role="alert" class="warn">
          ▲ Keep it first, then press the button.
        </p>
      )}
    </Dialog>
  )
}

function Revoke({ revoked, onClose, onDone }: { readonly revoked: KeyView; readonly onClose: () => void; readonly onDone: () => void }) {
  const { data } = useResource<{ environments: readonly (Place & { instances: number })[] }>(
    revoked.kind === 'server' || revoked.kind === 'client' ? '/api/v1/status' : null,
  )
  const instances = data?.environments.find(each => each.project === revoked.project && each.environment === revoked.environment)?.instances
  return (
    <Confirm
      title={`Revoke “${revoked.name}”`}
      word={revoked.name}
      action="Revoke the key"
      onClose={onClose}
      run={async () => {
        await call(at`/api/v1/keys/${revoked.id}`, { method: 'DELETE' })
        onDone()
      }}
    >
      <p>
        It is refused from that moment, for good. It reaches <strong>{reachText(revoked)}</strong>.
      </p>
      <ul>
        {STOPS[revoked.kind].map(each => (
          <li key={each}>{each}</li>
        ))}
        {instances !== undefined && (
          <li>
            {instances === 1 ? '1 instance is' : `${instances.toLocaleString('en')} instances are`} connected to {revoked.project}/
            {revoked.environment} now, with this key or another.
          </li>
        )}
        {revoked.id === session.value?.id && (
          <li>
            <State tone="bad">You are signed in with it: this page asks for another key at once.</State>
          </li>
        )}
      </ul>
    </Confirm>
  )
}

const STOPS: Readonly<Record<KeyKind, readonly string[]>> = {
  server: [
    'The streams of applications that use it are closed. They go on with the flags they have, and hear of no change: a kill does not reach them.',
    'An application that starts with it has its cache file or its defaults.',
  ],
  client: ['Pages that use it keep the values they have, and get no new ones.'],
  hook: ['Alerts that are sent with it are refused, so triggers do not fire on them.'],
  admin: ['Whoever is signed in with it is signed out, and its use in the terminal and in tools is refused.'],
}
