/**
 * Sessions of people in a browser: an admin key, exchanged once for a cookie that no script can read. The cookie says whose
 * it is and is sealed by this server, so that sessions outlive a restart and there is no table of them; the key decides
 * with every request, so that revoking it ends its sessions.
 */
import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import type { KeyRingHandle } from '../access/keyring.ts'
import type { Access } from '../access/policy.ts'
import type { Clock } from '../clock.ts'
import type { Secrets } from '../secrets/secrets.ts'

export const SESSION_COOKIE = 'sluice_session'
/** A page sends it with every request: no other site can, without a permission that is not given. */
export const SESSION_HEADER = 'x-sluice-page'
/** Somebody who is on call signs in once. */
export const SESSION_MS = 24 * 3_600_000
/** A ticket opens the live stream once, and soon. */
const TICKET_MS = 30_000
const TICKETS_MAX = 10_000
const PURPOSE = 'session'

export interface Sessions {
  /** The value of a new cookie for the holder of a key. */
  begin(access: Access): string
  /** Whose session a request is part of; null for none. Error: `FORBIDDEN` when another site seems to have sent it. */
  accessOf(request: Pick<FastifyRequest, 'headers' | 'method'>): Access | null
  /** Opens the live stream, once, within half a minute. */
  ticket(access: Access): string
  /** Whose ticket it is; null for none such. It is used up. */
  redeem(ticket: string): Access | null
}

export function openSessions(options: {
  readonly keys: Pick<KeyRingHandle, 'byId' | 'stampOf'>
  readonly secrets: Pick<Secrets, 'seal' | 'unseal'>
  readonly clock: Clock
}): Sessions {
  const { keys, secrets, clock } = options
  const tickets = new Map<string, { readonly id: string; readonly until: number }>()

  return {
    begin(access) {
      const said: Said = { id: access.id, stamp: keys.stampOf(access.id) ?? '', until: clock.now() + SESSION_MS }
      return Buffer.from(secrets.seal(PURPOSE, JSON.stringify(said)), 'base64').toString('base64url')
    },
    accessOf({ headers, method }) {
      const cookie = cookieIn(headers.cookie)
      if (cookie === null) return null
      const said = read(secrets.unseal(PURPOSE, cookie))
      if (said === null || said.until <= clock.now() || keys.stampOf(said.id) !== said.stamp) return null
      if (headers[SESSION_HEADER] === undefined && method !== 'GET' && method !== 'HEAD') {
        throw new SluiceError(
          'FORBIDDEN',
          `This request carries a session but not the header ${SESSION_HEADER}, which the page sends. Use a key instead.`,
        )
      }
      return keys.byId(said.id)
    },
    ticket(access) {
      const now = clock.monotonic()
      for (const [old, { until }] of tickets) {
        if (until > now && tickets.size < TICKETS_MAX) break
        tickets.delete(old)
      }
      const ticket = randomBytes(24).toString('base64url')
      tickets.set(ticket, { id: access.id, until: now + TICKET_MS })
      return ticket
    },
    redeem(ticket) {
      const held = tickets.get(ticket)
      tickets.delete(ticket)
      return held === undefined || held.until <= clock.monotonic() ? null : keys.byId(held.id)
    },
  }
}

interface Said {
  readonly id: string
  /** Of the key as it was: another key under the same id is another. */
  readonly stamp: string
  /** ms since 1970. */
  readonly until: number
}

function read(text: string | null): Said | null {
  return text === null ? null : (JSON.parse(text) as Said)
}

function cookieIn(header: string | undefined): string | null {
  return /(?:^|;\s*)sluice_session=([A-Za-z0-9_-]{16,1024})(?:;|$)/.exec(header ?? '')?.[1] ?? null
}
