/** `sluice telemetry`: what applications ask for in vain or cannot understand, and by which service. */
import type { Command } from 'commander'
import type { Problem } from '../../schemas/usage.ts'
import type { Telemetry } from '../answers.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { openSession } from '../session.ts'
import { agoText, numberText, serviceText } from '../usage.ts'

const HELP = `
Examples:
  $ sluice telemetry -e production
  $ sluice telemetry -e production --json | jq '.unknownFlags[].subject'

How a flag that exists is used: "sluice flag show <flag>". Flags that nobody uses: "sluice flags --unused 30d".`

export function addTelemetry(program: Command): void {
  program
    .command('telemetry')
    .summary('unknown flags, wrong types and operators that applications run into')
    .description('What applications ask for in vain or cannot understand: how often, when last, and which service.')
    .addHelpText('after', HELP)
    .action(async (_options: object, self: Command) => {
      const session = openSession(self)
      const { output, place } = session
      const answer = await session.client().call<Telemetry>(`${session.environmentPath}/telemetry`)
      output.data(answer)
      const now = Date.now()
      const common = (problem: Problem): string[] => [
        numberText(problem.count),
        serviceText(problem.service),
        problem.instance,
        agoText(problem.lastSeen, now),
      ]
      const list = (heading: readonly string[], rows: readonly (readonly string[])[]): void => {
        if (rows.length === 0) return
        for (const line of table([heading, ...rows])) output.line(line)
        output.line()
      }
      const columns = ['COUNT', 'SERVICE', 'INSTANCE', 'LAST']
      list(
        ['UNKNOWN FLAG', ...columns, 'DID IT MEAN'],
        answer.unknownFlags.map(each => [each.subject, ...common(each), each.meant ?? '-']),
      )
      list(
        ['WRONG TYPE', 'ASKED', 'IS', ...columns],
        answer.wrongTypes.map(each => [each.subject, each.detail, each.type ?? '-', ...common(each)]),
      )
      list(
        ['UNKNOWN OPERATOR', 'USED BY', 'SDK', ...columns.slice(1)],
        answer.unknownOperators.map(each => [each.detail, each.subject, each.sdk, ...common(each).slice(1)]),
      )
      list(
        ['ERROR', 'FLAG', ...columns],
        answer.errors.map(each => [each.code, each.subject, ...common(each)]),
      )
      const { unknownFlags, wrongTypes, unknownOperators, errors, dropped, storing } = answer
      const count = [unknownFlags, wrongTypes, unknownOperators, errors].reduce((sum, each) => sum + each.length, 0)
      if (count === 0) output.line(`No application in ${place} has asked for anything in vain.`)
      const lost =
        dropped.sdk + dropped.server === 0 ? '' : `; dropped ${numberText(dropped.sdk)} by SDKs and ${numberText(dropped.server)} here`
      output.line(`${numberText(answer.evaluations)} evaluations counted in ${place} since ${momentText(dropped.since)}${lost}.`)
      if (storing.problem !== null)
        output.note(`sluice: evaluation counts cannot be stored now, ${numberText(storing.waiting)} sums wait: ${storing.problem}`)
    })
}
