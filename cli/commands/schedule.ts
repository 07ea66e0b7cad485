/** `sluice schedule`: one change that the server makes at a moment. */
import type { Command } from 'commander'
import type { Schedule, ScheduleDo } from '../../schemas/plan.ts'
import { durationText, serveText } from '../../schemas/words.ts'
import type { Written } from '../answers.ts'
import { at } from '../client.ts'
import { usage } from '../failure.ts'
import { momentAhead, momentText } from '../moment.ts'
import { table } from '../output.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'

interface AddOptions {
  readonly at?: string
  readonly on?: boolean
  readonly off?: boolean
  readonly variation?: string
  readonly kill?: boolean
  readonly lift?: boolean
}

interface ScheduleWritten extends Written {
  readonly schedule: Schedule
}

const HELP = `
Examples:
  $ sluice schedule add checkout -e production --on --at 2026-12-01T08:00:00Z -m "launch"
  $ sluice schedule add checkout -e production --variation blue --at 2h
  $ sluice schedule add checkout -e production --kill --at 2026-12-24T18:00:00Z -m "closed over the holidays"
  $ sluice schedule list -e production
  $ sluice schedule remove s_86f1d907c473 -e production`

export function addSchedule(program: Command): void {
  const schedule = program
    .command('schedule')
    .summary('make one change at a moment')
    .description('Changes that the server makes when their moment comes: what was missed while it was down is made when it is back.')
    .addHelpText('after', HELP)

  schedule
    .command('add')
    .summary('have a change made at a moment')
    .argument('<flag>', 'the flag')
    .option('--at <when>', 'the moment: 2h, or 2026-12-01T08:00:00Z')
    .option('--on', 'switch it on')
    .option('--off', 'switch it off')
    .option('--variation <key>', 'serve this variation to everyone whom no target or rule matches')
    .option('--kill', 'kill it')
    .option('--lift', 'lift the kills that stand now')
    .addHelpText('after', HELP)
    .action(async (flag: string, options: AddOptions, self: Command) => add(openSession(self, { environmentNamed: true }), flag, options))

  schedule
    .command('list')
    .summary('the changes that wait, and those that were refused')
    .addHelpText('after', '\nExamples:\n  $ sluice schedule list -e production')
    .action(async (_options: object, self: Command) => list(openSession(self)))

  schedule
    .command('remove')
    .summary('take a scheduled change back')
    .argument('<schedule>', 'as "sluice schedule list" names it')
    .addHelpText('after', '\nExamples:\n  $ sluice schedule remove s_86f1d907c473 -e production')
    .action(async (key: string, _options: object, self: Command) => remove(openSession(self, { environmentNamed: true }), key))
}

async function add(session: Session, flag: string, options: AddOptions): Promise<void> {
  if (options.at === undefined) throw usage('A scheduled change needs --at.', 'Write it as in --at 2h or --at 2026-12-01T08:00:00Z.')
  const { dryRun, comment } = session.write
  const written = await session.client().call<ScheduleWritten>(`${session.environmentPath}/schedules`, {
    method: 'POST',
    body: {
      flag,
      at: momentAhead(options.at, '--at', Date.now()),
      do: doOf(options, comment),
      ...(comment === undefined ? {} : { comment }),
    },
    query: { dryRun },
  })
  const { schedule } = written
  await reportWrite(session, written, null, {
    title: `${written.dryRun === true ? 'WOULD SCHEDULE' : 'SCHEDULED'} a change of ${flag} in ${session.place}`,
    rows: [
      ['does', doText(schedule.do)],
      ['at', `${momentText(schedule.at)}, in ${durationText(Math.max(0, Date.parse(schedule.at) - Date.now()))}`],
    ],
    undo: ['schedule', 'remove', schedule.key, '-e', session.settings.environment],
  })
}

function doOf(options: AddOptions, comment: string | undefined): ScheduleDo {
  const { on = false, off = false, kill = false, lift = false, variation } = options
  const edits = on || off || variation !== undefined
  if ([edits, kill, lift].filter(Boolean).length !== 1 || (on && off))
    throw usage('What to do then is not clear.', 'Give --on, --off or --variation, or --kill, or --lift.')
  if (lift) return { action: 'lift' }
  if (kill) {
    if (comment === undefined || comment.trim() === '')
      throw usage('A kill needs a reason.', 'Say why with -m: it is what the next person reads.')
    return { action: 'kill', kill: { reason: comment } }
  }
  return {
    action: 'edit',
    patch: { ...(on || off ? { enabled: on } : {}), ...(variation === undefined ? {} : { fallthrough: { variation } }) },
  }
}

function doText(what: ScheduleDo): string {
  if (what.action === 'kill') return `kills it: ${JSON.stringify(what.kill.reason)}`
  if (what.action === 'lift') return `lifts ${(what.kills ?? []).join(', ')}`
  const { enabled, fallthrough, ...others } = what.patch
  return [
    enabled === undefined ? '' : enabled ? 'switches it on' : 'switches it off',
    fallthrough === undefined ? '' : `serves ${serveText(fallthrough)}`,
    ...Object.keys(others).map(field => `sets ${field}`),
  ]
    .filter(text => text !== '')
    .join(', ')
}

async function list(session: Session): Promise<void> {
  const { output } = session
  const answer = await session.client().call<{ readonly schedules: readonly Schedule[] }>(`${session.environmentPath}/schedules`)
  output.data(answer)
  if (answer.schedules.length === 0) return output.line(`No change is scheduled in ${session.place}.`)
  const rows = answer.schedules.map(each => [
    each.key,
    each.flag,
    momentText(each.at),
    doText(each.do),
    each.by.name,
    each.failed === null ? (each.comment ?? '') : output.colors.red(`refused: ${each.failed.text}`),
  ])
  for (const line of table([['SCHEDULE', 'FLAG', 'AT', 'DOES', 'BY', 'WHY'], ...rows])) output.line(line)
}

async function remove(session: Session, key: string): Promise<void> {
  const written = await session
    .client()
    .call<ScheduleWritten>(`${session.environmentPath}${at`/schedules/${key}`}`, { method: 'DELETE', query: session.write })
  const { schedule } = written
  await reportWrite(session, written, null, {
    title: `${written.dryRun === true ? 'WOULD REMOVE' : 'REMOVED'} the scheduled change of ${schedule.flag} in ${session.place}`,
    rows: [['was', `${doText(schedule.do)} at ${momentText(schedule.at)}`]],
    undo: null,
    next: 'ask for it again with "sluice schedule add"',
  })
}
