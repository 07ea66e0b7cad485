/** The table of operators is complete: no cell of operator × operand × type of attribute is left out, so that a new operator fails here. */
import t from 'tap'
import type { Clause } from '../../schemas/clause.ts'
import { OPERATORS, TEXT_OPERATORS } from '../../schemas/operator.ts'
import { checkClause } from '../../sdk/evaluator/check.ts'
import type { Ruleset } from './documents.ts'
import { operatorCases, type OperatorRow, operatorTable } from './operators.ts'
import { twin } from './twin.ts'

/** The types an attribute can have; missing is in every row by itself. */
const KINDS = [
  'text',
  'number',
  'boolean',
  'null',
  'object',
  'empty array',
  'array of text',
  'array of number',
  'array of boolean',
  'mixed array',
  'array of others',
] as const

function kindOf(value: unknown): (typeof KINDS)[number] {
  if (Array.isArray(value)) {
    const kinds = new Set(value.map(kindOf))
    if (kinds.size === 0) return 'empty array'
    const [kind] = kinds
    if ([...kinds].some(kind => kind !== 'text' && kind !== 'number' && kind !== 'boolean')) return 'array of others'
    return kinds.size > 1 ? 'mixed array' : (`array of ${kind}` as (typeof KINDS)[number])
  }
  if (value === null) return 'null'
  return typeof value === 'string' ? 'text' : typeof value === 'number' ? 'number' : typeof value === 'boolean' ? 'boolean' : 'object'
}

/** What each operator looks at: attributes of these kinds match in some row, all others in none. */
const SCALARS = ['text', 'number', 'boolean'] as const
const MOMENTS = ['text', 'number'] as const
const ABLE: Record<(typeof OPERATORS)[number], readonly string[]> = {
  in: SCALARS,
  startsWith: ['text'],
  endsWith: ['text'],
  contains: ['text'],
  matches: ['text'],
  lessThan: ['number'],
  lessThanOrEqual: ['number'],
  greaterThan: ['number'],
  greaterThanOrEqual: ['number'],
  between: ['number'],
  before: MOMENTS,
  after: MOMENTS,
  semverEqual: ['text'],
  semverLessThan: ['text'],
  semverLessThanOrEqual: ['text'],
  semverGreaterThan: ['text'],
  semverGreaterThanOrEqual: ['text'],
  inCidr: ['text'],
  exists: [...SCALARS, 'object', 'empty array', 'null'],
  segment: SCALARS,
}

const rowsOf = (op: string): OperatorRow[] => operatorTable.rows.filter(row => row.op === op)
const nameOf = ({ op, values, ignoreCase }: OperatorRow): string => `${op} ${JSON.stringify(values)}${ignoreCase ? ' ignoreCase' : ''}`

t.test('every row has every type of attribute', async t => {
  for (const row of operatorTable.rows) {
    const kinds = new Set([...row.matches, ...row.fails, ...row.neither].map(kindOf))
    t.strictSame(
      KINDS.filter(kind => !kinds.has(kind)),
      [],
      nameOf(row),
    )
    t.equal(row.missing.length, 2, 'and a missing one')
  }
})

t.test('every operator stands in the table with every type of operand it takes, and refuses all others', async t => {
  t.strictSame([...new Set(operatorTable.rows.map(({ op }) => op))].sort(), [...OPERATORS].sort())
  t.strictSame(Object.keys(operatorTable.refused).sort(), [...OPERATORS].sort())
  for (const op of OPERATORS) {
    const taken = new Set(rowsOf(op).flatMap(({ values }) => values.map(kindOf)))
    const refused = new Set(operatorTable.refused[op]!.filter(list => new Set(list.map(kindOf)).size === 1).map(([first]) => kindOf(first)))
    const kinds = [...SCALARS, 'null', 'object'] as const
    t.strictSame(
      kinds.filter(kind => !taken.has(kind) && !refused.has(kind)),
      [],
      `${op}: scalars, null and objects`,
    )
    t.ok(
      [...refused].some(kind => kind.includes('array')),
      `${op}: arrays`,
    )
    t.ok(op === 'in' || operatorTable.refused[op]!.some(list => list.length === 0), `${op}: no operand at all`)
  }
})

t.test('what knows ignoreCase stands there with it and without, for every type of operand', async t => {
  for (const op of OPERATORS) {
    const kinds = (isIgnoring: boolean): string[] =>
      [...new Set(rowsOf(op).flatMap(row => ((row.ignoreCase ?? false) === isIgnoring ? row.values.map(kindOf) : [])))].sort()
    t.strictSame(kinds(true), TEXT_OPERATORS.includes(op) ? kinds(false) : [], op)
  }
})

t.test('of every type an operator looks at, something matches and something fails; of the others nothing matches', async t => {
  for (const op of OPERATORS) {
    const matches = new Set(rowsOf(op).flatMap(row => row.matches.map(kindOf)))
    const fails = new Set(rowsOf(op).flatMap(row => [...row.fails, ...row.neither].map(kindOf)))
    const able = ABLE[op]
    for (const kind of KINDS) {
      const isArray = kind.includes('array') && kind !== 'empty array'
      const element = kind.replace('array of ', '')
      const isAble = isArray ? op === 'exists' || !SCALARS.includes(element as 'text') || able.includes(element) : able.includes(kind)
      t.equal(matches.has(kind), isAble, `${op} ${isAble ? 'matches' : 'does not match'} some ${kind}`)
      t.ok(fails.has(kind), `${op} fails some ${kind}`)
    }
  }
})

t.test('the twin agrees with every row', async t => {
  let cases = 0
  for (const group of operatorCases().filter(({ name }) => !name.startsWith('operands'))) {
    for (const { name, flag, context, expect } of group.cases) {
      cases++
      const { value, variation, reason, ruleId } = twin(group.ruleset as Ruleset, flag, context)
      if (value !== expect.value || variation !== expect.variation || reason !== expect.reason || ruleId !== expect.ruleId)
        t.fail(`${name}: ${reason}`)
    }
  }
  t.ok(cases > 2_000, `${cases} cases`)
})

t.test('what cannot be used is refused when it is written, by the code that reads it', async t => {
  for (const [op, lists] of Object.entries(operatorTable.refused)) {
    for (const values of lists) {
      const clause = { op, values, ...(op === 'segment' ? {} : { attribute: 'a' }) } as Clause
      t.not(checkClause(clause).length, 0, `${op} ${JSON.stringify(values)}`)
    }
  }
  for (const row of operatorTable.rows) {
    const { op, values, ignoreCase } = row
    t.strictSame(checkClause({ op, values: [...values], ignoreCase, ...(op === 'segment' ? {} : { attribute: 'a' }) }), [], nameOf(row))
  }
})
