/**
 * `--where`: one clause as people type it. `attribute=value`, or `attribute operator value` with any operator of the
 * evaluator. Decides the form only; whether an operator can use its operands is the server's to check.
 */
import type { Clause } from '../schemas/clause.ts'
import type { Scalar } from '../schemas/json.ts'
import { type Operator, OPERATORS } from '../schemas/operator.ts'
import { type Failure, usage } from './failure.ts'

/** Longest first, so that `!=` is not read as something and `=`. */
const SYMBOLS = ['!^=', '!$=', '!*=', '!~', '!=', '^=', '$=', '*=', '<=', '>=', '=', '~', '<', '>'] as const
type Symbol = (typeof SYMBOLS)[number]

const ATTRIBUTE = /^\s*(?:"((?:[^"\\]|\\.)+)"|([^\s=!~^$*<>",]+))\s*/
const WORD = /^(not\s+)?([A-Za-z-]+)(?:\s+|$)/
const VERSION = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/

/**
 * @param text one `--where`: `/device/os=android,ios`, `plan!=free`, `email~@acme\.com$`, `name^=a`, `age<18`,
 *             `app.version<2.5.0`, `ip in-cidr 10.0.0.0/8`, `plan exists`, `segment=beta`
 * Error: `USAGE`, saying which form was expected.
 */
export function parseWhere(text: string): Clause {
  const attribute = ATTRIBUTE.exec(text)
  if (attribute === null) throw bad(text, 'it does not begin with an attribute')
  const name = attribute[1] === undefined ? (attribute[2] ?? '') : attribute[1].replace(/\\(.)/g, '$1')
  const rest = text.slice(attribute[0].length)
  const isSegment = name === 'segment' && attribute[1] === undefined
  const symbol = SYMBOLS.find(known => rest.startsWith(known))
  if (symbol !== undefined) {
    const operands = rest.slice(symbol.length)
    if (operands.startsWith('=')) throw bad(text, 'it holds "==" where one "=" is meant')
    if (isSegment) return segmentClause(text, symbol, operands)
    return symbolClause(text, name, symbol, operands)
  }
  const word = WORD.exec(rest)
  if (word === null) throw bad(text, rest === '' ? 'there is no operator' : `${JSON.stringify(rest)} does not begin with an operator`)
  return wordClause(text, name, word[1] !== undefined, word[2] ?? '', rest.slice(word[0].length))
}

function symbolClause(text: string, attribute: string, symbol: Symbol, operands: string): Clause {
  const negate = symbol.startsWith('!') ? { negate: true } : {}
  const plain = symbol.replace('!', '')
  if (plain === '~') return { attribute, op: 'matches', values: [wholeText(text, operands)], ...negate }
  if (plain === '=') return { attribute, op: 'in', values: listed(text, operands), ...negate }
  const op = plain === '^=' ? 'startsWith' : plain === '$=' ? 'endsWith' : plain === '*=' ? 'contains' : null
  if (op !== null) return { attribute, op, values: texts(text, operands), ...negate }
  return ordered(text, attribute, plain as '<' | '<=' | '>' | '>=', operands)
}

/** `<` and its kin compare numbers, versions (three parts) or moments, by what the operand looks like. */
function ordered(text: string, attribute: string, symbol: '<' | '<=' | '>' | '>=', operands: string): Clause {
  const values = listed(text, operands)
  const [value] = values
  if (values.length !== 1 || value === undefined) throw bad(text, `"${symbol}" takes one value`)
  if (typeof value === 'number') {
    // A number never matches a version, so the kill would touch nobody.
    if (/version/i.test(attribute))
      throw bad(text, `${value} is a number, and versions have three parts, as 2.5.0. For numbers, write "${attribute} lessThan ${value}"`)
    const op = { '<': 'lessThan', '<=': 'lessThanOrEqual', '>': 'greaterThan', '>=': 'greaterThanOrEqual' } as const
    return { attribute, op: op[symbol], values: [value] }
  }
  if (typeof value === 'string' && VERSION.test(value)) {
    const op = { '<': 'semverLessThan', '<=': 'semverLessThanOrEqual', '>': 'semverGreaterThan', '>=': 'semverGreaterThanOrEqual' } as const
    return { attribute, op: op[symbol], values: [value] }
  }
  if (typeof value === 'string' && MOMENT.test(value)) {
    if (symbol.length === 2) throw bad(text, `a moment is compared with "<" (before) or ">" (after)`)
    return { attribute, op: symbol === '<' ? 'before' : 'after', values: [value] }
  }
  throw bad(
    text,
    `"${symbol}" compares a number (5), a version of three parts (2.5.0) or a moment (2026-11-21T03:12:00Z), not ${JSON.stringify(value)}`,
  )
}

function segmentClause(text: string, symbol: Symbol, operands: string): Clause {
  if (symbol !== '=' && symbol !== '!=') throw bad(text, 'a segment is named as "segment=beta"; an attribute of that name as "/segment"')
  return { op: 'segment', values: texts(text, operands), ...(symbol === '!=' ? { negate: true } : {}) }
}

function wordClause(text: string, attribute: string, negated: boolean, word: string, operands: string): Clause {
  const negate = negated ? { negate: true } : {}
  if (word === 'missing' || word === 'exists') {
    if (negated || operands !== '') throw bad(text, `write "${attribute} exists" or "${attribute} missing"`)
    return { attribute, op: 'exists', values: [word === 'exists'] }
  }
  const op = OPERATORS.find(known => known.toLowerCase() === word.replaceAll('-', '').toLowerCase())
  if (op === undefined) throw bad(text, `"${word}" is not an operator. Known are ${OPERATORS.join(', ')}`)
  if (op === 'segment') throw bad(text, 'a segment is named as "segment=beta"')
  return { attribute, op, values: operandsOf(text, op, operands), ...negate }
}

function operandsOf(text: string, op: Operator, operands: string): Scalar[] {
  if (op === 'matches') return [wholeText(text, operands)]
  const typed: readonly Operator[] = [
    'in',
    'lessThan',
    'lessThanOrEqual',
    'greaterThan',
    'greaterThanOrEqual',
    'between',
    'before',
    'after',
  ]
  return typed.includes(op) ? listed(text, operands) : texts(text, operands)
}

/** A value as people type it: text, unless it is a JSON number, `true` or `false`; quotes make it text whatever it is. */
export function parseScalar(text: string): Scalar {
  const quoted = unquoted(text)
  if (quoted !== null) return quoted
  if (text === 'true' || text === 'false') return text === 'true'
  if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)) return text
  const value = Number(text)
  if (!Number.isFinite(value) || (/^-?\d+$/.test(text) && !Number.isSafeInteger(value))) {
    throw usage(`${text} is too large for a number that every program keeps exactly.`, `To mean the text, quote it: '"${text}"'.`)
  }
  return value
}

/** Values separated by commas, quotes respected. */
function listed(text: string, operands: string): Scalar[] {
  return split(text, operands).map(parseScalar)
}

/** Like `listed`, where only texts make sense: `5` is the text "5". */
function texts(text: string, operands: string): string[] {
  return split(text, operands).map(part => unquoted(part) ?? part)
}

/** An expression may hold commas: it is one value as it stands. */
function wholeText(text: string, operands: string): string {
  const value = unquoted(operands.trim()) ?? operands.trim()
  if (value === '') throw bad(text, 'there is no value')
  return value
}

function split(text: string, operands: string): string[] {
  const parts = operands.match(/(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^,"']|["'])+/g) ?? []
  const trimmed = parts.map(part => part.trim())
  const commas = operands.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, '').split(',').length
  if (trimmed.length !== commas || trimmed.includes(''))
    throw bad(text, trimmed.length === 0 ? 'there is no value' : 'a value between commas is empty')
  return trimmed
}

/** The text within quotes, or null when there are none around it. */
function unquoted(text: string): string | null {
  if (/^'[^']*'$/.test(text)) return text.slice(1, -1)
  if (/^"(?:[^"\\]|\\.)*"$/.test(text)) return text.slice(1, -1).replace(/\\(.)/g, '$1')
  return null
}

function bad(text: string, why: string): Failure {
  return usage(
    `--where ${JSON.stringify(text)} cannot be taken: ${why}.`,
    `Write it as in --where /device/os=android, --where '/app/version<2.5.0', --where 'ip in-cidr 10.0.0.0/8' or --where segment=beta.`,
  )
}

/** The `--where` that says the same as a clause, or null when none does (`ignoreCase`, unusual attributes). `parseWhere` reads it back. */
export function whereText(clause: Clause): string | null {
  if (clause.ignoreCase === true || clause.values.length === 0) return null
  const not = clause.negate === true
  const values = clause.values.map(value => (typeof value === 'string' ? quotedText(value, clause.op) : String(value))).join(',')
  const text = clause.op === 'segment' ? `segment${not ? '!=' : '='}${values}` : shortText(clause, values, not)
  return equal(parsedOrNull(text), clause) ? text : null
}

function shortText(clause: Clause, values: string, not: boolean): string {
  const name = clause.attribute ?? ''
  const isPlain = ATTRIBUTE.exec(`${name} `)?.[2] === name && name !== 'segment'
  const attribute = isPlain ? name : JSON.stringify(name)
  if (clause.op === 'in') return `${attribute}${not ? '!=' : '='}${values}`
  if (clause.op === 'exists') return `${attribute} ${clause.values[0] === false ? 'missing' : 'exists'}`
  return `${attribute} ${not ? 'not ' : ''}${clause.op} ${values}`
}

/** Quotes where a text would be read as something else. */
function quotedText(value: string, op: Operator): string {
  if (op === 'matches') return `"${value.replace(/["\\]/g, '\\$&')}"`
  return /^[A-Za-z_./][^,"'\\\s]*$/.test(value) && value !== 'true' && value !== 'false' ? value : `"${value.replace(/["\\]/g, '\\$&')}"`
}

function parsedOrNull(text: string): Clause | null {
  try {
    return parseWhere(text)
  } catch {
    return null
  }
}

function equal(a: Clause | null, b: Clause): boolean {
  const form = (clause: Clause) =>
    JSON.stringify([clause.attribute, clause.op, clause.values, clause.negate === true, clause.ignoreCase === true])
  return a !== null && form(a) === form(b)
}

/** Whether both say the same in whatever order, as the server sees it. */
export function isSameWhere(a: readonly Clause[], b: readonly Clause[]): boolean {
  const form = (clauses: readonly Clause[]): string[] =>
    clauses
      .map(({ attribute, op, values, negate, ignoreCase }) =>
        JSON.stringify([attribute, op, op === 'between' ? values : [...values].sort(), negate === true, ignoreCase === true]),
      )
      .sort()
  return JSON.stringify(form(a)) === JSON.stringify(form(b))
}
