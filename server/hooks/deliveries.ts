/**
 * Every request to a way in: found, judged, stored with what came of it, and answered. What is refused changes nothing and can be
 * seen; how much of it is kept is bounded, so that whoever is refused cannot fill the disk.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Alert } from '../../schemas/alert.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Hook, HookDelivery, HookVerdict } from '../../schemas/hook.ts'
import { type Clock, moment } from '../clock.ts'
import type { ChangeLog } from '../log/types.ts'
import { SERVER_LOG } from '../log/types.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { AlertStorage, ArrivedAlert, KnownAlert, Placed } from '../storage/alerts.ts'
import type { DeliveryRow } from '../storage/tables.ts'
import { openTokenBucket, type TokenBucket } from '../stream/tokenbucket.ts'
import { type AlertsHandle, sortedId } from './alerts.ts'
import { edgeOf } from './edge.ts'
import { type Judged, judge } from './judge.ts'
import type { ReadAlert } from './reading.ts'
import type { Received } from './signatures.ts'
import { TO_CONFIRM } from './sources/cloudwatch.ts'
import { type Fetch, openSns } from './sns.ts'

/** Genuine deliveries of one hook: three thousand a minute, and a storm at once. */
export const DELIVERIES_PER_SECOND = 50
export const DELIVERIES_BURST = 1_000
/** Refused ones kept, of one hook and verdict. */
const REFUSED_PER_SECOND = 0.2
const REFUSED_BURST = 20
/** Deliveries kept per hook: those that were taken, and those that were refused. */
export const TAKEN_KEPT = 100
export const REFUSED_KEPT = 100
/** Those above are allowed for so many more, so that not every delivery cleans up. */
const TRIM_EVERY = 20
const PAYLOAD_TAKEN_MAX = 64 * 1024
const PAYLOAD_REFUSED_MAX = 2 * 1024
const REASON_LENGTH_MAX = 1_000
/** What of the headers is kept: what says what it is. None of these proves who sent it. */
const HEADERS_KEPT = [
  'content-type',
  'user-agent',
  'sentry-hook-resource',
  'sentry-hook-timestamp',
  'webhook-id',
  'webhook-timestamp',
  'x-amz-sns-message-type',
  'x-amz-sns-message-id',
  'x-honeycomb-webhook-delivery-id',
  'x-webhook-id',
] as const
const HEADER_LENGTH_MAX = 200

export interface Delivered {
  readonly verdict: Extract<HookVerdict, 'accepted' | 'duplicate' | 'late'>
  readonly reason: string
  /** The alerts that it brought, the known ones included. */
  readonly alerts: number
  readonly new: number
}

export interface Deliveries {
  /**
   * Answers once what it brought is stored.
   * Errors: `HOOK_NOT_FOUND` (also for a disabled one), `HOOK_REFUSED`, `INVALID_REQUEST` (genuine, and nothing that can be read),
   * `TOO_MANY_REQUESTS`, `NOT_READY`, `STORAGE_FULL`, `STORAGE_UNAVAILABLE`.
   */
  receive(path: string, received: Received): Promise<Delivered>
  /** One that is refused before its body is there. */
  refuse(path: string, received: Received, reason: string): Promise<void>
  /** Judge a sample without storing anything. */
  tryOut(hook: Hook, received: Received, isUnproved: boolean): Promise<Judged>
  /** Newest first; of those without a hook when it is null. */
  recent(log: string, hook: string | null, limit: number): Promise<readonly HookDelivery[]>
  /** Since the start, by log, hook and verdict; the log is empty for those without a hook. */
  counts(): readonly { readonly log: string; readonly hook: string; readonly verdict: HookVerdict; readonly count: number }[]
  close(): void
}

export interface DeliveriesOptions {
  readonly log: ChangeLog
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'warn' | 'info'>
  readonly secrets: Secrets
  readonly alerts: Pick<AlertsHandle, 'take'>
  readonly storage: AlertStorage
  readonly fetch: Fetch
}

interface Place {
  readonly log: string
  readonly key: string
}

/** No hook has the path. */
const NOWHERE: Place = { log: '', key: '' }

export function openDeliveries({ log, clock, logger, secrets, alerts, storage, fetch }: DeliveriesOptions): Deliveries {
  const sns = openSns({ clock, fetch })
  const paths = new Map<string, Place>()
  for (const name of log.logs())
    for (const hook of log.state(name).documents.hook.values()) paths.set(hook.path, { log: name, key: hook.key })
  const unsubscribe = log.subscribe(({ log: name, change }) => {
    for (const edit of change.edits) {
      if (edit.type !== 'hook') continue
      const [before, after] = [edit.before, edit.after] as unknown as [Hook | null, Hook | null]
      if (before !== null) paths.delete(before.path)
      if (after !== null) paths.set(after.path, { log: name, key: after.key })
      if (after === null) buckets.delete(nameOf({ log: name, key: edit.key }))
    }
  })

  const counts = new Map<string, { log: string; hook: string; verdict: HookVerdict; count: number }>()
  const buckets = new Map<string, TokenBucket>()
  const refusedBuckets = new Map<string, { bucket: TokenBucket; skipped: number }>()
  const sinceTrim = new Map<string, number>()

  function find(path: string): { place: Place; hook: Hook | null } {
    const place = paths.get(path)
    // An environment that was deleted takes nothing any more.
    if (place === undefined || !log.state(SERVER_LOG).documents.environment.has(place.log)) return { place: NOWHERE, hook: null }
    return { place, hook: log.state(place.log).documents.hook.get(place.key) ?? null }
  }

  function count(place: Place, verdict: HookVerdict): void {
    const name = `${nameOf(place)} ${verdict}`
    const entry = counts.get(name) ?? { log: place.log, hook: place.key, verdict, count: 0 }
    entry.count++
    counts.set(name, entry)
  }

  function rowOf(place: Place, received: Received, verdict: HookVerdict, reason: string, isTaken: boolean): DeliveryRow {
    const now = clock.now()
    return {
      id: sortedId('d', now),
      log: place.log,
      hook: place.key,
      taken: isTaken ? 1 : 0,
      at: now,
      verdict,
      reason: reason.slice(0, REASON_LENGTH_MAX),
      bytes: received.body.length,
      remote: received.remote,
      headers: JSON.stringify(keptHeaders(received)),
      payload: payloadOf(received.body, isTaken ? PAYLOAD_TAKEN_MAX : PAYLOAD_REFUSED_MAX),
      alerts: '[]',
      skipped: 0,
    }
  }

  /** Counted always, kept while there is room, and never a reason to fail. */
  async function refused(place: Place, received: Received, verdict: HookVerdict, reason: string): Promise<void> {
    count(place, verdict)
    const name = `${nameOf(place)} ${verdict}`
    const held = refusedBuckets.get(name) ?? { bucket: openTokenBucket(clock, REFUSED_PER_SECOND, REFUSED_BURST), skipped: 0 }
    refusedBuckets.set(name, held)
    if (!held.bucket.take()) return void held.skipped++
    const { skipped } = held
    held.skipped = 0
    try {
      await storage.addDelivery({ ...rowOf(place, received, verdict, reason, false), skipped })
      await trimmed(place, 0)
    } catch (err) {
      held.skipped = skipped + 1
      logger.warn({ err, hook: place.key, verdict }, 'a refused delivery could not be kept for people to see; it is counted')
    }
  }

  async function trimmed(place: Place, taken: 0 | 1): Promise<void> {
    const name = `${nameOf(place)} ${taken}`
    const since = (sinceTrim.get(name) ?? 0) + 1
    sinceTrim.set(name, since % TRIM_EVERY)
    if (since === TRIM_EVERY) await storage.trimDeliveries(place.log, place.key, taken, taken === 1 ? TAKEN_KEPT : REFUSED_KEPT)
  }

  async function take(place: Place, hook: Hook, received: Received, judged: Judged): Promise<Delivered> {
    const now = clock.now()
    const { alerts: read, externalId } = judged.reading
    const mayAct = hook.auth !== 'path' || hook.mayAct
    const taken = alerts.take({
      alerts: read.map(alert => arrivedOf(alert, place, externalId, { mayAct, dryRun: hook.dryRun }, now)),
      place: (arrived, known) => placedOf(arrived, known, byKey(read, arrived)),
      delivery(results) {
        const verdict = verdictOf(results)
        const row = rowOf(place, received, verdict, judged.reason, true)
        return { ...row, alerts: JSON.stringify(results.map((result, i) => alertLine(read[i]!, result))) }
      },
    })
    taken.catch(() => count(place, 'not-stored'))
    const { placed, delivery } = await taken
    const verdict = delivery.verdict as Delivered['verdict']
    count(place, verdict)
    void trimmed(place, 1).catch((err: unknown) =>
      logger.warn({ err, hook: place.key }, 'old deliveries could not be let go; tried again later'),
    )
    return { verdict, reason: judged.reason, alerts: placed.length, new: placed.filter(each => each.outcome === 'new').length }
  }

  return {
    async receive(path, received) {
      const { place, hook } = find(path)
      if (hook === null) {
        // A path that is nearly right is nearly a secret: only its beginning is kept.
        await refused(NOWHERE, received, 'unknown-hook', `no hook has the path ${path.slice(0, 4)}… (${path.length} characters)`)
        throw notFound()
      }
      if (!hook.enabled) {
        await refused(place, received, 'disabled', 'the hook is disabled')
        throw notFound()
      }
      const judged = await judge(hook, received, { secrets, sns, now: clock.now() })
      if (judged.verdict === 'bad-signature' || judged.verdict === 'stale') {
        await refused(place, received, judged.verdict, judged.reason)
        throw new SluiceError(
          'HOOK_REFUSED',
          'The delivery does not prove that it is genuine and of now. The deliveries of the hook say why.',
          {
            details: [{ path: '', code: judged.verdict, message: judged.verdict === 'stale' ? 'is from another time' : 'is not proved' }],
          },
        )
      }
      const bucket = bucketOf(place)
      if (!bucket.take()) {
        await refused(place, received, 'over-limit', `more than ${DELIVERIES_PER_SECOND} a second for a while`)
        throw new SluiceError('TOO_MANY_REQUESTS', 'More is delivered by this hook than is taken. Send it again in 1 s.')
      }
      if (judged.verdict === 'malformed') {
        await refused(place, received, 'malformed', judged.reason)
        throw new SluiceError(
          'INVALID_REQUEST',
          `The delivery is genuine, and there is no alert in it: ${judged.reason.slice(0, REASON_LENGTH_MAX)}.`,
        )
      }
      if (hook.source === 'cloudwatch-sns' && judged.reading.note === TO_CONFIRM) {
        // The only thing that a delivery makes this server fetch. SNS sends it anew when that failed.
        const problem = await sns.confirm(judged.body)
        if (problem !== null) {
          await refused(place, received, 'not-stored', problem)
          throw new SluiceError('NOT_READY', `The subscription could not be confirmed: ${problem}. SNS tries again.`)
        }
        logger.info({ hook: hook.key, topic: hook.topicArn }, 'a subscription of SNS is confirmed')
        return take(place, hook, received, { ...judged, reason: 'the subscription is confirmed' })
      }
      return take(place, hook, received, judged)
    },
    async refuse(path, received, reason) {
      await refused(find(path).place, received, 'malformed', reason)
    },
    tryOut: (hook, received, isUnproved) => judge(hook, received, { secrets, sns, now: clock.now(), isUnproved }),
    recent: async (name, hook, limit) => (await storage.deliveries(name, hook ?? '', limit)).map(viewOf),
    counts: () => [...counts.values()],
    close: unsubscribe,
  }

  function bucketOf(place: Place): TokenBucket {
    const name = nameOf(place)
    const bucket = buckets.get(name) ?? openTokenBucket(clock, DELIVERIES_PER_SECOND, DELIVERIES_BURST)
    buckets.set(name, bucket)
    return bucket
  }
}

function notFound(): SluiceError {
  return new SluiceError(
    'HOOK_NOT_FOUND',
    'No hook takes deliveries at this path. Compare it with the one that "sluice hooks show" prints.',
  )
}

function nameOf({ log, key }: Place): string {
  return `${log} ${key}`
}

function arrivedOf(
  alert: ReadAlert,
  place: Place,
  externalId: string | null,
  may: { readonly mayAct: boolean; readonly dryRun: boolean },
  now: number,
): ArrivedAlert {
  return {
    id: sortedId('a', now),
    log: place.log,
    hook: place.key,
    dedupKey: alert.dedupKey,
    status: alert.status,
    startsAt: alert.startsAt,
    endsAt: alert.endsAt,
    externalId,
    mayAct: may.mayAct ? 1 : 0,
    dryRun: may.dryRun ? 1 : 0,
    receivedAt: now,
    seenAt: now,
  }
}

/** Those of one delivery are placed in their order, so that the first with the key and status is the one. */
function byKey(read: readonly ReadAlert[], { dedupKey, status, startsAt }: ArrivedAlert): ReadAlert {
  return read.find(alert => alert.dedupKey === dedupKey && alert.status === status && alert.startsAt === startsAt)!
}

function placedOf(arrived: ArrivedAlert, known: readonly KnownAlert[], read: ReadAlert): Placed {
  const { outcome, startsAt, seen, ended } = edgeOf(arrived, known)
  if (outcome !== 'new') return { outcome, row: null, seen, ended }
  const alert: Alert = {
    id: arrived.id,
    hook: arrived.hook,
    externalId: arrived.externalId,
    dedupKey: read.dedupKey,
    status: read.status,
    severity: read.severity,
    title: read.title,
    description: read.description,
    labels: read.labels,
    annotations: read.annotations,
    startsAt: moment(startsAt),
    endsAt: read.endsAt === null ? null : moment(read.endsAt),
    receivedAt: moment(arrived.receivedAt),
    links: [...read.links],
  }
  return {
    outcome,
    row: { ...arrived, startsAt, standing: read.status === 'firing' ? 1 : 0, told: 0, body: JSON.stringify(alert) },
    seen,
    ended,
  }
}

function verdictOf(placed: readonly Placed[]): Delivered['verdict'] {
  if (placed.length === 0 || placed.some(each => each.outcome === 'new')) return 'accepted'
  return placed.some(each => each.outcome === 'late') ? 'late' : 'duplicate'
}

function alertLine(read: ReadAlert, { outcome, row }: Placed): HookDelivery['alerts'][number] {
  return { id: row?.id ?? null, dedupKey: read.dedupKey, status: read.status, title: read.title, outcome }
}

function keptHeaders({ headers }: Received): Record<string, string> {
  return Object.fromEntries(
    HEADERS_KEPT.flatMap(name => (headers[name]?.[0] === undefined ? [] : [[name, headers[name][0].slice(0, HEADER_LENGTH_MAX)]])),
  )
}

/** The beginning of the body as text. What confirms a subscription of SNS is a secret, and is left out. */
function payloadOf(body: Buffer, most: number): string {
  const text = body.subarray(0, most).toString('utf8').replaceAll('\0', '\ufffd')
  const whole = text.replace(/("(?:Token|SubscribeURL|UnsubscribeURL)"\s*:\s*")[^"]*/g, '$1…')
  return body.length > most ? `${whole}…` : whole
}

function viewOf(row: DeliveryRow): HookDelivery {
  return {
    id: row.id,
    hook: row.hook === '' ? null : row.hook,
    at: moment(row.at),
    verdict: row.verdict as HookVerdict,
    reason: row.reason,
    bytes: row.bytes,
    remote: row.remote,
    headers: JSON.parse(row.headers) as Record<string, string>,
    payload: row.payload,
    alerts: JSON.parse(row.alerts) as HookDelivery['alerts'],
    skipped: row.skipped,
  }
}
