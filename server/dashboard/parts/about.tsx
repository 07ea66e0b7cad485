/** What a flag is, in every environment alike: variations and values, who owns it, where its runbook is; and editing that. */
import { useState } from 'preact/hooks'
import type { Flag, FlagDefinitionPatch, Variation } from '../../../schemas/flag.ts'
import { at, call, type Failure, inProject } from '../api.ts'
import { isSame } from '../merge.ts'
import { mayInProject } from '../session.ts'
import { linkTo } from '../route.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import { Problems, ProblemsAt } from './problems.tsx'
import { failureOf } from './save.tsx'
import { indexOf } from './serve.tsx'

/** Values longer than this are folded. */
const VALUE_SHOWN = 60

export interface AboutProps {
  readonly flag: Flag
  /** Of all environments together; null when it is not known, and then it cannot be edited. */
  readonly version: number | null
  readonly onChanged: () => void
}

export function About({ flag, version, onChanged }: AboutProps) {
  const [isEditing, setEditing] = useState(false)
  const { kind, owner, tags = [], runbook, description, temporary, clientVisible, variations, metadata } = flag
  return (
    <section class="card about" aria-labelledby="about">
      <h2 id="about">
        What it is
        {version !== null && mayInProject('editor') && (
          <button type="button" class="secondary outline small" onClick={() => setEditing(true)}>
            Edit
          </button>
        )}
      </h2>
      {description !== undefined && <p>{description}</p>}
      <dl>
        <dt>Kind</dt>
        <dd>
          {kind}, {(temporary ?? kind === 'release') ? 'to be removed one day' : 'permanent'}
        </dd>
        <dt>Owner</dt>
        <dd>{owner === undefined ? <em class="quiet">nobody</em> : <a href={linkTo('flags', [], { query: { owner } })}>{owner}</a>}</dd>
        {tags.length > 0 && (
          <>
            <dt>Tags</dt>
            <dd>
              {tags.map(tag => (
                <a key={tag} class="tag" href={linkTo('flags', [], { query: { tag } })}>
                  {tag}
                </a>
              ))}
            </dd>
          </>
        )}
        <dt>Runbook</dt>
        <dd>
          {runbook === undefined ? (
            <em class="quiet">none</em>
          ) : /^https?:/.test(runbook) ? (
            <a href={runbook} target="_blank" rel="noreferrer noopener">
              {runbook}
            </a>
          ) : (
            <code>{runbook}</code>
          )}
        </dd>
        {clientVisible === true && (
          <>
            <dt>Browsers</dt>
            <dd>may evaluate it</dd>
          </>
        )}
        {metadata !== undefined && (
          <>
            <dt>Metadata</dt>
            <dd>
              <code>{JSON.stringify(metadata)}</code>
            </dd>
          </>
        )}
      </dl>
      <h3>Variations</h3>
      <ul class="variations">
        {variations.map(({ key, value, name, description: more }) => (
          <li key={key}>
            <span class="variation">
              <i class={`swatch v${indexOf(flag, key)}`} aria-hidden="true" /> <strong>{key}</strong>
            </span>{' '}
            <Value value={value} /> {name !== undefined && <small>{name}</small>}
            {more !== undefined && <p class="hint">{more}</p>}
          </li>
        ))}
      </ul>
      {isEditing && version !== null && (
        <Definition
          flag={flag}
          version={version}
          onClose={() => setEditing(false)}
          onSaved={() => {
            setEditing(false)
            onChanged()
          }}
        />
      )}
    </section>
  )
}

export function Value({ value }: { readonly value: unknown }) {
  const text = JSON.stringify(value)
  if (text.length <= VALUE_SHOWN) return <code>{text}</code>
  return (
    <details>
      <summary>
        <code>{text.slice(0, VALUE_SHOWN)}…</code>
      </summary>
      <pre>{JSON.stringify(value, null, 2)}</pre>
    </details>
  )
}

interface DefinitionProps {
  readonly flag: Flag
  readonly version: number
  readonly onSaved: () => void
  readonly onClose: () => void
}

function Definition({ flag, version, onSaved, onClose }: DefinitionProps) {
  const [fields, setFields] = useState({
    name: flag.name ?? '',
    description: flag.description ?? '',
    owner: flag.owner ?? '',
    tags: (flag.tags ?? []).join(', '),
    runbook: flag.runbook ?? '',
    temporary: flag.temporary ?? flag.kind === 'release',
    clientVisible: flag.clientVisible ?? false,
    comment: '',
  })
  const [variations, setVariations] = useState(() => rowsOf(flag.variations))
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const parsed = parseRows(variations)
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (parsed === null) return
    setBusy(true)
    const { tags, temporary, clientVisible, comment, ...texts } = fields
    const wanted: FlagDefinitionPatch = {
      ...Object.fromEntries(Object.entries(texts).map(([field, text]) => [field, text.trim() === '' ? null : text.trim()])),
      tags: tags.split(',').flatMap(tag => (tag.trim() === '' ? [] : tag.trim())),
      temporary,
      clientVisible,
      variations: parsed,
    }
    const usual: Record<string, unknown> = { tags: [], temporary: flag.kind === 'release', clientVisible: false }
    const was = (field: string): unknown => (flag as unknown as Record<string, unknown>)[field] ?? usual[field] ?? null
    const body = Object.fromEntries(Object.entries(wanted).filter(([field, value]) => !isSame(value, was(field))))
    try {
      await call(inProject(at`/flags/${flag.key}`), {
        method: 'PATCH',
        body: { ...body, ...(comment === '' ? {} : { comment }) },
        ifMatch: version,
      })
      onSaved()
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }
  const text = (field: 'name' | 'owner' | 'tags' | 'runbook' | 'comment', title: string, placeholder = '') => (
    <label>
      {title}
      <input
        type="text"
        placeholder={placeholder}
        value={fields[field]}
        onInput={event => setFields({ ...fields, [field]: event.currentTarget.value })}
      />
      <ProblemsAt path={field} />
    </label>
  )
  return (
    <Dialog title={`What ${flag.key} is, in every environment`} onClose={onClose} isWide>
      <Problems.Provider value={failure?.details ?? []}>
        <form onSubmit={event => void save(event)}>
          <div class="two">
            {text('name', 'Name')}
            {text('owner', 'Owner', 'a team or a person')}
          </div>
          <label>
            Description
            <textarea
              rows={2}
              value={fields.description}
              onInput={event => setFields({ ...fields, description: event.currentTarget.value })}
            />
          </label>
          <div class="two">
            {text('tags', 'Tags, with commas between', 'team:checkout, dependency:payments-vendor')}
            {text('runbook', 'Runbook', 'https://…')}
          </div>
          <fieldset class="two">
            <label>
              <input
                type="checkbox"
                checked={fields.temporary}
                onChange={event => setFields({ ...fields, temporary: event.currentTarget.checked })}
              />
              To be removed one day
            </label>
            <label>
              <input
                type="checkbox"
                checked={fields.clientVisible}
                onChange={event => setFields({ ...fields, clientVisible: event.currentTarget.checked })}
              />
              Browsers may evaluate it
            </label>
          </fieldset>
          <VariationRows rows={variations} onChange={setVariations} />
          {text('comment', 'Comment', 'Why: it is what the next person reads')}
          <Problem failure={failure} />
          <div class="presses">
            <button type="button" class="secondary" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" aria-busy={isBusy} disabled={isBusy || parsed === null}>
              Save
            </button>
          </div>
        </form>
      </Problems.Provider>
    </Dialog>
  )
}

export interface VariationRow {
  readonly key: string
  /** JSON as it is typed. */
  readonly text: string
  readonly more: Omit<Variation, 'key' | 'value'>
}

export function rowsOf(variations: readonly Variation[]): VariationRow[] {
  return variations.map(({ key, value, ...more }) => ({ key, text: JSON.stringify(value), more }))
}

/** Null while some text is no JSON. */
export function parseRows(rows: readonly VariationRow[]): Variation[] | null {
  try {
    return rows.map(({ key, text, more }) => ({ key: key.trim(), value: JSON.parse(text) as Variation['value'], ...more }))
  } catch {
    return null
  }
}

export function VariationRows({
  rows,
  onChange,
}: {
  readonly rows: readonly VariationRow[]
  readonly onChange: (rows: VariationRow[]) => void
}) {
  const replace = (i: number, some: Partial<VariationRow>): void => onChange(rows.map((row, j) => (j === i ? { ...row, ...some } : row)))
  return (
    <fieldset class="variationrows">
      <legend>Variations: key and value as JSON</legend>
      {rows.map(({ key, text }, i) => {
        const isJson = parseRows([rows[i]!]) !== null
        return (
          <div key={i} class="field">
            <input
              type="text"
              class="key"
              aria-label={`Key of variation ${i + 1}`}
              value={key}
              onInput={event => replace(i, { key: event.currentTarget.value })}
            />
            <textarea
              rows={text.length > 60 ? 3 : 1}
              aria-label={`Value of ${key} as JSON`}
              aria-invalid={isJson ? undefined : true}
              spellcheck={false}
              value={text}
              onInput={event => replace(i, { text: event.currentTarget.value })}
            />
            <button
              type="button"
              class="plain small"
              aria-label={`Remove variation ${key}`}
              onClick={() => onChange(rows.filter((_, j) => j !== i))}
            >
              ✕
            </button>
            {!isJson && <small class="bad">✕ no JSON: a text stands in quotes</small>}
            <ProblemsAt path={`variations[${i}]`} />
          </div>
        )
      })}
      <button type="button" class="secondary outline small" onClick={() => onChange([...rows, { key: '', text: '', more: {} }])}>
        + Variation
      </button>
    </fieldset>
  )
}
