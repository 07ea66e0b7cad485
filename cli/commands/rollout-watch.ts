/** `sluice rollout watch`: where a rollout is and what its guards see, redrawn until it ends. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import { at } from '../client.ts'
import { EXIT, Failure } from '../failure.ts'
import { durationText } from '../../schemas/words.ts'
import { parseDuration } from '../moment.ts'
import { canRedraw, openRedraw, type Redraw } from '../redraw.ts'
import { isOver, lineOf, newsOf, pictureOf, type Watched } from '../picture.ts'
import { openSession, type Session } from '../session.ts'

const INTERVAL_DEFAULT = '2s'
/** How often the server is asked at most, in ms. */
const INTERVAL_LEAST_MS = 250
const RETRY_MAX_MS = 30_000

interface WatchOptions {
  readonly interval: string
  readonly lines?: boolean
}

const HELP = `
Examples:
  $ sluice rollout watch new-ledger -e production
  $ sluice rollout watch new-ledger -e production --lines     a line per change, as where there is no terminal
  $ sluice rollout watch new-ledger -e production --json      one object a line: { "type": "rollout", … }

Ends when the rollout ends: exit code 0 when it is completed, ${EXIT.turnedBack} when it was turned back or cancelled. Ctrl-C ends it before, with 0;
the rollout goes on. While the server is away it tries again.`

export function addRolloutWatch(rollout: Command): void {
  rollout
    .command('watch')
    .summary('follow a rollout until it ends')
    .description(
      'A live picture: steps, shares, failures of both variations, the evidence against its line, and the last word of each guard.',
    )
    .argument('<flag>', 'the flag')
    .option('--interval <duration>', 'how often to look', INTERVAL_DEFAULT)
    .option('--lines', 'a line per change instead of a picture')
    .addHelpText('after', HELP)
    .action(async (flag: string, options: WatchOptions, self: Command) => {
      const session = openSession(self)
      const everyMs = Math.max(INTERVAL_LEAST_MS, parseDuration(options.interval, '--interval'))
      const isDrawn = options.lines !== true && !session.output.json && canRedraw(process.stdout, process.env)
      const teller = isDrawn ? picture(session, openRedraw(process.stdout)) : lines(session)
      const stop = new AbortController()
      const end = (): void => stop.abort()
      process.once('SIGINT', end).once('SIGTERM', end)
      process.stdout.on('resize', teller.again)
      try {
        await follow(session, flag, everyMs, teller, stop.signal)
      } catch (error) {
        if (!stop.signal.aborted) throw error
        session.exit(EXIT.ok)
      } finally {
        process.off('SIGINT', end).off('SIGTERM', end)
        process.stdout.off('resize', teller.again)
      }
    })
}

interface Teller {
  tell(watched: Watched): void
  /** The server is away. */
  trouble(text: string): void
  /** The same once more: the terminal has changed. */
  readonly again: () => void
}

async function follow(session: Session, flag: string, everyMs: number, teller: Teller, signal: AbortSignal): Promise<void> {
  const path = `${session.environmentPath}${at`/rollouts/${flag}/evidence`}`
  for (let retryMs = everyMs; ;) {
    try {
      const watched = await session.client().call<Watched>(path, { signal })
      retryMs = everyMs
      teller.tell(watched)
      if (isOver(watched.plan)) return session.exit(watched.plan.state === 'completed' ? EXIT.ok : EXIT.turnedBack)
      await wait(everyMs, undefined, { signal })
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== EXIT.unreachable) throw error
      teller.trouble(`sluice: ${error.message} (${error.code}) Trying again in ${durationText(retryMs)}.`)
      await wait(retryMs, undefined, { signal })
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 2)
    }
  }
}

function picture({ output: { colors }, place }: Session, redraw: Redraw): Teller {
  let last: Watched | null = null
  let problem: string | null = null
  const draw = (): void => {
    const { width, height } = redraw.size()
    const above = problem === null ? [] : [colors.yellow(problem)]
    const picture = last === null ? [] : pictureOf(last, { width, height: height - above.length, colors, place })
    redraw.draw([...picture, ...above])
  }
  return {
    tell(watched) {
      last = watched
      problem = null
      draw()
    },
    trouble(text) {
      problem = text
      draw()
    },
    again: draw,
  }
}

function lines({ output }: Session): Teller {
  let news = ''
  let record = ''
  return {
    tell(watched) {
      const { series: _series, ...rest } = watched
      const newRecord = `${newsOf(watched)} ${watched.slices}`
      if (newRecord !== record) output.record({ type: 'rollout', ...rest })
      record = newRecord
      const now = newsOf(watched)
      if (now !== news) output.line(lineOf(watched, new Date().toISOString()))
      news = now
    },
    trouble: text => output.note(text),
    again: () => undefined,
  }
}
