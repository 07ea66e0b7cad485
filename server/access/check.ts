/** The key check that runs before every handler: who calls, by a key or the session of a page, and may they. The body is read only afterwards. */
import type { FastifyRequest } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import type { KeyRing } from '../services.ts'
import type { Sessions } from '../session/session.ts'
import { authorise, type Policy } from './policy.ts'

/**
 * The key a request carries, or null: `Authorization: Bearer …`, else `X-API-Key: …`. Never one in the URL, which ends up in logs.
 * Error: `KEY_INVALID` for another scheme of authorisation.
 */
export function keyOf(headers: Readonly<Record<string, string | string[] | undefined>>): string | null {
  const authorization = headers.authorization
  if (typeof authorization === 'string') {
    // Whatever follows the scheme is the key: one set by configuration may hold blanks.
    if (authorization.startsWith('Bearer ') || /^bearer /i.test(authorization)) {
      const key = authorization.slice('bearer '.length).trim()
      if (key !== '') return key
    }
    throw new SluiceError('KEY_INVALID', 'The header Authorization does not hold a key. Send it as "Authorization: Bearer slc_…".')
  }
  const own = headers['x-api-key']
  return typeof own === 'string' && own !== '' ? own : null
}

/**
 * Fills `request.access` and applies the route's policy: whoever it does not let pass is refused before the body is read.
 * Before a valid key nothing else of a request is looked at.
 */
export function checkKey(
  request: FastifyRequest,
  keys: KeyRing,
  sessions: Pick<Sessions, 'accessOf'>,
  policy: Policy | undefined = request.routeOptions.config.policy,
): void {
  // Without a policy there is no route: the answer is the same 404 for everyone. A stale key must not hide /healthz.
  if (policy === undefined || policy.allow === 'everyone') return
  const token = keyOf(request.headers)
  request.access = token === null ? sessions.accessOf(request) : keys.authenticate(token)
  authorise(policy, request.access, request.params as { project?: string; environment?: string })
}
