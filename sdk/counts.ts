/**
 * Sums evaluations per flag, variation and reason until they are sent. Sums, not events: nothing about a context is
 * kept, and what can grow is bounded. What does not fit is dropped and counted.
 */
import { KEY_LENGTH_MAX } from '../schemas/limits.ts'
import { COUNTS_MAX, TRACKED_MAX, UNKNOWN_OPERATORS_MAX, UPSTREAM_BYTES_MAX } from '../schemas/protocol.ts'
import type { Evaluation, Outcome } from './evaluator/evaluation.ts'
import type { OutcomeRow, Outcomes } from './outcomes.ts'

/** Rows that wait to be sent. */
export const ROWS_MAX = 10_000
/** Outcomes that wait to be summed up; then they are. */
const COUNTED_MAX = 100_000
/** Messages of one report: the server bounds how many it takes. The rest waits for the next report. */
const MESSAGES_MAX = 5
/** Leaves room in the frame for what stands around the rows. */
const ROWS_BYTES_MAX = UPSTREAM_BYTES_MAX - 4_096

/** The evaluation of an error: what of it is counted. */
export type Counted = Pick<Evaluation, 'error'>

interface Row {
  readonly flag: string
  readonly variation: string | null
  readonly reason: string
  /** Which `ERROR` it was. */
  readonly error?: string
  /** The type that was asked for and that the flag does not have. */
  readonly asked?: string
  count: number
  unbucketed?: number
}

/** One kind of failure of one flag. */
interface Failure {
  readonly flag: string
  readonly error: string
  readonly asked: string | null
  count: number
}

export interface UnknownOperator {
  readonly op: string
  readonly where: string
}

/** An event of the application's own: how often, and the sum of the values it came with. */
export interface Tracked {
  readonly event: string
  count: number
  value: number
}

/** One `counts` message of the stream, and the body of `POST /telemetry`. */
export interface Report {
  readonly type: 'counts'
  readonly dropped: number
  readonly counts: readonly Row[]
  readonly unknownOperators: readonly UnknownOperator[]
  readonly tracked?: readonly Tracked[]
  readonly outcomes?: readonly OutcomeRow[]
}

export class Counts {
  /** Sent along. */
  readonly #outcomes: Outcomes | null
  /** Those that came out since the last report. Each carries its own count: counting is one addition. */
  #counted: Outcome[] = []
  /** By flag; each fails in a few ways at most. */
  readonly #failures = new Map<string, Failure[]>()
  /** Over all flags. */
  #failureCount = 0
  readonly #rows = new Map<string, Row>()
  readonly #tracked = new Map<string, Tracked>()
  #dropped = 0
  #operators: readonly UnknownOperator[] = []
  #operatorsAreNew = false

  constructor(outcomes: Outcomes | null = null) {
    this.#outcomes = outcomes
  }

  /** Count an outcome that has a value. */
  add(outcome: Outcome): void {
    if (outcome.count++ === 0) this.#addFirst(outcome)
  }

  #addFirst(outcome: Outcome): void {
    this.#counted.push(outcome)
    if (this.#counted.length >= COUNTED_MAX) this.collect()
  }

  /**
   * Count a result without a value. Errors are shared between flags, and flags that do not exist are without number.
   * @param asked the type of the caller's default; null for any
   */
  addError(flag: string, evaluation: Counted, asked: string | null): void {
    if (typeof flag !== 'string' || flag.length > KEY_LENGTH_MAX) {
      this.#dropped++
      return
    }
    const error: string = evaluation.error ?? ''
    const type = error === 'TYPE_MISMATCH' ? asked : null
    const known = this.#failures.get(flag)
    const same = known?.find(failure => failure.error === error && failure.asked === type)
    if (same !== undefined) {
      same.count++
      return
    }
    if (this.#failureCount >= ROWS_MAX) {
      this.#dropped++
      return
    }
    this.#failureCount++
    const failure = { flag, error, asked: type, count: 1 }
    if (known === undefined) this.#failures.set(flag, [failure])
    else known.push(failure)
  }

  /** Count an event of the application's own. What has no name, or too long a one, is dropped. */
  track(event: string, value: number | undefined): void {
    if (typeof event !== 'string' || event === '' || event.length > KEY_LENGTH_MAX) this.#dropped++
    else this.#addTracked(event, 1, Number.isFinite(value) ? value! : 0)
  }

  /** Evaluations counted so far are void; events stay. */
  clear(): void {
    this.collect()
    this.#rows.clear()
    this.#dropped = 0
  }

  /** The operators that this SDK does not know, sent with the next report. */
  setUnknownOperators(operators: readonly UnknownOperator[]): void {
    if (operators.length === 0 && this.#operators.length === 0) return
    this.#operators = operators
      .slice(0, UNKNOWN_OPERATORS_MAX)
      .map(({ op, where }) => ({ op: String(op).slice(0, 64), where: String(where).slice(0, 300) }))
    this.#operatorsAreNew = true
  }

  /** Say the unknown operators again: whoever listens now has not heard them. */
  repeatUnknownOperators(): void {
    if (this.#operators.length > 0) this.#operatorsAreNew = true
  }

  /** What there is to report, each message within the server's limits; empty for nothing. It is gone from here: give back what could not be sent. */
  take(): readonly Report[] {
    this.collect()
    const reports: Report[] = []
    let rows: Row[] = []
    let tracked: Tracked[] = []
    let outcomes: OutcomeRow[] = []
    this.#dropped += this.#outcomes?.takeDropped() ?? 0
    let bytes = 0
    const finish = (): void => {
      const unknownOperators = this.#operatorsAreNew ? this.#operators : []
      reports.push({
        type: 'counts',
        dropped: this.#dropped,
        counts: rows,
        unknownOperators,
        ...(tracked.length > 0 ? { tracked } : {}),
        ...(outcomes.length > 0 ? { outcomes } : {}),
      })
      this.#dropped = 0
      this.#operatorsAreNew = false
      rows = []
      tracked = []
      outcomes = []
      bytes = 0
    }
    // The first message alone carries the operators.
    bytes = this.#operatorsAreNew ? JSON.stringify(this.#operators).length : 0
    for (const [event, one] of this.#tracked) {
      const size = sizeOf(one)
      if (bytes + size > ROWS_BYTES_MAX) finish()
      tracked.push(one)
      bytes += size
      this.#tracked.delete(event)
    }
    // Before the counts of evaluations: something may be waiting to turn back by them. They fill two or three messages at most.
    for (const row of this.#outcomes?.take() ?? []) {
      const size = sizeOf(row)
      if (bytes + size > ROWS_BYTES_MAX) finish()
      outcomes.push(row)
      bytes += size
    }
    for (const [key, row] of this.#rows) {
      const size = sizeOf(row)
      if (rows.length === COUNTS_MAX || bytes + size > ROWS_BYTES_MAX) {
        finish()
        if (reports.length === MESSAGES_MAX) return reports
      }
      rows.push(row)
      bytes += size
      this.#rows.delete(key)
    }
    if (rows.length + tracked.length + outcomes.length > 0 || this.#dropped > 0 || this.#operatorsAreNew) finish()
    return reports
  }

  /** Take back a report that could not be sent. */
  giveBack(report: Report): void {
    this.#dropped += report.dropped
    if (report.unknownOperators.length > 0) this.repeatUnknownOperators()
    for (const { count, unbucketed, ...what } of report.counts) this.#addRow(what, count, unbucketed ?? 0)
    for (const { event, count, value } of report.tracked ?? []) this.#addTracked(event, count, value)
    this.#outcomes?.giveBack(report.outcomes ?? [])
  }

  /** Sum up: what was counted is let go of, a ruleset that was replaced included. */
  collect(): void {
    for (const outcome of this.#counted) {
      const { flag, count, evaluation } = outcome
      const { variation, reason, unbucketed } = evaluation
      this.#addRow({ flag, variation, reason }, count, unbucketed === true ? count : 0)
      outcome.count = 0
    }
    this.#counted = []
    for (const { flag, error, asked, count } of [...this.#failures.values()].flat()) {
      const why = { ...(error === '' ? {} : { error }), ...(asked === null ? {} : { asked }) }
      this.#addRow({ flag, variation: null, reason: 'ERROR', ...why }, count, 0)
    }
    this.#failures.clear()
    this.#failureCount = 0
  }

  #addRow(what: Omit<Row, 'count' | 'unbucketed'>, count: number, unbucketed: number): void {
    const key = `${what.flag}\n${what.variation ?? ''}\n${what.reason}\n${what.error ?? ''}\n${what.asked ?? ''}`
    let row = this.#rows.get(key)
    if (row === undefined) {
      if (this.#rows.size >= ROWS_MAX) {
        this.#dropped += count
        return
      }
      row = { ...what, count: 0 }
      this.#rows.set(key, row)
    }
    row.count += count
    if (unbucketed > 0) row.unbucketed = (row.unbucketed ?? 0) + unbucketed
  }

  #addTracked(event: string, count: number, value: number): void {
    let one = this.#tracked.get(event)
    if (one === undefined) {
      if (this.#tracked.size >= TRACKED_MAX) {
        this.#dropped += count
        return
      }
      one = { event, count: 0, value: 0 }
      this.#tracked.set(event, one)
    }
    one.count += count
    // JSON has no infinity.
    one.value = Math.max(-Number.MAX_VALUE, Math.min(one.value + value, Number.MAX_VALUE))
  }
}

/** In a message, in bytes, with its comma. */
function sizeOf(item: Row | Tracked | OutcomeRow): number {
  return Buffer.byteLength(JSON.stringify(item)) + 1
}
