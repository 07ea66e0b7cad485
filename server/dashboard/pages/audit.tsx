/** The log of changes of an environment: who did what, when and why; what stood before beside what stood after; and whether the chain holds. */
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { ACTION_WORDS } from '../../../schemas/words.ts'
import { call, Failure, inEnvironment } from '../api.ts'
import { jsonLines, linesOf } from '../lines.ts'
import { listen } from '../live.ts'
import { Chain } from '../parts/chain.tsx'
import { Diff } from '../parts/diff.tsx'
import { Empty } from '../parts/empty.tsx'
import { Moment } from '../parts/moment.tsx'
import { Problem } from '../parts/problem.tsx'
import { Reverting } from '../parts/reverting.tsx'
import { ask, linkTo, route } from '../route.ts'
import { may, type Place, place } from '../session.ts'
import '../flags.css'
import './admin.css'

const PAGE = 50
const KEYS_SHOWN = 6
const EDITS_SHOWN = 20
/** While somebody types. */
const QUIET_MS = 250
/** What lies over a flag is lifted, not reverted. */
const OVERRIDES: readonly string[] = ['flag.kill', 'flag.lift', 'flag.expire']
const ACTIONS = Object.keys(ACTION_WORDS)
const FAMILIES = [...new Set(ACTIONS.map(action => action.split('.')[0] ?? ''))]

const FILTERS = ['flag', 'actor', 'action', 'since', 'until'] as const
type Filters = Partial<Record<(typeof FILTERS)[number], string>>

export function Audit() {
  const here = place.value
  const { query } = route.value
  const filters = Object.fromEntries(FILTERS.flatMap(name => (query.get(name) === null ? [] : [[name, query.get(name)]]))) as Filters
  const { changes, failure, isBusy, hasMore, fresh, more, refresh } = useChanges(filters)
  const [reverting, setReverting] = useState<Change | null>(null)
  if (here === null) return null
  const isFiltered = Object.values(filters).some(value => value !== '')
  return (
    <>
      <header class="title">
        <h1>Audit</h1>
      </header>
      <Chain place={here} />
      <Filtering filters={filters} />
      <Problem failure={failure} onRetry={refresh} />
      {fresh > 0 && (
        <button type="button" class="secondary small" onClick={refresh}>
          {fresh === 1 ? '1 new change' : `${fresh} new changes`}: show
        </button>
      )}
      {changes === null && failure === null && <p aria-busy="true">Loading</p>}
      {changes?.length === 0 && !hasMore && (
        <Empty
          title={isFiltered ? 'No change here fits.' : 'Nothing has changed here yet.'}
          {...(isFiltered ? {} : { command: 'sluice flag create checkout --kind kill-switch' })}
        >
          {isFiltered && (
            <button type="button" class="secondary small" onClick={() => ask({})}>
              Show all
            </button>
          )}
        </Empty>
      )}
      <ol class="audit" aria-label="Changes, newest first">
        {(changes ?? []).map(change => (
          <Entry key={change.revision} change={change} onRevert={() => setReverting(change)} />
        ))}
      </ol>
      {hasMore && (
        <button type="button" class="secondary outline small" aria-busy={isBusy} disabled={isBusy} onClick={more}>
          {changes?.length === 0 ? 'None among the newest: look further back' : 'Older'}
        </button>
      )}
      {reverting !== null && <Reverting change={reverting} onClose={() => setReverting(null)} />}
    </>
  )
}

function Filtering({ filters }: { readonly filters: Filters }) {
  const set = (name: keyof Filters, value: string): void => ask({ ...filters, [name]: value })
  return (
    <form class="filters" aria-label="Filter the changes" onSubmit={event => event.preventDefault()}>
      <label>
        Flag
        <Later value={filters.flag ?? ''} placeholder="its key" onChange={value => set('flag', value)} />
      </label>
      <label>
        By
        <Later value={filters.actor ?? ''} placeholder="part of a name" onChange={value => set('actor', value)} />
      </label>
      <label>
        What
        <select value={filters.action ?? ''} onChange={event => set('action', event.currentTarget.value)}>
          <option value="">everything</option>
          {FAMILIES.map(family => (
            <optgroup key={family} label={family}>
              <option value={family}>{family}: all</option>
              {ACTIONS.filter(action => action.startsWith(`${family}.`)).map(action => (
                <option key={action} value={action}>
                  {action}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </label>
      {(['since', 'until'] as const).map(name => (
        <label key={name}>
          {name === 'since' ? 'Since' : 'Until'}
          <input
            type="datetime-local"
            value={localText(filters[name])}
            onChange={event => {
              const { value } = event.currentTarget
              set(name, value === '' ? '' : new Date(value).toISOString())
            }}
          />
        </label>
      ))}
    </form>
  )
}

/** A field that is heard when the typing pauses. */
function Later({ value, placeholder, onChange }: { value: string; placeholder: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => onChange(text.trim()), QUIET_MS)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <input
      type="text"
      autocapitalize="off"
      spellcheck={false}
      placeholder={placeholder}
      value={text}
      onInput={event => setText(event.currentTarget.value)}
    />
  )
}

/** A moment as the field for it wants it: local, without an offset. */
function localText(moment: string | undefined): string {
  const at = moment === undefined ? Number.NaN : Date.parse(moment)
  if (Number.isNaN(at)) return ''
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

function Entry({ change, onRevert }: { readonly change: Change; readonly onRevert: () => void }) {
  const { revision, at, actor, action, comment, edits, reverts } = change
  const [isOpen, setOpen] = useState(false)
  const names = edits.slice(0, KEYS_SHOWN).map(({ key }) => key)
  const isRevertible = may('editor') && !OVERRIDES.includes(action) && edits.some(({ type }) => type === 'flag' || type === 'segment')
  return (
    <li>
      <details onToggle={event => setOpen(event.currentTarget.open)}>
        <summary>
          <span class="revision">r{revision}</span>
          <span class="what">
            <strong>{actor.name}</strong> {ACTION_WORDS[action]} {reverts !== null && `r${reverts} of `}
            {names.join(', ')}
            {edits.length > KEYS_SHOWN && ` and ${(edits.length - KEYS_SHOWN).toLocaleString('en')} more`}
            {comment !== null && comment !== '' && <span class="comment">“{comment}”</span>}
          </span>
          <span class="when">
            <Moment at={at} />
          </span>
        </summary>
        {isOpen && (
          <div class="opened">
            <p>
              <code>{action}</code> by {actor.kind} <code>{actor.id}</code> at {at}
            </p>
            {edits.slice(0, EDITS_SHOWN).map(edit => (
              <EditDiff key={`${edit.type}/${edit.key}`} edit={edit} />
            ))}
            {edits.length > EDITS_SHOWN && (
              <p class="hint">
                and {(edits.length - EDITS_SHOWN).toLocaleString('en')} documents more:{' '}
                <code>
                  sluice diff r{revision - 1} r{revision}
                </code>
              </p>
            )}
            <p class="hash">
              Hash <code>{change.hash}</code>, after <code>{change.previousHash}</code>
            </p>
            {isRevertible && (
              <button type="button" class="secondary outline small" onClick={onRevert}>
                Revert r{revision}…
              </button>
            )}
          </div>
        )}
      </details>
    </li>
  )
}

function EditDiff({ edit: { type, key, before, after } }: { readonly edit: Change['edits'][number] }) {
  const [left, right] = useMemo(() => {
    const told = (document: unknown): string[] => (type === 'flag' ? linesOf(document as Flag | null) : jsonLines(document))
    return [told(before), told(after)]
  }, [before, after])
  return (
    <section>
      <h2>
        {type} {type === 'flag' && after !== null ? <a href={linkTo('flags', [key])}>{key}</a> : key}
      </h2>
      <Diff
        before={left}
        after={right}
        beforeTitle={before === null ? 'Nothing stood here' : 'Before'}
        afterTitle={after === null ? 'It is gone' : 'After'}
      />
    </section>
  )
}

interface Page {
  readonly changes: readonly Change[]
  readonly next: number | null
}

function useChanges(filters: Filters) {
  const [known, setKnown] = useState<{ readonly changes: readonly Change[]; readonly next: number | null } | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [fresh, setFresh] = useState(0)
  const [asked, setAsked] = useState(0)
  const key = JSON.stringify(filters)
  const load = async (from: number | null, signal?: AbortSignal): Promise<void> => {
    setBusy(true)
    try {
      const given = Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ''))
      const query = { ...given, limit: PAGE, ...(from === null ? {} : { until: from }) }
      const page = await call<Page>(inEnvironment('/changes'), { query, ...(signal === undefined ? {} : { signal }) })
      setKnown(before => ({ changes: [...(from === null ? [] : (before?.changes ?? [])), ...page.changes], next: page.next }))
      setFailure(null)
    } catch (error) {
      if (signal?.aborted === true) return
      setFailure(error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error)))
    }
    setBusy(false)
  }
  useEffect(() => {
    const ending = new AbortController()
    setFresh(0)
    void load(null, ending.signal)
    return () => ending.abort()
  }, [key, asked])
  // The list stands still while it is read: what comes is counted, and shown when that is wanted.
  useEffect(() => {
    const here = place.peek()
    const isHere = (other: Place): boolean => other.project === here?.project && other.environment === here.environment
    return listen(message => {
      if (message.type === 'change' && isHere(message)) setFresh(count => count + 1)
    })
  }, [])
  return {
    changes: known?.changes ?? null,
    failure,
    isBusy,
    fresh,
    hasMore: known !== null && known.next !== null,
    more: () => void load(known?.next ?? null),
    refresh: () => setAsked(count => count + 1),
  }
}
