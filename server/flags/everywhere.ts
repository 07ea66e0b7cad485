/** Writes that touch a flag in every environment of its project: one transaction, all or nothing. */
import type { Action } from '../../schemas/change.ts'
import type { Environment } from '../../schemas/project.ts'
import { environmentsOf, findProject } from '../environments/find.ts'
import type { WriteFields } from '../http/write.ts'
import { type Commit, logOf, type PlannedEdit, type State } from '../log/types.ts'
import type { Services } from '../services.ts'

/** The environments of a project in the order they were made. Error: `PROJECT_NOT_FOUND`. */
export function projectEnvironments(services: Pick<Services, 'log'>, project: string): Environment[] {
  return environmentsOf(services, findProject(services, project).key)
}

export interface Everywhere {
  readonly revisions: Record<string, number>
  readonly changes: Record<string, Commit['change']>
  readonly commits: readonly Commit[]
}

/** One write per environment. `plan` answers no edits for an environment it does not concern. */
export async function commitEverywhere(
  services: Pick<Services, 'log'>,
  environments: readonly Environment[],
  fields: WriteFields,
  action: Action,
  plan: (state: State) => readonly PlannedEdit[],
): Promise<Everywhere> {
  const commits = await services.log.commitAll(
    environments.map(({ project, environment }) => ({ log: logOf(project, environment), ...fields, action, plan })),
  )
  const revisions: Record<string, number> = {}
  const changes: Record<string, Commit['change']> = {}
  for (const [i, { environment }] of environments.entries()) {
    const commit = commits[i]
    if (commit === undefined) continue
    revisions[environment] = commit.revision
    changes[environment] = commit.change
  }
  return { revisions, changes, commits }
}
