/** What the server refuses when a flag or segment is written: found by the same code that reads it in an SDK. */
import type { Clause } from '../../schemas/clause.ts'
import type { Flag } from '../../schemas/flag.ts'
import { OPERATORS } from '../../schemas/operator.ts'
import type { Segment } from '../../schemas/segment.ts'
import { attributeOf } from './attribute.ts'
import { chainsOf } from './cycles.ts'
import { isOperator, knowsIgnoreCase, operandsOf } from './operators.ts'

/** One thing wrong: `path` is relative to the clause (`op`, `values[2]`), `code` is stable, `message` says what to do. */
export interface ClauseProblem {
  readonly path: string
  readonly code: string
  readonly message: string
}

/**
 * Everything about a clause that an evaluator could not use, or would not understand as it was meant.
 * @param knownSegments keys a `segment` clause may name; without it they are not checked
 *
 * Codes: `unknown_operator`, `attribute_missing`, `attribute_unexpected`, `invalid_pointer`, `negate_unexpected`,
 * `ignore_case_unexpected`, `operand_count`, `operand_type`, `operand_order`, `invalid_pattern`, `pattern_too_long`,
 * `invalid_date`, `invalid_version`, `invalid_network`, `unknown_segment`.
 */
export function checkClause(clause: Clause, knownSegments?: { has(key: string): boolean }): ClauseProblem[] {
  const { op, values } = clause
  if (!isOperator(op))
    return [{ path: 'op', code: 'unknown_operator', message: `"${String(op)}" is not an operator. Use one of ${OPERATORS.join(', ')}.` }]
  const problems = attributeProblems(clause)
  if (clause.negate === true && op === 'exists') {
    problems.push({
      path: 'negate',
      code: 'negate_unexpected',
      message: '"exists" cannot be negated. Write [false] instead of [true], or the other way round.',
    })
  }
  if (clause.ignoreCase === true && !knowsIgnoreCase(op)) {
    const cure = op === 'matches' ? 'Begin the expression with (?i) instead' : 'Remove it'
    problems.push({ path: 'ignoreCase', code: 'ignore_case_unexpected', message: `"${op}" does not know ignoreCase. ${cure}.` })
  }
  problems.push(...operandsOf(op, values, clause.ignoreCase === true).problems)
  const [lowest, highest] = values
  if (op === 'between' && typeof lowest === 'number' && typeof highest === 'number' && lowest > highest) {
    problems.push({
      path: 'values',
      code: 'operand_order',
      message: `Nothing lies between ${lowest} and ${highest}. Name the lowest first.`,
    })
  }
  if (op === 'segment' && knownSegments !== undefined) {
    values.forEach((key, i) => {
      if (typeof key !== 'string' || key === '' || knownSegments.has(key)) return
      problems.push({
        path: `values[${i}]`,
        code: 'unknown_segment',
        message: `There is no segment "${key}" in this environment. Create it first, or correct the key.`,
      })
    })
  }
  return problems
}

function attributeProblems({ op, attribute }: Clause): ClauseProblem[] {
  if (op === 'segment') {
    if (attribute === undefined) return []
    return [
      {
        path: 'attribute',
        code: 'attribute_unexpected',
        message: '"segment" looks at no attribute. Remove it: the segment names its own.',
      },
    ]
  }
  if (attribute === undefined) {
    return [
      {
        path: 'attribute',
        code: 'attribute_missing',
        message: `"${op}" needs an attribute. Name it, as in "targetingKey" or "/account/plan".`,
      },
    ]
  }
  if (attributeOf(attribute) !== null) return []
  return [
    {
      path: 'attribute',
      code: 'invalid_pointer',
      message: `"${attribute}" is not a JSON Pointer. Within a name, write "~" as "~0" and "/" as "~1".`,
    },
  ]
}

/** The keys of one cycle of prerequisites, the first repeated at the end, or null. */
export function prerequisiteCycle(flags: ReadonlyMap<string, Pick<Flag, 'prerequisites'>>): string[] | null {
  return firstCycle(prerequisiteReferences(flags))
}

/** The keys of one cycle of segments within segments, the first repeated at the end, or null. */
export function segmentCycle(segments: ReadonlyMap<string, Pick<Segment, 'rules'>>): string[] | null {
  return firstCycle(segmentReferences(segments))
}

/** How many prerequisites follow each other at most, starting from this flag; for a limit on what may be written. */
export function prerequisiteDepth(flags: ReadonlyMap<string, Pick<Flag, 'prerequisites'>>, flag: string): number {
  return chainsOf(prerequisiteReferences(flags)).lengths.get(flag) ?? 0
}

/** How many segments lie within each other at most, starting from this one. */
export function segmentDepth(segments: ReadonlyMap<string, Pick<Segment, 'rules'>>, segment: string): number {
  return chainsOf(segmentReferences(segments)).lengths.get(segment) ?? 0
}

function prerequisiteReferences(flags: ReadonlyMap<string, Pick<Flag, 'prerequisites'>>): Map<string, string[]> {
  return new Map(Array.from(flags, ([key, { prerequisites }]) => [key, prerequisites.map(({ flag }) => flag)]))
}

function segmentReferences(segments: ReadonlyMap<string, Pick<Segment, 'rules'>>): Map<string, string[]> {
  return new Map(
    Array.from(segments, ([key, { rules }]) => {
      const named = rules.flatMap(({ clauses }) => clauses.filter(({ op }) => op === 'segment').flatMap(({ values }) => values))
      return [key, named.filter(value => typeof value === 'string')]
    }),
  )
}

function firstCycle(references: ReadonlyMap<string, readonly string[]>): string[] | null {
  const [cycle] = chainsOf(references).cycles.values()
  return cycle === undefined ? null : [...cycle]
}
