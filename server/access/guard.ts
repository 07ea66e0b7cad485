/** The start stops when any route, also a library's, has no policy: what nobody decided about is not open to everybody. */
import type { FastifyInstance } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import type { RouteDescription } from '../http/route.ts'
import type { Policy } from './policy.ts'

/** A route as it was added, in the order of addition. */
export interface Registered {
  readonly url: string
  readonly methods: readonly string[]
  readonly policy: Policy
  /** Null for a route without a place in the OpenAPI document. */
  readonly description: RouteDescription | null
}

/**
 * Call before the first route is added.
 * @returns the routes, growing while they are added
 * `app.ready()` fails with `ROUTE_WITHOUT_POLICY` when one has none.
 */
export function guardRoutes(app: FastifyInstance): readonly Registered[] {
  const seen: { url: string; methods: string[]; read: () => Policy | undefined; description: RouteDescription | null }[] = []
  const registered: Registered[] = []
  app.addHook('onRoute', options => {
    const methods = [options.method].flat()
    const description = options.config?.definition ?? null
    // A plugin's own hook may give the policy later than this one runs.
    seen.push({ url: options.url, methods, read: () => options.config?.policy, description })
    const policy = options.config?.policy
    if (policy !== undefined) registered.push({ url: options.url, methods, policy, description })
  })
  app.addHook('onReady', done => {
    const open = seen.filter(route => route.read() === undefined).map(route => `${route.methods.join(',')} ${route.url}`)
    if (open.length === 0) return done()
    const message = `These routes have no policy: ${open.join('; ')}. Give each one, as in config: { policy: role('viewer', 'environment') }.`
    done(new SluiceError('ROUTE_WITHOUT_POLICY', message))
  })
  return registered
}
