/** `sluice kills`: what is killed now. */
import type { Command } from 'commander'
import { affectedText } from '../../schemas/words.ts'
import type { Kills } from '../answers.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { openSession } from '../session.ts'

const HELP = `
Examples:
  $ sluice kills -e production
  $ sluice kills -e production --json`

export function addKills(program: Command): void {
  program
    .command('kills')
    .summary('the kills that stand')
    .description('The kills that stand in an environment, oldest first within a flag: that one decides.')
    .addHelpText('after', HELP)
    .action(async (_options: object, self: Command) => {
      const session = openSession(self)
      const { output, place, settings } = session
      const answer = await session.client().call<Kills>(`${session.environmentPath}/kills`)
      output.data(answer)
      if (answer.kills.length === 0) return output.line(`No kill stands in ${place}.`)
      const rows = answer.kills.map(kill => [
        output.colors.red(kill.flag),
        kill.id,
        kill.variation,
        affectedText(kill.clauses),
        momentText(kill.at),
        kill.until === null ? 'by hand' : momentText(kill.until),
        kill.actor,
        JSON.stringify(kill.reason),
      ])
      for (const line of table([['FLAG', 'KILL', 'SERVES', 'AFFECTS', 'SINCE', 'ENDS', 'BY', 'REASON'], ...rows])) output.line(line)
      output.line(`Lift one with: sluice lift <flag> -e ${settings.environment} --id <kill>`)
    })
}
