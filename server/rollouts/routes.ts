/** Rollout plans: made, watched, and moved by people. What moves them by itself is `rollouts.ts`. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { textSchema } from '../../schemas/key.ts'
import { outlookSchema, PLAN_STATES, planEvidenceSchema, planInputSchema, planSchema } from '../../schemas/plan.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { type Call, route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields, written } from '../http/write.ts'
import type { Services } from '../services.ts'
import { addressProblems } from './promql.ts'
import { type Asking, invalid, type PlanWritten, type RolloutsHandle } from './rollouts.ts'
import { evidenceView } from './view.ts'

const ROLLOUTS = '/api/v1/projects/:project/environments/:environment/rollouts'

const revision = z.number().int()
const standing = z.object({ plan: planSchema, outlook: outlookSchema })
const writeAnswer = z.object({
  revision,
  change: changeSchema.nullable(),
  plan: planSchema,
  outlook: outlookSchema,
  flag: z.looseObject({ key: z.string() }).meta({ description: 'The flag as it stands afterwards.' }),
})
const bodySchema = z.strictObject({ comment: textSchema.optional() })
const forceQuerySchema = writeQuerySchema.extend({
  force: z.enum(['true', 'false']).optional().meta({ description: 'Although somebody else has changed what it governs since.' }),
})

/** What people do with a plan: the last part of the path, who may, and how it is described. */
const OPERATIONS = [
  ['hold', 'operator', 'Stop where it is. Guards go on watching'],
  ['resume', 'editor', 'Start one that waits, or let one that is held go on'],
  ['advance', 'editor', 'Take the next step now, without waiting for what it waits for'],
  ['approve', 'editor', 'Let its step be left that waits for an approval, now or when its time has come'],
  ['cancel', 'operator', 'End it and keep what is served'],
  ['clear', 'editor', 'After it was turned back: take the lock away, so that it may be started again or replaced'],
] as const

export function rolloutRoutes(app: FastifyInstance, services: Services, rollouts: RolloutsHandle): void {
  const tag = 'rollouts'

  route(app, {
    method: 'GET',
    url: ROLLOUTS,
    policy: role('viewer', 'environment'),
    summary: 'Every rollout plan with what happens next',
    tag,
    query: z.strictObject({ state: z.enum(PLAN_STATES).optional() }),
    response: z.object({ revision, rollouts: z.array(standing) }),
    handler({ params, query }) {
      const log = environmentLog(services, params)
      const plans = rollouts.plans(log).filter(({ plan }) => query.state === undefined || plan.state === query.state)
      return { revision: services.log.state(log).revision, rollouts: plans }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ROLLOUTS}/:flag`,
    policy: role('viewer', 'environment'),
    summary: 'The rollout plan of a flag with what happens next',
    tag,
    response: standing.extend({ revision }),
    handler({ params, reply }) {
      const log = environmentLog(services, params)
      const found = rollouts.plan(log, params.flag ?? '')
      reply.header('etag', `"${found.plan.version}"`)
      return { revision: services.log.state(log).revision, ...found }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ROLLOUTS}/:flag/evidence`,
    policy: role('viewer', 'environment'),
    summary: 'What its guards have seen: shares, evidence against the line, and the smallest harm that this step can find',
    description:
      'Logarithms are natural ones. A guardrail turns the plan back when `logE` reaches `line`, which is ln(1/alpha); a step with a gate of evidence ' +
      'is left when `logClear` reaches `clearLine`. `series` holds one point per slice of ten seconds; older ones are thinned.',
    tag,
    response: planEvidenceSchema.extend({ revision, plan: planSchema }),
    handler({ params }) {
      const log = environmentLog(services, params)
      const { plan, outlook } = rollouts.plan(log, params.flag ?? '')
      return {
        revision: services.log.state(log).revision,
        plan,
        ...evidenceView(plan, outlook, rollouts.evidence(log, plan), rollouts.timeOf(log, plan)),
      }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ROLLOUTS}/:flag`,
    policy: role('editor', 'environment'),
    summary: 'Make a rollout plan, and start it unless it says when',
    description:
      'The first step is taken in the same entry, and switches a flag on that is off. A plan that has ended, or has not begun, is replaced.',
    tag,
    query: writeQuerySchema,
    body: planInputSchema,
    response: writeAnswer,
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const { comment: _comment, ...input } = call.body
      const asking = writeFields(call)
      const problems = await addressProblems(call.body, services.egress)
      if (problems.length > 0) throw invalid(log, call.params.flag ?? '', problems)
      const done = await rollouts.make(log, call.params.flag ?? '', input, asking)
      if (asking.dryRun) call.reply.code(200)
      return answer(services, rollouts, log, done, asking)
    },
  })

  for (const [operation, least, summary] of OPERATIONS) {
    route(app, {
      method: 'POST',
      url: `${ROLLOUTS}/:flag/${operation}`,
      policy: role(least, 'environment'),
      summary,
      tag,
      query: writeQuerySchema,
      body: bodySchema,
      response: writeAnswer,
      async handler(call) {
        const log = environmentLog(services, call.params)
        const asking = writeFields(call)
        const flag = call.params.flag ?? ''
        const done = operation === 'hold' ? rollouts.holdBy(log, flag, asking) : rollouts[operation](log, flag, asking)
        return answer(services, rollouts, log, await done, asking)
      },
    })
  }

  route(app, {
    method: 'POST',
    url: `${ROLLOUTS}/:flag/revert`,
    policy: role('operator', 'environment'),
    summary: 'Put back what stood before the plan, and lock it until a person clears it',
    tag,
    query: forceQuerySchema,
    body: bodySchema,
    response: writeAnswer,
    async handler(call: Call<typeof forceQuerySchema, typeof bodySchema>) {
      const log = environmentLog(services, call.params)
      const asking = writeFields(call)
      return answer(
        services,
        rollouts,
        log,
        await rollouts.revertBy(log, call.params.flag ?? '', asking, call.query.force === 'true'),
        asking,
      )
    },
  })
}

function answer(services: Services, rollouts: RolloutsHandle, log: string, { commit, plan }: PlanWritten, asking: Asking): object {
  const flag = findFlag(services.log.state(log), plan.key)
  return {
    ...written(commit, asking),
    plan,
    outlook: rollouts.outlook(log, plan, leftBy(commit, 'flag', plan.key, flag)),
    flag: leftBy(commit, 'flag', plan.key, flag),
  }
}
