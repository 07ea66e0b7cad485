/** `sluice projects`: list, create and delete projects. */
import type { Command } from 'commander'
import type { Project } from '../../schemas/project.ts'
import { at } from '../client.ts'
import { table } from '../output.ts'
import { openSession } from '../session.ts'

const HELP = `
Examples:
  $ sluice projects
  $ sluice projects create shop --name "The shop"
  $ sluice environments create production -p shop`

export function addProjects(program: Command): void {
  const projects = program
    .command('projects')
    .summary('projects: list, create, delete')
    .description('Projects: each has its own flags and environments.')
    .addHelpText('after', HELP)
  projects
    .command('list', { isDefault: true })
    .description('List the projects.')
    .action(async (_options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const answer = await session.client().call<{ projects: readonly Partial<Project>[] }>('/api/v1/projects')
      output.data(answer)
      const rows = answer.projects.map(each => [each.key ?? '', each.name ?? '', each.description ?? ''])
      for (const line of table([['PROJECT', 'NAME', 'DESCRIPTION'], ...rows])) output.line(line)
    })
  projects
    .command('create')
    .description('Create a project; it begins without environments.')
    .argument('<project>')
    .option('--name <text>', 'a name for people')
    .option('--description <text>', 'what it is for')
    .addHelpText('after', HELP)
    .action(async (key: string, options: { name?: string; description?: string }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const answer = await session
        .client()
        .call<{ dryRun?: boolean }>('/api/v1/projects', { method: 'POST', body: { key, name: key, ...options }, query: session.write })
      output.data(answer)
      output.line(output.colors.bold(`${answer.dryRun === true ? 'WOULD CREATE' : 'CREATED'} project ${key}`))
      if (answer.dryRun === true) return
      output.line(`  next: sluice environments create production -p ${key}`)
      output.line(`  undo: sluice projects delete ${key}`)
    })
  projects
    .command('delete')
    .description('Delete a project; refused while it has environments.')
    .argument('<project>')
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const answer = await session
        .client()
        .call<{ dryRun?: boolean }>(at`/api/v1/projects/${key}`, { method: 'DELETE', query: session.write })
      output.data(answer)
      output.line(output.colors.bold(`${answer.dryRun === true ? 'WOULD DELETE' : 'DELETED'} project ${key}`))
    })
}
