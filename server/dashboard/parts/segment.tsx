/** One segment: who is in it, and by which lists and rules. What is typed stays until it is saved or dropped, whatever else happens. */
import { useMemo, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { Segment } from '../../../schemas/segment.ts'
import { at, call, type Failure, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { go, linkTo } from '../route.ts'
import {
  changedContent,
  contentOf,
  contentOfSegment,
  draftOf,
  isSame,
  type ListDraft,
  NEW_LIST,
  parseList,
  linesOfValues,
  type Form,
  type SegmentDraft,
} from '../segmentdraft.ts'
import { useSending } from '../sending.ts'
import { may } from '../session.ts'
import { Clauses } from './clause.tsx'
import { Confirm } from './confirm.tsx'
import { Problem } from './problem.tsx'
import { Problems, ProblemsAt } from './problems.tsx'
import { SegmentConflict } from './segmentconflict.tsx'
import { Users } from './segmentusers.tsx'
import '../flags.css'

interface Editing {
  readonly base: Segment
  readonly draft: SegmentDraft
}

/** What was typed and not saved, by place and key: it is still there when one comes back. */
const kept = new Map<string, Editing>()

export function SegmentPage({ name, place }: { readonly name: string; readonly place: string }) {
  const path = inEnvironment(at`/segments/${name}`)
  const { data, failure, refresh } = useResource<Segment>(path)
  const all = useResource<{ segments: readonly Segment[] }>(inEnvironment('/segments'))
  const flags = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags'))
  const id = `${place}/${name}`
  const [editing, setEditing] = useState<Editing | null>(kept.get(id) ?? null)
  const [isArchiving, setArchiving] = useState(false)
  const edit = (next: Editing | null): void => {
    if (next === null) kept.delete(id)
    else kept.set(id, next)
    setEditing(next)
  }
  return (
    <>
      <p class="back">
        <a href={linkTo('segments')}>Segments</a>
      </p>
      <header class="title">
        <h1>{name}</h1>
        {data !== null && may('editor') && (
          <button type="button" class="secondary outline small" onClick={() => setArchiving(true)}>
            Archive
          </button>
        )}
      </header>
      <Problem failure={failure} onRetry={refresh} />
      {data === null && failure === null && <p aria-busy="true">Loading</p>}
      {flags.data !== null && all.data !== null && (
        <p>
          Used by <Users name={name} flags={flags.data.flags} segments={all.data.segments} most={30} />. Included wins over excluded,
          excluded over rules.
        </p>
      )}
      {data !== null && (
        <Editor
          path={path}
          newest={data}
          editing={editing}
          segments={(all.data?.segments ?? []).map(({ key }) => key).filter(key => key !== name)}
          onEdit={edit}
          onRefresh={refresh}
        />
      )}
      {isArchiving && data !== null && (
        <Confirm
          title={`Archive segment ${name}`}
          action="Archive"
          onClose={() => setArchiving(false)}
          run={async () => {
            await call(path, { method: 'DELETE', ifMatch: data.version })
            edit(null)
            go(linkTo('segments'))
          }}
        >
          <p>It is gone from this environment; the log keeps it, and reverting that entry brings it back.</p>
          <p>A segment that is in use is not archived: whoever uses it must stop first.</p>
        </Confirm>
      )}
    </>
  )
}

interface EditorProps {
  readonly path: string
  readonly newest: Segment
  readonly editing: Editing | null
  readonly segments: readonly string[]
  readonly onEdit: (editing: Editing | null) => void
  readonly onRefresh: () => void
}

function Editor({ path, newest, editing, segments, onEdit, onRefresh }: EditorProps) {
  const [comment, setComment] = useState('')
  const [isConflict, setConflict] = useState(false)
  const [saved, setSaved] = useState<number | null>(null)
  const { isBusy, failure, send } = useSending()
  const base = editing?.base ?? newest
  const fresh = useMemo(() => draftOf(newest), [newest])
  const draft = editing?.draft ?? fresh
  const change = (part: Partial<SegmentDraft>): void => {
    setSaved(null)
    const next = { ...draft, ...part }
    onEdit(isSame(next, draftOf(base)) ? null : { base, draft: next })
  }
  const isBehind = editing !== null && newest.version > base.version
  const isWrong = [...draft.included, ...draft.excluded].some(list => parseList(list).wrong !== null)
  const mayEdit = may('editor')
  const save = async (): Promise<void> => {
    // What is known to be out of date need not be refused first.
    if (isBehind) return setConflict(true)
    await send(async () => {
      const body = { ...changedContent(contentOfSegment(base), contentOf(draft)), ...(comment === '' ? {} : { comment }) }
      try {
        const { revision } = await call<{ revision: number }>(path, { method: 'PATCH', body, ifMatch: base.version })
        onEdit(null)
        setComment('')
        setSaved(revision)
        onRefresh()
      } catch (error) {
        if ((error as Failure).code !== 'VERSION_CONFLICT') throw error
        onRefresh()
        setConflict(true)
      }
    })
  }
  return (
    <Problems.Provider value={failure?.details ?? []}>
      <form
        class="segment"
        onSubmit={event => {
          event.preventDefault()
          if (!isWrong) void save()
        }}
      >
        {/* Without the role it can be read, not typed into. */}
        <fieldset class="whole" disabled={!mayEdit}>
          <div class="two">
            <label>
              Name
              <input type="text" value={draft.name} onInput={event => change({ name: event.currentTarget.value })} />
            </label>
            <label>
              Description
              <input type="text" value={draft.description} onInput={event => change({ description: event.currentTarget.value })} />
            </label>
          </div>
          <Lists
            title="Included"
            what="These are in it, whatever stands below."
            place="included"
            lists={draft.included}
            onChange={included => change({ included })}
          />
          <Lists
            title="Excluded"
            what="These are not in it, whatever the rules say."
            place="excluded"
            lists={draft.excluded}
            onChange={excluded => change({ excluded })}
          />
          <Rules rules={draft.rules} segments={segments} onChange={rules => change({ rules })} />
        </fieldset>
        {isBehind && (
          <p class="warning" role="status">
            <span aria-hidden="true">▲</span> Somebody saved version {newest.version} meanwhile; you edit version {base.version}. Saving
            shows both.
          </p>
        )}
        <Problem failure={failure} />
        {saved !== null && editing === null && (
          <p role="status" class="good">
            <span aria-hidden="true">●</span> Saved as revision {saved}.
          </p>
        )}
        {mayEdit && editing !== null && (
          <div class="saving">
            <label>
              Comment
              <input
                type="text"
                placeholder="why: it is what the next person reads"
                value={comment}
                onInput={event => setComment(event.currentTarget.value)}
              />
            </label>
            <div class="buttons">
              <button type="button" class="secondary" onClick={() => onEdit(null)}>
                Drop the edits
              </button>
              <button type="submit" disabled={isBusy || isWrong} aria-busy={isBusy}>
                Save
              </button>
            </div>
          </div>
        )}
      </form>
      {isConflict && editing !== null && newest.version > base.version && (
        <SegmentConflict
          base={base}
          theirs={newest}
          draft={draft}
          onClose={() => setConflict(false)}
          onDiscard={() => {
            setConflict(false)
            onEdit(null)
          }}
          onReapply={next => {
            setConflict(false)
            onEdit({ base: newest, draft: next })
          }}
        />
      )}
    </Problems.Provider>
  )
}

interface ListsProps {
  readonly title: string
  readonly what: string
  readonly place: 'included' | 'excluded'
  readonly lists: readonly ListDraft[]
  readonly onChange: (lists: readonly ListDraft[]) => void
}

function Lists({ title, what, place, lists, onChange }: ListsProps) {
  return (
    <section class="lists" aria-label={title}>
      <h2>
        {title} <small>{what}</small>
      </h2>
      {lists.map((list, i) => (
        <List
          key={i}
          list={list}
          label={title}
          path={`${place}[${i}]`}
          onChange={next => onChange(lists.map((each, j) => (i === j ? next : each)))}
          onRemove={() => onChange(lists.filter((_, j) => i !== j))}
        />
      ))}
      <button type="button" class="secondary outline small" onClick={() => onChange([...lists, NEW_LIST])}>
        {lists.length === 0 ? `+ List of ${title.toLowerCase()}` : '+ Another attribute'}
      </button>
    </section>
  )
}

const FORMS: readonly (readonly [form: Form, what: string])[] = [
  ['text', 'texts'],
  ['number', 'numbers'],
  ['json', 'mixed, as JSON'],
]

interface ListProps {
  readonly list: ListDraft
  readonly label: string
  readonly path: string
  readonly onChange: (list: ListDraft) => void
  readonly onRemove: () => void
}

function List({ list, label, path, onChange, onRemove }: ListProps) {
  const parsed = useMemo(() => parseList(list), [list.lines, list.form])
  const count = parsed.values.length
  return (
    <div class="list" role="group" aria-label={`${label}: ${list.attribute === '' ? 'targetingKey' : list.attribute}`}>
      <div class="two">
        <label>
          Attribute
          <input
            type="text"
            spellcheck={false}
            autocapitalize="off"
            placeholder="targetingKey, or /account/id"
            value={list.attribute}
            onInput={event => onChange({ ...list, attribute: event.currentTarget.value })}
          />
        </label>
        <label>
          Its values are
          <select
            value={list.form}
            onChange={event => {
              const form = FORMS.find(([each]) => each === event.currentTarget.value)?.[0] ?? 'text'
              // What can be read as the other form is written in it; the rest stays as it was typed, and is said to be wrong.
              onChange({ ...list, form, lines: form === 'json' && parsed.wrong === null ? linesOfValues(parsed.values, form) : list.lines })
            }}
          >
            {FORMS.map(([form, what]) => (
              <option key={form} value={form}>
                {what}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          class="plain"
          aria-label={`Remove the list of ${list.attribute === '' ? 'targetingKey' : list.attribute}`}
          onClick={onRemove}
        >
          ✕
        </button>
      </div>
      <label>
        Values, one in a line
        <textarea
          rows={Math.min(8, Math.max(3, count + 1))}
          spellcheck={false}
          autocapitalize="off"
          aria-invalid={parsed.wrong === null ? undefined : true}
          value={list.lines}
          onInput={event => onChange({ ...list, lines: event.currentTarget.value })}
        />
      </label>
      <small role="status">
        {parsed.wrong === null ? (
          <>
            {count.toLocaleString('en')} {count === 1 ? 'value' : 'values'}
            {parsed.duplicates > 0 && `, ${parsed.duplicates.toLocaleString('en')} of them twice and kept once`}
          </>
        ) : (
          <span class="bad">✕ {parsed.wrong}</span>
        )}
      </small>
      <ProblemsAt path={path} />
    </div>
  )
}

interface RulesProps {
  readonly rules: Segment['rules']
  readonly segments: readonly string[]
  readonly onChange: (rules: Segment['rules']) => void
}

function Rules({ rules, segments, onChange }: RulesProps) {
  const set = (i: number, rule: Segment['rules'][number]): void => onChange(rules.map((each, j) => (i === j ? rule : each)))
  return (
    <section class="lists" aria-label="Rules">
      <h2>
        Rules <small>In it is whom any of these matches.</small>
      </h2>
      {rules.map((rule, i) => (
        <div key={rule.id} class="list" role="group" aria-label={`Rule ${rule.name ?? rule.id}`}>
          <div class="two">
            <label>
              Name of the rule <small>{rule.id}</small>
              <input
                type="text"
                value={rule.name ?? ''}
                onInput={event => {
                  const { name: _, ...rest } = rule
                  const { value } = event.currentTarget
                  set(i, value === '' ? rest : { ...rest, name: value })
                }}
              />
            </label>
            <button
              type="button"
              class="plain"
              aria-label={`Remove rule ${rule.name ?? rule.id}`}
              onClick={() => onChange(rules.filter((_, j) => i !== j))}
            >
              ✕
            </button>
          </div>
          <Clauses
            clauses={rule.clauses}
            path={`rules[${i}].clauses`}
            segments={segments}
            onChange={clauses => set(i, { ...rule, clauses })}
          />
        </div>
      ))}
      <button
        type="button"
        class="secondary outline small"
        onClick={() => onChange([...rules, { id: freeId(rules), clauses: [{ attribute: 'targetingKey', op: 'in', values: [] }] }])}
      >
        + Rule
      </button>
    </section>
  )
}

function freeId(rules: Segment['rules']): string {
  for (let i = rules.length + 1; ; i++) if (!rules.some(({ id }) => id === `r${i}`)) return `r${i}`
}
