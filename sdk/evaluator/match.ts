/** Whether a context matches clauses, lists and segments. Only looks up: everything was prepared. */
import type { Context } from '../../schemas/context.ts'
import { era, read } from './attribute.ts'
import type { Link, PreparedClause, PreparedList, PreparedSegment, SegmentVerdict } from './prepared.ts'

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

/**
 * The place of the first clause that does not match, or `NONE`.
 * @param from clauses before this place are known to match
 */
export function firstFailing(clauses: readonly PreparedClause[], from: number, context: Context, turn: number): number {
  for (let i = from; i < clauses.length; i++) {
    if (!clauseMatches(clauses[i]!, context, turn)) return i
  }
  return NONE
}

function clauseMatches(clause: PreparedClause, context: Context, turn: number): boolean {
  const { attribute, exists } = clause
  if (attribute === null) return clause.segments !== null && isInAny(clause.segments, context, turn) !== clause.negate
  const value = read(attribute, context, turn)
  if (exists !== null) return (value !== undefined) === exists
  // A missing attribute never matches, negated or not.
  if (value === undefined) return false
  // Most clauses of all compare with one or two values: without a call that costs more than the comparison.
  if (clause.one !== undefined && typeof value !== 'object') return (value === clause.one || value === clause.other) !== clause.negate
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

export function isListed(list: PreparedList, context: Context, turn: number): boolean {
  const value = read(list.attribute, context, turn)
  if (typeof value !== 'object' && list.one !== undefined) return value === list.one || value === list.other
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
  for (const list of segment.included) if (isListed(list, context, turn)) return VERDICTS.included
  for (const list of segment.excluded) if (isListed(list, context, turn)) return VERDICTS.excluded
  for (const rule of segment.rules) if (firstFailing(rule.clauses, 0, context, turn) === NONE) return rule.verdict
  return VERDICTS.nothing
}
