/** `sluice valves`: where the safety valves of an environment stand, and what passes through them. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import type { ValveInstance, ValveUsage } from '../../schemas/valveusage.ts'
import { durationText, settingText, shareText } from '../../schemas/words.ts'
import { at } from '../client.ts'
import { EXIT, Failure } from '../failure.ts'
import { momentText, parseDuration } from '../moment.ts'
import { table } from '../output.ts'
import { openSession, type Session } from '../session.ts'
import { numberText } from '../usage.ts'
import { stateText } from '../valve.ts'

/** How often it is looked again, in ms. */
const WATCH_DEFAULT = '2s'
const WATCH_LEAST_MS = 500

interface ValvesOptions {
  readonly watch?: string | true
  readonly limit?: string
}

interface All {
  readonly revision: number
  readonly valves: readonly ValveUsage[]
}

interface One {
  readonly revision: number
  readonly valve: ValveUsage
  readonly instances: readonly ValveInstance[]
}

const HELP = `
Examples:
  $ sluice valves -e production
  $ sluice valves payments-vendor -e production       with the instances, those that stand worst first
  $ sluice valves -e production --watch               again every two seconds, until Ctrl-C
  $ sluice valves -e production --watch 5s --json     one object a line

Figures are of the last minute. STATE is the fleet's: flowing, throttled, probing or cut.`

export function addValves(program: Command): void {
  program
    .command('valves')
    .summary('where the safety valves stand')
    .description('The safety valves of an environment: where they stand in the fleet, what holds them there, and what passes through.')
    .argument('[flag]', 'only this valve, with its instances')
    .option('--watch [interval]', `look again every so often (default: ${WATCH_DEFAULT})`)
    .option('--limit <number>', 'how many instances are shown', '20')
    .addHelpText('after', HELP)
    .action(async (flag: string | undefined, options: ValvesOptions, self: Command) => {
      const session = openSession(self)
      const look = (): Promise<readonly string[]> => (flag === undefined ? lookAtAll(session, options) : lookAtOne(session, flag, options))
      if (options.watch === undefined) return print(session, await look())
      const everyMs = Math.max(WATCH_LEAST_MS, parseDuration(options.watch === true ? WATCH_DEFAULT : options.watch, '--watch'))
      const stop = new AbortController()
      const end = (): void => stop.abort()
      process.once('SIGINT', end).once('SIGTERM', end)
      try {
        await watch(session, look, everyMs, stop.signal)
      } finally {
        process.off('SIGINT', end).off('SIGTERM', end)
      }
    })
}

/** A server that is away for a while ends nothing: it is when somebody watches that it may be. */
async function watch(session: Session, look: () => Promise<readonly string[]>, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      print(session, await look())
      session.output.line()
    } catch (error) {
      if (!(error instanceof Failure) || error.exitCode !== EXIT.unreachable) throw error
      session.output.note(`sluice: ${error.message} (${error.code}) Trying again in ${durationText(everyMs)}.`)
    }
    await wait(everyMs, undefined, { signal }).catch(() => undefined)
  }
}

function print({ output }: Session, lines: readonly string[]): void {
  for (const line of lines) output.line(line)
}

function tell({ output }: Session, answer: unknown, { watch: watched }: ValvesOptions): void {
  if (watched === undefined) output.data(answer)
  else output.record(answer)
}

async function lookAtAll(session: Session, options: ValvesOptions): Promise<readonly string[]> {
  const { place } = session
  const answer = await session.client().call<All>(`${session.environmentPath}/valves`)
  tell(session, answer, options)
  if (answer.valves.length === 0) return [`There is no flag of kind safety-valve in ${place}.`]
  return table([HEADS, ...answer.valves.flatMap(valve => rowsOf(valve, session))])
}

const HEADS = ['VALVE', 'STATE', 'LETS', 'HELD', 'INSTANCES', 'CALLS/MIN', 'FAILED', 'SLOW', 'TURNED AWAY', 'SINCE']

function rowsOf(valve: ValveUsage, { output: { colors } }: Session): string[][] {
  const state = stateText(valve.state, colors)
  const start = [valve.flag, state, shareText(valve.admit), settingText(valve.setting)]
  if (valve.fleet.length === 0) return [[...start, '0', '0', '', '', '', '']]
  return valve.fleet.map(({ instances, spans: { minute }, since, variation }, i) => [
    ...(i === 0 ? start : ['', '', '', variation]),
    standText(instances),
    numberText(minute.calls),
    minute.calls === 0 ? '' : shareText(minute.failures / minute.calls),
    minute.calls === 0 ? '' : shareText(minute.slow / minute.calls),
    numberText(minute.rejected + minute.shadowed),
    momentText(since),
  ])
}

/** `4: 3 cut, 1 probing`. */
function standText({ all, throttled, cut, probing }: ValveUsage['fleet'][number]['instances']): string {
  const parts = Object.entries({ cut, probing, throttled }).filter(([, count]) => count > 0)
  return parts.length === 0 ? String(all) : `${all}: ${parts.map(([name, count]) => `${count} ${name}`).join(', ')}`
}

async function lookAtOne(session: Session, flag: string, options: ValvesOptions): Promise<readonly string[]> {
  const { colors } = session.output
  const answer = await session
    .client()
    .call<One>(`${session.environmentPath}${at`/valves/${flag}`}`, { query: { instances: options.limit ?? '20' } })
  tell(session, answer, options)
  const { valve, instances } = answer
  const rows = instances.map(each => [
    `${each.service}/${each.instance}${each.isGone ? ' (gone)' : ''}`,
    each.variation,
    stateText(each.state, colors),
    shareText(each.admit),
    each.cause ?? '',
    each.retryMs > 0 ? durationText(each.retryMs) : '',
    numberText(each.minute.calls),
    numberText(each.minute.failures),
    numberText(each.minute.rejected + each.minute.shadowed),
  ])
  const services = valve.fleet.flatMap(({ services: all }) => all)
  return [
    ...table([HEADS, ...rowsOf(valve, session)]),
    ...valve.throttles.map(
      ({ id, percent, reason }) => `${id}: ${percent} % by hand${reason === null ? '' : `, ${JSON.stringify(reason)}`}`,
    ),
    ...valve.kills.map(({ id, reason }) => `${id}: killed, ${JSON.stringify(reason)}`),
    ...(valve.record === null ? [] : [`last move: ${valve.record.state} at ${momentText(valve.record.since)} (${valve.record.cause})`]),
    ...(services.length < 2 ? [] : ['', ...serviceTable(services)]),
    '',
    ...(rows.length === 0
      ? ['No instance has used it in the last minute.']
      : table([['INSTANCE', 'VARIATION', 'STATE', 'LETS', 'CAUSE', 'PROBES IN', 'CALLS/MIN', 'FAILED', 'TURNED AWAY'], ...rows])),
  ]
}

function serviceTable(services: ValveUsage['fleet'][number]['services']): string[] {
  const rows = services.map(({ service, spans: { minute, hour } }) => [
    service,
    numberText(minute.calls),
    numberText(minute.failures),
    numberText(minute.rejected + minute.shadowed),
    numberText(hour.calls),
    numberText(hour.failures),
  ])
  return table([['SERVICE', 'CALLS/MIN', 'FAILED', 'TURNED AWAY', 'CALLS/H', 'FAILED/H'], ...rows])
}
