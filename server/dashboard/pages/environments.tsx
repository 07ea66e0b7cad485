/** Projects and their environments: what is connected to each, what is killed there, and how an application gets in. */
import { useState } from 'preact/hooks'
import type { Environment, Project } from '../../../schemas/project.ts'
import { at, call, Failure } from '../api.ts'
import { Confirm } from '../parts/confirm.tsx'
import { Connecting } from '../parts/connecting.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Empty } from '../parts/empty.tsx'
import { Problem } from '../parts/problem.tsx'
import { State } from '../parts/state.tsx'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { useSending } from '../sending.ts'
import { may, type Place, place } from '../session.ts'
import './admin.css'

interface ListedProject extends Project {
  readonly environments: readonly string[]
  readonly builtIn: boolean
}
interface Status extends Place {
  readonly revision: number
  readonly instances: number
  readonly kills: number
}
type Open =
  | { readonly kind: 'project' }
  | { readonly kind: 'environment'; readonly project: ListedProject }
  | { readonly kind: 'connect' | 'delete'; readonly place: Place }
  | { readonly kind: 'delete project'; readonly project: ListedProject }

const isPlaces = ({ type }: { readonly type: string }): boolean => type === 'places'

export function Environments() {
  const projects = useResource<{ projects: readonly ListedProject[] }>('/api/v1/projects', { on: isPlaces })
  const status = useResource<{ environments: readonly Status[] }>('/api/v1/status', { on: ({ type }) => type !== 'welcome' })
  const [open, setOpen] = useState<Open | null>(null)
  const close = (): void => setOpen(null)
  const reload = (): void => {
    projects.refresh()
    status.refresh()
  }
  const all = [...(projects.data?.projects ?? [])].sort((a, b) => Number(a.builtIn) - Number(b.builtIn))
  return (
    <>
      <header class="title">
        <h1>Environments</h1>
        {may('admin', null) && (
          <button type="button" class="secondary small" onClick={() => setOpen({ kind: 'project' })}>
            New project
          </button>
        )}
      </header>
      <Problem failure={projects.failure ?? status.failure} onRetry={reload} />
      {all.map(project => (
        <ProjectTable
          key={project.key}
          project={project}
          statuses={(status.data?.environments ?? []).filter(each => each.project === project.key)}
          onOpen={setOpen}
        />
      ))}
      {open?.kind === 'project' && <NewProject onClose={close} onDone={reload} />}
      {open?.kind === 'environment' && <NewEnvironment project={open.project} onClose={close} onDone={reload} />}
      {open?.kind === 'connect' && <Connecting place={open.place} onClose={close} />}
      {open?.kind === 'delete' && (
        <DeleteEnvironment
          place={open.place}
          status={status.data?.environments.find(each => isSame(each, open.place)) ?? null}
          onClose={close}
          onDone={reload}
        />
      )}
      {open?.kind === 'delete project' && (
        <Confirm
          title={`Delete project ${open.project.key}`}
          word={open.project.key}
          action="Delete the project"
          onClose={close}
          run={async () => {
            await call(at`/api/v1/projects/${open.project.key}`, { method: 'DELETE', ifMatch: open.project.version })
            reload()
          }}
        >
          <p>It has no environments. Keys that reach over it reach nothing there any more.</p>
        </Confirm>
      )}
    </>
  )
}

interface ProjectTableProps {
  readonly project: ListedProject
  readonly statuses: readonly Status[]
  readonly onOpen: (open: Open) => void
}

function ProjectTable({ project, statuses, onOpen }: ProjectTableProps) {
  const { key, name, description, builtIn } = project
  const { data, failure, refresh } = useResource<{ environments: readonly Environment[] }>(at`/api/v1/projects/${key}/environments`, {
    on: isPlaces,
  })
  const mayAdmin = may('admin', { project: key }) && !builtIn
  const environments = data?.environments ?? []
  return (
    <section class="project" aria-label={`Project ${key}`}>
      <header class="title">
        <h2>
          {name} {name !== key && <code>{key}</code>}
        </h2>
        {builtIn && <small class="quiet">the limits of this server itself</small>}
        {mayAdmin && (
          <button type="button" class="small" onClick={() => onOpen({ kind: 'environment', project })}>
            New environment
          </button>
        )}
        {mayAdmin && may('admin', null) && data !== null && environments.length === 0 && (
          <button type="button" class="secondary outline small" onClick={() => onOpen({ kind: 'delete project', project })}>
            Delete
          </button>
        )}
      </header>
      {description !== undefined && <p>{description}</p>}
      <Problem failure={failure} onRetry={refresh} />
      {data !== null && environments.length === 0 && (
        <Empty title="No environments yet." command={`sluice environments create production -p ${key}`} />
      )}
      {environments.length > 0 && (
        <table class="cards">
          <thead>
            <tr>
              <th scope="col">Environment</th>
              <th scope="col">Killed</th>
              <th scope="col" class="number">
                Instances
              </th>
              <th scope="col" class="number">
                Revision
              </th>
              <th scope="col">
                <span class="sr">What to do</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {environments.map(each => {
              const here: Place = { project: key, environment: each.environment }
              const status = statuses.find(other => isSame(other, here))
              const isHere = place.value !== null && isSame(place.value, here)
              return (
                <tr key={each.environment}>
                  <th scope="row">
                    <a href={linkTo('now', [], here)} aria-current={isHere ? 'location' : undefined}>
                      {each.environment}
                    </a>{' '}
                    {each.name !== each.environment && <small>{each.name}</small>}
                    {isHere && <small class="quiet"> you are here</small>}
                    {each.description !== undefined && <small class="below">{each.description}</small>}
                  </th>
                  <td data-label="Killed">
                    {status === undefined ? (
                      ''
                    ) : status.kills > 0 ? (
                      <State tone="bad">{status.kills === 1 ? '1 kill' : `${status.kills} kills`}</State>
                    ) : (
                      <State tone="quiet">none</State>
                    )}
                  </td>
                  <td data-label="Instances" class="number">
                    {status?.instances.toLocaleString('en') ?? ''}
                  </td>
                  <td data-label="Revision" class="number">
                    <a href={linkTo('audit', [], here)}>{status?.revision.toLocaleString('en') ?? ''}</a>
                  </td>
                  <td class="actions">
                    {!builtIn && (
                      <button
                        type="button"
                        class="secondary small"
                        aria-label={`Connect to ${each.environment}`}
                        onClick={() => onOpen({ kind: 'connect', place: here })}
                      >
                        Connect
                      </button>
                    )}
                    {mayAdmin && (
                      <button
                        type="button"
                        class="secondary outline small"
                        aria-label={`Delete ${each.environment}`}
                        onClick={() => onOpen({ kind: 'delete', place: here })}
                      >
                        Delete
                      </button>
                    )}
                  </td>
                </tr>
              )
            })}
          </tbody>
        </table>
      )}
    </section>
  )
}

function isSame(a: Place, b: Place): boolean {
  return a.project === b.project && a.environment === b.environment
}

interface MakingProps {
  readonly onClose: () => void
  readonly onDone: () => void
}

const KEY_HINT = 'Letters, digits, dots, dashes and underscores. It cannot be changed later.'

function NewProject({ onClose, onDone }: MakingProps) {
  const [key, setKey] = useState('')
  const [name, setName] = useState('')
  const { isBusy, failure, send } = useSending()
  return (
    <Dialog title="New project" onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault()
          void send(async () => {
            await call('/api/v1/projects', { method: 'POST', body: { key, ...(name === '' ? {} : { name }) } })
            onDone()
          }).then(isDone => isDone && onClose())
        }}
      >
        <p>A project owns flags. It begins without environments; the next step is to make its first.</p>
        <KeyField value={key} example="shop" onInput={setKey} />
        <label>
          Name <small>if it is another</small>
          <input type="text" value={name} onInput={event => setName(event.currentTarget.value)} />
        </label>
        <Problem failure={failure} />
        <div class="buttons">
          <button type="submit" disabled={isBusy} aria-busy={isBusy}>
            Create the project
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function NewEnvironment({ project, onClose, onDone }: MakingProps & { readonly project: ListedProject }) {
  const [key, setKey] = useState('')
  const [name, setName] = useState('')
  const [copyFrom, setCopyFrom] = useState('')
  const { isBusy, failure, send } = useSending()
  return (
    <Dialog title={`New environment in ${project.key}`} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault()
          void send(async () => {
            const body = { key, ...(name === '' ? {} : { name }), ...(copyFrom === '' ? {} : { copyFrom }) }
            await call(at`/api/v1/projects/${project.key}/environments`, { method: 'POST', body })
            onDone()
          }).then(isDone => isDone && onClose())
        }}
      >
        <KeyField value={key} example="staging" onInput={setKey} />
        <label>
          Name <small>if it is another</small>
          <input type="text" value={name} onInput={event => setName(event.currentTarget.value)} />
        </label>
        <label>
          Settings of its flags
          <select value={copyFrom} onChange={event => setCopyFrom(event.currentTarget.value)}>
            <option value="">every flag off, without rules</option>
            {project.environments.map(each => (
              <option key={each} value={each}>
                as in {each}, with its segments, without its kills
              </option>
            ))}
          </select>
        </label>
        <Problem failure={failure} />
        <div class="buttons">
          <button type="submit" disabled={isBusy} aria-busy={isBusy}>
            Create the environment
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface KeyFieldProps {
  readonly value: string
  readonly example: string
  readonly onInput: (key: string) => void
}

function KeyField({ value, example, onInput }: KeyFieldProps) {
  return (
    <label>
      Key
      <input
        type="text"
        required
        autofocus
        autocapitalize="off"
        spellcheck={false}
        pattern="[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
        title={KEY_HINT}
        placeholder={`as in ${example}`}
        value={value}
        onInput={event => onInput(event.currentTarget.value.trim())}
      />
      <small>{KEY_HINT}</small>
    </label>
  )
}

interface DeleteProps extends MakingProps {
  readonly place: Place
  readonly status: Status | null
}

function DeleteEnvironment({ place: { project, environment }, status, onClose, onDone }: DeleteProps) {
  const [isForced, setForced] = useState(false)
  const [version] = useState(async () => (await call<Environment>(at`/api/v1/projects/${project}/environments/${environment}`)).version)
  return (
    <Confirm
      title={`Delete ${project}/${environment}`}
      word={environment}
      action="Delete the environment"
      onClose={onClose}
      run={async () => {
        await call(at`/api/v1/projects/${project}/environments/${environment}`, {
          method: 'DELETE',
          ifMatch: await version,
          query: isForced ? { force: true } : {},
        })
        onDone()
      }}
      otherwise={(failure: Failure) =>
        failure.code === 'ENVIRONMENT_IN_USE' && (
          <label>
            <input type="checkbox" checked={isForced} onChange={event => setForced(event.currentTarget.checked)} />
            Delete it although it is in use
          </label>
        )
      }
    >
      <p>What stops:</p>
      <ul>
        <li>Its settings of every flag, its segments, rollouts and limits are gone. Its log of changes is kept.</li>
        <li>The keys for it are revoked: applications lose their stream and go on with the values they have.</li>
        {status !== null && status.instances > 0 && (
          <li>
            <State tone="warn">{status.instances === 1 ? '1 instance is' : `${status.instances} instances are`} connected now.</State>
          </li>
        )}
        {status !== null && status.kills > 0 && (
          <li>
            <State tone="bad">{status.kills === 1 ? '1 kill stands' : `${status.kills} kills stand`} there now.</State>
          </li>
        )}
      </ul>
    </Confirm>
  )
}
