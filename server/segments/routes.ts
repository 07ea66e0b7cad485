/** Segments: named groups of contexts, each environment its own. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { textSchema } from '../../schemas/key.ts'
import { DOCUMENT_BYTES_MAX } from '../../schemas/limits.ts'
import { type Segment, segmentInputSchema, segmentPatchSchema, segmentSchema } from '../../schemas/segment.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { findSegment } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import { checkEdits } from '../rulesets/check.ts'
import type { Services } from '../services.ts'
import { completeSegment, patchSegment } from './validate.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'
/** A segment at its largest, and room for the comment around it. */
const SEGMENT_BODY_BYTES_MAX = DOCUMENT_BYTES_MAX + 64 * 1024

const createSchema = segmentInputSchema.extend({ comment: textSchema.optional() })
const segmentAnswer = z.object({ revision: z.number().int(), change: changeSchema.nullable(), segment: segmentSchema })

export function segmentRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'segments'

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/segments`,
    policy: role('viewer', 'environment'),
    summary: 'The segments of an environment',
    tag,
    response: z.object({ revision: z.number().int(), segments: z.array(segmentSchema) }),
    handler({ params }) {
      const state = services.log.state(environmentLog(services, params))
      const segments = [...state.documents.segment.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
      return { revision: state.revision, segments }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/segments`,
    policy: role('editor', 'environment'),
    summary: 'Make a segment',
    tag,
    query: writeQuerySchema,
    body: createSchema,
    bodyLimit: SEGMENT_BODY_BYTES_MAX,
    response: segmentAnswer,
    status: 201,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const { comment: _comment, ...input } = call.body
      const fields = writeFields(call)
      const segment = completeSegment(input)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'segment.create',
        plan(state) {
          if (state.documents.segment.has(segment.key)) {
            throw new SluiceError(
              'ALREADY_EXISTS',
              `A segment "${segment.key}" exists already in "${log}". Choose another key, or edit that segment.`,
              {
                details: [{ path: 'key', code: 'taken', message: 'is the key of a segment' }],
              },
            )
          }
          return checkEdits(state, [{ type: 'segment', key: segment.key, after: segment }])
        },
      })
      if (fields.dryRun) call.reply.code(200)
      return { ...written(commit, fields), segment: leftBy(commit, 'segment', segment.key, segment) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/segments/:segment`,
    policy: role('viewer', 'environment'),
    summary: 'One segment',
    tag,
    response: segmentSchema,
    handler({ params, reply }) {
      const state = services.log.state(environmentLog(services, params))
      const segment = findSegment(state, params.segment ?? '')
      reply.header('etag', `"${segment.version}"`).header('sluice-revision', state.revision)
      return segment
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${ENVIRONMENT}/segments/:segment`,
    policy: role('editor', 'environment'),
    summary: 'Edit a segment: the fields given are replaced, the others stay',
    tag,
    query: writeQuerySchema,
    body: segmentPatchSchema,
    bodyLimit: SEGMENT_BODY_BYTES_MAX,
    response: segmentAnswer,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.segment ?? ''
      const fields = writeFields(call)
      let planned: Segment | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'segment.edit',
        plan(state) {
          const segment = findSegment(state, key)
          checkVersion(`Segment "${key}" in "${log}"`, segment.version, call.ifMatch)
          planned = patchSegment(segment, call.body)
          return checkEdits(state, [{ type: 'segment', key, after: planned }])
        },
      })
      const segment = leftBy(commit, 'segment', key, planned ?? findSegment(services.log.state(log), key))
      call.reply.header('etag', `"${segment.version}"`)
      return { ...written(commit, fields), segment }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${ENVIRONMENT}/segments/:segment`,
    policy: role('editor', 'environment'),
    summary: 'Archive a segment that nothing uses; the log keeps it',
    tag,
    query: writeQuerySchema,
    response: z.object({ revision: z.number().int(), change: changeSchema.nullable() }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.segment ?? ''
      const fields = writeFields(call)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'segment.archive',
        plan(state) {
          const segment = findSegment(state, key)
          checkVersion(`Segment "${key}" in "${log}"`, segment.version, call.ifMatch)
          return checkEdits(state, [{ type: 'segment', key, after: null }])
        },
      })
      return written(commit, fields)
    },
  })
}
