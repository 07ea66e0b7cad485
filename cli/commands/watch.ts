/** `sluice watch`: the change log as it grows, by long poll: who, what and why, and how far each change has arrived. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Change } from '../../schemas/change.ts'
import type { Receipts } from '../../schemas/instance.ts'
import { durationText } from '../../schemas/words.ts'
import type { Changes } from '../answers.ts'
import { changeLine, changeLines } from '../changes.ts'
import { at } from '../client.ts'
import { EXIT, Failure, usage } from '../failure.ts'
import { placeText } from '../moment.ts'
import { isConfirmed, receiptsText } from '../receipts.ts'
import { openSession, type Session } from '../session.ts'

/** How long one request waits for a change, in ms. */
const POLL_MS = 25_000
/** How long each change's receipts are waited for, in ms. */
const RECEIPTS_MS = 5_000
/** The most that one page of the log holds. */
const PAGE = 500
const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 30_000

interface WatchOptions {
  readonly limit?: string
  readonly since?: string
  readonly full?: boolean
  readonly receipts: boolean
}

const HELP = `
Examples:
  $ sluice watch -e production
  $ sluice watch -e production --since 30m --full
  $ sluice watch -e production --limit 1 --json        wait for the next change, then end

With --json each line is one object: { "type": "change", … } or { "type": "receipts", … }.
Ends with Ctrl-C, exit code 0. While the server is away it tries again, and misses nothing.`

export function addWatch(program: Command): void {
  program
    .command('watch')
    .summary('follow the changes as they are made')
    .description('Follow an environment: every change with who, what and why, and how far it has arrived.')
    .option('--limit <number>', 'end after so many changes')
    .option('--since <when>', 'begin there: a revision, 30m (ago), or a moment (default: now)')
    .option('--full', 'with what stood before and stands after')
    .option('--no-receipts', 'do not wait for the instances to confirm')
    .addHelpText('after', HELP)
    .action(async (options: WatchOptions, self: Command) => {
      const session = openSession(self)
      if (options.limit !== undefined && !/^[1-9]\d{0,8}$/.test(options.limit))
        throw usage(`--limit ${options.limit} is not a number of changes.`, 'Write it as in --limit 1.')
      const stop = new AbortController()
      const end = (): void => stop.abort()
      process.once('SIGINT', end).once('SIGTERM', end)
      try {
        await watch(session, options, stop.signal)
      } catch (error) {
        if (!stop.signal.aborted) throw error
        session.exit(EXIT.ok)
      } finally {
        process.off('SIGINT', end).off('SIGTERM', end)
      }
    })
}

async function watch(session: Session, options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { output, place } = session
  const limit = options.limit === undefined ? Infinity : Number(options.limit)
  const query =
    options.since === undefined ? { limit: 1 } : { since: placeText(options.since, '--since', Date.now()), order: 'oldest', limit: PAGE }
  const start = await session.client().call<Changes>(`${session.environmentPath}/changes`, { query, signal })
  const earlier = options.since === undefined ? [] : start.changes
  let after = earlier.at(-1)?.revision ?? start.revision
  let seen = 0
  const arrivals: Promise<void>[] = []
  const tell = (change: Change): void => {
    seen += 1
    tellChange(session, change, options)
    if (options.receipts) arrivals.push(tellReceipts(session, change, signal))
  }
  output.note(`Watching ${place} from revision ${after}. Ctrl-C ends.`)
  for (const change of earlier.slice(0, limit)) tell(change)
  while (seen < limit) {
    const asked = performance.now()
    const answer = await next(session, after, signal)
    // The server answers early and empty when it closes; without a pause that would be a loop.
    if (answer.changes.length === 0 && performance.now() - asked < RETRY_FIRST_MS) await wait(RETRY_FIRST_MS, undefined, { signal })
    // A restored backup takes the log back: what it does from there is news again.
    if (answer.revision < after) after = answer.revision
    for (const change of oldestFirst(answer.changes, after).slice(0, limit - seen)) {
      after = change.revision
      tell(change)
    }
  }
  await Promise.all(arrivals)
}

function oldestFirst(changes: readonly Change[], after: number): Change[] {
  return changes.filter(change => change.revision > after).sort((a, b) => a.revision - b.revision)
}

/** The next answer with what came after a revision; asks again for as long as the server is away. */
async function next(session: Session, after: number, signal: AbortSignal): Promise<Changes> {
  for (let retryMs = RETRY_FIRST_MS; ; retryMs = Math.min(RETRY_MAX_MS, retryMs * 2)) {
    try {
      return await session
        .client()
        .call<Changes>(`${session.environmentPath}/changes/wait`, { query: { after, waitMs: POLL_MS }, waitMs: POLL_MS, signal })
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== EXIT.unreachable) throw error
      session.output.note(`sluice: ${error.message} (${error.code}) Trying again in ${durationText(retryMs)}; nothing is missed.`)
      await wait(retryMs, undefined, { signal })
    }
  }
}

function tellChange(session: Session, change: Change, options: WatchOptions): void {
  const { output } = session
  output.record({ type: 'change', ...change })
  for (const line of options.full === true ? changeLines(change, output) : [changeLine(change, output)]) output.line(line)
}

/** Beside the watching, so that a slow instance does not hold up the next change. */
async function tellReceipts(session: Session, change: Change, signal: AbortSignal): Promise<void> {
  const { output } = session
  try {
    const receipts = await session.client().call<Receipts>(`${session.environmentPath}${at`/changes/${change.revision}/receipts`}`, {
      query: { waitMs: RECEIPTS_MS },
      waitMs: RECEIPTS_MS,
      signal,
    })
    output.record({ type: 'receipts', ...receipts })
    const text = `r${change.revision}  arrived: ${receiptsText(receipts, session.place)}`
    output.line(isConfirmed(receipts) ? output.colors.dim(text) : output.colors.yellow(text))
  } catch (error) {
    if (signal.aborted) return
    if (!(error instanceof Failure)) throw error
    output.note(`r${change.revision}  whether it has arrived is not known: ${error.message} (${error.code})`)
  }
}
