/** Is it alive, and may traffic be sent to it? For whoever runs the process, so without a key and without details. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SluiceError } from '../../schemas/errors.ts'
import { everyone } from '../access/policy.ts'
import { route } from '../http/route.ts'
import type { Lifecycle } from '../lifecycle.ts'
import type { Services } from '../services.ts'

export function healthRoutes(app: FastifyInstance, services: Services, lifecycle: Lifecycle): void {
  route(app, {
    method: 'GET',
    url: '/healthz',
    policy: everyone,
    tag: 'health',
    summary: 'Whether the process is alive',
    response: z.object({ status: z.literal('ok') }),
    handler: () => ({ status: 'ok' }),
  })

  route(app, {
    method: 'GET',
    url: '/readyz',
    policy: everyone,
    tag: 'health',
    summary: 'Whether traffic may be sent here',
    description:
      'Answers 503 while starting and closing. A server whose storage fails stays ready: reads, streams and kills go on; `storage` says so.',
    response: z.object({ status: z.literal('ready'), storage: z.enum(['healthy', 'failing']) }),
    handler: () => {
      if (lifecycle.phase !== 'ready') {
        throw new SluiceError('NOT_READY', `This server is ${lifecycle.phase}. Send the traffic elsewhere, or come back in a moment.`)
      }
      return { status: 'ready', storage: services.log.status().healthy ? 'healthy' : 'failing' }
    },
  })
}
