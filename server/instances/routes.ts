/** The connected SDK instances of an environment, with the revision each has confirmed. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { instanceSchema } from '../../schemas/instance.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'

export function instanceRoutes(app: FastifyInstance, services: Services): void {
  route(app, {
    method: 'GET',
    url: '/api/v1/projects/:project/environments/:environment/instances',
    policy: role('viewer', 'environment'),
    tag: 'instances',
    summary: 'The connected SDK instances with the revision each has confirmed',
    response: z.object({ revision: z.number().int(), instances: z.array(instanceSchema) }),
    handler: ({ params }) => {
      const log = environmentLog(services, params)
      return { revision: services.log.state(log).revision, instances: services.hub.instances(log) }
    },
  })
}
