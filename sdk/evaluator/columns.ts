/**
 * Targets and rules as columns of bits: for each attribute, which of them a value satisfies. One look at each attribute
 * then leaves the few that can match, in their order, instead of a look at every clause.
 *
 * This is the bit vector scheme of packet filters (Lakshman and Stiliadis, SIGCOMM 1998): a block holds up to 31 steps,
 * one bit each, and a context's candidates are the intersection of what its columns answer. Clauses that no column can
 * hold (texts within texts, versions, dates, networks, segments) stay with their step and are asked of candidates only.
 */
import type { Attribute } from './attribute.ts'
import { isPlainList } from './clause.ts'
import type { Outcome } from './evaluation.ts'
import { isWithin, type Range, rangeOf } from './operators.ts'
import type { PreparedClause, PreparedRollout, PreparedServe } from './prepared.ts'

/** Bits of one word: more would not be a small integer to V8. */
const STEPS_PER_BLOCK = 31

/** A target or a rule: what it asks for, and what it then serves. */
export interface Step {
  readonly clauses: readonly PreparedClause[]
  readonly serve: PreparedServe
}

export interface Block {
  /** The first of its columns; columns of one attribute follow each other. */
  readonly column: Column | null
  /** One bit for each step. */
  readonly all: number
  /** By step: the clauses that stand in no column, null for none; null when no step has any. */
  readonly residual: readonly (readonly PreparedClause[] | null)[] | null
  /** By step: what it serves; null for a rollout. */
  readonly literals: readonly (Outcome | null)[]
  readonly rollouts: readonly (PreparedRollout | null)[]
  readonly next: Block | null
}

/** At most one clause of each step, all on one attribute. In the order in which it is asked, for the processor's cache. */
export interface Column {
  readonly attribute: Attribute
  /** More than two listed values with their steps. */
  readonly listed: ReadonlyMap<unknown, number> | null
  /** Up to two: comparing is quicker than looking up, and visits less memory. */
  readonly one: unknown
  readonly oneHits: number
  readonly other: unknown
  readonly otherHits: number
  /** Rising bounds of number ranges; null for none. */
  readonly bounds: readonly number[] | null
  /** Steps that want the attribute to be there, whatever it is. */
  readonly present: number
  /** Steps whose clause is negated. */
  readonly negated: number
  /** Steps without a clause here: whatever the value, they stay. */
  readonly free: number
  readonly next: Column | null
  /** Steps that stay when the attribute is missing. */
  readonly absent: number
  /** The steps of what lies below the first bound, on it, between it and the second, on that, and so on. */
  readonly cells: readonly number[]
}

/** The steps of a column that stay for a value as `readRaw` gives it. */
export function staying(column: Column, value: unknown): number {
  let found: number
  switch (typeof value) {
    case 'string':
    case 'boolean':
      found = listedHits(column, value)
      break
    case 'number':
      found = listedHits(column, value)
      if (column.bounds !== null) found |= cellHits(column.bounds, column.cells, value)
      break
    case 'object':
      if (value === null) return column.absent
      found = elementHits(column, value)
      break
    case 'bigint':
      found = 0
      break
    default:
      return column.absent
  }
  return ((column.present | found) ^ column.negated) | column.free
}

function hits(column: Column, value: unknown): number {
  const found = listedHits(column, value)
  return column.bounds !== null && typeof value === 'number' ? found | cellHits(column.bounds, column.cells, value) : found
}

function listedHits({ listed, one, oneHits, other, otherHits }: Column, value: unknown): number {
  if (listed !== null) return listed.get(value) ?? 0
  return value === one ? oneHits : value === other ? otherHits : 0
}

/** Any element of an array may satisfy a clause; an object satisfies none. */
function elementHits(column: Column, value: unknown): number {
  if (!Array.isArray(value)) return 0
  let found = 0
  try {
    for (const element of value as readonly unknown[])
      if (element !== undefined && typeof element !== 'object') found |= hits(column, element)
  } catch {
    // An element whose getter throws: only an application's own object can have one. As in `anyElement`, the array ends there.
    return found
  }
  return found
}

function cellHits(bounds: readonly number[], cells: readonly number[], value: number): number {
  // The number of bounds not above the value. NaN is above none, and within no range either.
  let low = 0
  let high = bounds.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (bounds[middle]! <= value) low = middle + 1
    else high = middle
  }
  if (low > 0 && bounds[low - 1] === value) return cells[2 * low - 1]!
  return value === value ? cells[2 * low]! : 0
}

/** @returns the first block; null when there are no steps */
export function blocksOf(steps: readonly Step[]): Block | null {
  if (steps.length === 0) return null
  let next: Block | null = null
  for (let start = Math.floor((steps.length - 1) / STEPS_PER_BLOCK) * STEPS_PER_BLOCK; start >= 0; start -= STEPS_PER_BLOCK)
    next = blockOf(steps.slice(start, start + STEPS_PER_BLOCK), next)
  return next
}

interface Draft {
  readonly attribute: Attribute
  readonly clauses: { readonly bit: number; readonly clause: PreparedClause }[]
}

function blockOf(steps: readonly Step[], next: Block | null): Block {
  // Several clauses of one step on the same attribute go to several columns: the first to the first, and so on.
  const drafts = new Map<Attribute, Draft[]>()
  const residual = steps.map((step, i) => {
    const rest: PreparedClause[] = []
    // How many clauses on each attribute came before; a single one has none before it.
    const seen = step.clauses.length > 1 ? new Map<Attribute, number>() : null
    for (const clause of step.clauses) {
      const { attribute } = clause
      if (attribute === null || !hasColumn(clause)) {
        rest.push(clause)
        continue
      }
      const depth = seen?.get(attribute) ?? 0
      seen?.set(attribute, depth + 1)
      let columns = drafts.get(attribute)
      if (columns === undefined) drafts.set(attribute, (columns = []))
      const column = (columns[depth] ??= { attribute, clauses: [] })
      column.clauses.push({ bit: 1 << i, clause })
    }
    return rest.length === 0 ? null : rest
  })
  const all = 2 ** steps.length - 1
  let column: Column | null = null
  for (const draft of [...drafts.values()].flat().reverse()) column = columnOf(draft, all, column)
  return {
    column,
    all,
    residual: residual.some(clauses => clauses !== null) ? residual : null,
    literals: steps.map(step => step.serve.literal),
    rollouts: steps.map(step => step.serve.rollout),
    next,
  }
}

function hasColumn(clause: PreparedClause): boolean {
  return clause.exists !== null || isPlainList(clause.source) || rangeOf(clause.source.op, clause.source.values) !== null
}

function columnOf({ attribute, clauses }: Draft, all: number, next: Column | null): Column {
  let [free, absent, present, negated] = [all, 0, 0, 0]
  const listed = new Map<unknown, number>()
  const ranges: { bit: number; range: Range }[] = []
  for (const { bit, clause } of clauses) {
    free &= ~bit
    if (clause.negate) negated |= bit
    if (clause.exists !== null) {
      if (clause.exists) present |= bit
      else absent |= bit
      continue
    }
    const range = rangeOf(clause.source.op, clause.source.values)
    if (range !== null) ranges.push({ bit, range })
    // NaN finds itself in a map, but is not equal to itself in a clause.
    else for (const value of clause.source.values) if (!Number.isNaN(value)) listed.set(value, (listed.get(value) ?? 0) | bit)
  }
  const isShort = listed.size <= 2
  const [one, other] = isShort ? [...listed] : []
  const { bounds, cells } = cellsOf(ranges)
  return {
    attribute,
    listed: isShort ? null : listed,
    one: one?.[0],
    oneHits: one?.[1] ?? 0,
    other: other?.[0],
    otherHits: other?.[1] ?? 0,
    bounds,
    present,
    negated,
    free,
    next,
    absent: absent | free,
    cells,
  }
}

function cellsOf(ranges: readonly { bit: number; range: Range }[]): Pick<Column, 'bounds' | 'cells'> {
  if (ranges.length === 0) return { bounds: null, cells: [] }
  const bounds = [...new Set(ranges.flatMap(({ range: { from, to } }) => [from, to]))].sort((a, b) => a - b)
  const hitsWhere = (holds: (range: Range) => boolean): number =>
    ranges.reduce((found, { bit, range }) => (holds(range) ? found | bit : found), 0)
  // Between two bounds next to each other no range begins or ends: it holds all that lies there, or nothing.
  const gap = (above: number, below: number): number => hitsWhere(({ from, to }) => from <= above && to >= below)
  const cells = bounds.flatMap((bound, i) => [gap(bounds[i - 1] ?? -Infinity, bound), hitsWhere(range => isWithin(range, bound))])
  return { bounds, cells: [...cells, gap(bounds.at(-1)!, Infinity)] }
}
