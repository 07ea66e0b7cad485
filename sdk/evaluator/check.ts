/** What the server refuses when a flag or segment is written: found by the same code that reads it in an SDK. */
import type { Clause } from '../../schemas/clause.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'

/** One thing wrong: `path` is relative to the clause (`op`, `values[2]`), `code` is stable, `message` says what to do. */
export interface ClauseProblem {
  readonly path: string
  readonly code: string
  readonly message: string
}

/** @param knownSegments keys a `segment` clause may name; without it they are not checked */
export function checkClause(clause: Clause, knownSegments?: { has(key: string): boolean }): ClauseProblem[] {
  void clause
  void knownSegments
  return []
}

/** The keys of a prerequisite cycle, first and last the same, or null. */
export function prerequisiteCycle(flags: ReadonlyMap<string, Flag>): string[] | null {
  void flags
  return null
}

/** The keys of a cycle of segments within segments, first and last the same, or null. */
export function segmentCycle(segments: ReadonlyMap<string, Segment>): string[] | null {
  void segments
  return null
}
