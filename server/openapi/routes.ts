/** The documentation as a page and as data: `/docs`, `/docs/json`, `/docs/schemas`. */
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import type { Registered } from '../access/guard.ts'
import { everyone } from '../access/policy.ts'
import { openapiDocument, type OpenapiDocument, schemaDocument } from './document.ts'

/** Register when all other routes are known. */
export function openapiRoutes(app: FastifyInstance, routes: readonly Registered[]): void {
  let made: OpenapiDocument | null = null
  // Made at the first question: no start waits for it.
  const document = (): OpenapiDocument => (made ??= openapiDocument(routes))

  app.register(async scope => {
    scope.addHook('onRoute', options => {
      options.config = { ...options.config, policy: everyone }
    })
    // These answers are pages, and helmet's headers are made for pages.
    scope.addHook('onRequest', (_request, reply, done) => {
      reply.removeHeader('content-security-policy')
      done()
    })
    await scope.register(helmet, {
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'self'"],
          scriptSrc: ["'self'"],
          // The page of swagger-ui sets styles from its scripts and shows pictures it holds itself.
          styleSrc: ["'self'", "'unsafe-inline'"],
          imgSrc: ["'self'", 'data:'],
          connectSrc: ["'self'"],
          objectSrc: ["'none'"],
          baseUri: ["'none'"],
          formAction: ["'none'"],
          frameAncestors: ["'none'"],
        },
      },
      // Whether there is TLS is decided by what stands in front.
      strictTransportSecurity: false,
    })
    await scope.register(swagger, {
      openapi: { openapi: '3.1.0', info: { title: 'Sluice', version: '' } },
      transformObject: () => document() as never,
    })
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { docExpansion: 'none', deepLinking: true, persistAuthorization: false, defaultModelsExpandDepth: 0 },
      theme: { title: 'Sluice: the HTTP API' },
    })
    scope.get('/docs/schemas', () => ({ schemas: Object.keys(document().components.schemas).map(name => `/docs/schemas/${name}`) }))
    scope.get('/docs/schemas/:name', (request, reply) => {
      const { name } = request.params as { name: string }
      const schema = schemaDocument(document(), name)
      if (schema === null) throw new SluiceError('ROUTE_NOT_FOUND', `There is no schema "${name}". /docs/schemas lists what there is.`)
      return reply.header('content-type', 'application/schema+json; charset=utf-8').send(JSON.stringify(schema))
    })
  })
}
