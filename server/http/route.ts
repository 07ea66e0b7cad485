/**
 * The one way to add a route: its policy, what it reads and what it answers stand together. From this come the
 * checks, the errors and the OpenAPI document. Bodies and queries are parsed by zod here, not by Fastify's validator.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import { textSchema } from '../../schemas/key.ts'
import { BODY_BYTES_MAX } from '../../schemas/limits.ts'
import { type Access, actorOf, type Policy } from '../access/policy.ts'
import type { Actor } from '../../schemas/change.ts'
import { type LongLists, parsed, parsedInPieces } from './parsed.ts'

export interface RouteDefinition<Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** The whole path, with `:project`, `:environment`, `:flag`, … as parameters. */
  readonly url: string
  readonly policy: Policy
  /** One line for the OpenAPI document. */
  readonly summary: string
  readonly description?: string
  /** Groups the route in the OpenAPI document: the folder's name. */
  readonly tag: string
  readonly query?: Q
  /** Without one, a body is refused unless it is empty. */
  readonly body?: B
  /** Lists of the body that may hold thousands of items, each with its most: they are parsed piece by piece. */
  readonly longLists?: LongLists
  /** The shape of a success, for the document; not checked at run time. */
  readonly response?: z.ZodType
  /** The status of a success, 200 unless given. */
  readonly status?: number
  /** Largest body in bytes, 1 MiB unless given. */
  readonly bodyLimit?: number
  /** Takes the bytes of any type of body; only in the scope of `addRawRoutes`. */
  readonly rawBody?: boolean
  handler(call: Call<Q, B>): unknown
}

/** All that is known of a route beside what it does: what the policy check and the OpenAPI document look at. */
export type RouteDescription = Omit<RouteDefinition<z.ZodType, z.ZodType>, 'handler'>

/** A request, understood: everything in it is parsed and permitted. */
export interface Call<Q extends z.ZodType = z.ZodType, B extends z.ZodType = z.ZodType> {
  readonly params: Readonly<Record<string, string>>
  readonly query: z.infer<Q>
  readonly body: z.infer<B>
  /** Who calls; on a route for everyone it is an anonymous one without grants. */
  readonly access: Access
  readonly actor: Actor
  /** The version in `If-Match`, or null without one. */
  readonly ifMatch: number | null
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** What every write takes in its query. The comment may stand in the body as well. */
export const writeQuerySchema = z.strictObject({
  dryRun: z.enum(['true', 'false']).optional().meta({ description: 'Check and plan everything, write nothing.' }),
  comment: textSchema.optional().meta({ description: 'Why; kept in the log.' }),
})

const anonymous: Access = { id: '', kind: 'client', name: 'anonymous', grants: [], project: null, environment: null }
const noQuery = z.strictObject({})

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route. A route without one stops the start. */
    policy?: Policy
    definition?: RouteDescription
  }
  interface FastifyRequest {
    access: Access | null
  }
}

/** Adds a route to the app. `request.access` has been filled by the key check that runs before it. */
export function route<Q extends z.ZodType = typeof noQuery, B extends z.ZodType = z.ZodUndefined>(
  app: FastifyInstance,
  definition: RouteDefinition<Q, B>,
): void {
  const querySchema = definition.query ?? noQuery
  rawRoute(app, definition, async (request, reply) => {
    const params = request.params as Record<string, string>
    const query = parsed(querySchema, request.query, 'query') as z.infer<Q>
    const body = (
      definition.body !== undefined && definition.longLists !== undefined
        ? await parsedInPieces(definition.body, request.body ?? {}, definition.longLists)
        : readBody(definition.body, request.body)
    ) as z.infer<B>
    const access = request.access ?? anonymous
    const ifMatch = readIfMatch(request)
    reply.code(definition.status ?? 200)
    return definition.handler({ params, query, body, access, actor: actorOf(access), ifMatch, request, reply })
  })
}

/**
 * A route that reads its request itself: for evaluations, where zod would cost more than the decision. The policy and
 * the document are the same as with `route`; what it takes and refuses is the handler's own duty and tests.
 */
export function rawRoute(
  app: FastifyInstance,
  description: RouteDescription,
  handler: (request: FastifyRequest, reply: FastifyReply) => unknown,
): void {
  app.route({
    method: description.method,
    url: description.url,
    bodyLimit: description.bodyLimit ?? BODY_BYTES_MAX,
    config: { policy: description.policy, definition: description, ...(description.rawBody === true ? { rawBody: true } : {}) },
    handler,
  })
}

function readBody(schema: z.ZodType | undefined, body: unknown): unknown {
  if (schema !== undefined) return parsed(schema, body ?? {}, 'body')
  if (body === undefined || body === null) return undefined
  if (typeof body === 'object' && !Array.isArray(body) && Object.keys(body).length === 0) return undefined
  throw new SluiceError('INVALID_REQUEST', 'This request takes no body. Leave it out.')
}

function readIfMatch(request: FastifyRequest): number | null {
  const header = request.headers['if-match']
  if (header === undefined || header === '*') return null
  const match = /^(?:W\/)?"?(\d{1,16})"?$/.exec(header.trim())
  if (match === null) {
    const detail: ErrorDetail = { path: 'if-match', code: 'invalid', message: 'is not a version as ETag answers it' }
    throw new SluiceError(
      'INVALID_REQUEST',
      `The header If-Match holds ${JSON.stringify(header)}, expected a version as the ETag of a GET answers it, as in "7".`,
      {
        details: [detail],
      },
    )
  }
  return Number(match[1])
}
