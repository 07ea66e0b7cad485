/** `sluice limit`: hold one account, or whoever matches, to a rate of its own, without touching what others have. */
import type { Command } from 'commander'
import type { Clause } from '../../schemas/clause.ts'
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Hold } from '../../schemas/hold.ts'
import { affectedText, countedText, rateText } from '../../schemas/words.ts'
import type { FlagWritten } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { EXIT, Failure, usage } from '../failure.ts'
import { parseRate, rateOptions } from '../rate.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { isSameWhere, parseWhere, whereText } from '../where.ts'

interface LimitOptions extends WaitOptions {
  readonly where: readonly string[]
  readonly rate?: string
  readonly burst?: string
  readonly keyBy?: string
  readonly shadow?: boolean
  readonly remove?: boolean
  readonly id?: string
  readonly force?: boolean
}

interface Limits {
  readonly revision: number
  readonly limits: readonly Hold[]
}

interface Limited extends FlagWritten {
  readonly limit: Hold
  readonly elsewhere: Readonly<Record<string, number>>
}

interface Held extends Limited {
  readonly before: Hold | null
  readonly existing: boolean
  readonly warnings: readonly ErrorDetail[]
}

const HELP = `
--where takes clauses as of "sluice kill" does; the rate is written 10/s, 600/min, 1000/h or 1e5/day.

Examples:
  $ sluice limit api-requests -e production --where /account/id=a-17 --rate 10/s -m "hammering"
  $ sluice limit api-requests -e production --where /account/id=a-17 --rate 2/s --burst 10 -m "still hammering"
  $ sluice limit api-requests -e production --where 'ip in-cidr 10.0.0.0/8' --rate unlimited -m "our own"
  $ sluice limit api-requests -e production --where /account/id=a-17 --rate 0 --force -m "abuse"
  $ sluice limit api-requests -e production --where /account/id=a-17 --remove -m "they have fixed it"
  $ sluice limit api-requests -e production

The last one lists who is held. The same --where changes the same limit: nothing piles up. It goes before the flag's other
rules, and holds within a second or two everywhere. Counted apart is what the flag counts apart already, else the
attributes of --where; --key-by says it otherwise ("" for one counter for all of them).`

export function addLimit(program: Command): void {
  const command = program
    .command('limit')
    .summary('hold one account, or whoever matches, to a rate')
    .description('Hold the contexts that match --where to a rate of their own, now; nobody else is touched.')
    .argument('<flag>', 'a rate-limit flag')
    .option('--where <clause>', 'whom; may be repeated, then all must match', collect, [])
    .option('--rate <rate>', 'the rate: 10/s, 600/min, 1000/h, 1e5/day, 0 (denies everything) or unlimited')
    .option('--burst <number>', 'most at once after a rest (default: a quarter of what a second brings)')
    .option('--key-by <attributes>', 'what is counted apart, separated by commas')
    .option('--shadow', 'count whom it would deny, and deny nobody')
    .option('--remove', 'let them go')
    .option('--id <limit>', 'with --remove: the limit, instead of --where')
    .option('--force', 'deny everything, or give more than ten times what they have')
    .addHelpText('after', HELP)
  withWait(command).action(async (flag: string, options: LimitOptions, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const clauses = options.where.map(parseWhere)
    if (options.remove === true) return remove(session, flag, clauses, options)
    if (options.id !== undefined) throw usage('--id goes with --remove.', 'Whom to hold is said with --where.')
    if (clauses.length === 0 && options.rate === undefined) return list(session, flag)
    return hold(session, flag, clauses, options)
  })
}

async function hold(session: Session, flag: string, clauses: readonly Clause[], options: LimitOptions): Promise<void> {
  if (clauses.length === 0)
    throw usage('A limit needs --where.', 'For everyone, change the variation that the flag serves: "sluice flag define".')
  if (options.rate === undefined) throw usage('A limit needs --rate.', 'Say it as in --rate 10/s, or let them go with --remove.')
  const reason = session.options.message?.trim() ?? ''
  if (reason === '') throw usage('A limit needs a reason.', 'Say why with -m "hammering": it is what the next person reads.')
  const value = {
    ...parseRate(options.rate),
    ...burstOf(options),
    ...keyByOf(options),
    ...(options.shadow === true ? { mode: 'shadow' } : {}),
  }
  const held = await session.client().call<Held>(limitsPath(session, flag), {
    method: 'POST',
    body: { clauses, value, reason },
    query: { dryRun: session.write.dryRun, ...(options.force === true ? { force: true } : {}) },
  })
  const { limit, before } = held
  const verb = held.existing ? 'ALREADY LIMITED' : held.dryRun === true ? 'WOULD LIMIT' : 'LIMITED'
  await reportWrite(session, held, options, {
    title: `${verb}: ${affectedText(limit.clauses)} on ${flag} in ${session.place}`,
    rows: [
      ['to', rateText(limit.value)],
      ['counted', countedText(limit.value)],
      ['was', before === null ? othersText(held.flag, limit.id) : rateText(before.value)],
      ['reason', JSON.stringify(limit.reason)],
      ['serves', `${limit.variation}, by the rule ${limit.id} before all others; everyone else is served as before`],
      ...held.warnings.map(({ message }) => ['mind', message] as const),
    ],
    undo: held.existing ? null : undoWords(session, flag, held),
    next: held.existing
      ? 'nothing new was written; the limit that stood goes on'
      : 'applications that are connected hold them to it as soon as they confirm, and without a burst',
  })
}

/** How they are served without the limit, as far as that is one rate. */
function othersText(flag: Flag, id: string): string {
  const others = flag.rules.some(rule => rule.id !== id) || flag.targets.length > 0
  if (!('variation' in flag.fallthrough)) return ''
  const key = flag.fallthrough.variation
  const value = flag.variations.find(variation => variation.key === key)?.value
  return `${others ? 'as targets and other rules say, else ' : ''}${key}${value === undefined ? '' : ` (${rateText(value as Hold['value'])})`}`
}

/** A new limit is removed, a changed one goes back to the rate it had; what --where cannot say is reverted. */
function undoWords(session: Session, flag: string, { limit, before, revision, change }: Held): string[] | null {
  if (change === null) return null
  const wheres = limit.clauses.map(whereText)
  const where = wheres.flatMap(text => (text === null ? [] : ['--where', text]))
  const words = ['limit', flag, '-e', session.settings.environment]
  if (before === null) return [...words, ...(wheres.includes(null) ? ['--id', limit.id] : where), '--remove']
  if (wheres.includes(null)) return ['revert', String(revision), '-e', session.settings.environment]
  const keyBy =
    JSON.stringify(before.value.keyBy) === JSON.stringify(limit.value.keyBy)
      ? []
      : ['--key-by', (before.value.keyBy ?? ['targetingKey']).join(',')]
  return [...words, ...where, ...rateOptions(before.value), ...keyBy, '--force', '-m', before.reason ?? 'as before']
}

async function remove(session: Session, flag: string, clauses: readonly Clause[], options: LimitOptions): Promise<void> {
  if (options.rate !== undefined) throw usage('Both --remove and --rate were given.', 'Give one of them.')
  if ((clauses.length === 0) === (options.id === undefined))
    throw usage('Which limit to remove is not clear.', 'Give --where as when it was made, or --id as "sluice limit <flag>" lists it.')
  const path = limitsPath(session, flag)
  const id = options.id ?? (await session.client().call<Limits>(path)).limits.find(each => isSameWhere(each.clauses, clauses))?.id
  if (id === undefined) {
    throw new Failure(
      'LIMIT_NOT_FOUND',
      EXIT.refused,
      `No limit on ${JSON.stringify(flag)} in ${session.place} is for ${affectedText(clauses)}.`,
      {
        advice: `See who is held with "sluice limit ${flag} -e ${session.settings.environment}".`,
      },
    )
  }
  const removed = await session.client().call<Limited>(`${path}${at`/${id}`}`, { method: 'DELETE', query: session.write })
  const { limit } = removed
  const wheres = limit.clauses.map(whereText)
  await reportWrite(session, removed, options, {
    title: `${removed.dryRun === true ? 'WOULD REMOVE' : 'REMOVED'} the limit of ${affectedText(limit.clauses)} on ${flag} in ${session.place}`,
    rows: [
      ['was', rateText(limit.value)],
      ['was for', JSON.stringify(limit.reason)],
      ['now', othersText(removed.flag, limit.id)],
    ],
    undo: wheres.includes(null)
      ? ['revert', String(removed.revision), '-e', session.settings.environment]
      : [
          ...['limit', flag, '-e', session.settings.environment, ...wheres.flatMap(text => ['--where', text ?? ''])],
          ...rateOptions(limit.value),
          ...(limit.value.keyBy === undefined ? [] : ['--key-by', limit.value.keyBy.join(',')]),
          ...['--force', '-m', limit.reason ?? 'as before'],
        ],
  })
}

async function list(session: Session, flag: string): Promise<void> {
  const { output } = session
  const answer = await session.client().call<Limits>(limitsPath(session, flag))
  output.data(answer)
  if (answer.limits.length === 0) return output.line(`Nobody is held to a rate of their own by ${flag} in ${session.place}.`)
  output.line(`${flag} in ${session.place}: the first that matches holds`)
  for (const { id, clauses, value, reason } of answer.limits) {
    output.line(
      `  ${id}  ${affectedText(clauses)}: ${rateText(value)}, ${countedText(value)}${reason === null ? '' : `  ${JSON.stringify(reason)}`}`,
    )
  }
}

function burstOf({ burst, rate }: LimitOptions): { burst?: number } {
  if (burst === undefined) return {}
  const number = Number(burst)
  if (!/^\d+$/.test(burst) || !Number.isSafeInteger(number) || number < 1)
    throw usage(`--burst ${burst} is not a number of requests.`, 'Give 1 or more.')
  if (rate === 'unlimited') throw usage('--burst says nothing beside --rate unlimited.', 'Leave it out.')
  return { burst: number }
}

function keyByOf({ keyBy }: LimitOptions): { keyBy?: string[] } {
  if (keyBy === undefined) return {}
  return { keyBy: keyBy === '' ? [] : keyBy.split(',').map(attribute => attribute.trim()) }
}

function limitsPath(session: Session, flag: string): string {
  return `${session.environmentPath}${at`/flags/${flag}/limits`}`
}
