/**
 * Who may use a route. The policy sits on the route and is decided on the matched route, never on the raw path; a
 * route without one stops the start. A key is checked before anything it names is looked up, so that a key without
 * access cannot tell what exists.
 */
import { type Grant, type KeyKind, type Role, ROLES } from '../../schemas/accesskey.ts'
import type { Actor } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { BUILT_IN_PROJECT } from '../log/types.ts'

/** What is asked of the caller. `scope` says over what the role must reach: the whole server, `:project`, or `:environment`. */
export type Policy =
  | { readonly allow: 'everyone' }
  | { readonly allow: 'any-key' }
  | { readonly allow: 'kinds'; readonly kinds: readonly KeyKind[] }
  | { readonly allow: 'role'; readonly role: Role; readonly scope: 'server' | 'project' | 'environment' }

/** No key needed: health, metrics, documentation. */
export const everyone: Policy = { allow: 'everyone' }
/** Any valid key, of whatever kind. */
export const anyKey: Policy = { allow: 'any-key' }
/** Keys of these kinds, each bound to its own environment. */
export const kinds = (...list: KeyKind[]): Policy => ({ allow: 'kinds', kinds: list })
/** An admin key with at least this role over the scope. */
export const role = (least: Role, scope: 'server' | 'project' | 'environment'): Policy => ({ allow: 'role', role: least, scope })

/** The caller, known. */
export interface Access {
  readonly id: string
  readonly kind: KeyKind
  readonly name: string
  readonly grants: readonly Grant[]
  /** The environment of a server, client or hook key. */
  readonly project: string | null
  readonly environment: string | null
}

/** How the log names the caller. */
export function actorOf(access: Access): Actor {
  return { kind: 'key', id: access.id, name: access.name }
}

/** Whether a role reaches over a project and environment (undefined: over all of them). */
export function hasRole(access: Access, least: Role, project?: string, environment?: string): boolean {
  if (access.kind !== 'admin') return false
  return access.grants.some(
    grant =>
      ROLES.indexOf(grant.role) >= ROLES.indexOf(least) &&
      (grant.project === undefined || grant.project === project) &&
      (grant.environment === undefined || grant.environment === environment),
  )
}

/** Throws `FORBIDDEN` unless the policy lets the caller pass. `access` is null when no key was sent. */
export function authorise(policy: Policy, access: Access | null, params: { project?: string; environment?: string }): void {
  if (policy.allow === 'everyone') return
  if (access === null) {
    throw new SluiceError('KEY_MISSING', 'No key was sent. Send one as "Authorization: Bearer slc_…".')
  }
  if (policy.allow === 'any-key') return
  if (policy.allow === 'kinds') {
    if (policy.kinds.includes(access.kind)) return
    throw new SluiceError('FORBIDDEN', `This needs a ${policy.kinds.join(' or ')} key, and "${access.name}" is of kind ${access.kind}.`)
  }
  const project = policy.scope === 'server' ? undefined : params.project
  // What is built in is seen like any other place, and changed by the admins of the server alone.
  const least = project === BUILT_IN_PROJECT && policy.role !== 'viewer' ? 'admin' : policy.role
  const environment = policy.scope === 'environment' ? params.environment : undefined
  if (hasRole(access, least, project, environment)) return
  const where =
    policy.scope === 'server' ? 'the whole server' : environment === undefined ? `project "${project}"` : `"${project}/${environment}"`
  throw new SluiceError(
    'FORBIDDEN',
    access.kind === 'admin'
      ? `Key "${access.name}" does not have the role ${least} over ${where}. Use a key that has it.`
      : `This needs an admin key with the role ${least} over ${where}, and "${access.name}" is of kind ${access.kind}.`,
  )
}
