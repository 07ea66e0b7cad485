/** How what was done under each variation of a flag ended, for people. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { keySchema, momentSchema } from '../../schemas/key.ts'
import { outcomeSeriesSchema } from '../../schemas/outcome.ts'
import { SLICE_MS } from '../../schemas/protocol.ts'
import { role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'
import { SLICES_KEPT } from './outcomes.ts'

export function outcomeRoutes(app: FastifyInstance, services: Services): void {
  route(app, {
    method: 'GET',
    url: '/api/v1/projects/:project/environments/:environment/flags/:flag/outcomes',
    policy: role('viewer', 'environment'),
    tag: 'outcomes',
    summary: 'How what was done under each variation ended: the last hour, by slices of ten seconds',
    description: 'Slices that have ended, since the server started. Those in which nothing ended are left out.',
    query: z.strictObject({
      since: momentSchema.optional().meta({ description: 'Slices that began then or later: an hour ago unless given.' }),
    }),
    response: z.object({ flag: keySchema, since: momentSchema, sliceMs: z.number().int(), series: z.array(outcomeSeriesSchema) }),
    handler({ params, query }) {
      const log = environmentLog(services, params)
      const { key } = findFlag(services.log.state(log), params.flag ?? '')
      const since = query.since === undefined ? services.clock.now() - SLICES_KEPT * SLICE_MS : Date.parse(query.since)
      return { flag: key, since: moment(since), sliceMs: SLICE_MS, series: services.outcomes.recent(log, key, since) }
    },
  })
}
