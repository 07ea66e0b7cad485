/** Evaluation counts of SDKs that have no stream to send them on. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { countsSchema } from '../../schemas/stream.ts'
import { kinds } from '../access/policy.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'
import { logOfKey } from '../stream/handshake.ts'

export function telemetryRoutes(app: FastifyInstance, services: Services): void {
  route(app, {
    method: 'POST',
    url: '/telemetry',
    policy: kinds('server'),
    tag: 'telemetry',
    summary: 'Evaluation counts since the last report',
    body: countsSchema,
    response: z.object({ accepted: z.number().int() }),
    handler: ({ access, body }) => {
      services.usage.add(logOfKey(services.log, access), body)
      return { accepted: body.counts.length }
    },
  })
}
