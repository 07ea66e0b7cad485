/** Valves for people: where each stands and what passes through it, and setting one by hand. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import { keySchema } from '../../schemas/key.ts'
import { killSchema } from '../../schemas/kill.ts'
import { throttleRequestSchema, throttleSchema } from '../../schemas/throttle.ts'
import { valveInstanceSchema, valveSettingSchema, valveTrailSchema, valveUsageSchema } from '../../schemas/valveusage.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields, written } from '../http/write.ts'
import type { Commit } from '../log/types.ts'
import type { Services } from '../services.ts'
import { release, throttle } from './throttle.ts'
import { instancesOf, type Now, trailOf, usageOf } from './usage.ts'
import type { ValvesHandle } from './valves.ts'

const VALVES = '/api/v1/projects/:project/environments/:environment/valves'
const INSTANCES_USUAL = 100

const revision = z.number().int()
const answer = {
  revision,
  change: changeSchema.nullable(),
  flag: z.looseObject({ key: z.string() }).meta({ description: 'The flag as it stands afterwards.' }),
  throttle: throttleSchema.nullable(),
  /** The other environments whose flag gained or lost the variation, with the revision that made it so. */
  elsewhere: z.record(z.string(), revision),
}

export function valveRoutes(app: FastifyInstance, services: Services, valves: ValvesHandle): void {
  const { log, clock } = services
  const tag = 'valves'
  const now = (): Now => ({ wall: clock.now(), monotonic: clock.monotonic() })

  route(app, {
    method: 'GET',
    url: VALVES,
    policy: role('viewer', 'environment'),
    summary: 'Every safety valve: where it stands in the fleet, what is set by hand, and what passes through it',
    description: 'Pooled from what connected instances report each second, since this server started. States are those of the fleet.',
    tag,
    response: z.object({ revision, valves: z.array(valveUsageSchema) }),
    handler({ params }) {
      const state = log.state(environmentLog(services, params))
      const at = now()
      const found = [...state.documents.flag.values()].filter(({ kind }) => kind === 'safety-valve')
      const usages = found.map(flag => usageOf(flag, valves.record(state.log, flag.key), valves.known(state.log, flag.key), at))
      return { revision: state.revision, valves: usages.sort((a, b) => (a.flag < b.flag ? -1 : 1)) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${VALVES}/:flag`,
    policy: role('viewer', 'environment'),
    summary: 'One safety valve, with the instances that use it: those that stand worst first',
    description: '`trail` is what passed in the last quarter of an hour, by tens of seconds.',
    tag,
    query: z.strictObject({ instances: z.coerce.number().int().min(0).max(10_000).optional() }),
    response: z.object({ revision, valve: valveUsageSchema, instances: z.array(valveInstanceSchema), trail: z.array(valveTrailSchema) }),
    handler({ params, query }) {
      const state = log.state(environmentLog(services, params))
      const flag = valveIn(findFlag(state, params.flag ?? ''))
      const known = valves.known(state.log, flag.key)
      const instances = instancesOf(known, now()).slice(0, query.instances ?? INSTANCES_USUAL)
      return {
        revision: state.revision,
        valve: usageOf(flag, valves.record(state.log, flag.key), known, now()),
        instances,
        trail: trailOf(known, now()),
      }
    },
  })

  route(app, {
    method: 'POST',
    url: `${VALVES}/:flag/throttle`,
    policy: role('operator', 'environment'),
    summary: 'Let a share of the calls through, to everyone or to who matches the clauses, until that is taken away',
    description:
      'Stands above what the valve does by itself. 0 % is a kill, which is lifted as any other; 100 % lets everything through. ' +
      'The same clauses, in whatever order, change the same throttle. One that lets more through than stood says so in its warnings. ' +
      'If-Match is not looked at: what stands is read and changed in one turn.',
    tag,
    query: writeQuerySchema,
    body: throttleRequestSchema,
    response: z.object({
      ...answer,
      kill: killSchema.nullable(),
      existing: z.boolean(),
      before: valveSettingSchema,
      /** What was set by hand for the same clauses. */
      stood: throttleSchema.nullable(),
      warnings: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })),
      /** How often the valve was asked for in the last hour, by evaluations. */
      lastHour: z.number().int(),
    }),
    status: 201,
    async handler(call) {
      const name = environmentLog(services, call.params)
      const key = call.params.flag ?? ''
      const { percent, clauses = [], reason } = call.body
      const fields = writeFields(call)
      const by = { actor: fields.actor, comment: fields.comment ?? reason, dryRun: fields.dryRun }
      const done = await throttle(services, name, key, { percent, clauses, reason }, by)
      if (fields.dryRun || done.existing) call.reply.code(200)
      const { throttle: made, kill, existing, before, stood, warnings, elsewhere } = done
      return {
        ...written(done.commit, fields),
        ...{ flag: left(name, key, done.commit), throttle: made, kill, existing, before, stood, warnings, elsewhere },
        lastHour: services.usage.lastHour(name, key),
      }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${VALVES}/:flag/throttle`,
    policy: role('operator', 'environment'),
    summary: 'Let the valve move by itself again: what is set by hand for everyone goes, or the throttle that is named',
    description: 'Kills stay: those are lifted. Without a throttle for everyone nothing is written.',
    tag,
    query: writeQuerySchema.extend({ id: keySchema.optional() }),
    response: z.object(answer),
    async handler(call) {
      const name = environmentLog(services, call.params)
      const key = call.params.flag ?? ''
      const fields = writeFields(call)
      const by = { actor: fields.actor, comment: fields.comment ?? '', dryRun: fields.dryRun }
      const { commit, throttle: gone, elsewhere } = await release(services, name, key, call.query.id ?? null, by)
      return { ...written(commit, fields), flag: left(name, key, commit), throttle: gone, elsewhere }
    },
  })

  function left(name: string, key: string, commit: Commit): Flag {
    return leftBy(commit, 'flag', key, findFlag(log.state(name), key))
  }
}

function valveIn(flag: Flag): Flag {
  if (flag.kind === 'safety-valve') return flag
  throw new SluiceError(
    'INVALID_REQUEST',
    `Flag "${flag.key}" is of kind ${flag.kind}, so it is no valve. Name a flag of kind safety-valve.`,
  )
}
