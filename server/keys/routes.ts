/** Keys: made, listed and revoked over the API. The secret is answered once and kept by nobody. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type AccessKey, type KeyInput, keyInputSchema, keyViewSchema } from '../../schemas/accesskey.ts'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { KEYS_MAX } from '../../schemas/limits.ts'
import type { KeyRingHandle } from '../access/keyring.ts'
import { type Access, hasRole, kinds } from '../access/policy.ts'
import { makeToken } from '../access/token.ts'
import { moment } from '../clock.ts'
import { findEnvironment, findProject } from '../environments/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { writeFields, written } from '../http/write.ts'
import { SERVER_LOG, type State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { configuredView, viewOf, withoutHashes } from './redact.ts'

const writtenShape = { revision: z.number().int(), change: changeSchema.nullable(), dryRun: z.literal(true).optional() }

export function keyRoutes(app: FastifyInstance, services: Services, ring: Pick<KeyRingHandle, 'configured'>): void {
  const { log, clock } = services

  route(app, {
    method: 'GET',
    url: '/api/v1/keys',
    policy: kinds('admin'),
    tag: 'keys',
    summary: 'The keys that the caller may give and revoke',
    response: z.object({ keys: z.array(keyViewSchema) }),
    handler: ({ access }) => {
      const made = [...log.state(SERVER_LOG).documents.key.values()].filter(key => mayManage(access, key))
      return { keys: [...ring.configured.filter(key => mayManage(access, key)).map(configuredView), ...made.map(viewOf)] }
    },
  })

  route(app, {
    method: 'POST',
    url: '/api/v1/keys',
    policy: kinds('admin'),
    tag: 'keys',
    summary: 'Make a key',
    description: 'Needs the role admin over everything the new key gives. `token` is the key itself: it is answered this once.',
    query: writeQuerySchema,
    body: keyInputSchema,
    response: z.object({ ...writtenShape, key: keyViewSchema, token: z.string().optional() }),
    status: 201,
    handler: async call => {
      const input = call.body
      checkShape(input, clock.now())
      if (!mayManage(call.access, input)) {
        throw new SluiceError(
          'FORBIDDEN',
          `Key "${call.access.name}" cannot give more than it has: this needs the role admin over everything the new key reaches.`,
        )
      }
      checkPlaces(services, input)
      const { id, token, hash } = makeToken(input.kind)
      const document: AccessKey = {
        key: id,
        kind: input.kind,
        name: input.name,
        hash,
        grants: input.grants ?? [],
        ...(input.project === undefined ? {} : { project: input.project }),
        ...(input.environment === undefined ? {} : { environment: input.environment }),
        createdAt: moment(clock.now()),
        createdBy: call.access.name,
        expiresAt: input.expiresAt ?? null,
        version: 1,
      }
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'key.create',
        ...fields,
        plan: ({ documents }) => {
          checkPlaces(services, input)
          if (documents.key.size >= KEYS_MAX) {
            throw new SluiceError('LIMIT_EXCEEDED', `There are ${KEYS_MAX} keys, the most a server takes. Revoke those that nobody uses.`)
          }
          return [{ type: 'key', key: id, after: document }]
        },
      })
      const answer = written(commit, fields)
      return {
        ...answer,
        change: answer.change === null ? null : withoutHashes(answer.change),
        key: viewOf(document),
        // A dry run makes no key, so there is none to show.
        ...(fields.dryRun ? {} : { token }),
      }
    },
  })

  route(app, {
    method: 'DELETE',
    url: '/api/v1/keys/:id',
    policy: kinds('admin'),
    tag: 'keys',
    summary: 'Revoke a key',
    description: 'It is refused from now on, and its streams are closed.',
    query: writeQuerySchema,
    response: z.object(writtenShape),
    handler: async call => {
      const id = call.params.id ?? ''
      const configured = ring.configured.find(key => key.id === id)
      if (configured !== undefined && mayManage(call.access, configured)) {
        throw new SluiceError(
          'INVALID_REQUEST',
          `This key is set by ${configured.name}. Remove or change that variable and restart the server.`,
        )
      }
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'key.revoke',
        ...fields,
        plan: state => {
          const key = state.documents.key.get(id)
          // One that the caller has nothing to do with might as well not exist.
          if (key === undefined || !mayManage(call.access, key)) {
            throw new SluiceError('KEY_NOT_FOUND', `No key with the id "${id}". GET /api/v1/keys lists those there are.`)
          }
          checkNotLast(state, key, ring.configured, clock.now())
          return [{ type: 'key', key: id, after: null }]
        },
      })
      const answer = written(commit, fields)
      return { ...answer, change: answer.change === null ? null : withoutHashes(answer.change) }
    },
  })
}

/** Whoever gives, sees or revokes a key must be admin of everything it reaches: so nobody gives more than they have. */
function mayManage(
  access: Access,
  key: Pick<KeyInput, 'kind'> & {
    readonly grants?: AccessKey['grants'] | Access['grants'] | undefined
    readonly project?: string | null | undefined
    readonly environment?: string | null | undefined
  },
): boolean {
  if (key.kind === 'admin') {
    const grants = key.grants ?? []
    return grants.length > 0 && grants.every(grant => hasRole(access, 'admin', grant.project, grant.environment))
  }
  return hasRole(access, 'admin', key.project ?? undefined, key.environment ?? undefined)
}

/** Error: `INVALID_REQUEST` for what the schema cannot say. */
function checkShape(input: KeyInput, now: number): void {
  const problems: { path: string; code: string; message: string }[] = []
  if (input.kind === 'admin') {
    if (input.grants === undefined)
      problems.push({
        path: 'grants',
        code: 'missing',
        message: 'are missing. Give an admin key at least one, as in [{ "role": "viewer" }]',
      })
    for (const field of ['project', 'environment'] as const) {
      if (input[field] !== undefined)
        problems.push({ path: field, code: 'not_allowed', message: 'is not for admin keys. Put it into a grant' })
    }
  } else {
    if (input.grants !== undefined)
      problems.push({
        path: 'grants',
        code: 'not_allowed',
        message: `are for admin keys. A ${input.kind} key has a project and an environment`,
      })
    for (const field of ['project', 'environment'] as const) {
      if (input[field] === undefined)
        problems.push({ path: field, code: 'missing', message: `is missing. A ${input.kind} key is for one environment of one project` })
    }
  }
  if (typeof input.expiresAt === 'string' && Date.parse(input.expiresAt) <= now) {
    problems.push({ path: 'expiresAt', code: 'past', message: 'has passed. Give a moment to come, or none' })
  }
  const [first] = problems
  if (first !== undefined)
    throw new SluiceError('INVALID_REQUEST', `The body cannot be taken: ${first.path} ${first.message}.`, { details: problems })
}

/** Errors: `PROJECT_NOT_FOUND`, `ENVIRONMENT_NOT_FOUND`. A grant may reach over an environment name in all projects. */
function checkPlaces(services: Services, input: KeyInput): void {
  if (input.project !== undefined && input.environment !== undefined) findEnvironment(services, input.project, input.environment)
  for (const { project, environment } of input.grants ?? []) {
    if (project !== undefined && environment !== undefined) findEnvironment(services, project, environment)
    else if (project !== undefined) findProject(services, project)
  }
}

/** Error: `LAST_ADMIN_KEY` when nobody could administer the server afterwards. */
function checkNotLast(state: State, key: AccessKey, configured: readonly Access[], now: number): void {
  if (!isServerAdmin(key, now) || configured.some(other => hasRole(other, 'admin'))) return
  for (const other of state.documents.key.values()) if (other.key !== key.key && isServerAdmin(other, now)) return
  throw new SluiceError(
    'LAST_ADMIN_KEY',
    `Key "${key.name}" is the last one with the role admin over the whole server. Make another one first.`,
  )
}

function isServerAdmin(key: AccessKey, now: number): boolean {
  if (key.kind !== 'admin' || (key.expiresAt !== null && Date.parse(key.expiresAt) <= now)) return false
  return key.grants.some(grant => grant.role === 'admin' && grant.project === undefined && grant.environment === undefined)
}
