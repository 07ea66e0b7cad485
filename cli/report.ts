/** What every write says afterwards: what was done and where, who is affected, the revision, how far it has arrived, and how to undo it. */
import type { Receipts } from '../schemas/instance.ts'
import type { Written } from './answers.ts'
import { isConfirmed, noteUnconfirmed, receiptsText, waitForReceipts, type WaitOptions } from './receipts.ts'
import type { Session } from './session.ts'
import { commandText } from './words.ts'

export interface Report {
  /** `KILLED checkout in production`. */
  readonly title: string
  /** Labels with what they say; an empty text is left out. */
  readonly rows: readonly (readonly [label: string, text: string])[]
  /** Whole lines after the rows. */
  readonly lines?: readonly string[]
  /** The words after `sluice` that undo it, without `-p` and `--url`; null when nothing does. */
  readonly undo: readonly string[] | null
  /** Why there is no command that undoes it, or what else to know. */
  readonly next?: string
}

const LABEL_WIDTH = 9

/** Waits for receipts if asked to, then prints; with `--json`, what the server answered with `receipts` and `undo`. */
export async function reportWrite(session: Session, answer: Written, wait: WaitOptions | null, report: Report): Promise<void> {
  session.output.data(await reportText(session, answer, wait, report))
}

/**
 * The same, but leaves the JSON to the caller, who may have several to answer with.
 * @returns what `--json` prints
 */
export async function reportText(session: Session, answer: Written, wait: WaitOptions | null, report: Report): Promise<object> {
  const { output, settings } = session
  const receipts = wait === null ? null : await waitForReceipts(session, answer, wait)
  const undo = report.undo === null || answer.dryRun === true ? null : undoText(session, report.undo)
  const data = { ...answer, project: settings.project, environment: settings.environment, receipts, undo }
  for (const line of reportLines(session, answer, report, receipts, undo)) output.line(line)
  if (answer.volatile === true) {
    output.note(
      'sluice: published, but not stored yet: the storage of the server is ill. It is journalled and stored as soon as that heals. See "sluice status".',
    )
  }
  noteUnconfirmed(session, receipts)
  return data
}

function reportLines(session: Session, answer: Written, report: Report, receipts: Receipts | null, undo: string | null): string[] {
  const { colors } = session.output
  const row = ([label, text]: readonly [string, string]) => `  ${colors.dim(label.padEnd(LABEL_WIDTH))} ${text}`
  const rows = report.rows.filter(([, text]) => text !== '')
  const done =
    answer.dryRun === true
      ? `${answer.revision} stays: nothing was changed (--dry-run)`
      : answer.change === null
        ? `${answer.revision} stays`
        : String(answer.revision)
  const arrived = receipts === null ? [] : [row(['arrived', arrivedText(receipts, session)])]
  const lines = [colors.bold(report.title), ...rows.map(row), ...(report.lines ?? []), row(['revision', done]), ...arrived]
  if (report.next !== undefined) lines.push(row(['next', report.next]))
  return undo === null ? lines : [...lines, row(['undo', 'with this command:']), undo]
}

function arrivedText(receipts: Receipts, session: Session): string {
  const text = receiptsText(receipts, session.place)
  return isConfirmed(receipts) ? text : session.output.colors.yellow(text)
}

/** The exact command, with what it needs to mean the same from the same shell. */
export function undoText(session: Session, words: readonly string[]): string {
  return commandText(['sluice', ...words, ...session.settings.repeat])
}
