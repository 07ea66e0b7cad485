/** Serves the dashboard at `/`: the files that `vite build` made, under a policy that lets a page run nothing else. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { everyone } from '../access/policy.ts'

/** Where the build puts them: beside the compiled server. */
const FOLDER = fileURLToPath(new URL('../../dashboard', import.meta.url))
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // The small pictures of the stylesheet are in it.
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')
const NOT_BUILT = 'The dashboard is not built. Run: npm run build\n'

export function assetRoutes(app: FastifyInstance): void {
  app.register(async scope => {
    scope.addHook('onRoute', options => {
      options.config = { ...options.config, policy: everyone }
    })
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('content-security-policy', POLICY)
      reply.header('referrer-policy', 'no-referrer')
      reply.header('cross-origin-opener-policy', 'same-origin')
    })
    if (!existsSync(FOLDER)) {
      scope.get('/', (_request, reply) => reply.code(503).type('text/plain; charset=utf-8').send(NOT_BUILT))
      return
    }
    // Names of files hold a hash of what is in them: what was fetched once is good for ever.
    await scope.register(fastifyStatic, {
      root: `${FOLDER}/assets`,
      prefix: '/assets/',
      wildcard: false,
      preCompressed: true,
      immutable: true,
      maxAge: '365d',
      index: false,
    })
    const page = readFileSync(`${FOLDER}/index.html`)
    scope.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(page))
  })
}
