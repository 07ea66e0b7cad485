/** Looking up a project or environment by key, with an error that names what exists. */
import { SluiceError } from '../../schemas/errors.ts'
import type { Environment, Project } from '../../schemas/project.ts'
import { logOf, SERVER_LOG } from '../log/types.ts'
import type { Services } from '../services.ts'

/** Most keys that an error lists. */
const LISTED_MAX = 20

/**
 * The name of the log of the environment that a path speaks of.
 * Errors: `PROJECT_NOT_FOUND`, `ENVIRONMENT_NOT_FOUND`, naming those that exist. The caller's role has been checked before.
 */
export function environmentLog(
  services: Pick<Services, 'log'>,
  params: { readonly project?: string | undefined; readonly environment?: string | undefined },
): string {
  const environment = findEnvironment(services, params.project ?? '', params.environment ?? '')
  return logOf(environment.project, environment.environment)
}

/** Error: `PROJECT_NOT_FOUND`. */
export function findProject(services: Pick<Services, 'log'>, key: string): Project {
  const { project } = services.log.state(SERVER_LOG).documents
  const found = project.get(key)
  if (found !== undefined) return found
  throw new SluiceError('PROJECT_NOT_FOUND', `No project "${key}". ${listed(project.keys())}`)
}

/** Errors: `PROJECT_NOT_FOUND`, `ENVIRONMENT_NOT_FOUND`. */
export function findEnvironment(services: Pick<Services, 'log'>, project: string, environment: string): Environment {
  const found = services.log.state(SERVER_LOG).documents.environment.get(logOf(project, environment))
  // A key with a slash in it could join to the name of another environment.
  if (found?.project === project) return found
  findProject(services, project)
  const known = environmentsOf(services, project).map(item => item.environment)
  throw new SluiceError('ENVIRONMENT_NOT_FOUND', `No environment "${environment}" in project "${project}". ${listed(known)}`)
}

/** The environments of a project in the order they were made; empty for a project that does not exist. */
export function environmentsOf(services: Pick<Services, 'log'>, project: string): Environment[] {
  return [...services.log.state(SERVER_LOG).documents.environment.values()].filter(environment => environment.project === project)
}

function listed(keys: Iterable<string>): string {
  const all = [...keys]
  if (all.length === 0) return 'There is none yet.'
  const more = all.length > LISTED_MAX ? ` and ${all.length - LISTED_MAX} more` : ''
  return `There is ${all.slice(0, LISTED_MAX).join(', ')}${more}.`
}
