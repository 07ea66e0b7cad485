/** Who uses a limit: its busiest keys, and how far it can be overdrawn. */
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

export function limitRoutes(app: FastifyInstance, { clock, log }: Pick<Services, 'clock' | 'log'>, lending: Pick<Lending, 'usage'>): void {
  route(app, {
    method: 'GET',
    url: '/api/v1/projects/:project/environments/:environment/limits/:flag/usage',
    policy: role('viewer', 'environment'),
    tag: 'limits',
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
      const usage = await lending.usage(name, flag.key, query.keys ?? KEYS_USUAL)
      const learningMs = usage.learningUntil === null ? null : usage.learningUntil - clock.monotonic()
      return { ...usage, flag: flag.key, learningUntil: learningMs === null ? null : moment(clock.now() + learningMs) }
    },
  })
}
