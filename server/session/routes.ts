/** Signing in with an admin key, out again, and a ticket for the live stream. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { grantSchema } from '../../schemas/accesskey.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { type Access, everyone, kinds } from '../access/policy.ts'
import { route } from '../http/route.ts'
import type { KeyRing } from '../services.ts'
import { VERSION } from '../version.ts'
import { SESSION_COOKIE, SESSION_MS, type Sessions } from './session.ts'

const sessionSchema = z.object({ id: z.string(), name: z.string(), grants: z.array(grantSchema), version: z.string() })

export function sessionRoutes(app: FastifyInstance, { keys, sessions }: { readonly keys: KeyRing; readonly sessions: Sessions }): void {
  const tag = 'session'

  route(app, {
    method: 'POST',
    url: '/api/v1/session',
    policy: everyone,
    tag,
    summary: 'Sign a browser in with an admin key',
    description: 'Answers a cookie that no script can read; the key itself is not kept by the page. Revoking the key ends its sessions.',
    body: z.strictObject({ key: z.string().min(1).max(512) }),
    response: sessionSchema,
    handler({ body, request, reply }) {
      const access = keys.authenticate(body.key.trim())
      if (access.kind !== 'admin') {
        throw new SluiceError('FORBIDDEN', `"${access.name}" is a ${access.kind} key, for programs. Sign in with an admin key.`)
      }
      setCookie(request, reply, sessions.begin(access), SESSION_MS / 1_000)
      return viewOf(access)
    },
  })

  route(app, {
    method: 'GET',
    url: '/api/v1/session',
    policy: kinds('admin'),
    tag,
    summary: 'Who is signed in',
    response: sessionSchema,
    handler: ({ access }) => viewOf(access),
  })

  route(app, {
    method: 'DELETE',
    url: '/api/v1/session',
    policy: everyone,
    tag,
    summary: 'Sign out: this browser forgets its session',
    response: z.object({ signedOut: z.literal(true) }),
    handler({ request, reply }) {
      setCookie(request, reply, '', 0)
      return { signedOut: true as const }
    },
  })

  route(app, {
    method: 'POST',
    url: '/api/v1/session/ticket',
    policy: kinds('admin'),
    tag,
    summary: 'A ticket that opens the live stream once, within 30 s',
    response: z.object({ ticket: z.string() }),
    handler: ({ access }) => ({ ticket: sessions.ticket(access) }),
  })
}

function viewOf({ id, name, grants }: Access) {
  return { id, name, grants: [...grants], version: VERSION }
}

/** `Secure` where the browser speaks TLS to us or to what stands in front of us. */
function setCookie(request: FastifyRequest, reply: FastifyReply, value: string, seconds: number): void {
  const isSecure = request.protocol === 'https' || request.headers['x-forwarded-proto'] === 'https'
  reply.header(
    'set-cookie',
    `${SESSION_COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}${isSecure ? '; Secure' : ''}`,
  )
  reply.header('cache-control', 'no-store')
}
