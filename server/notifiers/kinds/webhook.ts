/** Standard Webhooks 1.0.0: a signed POST of `{ type, timestamp, data }`, its id the same at every try. */
import { createHmac } from 'node:crypto'
import type { Outgoing } from '../../egress/egress.ts'
import type { Kind, Parcel, Sending } from './kind.ts'

/** The specification asks for less than about 20 kB. */
const BODY_BYTES_MAX = 19_000
export const SIGNING_PREFIX = 'whsec_'
/** The current secret, and the one before it while receivers change over: both sign. */
export const SIGNING = 'signing'
export const SIGNING_PREVIOUS = 'signingPrevious'

export const webhook: Kind = {
  secretsNeeded: [SIGNING],
  secretsTaken: [SIGNING, SIGNING_PREVIOUS],
  bases: null,
  spacingMs: 0,
  isRefusalFinal: false,
  parts: message => [{ message }],
  together: () => 1,
  request: signed,
  tests: sending => [signed(sending)],
}

function signed({ notifier, secrets, parcels: [parcel], now }: Sending): Outgoing {
  const body = bodyOf(parcel)
  const timestamp = String(Math.floor(now / 1_000))
  const keys = [secrets[SIGNING], secrets[SIGNING_PREVIOUS]].filter(key => key !== undefined)
  const signatures = keys.map(key => `v1,${signature(key, `${parcel.id}.${timestamp}.${body}`)}`)
  return {
    url: notifier.url ?? '',
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': parcel.id,
      'webhook-timestamp': timestamp,
      'webhook-signature': signatures.join(' '),
    },
    body,
  }
}

function signature(secret: string, text: string): string {
  return createHmac('sha256', Buffer.from(secret.slice(SIGNING_PREFIX.length), 'base64'))
    .update(text, 'utf8')
    .digest('base64')
}

/** The same bytes at every try, as nothing in it is of now; lines and flags at the end go where it would be too long. */
function bodyOf({ part: { message } }: Parcel): string {
  const { type, at, incidents: _incidents, isArriving: _isArriving, ...data } = message
  let { lines, flags } = data
  for (;;) {
    const body = JSON.stringify({ type, timestamp: at, data: { ...data, lines, flags } })
    if (Buffer.byteLength(body) <= BODY_BYTES_MAX || lines.length + flags.length === 0) return body
    if (lines.length > 0) lines = lines.slice(0, -1)
    else flags = flags.slice(0, Math.floor(flags.length / 2))
  }
}
