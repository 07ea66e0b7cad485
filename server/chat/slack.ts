/**
 * The way a Slack slash command comes in, as Slack documents it: a form, signed over its raw bytes with a moment. What is
 * forged, altered, late or sent again does nothing.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { SluiceError } from '../../schemas/errors.ts'

/** How far the moment of a request may lie from ours. */
export const TOLERANCE_MS = 300_000
/** Signatures that are remembered, so that a request is taken once. Above it the oldest are forgotten. */
const SEEN_MAX = 10_000

export interface SlackHeaders {
  readonly timestamp: string | undefined
  readonly signature: string | undefined
}

/** What of the form is looked at. */
export interface SlashCommand {
  readonly userId: string
  readonly userName: string
  readonly text: string
}

/**
 * Error: `SIGNATURE_INVALID` unless one of the secrets signed these bytes at about this moment.
 * `v0=` and the hexadecimal HMAC-SHA256 of `v0:timestamp:body`.
 */
export function verifySlack(body: Buffer, { timestamp, signature }: SlackHeaders, secrets: readonly string[], now: number): void {
  if (timestamp === undefined || signature === undefined || !/^\d{1,12}$/.test(timestamp)) {
    throw refused('it is not signed. Only Slack can call this')
  }
  if (Math.abs(now - Number(timestamp) * 1_000) > TOLERANCE_MS) {
    throw refused('it is from another time. Check the clock of this server, and send the command again')
  }
  const given = Buffer.from(signature)
  const isGenuine = secrets.map(secret => {
    const own = Buffer.from(`v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`)
    return own.length === given.length && timingSafeEqual(own, given)
  })
  if (!isGenuine.includes(true)) throw refused('its signature does not fit. Check the signing secret: `sluice chat edit`')
}

/** Error: `INVALID_REQUEST` for what is no slash command. */
export function parseSlash(body: Buffer): SlashCommand {
  const form = new URLSearchParams(body.toString('utf8'))
  const userId = form.get('user_id') ?? ''
  if (!/^[A-Z0-9]{1,64}$/i.test(userId)) throw new SluiceError('INVALID_REQUEST', 'The form names no user_id, so it is no slash command.')
  return { userId, userName: (form.get('user_name') ?? userId).slice(0, 100), text: unescaped(form.get('text') ?? '').slice(0, 2_000) }
}

/** Each signature once, within the time in which it would be taken. */
export class Replays {
  readonly #seen = new Map<string, number>()

  /** @returns whether it was seen before */
  isRepeat(signature: string, now: number): boolean {
    for (const [old, at] of this.#seen) {
      if (now - at <= 2 * TOLERANCE_MS && this.#seen.size < SEEN_MAX) break
      this.#seen.delete(old)
    }
    if (this.#seen.has(signature)) return true
    this.#seen.set(signature, now)
    return false
  }
}

function unescaped(text: string): string {
  return text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&')
}

function refused(why: string): SluiceError {
  return new SluiceError('SIGNATURE_INVALID', `This request was refused: ${why}.`)
}
