/**
 * The OpenFeature Remote Evaluation Protocol: any OpenFeature client, in any language, evaluates here unmodified. It is
 * the same evaluator as the SDK's, on the server's own copy of the ruleset. Server keys see every flag of their
 * environment, client keys those marked `clientVisible`.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { contextSchema } from '../../schemas/context.ts'
import type { Flag } from '../../schemas/flag.ts'
import { EVALUATE_BYTES_MAX } from '../../schemas/limits.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { type Access, everyone, kinds } from '../access/policy.ts'
import { rawRoute } from '../http/route.ts'
import { hashOf } from '../log/canonical.ts'
import { logOf } from '../log/types.ts'
import type { Measurement } from '../metrics/measure.ts'
import type { Asker, Services } from '../services.ts'
import { answerOf, type Failure, FAILURE_STATUS, type FailureCode, notFound, type Success, successText } from './answer.ts'
import { contextOf, contextProblem } from './context.ts'

const SINGLE = '/ofrep/v1/evaluate/flags/:flag'
const BULK = '/ofrep/v1/evaluate/flags'

/** What a browser on another origin may send and read. Keys travel in a header, never in a cookie, so any origin is safe. */
const CORS_HEADERS = 'authorization, x-api-key, content-type, if-none-match'
const CORS_EXPOSED = 'etag, retry-after'
const CORS_MAX_AGE_S = '7200'

/** Lenient, as programs read: what a newer protocol adds beside `context` is ignored. */
const requestSchema = z.looseObject({ context: contextSchema.optional() }).meta({ id: 'OfrepRequest' })
const metadataSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
const successSchema = z
  .object({ key: z.string(), value: z.json(), variant: z.string(), reason: z.string(), metadata: metadataSchema })
  .meta({ id: 'OfrepSuccess' })
const failureSchema = z
  .object({ key: z.string(), errorCode: z.string(), errorDetails: z.string(), metadata: metadataSchema.optional() })
  .meta({ id: 'OfrepFailure' })
const bulkSchema = z.object({ flags: z.array(z.union([successSchema, failureSchema])), metadata: metadataSchema }).meta({ id: 'OfrepBulk' })

export function ofrepRoutes(app: FastifyInstance, services: Services, measurement: Pick<Measurement, 'answered'>): void {
  // A scope of its own, for its own form of errors.
  app.register(async scope => {
    scope.setErrorHandler((error, request, reply) => {
      allowOrigin(request, reply)
      const answer = unreadable(error, (request.params as { flag?: string }).flag)
      // Whoever has no key, and what is our own fault, is answered as everywhere else.
      if (answer === null) throw error
      return reply.code(answer.status).send(answer.body)
    })
    const common = {
      method: 'POST',
      policy: kinds('server', 'client'),
      tag: 'ofrep',
      body: requestSchema,
      bodyLimit: EVALUATE_BYTES_MAX,
    } as const
    rawRoute(
      scope,
      { ...common, url: SINGLE, summary: 'Evaluate one flag', description: 'OFREP: what a server provider asks.', response: successSchema },
      (request, reply) => single(services, measurement, request, reply),
    )
    rawRoute(
      scope,
      {
        ...common,
        url: BULK,
        summary: 'Evaluate all flags',
        description: 'OFREP: what a client provider asks; knows If-None-Match.',
        response: bulkSchema,
      },
      (request, reply) => bulk(services, request, reply),
    )
    for (const url of [SINGLE, BULK]) scope.options(url, { config: { policy: everyone } }, preflight)
  })
}

/** Returns nothing: the reply is sent, and Fastify need not wait for it. */
function single(services: Services, measurement: Pick<Measurement, 'answered'>, request: FastifyRequest, reply: FastifyReply): void {
  const key = (request.params as { flag: string }).flag
  allowOrigin(request, reply)
  const problem = bodyProblem(request.body)
  if (problem !== null) return void refuse(reply, { key, ...problem })
  const caller = callerOf(request)
  const flag = services.log.state(caller.log).documents.flag.get(key)
  // What a client key asks for says little: it is public, and whoever has it may make up names.
  if (flag === undefined && caller.kind === 'server') services.usage.unknown(caller.log, key, caller.asker)
  if (flag === undefined || !caller.sees(flag)) return void refuse(reply, notFound(key))

  const prepared = services.rulesets.current(caller.log)
  const evaluation = evaluate(prepared, key, contextOf(request.body))
  services.usage.one(caller.log, key, evaluation, caller.asker)
  const answer = successText(key, evaluation, flag, prepared.revision, caller.showsRules)
  if ('errorCode' in answer) return void refuse(reply, answer)
  if (request.headers.origin !== undefined) return void reply.headers(answer.headers).send(answer.text)
  // Past Fastify: what it does with an answer (its type, its hooks, its length) is done already, and is a measurable part of the time.
  reply.hijack()
  measurement.answered(request, 200)
  reply.raw.writeHead(200, answer.headers).end(answer.text)
}

function bulk(services: Services, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  allowOrigin(request, reply)
  const problem = bodyProblem(request.body)
  if (problem !== null) return reply.code(FAILURE_STATUS[problem.errorCode]).send(problem)
  const caller = callerOf(request)
  const state = services.log.state(caller.log)
  const context = contextOf(request.body)

  // The context is part of the tag: a client that changes its context and keeps its tag must not be told that nothing changed.
  const tag = `"${hashOf([caller.log, state.epoch, state.revision, caller.kind, context]).slice(0, 32)}"`
  reply.header('etag', tag)
  if (isKnown(request.headers['if-none-match'], tag)) return reply.code(304).send()

  const prepared = services.rulesets.current(caller.log)
  const flags: (Success | Failure)[] = []
  for (const [key, flag] of state.documents.flag) {
    if (!caller.sees(flag)) continue
    const evaluation = evaluate(prepared, key, context)
    services.usage.one(caller.log, key, evaluation, caller.asker)
    flags.push(answerOf(key, evaluation, flag, prepared.revision, caller.showsRules))
  }
  return reply.send({ flags, metadata: { revision: prepared.revision, epoch: state.epoch } })
}

interface Caller {
  readonly log: string
  readonly kind: string
  /** Whether rules, kills and prerequisites may be named to it. */
  readonly showsRules: boolean
  sees(flag: Flag): boolean
  /** Whose evaluations they are. */
  readonly asker: Asker
}

const seesAll = (): boolean => true
const seesVisible = (flag: Flag): boolean => flag.clientVisible === true

/** What follows from a key, for as long as the key's access lives. */
const callers = new WeakMap<Access, Caller>()

function callerOf({ access }: FastifyRequest): Caller {
  const known = access === null ? undefined : callers.get(access)
  if (known !== undefined) return known
  // The policy lets server and client keys pass, and each of them is bound to one environment.
  if (access === null || access.project === null || access.environment === null)
    throw new Error('An OFREP route was reached without a key of an environment')
  const isServer = access.kind === 'server'
  const log = logOf(access.project, access.environment)
  const asker = { service: access.name, instance: access.id, sdk: 'ofrep' }
  const caller = { log, kind: access.kind, showsRules: isServer, sees: isServer ? seesAll : seesVisible, asker }
  callers.set(access, caller)
  return caller
}

function bodyProblem(body: unknown): { errorCode: FailureCode; errorDetails: string } | null {
  // Without a body at all there is no context, which is an empty one.
  if (body === undefined) return null
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return { errorCode: 'PARSE_ERROR', errorDetails: 'The body is not an object. Send { "context": { "targetingKey": "…" } }.' }
  }
  const { context } = body as { context?: unknown }
  if (context === undefined) return null
  const problem = contextProblem(context)
  if (problem === null) return null
  return { errorCode: 'INVALID_CONTEXT', errorDetails: problem }
}

function refuse(reply: FastifyReply, failure: Failure): FastifyReply {
  return reply.code(FAILURE_STATUS[failure.errorCode]).send(failure)
}

/** A request that could not be read, in OFREP's form; null for what is not about the body. */
function unreadable(error: unknown, key: string | undefined): { status: number; body: object } | null {
  if (!(error instanceof Error)) return null
  const { status, statusCode } = error as { status?: number; statusCode?: number }
  const code = statusCode ?? status
  if (code !== 400 && code !== 413 && code !== 415) return null
  const errorCode: FailureCode = code === 400 ? 'PARSE_ERROR' : 'GENERAL'
  return { status: code, body: { ...(key === undefined ? {} : { key }), errorCode, errorDetails: error.message } }
}

/** Whether the list of an `If-None-Match` header names the tag. `*` does not: who names no tag holds no answer. */
function isKnown(header: string | undefined, tag: string): boolean {
  return header !== undefined && header.split(',').some(known => known.trim().replace(/^W\//, '') === tag)
}

function allowOrigin(request: FastifyRequest, reply: FastifyReply): void {
  if (request.headers.origin === undefined) return
  reply.header('access-control-allow-origin', '*').header('access-control-expose-headers', CORS_EXPOSED)
}

function preflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  allowOrigin(request, reply)
  return reply
    .header('access-control-allow-methods', 'POST')
    .header('access-control-allow-headers', CORS_HEADERS)
    .header('access-control-max-age', CORS_MAX_AGE_S)
    .code(204)
    .send()
}
