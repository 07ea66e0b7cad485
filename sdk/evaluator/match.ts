/** Whether a context matches clauses, lists and segments. Only looks up: everything was prepared. */
import type { Context } from '../../schemas/context.ts'
import { type Attribute, read, readRaw } from './attribute.ts'
import { type Block, staying } from './columns.ts'
import type { Outcome } from './evaluation.ts'
import type { Link, PreparedClause, PreparedList, PreparedSegment, SegmentVerdict } from './prepared.ts'
import { roll } from './rollout.ts'
import { era } from './turn.ts'

/** What `firstFailing` answers when all clauses match. */
export const NONE = -1

export const VERDICTS = {
  included: { matched: true, by: 'included' },
  excluded: { matched: false, by: 'excluded' },
  nothing: { matched: false, by: 'nothing' },
  unknown: { matched: false, by: 'unknown' },
  malformed: { matched: false, by: 'malformed' },
  cycle: { matched: false, by: 'cycle' },
} as const satisfies Record<string, SegmentVerdict>

/** The outcome of the first target or rule that matches; null when none does. */
export function firstMatch(first: Block, context: Context, turn: number): Outcome | null {
  for (let block: Block | null = first; block !== null; block = block.next) {
    let candidates = block.all
    let attribute: Attribute | null = null
    let value: unknown
    for (let column = block.column; column !== null; column = column.next) {
      if (column.attribute !== attribute) {
        ;({ attribute } = column)
        value = readRaw(attribute, context)
      }
      candidates &= staying(column, value)
      if (candidates === 0) break
    }
    // The lowest bit is the first step.
    for (; candidates !== 0; candidates &= candidates - 1) {
      const step = 31 - Math.clz32(candidates & -candidates)
      const clauses = block.residual === null ? null : block.residual[step]!
      if (clauses === null || firstFailing(clauses, context, turn) === NONE)
        return block.literals[step] ?? roll(block.rollouts[step]!, context)
    }
  }
  return null
}

/** The place of the first clause that does not match, or `NONE`. */
export function firstFailing(clauses: readonly PreparedClause[], context: Context, turn: number): number {
  for (let i = 0; i < clauses.length; i++) {
    if (!clauseMatches(clauses[i]!, context, turn)) return i
  }
  return NONE
}

function clauseMatches(clause: PreparedClause, context: Context, turn: number): boolean {
  const { attribute, exists } = clause
  if (attribute === null) return clause.segments !== null && isInAny(clause.segments, context, turn) !== clause.negate
  const value = read(attribute, context)
  if (exists !== null) return (value !== undefined) === exists
  // A missing attribute never matches, negated or not.
  if (value === undefined) return false
  return (typeof value === 'object' && Array.isArray(value) ? anyElement(clause, value) : clause.test(value)) !== clause.negate
}

function anyElement(clause: PreparedClause, elements: readonly unknown[]): boolean {
  try {
    return elements.some(clause.test)
  } catch {
    // An element whose getter throws: only an application's own object can have one.
    return false
  }
}

function isListed(list: PreparedList, context: Context): boolean {
  const value = read(list.attribute, context)
  if (!Array.isArray(value)) return list.values.has(value)
  try {
    return value.some(element => list.values.has(element))
  } catch {
    return false
  }
}

function isInAny(segments: readonly Link<PreparedSegment>[], context: Context, turn: number): boolean {
  for (const segment of segments) {
    if (segmentVerdict(segment, context, turn).matched) return true
  }
  return false
}

/** Decided once per evaluation, however many rules and segments ask. */
export function segmentVerdict(link: Link<PreparedSegment>, context: Context, turn: number): SegmentVerdict {
  const segment = link.now
  if (segment === null) return VERDICTS.unknown
  if (segment.turn === turn && segment.era === era) return segment.verdict
  const verdict = decideSegment(segment, context, turn)
  segment.turn = turn
  segment.era = era
  segment.verdict = verdict
  return verdict
}

/** Included wins over excluded, excluded over rules. */
function decideSegment(segment: PreparedSegment, context: Context, turn: number): SegmentVerdict {
  if (segment.malformed !== null) return VERDICTS.malformed
  if (segment.blocked !== null) return VERDICTS.cycle
  for (const list of segment.included) if (isListed(list, context)) return VERDICTS.included
  for (const list of segment.excluded) if (isListed(list, context)) return VERDICTS.excluded
  for (const rule of segment.rules) if (firstFailing(rule.clauses, context, turn) === NONE) return rule.verdict
  return VERDICTS.nothing
}
