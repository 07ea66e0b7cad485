/** Waits for the word of the connected instances that a revision has arrived, and says it. */
import type { Command } from 'commander'
import type { Receipts } from '../schemas/instance.ts'
import { durationText } from '../schemas/words.ts'
import type { Written } from './answers.ts'
import { at } from './client.ts'
import { EXIT, Failure } from './failure.ts'
import { parseDuration } from './moment.ts'
import type { Session } from './session.ts'

/** How long a command waits for receipts unless told otherwise. */
export const WAIT_DEFAULT = '5s'
/** The longest that the server waits in one request, in ms. */
const WAIT_MAX_MS = 30_000
const MISSING_SHOWN = 5

export interface WaitOptions {
  readonly wait: string
}

/** Adds `--wait` to a command that changes what instances serve. */
export function withWait(command: Command): Command {
  return command.option(
    '--wait <duration>',
    'how long to wait until the connected instances confirm, at most 30s; 0 does not wait',
    WAIT_DEFAULT,
  )
}

/**
 * @returns what is known after the wait; null when nothing was written, nothing was waited for, or receipts cannot be
 *          read. A change that is made is made: failing to watch it arrive is a note, not a failure.
 */
export async function waitForReceipts(session: Session, written: Written, options: WaitOptions): Promise<Receipts | null> {
  const waitMs = Math.min(parseDuration(options.wait, '--wait'), WAIT_MAX_MS)
  if (waitMs === 0 || written.dryRun === true || written.revision === 0) return null
  try {
    return await session
      .client()
      .call<Receipts>(`${session.environmentPath}${at`/changes/${written.revision}/receipts`}`, { query: { waitMs }, waitMs })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    session.output.note(`sluice: done, but whether it has arrived is not known: ${error.message} (${error.code})`)
    session.exit(EXIT.unconfirmed)
    return null
  }
}

/** Whether every instance that is connected has confirmed. */
export function isConfirmed(receipts: Receipts): boolean {
  return receipts.confirmed >= receipts.instances
}

/** `415 of 415 instances in 0.8 s`, and who is missing. */
export function receiptsText(receipts: Receipts, place: string): string {
  if (receipts.instances === 0) return `no instance is connected to ${place}; whoever connects starts with it`
  const time = receipts.slowestMs === null ? '' : ` in ${durationText(receipts.slowestMs)}`
  const text = `${receipts.confirmed} of ${receipts.instances} instances${time}`
  if (isConfirmed(receipts)) return text
  const missing = receipts.missing.slice(0, MISSING_SHOWN).map(each => `${each.service}/${each.id} (still at ${each.revision})`)
  const more = receipts.instances - receipts.confirmed - missing.length
  return `${text}; missing ${missing.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** Notes it when an instance has not confirmed in time, and sets the exit code that says so. */
export function noteUnconfirmed(session: Session, receipts: Receipts | null): void {
  if (receipts === null || isConfirmed(receipts)) return
  session.output.note(
    `sluice: not confirmed by ${receipts.instances - receipts.confirmed} of ${receipts.instances} instances yet. They still serve what stood before; they take it as soon as their link is back.`,
  )
  session.output.note(`  See who: sluice instances -e ${session.settings.environment}`)
  session.exit(EXIT.unconfirmed)
}
