/** One clause: attribute, operator, values; it offers what the operator knows and nothing else. */
import type { Clause } from '../../../schemas/clause.ts'
import { OPERATORS } from '../../../schemas/operator.ts'
import { clauseText } from '../../../schemas/words.ts'
import { FORMS, knowsIgnoreCase, operatorText, parseOperator, withOperator } from '../operators.ts'
import { ProblemsAt } from './problems.tsx'
import { Values } from './values.tsx'

const GROUPS: readonly (readonly [title: string, ops: readonly Clause['op'][]])[] = [
  ['Any value', ['in', 'exists']],
  ['Text', ['startsWith', 'endsWith', 'contains', 'matches']],
  ['Number', ['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual', 'between']],
  ['Moment', ['before', 'after']],
  ['Version', ['semverEqual', 'semverLessThan', 'semverLessThanOrEqual', 'semverGreaterThan', 'semverGreaterThanOrEqual']],
  ['Address', ['inCidr']],
  ['Segment', ['segment']],
]
// An operator that is new is offered before anybody has put it in its group.
const UNGROUPED = OPERATORS.filter(op => !GROUPS.some(([, ops]) => ops.includes(op)))

export interface ClausesProps {
  readonly clauses: readonly Clause[]
  /** As in `rules[2].clauses`. */
  readonly path: string
  readonly segments: readonly string[]
  readonly onChange: (clauses: Clause[]) => void
}

export function Clauses({ clauses, path, segments, onChange }: ClausesProps) {
  return (
    <div class="terms">
      {clauses.length === 0 && <p class="hint">No clause: everyone.</p>}
      {clauses.map((clause, i) => (
        <ClauseEditor
          key={i}
          clause={clause}
          lead={i === 0 ? 'if' : 'and'}
          path={`${path}[${i}]`}
          segments={segments}
          onChange={next => onChange(clauses.map((each, j) => (j === i ? next : each)))}
          onRemove={() => onChange(clauses.filter((_, j) => j !== i))}
        />
      ))}
      <button
        type="button"
        class="secondary outline small"
        onClick={() => onChange([...clauses, { attribute: 'targetingKey', op: 'in', values: [] }])}
      >
        + Clause
      </button>
    </div>
  )
}

interface ClauseEditorProps {
  readonly clause: Clause
  readonly lead: string
  readonly path: string
  readonly segments: readonly string[]
  readonly onChange: (clause: Clause) => void
  readonly onRemove: () => void
}

function ClauseEditor({ clause, lead, path, segments, onChange, onRemove }: ClauseEditorProps) {
  const { op, negate, ignoreCase } = clause
  return (
    <fieldset class="term" aria-label={`Clause, ${lead}`}>
      <span class="lead">{lead}</span>
      {op !== 'segment' && (
        <input
          type="text"
          class="attribute"
          aria-label="Attribute"
          placeholder="targetingKey or /account/plan"
          list="attributes"
          spellcheck={false}
          value={clause.attribute ?? ''}
          onInput={event => onChange({ ...clause, attribute: event.currentTarget.value })}
        />
      )}
      <select
        class="operator"
        aria-label="Operator"
        value={op}
        onChange={event => onChange(withOperator(clause, parseOperator(event.currentTarget.value)))}
      >
        {GROUPS.map(([title, ops]) => (
          <optgroup key={title} label={title}>
            {ops.map(each => (
              <Operator key={each} op={each} isNegated={negate === true} />
            ))}
          </optgroup>
        ))}
        {UNGROUPED.map(each => (
          <Operator key={each} op={each} isNegated={negate === true} />
        ))}
      </select>
      <Operands clause={clause} segments={segments} onChange={next => onChange({ ...clause, values: next })} />
      <span class="switches">
        {op !== 'exists' && (
          <label>
            <input
              type="checkbox"
              checked={negate === true}
              onChange={event => {
                const { negate: _, ...rest } = clause
                onChange(event.currentTarget.checked ? { ...rest, negate: true } : rest)
              }}
            />
            not
          </label>
        )}
        {knowsIgnoreCase(op) && (
          <label>
            <input
              type="checkbox"
              checked={ignoreCase === true}
              onChange={event => {
                const { ignoreCase: _, ...rest } = clause
                onChange(event.currentTarget.checked ? { ...rest, ignoreCase: true } : rest)
              }}
            />
            whatever the case
          </label>
        )}
        <button type="button" class="plain small" aria-label={`Remove the clause ${clauseText(clause)}`} onClick={onRemove}>
          ✕
        </button>
      </span>
      <ProblemsAt path={path} />
    </fieldset>
  )
}

function Operator({ op, isNegated }: { readonly op: Clause['op']; readonly isNegated: boolean }) {
  return <option value={op}>{operatorText(op, isNegated)}</option>
}

interface OperandsProps {
  readonly clause: Clause
  readonly segments: readonly string[]
  readonly onChange: (values: Clause['values']) => void
}

function Operands({ clause: { op, values }, segments, onChange }: OperandsProps) {
  const { takes, example } = FORMS[op]
  if (takes === 'presence') {
    return (
      <select
        class="presence"
        aria-label="Present or missing"
        value={values[0] === false ? 'false' : 'true'}
        onChange={event => onChange([event.currentTarget.value === 'true'])}
      >
        <option value="true">yes, it is there</option>
        <option value="false">no, it is missing</option>
      </select>
    )
  }
  if (op === 'between') {
    const set = (i: 0 | 1, text: string): void => {
      const number = text === '' ? Number.NaN : Number(text)
      if (Number.isNaN(number)) return
      const [low, high] = [values[0] ?? number, values[1] ?? number]
      onChange(i === 0 ? [number, high] : [low, number])
    }
    return (
      <span class="between">
        <input
          type="number"
          step="any"
          aria-label="Lowest"
          value={String(values[0] ?? '')}
          onChange={event => set(0, event.currentTarget.value)}
        />
        <span>and</span>
        <input
          type="number"
          step="any"
          aria-label="Highest"
          value={String(values[1] ?? '')}
          onChange={event => set(1, event.currentTarget.value)}
        />
      </span>
    )
  }
  return (
    <Values
      label={takes === 'segment' ? 'Segment to add' : 'Value to add'}
      values={values}
      takes={takes}
      example={example}
      {...(takes === 'segment' ? { known: segments } : {})}
      onChange={onChange}
    />
  )
}
