/** The first start: a project with its environments, and keys to begin with, in one commit. */
import type { FastifyBaseLogger } from 'fastify'
import type { AccessKey } from '../schemas/accesskey.ts'
import type { Actor } from '../schemas/change.ts'
import { makeToken } from './access/token.ts'
import { type Clock, moment } from './clock.ts'
import type { Config } from './config.ts'
import { BUILT_IN_LOG, builtInFlag, builtInPlaces, isBuiltInMissing } from './limits/builtin.ts'
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

interface SetUpOptions {
  readonly log: ChangeLog
  readonly clock: Clock
  readonly config: Pick<Config, 'adminKey' | 'serverKey'>
  readonly logger: FastifyBaseLogger
}

/** @returns the keys to show, or null when the log had entries already; then only what is built in is made where it is missing */
export async function setUp({ log, clock, config, logger }: SetUpOptions): Promise<FirstKeys | null> {
  if (log.state(SERVER_LOG).revision > 0) {
    if (isBuiltInMissing(log)) await addBuiltIn(log, logger)
    return null
  }
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
  const write = { actor: SYSTEM, action: 'project.create', comment: 'The first start.' } as const
  await log.commitAll([
    { log: SERVER_LOG, ...write, plan: state => [...edits, ...builtInPlaces(state)] },
    { log: BUILT_IN_LOG, ...write, action: 'flag.create', plan: builtInFlag },
  ])
  return { admin: admin?.token ?? null, server: server?.token ?? null }
}

/** For a database of a server that had none of it. A disk that is full must not stop a start: without the flag nothing is limited. */
async function addBuiltIn(log: ChangeLog, logger: FastifyBaseLogger): Promise<void> {
  const write = { actor: SYSTEM, comment: 'What is built in was missing.' } as const
  try {
    await log.commitAll([
      { log: SERVER_LOG, action: 'project.create', ...write, plan: builtInPlaces },
      { log: BUILT_IN_LOG, action: 'flag.create', ...write, plan: builtInFlag },
    ])
  } catch (error) {
    logger.warn({ err: error }, 'the flag that limits this API could not be made, so requests are not limited; the next start tries again')
  }
}
