/** What would this context get, and why: every step with pass or fail, as it stands now or stood at a moment. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { Json, Scalar } from '../../../schemas/json.ts'
import { clauseText } from '../../../schemas/words.ts'
import type { Clause } from '../../../schemas/clause.ts'
import { call, type Failure, inEnvironment } from '../api.ts'
import { attributeWords } from '../operators.ts'
import { linkTo, route } from '../route.ts'
import { places } from '../session.ts'
import { Value } from './about.tsx'
import { Problem } from './problem.tsx'
import { failureOf } from './save.tsx'

interface ClauseStep {
  readonly attribute?: string
  readonly op: string
  readonly values: readonly Json[]
  readonly negate?: true
  readonly ignoreCase?: true
  readonly value?: Json
  readonly matched: boolean
  readonly note?: string
}

interface Step {
  readonly step: string
  readonly matched: boolean
  readonly text: string
  readonly id?: string
  readonly clauses?: readonly ClauseStep[]
  readonly steps?: readonly Step[]
}

interface Explanation {
  readonly value: Json
  readonly variation: string | null
  readonly reason: string
  readonly error?: string
  readonly revision: number
  readonly at: string | null
  readonly steps: readonly Step[]
}

const REASONS: Readonly<Record<string, string>> = {
  KILLED: 'a kill covers this context',
  OFF: 'the flag is off',
  PREREQUISITE_FAILED: 'a flag that it needs does not yield what it should',
  TARGET_MATCH: 'it is listed as a target',
  RULE_MATCH: 'a rule matches',
  FALLTHROUGH: 'nothing else decided',
  ERROR: 'it could not be decided',
}

export interface PlaygroundProps {
  readonly flag: Flag
  readonly hasDraft: boolean
}

/** Kept while the page is open: the same context is tried again after an edit, and on other flags. */
let lastText = '{\n  "targetingKey": "user-1"\n}'

export function Playground({ flag, hasDraft }: PlaygroundProps) {
  const [text, setText] = useState(() => route.peek().query.get('context') ?? lastText)
  const [when, setWhen] = useState('')
  const [answers, setAnswers] = useState<readonly (readonly [environment: string, answer: Explanation | Failure])[] | null>(null)
  const [isBusy, setBusy] = useState(false)
  const context = read(text)
  const { project, environment } = route.value
  const write = (next: string): void => {
    lastText = next
    setText(next)
  }
  const run = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (typeof context === 'string') return
    setBusy(true)
    const others = places.value.filter(each => each.project === project && each.environment !== environment).map(each => each.environment)
    const point = pointOf(when)
    const ask = async (name: string): Promise<readonly [string, Explanation | Failure]> => {
      try {
        const path = inEnvironment('/explain', { project, environment: name })
        return [name, await call<Explanation>(path, { method: 'POST', body: { flag: flag.key, context, ...point } })]
      } catch (error) {
        return [name, failureOf(error)]
      }
    }
    // Revisions are counted in each environment by itself: of a revision the others know nothing.
    setAnswers(await Promise.all([environment, ...('revision' in point ? [] : others)].map(ask)))
    setBusy(false)
  }
  const [own, ...others] = answers ?? []
  return (
    <div class="columns play">
      <form onSubmit={event => void run(event)}>
        <h2>Context</h2>
        {typeof context !== 'string' && <Fields flag={flag} context={context} onChange={next => write(JSON.stringify(next, null, 2))} />}
        <label>
          As JSON
          <textarea
            class="json"
            rows={Math.max(5, text.split('\n').length)}
            spellcheck={false}
            aria-invalid={typeof context === 'string' ? true : undefined}
            value={text}
            onInput={event => write(event.currentTarget.value)}
            onKeyDown={event => {
              if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void run(event)
            }}
          />
          {typeof context === 'string' && <small class="bad">✕ {context}</small>}
        </label>
        <label>
          As it stood at
          <input
            type="text"
            placeholder="now; or a revision, or a moment as in 2026-11-21T03:12:00Z"
            spellcheck={false}
            value={when}
            onInput={event => setWhen(event.currentTarget.value)}
          />
        </label>
        <button type="submit" aria-busy={isBusy} disabled={isBusy || typeof context === 'string'}>
          What does it get?
        </button>
        {hasDraft && <p class="warn">▲ Your edits are not saved: what is asked is what stands on the server.</p>}
      </form>
      <section aria-live="polite" aria-label="Answer">
        {own === undefined && <p class="hint">The answer comes here: the value, the reason, and every step that was looked at.</p>}
        {own !== undefined && <Answer answer={own[1]} />}
        {others.length > 0 && (
          <>
            <h3>In other environments</h3>
            <ul class="standings">
              {others.map(([name, answer]) => (
                <li key={name}>
                  <a href={linkTo('flags', [flag.key, 'try'], { environment: name })}>{name}</a>
                  <span>{'steps' in answer ? <Value value={answer.value} /> : '–'}</span>
                  <small>{'steps' in answer ? answer.reason : answer.code}</small>
                </li>
              ))}
            </ul>
          </>
        )}
      </section>
    </div>
  )
}

function Answer({ answer }: { readonly answer: Explanation | Failure }) {
  if (!('steps' in answer)) return <Problem failure={answer} />
  const { value, variation, reason, error, revision, steps } = answer
  return (
    <>
      <div class="answer">
        <p class="value">
          <Value value={value} />
        </p>
        <p>
          {variation !== null && (
            <>
              variation <strong>{variation}</strong>,{' '}
            </>
          )}
          <code>
            {reason}
            {error === undefined ? '' : ` ${error}`}
          </code>
          : {REASONS[reason] ?? 'decided otherwise'}. <small>revision {revision}</small>
        </p>
      </div>
      <Steps steps={steps} />
    </>
  )
}

function Steps({ steps }: { readonly steps: readonly Step[] }) {
  return (
    <ol class="trail">
      {steps.map((step, i) => (
        <li key={i} class={step.matched ? 'pass' : 'fail'}>
          <Verdict isPass={step.matched} words={wordsOf(step)} /> {step.text}
          {step.clauses !== undefined && step.clauses.length > 0 && (
            <ul>
              {step.clauses.map((clause, j) => (
                <li key={j}>
                  <Verdict isPass={clause.matched} words={['pass', 'fail']} /> {clauseText(clause as unknown as Clause)}
                  {clause.op !== 'segment' && (
                    <small>
                      {' '}
                      — {attributeWords(clause.attribute)} is {clause.value === undefined ? 'missing' : JSON.stringify(clause.value)}
                    </small>
                  )}
                  {clause.note !== undefined && <small> ({clause.note})</small>}
                </li>
              ))}
            </ul>
          )}
          {step.steps !== undefined && step.steps.length > 0 && <Steps steps={step.steps} />}
        </li>
      ))}
    </ol>
  )
}

/** A kill, target or rule that does not match has not failed: it was passed over. */
function wordsOf({ step }: Step): readonly [string, string] {
  return step === 'enabled' || step === 'prerequisite' || step === 'rollout' ? ['pass', 'fail'] : ['decides', 'passed over']
}

function Verdict({ isPass, words }: { readonly isPass: boolean; readonly words: readonly [string, string] }) {
  return (
    <span class={`judged ${isPass ? 'good' : 'quiet'}`}>
      <span aria-hidden="true">{isPass ? '✓' : '✕'}</span> {words[isPass ? 0 : 1]}
    </span>
  )
}

interface FieldsProps {
  readonly flag: Flag
  readonly context: Readonly<Record<string, Json>>
  readonly onChange: (context: Readonly<Record<string, Json>>) => void
}

/** A field for each attribute that the flag looks at: nobody has to remember their names. */
function Fields({ flag, context, onChange }: FieldsProps) {
  return (
    <div class="fields">
      {attributesOf(flag).map(({ name, proposed }) => {
        const value = valueAt(context, name)
        return (
          <label key={name} class="field">
            <span>
              <code>{name}</code>
            </span>
            <input
              type="text"
              placeholder="missing"
              list={`values of ${name}`}
              spellcheck={false}
              value={value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)}
              onInput={event => onChange(withValue(context, name, valueOf(event.currentTarget.value, proposed)))}
            />
            <datalist id={`values of ${name}`}>
              {proposed.slice(0, 20).map(each => (
                <option key={String(each)} value={String(each)} />
              ))}
            </datalist>
          </label>
        )
      })}
    </div>
  )
}

/** What is typed is of the type that the flag compares it with: text, unless numbers or true and false stand there. */
function valueOf(text: string, proposed: readonly Scalar[]): Json | undefined {
  if (text === '') return undefined
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text) as Json
    } catch {
      return text
    }
  }
  const types = new Set(proposed.map(each => typeof each))
  if (types.has('number') && text.trim() !== '' && Number.isFinite(Number(text))) return Number(text)
  if (types.has('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

function attributesOf({ rules, targets, fallthrough, kills }: Flag): { name: string; proposed: Scalar[] }[] {
  const found = new Map<string, Scalar[]>([['targetingKey', []]])
  const add = (name: string | undefined, values: readonly Scalar[]): void => {
    const known = found.get(attributeWords(name)) ?? []
    found.set(attributeWords(name), [...known, ...values.slice(0, 20)])
  }
  for (const { clauses } of [...kills, ...rules]) {
    for (const { attribute, op, values } of clauses) if (op !== 'segment') add(attribute, op === 'exists' || op === 'matches' ? [] : values)
  }
  for (const { attribute, values } of targets) add(attribute, values)
  for (const serve of [fallthrough, ...rules.map(rule => rule.serve)]) if ('rollout' in serve) add(serve.rollout.by, [])
  return [...found].slice(0, 20).map(([name, proposed]) => ({ name, proposed: [...new Set(proposed)] }))
}

function partsOf(name: string): string[] {
  if (!name.startsWith('/')) return [name]
  return name
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function valueAt(context: Json, name: string): Json | undefined {
  let value: Json | undefined = context
  for (const part of partsOf(name)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Readonly<Record<string, Json>>)[part]
  }
  return value
}

function withValue(context: Readonly<Record<string, Json>>, name: string, value: Json | undefined): Readonly<Record<string, Json>> {
  const set = (object: Json | undefined, [part = '', ...rest]: readonly string[]): Json | undefined => {
    const own = typeof object === 'object' && object !== null && !Array.isArray(object) ? { ...(object as Record<string, Json>) } : {}
    const next = rest.length === 0 ? value : set(own[part], rest)
    if (next === undefined) delete own[part]
    else own[part] = next
    return rest.length > 0 || Object.keys(own).length > 0 ? own : undefined
  }
  return (set(context, partsOf(name)) ?? {}) as Readonly<Record<string, Json>>
}

function read(text: string): Readonly<Record<string, Json>> | string {
  try {
    const value = JSON.parse(text) as Json
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, Json>>)
      : 'A context is an object, as in { "targetingKey": "user-1" }.'
  } catch (error) {
    return `This is no JSON: ${error instanceof Error ? error.message : String(error)}.`
  }
}

function pointOf(text: string): { revision: number } | { at: string } | Record<string, never> {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === 'now') return {}
  return /^\d+$/.test(trimmed) ? { revision: Number(trimmed) } : { at: trimmed }
}
