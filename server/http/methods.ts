/** A path that exists, asked with a method it does not have, says so: 405 with `Allow`, not a 404 that sends people looking for a slip in the path. */
import type { FastifyInstance } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import { everyone } from '../access/policy.ts'
import type { Registered } from '../access/guard.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** Register last, when all routes are known. Fastify itself does the matching, so both agree on what a path is. */
export function addMethodAnswers(app: FastifyInstance, registered: readonly Registered[]): void {
  const paths = new Map<string, { url: string; methods: Set<string> }>()
  for (const { url, methods } of registered) {
    if (url.includes('*')) continue
    // Two routes may name the same parameter differently.
    const shape = url.replace(/:[A-Za-z0-9_]+/g, ':')
    const path = paths.get(shape) ?? { url, methods: new Set() }
    for (const method of methods) path.methods.add(method)
    paths.set(shape, path)
  }
  for (const { url, methods } of paths.values()) {
    const others = METHODS.filter(method => !methods.has(method))
    if (others.length === 0) continue
    const allow = [...methods].sort().join(', ')
    app.route({
      method: others,
      url,
      config: { policy: everyone },
      handler: (request, reply) => {
        reply.header('allow', allow)
        throw new SluiceError('METHOD_NOT_ALLOWED', `This path does not take ${request.method}, but ${allow}.`)
      },
    })
  }
}
