/** What a caller may know to exist. */
import { SluiceError } from '../../schemas/errors.ts'
import { BUILT_IN_PROJECT } from '../log/types.ts'
import { type Access, hasRole } from './policy.ts'

/** Whether any of the caller's grants, or its own environment, lies in the project. */
export function seesProject(access: Access, project: string): boolean {
  if (access.kind !== 'admin') return access.project === project
  // Not for whoever may look at one environment of every project.
  if (project === BUILT_IN_PROJECT) return hasRole(access, 'viewer', project)
  return access.grants.some(grant => grant.project === undefined || grant.project === project)
}

export function seesEnvironment(access: Access, project: string, environment: string): boolean {
  if (access.kind !== 'admin') return access.project === project && access.environment === environment
  return hasRole(access, 'viewer', project, environment)
}

/** Error: `FORBIDDEN`, the same whether the project exists or not. */
export function checkSees(access: Access, project: string): void {
  if (seesProject(access, project)) return
  throw new SluiceError('FORBIDDEN', `Key "${access.name}" gives no access to project "${project}". Use a key that does.`)
}
