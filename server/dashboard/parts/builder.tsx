/** What a flag does in an environment, to be read and edited in the order in which it is evaluated: prerequisites, targets, rules, otherwise. */
import { useEffect, useState } from 'preact/hooks'
import type { Flag, Prerequisite, Rule, Target } from '../../../schemas/flag.ts'
import { clauseText } from '../../../schemas/words.ts'
import { attributeWords } from '../operators.ts'
import type { Settings } from '../merge.ts'
import { linkTo } from '../route.ts'
import { Clauses } from './clause.tsx'
import { Graph } from './graph.tsx'
import { ProblemsAt, useProblems } from './problems.tsx'
import { Served, ServeEditor, Variation } from './serve.tsx'
import { Values } from './values.tsx'

export interface BuilderProps {
  readonly settings: Settings
  readonly flag: Flag
  /** Of the environment: for prerequisites and the names of attributes. */
  readonly flags: readonly Flag[]
  readonly segments: readonly string[]
  readonly canEdit: boolean
  readonly onChange: (settings: Settings) => void
}

export function Builder({ settings, flag, flags, segments, canEdit, onChange }: BuilderProps) {
  const set = (some: Partial<Settings>): void => onChange({ ...settings, ...some })
  return (
    <div class="builder">
      <datalist id="attributes">
        {attributesOf(flags).map(name => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <section aria-labelledby="needs">
        <h2 id="needs">Prerequisites</h2>
        <Prerequisites
          prerequisites={settings.prerequisites}
          flag={flag}
          flags={flags}
          canEdit={canEdit}
          onChange={prerequisites => set({ prerequisites })}
        />
        <Graph flag={{ ...flag, ...settings }} flags={flags} />
      </section>
      <section aria-labelledby="targets">
        <h2 id="targets">Targets</h2>
        <Targets targets={settings.targets} flag={flag} canEdit={canEdit} onChange={targets => set({ targets })} />
      </section>
      <section aria-labelledby="rules">
        <h2 id="rules">Rules</h2>
        <Rules rules={settings.rules} flag={flag} segments={segments} canEdit={canEdit} onChange={rules => set({ rules })} />
      </section>
      <section aria-labelledby="otherwise">
        <h2 id="otherwise">Otherwise</h2>
        {canEdit ? (
          <ServeEditor
            label="serve"
            serve={settings.fallthrough}
            flag={flag}
            path="fallthrough"
            onChange={fallthrough => set({ fallthrough })}
          />
        ) : (
          <p>
            serve <Served serve={settings.fallthrough} flag={flag} />
          </p>
        )}
        <label class="field">
          <span>and when it is off</span>
          <select disabled={!canEdit} value={settings.offVariation} onChange={event => set({ offVariation: event.currentTarget.value })}>
            {flag.variations.map(({ key }) => (
              <option key={key} value={key}>
                {key}
              </option>
            ))}
          </select>
        </label>
        <ProblemsAt path="offVariation" />
      </section>
    </div>
  )
}

interface PartProps {
  readonly flag: Flag
  readonly canEdit: boolean
}

function Prerequisites({
  prerequisites,
  flag,
  flags,
  canEdit,
  onChange,
}: PartProps & {
  readonly prerequisites: readonly Prerequisite[]
  readonly flags: readonly Flag[]
  readonly onChange: (prerequisites: Prerequisite[]) => void
}) {
  const [wanted, setWanted] = useState('')
  const candidates = flags.filter(({ key }) => key !== flag.key && !prerequisites.some(each => each.flag === key))
  const add = (key: string): void => {
    const parent = candidates.find(each => each.key === key)
    if (parent === undefined) return
    setWanted('')
    const first =
      parent.variations.find(({ key: name }) => name === 'on') ?? parent.variations.find(({ key: name }) => name !== parent.offVariation)
    onChange([...prerequisites, { flag: key, variations: [(first ?? parent.variations[0]!).key] }])
  }
  const replace = (i: number, next: Prerequisite): void => onChange(prerequisites.map((each, j) => (j === i ? next : each)))
  return (
    <>
      {prerequisites.length === 0 && <p class="hint">None: it depends on no other flag.</p>}
      {prerequisites.map((prerequisite, i) => {
        const parent = flags.find(({ key }) => key === prerequisite.flag)
        const names = [...new Set([...(parent?.variations.map(({ key }) => key) ?? []), ...prerequisite.variations])]
        return (
          <fieldset key={prerequisite.flag} class="item" aria-label={`Prerequisite ${prerequisite.flag}`}>
            <a href={linkTo('flags', [prerequisite.flag])}>{prerequisite.flag}</a>
            <span>must be</span>
            {names.map(name => (
              <label key={name}>
                <input
                  type="checkbox"
                  disabled={!canEdit}
                  checked={prerequisite.variations.includes(name)}
                  onChange={event =>
                    replace(i, {
                      ...prerequisite,
                      variations: event.currentTarget.checked
                        ? [...prerequisite.variations, name]
                        : prerequisite.variations.filter(other => other !== name),
                    })
                  }
                />
                {name}
              </label>
            ))}
            {canEdit && (
              <button
                type="button"
                class="plain small"
                aria-label={`Remove the prerequisite ${prerequisite.flag}`}
                onClick={() => onChange(prerequisites.filter((_, j) => j !== i))}
              >
                ✕
              </button>
            )}
            <ProblemsAt path={`prerequisites[${i}]`} />
          </fieldset>
        )
      })}
      {canEdit && (
        <div class="field">
          <input
            type="text"
            aria-label="Flag that is needed first"
            placeholder="key of a flag that is needed first"
            list="candidates"
            spellcheck={false}
            value={wanted}
            onInput={event => setWanted(event.currentTarget.value)}
            onKeyDown={event => {
              if (event.key !== 'Enter') return
              event.preventDefault()
              add(wanted)
            }}
          />
          <datalist id="candidates">
            {candidates.map(({ key }) => (
              <option key={key} value={key} />
            ))}
          </datalist>
          <button
            type="button"
            class="secondary outline small"
            disabled={!candidates.some(({ key }) => key === wanted)}
            onClick={() => add(wanted)}
          >
            + Prerequisite
          </button>
        </div>
      )}
    </>
  )
}

function Targets({
  targets,
  flag,
  canEdit,
  onChange,
}: PartProps & { readonly targets: readonly Target[]; readonly onChange: (targets: Target[]) => void }) {
  const replace = (i: number, next: Target): void => onChange(targets.map((each, j) => (j === i ? next : each)))
  return (
    <>
      {targets.length === 0 && <p class="hint">None: nobody is listed by name.</p>}
      {targets.map((target, i) =>
        canEdit ? (
          <fieldset key={i} class="item" aria-label={`Target ${i + 1}`}>
            <input
              type="text"
              class="attribute"
              aria-label="Attribute"
              placeholder="targetingKey"
              list="attributes"
              spellcheck={false}
              value={target.attribute ?? ''}
              onInput={event => {
                const attribute = event.currentTarget.value
                const { attribute: _, ...rest } = target
                replace(i, attribute === '' ? rest : { ...rest, attribute })
              }}
            />
            <span>is one of</span>
            <Values
              label="Value to add"
              values={target.values}
              takes="scalar"
              example="a-17"
              onChange={values => replace(i, { ...target, values })}
            />
            <label class="field">
              <span>serve</span>
              <select value={target.variation} onChange={event => replace(i, { ...target, variation: event.currentTarget.value })}>
                {flag.variations.map(({ key }) => (
                  <option key={key} value={key}>
                    {key}
                  </option>
                ))}
              </select>
            </label>
            <button
              type="button"
              class="plain small"
              aria-label={`Remove target ${i + 1}`}
              onClick={() => onChange(targets.filter((_, j) => j !== i))}
            >
              ✕
            </button>
            <ProblemsAt path={`targets[${i}]`} />
          </fieldset>
        ) : (
          <p key={i}>
            {clauseText({ attribute: attributeWords(target.attribute), op: 'in', values: target.values })} →{' '}
            <Variation name={target.variation} flag={flag} />
          </p>
        ),
      )}
      {canEdit && (
        <button
          type="button"
          class="secondary outline small"
          onClick={() => onChange([...targets, { values: [], variation: flag.variations[0]!.key }])}
        >
          + Target
        </button>
      )}
    </>
  )
}

function Rules({
  rules,
  flag,
  segments,
  canEdit,
  onChange,
}: PartProps & { readonly rules: readonly Rule[]; readonly segments: readonly string[]; readonly onChange: (rules: Rule[]) => void }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const [dragged, setDragged] = useState<number | null>(null)
  const [over, setOver] = useState<number | null>(null)
  const [said, setSaid] = useState('')
  const move = (from: number, to: number): void => {
    if (to < 0 || to >= rules.length || from === to) return
    const next = [...rules]
    const [rule] = next.splice(from, 1)
    next.splice(to, 0, rule!)
    onChange(next)
    setSaid(`Rule ${titleOf(rule!)} is now number ${to + 1} of ${rules.length}.`)
  }
  const toggle = (id: string): void => {
    const next = new Set(open)
    if (!next.delete(id)) next.add(id)
    setOpen(next)
  }
  const add = (): void => {
    const id = freeId(rules)
    onChange([
      ...rules,
      { id, clauses: [{ attribute: 'targetingKey', op: 'in', values: [] }], serve: { variation: flag.variations[0]!.key } },
    ])
    setOpen(new Set([...open, id]))
  }
  return (
    <>
      {rules.length === 0 && <p class="hint">None: everybody gets what stands under “Otherwise”.</p>}
      <ol class="rules">
        {rules.map((rule, i) => (
          <li
            key={rule.id}
            class={`rule ${over === i ? 'over' : ''}`}
            onDragOver={event => {
              if (dragged === null) return
              event.preventDefault()
              setOver(i)
            }}
            onDrop={event => {
              event.preventDefault()
              if (dragged !== null) move(dragged, i)
              setDragged(null)
              setOver(null)
            }}
          >
            <RuleHead
              rule={rule}
              i={i}
              count={rules.length}
              canEdit={canEdit}
              isOpen={open.has(rule.id)}
              onMove={to => move(i, to)}
              onToggle={() => toggle(rule.id)}
              onRemove={() => onChange(rules.filter((_, j) => j !== i))}
              onDrag={isStart => {
                setDragged(isStart ? i : null)
                if (!isStart) setOver(null)
              }}
            />
            <RuleBody
              rule={rule}
              flag={flag}
              path={`rules[${i}]`}
              segments={segments}
              isOpen={canEdit && open.has(rule.id)}
              onOpen={() => setOpen(before => new Set([...before, rule.id]))}
              onChange={next => onChange(rules.map((each, j) => (j === i ? next : each)))}
            />
          </li>
        ))}
      </ol>
      <span class="sr" role="status">
        {said}
      </span>
      {canEdit && (
        <button type="button" class="secondary outline small" onClick={add}>
          + Rule
        </button>
      )}
    </>
  )
}

interface RuleHeadProps {
  readonly rule: Rule
  readonly i: number
  readonly count: number
  readonly canEdit: boolean
  readonly isOpen: boolean
  readonly onMove: (to: number) => void
  readonly onToggle: () => void
  readonly onRemove: () => void
  readonly onDrag: (isStart: boolean) => void
}

function RuleHead({ rule, i, count, canEdit, isOpen, onMove, onToggle, onRemove, onDrag }: RuleHeadProps) {
  const title = titleOf(rule)
  return (
    <div class="head">
      {canEdit && (
        <span
          class="handle"
          title="Drag to another place"
          aria-hidden="true"
          draggable
          onDragStart={event => {
            event.dataTransfer?.setData('text/plain', rule.id)
            onDrag(true)
          }}
          onDragEnd={() => onDrag(false)}
        >
          ⠿
        </span>
      )}
      <span class="amount">{i + 1}</span>
      <strong class="ruletitle">{title}</strong>
      {canEdit && (
        <span class="tools">
          <button type="button" class="plain small" aria-label={`Move rule ${title} up`} disabled={i === 0} onClick={() => onMove(i - 1)}>
            ↑
          </button>
          <button
            type="button"
            class="plain small"
            aria-label={`Move rule ${title} down`}
            disabled={i === count - 1}
            onClick={() => onMove(i + 1)}
          >
            ↓
          </button>
          <button type="button" class="plain small" aria-expanded={isOpen} aria-label={`Edit rule ${title}`} onClick={onToggle}>
            {isOpen ? 'Done' : 'Edit'}
          </button>
          <button type="button" class="plain small" aria-label={`Remove rule ${title}`} onClick={onRemove}>
            ✕
          </button>
        </span>
      )}
    </div>
  )
}

interface RuleBodyProps {
  readonly rule: Rule
  readonly flag: Flag
  readonly path: string
  readonly segments: readonly string[]
  readonly isOpen: boolean
  readonly onOpen: () => void
  readonly onChange: (rule: Rule) => void
}

function RuleBody({ rule, flag, path, segments, isOpen, onOpen, onChange }: RuleBodyProps) {
  // What the server refused must be seen where it can be put right.
  const problems = useProblems(path)
  useEffect(() => {
    if (problems.length > 0) onOpen()
  }, [problems.length > 0])
  if (!isOpen) {
    return (
      <div class="read">
        {rule.description !== undefined && <p class="hint">{rule.description}</p>}
        <p>
          {rule.clauses.length === 0 ? (
            'everyone'
          ) : (
            <>
              {rule.clauses.map((clause, i) => (
                <span key={i} class="sentence">
                  <span class="lead">{i === 0 ? 'if' : 'and'}</span> {clauseText(clause)}
                </span>
              ))}
            </>
          )}
          <span class="sentence">
            <span class="lead">serve</span> <Served serve={rule.serve} flag={flag} />
          </span>
        </p>
      </div>
    )
  }
  const setText = (field: 'name' | 'description', text: string): void => {
    const { [field]: _, ...rest } = rule
    onChange(text === '' ? rest : { ...rest, [field]: text })
  }
  return (
    <div class="edit">
      <label class="field">
        <span>name</span>
        <input
          type="text"
          placeholder={`for people; the rule's id is ${rule.id}`}
          value={rule.name ?? ''}
          onInput={event => setText('name', event.currentTarget.value)}
        />
      </label>
      <Clauses clauses={rule.clauses} path={`${path}.clauses`} segments={segments} onChange={clauses => onChange({ ...rule, clauses })} />
      <ServeEditor label="serve" serve={rule.serve} flag={flag} path={`${path}.serve`} onChange={serve => onChange({ ...rule, serve })} />
      <ProblemsAt path={`${path}.id`} />
      <ProblemsAt path={`${path}.name`} />
    </div>
  )
}

function titleOf({ name, id }: Rule): string {
  return name ?? id
}

function freeId(rules: readonly Rule[]): string {
  for (let i = rules.length + 1; ; i++) if (!rules.some(({ id }) => id === `r${i}`)) return `r${i}`
}

/** The attributes that anything here looks at, the usual one first. */
function attributesOf(flags: readonly Flag[]): string[] {
  const names = new Set<string>(['targetingKey'])
  for (const { rules, targets, fallthrough, kills } of flags) {
    for (const { clauses } of [...rules, ...kills]) for (const { attribute } of clauses) if (attribute !== undefined) names.add(attribute)
    for (const { attribute } of targets) if (attribute !== undefined) names.add(attribute)
    for (const serve of [fallthrough, ...rules.map(rule => rule.serve)]) {
      if ('rollout' in serve && serve.rollout.by !== undefined) names.add(serve.rollout.by)
    }
  }
  return [...names].slice(0, 200)
}
