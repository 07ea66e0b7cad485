/** Holding some contexts to a rate, and letting them go: one request, one commit, however often it is repeated. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import { holdRequestSchema, holdSchema } from '../../schemas/hold.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { commitEverywhere, projectEnvironments } from '../flags/everywhere.ts'
import { findFlag } from '../flags/find.ts'
import { type FrontPlace, frontPlace } from '../flags/front.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields } from '../http/write.ts'
import { checkEdits } from '../rulesets/check.ts'
import type { Services } from '../services.ts'
import { type Holding, holdsOf, planHold, planRelease } from './hold.ts'

const LIMITS = '/api/v1/projects/:project/environments/:environment/flags/:flag/limits'

const revision = z.number().int()
const answer = {
  revision,
  change: changeSchema.nullable(),
  flag: z.looseObject({ key: z.string() }).meta({ description: 'The flag as it stands afterwards.' }),
  limit: holdSchema,
  /** The other environments whose flag gained or lost the variation, with the revision that made it so. */
  elsewhere: z.record(z.string(), revision),
}

export function holdRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'limits'

  route(app, {
    method: 'GET',
    url: LIMITS,
    policy: role('viewer', 'environment'),
    summary: 'Who is held to a rate of their own, in the order of the rules',
    tag,
    response: z.object({ revision, limits: z.array(holdSchema) }),
    handler({ params }) {
      const state = services.log.state(environmentLog(services, params))
      return { revision: state.revision, limits: holdsOf(findFlag(state, params.flag ?? '')) }
    },
  })

  route(app, {
    method: 'POST',
    url: LIMITS,
    policy: role('operator', 'environment'),
    summary: 'Hold the contexts that match the clauses to a rate',
    description:
      'A rule before all others serves them a variation with this rate; the same clauses, in whatever order, change the same rule. ' +
      'Of the value, what is left out is as in the hold that stood, else as in what the fallthrough serves. ' +
      'A variation is made where none has the value, in every environment that has the flag, and goes again when nobody is served it. ' +
      'If-Match is not looked at: what stands is read and changed in one turn.',
    tag,
    query: writeQuerySchema.extend({
      force: z.enum(['true', 'false']).optional().meta({ description: 'Cut with rate 0, or give more than ten times what they have.' }),
    }),
    body: holdRequestSchema,
    response: z.object({
      ...answer,
      existing: z.boolean(),
      before: holdSchema.nullable(),
      warnings: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })),
    }),
    status: 201,
    async handler(call) {
      const fields = { ...writeFields(call), comment: writeFields(call).comment ?? call.body.reason }
      const done = await write(services, call.params, fields, (place, flag) =>
        planHold(place, flag, call.body, call.query.force === 'true'),
      )
      const { holding, written } = done
      if (fields.dryRun || holding.before !== null) call.reply.code(200)
      return {
        ...written,
        limit: holding.hold,
        before: holding.before,
        existing: written.change === null,
        warnings: holding.warnings,
      }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${LIMITS}/:id`,
    policy: role('operator', 'environment'),
    summary: 'Let go who is held: what stood below decides again',
    tag,
    query: writeQuerySchema,
    response: z.object(answer),
    async handler(call) {
      const { holding, written } = await write(services, call.params, writeFields(call), (place, flag) =>
        planRelease(place, flag, call.params.id ?? ''),
      )
      return { ...written, limit: holding.hold }
    },
  })
}

async function write(
  services: Services,
  params: Readonly<Record<string, string>>,
  fields: ReturnType<typeof writeFields>,
  plan: (place: FrontPlace, flag: Flag) => Holding,
) {
  const { project = '', environment = '', flag: key = '' } = params
  const log = environmentLog(services, params)
  const environments = projectEnvironments(services, project)
  let holding: Holding | undefined
  const { revisions, changes, commits } = await commitEverywhere(services, environments, fields, 'flag.limit', state => {
    // Planned anew for each environment: the plans of one write share its turn, so they all see the same and say the same.
    holding = plan(frontPlace(services, log, key, environments), findFlag(services.log.state(log), key))
    const after = holding.flags.get(state.log)
    return after === undefined ? [] : checkEdits(state, [{ type: 'flag', key, after }])
  })
  const commit = commits[environments.findIndex(each => each.environment === environment)]
  const planned = holding?.flags.get(log)
  if (holding === undefined || commit === undefined || planned === undefined) throw new Error('a write of a hold was not planned')
  const elsewhere = Object.fromEntries(
    Object.entries(revisions).filter(([other]) => other !== environment && (changes[other] ?? null) !== null),
  )
  const written = {
    revision: commit.revision,
    change: commit.change,
    ...(fields.dryRun ? { dryRun: true as const } : {}),
    flag: leftBy(commit, 'flag', key, planned),
    elsewhere,
  }
  return { holding, written }
}
