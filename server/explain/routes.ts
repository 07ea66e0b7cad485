/** Why did this context get that? The evaluator, asked aloud: on what stands now, or stood at a revision or a moment. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Context, contextSchema } from '../../schemas/context.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { type Json, jsonSchema } from '../../schemas/json.ts'
import { keySchema, momentSchema } from '../../schemas/key.ts'
import { EVALUATE_BYTES_MAX } from '../../schemas/limits.ts'
import { EVALUATION_ERRORS, REASONS } from '../../schemas/reason.ts'
import { evaluateAs } from '../../sdk/evaluator/evaluate.ts'
import { typeOfValue } from '../../sdk/evaluator/evaluation.ts'
import { type Explanation, explain } from '../../sdk/evaluator/explain.ts'
import type { Prepared } from '../../sdk/evaluator/prepare.ts'
import { role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'

const bodySchema = z.strictObject({
  flag: keySchema,
  context: contextSchema,
  default: jsonSchema.optional(),
  revision: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  at: momentSchema.optional(),
})

const answerSchema = z.looseObject({
  flag: keySchema,
  value: jsonSchema.nullable(),
  variation: keySchema.nullable(),
  reason: z.enum(REASONS),
  error: z.enum(EVALUATION_ERRORS).optional(),
  revision: z.number().int(),
  at: z.string().nullable(),
  steps: z.array(z.looseObject({ step: z.string(), matched: z.boolean(), text: z.string() })),
})

export function explainRoutes(app: FastifyInstance, services: Services): void {
  route(app, {
    method: 'POST',
    url: '/api/v1/projects/:project/environments/:environment/explain',
    policy: role('viewer', 'environment'),
    summary: 'What a flag yields for a context, and every step that led to it',
    description: 'On what stands now, or at a revision or a moment. With a default its type is checked, and it is the value of an ERROR.',
    tag: 'explain',
    body: bodySchema,
    bodyLimit: EVALUATE_BYTES_MAX,
    response: answerSchema,
    async handler({ params, body }) {
      const log = environmentLog(services, params)
      if (body.revision !== undefined && body.at !== undefined) {
        throw new SluiceError('INVALID_REQUEST', 'The body cannot be taken: it names both a revision and a moment. Leave one out.', {
          details: [{ path: 'at', code: 'ambiguous', message: 'is given beside revision' }],
        })
      }
      const { prepared, at } = await standing(services, log, body.revision, body.at)
      const explanation = explain(prepared, body.flag, body.context as Context)
      return { ...judged(prepared, explanation, body), revision: explanation.revision, at }
    },
  })
}

/** The ruleset asked for, and the moment it is of (null for the empty one before the first change). */
async function standing(
  services: Services,
  log: string,
  revision: number | undefined,
  at: string | undefined,
): Promise<{ prepared: Prepared; at: string | null }> {
  if (revision !== undefined) {
    const prepared = await services.rulesets.at(log, revision)
    return { prepared, at: revision === 0 ? null : (await services.log.change(log, revision)).at }
  }
  if (at === undefined) return { prepared: services.rulesets.current(log), at: moment(services.clock.now()) }
  const ms = Date.parse(at)
  return { prepared: await services.rulesets.at(log, await services.log.revisionAt(log, ms)), at: moment(ms) }
}

/** The explanation as the caller's default leaves it: a value of another type is an error, and an error yields the default. */
function judged(
  prepared: Prepared,
  explanation: Explanation,
  body: z.infer<typeof bodySchema>,
): Omit<Explanation, 'value'> & { value: Json } {
  const otherwise = (body.default ?? null) as Json
  const typed =
    body.default === undefined ? explanation : evaluateAs(prepared, body.flag, body.context as Context, typeOfValue(body.default))
  if (typed.error !== 'TYPE_MISMATCH') return { ...explanation, value: explanation.value ?? otherwise }
  return { ...explanation, ...typed, value: otherwise }
}
