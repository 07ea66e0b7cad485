/** What each operator of a clause says and takes, for people who write clauses. What it does: `docs/evaluation.md`. */
import type { Clause } from '../../schemas/clause.ts'
import type { Scalar } from '../../schemas/json.ts'
import { type Operator, OPERATORS, TEXT_OPERATORS } from '../../schemas/operator.ts'
import { OPERATOR_WORDS } from '../../schemas/words.ts'

export type ValueForm = 'scalar' | 'text' | 'pattern' | 'number' | 'moment' | 'version' | 'network' | 'presence' | 'segment'

export interface OperatorForm {
  readonly takes: ValueForm
  readonly example: string
}

const NUMBER: OperatorForm = { takes: 'number', example: '100' }
const MOMENT: OperatorForm = { takes: 'moment', example: '2026-11-21T03:12:00Z' }
const VERSION: OperatorForm = { takes: 'version', example: '2.4.0' }

export const FORMS: Readonly<Record<Operator, OperatorForm>> = {
  in: { takes: 'scalar', example: 'beta' },
  startsWith: { takes: 'text', example: 'eu-' },
  endsWith: { takes: 'text', example: '@example.com' },
  contains: { takes: 'text', example: 'test' },
  matches: { takes: 'pattern', example: '(?i)^vip-[0-9]+$' },
  lessThan: NUMBER,
  lessThanOrEqual: NUMBER,
  greaterThan: NUMBER,
  greaterThanOrEqual: NUMBER,
  between: NUMBER,
  before: MOMENT,
  after: MOMENT,
  semverEqual: VERSION,
  semverLessThan: VERSION,
  semverLessThanOrEqual: VERSION,
  semverGreaterThan: VERSION,
  semverGreaterThanOrEqual: VERSION,
  inCidr: { takes: 'network', example: '10.0.0.0/8' },
  exists: { takes: 'presence', example: '' },
  segment: { takes: 'segment', example: '' },
}

/** What a clause with this operator says before its values. */
export function operatorText(op: Operator, isNegated: boolean): string {
  if (op === 'exists') return 'is present or missing'
  if (op === 'segment') return isNegated ? 'not in segment' : 'in segment'
  if (op === 'between') return isNegated ? 'is not between' : 'is between'
  return OPERATOR_WORDS[op][isNegated ? 1 : 0]
}

export const NEEDS: Readonly<Record<ValueForm, string>> = {
  scalar: 'texts, numbers or true and false',
  text: 'texts',
  pattern: 'expressions in RE2 syntax, found anywhere in the text; (?i) ignores case',
  number: 'numbers',
  moment: 'moments as in 2026-11-21T03:12:00Z, or milliseconds since 1970',
  version: 'versions as in 2.4.0',
  network: 'addresses or networks as in 10.0.0.0/8',
  presence: '',
  segment: 'segments of this environment',
}

export function knowsIgnoreCase(op: Operator): boolean {
  return TEXT_OPERATORS.includes(op)
}

/** The clause under another operator: what it can keep it keeps. */
export function withOperator(clause: Clause, op: Operator): Clause {
  const takes = FORMS[op].takes
  const fits = (value: Scalar): boolean =>
    takes === 'scalar' || (takes === 'number' ? typeof value === 'number' : typeof value === 'string')
  const values =
    takes === 'presence'
      ? [true]
      : FORMS[clause.op].takes === takes || (takes !== 'segment' && clause.op !== 'segment')
        ? clause.values.filter(fits)
        : []
  return {
    ...(op === 'segment' ? {} : { attribute: clause.attribute ?? 'targetingKey' }),
    op,
    values: op === 'between' ? values.slice(0, 2) : values,
    ...(clause.negate === true && op !== 'exists' ? { negate: true } : {}),
    ...(clause.ignoreCase === true && knowsIgnoreCase(op) ? { ignoreCase: true } : {}),
  }
}

export function parseOperator(text: string): Operator {
  return OPERATORS.find(op => op === text) ?? 'in'
}

/** A value as it was typed, or why it is none. What is wrong more deeply the server says when it is saved. */
export function parseValue(text: string, takes: ValueForm, type: 'text' | 'number' | 'boolean' = 'text'): Scalar | { wrong: string } {
  const trimmed = text.trim()
  if (takes === 'number' || (takes === 'scalar' && type === 'number')) {
    const number = Number(trimmed)
    return trimmed === '' || !Number.isFinite(number) ? { wrong: `“${trimmed}” is not a number.` } : number
  }
  if (takes === 'scalar' && type === 'boolean') {
    return trimmed === 'true' || trimmed === 'false' ? trimmed === 'true' : { wrong: `“${trimmed}” is neither true nor false.` }
  }
  if (takes === 'moment') {
    if (/^-?\d+$/.test(trimmed)) return Number(trimmed)
    return /^\d{4}-\d\d-\d\d[Tt ].*([Zz]|[+-]\d\d:\d\d)$/.test(trimmed) && !Number.isNaN(Date.parse(trimmed))
      ? trimmed
      : { wrong: `“${trimmed}” is no moment as in 2026-11-21T03:12:00Z.` }
  }
  if (takes === 'version' && !/^\d+(\.\d+){0,2}([-+].*)?$/.test(trimmed)) return { wrong: `“${trimmed}” is no version as in 2.4.0.` }
  return takes === 'text' || takes === 'scalar' || takes === 'pattern' ? text : trimmed
}

/** How people name an attribute. */
export function attributeWords(attribute: string | undefined): string {
  return attribute ?? 'targetingKey'
}
