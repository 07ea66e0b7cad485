/** `sluice valve`: set a safety valve by hand, or let it move by itself again. */
import type { Command } from 'commander'
import type { Clause } from '../../schemas/clause.ts'
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Kill } from '../../schemas/kill.ts'
import type { Throttle } from '../../schemas/throttle.ts'
import type { ValveSetting, ValveUsage } from '../../schemas/valveusage.ts'
import { affectedText, settingText, shareText } from '../../schemas/words.ts'
import type { FlagWritten } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { EXIT, Failure, usage } from '../failure.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { numberText } from '../usage.ts'
import { parsePercent, stateText } from '../valve.ts'
import { isSameWhere, parseWhere, whereText } from '../where.ts'
import { countText } from '../words.ts'

interface ValveOptions extends WaitOptions {
  readonly where: readonly string[]
  readonly throttle?: string
  readonly flow?: boolean
  readonly cut?: boolean
  readonly auto?: boolean
  readonly id?: string
}

interface Answer {
  readonly revision: number
  readonly valve: ValveUsage
}

interface Released extends FlagWritten {
  readonly throttle: Throttle | null
}

interface Throttled extends Released {
  readonly kill: Kill | null
  readonly existing: boolean
  readonly before: ValveSetting
  readonly stood: Throttle | null
  readonly warnings: readonly ErrorDetail[]
  readonly lastHour: number
}

const HELP = `
--where takes clauses as of "sluice kill" does; without it, everyone is meant.

Examples:
  $ sluice valve payments-vendor -e production --throttle 50% -m "vendor is slow"
  $ sluice valve payments-vendor -e production --throttle 10% --where /account/plan=free -m "paying ones first"
  $ sluice valve payments-vendor -e production --cut -m "vendor asked us to stop"
  $ sluice valve payments-vendor -e production --flow -m "our probe is wrong, the vendor is well"
  $ sluice valve payments-vendor -e production --auto -m "back to normal"
  $ sluice valve payments-vendor -e production

What is set by hand stands above what the valve does by itself, until --auto takes it away. --cut is a kill: "sluice lift" ends it.
The last one shows where the valve stands. See all of them with "sluice valves".`

export function addValve(program: Command): void {
  const command = program
    .command('valve')
    .summary('throttle, cut or open a safety valve by hand')
    .description('Let a share of the calls through a safety valve, now and until it is taken away: to everyone, or to who matches --where.')
    .argument('<flag>', 'a safety-valve flag')
    .option('--where <clause>', 'for whom; may be repeated, then all must match', collect, [])
    .option('--throttle <share>', 'let so much through: 50%')
    .option('--flow', 'let everything through, whatever the valve sees')
    .option('--cut', 'let nothing through: a kill')
    .option('--auto', 'let the valve move by itself again')
    .option('--id <throttle>', 'with --auto: the throttle to take away, instead of --where')
    .addHelpText('after', HELP)
  withWait(command).action(async (flag: string, options: ValveOptions, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const asked = [options.throttle !== undefined, options.flow === true, options.cut === true, options.auto === true].filter(Boolean)
    if (asked.length > 1) throw usage('More than one of --throttle, --flow, --cut and --auto was given.', 'Give one of them.')
    const clauses = options.where.map(parseWhere)
    if (options.id !== undefined && (options.auto !== true || clauses.length > 0))
      throw usage('--id goes with --auto and without --where.', 'It names what is to be taken away.')
    if (options.auto === true) return release(session, flag, clauses, options)
    if (asked.length === 0) return show(session, flag)
    const percent = options.throttle === undefined ? (options.flow === true ? 100 : 0) : parsePercent(options.throttle)
    return throttle(session, flag, percent, clauses, options)
  })
}

async function throttle(session: Session, flag: string, percent: number, clauses: readonly Clause[], options: ValveOptions): Promise<void> {
  const reason = session.options.message?.trim() ?? ''
  if (reason === '')
    throw usage('A valve set by hand needs a reason.', 'Say why with -m "vendor is slow": it is what the next person reads.')
  const done = await session.client().call<Throttled>(`${valvePath(session, flag)}/throttle`, {
    method: 'POST',
    body: { percent, reason, ...(clauses.length === 0 ? {} : { clauses }) },
    query: { dryRun: session.write.dryRun },
  })
  const { kill, before } = done
  const what = kill !== null ? 'CUT' : percent === 100 ? 'OPENED' : 'THROTTLED'
  const verb = done.existing ? `ALREADY ${what}` : done.dryRun === true ? `WOULD BE ${what}` : what
  const set = kill === null ? `${percent} % of the calls pass, whatever the valve sees` : 'nothing passes'
  const others = clauses.length === 0 ? '' : '; everyone else as before'
  await reportWrite(session, done, options, {
    title: `${verb}: ${flag} in ${session.place}`,
    rows: [
      ['now', set],
      ['was', settingText(before)],
      ['affects', affectedText(clauses) + others],
      ['asked', done.lastHour === 0 ? 'not once in the last hour' : `${numberText(done.lastHour)} times in the last hour`],
      ['reason', JSON.stringify(reason)],
      ['serves', servedText(done)],
      ...done.warnings.map(({ message }) => ['mind', message] as const),
    ],
    undo: done.existing ? null : undoWords(session, flag, done),
    next: done.existing
      ? 'nothing new was written; what stood goes on'
      : kill === null
        ? 'it stays so until --auto; applications that are connected follow as soon as they confirm'
        : 'it stays so until somebody lifts it: the valve does not open by itself',
  })
}

function servedText({ kill, throttle: made }: Throttled): string {
  if (kill !== null) return `${kill.variation}, by the kill ${kill.id}`
  return made === null ? '' : `${made.variation}, by the rule ${made.id} before the others`
}

/** A kill is lifted; a new throttle is taken away, and a changed one goes back to what it was. */
function undoWords(session: Session, flag: string, { kill, throttle: made, stood, revision, change }: Throttled): string[] | null {
  if (change === null) return null
  const environment = ['-e', session.settings.environment]
  if (kill !== null) return ['lift', flag, ...environment, '--id', kill.id]
  if (stood !== null) return againWords(session, flag, stood, revision)
  return made === null ? null : ['valve', flag, ...environment, ...(wheresOf(made) ?? ['--id', made.id]), '--auto']
}

/** Null for clauses that `--where` cannot say. */
function wheresOf({ clauses }: Throttle): string[] | null {
  const wheres = clauses.map(whereText)
  return wheres.includes(null) ? null : wheres.flatMap(text => ['--where', text ?? ''])
}

function percentOption(percent: number): string[] {
  return percent === 100 ? ['--flow'] : ['--throttle', `${percent}%`]
}

async function release(session: Session, flag: string, clauses: readonly Clause[], options: ValveOptions): Promise<void> {
  const path = valvePath(session, flag)
  const { valve } = await session.client().call<Answer>(path, { query: { instances: 0 } })
  const id = options.id ?? valve.throttles.find(each => isSameWhere(each.clauses, clauses))?.id
  if (id === undefined) return notThrottled(session, valve, clauses)
  const released = await session.client().call<Released>(`${path}/throttle`, { method: 'DELETE', query: { ...session.write, id } })
  const gone = released.throttle
  await reportWrite(session, released, options, {
    title: `${released.dryRun === true ? 'WOULD RELEASE' : 'RELEASED'} ${flag} in ${session.place}`,
    rows: [
      ['was', gone === null ? '' : `${gone.percent} % by hand`],
      ['was for', gone === null || gone.reason === null ? '' : JSON.stringify(gone.reason)],
      ['affects', affectedText(gone?.clauses ?? clauses)],
    ],
    lines: standingLines(valve.kills, flag, session),
    undo: gone === null ? null : againWords(session, flag, gone, released.revision),
    next: 'it moves by itself again, from where its instances stand',
  })
}

function againWords({ settings }: Session, flag: string, gone: Throttle, revision: number): string[] {
  const environment = ['-e', settings.environment]
  const wheres = wheresOf(gone)
  // What a trigger set is the most that the valve lets through by itself, which no option says.
  if (wheres === null || gone.value.mode === 'auto') return ['revert', String(revision), ...environment]
  return ['valve', flag, ...environment, ...wheres, ...percentOption(gone.percent), '-m', gone.reason ?? 'as before']
}

/** `--auto` where nothing is set by hand: said, and what stands instead. */
function notThrottled(session: Session, valve: ValveUsage, clauses: readonly Clause[]): void {
  const { output, place, settings } = session
  if (clauses.length > 0 || valve.throttles.length > 0) {
    const ids = valve.throttles.map(({ id, percent, clauses: whom }) => `${id} (${percent} %, ${affectedText(whom)})`)
    throw new Failure(
      'THROTTLE_NOT_FOUND',
      EXIT.refused,
      `Nothing on ${JSON.stringify(valve.flag)} in ${place} is set by hand for ${affectedText(clauses)}.`,
      {
        advice:
          ids.length === 0
            ? `See where it stands with "sluice valve ${valve.flag} -e ${settings.environment}".`
            : `Set is ${ids.join(', ')}.`,
      },
    )
  }
  output.data({ valve, change: null })
  output.line(`Nothing on ${valve.flag} in ${place} is set by hand: ${settingText(valve.setting)}.`)
  for (const line of standingLines(valve.kills, valve.flag, session)) output.line(line)
}

/** A kill stands above everything, and is not taken away by `--auto`. */
function standingLines(kills: readonly Kill[], flag: string, { settings }: Session): string[] {
  return kills.map(({ id, clauses, reason }) => {
    const lift = `sluice lift ${flag} -e ${settings.environment} --id ${id}`
    return `  killed    for ${affectedText(clauses)}, ${JSON.stringify(reason)}; that stays until: ${lift}`
  })
}

async function show(session: Session, flag: string): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<Answer>(valvePath(session, flag))
  output.data(answer)
  const { valve } = answer
  output.line(
    `${output.colors.bold(flag)} in ${place}: ${stateText(valve.state, output.colors)}, ${shareText(valve.admit)} let through, ${settingText(valve.setting)}`,
  )
  for (const { id, percent, clauses, reason } of valve.throttles)
    output.line(`  ${id}  ${percent} % by hand for ${affectedText(clauses)}${reason === null ? '' : `, ${JSON.stringify(reason)}`}`)
  for (const line of standingLines(valve.kills, flag, session)) output.line(line)
  for (const { variation, state, instances, spans } of valve.fleet) {
    const { calls, failures, slow, rejected } = spans.minute
    output.line(
      `  ${variation}: ${state} in the fleet of ${countText(instances.all, 'instance')}; last minute ${numberText(calls)} calls, ${numberText(failures)} failed, ${numberText(slow)} slow, ${numberText(rejected)} turned away`,
    )
  }
}

function valvePath(session: Session, flag: string): string {
  return `${session.environmentPath}${at`/valves/${flag}`}`
}
