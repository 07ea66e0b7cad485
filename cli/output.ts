/**
 * The one place that writes: text for people or JSON for programs on stdout, notes and failures on stderr. Colours only
 * when stdout is a terminal and NO_COLOR is unset; never because some variable (CI, FORCE_COLOR) suggests it.
 */
import picocolors from 'picocolors'
import type { Failure } from './failure.ts'

export type Colors = ReturnType<typeof picocolors.createColors>

/** What is written to: `process.stdout` and `process.stderr`, or anything alike. */
export interface Sink {
  write(text: string): unknown
  readonly isTTY?: boolean
}

export interface Output {
  /** Whether `--json` was asked for. */
  readonly json: boolean
  readonly colors: Colors
  /** A line for people on stdout; nothing with `--json`. */
  line(text?: string): void
  /** A line for people on stderr, for what is not the answer; nothing with `--json`. */
  note(text: string): void
  /** The answer for programs on stdout; nothing without `--json`. */
  data(value: unknown): void
  /** One compact JSON object per line, for what goes on (`watch`); nothing without `--json`. */
  record(value: unknown): void
  /** Text for stdout as it is, whatever the mode: an export, a completion script. */
  raw(text: string): void
  /** A failure on stderr: text, or one JSON object `{ code, message, details }` with `--json`. */
  failure(failure: Failure): void
}

export function createOutput(
  stdout: Sink,
  stderr: Sink,
  options: { json: boolean; environment: Readonly<Record<string, string | undefined>> },
): Output {
  const { json } = options
  const colors = picocolors.createColors(coloured(stdout, options.environment))
  return {
    json,
    colors,
    line(text = '') {
      if (!json) stdout.write(`${shown(text)}\n`)
    },
    note(text) {
      if (!json) stderr.write(`${shown(text)}\n`)
    },
    data(value) {
      if (json) stdout.write(`${JSON.stringify(value, null, 2)}\n`)
    },
    record(value) {
      if (json) stdout.write(`${JSON.stringify(value)}\n`)
    },
    raw(text) {
      stdout.write(text)
    },
    failure(failure) {
      stderr.write(
        json ? `${JSON.stringify({ code: failure.code, message: failure.message, details: failure.details })}\n` : failureText(failure),
      )
    },
  }
}

/** Colours are for a person at a terminal: `CI=true` or a pipe never turns them on. */
export function coloured(stdout: Sink, environment: Readonly<Record<string, string | undefined>>): boolean {
  const refused = environment.NO_COLOR !== undefined && environment.NO_COLOR !== ''
  return stdout.isTTY === true && !refused && environment.TERM !== 'dumb'
}

/** Details shown in a failure; a body of 50 problems would bury the first. */
const DETAILS_SHOWN = 10

/** `sluice: what is wrong (CODE)`, one line per detail, then what to do. */
export function failureText(failure: Failure): string {
  const lines = [`sluice: ${failure.message} (${failure.code})`]
  const details = failure.details.filter(detail => !failure.message.includes(detail.message) || failure.details.length > 1)
  for (const detail of details.slice(0, DETAILS_SHOWN)) lines.push(`  ${detail.path === '' ? '' : `${detail.path}: `}${detail.message}`)
  if (details.length > DETAILS_SHOWN) lines.push(`  … and ${details.length - DETAILS_SHOWN} more; --json shows all`)
  if (failure.advice !== null) lines.push(`  ${failure.advice}`)
  return `${lines.map(shown).join('\n')}\n`
}

/**
 * Columns set below each other; the first row is the heading.
 * @param rows cells, colours included; every row as long as the first
 */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, width(cell))))
  return rows.map(row =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - width(cell))))
      .join('  ')
      .trimEnd(),
  )
}

const COLOUR = /\u001b\[\d+m/g

function width(cell: string): number {
  return cell.replace(COLOUR, '').length
}

// Names and reasons are written by others: whatever could move the cursor or retitle the terminal is shown, not sent.

const CONTROL = /\u001b(?!\[\d+m)|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

export function shown(text: string): string {
  return text.replace(CONTROL, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
