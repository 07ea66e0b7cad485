/** All flags of the project with how each environment has them: searched, filtered, sorted, and many of them killed or archived at once. */
import { lazy, Suspense } from 'preact/compat'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Flag, FlagKind } from '../../../schemas/flag.ts'
import type { LiveMessage } from '../../../schemas/live.ts'
import '../flags.css'
import { at, call, type Failure, inEnvironment, inProject } from '../api.ts'
import { useShortcut } from '../keyboard.ts'
import { ArchiveDialog } from '../parts/archive.tsx'
import { Empty } from '../parts/empty.tsx'
import { KillDialog } from '../parts/kill.tsx'
import { Moment } from '../parts/moment.tsx'
import { KINDS, NewFlag } from '../parts/newflag.tsx'
import { Problem } from '../parts/problem.tsx'
import { failureOf } from '../parts/save.tsx'
import { State } from '../parts/state.tsx'
import { useResource } from '../resource.ts'
import { ask, linkTo, route } from '../route.ts'
import { may, mayInProject, places } from '../session.ts'

const FlagPage = lazy(async () => (await import('./flag.tsx')).FlagPage)

/** Rows drawn at first, and with each “more”: thousands at once would make the page wait. */
const ROWS = 100
/** Fewer are asked for one by one. */
const ASKED_SINGLY_MAX = 10
const STALE_DAYS = ['7', '30', '90'] as const

interface Standing {
  readonly enabled: boolean
  readonly killed: boolean
  readonly killedForAll: boolean
}

interface Listed {
  readonly key: string
  readonly kind: FlagKind
  readonly name?: string
  readonly description?: string
  readonly owner?: string
  readonly tags?: readonly string[]
  readonly environments: Readonly<Record<string, Standing>>
}

interface Unused {
  readonly flags: readonly { readonly key: string }[]
  readonly lastSeen: Readonly<Record<string, string | null>>
  readonly countedSince: string | null
}

export function Flags() {
  const [key] = route.value.rest
  if (key === undefined) return <List />
  return (
    <Suspense fallback={<p aria-busy="true">Loading</p>}>
      <FlagPage key={`${route.value.project}/${route.value.environment}/${key}`} flag={key} />
    </Suspense>
  )
}

const SORTS = ['key', 'kind', 'owner', 'state'] as const
type Sort = (typeof SORTS)[number]

function List() {
  const { project, environment, query } = route.value
  const wanted = Object.fromEntries(query) as Record<string, string>
  const set = (some: Record<string, string>): void => ask({ ...wanted, ...some })
  const { flags, failure, refresh } = useFlags(environment)
  const unused = useResource<Unused>(wanted.stale === undefined ? null : inEnvironment(`/flags?unusedDays=${wanted.stale}`))
  const [shown, setShown] = useState(ROWS)
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const [dialog, setDialog] = useState<'new' | 'archive' | readonly Flag[] | null>(null)
  const [said, setSaid] = useState('')
  const [problem, setProblem] = useState<Failure | null>(null)
  const columns = places.value.filter(each => each.project === project).map(each => each.environment)
  const search = useRef<HTMLInputElement>(null)
  const body = useRef<HTMLTableSectionElement>(null)

  const found = useMemo(() => {
    if (flags === null) return null
    const isStale = unused.data === null ? null : new Set(unused.data.flags.map(each => each.key))
    return sorted(
      flags.filter(flag => isWanted(flag, wanted, environment) && (wanted.stale === undefined || (isStale?.has(flag.key) ?? false))),
      sortOf(wanted.sort),
      wanted.order === 'down',
      environment,
    )
  }, [flags, unused.data, query.toString(), environment])
  useEffect(() => setShown(ROWS), [query.toString()])
  const seen = found?.slice(0, shown) ?? []
  const picked = useMemo(() => (flags ?? []).filter(({ key }) => chosen.has(key)).map(({ key }) => key), [flags, chosen])
  const toggle = (key: string): void => {
    const next = new Set(chosen)
    if (!next.delete(key)) next.add(key)
    setChosen(next)
  }
  const kill = async (keys: readonly string[]): Promise<void> => {
    try {
      setDialog(await documentsOf(keys))
      setProblem(null)
    } catch (error) {
      setProblem(failureOf(error))
    }
  }
  const links = (): HTMLAnchorElement[] => [...(body.current?.querySelectorAll<HTMLAnchorElement>('a.key') ?? [])]
  /** The row that has the focus. */
  const atHand = (): string | undefined => links().find(link => link.closest('tr')?.contains(document.activeElement))?.dataset.flag
  const step = (by: number): void => {
    const all = links()
    const i = all.findIndex(link => link.dataset.flag === atHand())
    all[i === -1 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, i + by))]?.focus()
  }
  useShortcut('ArrowDown', 'Next flag', () => step(1))
  useShortcut('ArrowUp', 'Flag before', () => step(-1))
  useShortcut('j', 'Next flag', () => step(1))
  useShortcut('x', 'Choose the flag at hand', () => {
    const key = atHand()
    if (key !== undefined) toggle(key)
  })
  useShortcut('k', 'Kill the chosen flags, or the one at hand', () => {
    const key = atHand()
    const keys = picked.length > 0 ? picked : key === undefined ? [] : [key]
    if (may('operator') && keys.length > 0) void kill(keys)
  })
  useShortcut('n', 'New flag', () => mayInProject('editor') && setDialog('new'))
  useShortcut('f', 'Filter the list', () => search.current?.focus())

  return (
    <>
      <header class="flagshead">
        <h1>Flags</h1>
        {mayInProject('editor') && (
          <button type="button" class="small" onClick={() => setDialog('new')}>
            New flag
          </button>
        )}
      </header>
      <Problem failure={failure ?? unused.failure ?? problem} onRetry={refresh} />
      {flags?.length === 0 ? (
        <Empty title="No flag yet. A flag is made in every environment at once." command="sluice flag create new-ledger --kind release" />
      ) : (
        <>
          <Filters flags={flags ?? []} wanted={wanted} environment={environment} input={search} onChange={set} onDown={() => step(1)} />
          <div class="listhead">
            <span role="status">{found === null ? 'Loading' : countText(found, flags ?? [], wanted, unused.data, environment)}</span>
            <span class="chosen">
              {picked.length > 0 && <strong>{picked.length} chosen</strong>}
              {picked.length > 0 && may('operator') && (
                <button type="button" class="danger small" onClick={() => void kill(picked)}>
                  Kill…
                </button>
              )}
              {picked.length > 0 && may('editor') && (
                <button type="button" class="secondary outline small" onClick={() => setDialog('archive')}>
                  Archive…
                </button>
              )}
              {picked.length > 0 && (
                <button type="button" class="plain small" onClick={() => setChosen(new Set())}>
                  Choose none
                </button>
              )}
            </span>
          </div>
          {said !== '' && (
            <p class="good" role="status">
              ● {said}
            </p>
          )}
          <table class="flaglist">
            <thead>
              <tr>
                <th scope="col" class="choose">
                  <input
                    type="checkbox"
                    aria-label="Choose all that are found"
                    checked={found !== null && found.length > 0 && found.every(({ key }) => chosen.has(key))}
                    onChange={event => setChosen(new Set(event.currentTarget.checked ? found?.map(({ key }) => key) : []))}
                  />
                </th>
                <Sorter name="key" title="Flag" wanted={wanted} onChange={set} />
                {columns.map(name =>
                  name === environment ? (
                    <Sorter key={name} name="state" title={name} wanted={wanted} onChange={set} isHere />
                  ) : (
                    <th key={name} scope="col" class="other">
                      {name}
                    </th>
                  ),
                )}
                <Sorter name="kind" title="Kind" wanted={wanted} onChange={set} />
                <Sorter name="owner" title="Owner and tags" wanted={wanted} onChange={set} />
              </tr>
            </thead>
            <tbody ref={body}>
              {seen.map(flag => (
                <FlagRow
                  key={flag.key}
                  flag={flag}
                  columns={columns}
                  environment={environment}
                  isChosen={chosen.has(flag.key)}
                  lastSeen={wanted.stale === undefined ? undefined : unused.data?.lastSeen[flag.key]}
                  onToggle={toggle}
                />
              ))}
            </tbody>
          </table>
          {found !== null && found.length === 0 && (
            <Empty title="No flag is like that.">
              <button type="button" class="secondary outline small" onClick={() => ask({})}>
                Show all {flags?.length}
              </button>
            </Empty>
          )}
          {found !== null && found.length > shown && (
            <button type="button" class="secondary outline" onClick={() => setShown(shown + 2 * ROWS)}>
              Show {Math.min(2 * ROWS, found.length - shown)} more of {(found.length - shown).toLocaleString('en')}
            </button>
          )}
          <p class="hint keys">
            <kbd>↓</kbd> <kbd>↑</kbd> move, <kbd>x</kbd> chooses, <kbd>Enter</kbd> opens, <kbd>k</kbd> kills, <kbd>f</kbd> filters,{' '}
            <kbd>n</kbd> makes one
          </p>
        </>
      )}
      {dialog === 'new' && <NewFlag onClose={() => setDialog(null)} />}
      {dialog === 'archive' && (
        <ArchiveDialog
          keys={picked}
          environment={environment}
          onClose={() => setDialog(null)}
          onDone={text => {
            setSaid(text)
            setChosen(new Set())
            setDialog(null)
            refresh()
          }}
        />
      )}
      {dialog !== null && typeof dialog === 'object' && <KillDialog flags={dialog} onClose={() => setDialog(null)} />}
    </>
  )
}

/** Of the project; for a key that sees one environment alone, of that. */
function useFlags(environment: string): { flags: readonly Listed[] | null; failure: Failure | null; refresh: () => void } {
  const seesAll = mayInProject('viewer')
  const { project } = route.value
  const on = (message: LiveMessage): boolean =>
    message.type === 'places' ||
    (message.type === 'change' && message.project === project && message.edits.some(({ type }) => type === 'flag'))
  const all = useResource<{ flags: readonly Listed[] }>(seesAll ? inProject('/flags') : null, { on })
  const here = useResource<{ flags: readonly Flag[] }>(seesAll ? null : inEnvironment('/flags'), { on })
  const flags = useMemo(
    () =>
      all.data?.flags ??
      here.data?.flags.map(flag => ({
        ...flag,
        environments: {
          [environment]: {
            enabled: flag.enabled,
            killed: flag.kills.length > 0,
            killedForAll: flag.kills.some(kill => kill.clauses.length === 0),
          },
        },
      })) ??
      null,
    [all.data, here.data],
  ) as readonly Listed[] | null
  const { failure, refresh } = seesAll ? all : here
  return { flags, failure, refresh }
}

async function documentsOf(keys: readonly string[]): Promise<Flag[]> {
  if (keys.length <= ASKED_SINGLY_MAX) return Promise.all(keys.map(key => call<Flag>(inEnvironment(at`/flags/${key}`))))
  const { flags } = await call<{ flags: Flag[] }>(inEnvironment('/flags'))
  return flags.filter(({ key }) => keys.includes(key))
}

interface FiltersProps {
  readonly flags: readonly Listed[]
  readonly wanted: Readonly<Record<string, string>>
  readonly environment: string
  readonly input: { readonly current: HTMLInputElement | null }
  readonly onChange: (some: Record<string, string>) => void
  readonly onDown: () => void
}

function Filters({ flags, wanted, environment, input, onChange, onDown }: FiltersProps) {
  const tags = useMemo(() => tally(flags.flatMap(flag => flag.tags ?? [])), [flags])
  const owners = useMemo(() => tally(flags.flatMap(flag => flag.owner ?? [])), [flags])
  const choice = (name: string, title: string, options: readonly (readonly [value: string, words: string])[]) => (
    <select aria-label={title} value={wanted[name] ?? ''} onChange={event => onChange({ [name]: event.currentTarget.value })}>
      <option value="">{title}</option>
      {options.map(([value, words]) => (
        <option key={value} value={value}>
          {words}
        </option>
      ))}
    </select>
  )
  const counted = (counts: ReadonlyMap<string, number>) => [...counts].map(([value, count]) => [value, `${value} (${count})`] as const)
  return (
    <search class="sieve">
      <input
        ref={input}
        type="search"
        aria-label="Part of a key, a name, a tag or an owner"
        placeholder="Part of a key, a name, a tag or an owner"
        value={wanted.q ?? ''}
        onInput={event => onChange({ q: event.currentTarget.value })}
        onKeyDown={event => {
          if (event.key !== 'ArrowDown') return
          event.preventDefault()
          onDown()
        }}
      />
      {choice(
        'kind',
        'any kind',
        Object.keys(KINDS).map(kind => [kind, kind] as const),
      )}
      {choice('state', `any state in ${environment}`, [
        ['on', 'on'],
        ['off', 'off'],
        ['killed', 'killed'],
        ['missing', 'not here'],
      ])}
      {tags.size > 0 && choice('tag', 'any tag', counted(tags))}
      {owners.size > 0 && choice('owner', 'any owner', [...counted(owners), ['-', 'nobody']])}
      {choice(
        'stale',
        'used or not',
        STALE_DAYS.map(days => [days, `unused for ${days} days`] as const),
      )}
    </search>
  )
}

function Sorter({
  name,
  title,
  wanted,
  onChange,
  isHere = false,
}: {
  readonly name: Sort
  readonly title: string
  readonly wanted: Readonly<Record<string, string>>
  readonly onChange: (some: Record<string, string>) => void
  readonly isHere?: boolean
}) {
  const isSorted = sortOf(wanted.sort) === name
  const isDown = isSorted && wanted.order === 'down'
  return (
    <th scope="col" class={isHere ? 'here' : name} aria-sort={isSorted ? (isDown ? 'descending' : 'ascending') : 'none'}>
      <button
        type="button"
        class="plain"
        onClick={() => onChange({ sort: name === 'key' ? '' : name, order: isSorted && !isDown ? 'down' : '' })}
      >
        {title} <span aria-hidden="true">{isSorted ? (isDown ? '▼' : '▲') : ''}</span>
      </button>
    </th>
  )
}

interface FlagRowProps {
  readonly flag: Listed
  readonly columns: readonly string[]
  readonly environment: string
  readonly isChosen: boolean
  readonly lastSeen: string | null | undefined
  readonly onToggle: (key: string) => void
}

function FlagRow({ flag, columns, environment, isChosen, lastSeen, onToggle }: FlagRowProps) {
  const { key, name, kind, owner, tags = [] } = flag
  return (
    <tr class={isChosen ? 'chosen' : ''}>
      <td class="choose">
        <input type="checkbox" aria-label={`Choose ${key}`} checked={isChosen} onChange={() => onToggle(key)} />
      </td>
      <td class="named">
        <a class="key" data-flag={key} href={linkTo('flags', [key])}>
          {key}
        </a>
        {name !== undefined && name !== key && <small>{name}</small>}
        {lastSeen !== undefined && (
          <small class="warn">
            ▲{' '}
            {lastSeen === null ? (
              'never evaluated'
            ) : (
              <>
                evaluated last <Moment at={lastSeen} />
              </>
            )}
          </small>
        )}
      </td>
      {columns.map(each => (
        <td key={each} class={each === environment ? 'here' : 'other'}>
          {standingState(flag.environments[each])}
        </td>
      ))}
      <td class="kind">{kind}</td>
      <td class="owner">
        {owner}{' '}
        {tags.slice(0, 4).map(tag => (
          <a key={tag} class="tag" href={linkTo('flags', [], { query: { tag } })}>
            {tag}
          </a>
        ))}
        {tags.length > 4 && <small>+ {tags.length - 4}</small>}
      </td>
    </tr>
  )
}

function standingState(standing: Standing | undefined) {
  if (standing === undefined) return <span class="quiet">–</span>
  if (standing.killedForAll) return <State tone="bad">killed</State>
  if (standing.killed) return <State tone="bad">killed for some</State>
  return standing.enabled ? <State tone="good">on</State> : <State tone="quiet">off</State>
}

function stateOf(standing: Standing | undefined): string {
  return standing === undefined ? 'missing' : standing.killed ? 'killed' : standing.enabled ? 'on' : 'off'
}

function isWanted(flag: Listed, { q = '', kind, tag, owner, state }: Readonly<Record<string, string>>, environment: string): boolean {
  if (kind !== undefined && flag.kind !== kind) return false
  if (tag !== undefined && !(flag.tags ?? []).includes(tag)) return false
  if (owner !== undefined && (owner === '-' ? flag.owner !== undefined : flag.owner !== owner)) return false
  if (state !== undefined && stateOf(flag.environments[environment]) !== state) return false
  const sought = q.trim().toLowerCase()
  return (
    sought === '' ||
    [flag.key, flag.name, flag.owner, flag.description, ...(flag.tags ?? [])].some(text => text?.toLowerCase().includes(sought))
  )
}

/** Killed ones first, for they are what somebody looks for. */
const STATE_ORDER = ['killed', 'on', 'off', 'missing']

function sorted(flags: readonly Listed[], sort: Sort, isDown: boolean, environment: string): Listed[] {
  const textOf = (flag: Listed): string =>
    sort === 'kind'
      ? flag.kind
      : sort === 'owner'
        ? (flag.owner ?? '\uffff')
        : sort === 'state'
          ? String(STATE_ORDER.indexOf(stateOf(flag.environments[environment])))
          : ''
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  const result = [...flags].sort((a, b) => order(textOf(a), textOf(b)) || order(a.key, b.key))
  return isDown ? result.reverse() : result
}

function sortOf(text: string | undefined): Sort {
  return SORTS.find(each => each === text) ?? 'key'
}

function tally(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return new Map([...counts].sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1)))
}

function countText(
  found: readonly Listed[],
  flags: readonly Listed[],
  wanted: Readonly<Record<string, string>>,
  unused: Unused | null,
  environment: string,
): string {
  const killed = found.filter(flag => flag.environments[environment]?.killed === true).length
  const counted = `${found.length === flags.length ? '' : `${found.length.toLocaleString('en')} of `}${flags.length.toLocaleString('en')} ${flags.length === 1 ? 'flag' : 'flags'}`
  const since =
    wanted.stale === undefined || unused === null
      ? ''
      : unused.countedSince === null
        ? '; nothing has been evaluated here yet'
        : `; evaluations are counted since ${unused.countedSince.slice(0, 10)}`
  return `${counted}${killed === 0 ? '' : `, ${killed} killed in ${environment}`}${since}`
}
