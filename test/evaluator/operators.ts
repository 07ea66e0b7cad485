/**
 * The table of operators in `test/fixtures/evaluation/operators`, and its rows as evaluation cases: each as a rule's
 * clause, plain and negated; lists of values also as a target and as a segment's list.
 */
import { readFileSync } from 'node:fs'
import type { Json } from '../../schemas/json.ts'
import type { Operator } from '../../schemas/operator.ts'
import type { CaseGroup, EvaluationCase, Expected } from './cases.ts'

export interface OperatorRow {
  readonly op: Operator
  readonly values: readonly (string | number | boolean)[]
  readonly ignoreCase?: true
  /** Values of the attribute: a negated clause matches the second list instead of the first. */
  readonly matches: readonly Json[]
  readonly fails: readonly Json[]
  readonly neither: readonly Json[]
  /** The verdict when the attribute is missing, plain and negated; null for what may not be negated. */
  readonly missing: readonly [boolean, boolean | null]
  /** Refused when written: it names what does not exist, or a cycle. */
  readonly readOnly?: true
}

export interface OperatorTable {
  readonly segments: readonly { readonly key: string }[]
  readonly rows: readonly OperatorRow[]
  /** Lists of operands that an operator cannot use. */
  readonly refused: Readonly<Record<string, readonly (readonly Json[])[]>>
}

const FILE = 'operators/operators.json'

export const operatorTable = JSON.parse(
  readFileSync(new URL(`../../../test/fixtures/evaluation/${FILE}`, import.meta.url), 'utf8'),
) as OperatorTable

export function operatorCases(): CaseGroup[] {
  const { segments, rows, refused } = operatorTable
  const group = (name: string, readOnly: boolean, places: readonly Place[], more: readonly { readonly key: string }[] = []): CaseGroup => ({
    file: FILE,
    name,
    readOnly,
    ruleset: { flags: places.map(({ flag }) => flag), segments: more },
    cases: places.flatMap(({ cases }) => cases),
  })
  const places = rows.map((row, i) => placesOf(row, `row-${i + 1}`))
  const writable = places.flatMap((list, i) => (rows[i]!.readOnly ? [] : list))
  const lists = writable.flatMap(({ segment }) => segment ?? [])
  const isLooped = ({ key }: { readonly key: string }): boolean => key === 'looped'
  return [
    group('every operator, operand and type of attribute', false, writable, [...segments.filter(one => !isLooped(one)), ...lists]),
    group(
      'segments that are unknown or contain themselves',
      true,
      places.flatMap((list, i) => (rows[i]!.readOnly ? list : [])),
      segments,
    ),
    ...Object.entries(refused).map(([op, lists]) =>
      group(
        `operands that "${op}" cannot use`,
        true,
        lists.map((values, i) => unusable(op, values, i)),
      ),
    ),
  ]
}

interface Place {
  readonly flag: object
  readonly cases: readonly EvaluationCase[]
  readonly segment?: { readonly key: string }
}

function placesOf(row: OperatorRow, key: string): Place[] {
  const { op, values, ignoreCase, missing } = row
  const clause = { ...(op === 'segment' ? {} : { attribute: 'a' }), op, values, ...(ignoreCase && { ignoreCase }) }
  const rule = (clause: object): object => ({ rules: [{ id: 'r', clauses: [clause], serve: { variation: 'on' } }] })
  const match: Expected = { value: true, variation: 'on', reason: 'RULE_MATCH', ruleId: 'r' }
  const places: Place[] = [{ flag: flagOf(key, rule(clause)), cases: casesOf(row, key, 0, match) }]
  if (missing[1] !== null) {
    const negated = `${key}-negated`
    places.push({ flag: flagOf(negated, rule({ ...clause, negate: true })), cases: casesOf(row, negated, 1, match) })
  }
  if (op === 'in' && !ignoreCase) {
    const [target, segment] = [`${key}-target`, `${key}-segment`]
    places.push({
      flag: flagOf(target, { targets: [{ attribute: 'a', values, variation: 'on' }] }),
      cases: casesOf(row, target, 0, { value: true, variation: 'on', reason: 'TARGET_MATCH' }),
    })
    places.push({
      flag: flagOf(segment, rule({ op: 'segment', values: [segment] })),
      cases: casesOf(row, segment, 0, match),
      segment: { key: segment, version: 1, included: [{ attribute: 'a', values }], excluded: [], rules: [] } as { readonly key: string },
    })
  }
  return places
}

/** @param at 0 for plain, 1 for negated */
function casesOf(row: OperatorRow, flag: string, at: 0 | 1, match: Expected): EvaluationCase[] {
  const one = (name: string, context: EvaluationCase['context'], isMatch: boolean): EvaluationCase => ({
    name: `${at === 1 ? 'not ' : ''}${row.op} ${JSON.stringify(row.values).slice(0, 60)}${row.ignoreCase ? ', ignoring case' : ''}, of ${name}`,
    flag,
    context,
    expect: isMatch ? match : { value: false, variation: 'off', reason: 'FALLTHROUGH' },
  })
  const of = (values: readonly Json[], isMatch: boolean): EvaluationCase[] =>
    values.map(value => one(JSON.stringify(value), { a: value }, isMatch))
  return [
    ...of(row.matches, at === 0),
    ...of(row.fails, at === 1),
    ...of(row.neither, false),
    one('nothing', { b: 'x' }, row.missing[at] === true),
  ]
}

function unusable(op: string, values: readonly Json[], i: number): Place {
  const key = `${op}-${i}`
  const clause = { ...(op === 'segment' ? {} : { attribute: 'a' }), op, values }
  const name = `${op} ${JSON.stringify(values)}`
  return {
    flag: flagOf(key, { rules: [{ id: 'r', clauses: [clause], serve: { variation: 'on' } }] }),
    cases: [{ name, flag: key, context: { a: 'x' }, expect: { variation: null, reason: 'ERROR', error: 'MALFORMED_FLAG' } }],
  }
}

function flagOf(key: string, over: object): object {
  return {
    key,
    kind: 'release',
    version: 1,
    seed: 2984379123,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    enabled: true,
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { variation: 'off' },
    ...over,
  }
}
