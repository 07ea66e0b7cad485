/** `sluice instances`: the connected SDK instances and the revision each has confirmed. */
import type { Command } from 'commander'
import type { Instance } from '../../schemas/instance.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { openSession } from '../session.ts'
import { countText } from '../words.ts'

const HELP = `
Examples:
  $ sluice instances -e production
  $ sluice instances -e production --behind            only those that have not confirmed the newest revision`

export function addInstances(program: Command): void {
  program
    .command('instances')
    .summary('who is connected, and with which revision')
    .description('The SDK instances connected to an environment, and the newest revision each has confirmed.')
    .option('--behind', 'only those that have not confirmed the newest revision')
    .addHelpText('after', HELP)
    .action(async (options: { behind?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output, place } = session
      const answer = await session
        .client()
        .call<{ revision: number; instances: readonly Instance[] }>(`${session.environmentPath}/instances`)
      const instances = options.behind === true ? answer.instances.filter(each => each.revision < answer.revision) : answer.instances
      output.data({ ...answer, instances })
      const rows = instances.map(each => [
        each.id,
        each.service,
        each.sdk,
        each.revision < answer.revision ? output.colors.yellow(String(each.revision)) : String(each.revision),
        each.confirmedAt === null ? 'not yet' : momentText(each.confirmedAt),
        momentText(each.connectedAt),
      ])
      if (rows.length > 0)
        for (const line of table([['INSTANCE', 'SERVICE', 'SDK', 'REVISION', 'CONFIRMED', 'CONNECTED'], ...rows])) output.line(line)
      const current = answer.instances.filter(each => each.revision >= answer.revision).length
      output.line(`${countText(answer.instances.length, 'instance')} connected to ${place}, ${current} at revision ${answer.revision}.`)
    })
}
