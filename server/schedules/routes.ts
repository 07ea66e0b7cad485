/** Changes that are to be made at a time: asked for, listed, taken back. */
import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { keySchema } from '../../schemas/key.ts'
import { type Schedule, type ScheduleDo, scheduleInputSchema, scheduleSchema } from '../../schemas/plan.ts'
import { hasRole, role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields, written } from '../http/write.ts'
import type { State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { scheduledEdits } from './schedules.ts'

const SCHEDULES = '/api/v1/projects/:project/environments/:environment/schedules'
/** Changes of one environment that may wait at a time. */
const SCHEDULES_MAX = 1_000

const revision = z.number().int()
const writeAnswer = z.object({ revision, change: changeSchema.nullable(), schedule: scheduleSchema })

export function scheduleRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'schedules'

  route(app, {
    method: 'GET',
    url: SCHEDULES,
    policy: role('viewer', 'environment'),
    summary: 'The changes that wait for their moment, the next one first, and those that were refused when it came',
    tag,
    query: z.strictObject({ flag: keySchema.optional() }),
    response: z.object({ revision, schedules: z.array(scheduleSchema) }),
    handler({ params, query }) {
      const state = services.log.state(environmentLog(services, params))
      const schedules = [...state.documents.schedule.values()].filter(({ flag }) => query.flag === undefined || flag === query.flag)
      return { revision: state.revision, schedules: schedules.sort((a, b) => Date.parse(a.at) - Date.parse(b.at)) }
    },
  })

  route(app, {
    method: 'POST',
    url: SCHEDULES,
    policy: role('operator', 'environment'),
    summary: 'Make one change at a moment: an edit, a kill or a lift',
    description:
      'It is checked now as if it were made now, and again when its moment comes; when it is refused then, it stays in the list with why. ' +
      'A lift takes away the kills that stand now, never one that is made later. An edit needs the role editor, a kill or a lift that of an operator.',
    tag,
    query: writeQuerySchema,
    body: scheduleInputSchema,
    response: writeAnswer,
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      if (call.body.do.action === 'edit' && !hasRole(call.access, 'editor', call.params.project, call.params.environment)) {
        throw new SluiceError(
          'FORBIDDEN',
          `Key "${call.actor.name}" does not have the role editor here, which a scheduled edit needs. Schedule a kill, or use a key that has it.`,
        )
      }
      const now = services.clock.now()
      if (Date.parse(call.body.at) <= now) {
        throw new SluiceError('INVALID_REQUEST', `at is ${call.body.at}, which has passed. Give a later moment, or make the change now.`, {
          details: [{ path: 'at', code: 'past', message: `has passed: it is ${moment(now)} now` }],
        })
      }
      const fields = writeFields(call)
      const key = `s_${randomBytes(6).toString('hex')}`
      let planned: Schedule | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'schedule.create',
        plan(state) {
          if (state.documents.schedule.size >= SCHEDULES_MAX)
            throw new SluiceError(
              'LIMIT_EXCEEDED',
              `"${log}" has ${SCHEDULES_MAX} scheduled changes, the most there can be. Remove some first.`,
            )
          planned = {
            key,
            flag: call.body.flag,
            at: moment(Date.parse(call.body.at)),
            do: settled(state, call.body.flag, call.body.do),
            comment: fields.comment,
            by: { id: call.actor.id, name: call.actor.name },
            createdAt: moment(now),
            failed: null,
            version: 1,
          }
          // What could not be made now is not worth waiting for.
          scheduledEdits(state, planned, now)
          return [{ type: 'schedule', key, after: planned }]
        },
      })
      if (planned === undefined) throw new Error('a schedule was written that was not planned')
      if (fields.dryRun) call.reply.code(200)
      return { ...written(commit, fields), schedule: leftBy(commit, 'schedule', key, planned) }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${SCHEDULES}/:schedule`,
    policy: role('operator', 'environment'),
    summary: 'Take a scheduled change back',
    tag,
    query: writeQuerySchema,
    response: writeAnswer,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.schedule ?? ''
      const fields = writeFields(call)
      let gone: Schedule | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'schedule.delete',
        plan(state) {
          gone = state.documents.schedule.get(key)
          if (gone === undefined)
            throw new SluiceError('SCHEDULE_NOT_FOUND', `No change "${key}" is scheduled in "${log}". GET …/schedules lists what waits.`)
          return [{ type: 'schedule', key, after: null }]
        },
      })
      return { ...written(commit, fields), schedule: gone }
    },
  })
}

/** A lift names its kills from now on. */
function settled(state: State, key: string, asked: ScheduleDo): ScheduleDo {
  if (asked.action !== 'lift') return asked
  const standing = findFlag(state, key).kills.map(kill => kill.id)
  const unknown = (asked.kills ?? []).find(id => !standing.includes(id))
  if (unknown !== undefined || standing.length === 0) {
    const which = unknown === undefined ? 'no kill stands on it' : `no kill "${unknown}" stands on it`
    throw new SluiceError('KILL_NOT_FOUND', `Flag "${key}" in "${state.log}": ${which}, so there is nothing to lift later.`)
  }
  return { ...asked, kills: asked.kills ?? standing }
}
