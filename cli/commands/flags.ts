/** `sluice flags`: the flags of a project, or of one environment. */
import { type Command, Option } from 'commander'
import type { Flag } from '../../schemas/flag.ts'
import { serveText } from '../../schemas/words.ts'
import { FLAG_KINDS } from '../words.ts'
import type { FlagOverview } from '../answers.ts'
import { usage } from '../failure.ts'
import { momentText, parseDuration } from '../moment.ts'
import { table, type Colors } from '../output.ts'
import { openSession, type Session } from '../session.ts'
import { agoText } from '../usage.ts'
import { countText, stateOf } from '../words.ts'

interface FlagsOptions {
  readonly tag?: string
  readonly kind?: string
  readonly state?: 'on' | 'off' | 'killed'
  readonly unused?: string
}

interface FlagsHere {
  readonly revision: number
  readonly flags: readonly Flag[]
  /** With `--unused`. */
  readonly lastSeen?: Readonly<Record<string, string | null>>
  readonly countedSince?: string | null
}

const DAY_MS = 86_400_000

const HELP = `
Examples:
  $ sluice flags                                   every flag, with its state in each environment
  $ sluice flags -e production                     what each one serves in production
  $ sluice flags -e production --state killed
  $ sluice flags -e production --unused 30d        what nobody asked for in a month
  $ sluice flags checkout --tag dependency:payments-vendor`

export function addFlags(program: Command): void {
  program
    .command('flags')
    .summary('list flags')
    .description('List flags: with -e what each one serves there, without it their state in every environment.')
    .argument('[text]', 'only flags whose key or name holds this text')
    .option('--tag <tag>', 'only flags with this tag')
    .addOption(new Option('--kind <kind>', 'only flags of this kind').choices(FLAG_KINDS))
    .addOption(new Option('--state <state>', 'only flags in this state').choices(['on', 'off', 'killed']))
    .option('--unused <duration>', 'only flags that nobody evaluated for so long, in whole days: 30d; with -e')
    .addHelpText('after', HELP)
    .action(async (text: string | undefined, options: FlagsOptions, self: Command) => {
      const session = openSession(self)
      if (options.unused !== undefined && !session.settings.environmentNamed)
        throw usage('--unused needs an environment: a flag may be used in one and not in another.', 'Name it with -e production.')
      return session.settings.environmentNamed ? listHere(session, text, options) : listEverywhere(session, text, options)
    })
}

async function listHere(session: Session, text: string | undefined, options: FlagsOptions): Promise<void> {
  const { output, place } = session
  const { tag, kind, state } = options
  const unusedDays = options.unused === undefined ? undefined : Math.ceil(parseDuration(options.unused, '--unused') / DAY_MS)
  const answer = await session
    .client()
    .call<FlagsHere>(`${session.environmentPath}/flags`, { query: { tag, kind, state, q: text, unusedDays } })
  output.data(answer)
  const rows = answer.flags.map(flag => [
    flag.key,
    flag.kind,
    coloured(stateOf(flag), output.colors),
    flag.enabled ? serveText(flag.fallthrough) : flag.offVariation,
    ...(answer.lastSeen === undefined ? [] : [lastSeenText(answer.lastSeen[flag.key] ?? null)]),
    String(flag.rules.length),
    (flag.tags ?? []).join(','),
    flag.name ?? '',
  ])
  const heading = ['FLAG', 'KIND', 'STATE', 'SERVES', ...(answer.lastSeen === undefined ? [] : ['EVALUATED']), 'RULES', 'TAGS', 'NAME']
  if (rows.length > 0) for (const line of table([heading, ...rows])) output.line(line)
  if (unusedDays === undefined) return output.line(`${countText(rows.length, 'flag')} in ${place} at revision ${answer.revision}.`)
  const since = typeof answer.countedSince === 'string' ? `since ${momentText(answer.countedSince)}` : 'and none was yet'
  output.line(
    `${countText(rows.length, 'flag')} in ${place} that nobody evaluated for ${countText(unusedDays, 'day')}; evaluations are counted ${since}.`,
  )
}

function lastSeenText(moment: string | null): string {
  return moment === null ? 'never' : agoText(moment, Date.now())
}

async function listEverywhere(session: Session, text: string | undefined, options: FlagsOptions): Promise<void> {
  const { output, settings } = session
  const answer = await session.client().call<{ flags: readonly FlagOverview[] }>(`${session.projectPath}/flags`)
  const flags = answer.flags.filter(flag => isAsked(flag, text, options))
  output.data({ ...answer, flags })
  const environments = [...new Set(answer.flags.flatMap(flag => Object.keys(flag.environments)))]
  const rows = flags.map(flag => [
    flag.key,
    flag.kind,
    ...environments.map(environment => {
      const state = flag.environments[environment]
      return state === undefined ? '-' : coloured(stateIn(state), output.colors)
    }),
    (flag.tags ?? []).join(','),
    flag.name ?? '',
  ])
  if (rows.length > 0)
    for (const line of table([['FLAG', 'KIND', ...environments.map(name => name.toUpperCase()), 'TAGS', 'NAME'], ...rows]))
      output.line(line)
  output.line(`${countText(rows.length, 'flag')} in project ${settings.project}.`)
}

function isAsked(flag: FlagOverview, text: string | undefined, { tag, kind, state }: FlagsOptions): boolean {
  const sought = text?.toLowerCase()
  return (
    (sought === undefined || flag.key.toLowerCase().includes(sought) || (flag.name ?? '').toLowerCase().includes(sought)) &&
    (tag === undefined || (flag.tags ?? []).includes(tag)) &&
    (kind === undefined || flag.kind === kind) &&
    (state === undefined || Object.values(flag.environments).some(each => stateIn(each) === state))
  )
}

function stateIn(state: { enabled: boolean; killed: boolean }): 'on' | 'off' | 'killed' {
  return state.killed ? 'killed' : state.enabled ? 'on' : 'off'
}

function coloured(state: string, colors: Colors): string {
  return state.startsWith('killed') ? colors.red(state) : state === 'on' ? colors.green(state) : colors.dim(state)
}
