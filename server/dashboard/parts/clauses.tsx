/**
 * Clauses as people write them: attribute, operator, values. It knows what each operator takes, and says below each clause
 * how it is understood, because `17` and `"17"` are never the same to one.
 */
import { useId } from 'preact/hooks'
import type { Clause } from '../../../schemas/clause.ts'
import type { Scalar } from '../../../schemas/json.ts'
import { type Operator, OPERATORS, TEXT_OPERATORS } from '../../../schemas/operator.ts'
import { clauseText, OPERATOR_WORDS } from '../../../schemas/words.ts'

/** A clause while it is written. */
export interface ClauseDraft {
  readonly attribute: string
  readonly op: Operator
  readonly negate: boolean
  readonly ignoreCase: boolean
  readonly values: string
}

export const NEW_CLAUSE: ClauseDraft = { attribute: '', op: 'in', negate: false, ignoreCase: false, values: '' }

export interface ClausesProps {
  readonly drafts: readonly ClauseDraft[]
  readonly onChange: (drafts: readonly ClauseDraft[]) => void
  /** Attributes and segments to propose. */
  readonly attributes: readonly string[]
  readonly segments: readonly string[]
}

export function ClausesEditor({ drafts, onChange, attributes, segments }: ClausesProps) {
  const id = useId()
  const change = (i: number, part: Partial<ClauseDraft>): void =>
    onChange(drafts.map((draft, j) => (i === j ? { ...draft, ...part } : draft)))
  return (
    <div class="clauses">
      <datalist id={`${id}-attributes`}>
        {attributes.map(each => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <datalist id={`${id}-segments`}>
        {segments.map(each => (
          <option key={each} value={each} />
        ))}
      </datalist>
      {drafts.map((draft, i) => {
        const clause = clauseOf(draft)
        const name = i === 0 ? 'Clause' : `Clause ${i + 1}`
        return (
          <div class="clause" key={i}>
            {i > 0 && <span class="and">and</span>}
            {draft.op !== 'segment' && (
              <input
                type="text"
                aria-label={`${name}: attribute`}
                placeholder="attribute, as /device/os"
                list={`${id}-attributes`}
                autocapitalize="off"
                spellcheck={false}
                required
                value={draft.attribute}
                onInput={event => change(i, { attribute: event.currentTarget.value })}
              />
            )}
            <select
              aria-label={`${name}: operator`}
              value={`${draft.negate ? '!' : ''}${draft.op}`}
              onChange={event => {
                const { value } = event.currentTarget
                change(i, { op: value.replace('!', '') as Operator, negate: value.startsWith('!') })
              }}
            >
              {OPERATORS.flatMap(op =>
                operatorWords(op).map((words, j) => (
                  <option key={`${op}${j}`} value={j === 0 ? op : `!${op}`}>
                    {words}
                  </option>
                )),
              )}
            </select>
            {draft.op !== 'exists' && (
              <input
                type="text"
                aria-label={`${name}: values`}
                placeholder={placeholderOf(draft.op)}
                {...(draft.op === 'segment' ? { list: `${id}-segments` } : {})}
                autocapitalize="off"
                spellcheck={false}
                required
                value={draft.values}
                onInput={event => change(i, { values: event.currentTarget.value })}
              />
            )}
            <button
              type="button"
              class="plain"
              aria-label={`Remove ${name.toLowerCase()}`}
              onClick={() => onChange(drafts.filter((_, j) => i !== j))}
            >
              ✕
            </button>
            {TEXT_OPERATORS.includes(draft.op) && (
              <label class="ignore">
                <input
                  type="checkbox"
                  checked={draft.ignoreCase}
                  onChange={event => change(i, { ignoreCase: event.currentTarget.checked })}
                />
                ignore case
              </label>
            )}
            <small class="understood">{clause === null ? 'not complete yet' : clauseText(clause)}</small>
          </div>
        )
      })}
      <button type="button" class="secondary small" onClick={() => onChange([...drafts, NEW_CLAUSE])}>
        {drafts.length === 0 ? 'Add a clause' : 'And another clause'}
      </button>
    </div>
  )
}

/** Plain, then negated where that can be. `exists` is negated by its value. */
export function operatorWords(op: Operator): readonly string[] {
  if (op === 'exists') return ['is present', 'is missing']
  if (op === 'segment') return ['in segment', 'not in segment']
  if (op === 'between') return ['is between', 'is not between']
  return OPERATOR_WORDS[op]
}

const NUMBERS: readonly Operator[] = ['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual', 'between']
const VERSIONS: readonly Operator[] = OPERATORS.filter(op => op.startsWith('semver'))
/** Those that take any scalar. */
const MIXED: readonly Operator[] = ['in', 'before', 'after']

function placeholderOf(op: Operator): string {
  if (op === 'between') return '18, 65'
  if (NUMBERS.includes(op)) return '18'
  if (VERSIONS.includes(op)) return '4.2.0'
  if (op === 'before' || op === 'after') return '2026-11-21T03:12:00Z'
  if (op === 'inCidr') return '10.0.0.0/8'
  if (op === 'matches') return 'expression (RE2)'
  if (op === 'segment') return 'beta'
  return 'values, with commas'
}

/** Null while something is missing, or a number is none. */
export function clauseOf({ attribute, op, negate, ignoreCase, values }: ClauseDraft): Clause | null {
  const name = attribute.trim()
  if (op !== 'segment' && name === '') return null
  if (op === 'exists') return { attribute: name, op, values: [!negate] }
  const listed = valuesOf(op, values)
  if (listed === null || listed.length === 0 || (op === 'between' && listed.length !== 2)) return null
  return {
    ...(op === 'segment' ? {} : { attribute: name }),
    ...{ op, values: listed },
    ...(negate ? { negate } : {}),
    ...(ignoreCase && TEXT_OPERATORS.includes(op) ? { ignoreCase } : {}),
  }
}

export function draftOf({ attribute = '', op, values, negate = false, ignoreCase = false }: Clause): ClauseDraft {
  const isMissing = op === 'exists' && values[0] === false
  return { attribute, op, negate: negate || isMissing, ignoreCase, values: op === 'exists' ? '' : valuesText(op, values) }
}

/** What `valuesOf` reads back. */
function valuesText(op: Operator, values: readonly Scalar[]): string {
  if (op === 'matches') return values.map(String).join('')
  const isSafe = (text: string): boolean => text.trim() === text && text !== '' && !/[",]/.test(text)
  return values
    .map(value => (typeof value === 'string' && isSafe(value) && scalarOf(op, value) === value ? value : JSON.stringify(value)))
    .join(', ')
}

function valuesOf(op: Operator, text: string): Scalar[] | null {
  // An expression may hold commas.
  if (op === 'matches') return text === '' ? [] : [text]
  const parts = (text.match(/(?:"(?:[^"\\]|\\.)*"|[^,])+/g) ?? []).map(part => part.trim()).filter(part => part !== '')
  const values = parts.map(part => scalarOf(op, part))
  return values.some(value => NUMBERS.includes(op) && typeof value !== 'number') ? null : values
}

/** As the command line reads it: text, unless it is a number, `true` or `false`, and quotes make it text. */
function scalarOf(op: Operator, text: string): Scalar {
  if (/^"(?:[^"\\]|\\.)*"$/.test(text)) {
    try {
      return JSON.parse(text) as string
    } catch {
      return text
    }
  }
  if (!MIXED.includes(op) && !NUMBERS.includes(op)) return text
  if (text === 'true' || text === 'false') return text === 'true'
  if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)) return text
  const value = Number(text)
  return Number.isFinite(value) && (!/^-?\d+$/.test(text) || Number.isSafeInteger(value)) ? value : text
}
