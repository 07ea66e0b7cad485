/** Every route that the server has, with a path that can be asked. */
import type { Registered } from '../../../server/access/guard.ts'
import type { RouteDescription } from '../../../server/http/route.ts'

export interface Asked {
  readonly name: string
  readonly method: string
  readonly path: string
  readonly route: Registered
  readonly description: RouteDescription
}

const VALUES: Readonly<Record<string, string>> = { project: 'default', environment: 'production', revision: '1' }

/** Those with a description, once each; without the ones Fastify adds for HEAD. */
export function everyRoute(routes: readonly Registered[]): Asked[] {
  return routes.flatMap(route => {
    const { description } = route
    const method = route.methods[0] ?? ''
    if (description === null || method === 'HEAD') return []
    const path = route.url.replace(/:(\w+)/g, (_, name: string) => VALUES[name] ?? 'x')
    return [{ name: `${method} ${route.url}`, method, path, route, description }]
  })
}
