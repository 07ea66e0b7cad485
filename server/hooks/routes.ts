/** Hooks over the API: made, edited, tried and looked at; and the ways in themselves, where tools deliver. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { alertSchema } from '../../schemas/alert.ts'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import {
  HOOK_SOURCES,
  HOOK_VERDICTS,
  hookDeliverySchema,
  hookInputSchema,
  hookMappingSchema,
  hookPatchSchema,
  hookReadingSchema,
  hookSchema,
  hookSecretSchema,
  type Hook,
} from '../../schemas/hook.ts'
import { textSchema } from '../../schemas/key.ts'
import { BODY_BYTES_MAX, HOOKS_MAX } from '../../schemas/limits.ts'
import { everyone, hasRole, role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { addRawRoutes } from '../http/body.ts'
import { type Call, rawRoute, route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import type { State } from '../log/types.ts'
import type { Services } from '../services.ts'
import type { Deliveries } from './deliveries.ts'
import { headersOf } from './judge.ts'
import { TITLE_LENGTH_MAX } from './reading.ts'
import { parseJson } from '../http/json.ts'
import type { Received } from './signatures.ts'
import { looksLike } from './sources.ts'
import { checkSecret, completeHook, makeSecret, needsSecret, patchHook } from './validate.ts'

const HOOKS = '/api/v1/projects/:project/environments/:environment/hooks'
const DELIVERIES_SHOWN_MAX = 200
/** Secrets that are good at once. */
const SECRETS_MAX = 5

const writtenShape = { revision: z.number().int(), change: changeSchema.nullable(), dryRun: z.literal(true).optional() }
const viewSchema = hookSchema.extend({
  /** Below the server's own address; with `auth: path` a point and the secret follow. */
  url: z.string(),
  /** Since the server's start, by verdict. */
  deliveries: z.partialRecord(z.enum(HOOK_VERDICTS), z.number().int()),
  /** Alerts that fire now. */
  firing: z.number().int(),
})
const limitQuerySchema = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,3}$/)
    .optional(),
})

export function hookRoutes(app: FastifyInstance, services: Services, deliveries: Deliveries): void {
  const tag = 'hooks'
  const { log, secrets, alerts } = services

  addRawRoutes(app, scope => {
    scope.addHook('onError', (request, _reply, error, done) => {
      if (!(error instanceof SluiceError) || error.code !== 'BODY_TOO_LARGE') return done()
      const path = (request.params as { path?: string }).path ?? ''
      void deliveries
        .refuse(pathOf(path).path, receivedOf(request, null, Buffer.alloc(0)), `the body has more than ${BODY_BYTES_MAX} bytes`)
        .then(() => done())
    })
    rawRoute(
      scope,
      {
        method: 'POST',
        url: '/hooks/:path',
        policy: everyone,
        tag,
        summary: 'Where a monitoring tool delivers its alerts',
        description:
          'The body is the tool’s own, of any type; how it is proved and read is set by the hook. Answered once the alerts are stored; what they do comes after.',
        rawBody: true,
        response: z.object({
          verdict: z.enum(['accepted', 'duplicate', 'late']),
          reason: z.string(),
          alerts: z.number().int(),
          new: z.number().int(),
        }),
      },
      (request, reply) => receive(request, reply, deliveries),
    )
  })

  const viewed = (name: string, hook: Hook) => ({
    ...hook,
    url: `/hooks/${hook.path}`,
    deliveries: Object.fromEntries(
      deliveries.counts().flatMap(each => (each.log === name && each.hook === hook.key ? [[each.verdict, each.count]] : [])),
    ),
    firing: alerts.firing(name).filter(alert => alert.hook === hook.key).length,
  })

  route(app, {
    method: 'GET',
    url: HOOKS,
    policy: role('viewer', 'environment'),
    summary: 'The ways in for monitoring tools',
    tag,
    response: z.object({ revision: z.number().int(), hooks: z.array(viewSchema) }),
    handler({ params }) {
      const name = environmentLog(services, params)
      const state = log.state(name)
      const hooks = [...state.documents.hook.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
      return { revision: state.revision, hooks: hooks.map(hook => viewed(name, hook)) }
    },
  })

  route(app, {
    method: 'POST',
    url: HOOKS,
    policy: role('editor', 'environment'),
    summary: 'Make a way in',
    description: 'Where none is given and the tool makes none of its own, a secret is made and answered once. mayAct needs the role admin.',
    tag,
    query: writeQuerySchema,
    body: hookInputSchema,
    response: z.object({ ...writtenShape, hook: viewSchema, secret: z.string().optional() }),
    status: 201,
    async handler(call) {
      const name = environmentLog(services, call.params)
      const fields = writeFields(call)
      const hook = completeHook(call.body)
      if (hook.mayAct) needAdmin(call, 'mayAct')
      if (call.body.secret !== undefined) checkSecret(hook, call.body.secret)
      checkNew(log.state(name), hook.key)
      const made = call.body.secret === undefined && needsSecret(hook) === 'ours' ? makeSecret() : undefined
      const secret = call.body.secret ?? made
      const refs = secret === undefined || fields.dryRun ? [] : [await secrets.keep(secret)]
      const whole: Hook = { ...hook, secrets: refs }
      try {
        const commit = await log.commit({
          log: name,
          ...fields,
          action: 'hook.create',
          plan(state) {
            checkNew(state, hook.key)
            return [{ type: 'hook', key: hook.key, after: whole }]
          },
        })
        if (fields.dryRun) call.reply.code(200)
        return {
          ...written(commit, fields),
          hook: viewed(name, leftBy(commit, 'hook', hook.key, whole)),
          ...(made === undefined || fields.dryRun ? {} : { secret: made }),
        }
      } catch (error) {
        await secrets.forget(refs)
        throw error
      }
    },
  })

  route(app, {
    method: 'GET',
    url: `${HOOKS}/:hook`,
    policy: role('viewer', 'environment'),
    summary: 'One way in',
    tag,
    response: viewSchema,
    handler({ params, reply }) {
      const name = environmentLog(services, params)
      const hook = findHook(log.state(name), params.hook ?? '')
      reply.header('etag', `"${hook.version}"`)
      return viewed(name, hook)
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${HOOKS}/:hook`,
    policy: role('editor', 'environment'),
    summary: 'Edit a way in: the fields given are replaced, the others stay',
    description: 'What proves a delivery (auth, header, timestampHeader, topicArn) and mayAct need the role admin.',
    tag,
    query: writeQuerySchema,
    body: hookPatchSchema,
    response: z.object({ ...writtenShape, hook: viewSchema }),
    async handler(call) {
      for (const field of ['mayAct', 'auth', 'header', 'timestampHeader', 'topicArn'] as const)
        if (call.body[field] !== undefined && call.body[field] !== false) needAdmin(call, field)
      return edit(call, hook => patchHook(hook, call.body))
    },
  })

  route(app, {
    method: 'POST',
    url: `${HOOKS}/:hook/secrets`,
    policy: role('admin', 'environment'),
    summary: 'Give a way in another secret, beside those it has',
    description: 'One is made and answered once unless it is given. The older ones stay good until they are ended.',
    tag,
    query: writeQuerySchema,
    body: z.strictObject({ secret: hookSecretSchema.optional(), comment: textSchema.optional() }),
    response: z.object({ ...writtenShape, hook: viewSchema, secret: z.string().optional() }),
    status: 201,
    async handler(call) {
      const { dryRun } = writeFields(call)
      const { hook } = found(call)
      if (call.body.secret !== undefined) checkSecret(hook, call.body.secret)
      const kind = needsSecret(hook)
      if (kind === 'none') checkSecret(hook, '')
      if (call.body.secret === undefined && kind === 'theirs') {
        throw new SluiceError(
          'INVALID_HOOK',
          `Hook "${hook.key}": secret is missing: ${hook.source} makes it, so give the one that it shows.`,
          {
            details: [{ path: 'secret', code: 'missing', message: `is made by ${hook.source}` }],
          },
        )
      }
      const secret = call.body.secret ?? makeSecret()
      const refs = dryRun ? [] : [await secrets.keep(secret)]
      try {
        const answer = await edit(call, current => {
          if (current.secrets.length >= SECRETS_MAX) {
            throw new SluiceError(
              'LIMIT_EXCEEDED',
              `Hook "${current.key}" has ${SECRETS_MAX} secrets already. End one that is not used any more.`,
            )
          }
          return { ...current, secrets: [...current.secrets, ...refs] }
        })
        if (dryRun) call.reply.code(200)
        return call.body.secret === undefined && !dryRun ? { ...answer, secret } : answer
      } catch (error) {
        await secrets.forget(refs)
        throw error
      }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${HOOKS}/:hook/secrets/:secret`,
    policy: role('admin', 'environment'),
    summary: 'End a secret of a way in',
    tag,
    query: writeQuerySchema,
    response: z.object({ ...writtenShape, hook: viewSchema }),
    async handler(call) {
      const id = call.params.secret ?? ''
      const { dryRun } = writeFields(call)
      const gone = found(call).hook.secrets.filter(ref => ref.id === id)
      const answer = await edit(call, hook => {
        if (!hook.secrets.some(ref => ref.id === id)) {
          throw new SluiceError('KEY_NOT_FOUND', `Hook "${hook.key}" has no secret "${id}". GET the hook lists those it has.`)
        }
        return { ...hook, secrets: hook.secrets.filter(ref => ref.id !== id) }
      })
      if (!dryRun) await secrets.forget(gone)
      return answer
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${HOOKS}/:hook`,
    policy: role('editor', 'environment'),
    summary: 'Remove a way in that no trigger names',
    description: 'Its deliveries are refused from then on; alerts that came by it stay in the list.',
    tag,
    query: writeQuerySchema,
    response: z.object(writtenShape),
    async handler(call) {
      const { name, hook: before } = found(call)
      const fields = writeFields(call)
      const commit = await log.commit({
        log: name,
        ...fields,
        action: 'hook.delete',
        plan(state) {
          const hook = findHook(state, before.key)
          checkVersion(`Hook "${hook.key}" in "${name}"`, hook.version, call.ifMatch)
          checkUnused(state, hook.key)
          return [{ type: 'hook', key: hook.key, after: null }]
        },
      })
      if (!fields.dryRun) await secrets.forget(before.secrets)
      return written(commit, fields)
    },
  })

  route(app, {
    method: 'GET',
    url: `${HOOKS}/:hook/deliveries`,
    policy: role('viewer', 'environment'),
    summary: 'What was delivered, refused ones too, newest first',
    tag,
    query: limitQuerySchema,
    response: z.object({ deliveries: z.array(hookDeliverySchema) }),
    async handler(call) {
      const { name, hook } = found(call)
      return { deliveries: await deliveries.recent(name, hook.key, limitOf(call.query.limit)) }
    },
  })

  route(app, {
    method: 'GET',
    url: '/api/v1/deliveries/unknown',
    policy: role('viewer', 'server'),
    summary: 'What was delivered to paths that no hook has, newest first',
    tag,
    query: limitQuerySchema,
    response: z.object({ deliveries: z.array(hookDeliverySchema) }),
    handler: async ({ query }) => ({ deliveries: await deliveries.recent('', null, limitOf(query.limit)) }),
  })

  route(app, {
    method: 'POST',
    url: `${HOOKS}/:hook/try`,
    policy: role('operator', 'environment'),
    summary: 'What would become of a delivery; nothing is stored and nobody is told',
    description:
      'With headers the proof is looked at as with a real delivery; without, only what the body says. A mapping is tried in the place of the hook’s own.',
    tag,
    bodyLimit: 2 * BODY_BYTES_MAX,
    body: z.strictObject({
      /** As text, byte for byte what the tool sends; or as JSON. */
      body: z.union([z.string().max(BODY_BYTES_MAX), z.json()]),
      headers: z.record(z.string().max(200), z.string().max(8_192)).optional(),
      mapping: hookMappingSchema.optional(),
    }),
    response: z.object({
      verdict: z.enum(HOOK_VERDICTS),
      reason: z.string(),
      /** Whether the proof was looked at. */
      proved: z.boolean(),
      alerts: z.array(hookReadingSchema),
      /** What the body looks like, where that is another tool than the hook's. */
      looksLike: z.enum(HOOK_SOURCES).nullable(),
    }),
    async handler(call) {
      const { hook } = found(call)
      const { body, headers, mapping } = call.body
      const tried = mapping === undefined ? hook : patchHook(hook, { mapping })
      const received = sample(body, headers ?? {})
      const { verdict, reason, reading } = await deliveries.tryOut(tried, received, headers === undefined || hook.auth === 'path')
      return {
        verdict: tried.enabled ? verdict : 'disabled',
        reason,
        proved: headers !== undefined && hook.auth !== 'path',
        alerts: reading.alerts.map(({ startsAt, endsAt, ...alert }) => ({
          ...alert,
          startsAt: startsAt === null ? null : moment(startsAt),
          endsAt: endsAt === null ? null : moment(endsAt),
        })),
        looksLike: hintOf(received, hook),
      }
    },
  })

  route(app, {
    method: 'GET',
    url: '/api/v1/projects/:project/environments/:environment/alerts',
    policy: role('viewer', 'environment'),
    summary: 'What monitoring tools said, newest first; or what fires now',
    tag,
    query: limitQuerySchema.extend({ hook: z.string().max(128).optional(), firing: z.enum(['true', 'false']).optional() }),
    response: z.object({ alerts: z.array(alertSchema) }),
    async handler({ params, query }) {
      const name = environmentLog(services, params)
      const limit = limitOf(query.limit)
      if (query.firing !== 'true') return { alerts: await alerts.recent(name, { hook: query.hook, limit }) }
      const firing = alerts.firing(name).filter(alert => query.hook === undefined || alert.hook === query.hook)
      return { alerts: firing.slice(-limit).reverse() }
    },
  })

  function found({ params }: Pick<Call, 'params'>): { name: string; hook: Hook } {
    const name = environmentLog(services, params)
    return { name, hook: findHook(log.state(name), params.hook ?? '') }
  }

  async function edit(call: Call<typeof writeQuerySchema>, change: (hook: Hook) => Hook) {
    const { name, hook } = found(call)
    const fields = writeFields(call)
    let planned = hook
    const commit = await log.commit({
      log: name,
      ...fields,
      action: 'hook.edit',
      plan(state) {
        const current = findHook(state, hook.key)
        checkVersion(`Hook "${hook.key}" in "${name}"`, current.version, call.ifMatch)
        planned = change(current)
        return [{ type: 'hook', key: hook.key, after: planned }]
      },
    })
    const left = leftBy(commit, 'hook', hook.key, planned)
    call.reply.header('etag', `"${left.version}"`)
    return { ...written(commit, fields), hook: viewed(name, left) }
  }
}

async function receive(request: FastifyRequest, reply: FastifyReply, deliveries: Deliveries): Promise<unknown> {
  const { path, pathSecret } = pathOf((request.params as { path: string }).path)
  try {
    return await deliveries.receive(path, receivedOf(request, pathSecret, request.body as Buffer))
  } catch (error) {
    if (error instanceof SluiceError && (error.status === 429 || error.status === 503 || error.status === 507))
      reply.header('retry-after', error.status === 429 ? 1 : 5)
    throw error
  }
}

/** `<path>` or `<path>.<secret>`. */
function pathOf(param: string): { path: string; pathSecret: string | null } {
  const point = param.indexOf('.')
  return point === -1 ? { path: param, pathSecret: null } : { path: param.slice(0, point), pathSecret: param.slice(point + 1) }
}

function receivedOf(request: FastifyRequest, pathSecret: string | null, body: Buffer): Received {
  return { pathSecret, body, headers: request.raw.headersDistinct as Received['headers'], remote: request.ip }
}

function sample(body: unknown, headers: Readonly<Record<string, string>>): Received {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]] as const)
  return { pathSecret: null, body: Buffer.from(text), headers: Object.fromEntries(lower), remote: '' }
}

function hintOf(received: Received, hook: Hook): ReturnType<typeof looksLike> {
  try {
    const hint = looksLike(parseJson(received.body), headersOf(received))
    return hint === hook.source ? null : hint
  } catch {
    return null
  }
}

/** Error: `HOOK_NOT_FOUND`. */
export function findHook(state: State, key: string): Hook {
  const hook = state.documents.hook.get(key)
  if (hook !== undefined) return hook
  const known = [...state.documents.hook.keys()].sort()
  const listed = known.length === 0 ? 'There is none yet' : `There is ${known.slice(0, 20).join(', ')}`
  throw new SluiceError('HOOK_NOT_FOUND', `No hook "${key.slice(0, TITLE_LENGTH_MAX)}" in "${state.log}". ${listed}.`)
}

function checkNew(state: State, key: string): void {
  if (state.documents.hook.has(key)) {
    throw new SluiceError('ALREADY_EXISTS', `A hook "${key}" exists already in "${state.log}". Choose another key, or edit that hook.`, {
      details: [{ path: 'key', code: 'taken', message: 'is the key of a hook' }],
    })
  }
  if (state.documents.hook.size >= HOOKS_MAX)
    throw new SluiceError('LIMIT_EXCEEDED', `"${state.log}" has ${HOOKS_MAX} hooks already. Remove those that are not used any more.`)
}

/** Error: `HOOK_IN_USE`. */
function checkUnused(state: State, key: string): void {
  const triggers = [...state.documents.trigger.values()].filter(trigger => trigger.when.hooks?.includes(key) === true)
  if (triggers.length === 0) return
  const named = triggers.map(trigger => `"${trigger.key}"`)
  throw new SluiceError(
    'HOOK_IN_USE',
    `Hook "${key}" in "${state.log}": the trigger ${named.slice(0, 10).join(', ')} waits for its alerts. Edit or remove that first.`,
    {
      details: triggers.slice(0, 50).map(trigger => ({ path: `triggers.${trigger.key}`, code: 'in_use', message: 'names the hook' })),
    },
  )
}

/** Error: `FORBIDDEN`. Editors set up hooks; what makes one trusted is an admin's. */
function needAdmin({ access, params }: Pick<Call, 'access' | 'params'>, field: string): void {
  if (hasRole(access, 'admin', params.project, params.environment)) return
  throw new SluiceError(
    'FORBIDDEN',
    `Key "${access.name}" may not set ${field}: that needs the role admin over "${params.project}/${params.environment}".`,
  )
}

function limitOf(text: string | undefined): number {
  return Math.min(Math.max(1, Number(text ?? 50)), DELIVERIES_SHOWN_MAX)
}
