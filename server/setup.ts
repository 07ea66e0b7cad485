/** The first start: a project with its environments, and keys to begin with, in one commit. */
import type { AccessKey } from '../schemas/accesskey.ts'
import type { Actor } from '../schemas/change.ts'
import { makeToken } from './access/token.ts'
import { type Clock, moment } from './clock.ts'
import type { Config } from './config.ts'
import { type ChangeLog, logOf, type PlannedEdit, SERVER_LOG } from './log/types.ts'

/** What a new server begins with; the configured and the first server key are for this project and environment. */
export const FIRST_PROJECT = 'default'
export const FIRST_ENVIRONMENTS = ['development', 'staging', 'production'] as const
export const FIRST_ENVIRONMENT = FIRST_ENVIRONMENTS[0]

/** The server itself, as the log names it. */
export const SYSTEM: Actor = { kind: 'system', id: 'server', name: 'Sluice' }

/** The keys made at the first start, to be shown once; null where configuration has set one. */
export interface FirstKeys {
  readonly admin: string | null
  readonly server: string | null
}

/** @returns the keys to show, or null when the log had entries already and nothing was done */
export async function setUp(log: ChangeLog, clock: Clock, config: Pick<Config, 'adminKey' | 'serverKey'>): Promise<FirstKeys | null> {
  if (log.state(SERVER_LOG).revision > 0) return null
  const base = { createdAt: moment(clock.now()), createdBy: SYSTEM.name, expiresAt: null, version: 1 }
  const edits: PlannedEdit[] = [
    { type: 'project', key: FIRST_PROJECT, after: { key: FIRST_PROJECT, name: 'Default', version: 1 } },
    ...FIRST_ENVIRONMENTS.map((environment): PlannedEdit => {
      const key = logOf(FIRST_PROJECT, environment)
      const name = environment.charAt(0).toUpperCase() + environment.slice(1)
      return { type: 'environment', key, after: { key, project: FIRST_PROJECT, environment, name, version: 1 } }
    }),
  ]
  const add = (key: Omit<AccessKey, keyof typeof base>): void => void edits.push({ type: 'key', key: key.key, after: { ...base, ...key } })

  const admin = config.adminKey === undefined ? makeToken('admin') : null
  if (admin !== null) add({ key: admin.id, kind: 'admin', name: 'first admin', hash: admin.hash, grants: [{ role: 'admin' }] })
  const server = config.serverKey === undefined ? makeToken('server') : null
  if (server !== null) {
    const where = { project: FIRST_PROJECT, environment: FIRST_ENVIRONMENT }
    add({ key: server.id, kind: 'server', name: `first ${FIRST_ENVIRONMENT}`, hash: server.hash, grants: [], ...where })
  }
  await log.commit({ log: SERVER_LOG, actor: SYSTEM, action: 'project.create', comment: 'The first start.', plan: () => edits })
  return { admin: admin?.token ?? null, server: server?.token ?? null }
}
