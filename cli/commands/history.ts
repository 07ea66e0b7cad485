/** `sluice history`: who changed what, and why. */
import type { Command } from 'commander'
import type { Change } from '../../schemas/change.ts'
import type { Changes } from '../answers.ts'
import { changeLine, changeLines } from '../changes.ts'
import { at } from '../client.ts'
import { usage } from '../failure.ts'
import { placeText } from '../moment.ts'
import { openSession } from '../session.ts'

/** The most that one page of the log holds. */
const LIMIT_MAX = 500

interface HistoryOptions {
  readonly since?: string
  readonly until?: string
  readonly segment?: string
  readonly limit: string
  readonly full?: boolean
  readonly revision?: string
}

const HELP = `
Examples:
  $ sluice history -e production                       the newest 20 changes
  $ sluice history checkout -e production --full       of one flag, place by place
  $ sluice history -e production --since 2h            of the last two hours
  $ sluice history -e production --revision 9871       one change, whole`

export function addHistory(program: Command): void {
  program
    .command('history')
    .summary('who changed what, and why')
    .description('The change log of an environment, newest first.')
    .argument('[flag]', 'only changes that touch this flag')
    .option('--since <when>', 'only later ones: a revision, 2h (ago), or a moment')
    .option('--until <when>', 'only up to then: a revision, 2h (ago), or a moment')
    .option('--segment <segment>', 'only changes that touch this segment')
    .option('--limit <number>', 'how many at most', '20')
    .option('--full', 'with what stood before and stands after')
    .option('--revision <number>', 'one change, whole')
    .addHelpText('after', HELP)
    .action(async (flag: string | undefined, options: HistoryOptions, self: Command) => {
      const session = openSession(self)
      const { output } = session
      if (options.revision !== undefined) {
        const change = await session
          .client()
          .call<Change>(`${session.environmentPath}${at`/changes/${options.revision.replace(/^r/, '')}`}`)
        output.data(change)
        for (const line of changeLines(change, output)) output.line(line)
        return
      }
      if (!/^[1-9]\d{0,5}$/.test(options.limit))
        throw usage(`--limit ${options.limit} is not a number of changes.`, 'Write it as in --limit 50.')
      const now = Date.now()
      const since = options.since === undefined ? undefined : placeText(options.since, '--since', now)
      const until = options.until === undefined ? undefined : placeText(options.until, '--until', now)
      const answer = await session.client().call<Changes>(`${session.environmentPath}/changes`, {
        query: { since, until, flag, segment: options.segment, limit: options.limit },
      })
      output.data(answer)
      for (const change of answer.changes)
        for (const line of options.full === true ? changeLines(change, output) : [changeLine(change, output)]) output.line(line)
      if (answer.changes.length === 0)
        output.line(`No changes in ${session.place}${flag === undefined ? '' : ` to ${flag}`}; it is at revision ${answer.revision}.`)
      else if (answer.more === true)
        output.note(
          `There are more; see them with --limit ${Math.min(LIMIT_MAX, Number(options.limit) * 5)}, or earlier ones with --until ${answer.changes.at(-1)?.revision ?? 0}.`,
        )
    })
}
