/** What a delivery is worth: whether it proves that it is genuine, and what it says. Stores nothing and tells nobody. */
import { createHash } from 'node:crypto'
import type { Hook, HookVerdict } from '../../schemas/hook.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { parseJson } from '../http/json.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { type Headers, type Reading, reading } from './reading.ts'
import { type Received, type Refusal, secretInHeader, secretInPath } from './signatures.ts'
import type { Sns } from './sns.ts'
import { SOURCES } from './sources.ts'

/** Alerts read from one body: a tool that groups more is told so. */
export const ALERTS_PER_DELIVERY_MAX = 500
/** A moment further ahead than this is a clock that is wrong, and no moment at all. */
const AHEAD_MAX_MS = 5 * 60_000

export interface Judged {
  readonly verdict: Extract<HookVerdict, 'accepted' | 'bad-signature' | 'stale' | 'malformed'>
  readonly reason: string
  /** Empty unless it is accepted. */
  readonly reading: Reading
  readonly body: unknown
}

export interface Judging {
  readonly secrets: Pick<Secrets, 'readAll'>
  readonly sns: Sns
  /** Milliseconds since 1970. */
  readonly now: number
  /** For a sample that was pasted: what it says is read without a proof. */
  readonly isUnproved?: boolean
}

export async function judge(hook: Hook, received: Received, judging: Judging): Promise<Judged> {
  const source = SOURCES[hook.source]
  const isProved = judging.isUnproved !== true
  // Of SNS the proof is within the body, so that is read first; all others are proved before anything is read of them.
  if (isProved && hook.source !== 'cloudwatch-sns') {
    const refusal = await proof(hook, received, judging)
    if (refusal !== null) return { ...refusal, reading: reading({}), body: undefined }
  }
  const encoding = headersOf(received)('content-encoding')
  if (encoding !== '' && encoding !== 'identity') return malformed('the body is compressed: send it as it is')
  let body: unknown
  try {
    body = parseJson(received.body)
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return malformed(error.details[0]?.message ?? error.message)
  }
  if (isProved && hook.source === 'cloudwatch-sns') {
    const refusal = await judging.sns.verify(body, hook.topicArn ?? '')
    if (refusal !== null) return { ...refusal, reading: reading({}), body: undefined }
  }

  const read = bounded(source.adapter(hook)(body, headersOf(received)), judging.now)
  const stale = isProved ? staleOf(read.sentAt, source.windowMs, judging.now) : null
  if (stale !== null) return { verdict: 'stale', reason: stale, reading: reading({}), body }
  if (read.alerts.length === 0 && read.note === null) return { verdict: 'malformed', reason: read.problems.join('; '), reading: read, body }
  const externalId = read.externalId ?? (hook.auth === 'signature' ? digestOf(received.body) : null)
  const reason = [...(read.note === null ? [] : [read.note]), ...read.problems].join('; ')
  return { verdict: 'accepted', reason, reading: { ...read, externalId }, body }
}

async function proof(hook: Hook, received: Received, { secrets, now }: Judging): Promise<Refusal> {
  const source = SOURCES[hook.source]
  const known = await secrets.readAll(hook.secrets)
  if (hook.auth === 'path') return secretInPath(received, known)
  if (hook.auth === 'header') return secretInHeader(received, hook.header ?? source.secretHeader, known)
  if (source.verify === null) return { verdict: 'bad-signature', reason: 'this tool signs nothing' }
  return source.verify(received, hook, hook.header ?? source.signatureHeader, known, now)
}

function malformed(reason: string): Judged {
  return { verdict: 'malformed', reason, reading: reading({}), body: undefined }
}

/** Signed bytes without a name of their own are known by themselves: sent again, they are a replay. */
function digestOf(body: Buffer): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`
}

function bounded(read: Reading, now: number): Reading {
  const alerts = read.alerts.slice(0, ALERTS_PER_DELIVERY_MAX).map(alert => {
    if (alert.startsAt === null || alert.startsAt <= now + AHEAD_MAX_MS) return alert
    return { ...alert, startsAt: null }
  })
  const problems = [...read.problems.slice(0, 10)]
  if (read.problems.length > 10) problems.push(`${read.problems.length - 10} more of the kind`)
  const more = read.alerts.length - alerts.length
  if (more > 0) problems.push(`${more} more alerts in the body are left out: at most ${ALERTS_PER_DELIVERY_MAX} are read of one`)
  if (read.alerts.some((alert, i) => alerts[i] !== undefined && alerts[i] !== alert))
    problems.push('a start that lies ahead is not taken: its clock is wrong')
  return { ...read, alerts, problems, externalId: read.externalId === null ? null : read.externalId.slice(0, 200) }
}

function staleOf(sentAt: number | null, windowMs: number | null, now: number): string | null {
  if (sentAt === null || windowMs === null) return null
  if (sentAt > now + AHEAD_MAX_MS) return 'it says that it was sent in the future: a clock is wrong'
  if (sentAt >= now - windowMs) return null
  return `it was sent ${Math.round((now - sentAt) / 60_000)} min ago, and the tool tries for ${windowMs / 3_600_000} h at the most: a replay`
}

export function headersOf({ headers }: Received): Headers {
  return name => headers[name]?.[0] ?? ''
}
