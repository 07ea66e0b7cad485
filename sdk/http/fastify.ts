/** Limits and reports as plugins of Fastify 5, for all routes of the instance they are registered on. Loads nothing of Fastify's. */
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { type Guard, guard, joined, type LimitOptions } from './guard.ts'
import { reporter, type ReportOptions } from './report.ts'
import { whenDone } from './response.ts'

export { contextOf, type HttpRequest } from './context.ts'
export type { LimitClient, LimitOptions } from './guard.ts'
export type { ReportClient, ReportOptions } from './report.ts'

export interface FastifyLimitOptions extends Omit<LimitOptions<FastifyRequest>, 'flag'> {
  /** Without one, only routes that name their own are limited. */
  readonly flag?: string
  /** When to ask: `preHandler` where hooks or parsers in between say who it is or what it costs. Default: `onRequest`. */
  readonly hook?: 'onRequest' | 'preHandler'
}

/** What a route has of its own; the rest is as the plugin was registered. */
export type RouteLimitOptions = Partial<Omit<FastifyLimitOptions, 'flags' | 'hook' | 'logger'>>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The limit of this route; false for none. */
    sluice?: RouteLimitOptions | false
  }
}

const plugin: FastifyPluginCallback<FastifyLimitOptions> = (app, options, done) => {
  const check = guardOf(app, options)
  const hook = (request: FastifyRequest, reply: FastifyReply, next: () => void): void => {
    const verdict = check(request)
    if (verdict === null) return next()
    if (verdict.release !== null) whenDone(reply.raw, verdict.release)
    for (const [name, value] of Object.entries(verdict.headers)) reply.header(name, joined(name, value, reply.getHeader(name)))
    if (verdict.problem === null) next()
    else reply.code(verdict.problem.status).send(verdict.problem.body)
  }
  if (options.hook === 'preHandler') app.addHook('preHandler', hook)
  else app.addHook('onRequest', hook)
  done()
}

/** By the route's own options, where it has some. */
function guardOf(app: FastifyInstance, given: FastifyLimitOptions): Guard<FastifyRequest> {
  const options = { ...given, logger: given.logger ?? { error: (message: string) => app.log.error(message) } }
  const make = ({ flag, ...others }: FastifyLimitOptions): Guard<FastifyRequest> =>
    flag === undefined ? () => null : guard({ ...others, flag })
  const whole = make(options)
  const byRoute = new WeakMap<RouteLimitOptions, Guard<FastifyRequest>>()
  return request => {
    const own = request.routeOptions.config.sluice
    if (own === undefined) return whole(request)
    if (own === false) return null
    let check = byRoute.get(own)
    if (check === undefined) byRoute.set(own, (check = make({ ...options, ...own })))
    return check(request)
  }
}

/** As in `app.register(rateLimit, { flags, flag: 'api-requests' })`. */
export const rateLimit = marked(plugin, '@sluice/sdk/fastify')

const reports: FastifyPluginCallback<ReportOptions<FastifyRequest>> = (app, options, done) => {
  const begin = reporter({ ...options, logger: options.logger ?? { error: (message: string) => app.log.error(message) } })
  app.addHook('onRequest', (request, reply, next) => {
    begin(request, reply.raw)
    next()
  })
  done()
}

/** As in `app.register(reportOutcomes, { flags, report: 'new-ledger' })`. */
export const reportOutcomes = marked(reports, '@sluice/sdk/fastify reports')

function marked<T extends object>(plugin: T, name: string): T {
  return Object.assign(plugin, {
    // Fastify's own marks: the hook belongs to the instance it is registered on, and not to a child of its own.
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: name,
    [Symbol.for('plugin-meta')]: { name, fastify: '5.x' },
  })
}

export default rateLimit
