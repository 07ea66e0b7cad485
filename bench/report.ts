/**
 * How a bench says what it measured. Everything it prints is for people and goes into `RESULTS.md` as it stands; lines
 * made by `budget` are for `run.ts` as well, which collects them into the table at its top.
 */
import { cpus, totalmem } from 'node:os'

const BUDGET_LINE = /^budget: ([^|]+) \| ([^|]+) \| ([^|]+) \| (met|missed)$/

export interface Budget {
  readonly name: string
  /** What it should be, as in `≤ 2.00 × by hand`. */
  readonly limit: string
  /** What it was, in the same unit. */
  readonly measured: string
  readonly isMet: boolean
}

/** Print the verdict on one budget, one line. */
export function budget(name: string, limit: string, measured: string, isMet: boolean): void {
  const cells = [name, limit, measured].map(text => text.replace(/\s*[|\n]\s*/g, ', ').trim() || '-')
  print(`budget: ${cells.join(' | ')} | ${isMet ? 'met' : 'missed'}`)
}

/** The budget that a line of a bench states; null for every other line. */
export function parseBudget(line: string): Budget | null {
  const [, name, limit, measured, verdict] = BUDGET_LINE.exec(line) ?? []
  if (name === undefined || limit === undefined || measured === undefined) return null
  return { name, limit, measured, isMet: verdict === 'met' }
}

/** Processor, cores, memory and Node, for the first line of a bench. */
export function machine(): string {
  const list = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  return `${list.length} × ${list[0]?.model.trim() ?? 'unknown processor'}, ${memory}, Node ${process.version}`
}

/**
 * A Markdown table that can be read as it stands.
 * @param rows the first is the head; all of one length
 */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows
  const widths = head.map((_, column) => Math.max(3, ...rows.map(row => widthOf(row[column] ?? ''))))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => pad(cell, widths[column] ?? 0, column > 0)).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...body.map(line)].join('\n')
}

/** The value below which `share` of the values lie; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * share)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The median, and how far the quartiles are apart: `12.3 ± 0.4`. */
export function spread(values: readonly number[], digits = 1): string {
  return `${median(values).toFixed(digits)} ± ${(quantile(values, 0.75) - quantile(values, 0.25)).toFixed(digits)}`
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function widthOf(text: string): number {
  return [...text].length
}

function pad(text: string, width: number, isRight: boolean): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)))
  return isRight ? space + text : text + space
}
