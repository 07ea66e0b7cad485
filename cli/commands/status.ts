/** `sluice status`: how the server is, who you are to it, and what stands in each environment. */
import { durationText, shareText } from '../../schemas/words.ts'
import type { Command } from 'commander'
import type { Status, WhoAmI } from '../answers.ts'
import { type Colors, table } from '../output.ts'
import { openSession } from '../session.ts'
import { stateText } from '../valve.ts'
import { trippedText } from '../triggers.ts'
import { reachText } from './keys.ts'

const HELP = `
Examples:
  $ sluice status
  $ sluice status --json`

export function addStatus(program: Command): void {
  program
    .command('status')
    .summary('how the server is, who you are, and what stands where')
    .description('The server, your key, and each environment: revision, connected instances, standing kills.')
    .addHelpText('after', HELP)
    .action(async (_options: object, self: Command) => {
      const session = openSession(self)
      const { output, settings } = session
      const { colors } = output
      const [status, you] = await Promise.all([
        session.client().call<Status>('/api/v1/status'),
        session.client().call<WhoAmI>('/api/v1/whoami'),
      ])
      output.data({ url: settings.url, project: settings.project, environment: settings.environment, ...status, you })
      const up = durationText(Math.max(0, Date.now() - Date.parse(status.startedAt)))
      output.line(`${colors.bold(settings.url)}  Sluice ${status.version}, up ${up}`)
      output.line(`you       ${you.name} (${you.kind} key ${you.id}): ${reachText(you)}`)
      output.line(
        `storage   ${status.storage.healthy ? colors.green('healthy') : colors.red(`ill: ${status.storage.problem ?? 'unknown'}`)}${status.storage.volatile > 0 ? `, ${status.storage.volatile} changes published but not yet stored` : ''}`,
      )
      output.line(
        `commands  go to ${settings.project}/${settings.environment}${settings.environmentNamed ? '' : ' (named nowhere, so kill, lift, revert and import ask for -e)'}`,
      )
      const rows = status.environments.map(each => [
        `${each.project}/${each.environment}`,
        String(each.revision),
        String(each.instances),
        each.kills > 0 ? colors.red(String(each.kills)) : '0',
      ])
      for (const line of table([['ENVIRONMENT', 'REVISION', 'INSTANCES', 'KILLS'], ...rows])) output.line(line)
      for (const { project, environment, notifiers: { paused, failing } = { paused: 0, failing: 0 } } of status.environments) {
        if (paused + failing === 0) continue
        const text = [paused > 0 ? `${paused} paused` : '', failing > 0 ? `${failing} failing` : ''].filter(each => each !== '').join(', ')
        output.line(`notifiers ${colors.red(text)} in ${project}/${environment}: see "sluice notifiers -p ${project} -e ${environment}"`)
      }
      for (const { project, environment, valves = [] } of status.environments)
        for (const valve of valves) output.line(`valve     ${valve.flag} in ${project}/${environment} ${valveText(valve, colors)}`)
      for (const { project, environment, rollouts = [] } of status.environments) {
        for (const { flag, state, step, steps, why } of rollouts) {
          const place = step === null ? '' : `, step ${step + 1} of ${steps}`
          const shown = state === 'running' || state === 'scheduled' ? state : colors.red(state)
          output.line(`rollout   ${flag} in ${project}/${environment} is ${shown}${place}${why === '' ? '' : `: ${why}`}`)
        }
      }
      for (const { project, environment, tripped = [] } of status.environments) {
        for (const each of tripped) {
          output.line(colors.red(`${project}/${environment}: ${each.flags.join(', ')} ${trippedText(each)}; undo:`))
          output.line(each.undo)
        }
      }
    })
}

/** `is cut by itself: 0 % let through`. */
function valveText({ state, admit, by }: NonNullable<Status['environments'][number]['valves']>[number], colors: Colors): string {
  const why = { kill: 'by a kill', off: 'for its flag is off', throttle: 'as it is held', flag: 'by itself or its setting' }[by]
  return `is ${stateText(state, colors)} ${why}: ${shareText(admit)} let through`
}
