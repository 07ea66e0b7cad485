/**
 * Signatures by a shared secret, each in the way of the tool that makes it. All are made over the bytes of the body as they
 * arrived, compared in a time that does not depend on where they differ, and good by any of several secrets.
 */
import { createHmac, createPublicKey, hash, timingSafeEqual, verify as verifyWithKey } from 'node:crypto'
import type { Hook } from '../../schemas/hook.ts'

/** How far the moment that was signed may be from now, in either direction. */
export const REPLAY_WINDOW_MS = 5 * 60_000

/** A request to a way in, as it arrived. */
export interface Received {
  /** What comes after the point in the path. */
  readonly pathSecret: string | null
  readonly body: Buffer
  /** Every value of a header, by its name in small letters. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly remote: string
}

/** Null when it is genuine, else why it is refused. */
export type Refusal = { readonly verdict: 'bad-signature' | 'stale'; readonly reason: string } | null

/** @param header where the signature stands; @param now in ms since 1970 */
export type Verify = (
  received: Received,
  hook: Pick<Hook, 'timestampHeader'>,
  header: string,
  secrets: readonly string[],
  now: number,
) => Refusal

/** Lowercase hexadecimal HMAC-SHA256 of the body, or of `timestamp:body` where Grafana is told to sign a moment along. */
export const grafana: Verify = (received, { timestampHeader }, header, secrets, now) => {
  const signature = only(received, header)
  if (signature === null) return missing(received, header)
  if (timestampHeader === undefined) return hexOf([received.body], secrets, [signature])
  const timestamp = only(received, timestampHeader)
  if (timestamp === null) return missing(received, timestampHeader)
  return hexOf([`${timestamp}:`, received.body], secrets, [signature]) ?? stale(timestamp, now)
}

/** `v1=<hex>,v1=<hex>` of the body: one for each secret while they are exchanged. */
export const pagerduty: Verify = (received, _hook, header, secrets) => {
  const value = only(received, header)
  if (value === null) return missing(received, header)
  const signatures = value
    .split(',', 20)
    .map(part => part.trim())
    .flatMap(part => (part.startsWith('v1=') ? [part.slice(3)] : []))
  return hexOf([received.body], secrets, signatures)
}

/** Hexadecimal HMAC-SHA256 of the body. The moment in `Sentry-Hook-Timestamp` is not signed, so it can only tell honest lateness. */
export const sentry: Verify = (received, _hook, header, secrets, now) => {
  const signature = only(received, header)
  if (signature === null) return missing(received, header)
  const refusal = hexOf([received.body], secrets, [signature])
  const timestamp = only(received, 'sentry-hook-timestamp')
  return refusal ?? (timestamp === null ? null : stale(timestamp, now))
}

/** `sha256=<hex>`, or the hexadecimal digits alone, of the body. */
export const generic: Verify = (received, _hook, header, secrets) => {
  const signature = only(received, header)
  return signature === null ? missing(received, header) : hexOf([received.body], secrets, [signature.replace(/^sha256=/, '')])
}

/** standardwebhooks.com: `v1,` HMAC and `v1a,` ed25519 over `id.timestamp.body`, in base64, with blanks between several. */
export const standard: Verify = (received, _hook, header, secrets, now) => {
  const value = only(received, header)
  if (value === null) return missing(received, header)
  const id = only(received, 'webhook-id')
  const timestamp = only(received, 'webhook-timestamp')
  if (id === null) return missing(received, 'webhook-id')
  if (timestamp === null) return missing(received, 'webhook-timestamp')
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), received.body])
  const signatures = value.split(' ', 20).map(part => part.split(','))
  let isGenuine = false
  for (const secret of secrets) {
    const made = secret.startsWith('whpk_') ? null : createHmac('sha256', standardKey(secret)).update(signed).digest()
    for (const [version, encoded = ''] of signatures) {
      const given = Buffer.from(encoded, 'base64')
      if (version === 'v1' && made !== null && sameBytes(made, given)) isGenuine = true
      if (version === 'v1a' && made === null && isSignedBy(secret, signed, given)) isGenuine = true
    }
  }
  return isGenuine ? stale(timestamp, now) : notOfAny(secrets)
}

/** The bytes of `whsec_…`. */
function standardKey(secret: string): Buffer {
  return Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
}

/** What is wrong with a secret for Standard Webhooks, for people; null when nothing is. */
export function standardSecretProblem(secret: string): string | null {
  const bytes = Buffer.from(secret.replace(/^wh(?:sec|pk)_/, ''), 'base64').length
  if (secret.startsWith('whpk_')) return bytes === 32 ? null : 'must be whpk_ and a public key of ed25519 in base64, which has 32 bytes'
  if (secret.startsWith('whsec_')) return bytes >= 16 ? null : 'must be whsec_ and at least 16 bytes in base64'
  return 'must begin with whsec_ (a shared secret) or whpk_ (a public key), as its sender shows it'
}

function isSignedBy(secret: string, signed: Buffer, signature: Buffer): boolean {
  try {
    const x = Buffer.from(secret.slice('whpk_'.length), 'base64').toString('base64url')
    return verifyWithKey(null, signed, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }), signature)
  } catch {
    // No key, so nothing is signed by it.
    return false
  }
}

/** The secret itself in a header: as it is, as `Bearer …`, or as the password of `Basic …`. */
export function secretInHeader(received: Received, header: string, secrets: readonly string[]): Refusal {
  const value = only(received, header)
  if (value === null) return missing(received, header)
  const [, basic] = /^basic +([A-Za-z0-9+/=]+)$/i.exec(value) ?? []
  const given = basic === undefined ? value.replace(/^bearer +/i, '') : passwordOf(basic)
  return isOneOf(given, secrets) ? null : notOfAny(secrets)
}

/** The secret that ends the path. */
export function secretInPath(received: Received, secrets: readonly string[]): Refusal {
  if (received.pathSecret === null) return { verdict: 'bad-signature', reason: 'the path ends without the secret' }
  return isOneOf(received.pathSecret, secrets) ? null : notOfAny(secrets)
}

function passwordOf(basic: string): string {
  const text = Buffer.from(basic, 'base64').toString('utf8')
  return text.slice(text.indexOf(':') + 1)
}

/** All of them are looked at, so that the time does not tell which one it was. */
function isOneOf(given: string, secrets: readonly string[]): boolean {
  const givenHash = hash('sha256', given, 'buffer')
  let isKnown = false
  for (const secret of secrets) if (timingSafeEqual(givenHash, hash('sha256', secret, 'buffer'))) isKnown = true
  return isKnown
}

function hexOf(signed: readonly (string | Buffer)[], secrets: readonly string[], signatures: readonly string[]): Refusal {
  let isGenuine = false
  for (const secret of secrets) {
    const hmac = createHmac('sha256', secret)
    for (const part of signed) hmac.update(part)
    const made = hmac.digest()
    for (const signature of signatures)
      if (/^[0-9a-f]{64}$/i.test(signature) && sameBytes(made, Buffer.from(signature, 'hex'))) isGenuine = true
  }
  return isGenuine ? null : notOfAny(secrets)
}

function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** A header that is there once; null for one that is missing or there several times, as nobody could say which one counts. */
function only({ headers }: Received, name: string): string | null {
  const values = headers[name.toLowerCase()] ?? []
  return values.length === 1 && values[0] !== '' ? (values[0] ?? null) : null
}

function missing({ headers }: Received, name: string): Refusal {
  const count = (headers[name.toLowerCase()] ?? []).length
  return { verdict: 'bad-signature', reason: count > 1 ? `the header ${name} stands ${count} times` : `the header ${name} is missing` }
}

function notOfAny(secrets: readonly string[]): Refusal {
  const reason =
    secrets.length === 0
      ? 'this hook has no secret yet, or none that can be read: give it one'
      : `it is not made with any secret of this hook (${secrets.length})`
  return { verdict: 'bad-signature', reason }
}

/** @param timestamp seconds since 1970 in decimal digits; Sentry also sends them with a fraction */
function stale(timestamp: string, now: number): Refusal {
  if (!/^\d{9,12}(?:\.\d{1,9})?$/.test(timestamp)) return { verdict: 'stale', reason: 'its moment is no number of seconds since 1970' }
  const ageMs = now - Number(timestamp) * 1_000
  if (Math.abs(ageMs) <= REPLAY_WINDOW_MS) return null
  const seconds = Math.round(Math.abs(ageMs) / 1_000)
  const side = ageMs > 0 ? `${seconds} s old` : `${seconds} s ahead`
  return { verdict: 'stale', reason: `it is ${side}, and ${REPLAY_WINDOW_MS / 1_000} s are taken: a replay, or a clock that is wrong` }
}
