/** Notifiers: who hears of what, how that fares, and whether it works. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { textSchema } from '../../schemas/key.ts'
import { NOTIFIERS_MAX } from '../../schemas/limits.ts'
import {
  type Notifier,
  notifierDeliverySchema,
  notifierInputSchema,
  notifierPatchSchema,
  notifierSchema,
  sentMessageSchema,
} from '../../schemas/notifier.ts'
import type { SecretRef } from '../../schemas/secret.ts'
import { type Access, hasRole, role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { type Call, route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, type WriteFields, writeFields, written } from '../http/write.ts'
import type { Commit } from '../log/types.ts'
import type { Services } from '../services.ts'
import { checkDraft, checkFlags, type Draft, draftOf, draftOfPatch, findNotifier } from './notifier.ts'
import type { Notifying } from './notifying.ts'

const NOTIFIERS = '/api/v1/projects/:project/environments/:environment/notifiers'
const DELIVERIES_SHOWN = 50
const DELIVERIES_SHOWN_MAX = 200

const revision = z.number().int()
const shown = notifierSchema.extend({ delivery: notifierDeliverySchema })
const answer = z.object({
  revision,
  change: changeSchema.nullable(),
  notifier: notifierSchema,
  secret: z.string().optional().meta({ description: 'A signing secret that was made. It is not shown again.' }),
})

export function notifierRoutes(app: FastifyInstance, services: Services, notifying: Notifying): void {
  const { log: changes, secrets, egress, clock } = services
  const tag = 'notifiers'
  const place = (call: Pick<Call, 'params'>) => ({ log: environmentLog(services, call.params), key: call.params.notifier ?? '' })

  /** Keeps the secrets, commits, and lets those go that nothing refers to any more. */
  const save = async (
    draft: Draft,
    fields: WriteFields,
    commit: (notifier: Notifier) => Promise<Commit>,
    replaced: readonly SecretRef[],
  ): Promise<Commit> => {
    await checkDraft(draft, egress)
    const kept: Record<string, SecretRef> = {}
    for (const [name, text] of Object.entries(draft.secrets))
      kept[name] = fields.dryRun ? { id: 'dry-run', hint: '', createdAt: moment(clock.now()) } : await secrets.keep(text)
    try {
      const done = await commit({ ...draft.notifier, secrets: { ...draft.notifier.secrets, ...kept } })
      if (!fields.dryRun) await secrets.forget(replaced)
      return done
    } catch (error) {
      if (!fields.dryRun) await secrets.forget(Object.values(kept))
      throw error
    }
  }

  route(app, {
    method: 'GET',
    url: NOTIFIERS,
    policy: role('viewer', 'environment'),
    summary: 'The notifiers of an environment, and how they fare',
    tag,
    response: z.object({ revision, notifiers: z.array(shown) }),
    async handler(call) {
      const { log } = place(call)
      const deliveries = await notifying.deliveries(log)
      const state = changes.state(log)
      const notifiers = [...state.documents.notifier.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
      return { revision: state.revision, notifiers: notifiers.map(each => ({ ...each, delivery: deliveries.get(each.key) })) }
    },
  })

  route(app, {
    method: 'POST',
    url: NOTIFIERS,
    policy: role('editor', 'environment'),
    summary: 'Make a notifier',
    description: 'To give secrets takes the role admin. A webhook for which none is given is made one, which is shown once.',
    tag,
    query: writeQuerySchema,
    body: notifierInputSchema.extend({ comment: textSchema.optional() }),
    response: answer,
    status: 201,
    async handler(call) {
      const { log } = place(call)
      const { comment: _comment, ...input } = call.body
      const fields = writeFields(call)
      if (input.secrets !== undefined) refuseSecrets(call.access, call.params)
      const draft = draftOf(input)
      const commit = await save(
        draft,
        fields,
        notifier =>
          changes.commit({
            log,
            ...fields,
            action: 'notifier.create',
            plan(state) {
              const { notifier: standing } = state.documents
              if (standing.has(notifier.key)) throw taken(log, notifier.key)
              if (standing.size >= NOTIFIERS_MAX) throw tooMany(log)
              checkFlags(state, notifier)
              return [{ type: 'notifier', key: notifier.key, after: notifier }]
            },
          }),
        [],
      )
      if (fields.dryRun) call.reply.code(200)
      return answered(commit, fields, draft)
    },
  })

  route(app, {
    method: 'GET',
    url: `${NOTIFIERS}/:notifier`,
    policy: role('viewer', 'environment'),
    summary: 'One notifier, and how it fares',
    tag,
    response: shown,
    async handler(call) {
      const { log, key } = place(call)
      const deliveries = await notifying.deliveries(log)
      const notifier = findNotifier(changes.state(log), key)
      call.reply.header('etag', `"${notifier.version}"`)
      return { ...notifier, delivery: deliveries.get(key) }
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${NOTIFIERS}/:notifier`,
    policy: role('editor', 'environment'),
    summary: 'Edit a notifier: the fields given are replaced, the others stay',
    description: 'To give or remove secrets, or to have a new one made, takes the role admin.',
    tag,
    query: writeQuerySchema,
    body: notifierPatchSchema.extend({ comment: textSchema.optional() }),
    response: answer,
    async handler(call) {
      const { log, key } = place(call)
      const { comment: _comment, ...patch } = call.body
      const fields = writeFields(call)
      if (patch.secrets !== undefined || patch.rotate !== undefined) refuseSecrets(call.access, call.params)
      const before = findNotifier(changes.state(log), key)
      // Where the secret of another tool is sent to is as good as the secret.
      if (patch.url !== undefined && before.kind !== 'webhook') refuseSecrets(call.access, call.params)
      const draft = draftOfPatch(before, patch)
      const left = new Set(Object.values(draft.notifier.secrets).map(ref => ref.id))
      const commit = await save(
        draft,
        fields,
        notifier =>
          changes.commit({
            log,
            ...fields,
            action: 'notifier.edit',
            plan(state) {
              const current = findNotifier(state, key)
              const subject = `Notifier "${key}" in "${log}"`
              checkVersion(subject, current.version, call.ifMatch)
              // The secrets that were kept belong to what was read.
              checkVersion(subject, current.version, before.version)
              if (patch.statuspage !== undefined) checkFlags(state, notifier)
              return [{ type: 'notifier', key, after: notifier }]
            },
          }),
        Object.values(before.secrets).filter(ref => !left.has(ref.id)),
      )
      return answered(commit, fields, draft)
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${NOTIFIERS}/:notifier`,
    policy: role('editor', 'environment'),
    summary: 'Remove a notifier, and what it still had to send',
    tag,
    query: writeQuerySchema,
    response: z.object({ revision, change: changeSchema.nullable() }),
    async handler(call) {
      const { log, key } = place(call)
      const fields = writeFields(call)
      let gone: readonly SecretRef[] = []
      const commit = await changes.commit({
        log,
        ...fields,
        action: 'notifier.delete',
        plan(state) {
          const notifier = findNotifier(state, key)
          checkVersion(`Notifier "${key}" in "${log}"`, notifier.version, call.ifMatch)
          gone = Object.values(notifier.secrets)
          return [{ type: 'notifier', key, after: null }]
        },
      })
      if (!fields.dryRun) await secrets.forget(gone)
      return written(commit, fields)
    },
  })

  route(app, {
    method: 'GET',
    url: `${NOTIFIERS}/:notifier/deliveries`,
    policy: role('viewer', 'environment'),
    summary: 'What a notifier sent and has to send, newest first',
    tag,
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(DELIVERIES_SHOWN_MAX).optional() }),
    response: z.object({ deliveries: z.array(sentMessageSchema) }),
    async handler(call) {
      const { log, key } = place(call)
      findNotifier(changes.state(log), key)
      return { deliveries: await notifying.messages(log, key, call.query.limit ?? DELIVERIES_SHOWN) }
    },
  })

  route(app, {
    method: 'POST',
    url: `${NOTIFIERS}/:notifier/test`,
    policy: role('operator', 'environment'),
    summary: 'Send a message now that says it is a test, and answer what came of it',
    description: 'Also for a notifier that is paused or not enabled. `pagerduty-alerts` triggers and resolves; `statuspage` only looks.',
    tag,
    response: z.object({ ok: z.boolean(), status: z.number().int().nullable(), text: z.string(), ms: z.number() }),
    async handler(call) {
      const { log, key } = place(call)
      const notifier = findNotifier(changes.state(log), key)
      const began = clock.monotonic()
      const { kind, status, text } = await notifying.test(log, notifier)
      return { ok: kind === 'sent', status, text, ms: Math.round(clock.monotonic() - began) }
    },
  })

  for (const action of ['pause', 'resume'] as const) {
    route(app, {
      method: 'POST',
      url: `${NOTIFIERS}/:notifier/${action}`,
      policy: role('operator', 'environment'),
      summary:
        action === 'pause' ? 'Pause a notifier: what it has to send waits' : 'Resume a notifier: what waits is sent, the oldest first',
      tag,
      query: writeQuerySchema,
      body: z.strictObject({ comment: textSchema.optional() }),
      response: z.object({ revision, change: changeSchema.nullable(), notifier: notifierSchema }),
      async handler(call) {
        const { log, key } = place(call)
        const fields = writeFields(call)
        const paused = { at: moment(clock.now()), why: fields.comment ?? `by ${fields.actor.name}` }
        const commit = await changes.commit({
          log,
          ...fields,
          action: `notifier.${action}`,
          plan(state) {
            const notifier = findNotifier(state, key)
            if ((notifier.paused === null) === (action === 'resume')) return []
            return [{ type: 'notifier', key, after: { ...notifier, paused: action === 'pause' ? paused : null } }]
          },
        })
        return { ...written(commit, fields), notifier: leftBy(commit, 'notifier', key, findNotifier(changes.state(log), key)) }
      },
    })
  }
}

function answered(commit: Commit, fields: WriteFields, { notifier, made }: Draft) {
  const secret = made === null || fields.dryRun ? {} : { secret: made }
  return { ...written(commit, fields), notifier: leftBy(commit, 'notifier', notifier.key, notifier), ...secret }
}

function refuseSecrets(access: Access, { project, environment }: Readonly<Record<string, string>>): void {
  if (hasRole(access, 'admin', project, environment)) return
  throw new SluiceError(
    'FORBIDDEN',
    `Secrets of notifiers are given by admins, and key "${access.name}" does not have the role admin over "${project}/${environment}". Use a key that has it.`,
  )
}

function taken(log: string, key: string): SluiceError {
  return new SluiceError('ALREADY_EXISTS', `A notifier "${key}" exists already in "${log}". Choose another key, or edit that one.`, {
    details: [{ path: 'key', code: 'taken', message: 'is the key of a notifier' }],
  })
}

function tooMany(log: string): SluiceError {
  return new SluiceError('LIMIT_EXCEEDED', `Environment "${log}" has ${NOTIFIERS_MAX} notifiers, and more are not taken. Remove one.`, {
    details: [{ path: '', code: 'too_many_notifiers', message: `at most ${NOTIFIERS_MAX} are possible` }],
  })
}
