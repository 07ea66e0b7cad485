/** Prepares clauses and the lists of targets and segments. */
import type { Clause } from '../../schemas/clause.ts'
import { type Attribute, attributeOf, TARGETING_KEY } from './attribute.ts'
import { type Fields, fieldsOf, listOf, Malformed, preparedList, textOf } from './document.ts'
import { isOperator, knowsIgnoreCase, operandsOf } from './operators.ts'
import type { Link, PreparedClause, PreparedList, PreparedSegment } from './prepared.ts'

/** What preparing one flag or segment gathers on the way. */
export interface Gathered {
  /** One per name in the whole ruleset. */
  readonly attributes: Map<string, Attribute>
  /** Null for none, as of almost all. */
  unknownOperators: Set<string> | null
  /** Keys of the segments that are named; null for none. */
  segments: Set<string> | null
  segmentLink(key: string): Link<PreparedSegment>
}

export function prepareClauses(value: unknown, path: string, gathered: Gathered): readonly PreparedClause[] {
  return preparedList(value, path, (item, i) => prepareClause(item, `${path}[${i}]`, gathered))
}

function prepareClause(value: unknown, path: string, gathered: Gathered): PreparedClause {
  const fields = fieldsOf(value, path)
  const op = textOf(fields.op, `${path}.op`)
  const source = value as Clause
  const negate = fields.negate === true
  if (!isOperator(op)) {
    // A newer server may know it. The clause does not match, negated or not, and is reported upstream.
    ;(gathered.unknownOperators ??= new Set()).add(op)
    return { source, attribute: null, test: never, exists: null, segments: null, negate: false }
  }
  const values = listOf(fields.values, `${path}.values`)
  const { test, problems } = operandsOf(op, values, fields.ignoreCase === true && knowsIgnoreCase(op))
  const problem = problems[0]
  if (problem !== undefined) throw new Malformed(`${path}.${problem.path}`, problem.message)
  if (op === 'segment')
    return {
      source,
      attribute: null,
      test,
      exists: null,
      segments: links(values as readonly string[], gathered),
      negate,
    }
  const attribute = requiredAttribute(fields, path, gathered)
  if (op === 'exists') return { source, attribute, test, exists: values[0] === true, segments: null, negate: false }
  return { source, attribute, test, exists: null, segments: null, negate }
}

/** Whether a clause is a list of values to be equal to one of. */
export function isPlainList({ op, ignoreCase }: Clause): boolean {
  return op === 'in' && ignoreCase !== true
}

/** A target's list as a clause: on the targeting key unless an attribute is named. */
export function prepareTargets(fields: Fields, path: string, gathered: Gathered): PreparedClause {
  const { attribute = TARGETING_KEY, values } = fields
  return prepareClause({ attribute: attribute ?? TARGETING_KEY, op: 'in', values }, path, gathered)
}

/** A segment's list: works like `in`, on the targeting key unless an attribute is named. */
export function prepareList(fields: Fields, path: string, gathered: Gathered): PreparedList {
  const values = listOf(fields.values, `${path}.values`)
  const [problem] = operandsOf('in', values, false).problems
  if (problem !== undefined) throw new Malformed(`${path}.${problem.path}`, problem.message)
  return { attribute: prepareAttribute(fields.attribute, `${path}.attribute`, gathered), values: new Set(values) }
}

/** @param name the targeting key when it is left out */
export function prepareAttribute(name: unknown, path: string, gathered: Gathered): Attribute {
  const text = name === undefined || name === null ? TARGETING_KEY : textOf(name, path)
  const known = gathered.attributes.get(text)
  if (known !== undefined) return known
  const attribute = attributeOf(text)
  if (attribute === null) throw new Malformed(path, `"${text}" is not a JSON Pointer`)
  gathered.attributes.set(text, attribute)
  return attribute
}

function requiredAttribute(fields: Fields, path: string, gathered: Gathered): Attribute {
  return prepareAttribute(textOf(fields.attribute, `${path}.attribute`), `${path}.attribute`, gathered)
}

function links(keys: readonly string[], gathered: Gathered): Link<PreparedSegment>[] {
  return keys.map(key => {
    ;(gathered.segments ??= new Set()).add(key)
    return gathered.segmentLink(key)
  })
}

function never(): boolean {
  return false
}
