/** Who uses limits: their busiest keys, what they admitted and denied, and how far they can be overdrawn. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { limitUsageSchema } from '../../schemas/limitusage.ts'
import { role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route } from '../http/route.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Services } from '../services.ts'
import type { Lending } from './lending.ts'

const KEYS_USUAL = 20
const KEYS_FEW = 3

const LIMITS = '/api/v1/projects/:project/environments/:environment/limits'

export function limitRoutes(app: FastifyInstance, { clock, log }: Pick<Services, 'clock' | 'log'>, lending: Pick<Lending, 'usage'>): void {
  const tag = 'limits'

  async function usageOf(name: string, flag: string, keys: number) {
    const usage = await lending.usage(name, flag, keys)
    const learningMs = usage.learningUntil === null ? null : usage.learningUntil - clock.monotonic()
    return { ...usage, flag, learningUntil: learningMs === null ? null : moment(clock.now() + learningMs) }
  }

  route(app, {
    method: 'GET',
    url: LIMITS,
    policy: role('viewer', 'environment'),
    tag,
    summary: 'Every limit, with what it admitted and denied of late: those that deny most first',
    description:
      'As counted by the instances that are connected, since this server started. Each with its three busiest keys unless asked otherwise.',
    query: z.strictObject({ keys: z.coerce.number().int().min(0).max(100).optional() }),
    response: z.object({ revision: z.number().int(), limits: z.array(limitUsageSchema) }),
    async handler({ params, query }) {
      const { log: name, revision, documents } = log.state(environmentLog({ log }, params))
      const flags = [...documents.flag.values()].filter(({ kind }) => kind === 'rate-limit')
      const limits = await Promise.all(flags.map(({ key }) => usageOf(name, key, query.keys ?? KEYS_FEW)))
      limits.sort((a, b) => b.denied.minute - a.denied.minute || (a.flag < b.flag ? -1 : 1))
      return { revision, limits }
    },
  })

  route(app, {
    method: 'GET',
    url: `${LIMITS}/:flag/usage`,
    policy: role('viewer', 'environment'),
    tag,
    summary: 'Who uses a limit: the busiest keys of the last minute, with what they were admitted and denied',
    description: [
      'Counted in tokens by the instances that are connected, since this server started. Where the limit is exceeded for a while,',
      'overAdmissionMax says by how much at most: beyond rate × time + burst, in any span of time.',
    ].join(' '),
    query: z.strictObject({ keys: z.coerce.number().int().min(1).max(1_000).optional() }),
    response: limitUsageSchema,
    async handler({ params, query }) {
      const name = environmentLog({ log }, params)
      const flag = findFlag(log.state(name), params.flag ?? '')
      if (flag.kind !== 'rate-limit')
        throw new SluiceError(
          'INVALID_REQUEST',
          `Flag "${flag.key}" is of kind ${flag.kind}, so it limits nothing. Name a flag of kind rate-limit.`,
        )
      return usageOf(name, flag.key, query.keys ?? KEYS_USUAL)
    },
  })
}
