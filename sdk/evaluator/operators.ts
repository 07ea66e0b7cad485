/**
 * The operators of a clause: how each reads its operands and how it tests a value. One reader for both uses: the server
 * refuses what has problems here when it is written, and an evaluator meets it as a malformed flag.
 */
import { RE2JS } from 're2js'
import { PATTERN_LENGTH_MAX, PATTERN_SUBJECT_MAX } from '../../schemas/limits.ts'
import { type Operator, OPERATORS, TEXT_OPERATORS } from '../../schemas/operator.ts'
import { momentOf } from './date.ts'
import { contains, parseAddress, parseNetwork } from './network.ts'
import { compareVersions, parseVersion, type Version } from './version.ts'

/** Whether one value of a context (never an array) satisfies the operands. */
export type Test = (value: unknown) => boolean

/** One operand that cannot be used: `path` within the clause, `code` stable, `message` what to do. */
export interface OperandProblem {
  readonly path: string
  readonly code: string
  readonly message: string
}

export interface Operands {
  readonly test: Test
  readonly problems: readonly OperandProblem[]
}

/** The numbers that satisfy an operator, as an interval. One without numbers has NaN for a bound. */
export interface Range {
  readonly from: number
  readonly to: number
  readonly hasFrom: boolean
  readonly hasTo: boolean
}

/** What stands in the place of an operand that cannot be used. */
class Refused {
  readonly code: string
  readonly message: string

  constructor(code: string, message: string) {
    this.code = code
    this.message = message
  }
}

const KNOWN: ReadonlySet<string> = new Set(OPERATORS)
const WITH_IGNORE_CASE: ReadonlySet<string> = new Set(TEXT_OPERATORS)

export function isOperator(op: unknown): op is Operator {
  return typeof op === 'string' && KNOWN.has(op)
}

export function knowsIgnoreCase(op: Operator): boolean {
  return WITH_IGNORE_CASE.has(op)
}

/** Read the operands of a clause. `exists` and `segment` look at no value: their test is never asked. */
export function operandsOf(op: Operator, values: readonly unknown[], ignoreCase: boolean): Operands {
  const problems: OperandProblem[] = []
  const test = testOf(op, values, ignoreCase, problems)
  const count = countProblem(op, values.length)
  if (count !== null) problems.unshift(count)
  return { test, problems }
}

function testOf(op: Operator, values: readonly unknown[], ignoreCase: boolean, problems: OperandProblem[]): Test {
  const all = <T>(parse: (value: unknown) => T | Refused): T[] => parseAll(values, parse, problems)
  switch (op) {
    case 'in':
      return inTest(all(scalarOperand), ignoreCase)
    case 'startsWith':
      return textTest(all(textOperand), ignoreCase, (text, operand) => text.startsWith(operand))
    case 'endsWith':
      return textTest(all(textOperand), ignoreCase, (text, operand) => text.endsWith(operand))
    case 'contains':
      return textTest(all(textOperand), ignoreCase, (text, operand) => text.includes(operand))
    case 'matches':
      return matchesTest(all(patternOperand))
    case 'lessThan':
    case 'lessThanOrEqual':
    case 'greaterThan':
    case 'greaterThanOrEqual':
    case 'between':
      return rangeTest(rangeFrom(op, all(numberOperand)))
    case 'before':
      return momentTest(greatest(all(momentOperand)), (moment, bound) => moment < bound)
    case 'after':
      return momentTest(least(all(momentOperand)), (moment, bound) => moment > bound)
    case 'semverEqual':
      return versionTest(all(versionOperand), order => order === 0)
    case 'semverLessThan':
      return versionTest(all(versionOperand), order => order < 0)
    case 'semverLessThanOrEqual':
      return versionTest(all(versionOperand), order => order <= 0)
    case 'semverGreaterThan':
      return versionTest(all(versionOperand), order => order > 0)
    case 'semverGreaterThanOrEqual':
      return versionTest(all(versionOperand), order => order >= 0)
    case 'inCidr': {
      const networks = all(networkOperand)
      return value => {
        const address = typeof value === 'string' ? parseAddress(value) : null
        return address !== null && networks.some(network => contains(network, address))
      }
    }
    case 'exists':
      all(value => (typeof value === 'boolean' ? value : new Refused('operand_type', 'must be true or false')))
      return () => false
    case 'segment':
      all(value => (typeof value === 'string' && value !== '' ? value : new Refused('operand_type', 'must be the key of a segment')))
      return () => false
  }
}

/** The interval an operator and its sound operands mean; null for an operator that does not compare numbers. */
export function rangeOf(op: Operator, values: readonly unknown[]): Range | null {
  switch (op) {
    case 'lessThan':
    case 'lessThanOrEqual':
    case 'greaterThan':
    case 'greaterThanOrEqual':
    case 'between':
      return rangeFrom(op, values as readonly number[])
    default:
      return null
  }
}

function countProblem(op: Operator, count: number): OperandProblem | null {
  if (op === 'between' && count !== 2)
    return {
      path: 'values',
      code: 'operand_count',
      message: `"between" takes two numbers, the lowest and the highest, not ${count} values.`,
    }
  if (op === 'exists' && count !== 1)
    return { path: 'values', code: 'operand_count', message: `"exists" takes one value, [true] or [false], not ${count}.` }
  if (count === 0 && op !== 'in')
    return { path: 'values', code: 'operand_count', message: `"${op}" needs at least one value. Add one, or remove the clause.` }
  return null
}

function parseAll<T>(values: readonly unknown[], parse: (value: unknown) => T | Refused, problems: OperandProblem[]): T[] {
  const operands: T[] = []
  for (let i = 0; i < values.length; i++) {
    const operand = parse(values[i])
    if (operand instanceof Refused)
      problems.push({ path: `values[${i}]`, code: operand.code, message: `${shown(values[i])} ${operand.message}.` })
    else operands.push(operand)
  }
  return operands
}

function shown(value: unknown): string {
  const text = value === undefined ? 'undefined' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

// Operands: from anything to what a test compares with.

function scalarOperand(value: unknown): string | number | boolean | Refused {
  if (typeof value === 'string' || typeof value === 'boolean') return value
  // NaN is equal to nothing, but found in a set: it must not depend on how long the list is.
  if (typeof value === 'number' && !Number.isNaN(value)) return value
  return new Refused('operand_type', 'must be a text, a number or a boolean')
}

function textOperand(value: unknown): string | Refused {
  return typeof value === 'string' ? value : new Refused('operand_type', 'must be a text')
}

function numberOperand(value: unknown): number | Refused {
  return typeof value === 'number' && Number.isFinite(value) ? value : new Refused('operand_type', 'must be a number, without quotes')
}

function momentOperand(value: unknown): number | Refused {
  return (
    momentOf(value) ??
    new Refused('invalid_date', 'is not a moment. Write it as 2026-11-21T03:12:00Z, with an offset, or as milliseconds since 1970')
  )
}

function versionOperand(value: unknown): Version | Refused {
  const version = typeof value === 'string' ? parseVersion(value) : null
  if (version !== null) return version
  const cure = typeof value === 'string' && /^v\d/i.test(value) ? 'Leave out the leading "v"' : 'Write it as "2.4.1" or "2.4.1-beta.1"'
  return new Refused('invalid_version', `is not a version (semver.org). ${cure}`)
}

function networkOperand(value: unknown): (ReturnType<typeof parseNetwork> & object) | Refused {
  const network = typeof value === 'string' ? parseNetwork(value) : null
  return network ?? new Refused('invalid_network', 'is not a network. Write it as "10.0.0.0/8", "2001:db8::/32" or a single address')
}

function patternOperand(value: unknown): RE2JS | Refused {
  if (typeof value !== 'string') return new Refused('operand_type', 'must be a text')
  if (value.length > PATTERN_LENGTH_MAX)
    return new Refused('pattern_too_long', `is longer than ${PATTERN_LENGTH_MAX} characters. Split it into several values`)
  try {
    return RE2JS.compile(value)
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return new Refused(
      'invalid_pattern',
      `is not a regular expression in RE2 syntax (${detail}; it has no look-around and no back-references)`,
    )
  }
}

// Tests: built once, asked often.

function inTest(operands: readonly (string | number | boolean)[], ignoreCase: boolean): Test {
  if (!ignoreCase) {
    const [first, second = first] = operands
    // One or two are most clauses there are, and comparing is quicker than looking up.
    if (operands.length === 1 || operands.length === 2) return value => value === first || value === second
    // Made when first asked for: most lists are found by way of `columns.ts`, and 100,000 keys are not kept twice for nothing.
    let set: ReadonlySet<unknown> | null = null
    return value => (set ??= new Set(operands)).has(value)
  }
  const lowered: ReadonlySet<unknown> = new Set(operands.map(lowerCase))
  return value => lowered.has(lowerCase(value))
}

/** Independent of locale; what is not text stays as it is. */
function lowerCase(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value
}

function textTest(operands: readonly string[], ignoreCase: boolean, holds: (text: string, operand: string) => boolean): Test {
  if (!ignoreCase) return value => typeof value === 'string' && operands.some(operand => holds(value, operand))
  const lowered = operands.map(operand => operand.toLowerCase())
  return value => {
    if (typeof value !== 'string') return false
    const text = value.toLowerCase()
    return lowered.some(operand => holds(text, operand))
  }
}

function matchesTest(patterns: readonly RE2JS[]): Test {
  return value => typeof value === 'string' && value.length <= PATTERN_SUBJECT_MAX && patterns.some(pattern => pattern.test(value))
}

/** Less than any of several is less than the greatest of them. NaN, which nothing compares with, when there is none. */
function greatest(operands: readonly number[]): number {
  return operands.reduce((bound, operand) => (operand > bound ? operand : bound), operands[0] ?? Number.NaN)
}

function least(operands: readonly number[]): number {
  return operands.reduce((bound, operand) => (operand < bound ? operand : bound), operands[0] ?? Number.NaN)
}

type Comparison = 'lessThan' | 'lessThanOrEqual' | 'greaterThan' | 'greaterThanOrEqual' | 'between'

function rangeFrom(op: Comparison, operands: readonly number[]): Range {
  switch (op) {
    case 'lessThan':
      return { from: -Infinity, to: greatest(operands), hasFrom: true, hasTo: false }
    case 'lessThanOrEqual':
      return { from: -Infinity, to: greatest(operands), hasFrom: true, hasTo: true }
    case 'greaterThan':
      return { from: least(operands), to: Infinity, hasFrom: false, hasTo: true }
    case 'greaterThanOrEqual':
      return { from: least(operands), to: Infinity, hasFrom: true, hasTo: true }
    case 'between': {
      const [from = Number.NaN, to = Number.NaN] = operands
      return { from, to, hasFrom: true, hasTo: true }
    }
  }
}

function rangeTest(range: Range): Test {
  return value => typeof value === 'number' && isWithin(range, value)
}

export function isWithin({ from, to, hasFrom, hasTo }: Range, value: number): boolean {
  return (hasFrom ? value >= from : value > from) && (hasTo ? value <= to : value < to)
}

function momentTest(bound: number, holds: (moment: number, bound: number) => boolean): Test {
  return value => {
    const moment = momentOf(value)
    return moment !== null && holds(moment, bound)
  }
}

function versionTest(operands: readonly Version[], holds: (order: number) => boolean): Test {
  return value => {
    const version = typeof value === 'string' ? parseVersion(value) : null
    return version !== null && operands.some(operand => holds(compareVersions(version, operand)))
  }
}
