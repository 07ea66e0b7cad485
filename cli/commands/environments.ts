/** `sluice environments`: list, create and delete the environments of a project. */
import type { Command } from 'commander'
import type { Environment } from '../../schemas/project.ts'
import { at } from '../client.ts'
import { table } from '../output.ts'
import { openSession } from '../session.ts'

interface CreateOptions {
  readonly name?: string
  readonly description?: string
  readonly copyFrom?: string
}

const HELP = `
Examples:
  $ sluice environments
  $ sluice environments create preview --copy-from staging
  $ sluice environments delete preview`

export function addEnvironments(program: Command): void {
  const environments = program
    .command('environments')
    .summary('environments: list, create, delete')
    .description('Environments of a project: each is a separate set of settings for the same flags.')
    .addHelpText('after', HELP)
  environments
    .command('list', { isDefault: true })
    .description('List the environments of the project.')
    .action(async (_options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const answer = await session.client().call<{ environments: readonly Partial<Environment>[] }>(`${session.projectPath}/environments`)
      output.data(answer)
      const rows = answer.environments.map(each => [each.environment ?? each.key ?? '', each.name ?? '', each.description ?? ''])
      for (const line of table([['ENVIRONMENT', 'NAME', 'DESCRIPTION'], ...rows])) output.line(line)
    })
  environments
    .command('create')
    .description('Create an environment with every flag of the project, off; with --copy-from as they are there.')
    .argument('<environment>')
    .option('--name <text>', 'a name for people')
    .option('--description <text>', 'what it is for')
    .option('--copy-from <environment>', 'begin with the settings of this one')
    .addHelpText('after', HELP)
    .action(async (key: string, options: CreateOptions, self: Command) => {
      const session = openSession(self)
      const { output, settings } = session
      const answer = await session.client().call<{ dryRun?: boolean }>(`${session.projectPath}/environments`, {
        method: 'POST',
        body: { key, ...options },
        query: session.write,
      })
      output.data(answer)
      output.line(
        `${output.colors.bold(`${answer.dryRun === true ? 'WOULD CREATE' : 'CREATED'} environment ${key} in project ${settings.project}`)}${options.copyFrom === undefined ? ': every flag is there, off' : `: as ${options.copyFrom} is`}`,
      )
      if (answer.dryRun === true) return
      output.line(`  applications reach it with a key of its own: sluice keys create --kind server --name <who> -e ${key}`)
      output.line(`  undo: sluice environments delete ${key}`)
    })
  environments
    .command('delete')
    .description('Delete an environment; refused while a kill stands or an instance is connected.')
    .argument('<environment>')
    .option('--force', 'all the same')
    .addHelpText('after', HELP)
    .action(async (key: string, options: { force?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output, settings } = session
      const answer = await session.client().call<{ dryRun?: boolean }>(`${session.projectPath}${at`/environments/${key}`}`, {
        method: 'DELETE',
        query: { ...session.write, ...(options.force === true ? { force: true } : {}) },
      })
      output.data(answer)
      output.line(
        `${output.colors.bold(`${answer.dryRun === true ? 'WOULD DELETE' : 'DELETED'} environment ${key} of project ${settings.project}`)}: its applications keep what they have and get nothing new.`,
      )
    })
}
