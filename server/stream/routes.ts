/** What SDKs ask for: the stream, and the whole ruleset for those that cannot have one. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SluiceError } from '../../schemas/errors.ts'
import { CLIENT_KEY_PREFIX, CLIENT_PATH, CLIENT_PROTOCOL, PROTOCOL } from '../../schemas/protocol.ts'
import { kinds } from '../access/policy.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'
import { clientPolicy, logOfKey, streamPolicy } from './handshake.ts'
import type { HubHandle } from './hub.ts'

/** What a polling SDK holds. */
const basisSchema = z.strictObject({
  epoch: z.string().max(64).optional(),
  revision: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  hash: z.string().max(64).optional(),
})

export function streamRoutes(app: FastifyInstance, services: Services, hub: Pick<HubHandle, 'ruleset' | 'missed'>): void {
  route(app, {
    method: 'GET',
    url: '/stream',
    policy: streamPolicy,
    tag: 'stream',
    summary: 'The stream of changes for SDKs: a websocket',
    description: `Subprotocol "${PROTOCOL}", one JSON object per text frame. The key goes in the Authorization header.`,
    status: 101,
    handler: ({ reply }) => {
      reply.header('upgrade', 'websocket')
      throw new SluiceError(
        'UPGRADE_REQUIRED',
        `/stream is a websocket. Connect to it with the subprotocol "${PROTOCOL}", or poll /ruleset.`,
      )
    },
  })

  route(app, {
    method: 'GET',
    url: CLIENT_PATH,
    policy: clientPolicy,
    tag: 'stream',
    summary: 'The stream of evaluations for browsers: a websocket',
    description: `Subprotocol "${CLIENT_PROTOCOL}", one JSON object per text frame. A browser offers the key as a second subprotocol, "${CLIENT_KEY_PREFIX}" and the key behind it.`,
    status: 101,
    handler: ({ reply }) => {
      reply.header('upgrade', 'websocket')
      throw new SluiceError(
        'UPGRADE_REQUIRED',
        `${CLIENT_PATH} is a websocket. Connect to it with the subprotocol "${CLIENT_PROTOCOL}", or ask /ofrep/v1/evaluate/flags.`,
      )
    },
  })

  route(app, {
    method: 'GET',
    url: '/ruleset',
    policy: kinds('server'),
    tag: 'stream',
    summary: 'Everything an SDK needs to evaluate, for the environment of the key',
    description:
      "For SDKs without a stream. Answers 304 when the ETag in If-None-Match still holds. With `epoch` and `revision`, what the caller holds, it answers the changes since then where they are known (the stream's message `changes`), else everything; with `hash` too, a history of that revision which is not the log's is answered with everything and `reset`.",
    query: basisSchema,
    handler: async ({ access, query, request, reply }) => {
      const log = logOfKey(services.log, access)
      const { epoch, revision, hash = '' } = query
      const missed = epoch === undefined || revision === undefined ? null : await hub.missed(log, epoch, revision, hash)
      const { etag, body } = hub.ruleset(log)
      reply.header('etag', etag).header('cache-control', 'no-cache')
      if (isHeld(etag, request.headers['if-none-match'])) return reply.code(304).send()
      return reply.header('content-type', 'application/json; charset=utf-8').send(missed ?? body)
    },
  })
}

/** RFC 9110 §13.1.2: a list of tags, each perhaps weak, or `*`. A caller that knows no hash names epoch and revision alone. */
function isHeld(etag: string, header: string | undefined): boolean {
  if (header === undefined) return false
  const withoutHash = etag.replace(/\.[0-9a-f]*"$/, '"')
  const tags = header.split(',').map(tag => tag.trim().replace(/^W\//, ''))
  return tags.some(tag => tag === etag || tag === withoutHash || tag === '*')
}
