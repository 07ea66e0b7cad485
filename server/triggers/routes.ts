/** Triggers over the API: written, tried on a sample, looked at with what they did, and put back by hand. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import { keySchema, momentSchema, textSchema } from '../../schemas/key.ts'
import {
  alertSampleSchema,
  type Trigger,
  type TriggerInput,
  triggerInputSchema,
  type TriggerPatch,
  triggerPatchSchema,
  triggerSchema,
} from '../../schemas/trigger.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { nearest } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import type { State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { OUTCOMES, type TriggersHandle } from './triggers.ts'
import { tryTrigger } from './trial.ts'
import { refuseProblems, triggerProblems, TRIGGERS_MAX } from './validate.ts'
import { undoText } from './words.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'
const TRIGGER = `${ENVIRONMENT}/triggers/:trigger`

const revision = z.number().int()
const count = z.number().int()
const problemSchema = z.object({ path: z.string(), code: z.string(), message: z.string() })
const left = z.array(z.object({ flag: keySchema, why: z.string() }))

/** A trigger as it is answered: with what it did. */
const shownSchema = triggerSchema.extend({
  /** Flags over which what it did last is in force. */
  standing: z.array(keySchema),
  /** The command that puts it back; null when nothing is in force. */
  undo: z.string().nullable(),
  activity: z.object({
    alerts: count.meta({ description: 'Alerts told since the start of the server that it waits for.' }),
    outcomes: z.record(z.enum(OUTCOMES), count),
    last: z.object({ at: momentSchema, outcome: z.enum(OUTCOMES), text: z.string() }).nullable(),
  }),
  /** What would be refused if it were written now: a flag may have gone since. */
  problems: z.array(problemSchema),
})
const writtenAnswer = z.object({ revision, change: changeSchema.nullable(), trigger: triggerSchema, warnings: z.array(problemSchema) })

export function triggerRoutes(app: FastifyInstance, services: Services, triggers: TriggersHandle): void {
  const tag = 'triggers'

  function shown(state: State, trigger: Trigger) {
    const standing = triggers.standing(state.log, trigger)
    return {
      ...trigger,
      standing,
      undo: standing.length === 0 ? null : undoText(state.log, trigger.key),
      activity: triggers.activity(state.log, trigger.key),
      problems: triggerProblems(state, trigger),
    }
  }

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/triggers`,
    policy: role('viewer', 'environment'),
    summary: 'The triggers of an environment, with what each did',
    tag,
    query: z.strictObject({
      tripped: z.enum(['true']).optional().meta({ description: 'Only those whose doing is in force.' }),
      flag: keySchema.optional().meta({ description: 'Only those whose doing is in force over this flag.' }),
    }),
    response: z.object({ revision, triggers: z.array(shownSchema) }),
    handler({ params, query }) {
      const state = services.log.state(environmentLog(services, params))
      const all = [...state.documents.trigger.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).map(trigger => shown(state, trigger))
      const wanted = all.filter(
        ({ standing }) =>
          (query.tripped === undefined || standing.length > 0) && (query.flag === undefined || standing.includes(query.flag)),
      )
      return { revision: state.revision, triggers: wanted }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/triggers`,
    policy: role('editor', 'environment'),
    summary: 'Make a trigger: what happens when an alert says so',
    description: 'It looks at what fires already: made while its alert fires, it acts at once. Try it first with dryRun in the trigger.',
    tag,
    query: writeQuerySchema,
    body: triggerInputSchema.extend({ comment: textSchema.optional() }),
    response: writtenAnswer,
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const { comment: _comment, ...input } = call.body
      const fields = writeFields(call)
      const trigger = completed(input)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'trigger.create',
        plan(state) {
          refuseTaken(state, trigger.key)
          refuseProblems(state, trigger)
          return [{ type: 'trigger', key: trigger.key, after: trigger }]
        },
      })
      if (fields.dryRun) call.reply.code(200)
      const left = leftBy(commit, 'trigger', trigger.key, trigger)
      return { ...written(commit, fields), trigger: left, warnings: warningsOf(log, left) }
    },
  })

  route(app, {
    method: 'GET',
    url: TRIGGER,
    policy: role('viewer', 'environment'),
    summary: 'One trigger, with what it did',
    tag,
    response: shownSchema,
    handler({ params, reply }) {
      const state = services.log.state(environmentLog(services, params))
      const trigger = findTrigger(state, params.trigger ?? '')
      reply.header('etag', `"${trigger.version}"`).header('sluice-revision', state.revision)
      return shown(state, trigger)
    },
  })

  route(app, {
    method: 'PATCH',
    url: TRIGGER,
    policy: role('editor', 'environment'),
    summary: 'Edit a trigger: the fields given are replaced, the others stay',
    tag,
    query: writeQuerySchema,
    body: triggerPatchSchema,
    response: writtenAnswer,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.trigger ?? ''
      const fields = writeFields(call)
      let planned: Trigger | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'trigger.edit',
        plan(state) {
          const trigger = findTrigger(state, key)
          checkVersion(`Trigger "${key}" in "${log}"`, trigger.version, call.ifMatch)
          planned = patched(trigger, call.body)
          // One that is only switched off is not asked whether its flags still exist.
          if (planned.enabled) refuseProblems(state, planned)
          return [{ type: 'trigger', key, after: planned }]
        },
      })
      const left = leftBy(commit, 'trigger', key, planned ?? findTrigger(services.log.state(log), key))
      call.reply.header('etag', `"${left.version}"`)
      return { ...written(commit, fields), trigger: left, warnings: warningsOf(log, left) }
    },
  })

  route(app, {
    method: 'DELETE',
    url: TRIGGER,
    policy: role('editor', 'environment'),
    summary: 'Remove a trigger; what it did stays',
    tag,
    query: writeQuerySchema,
    response: z.object({ revision, change: changeSchema.nullable() }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.trigger ?? ''
      const fields = writeFields(call)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'trigger.delete',
        plan(state) {
          const trigger = findTrigger(state, key)
          checkVersion(`Trigger "${key}" in "${log}"`, trigger.version, call.ifMatch)
          return [{ type: 'trigger', key, after: null }]
        },
      })
      return written(commit, fields)
    },
  })

  route(app, {
    method: 'POST',
    url: `${TRIGGER}/try`,
    policy: role('viewer', 'environment'),
    summary: 'Would it act on this alert? Clause by clause; nothing is changed',
    description:
      'What the sample leaves out is: firing since now, of severity error, without labels, by the first hook that the trigger names.',
    tag,
    body: alertSampleSchema,
    response: z.object({
      wouldAct: z.boolean(),
      text: z.string(),
      checks: z.array(z.object({ clause: z.string(), holds: z.boolean(), text: z.string() })),
    }),
    handler({ params, body }) {
      const state = services.log.state(environmentLog(services, params))
      return tryTrigger(triggers, state.log, findTrigger(state, params.trigger ?? ''), body, services.clock.now())
    },
  })

  route(app, {
    method: 'POST',
    url: `${TRIGGER}/restore`,
    policy: role('operator', 'environment'),
    summary: 'Put back what a trigger did, where nobody has touched the flag since',
    description:
      'Exactly what stood before, in one entry; flags changed since are left and named. The alerts that fire now are dealt with: it fires again for new ones.',
    tag,
    query: writeQuerySchema,
    response: z.object({ revision, change: changeSchema.nullable(), restored: z.array(keySchema), left }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const fields = writeFields(call)
      const { key } = findTrigger(services.log.state(log), call.params.trigger ?? '')
      const { commit, restored, left: stayed } = await triggers.restore(log, key, fields)
      const begin = commit === null ? { revision: services.log.state(log).revision, change: null } : written(commit, fields)
      return { ...begin, restored, left: stayed }
    },
  })

  /** What may not do what was meant, although it can be. */
  function warningsOf(log: string, trigger: Trigger): ErrorDetail[] {
    const { action } = trigger.do
    if (action === 'hold-rollout' || action === 'notify') return []
    return (trigger.when.hooks ?? []).flatMap((hook, i) =>
      triggers.trust(log, hook).mayAct
        ? []
        : [
            {
              path: `when.hooks[${i}]`,
              code: 'hook_may_not_act',
              message: `alerts of the hook "${hook}" may only hold and tell: the trigger will say what it would do. An admin may let the hook act.`,
            },
          ],
    )
  }
}

/** Error: `TRIGGER_NOT_FOUND`. */
export function findTrigger(state: State, key: string): Trigger {
  const trigger = state.documents.trigger.get(key)
  if (trigger !== undefined) return trigger
  const best = nearest(key, state.documents.trigger.keys())
  throw new SluiceError(
    'TRIGGER_NOT_FOUND',
    `No trigger "${key}" in "${state.log}".${best === undefined ? ' GET …/triggers lists what exists.' : ` Did you mean "${best}"?`}`,
  )
}

function completed(input: TriggerInput): Trigger {
  return { ...input, enabled: input.enabled ?? true, tripped: null, lastFiredAt: null, version: 1 }
}

function patched(trigger: Trigger, { comment: _comment, ...patch }: TriggerPatch): Trigger {
  const fields: Record<string, unknown> = { ...trigger }
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete fields[field]
    else if (value !== undefined) fields[field] = value
  }
  return fields as unknown as Trigger
}

function refuseTaken(state: State, key: string): void {
  if (state.documents.trigger.has(key)) {
    throw new SluiceError(
      'ALREADY_EXISTS',
      `A trigger "${key}" exists already in "${state.log}". Choose another key, or edit that trigger.`,
      { details: [{ path: 'key', code: 'taken', message: 'is the key of a trigger' }] },
    )
  }
  if (state.documents.trigger.size >= TRIGGERS_MAX) {
    throw new SluiceError(
      'LIMIT_EXCEEDED',
      `"${state.log}" has ${TRIGGERS_MAX} triggers, the most there can be. Remove one that nobody needs.`,
    )
  }
}
