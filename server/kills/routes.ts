/**
 * Kill and lift. They need no version, and are published even when they cannot be stored: whoever kills a flag at
 * three in the morning is not asked to come back when the disk is well.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import { keySchema, nameSchema } from '../../schemas/key.ts'
import { type Kill, killManySchema, killRequestSchema, killSchema } from '../../schemas/kill.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { writeFields, written } from '../http/write.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { downstreamOf } from '../rulesets/check.ts'
import type { Services } from '../services.ts'
import { killEdits, type Killing, laidOver, laidOverAll, lifted, type Skipped, taggedFlags } from './kill.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'

const revision = z.number().int()
const change = changeSchema.nullable()
/** `lastHour`: how often each of them, the killed ones included, was evaluated within the last hour, where it was. */
const affected = z.object({ downstream: z.array(keySchema), lastHour: z.record(z.string(), z.number().int()) })
const liftAnswer = z.object({ revision, change, lifted: z.array(z.string()) })

export function killRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'kills'

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/kills`,
    policy: role('viewer', 'environment'),
    summary: 'Every kill that stands in the environment, oldest first',
    tag,
    response: z.object({ revision, kills: z.array(killSchema.extend({ flag: keySchema })) }),
    handler({ params }) {
      const state = services.log.state(environmentLog(services, params))
      const kills = [...state.documents.flag.values()].flatMap(flag => flag.kills.map(kill => ({ flag: flag.key, ...kill })))
      kills.sort((a, b) => Date.parse(a.at) - Date.parse(b.at) || (a.flag < b.flag ? -1 : 1))
      return { revision: state.revision, kills }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/flags/:flag/kills`,
    policy: role('operator', 'environment'),
    summary: 'Kill a flag: for everyone, or for the contexts that match the clauses',
    description:
      'Idempotent: the very same kill standing already is answered with existing: true and writes nothing. If-Match is not looked at.',
    tag,
    query: writeQuerySchema,
    body: killRequestSchema,
    response: z.object({ revision, change, kill: killSchema, flag: keySchema, existing: z.boolean(), affected }),
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const fields = { ...writeFields(call), comment: writeFields(call).comment ?? call.body.reason }
      const stamp = { actor: call.actor.name, now: services.clock.now() }
      let killing: Killing | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'flag.kill',
        evenIfStorageFails: true,
        plan(state) {
          killing = laidOver(state, findFlag(state, call.params.flag ?? ''), call.body, stamp)
          return killEdits([killing])
        },
      })
      if (fields.dryRun || killing?.existing === true) call.reply.code(200)
      return {
        ...written(commit, fields),
        kill: killing?.kill,
        flag: call.params.flag,
        existing: killing?.existing,
        affected: affectedBy(services, log, killing === undefined ? [] : [killing]),
      }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/kills`,
    policy: role('operator', 'environment'),
    summary: 'Kill many flags in one commit: those with a tag, or those listed',
    description:
      'A flag that cannot be killed so (it does not exist, or lacks the variation) is skipped and named, so that the others are not kept waiting.',
    tag,
    query: writeQuerySchema,
    body: killManySchema,
    response: z.object({
      revision,
      change,
      kills: z.array(z.object({ flag: keySchema, kill: killSchema, existing: z.boolean() })),
      skipped: z.array(z.object({ flag: keySchema, code: z.string(), message: z.string() })),
      affected,
    }),
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const fields = { ...writeFields(call), comment: writeFields(call).comment ?? call.body.reason }
      const stamp = { actor: call.actor.name, now: services.clock.now() }
      const { tag: tagged, flags, ...request } = call.body
      let killings: readonly Killing[] = []
      let skipped: readonly Skipped[] = []
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'flag.kill',
        evenIfStorageFails: true,
        plan(state) {
          const keys = tagged === undefined ? (flags ?? []) : taggedFlags(state, tagged)
          ;({ killings, skipped } = laidOverAll(state, keys, request, stamp))
          return killEdits(killings)
        },
      })
      if (fields.dryRun || commit.change === null) call.reply.code(200)
      const kills = killings.map(({ flag, kill, existing }) => ({ flag: flag.key, kill, existing }))
      return { ...written(commit, fields), kills, skipped, affected: affectedBy(services, log, killings) }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${ENVIRONMENT}/flags/:flag/kills/:id`,
    policy: role('operator', 'environment'),
    summary: 'Lift one kill: exactly what stood below it is in force again',
    tag,
    query: writeQuerySchema,
    response: liftAnswer,
    handler(call) {
      const id = call.params.id ?? ''
      return lift(services, call, state => {
        const flag = findFlag(state, call.params.flag ?? '')
        if (!flag.kills.some(kill => kill.id === id)) {
          const standing = flag.kills.length === 0 ? 'No kill stands on it.' : `Standing are ${flag.kills.map(kill => kill.id).join(', ')}.`
          throw new SluiceError('KILL_NOT_FOUND', `Flag "${flag.key}" in "${state.log}": has no kill "${id}". ${standing}`)
        }
        return [{ flag, isGone: kill => kill.id === id }]
      })
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${ENVIRONMENT}/flags/:flag/kills`,
    policy: role('operator', 'environment'),
    summary: 'Lift every kill of a flag; without any, nothing is written',
    tag,
    query: writeQuerySchema,
    response: liftAnswer,
    handler(call) {
      return lift(services, call, state => [{ flag: findFlag(state, call.params.flag ?? ''), isGone: () => true }])
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${ENVIRONMENT}/kills`,
    policy: role('operator', 'environment'),
    summary: 'Lift every kill of the flags with a tag, in one commit',
    tag,
    query: writeQuerySchema.extend({ tag: nameSchema }),
    response: liftAnswer.extend({ flags: z.array(keySchema) }),
    async handler(call) {
      let flags: string[] = []
      const answer = await lift(services, call, state => {
        const found = taggedFlags(state, call.query.tag)
          .map(key => findFlag(state, key))
          .filter(flag => flag.kills.length > 0)
        flags = found.map(flag => flag.key)
        return found.map(flag => ({ flag, isGone: () => true }))
      })
      return { ...answer, flags }
    },
  })
}

interface Lift {
  readonly flag: Flag
  readonly isGone: (kill: Kill) => boolean
}

async function lift(
  services: Services,
  call: Parameters<typeof writeFields>[0] & { params: Readonly<Record<string, string>> },
  choose: (state: State) => readonly Lift[],
) {
  const log = environmentLog(services, call.params)
  const fields = writeFields(call)
  let gone: string[] = []
  const commit = await services.log.commit({
    log,
    ...fields,
    action: 'flag.lift',
    evenIfStorageFails: true,
    plan(state) {
      const lifts = choose(state)
      gone = lifts.flatMap(({ flag, isGone }) => flag.kills.filter(isGone).map(kill => kill.id))
      return lifts.map(({ flag, isGone }): PlannedEdit => ({ type: 'flag', key: flag.key, after: lifted(flag, isGone) }))
    },
  })
  return { ...written(commit, fields), lifted: gone }
}

/** Looked for when the kill is on its way: no SDK waits for what the answer says besides. */
function affectedBy(
  services: Services,
  log: string,
  killings: readonly Killing[],
): { downstream: string[]; lastHour: Record<string, number> } {
  const killed = killings.map(killing => killing.flag.key)
  const downstream = downstreamOf(services.log.state(log).documents.flag, killed)
  // From memory alone: a kill waits for nothing that it does not need.
  const counts = [...killed, ...downstream].map(flag => [flag, services.usage.lastHour(log, flag)] as const)
  return { downstream, lastHour: Object.fromEntries(counts.filter(([, count]) => count > 0)) }
}
