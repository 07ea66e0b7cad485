/** `sluice diff`: two states of an environment, or two environments. */
import type { Command } from 'commander'
import type { Json } from '../../schemas/json.ts'
import { differenceLines } from '../changes.ts'
import { usage } from '../failure.ts'
import { placeText } from '../moment.ts'
import { openSession, type Session } from '../session.ts'
import { countText } from '../words.ts'

interface DiffOptions {
  readonly with?: string
  readonly flag?: string
}

interface DiffAnswer {
  readonly from: number
  readonly to: number
  readonly documents: readonly {
    readonly type: string
    readonly key: string
    readonly differences: readonly { readonly path: string; readonly before?: Json; readonly after?: Json }[]
  }[]
}

interface CompareAnswer {
  readonly flags: readonly {
    readonly key: string
    readonly state: 'same' | 'different' | 'missing-here' | 'missing-there'
    readonly differences?: readonly { readonly path: string; readonly here?: Json; readonly there?: Json }[]
  }[]
}

const HELP = `
Examples:
  $ sluice diff 9860 -e production                     from revision 9860 to now
  $ sluice diff 9860 9871 -e production --flag checkout
  $ sluice diff 2h -e production                       of the last two hours
  $ sluice diff --with staging -e production           from staging to production`

export function addDiff(program: Command): void {
  program
    .command('diff')
    .summary('what differs between two moments, or two environments')
    .description('What differs between two states of an environment, or between two environments.')
    .argument('[from]', 'a revision, 2h (ago), or a moment')
    .argument('[to]', 'a revision, 2h (ago), or a moment (default: now)')
    .option('--with <environment>', 'compare with this environment as it is now')
    .option('--flag <flag>', 'only this flag')
    .addHelpText('after', HELP)
    .action(async (from: string | undefined, to: string | undefined, options: DiffOptions, self: Command) => {
      const session = openSession(self)
      if (options.with !== undefined) {
        if (from !== undefined) throw usage('Both a revision and --with were given.', 'Give one of them.')
        return compare(session, options.with, options.flag)
      }
      if (from === undefined)
        throw usage(
          'What to compare with was not named.',
          'Give a revision, as in "sluice diff 9860", a duration ("2h") or --with staging.',
        )
      return diff(session, from, to, options.flag)
    })
}

async function diff(session: Session, from: string, to: string | undefined, flag: string | undefined): Promise<void> {
  const { output, place } = session
  const now = Date.now()
  const query = { from: placeText(from, 'from', now), to: to === undefined ? undefined : placeText(to, 'to', now), flag }
  const answer = await session.client().call<DiffAnswer>(`${session.environmentPath}/diff`, { query })
  output.data(answer)
  output.line(
    `${countText(answer.documents.length, 'document')} differ${answer.documents.length === 1 ? 's' : ''} in ${place} between revision ${answer.from} and ${answer.to}.`,
  )
  for (const document of answer.documents) {
    output.line(`  ${document.type} ${output.colors.bold(document.key)}`)
    for (const line of differenceLines(document.differences, output)) output.line(line)
  }
}

async function compare(session: Session, other: string, flag: string | undefined): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<CompareAnswer>(`${session.environmentPath}/compare`, { query: { with: other, flag } })
  output.data(answer)
  const different = answer.flags.filter(each => each.state !== 'same')
  output.line(
    `${countText(different.length, 'flag')} of ${answer.flags.length} differ${different.length === 1 ? 's' : ''}, from ${other} to ${place}.`,
  )
  for (const each of different) {
    const missing =
      each.state === 'missing-here' ? ` is missing in ${place}` : each.state === 'missing-there' ? ` is missing in ${other}` : ''
    output.line(`  flag ${output.colors.bold(each.key)}${missing}`)
    for (const line of differenceLines(
      (each.differences ?? []).map(({ path, here, there }) => ({ path, before: there, after: here })),
      output,
    ))
      output.line(line)
  }
}
