/** One try to send something, and what it came to: for deliveries and tests alike. */
import type { Receipts } from '../../schemas/instance.ts'
import type { Notifier } from '../../schemas/notifier.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Services } from '../services.ts'
import type { Incoming, Outgoing } from '../egress/egress.ts'
import { KINDS } from './kinds.ts'
import type { Parcel, Part, Sending } from './kinds/kind.ts'
import { cutText } from './words.ts'

/** How long a message about a change waits for the word of the instances. */
export const RECEIPTS_WAIT_MS = 3_000
/** Of a change that is older, how quickly it arrived says nothing any more. */
const RECEIPTS_AGE_MAX_MS = 30_000
const RETRY_AFTER_MAX_MS = 24 * 3_600_000
/** Of what a place said, as far as people are shown it. */
const SAID_LENGTH_MAX = 200

export interface Outcome {
  /** `gone`: it asks for nothing more. `refused`: it will not take this one, ever. */
  readonly kind: 'sent' | 'again' | 'gone' | 'refused'
  /** Of the answer; null when there was none. */
  readonly status: number | null
  /** For people. */
  readonly text: string
  readonly retryAfterMs: number | null
}

type Collaborators = Pick<Services, 'log' | 'hub' | 'secrets' | 'egress' | 'clock'>

/** Never fails. Kinds that say how far a change has arrived wait for it first. */
export async function attempt(
  services: Collaborators,
  log: string,
  notifier: Notifier,
  parcels: readonly [Omit<Parcel, 'receipts'>, ...Omit<Parcel, 'receipts'>[]],
): Promise<Outcome> {
  const kind = KINDS[notifier.kind]
  return trying(services, log, notifier, await withReceipts(services, log, notifier, parcels), sending => [kind.request(sending)])
}

/** Sends what shows that it works; the first that fails is the answer. */
export async function attemptTest(services: Collaborators, log: string, notifier: Notifier, id: string, part: Part): Promise<Outcome> {
  return trying(services, log, notifier, [{ id, part, receipts: null }], sending => KINDS[notifier.kind].tests(sending))
}

async function trying(
  { log: changes, secrets, egress, clock }: Collaborators,
  log: string,
  notifier: Notifier,
  parcels: Sending['parcels'],
  requests: (sending: Sending) => readonly Outgoing[],
): Promise<Outcome> {
  const kind = KINDS[notifier.kind]
  const known: Record<string, string> = {}
  try {
    for (const [name, ref] of Object.entries(notifier.secrets)) {
      const text = await secrets.read(ref.id)
      if (text !== null) known[name] = text
    }
    const missing = kind.secretsNeeded.find(name => known[name] === undefined)
    if (missing !== undefined) return again(`its secret "${missing}" cannot be read. Set it again`)
    let outcome: Outcome = { kind: 'sent', status: null, text: 'there is nothing to ask', retryAfterMs: null }
    for (const request of requests({ notifier, secrets: known, parcels, now: clock.now(), state: changes.state(log) })) {
      outcome = outcomeOf(await egress.send(request), kind.isRefusalFinal, clock.now(), Object.values(known))
      if (outcome.kind !== 'sent') return outcome
    }
    return outcome
  } catch (error) {
    return again(error instanceof SluiceError ? error.message : 'it could not be sent')
  }
}

function again(text: string): Outcome {
  return { kind: 'again', status: null, text, retryAfterMs: null }
}

/** Only 2xx is success; a redirect is none. */
function outcomeOf(answer: Incoming, isRefusalFinal: boolean, now: number, secrets: readonly string[]): Outcome {
  const { status } = answer
  const isSent = status >= 200 && status < 300
  const text = `answered ${status}${isSent ? '' : saidText(answer, secrets)}`
  if (isSent) return { kind: 'sent', status, text, retryAfterMs: null }
  if (status === 410) return { kind: 'gone', status, text, retryAfterMs: null }
  if (isRefusalFinal && (status === 400 || status === 413 || status === 422)) return { kind: 'refused', status, text, retryAfterMs: null }
  return { kind: 'again', status, text, retryAfterMs: retryAfterMs(answer.headers['retry-after'], now) }
}

/** What it said beside the status: of public places alone, as an answer from the inside is nobody's to read. */
function saidText({ body, isPublic }: Incoming, secrets: readonly string[]): string {
  if (!isPublic) return ''
  let text = body.subarray(0, 4 * SAID_LENGTH_MAX).toString('utf8')
  for (const secret of secrets) text = text.replaceAll(secret, '…')
  text = text.replace(/[^\x20-\x7e\u00a1-\uffff]+/g, ' ').trim()
  return text === '' ? '' : `: ${cutText(text, SAID_LENGTH_MAX)}`
}

function retryAfterMs(header: string | undefined, now: number): number | null {
  if (header === undefined) return null
  const ms = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS)
}

async function withReceipts(
  { hub, clock }: Pick<Collaborators, 'hub' | 'clock'>,
  log: string,
  notifier: Notifier,
  parcels: readonly [Omit<Parcel, 'receipts'>, ...Omit<Parcel, 'receipts'>[]],
): Promise<Sending['parcels']> {
  const isFresh = ({ part: { message } }: Omit<Parcel, 'receipts'>): boolean =>
    message.isArriving && message.revision !== null && clock.now() - Date.parse(message.at) <= RECEIPTS_AGE_MAX_MS
  const newest = notifier.kind === 'slack' ? Math.max(0, ...parcels.filter(isFresh).map(({ part }) => part.message.revision ?? 0)) : 0
  if (newest > 0) await hub.arrived(log, newest, RECEIPTS_WAIT_MS)
  const receipts = (parcel: Omit<Parcel, 'receipts'>): Receipts | null =>
    newest > 0 && isFresh(parcel) ? hub.receipts(log, parcel.part.message.revision ?? 0) : null
  const [first, ...others] = parcels
  return [{ ...first, receipts: receipts(first) }, ...others.map(each => ({ ...each, receipts: receipts(each) }))]
}
