/**
 * Sums evaluations per flag, variation and reason until they are sent. Sums, not events: nothing about a context is
 * kept, and what can grow is bounded. What does not fit is dropped and counted.
 */
import { KEY_LENGTH_MAX } from '../schemas/limits.ts'
import { COUNTS_MAX, UNKNOWN_OPERATORS_MAX, UPSTREAM_BYTES_MAX } from '../schemas/protocol.ts'

/** Rows that wait to be sent. */
export const ROWS_MAX = 10_000
/** Results told apart between two reports. */
const COUNTERS_MAX = 20_000
/** Messages of one report: the server bounds how many it takes. The rest waits for the next report. */
const MESSAGES_MAX = 5
/** Leaves room in the frame for what stands around the rows. */
const ROWS_BYTES_MAX = UPSTREAM_BYTES_MAX - 4_096

/** What of an evaluation is counted. */
export interface Counted {
  readonly variation: string | null
  readonly reason: string
  readonly unbucketed?: true | undefined
}

interface Counter {
  readonly flag: string
  readonly evaluation: Counted
  count: number
}

interface Row {
  readonly flag: string
  readonly variation: string | null
  readonly reason: string
  count: number
  unbucketed?: number
}

export interface UnknownOperator {
  readonly op: string
  readonly where: string
}

/** One `counts` message of the stream, and the body of `POST /telemetry`. */
export interface Report {
  readonly type: 'counts'
  readonly dropped: number
  readonly counts: readonly Row[]
  readonly unknownOperators: readonly UnknownOperator[]
}

export class Counts {
  // Results are built when the ruleset is prepared, so the object itself is the key: one lookup and one addition per evaluation.
  readonly #counters = new Map<Counted, Counter>()
  // Errors are shared between flags: counted by flag.
  readonly #errors = new Map<string, Counter>()
  readonly #rows = new Map<string, Row>()
  #dropped = 0
  #operators: readonly UnknownOperator[] = []
  #operatorsAreNew = false

  add(flag: string, evaluation: Counted): void {
    const counter = this.#counters.get(evaluation)
    if (counter === undefined) this.#addFirst(flag, evaluation)
    else counter.count++
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
    this.#collect(this.#counters)
    this.#collect(this.#errors)
    const reports: Report[] = []
    let rows: Row[] = []
    let bytes = 0
    const finish = (): void => {
      reports.push({ type: 'counts', dropped: this.#dropped, counts: rows, unknownOperators: this.#operatorsAreNew ? this.#operators : [] })
      this.#dropped = 0
      this.#operatorsAreNew = false
      rows = []
      bytes = 0
    }
    // The first message alone carries the operators.
    bytes = this.#operatorsAreNew ? JSON.stringify(this.#operators).length : 0
    for (const [key, row] of this.#rows) {
      const size = Buffer.byteLength(JSON.stringify(row)) + 1
      if (rows.length === COUNTS_MAX || bytes + size > ROWS_BYTES_MAX) {
        finish()
        if (reports.length === MESSAGES_MAX) return reports
      }
      rows.push(row)
      bytes += size
      this.#rows.delete(key)
    }
    if (rows.length > 0 || this.#dropped > 0 || this.#operatorsAreNew) finish()
    return reports
  }

  /** Take back a report that could not be sent. */
  giveBack(report: Report): void {
    this.#dropped += report.dropped
    if (report.unknownOperators.length > 0) this.repeatUnknownOperators()
    for (const row of report.counts) this.#addRow(row.flag, row.variation, row.reason, row.count, row.unbucketed ?? 0)
  }

  #addFirst(flag: string, evaluation: Counted): void {
    if (typeof flag !== 'string' || flag.length > KEY_LENGTH_MAX) {
      this.#dropped++
      return
    }
    if (evaluation.reason === 'ERROR') {
      const counter = this.#errors.get(flag)
      if (counter !== undefined) counter.count++
      else if (this.#errors.size < ROWS_MAX) this.#errors.set(flag, { flag, evaluation, count: 1 })
      else this.#dropped++
      return
    }
    if (this.#counters.size < COUNTERS_MAX) this.#counters.set(evaluation, { flag, evaluation, count: 1 })
    else this.#dropped++
  }

  #collect<K>(counters: Map<K, Counter>): void {
    for (const [key, counter] of counters) {
      const { flag, evaluation, count } = counter
      // Idle for a whole interval, or of a ruleset that is gone.
      if (count === 0) {
        counters.delete(key)
        continue
      }
      this.#addRow(flag, evaluation.variation, evaluation.reason, count, evaluation.unbucketed === true ? count : 0)
      counter.count = 0
    }
  }

  #addRow(flag: string, variation: string | null, reason: string, count: number, unbucketed: number): void {
    const key = `${flag}\n${variation ?? ''}\n${reason}`
    let row = this.#rows.get(key)
    if (row === undefined) {
      if (this.#rows.size >= ROWS_MAX) {
        this.#dropped += count
        return
      }
      row = { flag, variation, reason, count: 0 }
      this.#rows.set(key, row)
    }
    row.count += count
    if (unbucketed > 0) row.unbucketed = (row.unbucketed ?? 0) + unbucketed
  }
}
