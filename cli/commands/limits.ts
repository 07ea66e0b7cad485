/** `sluice limits top`: who uses the rate limits of an environment, and how far they can be overdrawn. */
import type { Command } from 'commander'
import type { Flag } from '../../schemas/flag.ts'
import type { CounterUsage, LimitUsage } from '../../schemas/limitusage.ts'
import { at } from '../client.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { openSession, type Session } from '../session.ts'
import { countText } from '../words.ts'

const HELP = `
Examples:
  $ sluice limits top -e production                    the busiest keys of every limit
  $ sluice limits top api-requests -e production --keys 50`

export function addLimits(program: Command): void {
  const limits = program
    .command('limits')
    .summary('who uses the rate limits')
    .description('Rate limits of an environment, as they are used now.')
    .addHelpText('after', HELP)
  limits
    .command('top')
    .summary('the busiest keys of a limit')
    .description('The keys that were admitted most in the last minute, what they were denied, and how far a limit can be overdrawn.')
    .argument('[flag]', 'only this limit')
    .option('--keys <count>', 'how many keys of each limit', '10')
    .addHelpText('after', HELP)
    .action(async (flag: string | undefined, options: { keys: string }, self: Command) => {
      const session = openSession(self)
      const { output, place } = session
      const usages: LimitUsage[] = []
      for (const key of flag === undefined ? await limitsOf(session) : [flag]) {
        const path = `${session.environmentPath}${at`/limits/${key}/usage`}`
        usages.push(await session.client().call<LimitUsage>(path, { query: { keys: options.keys } }))
      }
      output.data({ limits: usages })
      if (usages.length === 0) output.line(`There is no flag of kind rate-limit in ${place}.`)
      for (const usage of usages) for (const line of linesOf(usage, place)) output.line(line)
    })
}

async function limitsOf(session: Session): Promise<string[]> {
  const { flags } = await session
    .client()
    .call<{ flags: readonly Flag[] }>(`${session.environmentPath}/flags`, { query: { kind: 'rate-limit' } })
  return flags.map(({ key }) => key)
}

function linesOf({ flag, keys, counters, instances, silent, learningUntil }: LimitUsage, place: string): string[] {
  const rows = keys.map(each => [
    each.key === '' ? '(none)' : each.key,
    each.variation,
    numberText(each.admitted.minute),
    numberText(each.denied.minute),
    numberText(each.admitted.hour),
    numberText(each.denied.hour),
    each.remaining === null ? 'unlimited' : numberText(each.remaining),
    each.usedShare === null ? '' : `${Math.round(each.usedShare * 100)} %`,
  ])
  const heads = ['KEY', 'VARIATION', 'ADMITTED/MIN', 'DENIED/MIN', 'ADMITTED/H', 'DENIED/H', 'REMAINING', 'USED']
  const fleet = `${countText(instances, 'instance')}${silent === 0 ? '' : `, ${silent} of them out of reach`}`
  return [
    `${flag} in ${place}: ${countText(counters, 'key')} counted, ${fleet}.`,
    ...(rows.length === 0 ? ['  Nobody has asked for it in the last hour.'] : table([heads, ...rows]).map(line => `  ${line}`)),
    ...boundLines(keys),
    ...(learningUntil === null
      ? []
      : [`  The server has restarted: it lends no tokens until ${momentText(learningUntil)}, instances go on with what they hold.`]),
  ]
}

function boundLines(keys: readonly CounterUsage[]): string[] {
  const bounds = keys.flatMap(({ overAdmissionMax }) => (overAdmissionMax === null ? [] : [overAdmissionMax]))
  return bounds.length === 0
    ? []
    : [`  Over-admission at most ${numberText(Math.max(...bounds))} requests for any key, in any span of time.`]
}

function numberText(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
