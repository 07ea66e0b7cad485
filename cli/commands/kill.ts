/** `sluice kill`: serve the off variation, to everyone or to those who match, without touching the flag's rules. */
import type { Command } from 'commander'
import type { Clause } from '../../schemas/clause.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Kill, KillRequest } from '../../schemas/kill.ts'
import { affectedText, durationText } from '../../schemas/words.ts'
import type { Affected, Killed, KilledMany, Written } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { EXIT, usage } from '../failure.ts'
import { momentAhead, momentText } from '../moment.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { numberText } from '../usage.ts'
import { parseWhere } from '../where.ts'
import { countText, variationText } from '../words.ts'

/** Flags named with how often they were asked for, before the others are summed. */
const ASKED_SHOWN = 5

interface KillOptions extends WaitOptions {
  readonly where: readonly string[]
  readonly tag?: string
  readonly until?: string
  readonly variation?: string
  readonly incident?: string
}

const HELP = `
--where takes one clause, and several must all match:
  /device/os=android         is "android"            plan!=free           is present, but not "free"
  country=de,at              is one of               email~@acme\\.com$    matches the expression (RE2)
  name^=a  name$=z  name*=m  starts, ends, contains  /app/version<2.5.0   versions have three parts
  age>=18                    numbers, moments        plan exists          or "plan missing"
  segment=beta               is in the segment       ip in-cidr 10.0.0.0/8, score between 1,5, any operator
Values are text unless they are JSON numbers or true/false; quotes make text: --where '/account/id="17"'.

Examples:
  $ sluice kill checkout -e production -m "double charges"
  $ sluice kill checkout -e production --where /device/os=android -m "crash on open"
  $ sluice kill --tag dependency:payments-vendor -e production --until 2h -m "vendor is down"
  $ sluice kill search recommendations -e production --variation empty -m "index is rebuilt"

A kill lies over the flag: its rules stay as they are, and lifting it restores exactly what stood.`

export function addKill(program: Command): void {
  const command = program
    .command('kill')
    .summary('switch flags off now, for everyone or for those who match')
    .description('Serve the off variation of flags at once: to everyone, or to the contexts that match --where.')
    .argument('[flags...]', 'the flags to kill')
    .option('--where <clause>', 'only contexts that match; may be repeated, then all must match', collect, [])
    .option('--tag <tag>', 'kill every flag with this tag, in one change')
    .option('--until <when>', 'end by itself: 30m, 2h, or a moment as in 2026-11-21T05:00:00Z')
    .option('--variation <key>', 'the variation to serve (default: the off variation)')
    .option('--incident <name>', 'the incident it belongs to')
    .addHelpText('after', HELP)
  withWait(command).action(async (flags: string[], options: KillOptions, self: Command) => kill(flags, options, self))
}

async function kill(flags: readonly string[], options: KillOptions, command: Command): Promise<void> {
  const session = openSession(command, { environmentNamed: true })
  const request = readRequest(flags, options, session)
  const [flag] = flags
  const query = { dryRun: session.write.dryRun }
  if (flag !== undefined && flags.length === 1 && options.tag === undefined) {
    const killed = await session
      .client()
      .call<Killed>(`${session.environmentPath}${at`/flags/${flag}/kills`}`, { method: 'POST', body: request, query })
    return reportOne(session, killed, options)
  }
  const chosen = options.tag === undefined ? { flags } : { tag: options.tag }
  const killed = await session
    .client()
    .call<KilledMany>(`${session.environmentPath}/kills`, { method: 'POST', body: { ...chosen, ...request }, query })
  return reportMany(session, killed, options)
}

function readRequest(flags: readonly string[], options: KillOptions, session: Session): KillRequest {
  if (options.tag === undefined && flags.length === 0)
    throw usage('Nothing to kill was named.', 'Name a flag, as in "sluice kill checkout", or a tag with --tag.')
  if (options.tag !== undefined && flags.length > 0) throw usage('Both flags and --tag were given.', 'Give one of them.')
  const reason = session.options.message?.trim() ?? ''
  if (reason === '') throw usage('A kill needs a reason.', 'Say why with -m "double charges": it is what the next person reads.')
  const clauses = options.where.map(parseWhere)
  return {
    reason,
    ...(clauses.length === 0 ? {} : { clauses }),
    ...(options.variation === undefined ? {} : { variation: options.variation }),
    ...(options.until === undefined ? {} : { until: momentAhead(options.until, '--until', Date.now()) }),
    ...(options.incident === undefined ? {} : { incident: options.incident }),
  }
}

async function reportOne(session: Session, killed: Killed, options: KillOptions): Promise<void> {
  const { kill, flag } = killed
  const document = flagOf(killed, flag) ?? (await flagNow(session, flag))
  const title = killed.existing
    ? `ALREADY KILLED: ${flag} in ${session.place}, by the same kill ${kill.id}`
    : `${killed.dryRun === true ? 'WOULD KILL' : 'KILLED'} ${flag} in ${session.place}`
  await reportWrite(session, killed, options, {
    title,
    rows: [
      ...killRows(kill, document),
      ['also off', downstreamText(killed.affected.downstream, flag, kill.clauses)],
      ['asked', askedText(killed.affected)],
    ],
    undo: ['lift', flag, '-e', session.settings.environment, '--id', kill.id],
    ...(killed.existing ? { next: 'nothing new was written; the kill that stood goes on' } : {}),
  })
}

async function reportMany(session: Session, killed: KilledMany, options: KillOptions): Promise<void> {
  const chosen = options.tag === undefined ? '' : ` tagged ${options.tag}`
  // Undoing this command leaves alone what stood before it.
  const fresh = killed.kills.filter(each => !each.existing)
  // What stood already may have another reason; told is what this command did.
  const [first] = fresh.length === 0 ? killed.kills : fresh
  const undone = fresh.length === 0 ? killed.kills : fresh
  const verb = fresh.length === 0 ? 'ALREADY KILLED' : killed.dryRun === true ? 'WOULD KILL' : 'KILLED'
  await reportWrite(session, killed, options, {
    title: `${verb}: ${countText(killed.kills.length, 'flag')}${chosen} in ${session.place}`,
    rows: [
      ...killed.kills.map(
        ({ flag, kill, existing }) =>
          [
            'flag',
            `${flag} serves ${variationText(flagOf(killed, flag), kill.variation)}${existing ? ', as before: the same kill stood already' : ''}`,
          ] as const,
      ),
      ...(first === undefined ? [] : killRows(first.kill, null).filter(([label]) => label !== 'serves')),
      ['also off', downstreamText(killed.affected.downstream, 'them', first?.kill.clauses ?? [])],
      ['asked', askedText(killed.affected)],
    ],
    undo: first === undefined ? null : ['lift', '-e', session.settings.environment, ...undone.flatMap(each => ['--id', each.kill.id])],
  })
  if (killed.skipped.length === 0) return
  for (const { flag, code, message } of killed.skipped) session.output.note(`sluice: NOT KILLED: ${flag}: ${message} (${code})`)
  session.exit(EXIT.refused)
}

function killRows(kill: Kill, flag: Flag | null): (readonly [string, string])[] {
  const others = kill.clauses.length === 0 ? '' : '; everyone else is served as before'
  return [
    ['serves', variationText(flag, kill.variation)],
    ['affects', affectedText(kill.clauses) + others],
    ['reason', JSON.stringify(kill.reason)],
    ['incident', kill.incident ?? ''],
    ['ends', endText(kill)],
  ]
}

/** `when somebody lifts it`, or when it ends by itself. */
function endText(kill: Kill): string {
  if (kill.until === null) return 'when somebody lifts it'
  return `by itself at ${momentText(kill.until)}, in ${durationText(Math.max(0, Date.parse(kill.until) - Date.now()))}`
}

/** Flags that have the killed one as prerequisite, however far down. */
function downstreamText(downstream: readonly string[], flag: string, clauses: readonly Clause[]): string {
  if (downstream.length === 0) return ''
  const who = clauses.length === 0 ? '' : ', for the same contexts'
  return `${downstream.join(', ')} (${downstream.length === 1 ? 'it needs' : 'they need'} ${flag}${who})`
}

/** How often they were asked for: who is affected, and how many. */
function askedText({ lastHour }: Affected): string {
  if (lastHour === undefined) return ''
  const asked = Object.entries(lastHour).sort(([, a], [, b]) => b - a)
  if (asked.length === 0) return 'not once in the last hour'
  const shown = asked.slice(0, ASKED_SHOWN).map(([flag, count]) => `${flag} ${numberText(count)}`)
  const others = asked.slice(ASKED_SHOWN).reduce((sum, [, count]) => sum + count, 0)
  return `in the last hour ${shown.join(', ')}${others === 0 ? '' : `, others ${numberText(others)}`} times`
}

/** The flag as the change leaves it: saves a request when seconds count. */
function flagOf(written: Written, flag: string): Flag | null {
  const edit = written.change?.edits.find(each => each.type === 'flag' && each.key === flag)
  return (edit?.after ?? null) as Flag | null
}

/** Only to say more; a failure leaves it out. */
async function flagNow(session: Session, flag: string): Promise<Flag | null> {
  return session
    .client()
    .call<Flag>(`${session.environmentPath}${at`/flags/${flag}`}`)
    .catch(() => null)
}
