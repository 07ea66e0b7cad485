/**
 * The limit of this server's own API: the built-in flag `api-requests`, evaluated like any other and kept by buckets in
 * this process. It can be set to anything and still locks no operator out: admin keys keep a floor, and kills, lifts and
 * holds have a budget of their own that the flag does not touch.
 *
 * Limited are admin and hook keys, and whoever has no valid key. Server and client keys are not: they evaluate, poll and
 * stream, and a limit there would be an outage of everything that hangs on the flags. Nor are health, metrics and documentation.
 */
import { isIPv6 } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ROLES, type Role } from '../../schemas/accesskey.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { read } from '../../sdk/evaluator/attribute.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { type Rate, rateOf } from '../../sdk/evaluator/rate.ts'
import type { Access } from '../access/policy.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import type { Rulesets } from '../services.ts'
import { openTokenBucket, type TokenBucket } from '../stream/tokenbucket.ts'
import { API_LIMIT, BUILT_IN_LOG } from './builtin.ts'

/** What an admin key may always ask, whatever the flag says: enough to mend the flag by hand. */
export const FLOOR_PER_SECOND = 5
export const FLOOR_BURST = 20
/** Kills, lifts and holds of one key, which take nothing from what it may ask otherwise. Beyond it they count as requests. */
export const RESERVED_PER_SECOND = 20
export const RESERVED_BURST = 200
/** Buckets kept; then the one that was asked least recently goes, and would begin full. */
const BUCKETS_MAX = 20_000

export interface ApiLimit {
  /** Before a request is answered: `access` is null for who has no valid key. Error: `TOO_MANY_REQUESTS`, with the headers set. */
  check(request: FastifyRequest, reply: FastifyReply, access: Access | null): void
}

export interface ApiLimitOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  readonly rulesets: Pick<Rulesets, 'current'>
  readonly config: Pick<Config, 'apiLimit'>
}

export function openApiLimit({ clock, rulesets, config }: ApiLimitOptions): ApiLimit {
  const buckets = new Map<string, TokenBucket>()

  /** The bucket of a name, at the rate it has now. */
  function bucketOf(name: string, perSecond: number, depth: number): TokenBucket {
    let bucket = buckets.get(name)
    if (bucket === undefined) {
      bucket = openTokenBucket(clock, perSecond, depth)
      if (buckets.size >= BUCKETS_MAX) for (const oldest of buckets.keys()) if (buckets.delete(oldest)) break
    } else {
      bucket.change(perSecond, depth)
      buckets.delete(name)
    }
    buckets.set(name, bucket)
    return bucket
  }

  if (config.apiLimit === 'off') return { check: () => undefined }
  return {
    check(request, reply, access) {
      if (access !== null && (access.kind === 'server' || access.kind === 'client')) return
      if (access !== null && isReserved(request) && bucketOf(`reserved ${access.id}`, RESERVED_PER_SECOND, RESERVED_BURST).take()) return

      const context = contextOf(request, access)
      const { value, variation, reason } = evaluate(rulesets.current(BUILT_IN_LOG), API_LIMIT, context)
      // Switched off, or broken: better no limit than one that nobody set.
      if (reason === 'KILLED' || reason === 'OFF' || reason === 'ERROR') return
      const rate = rateOf(value)
      if (rate === null || rate.isUnlimited) return
      const key = rate.keyBy.map(attribute => read(attribute, context) ?? '')
      const bucket = bucketOf(JSON.stringify([variation, key]), rate.ratePerMs * 1_000, rate.rate === 0 ? 0 : rate.depth)
      const isAdmitted = bucket.take(0, rate.cost)
      if (rate.isShadow) return
      addHeaders(reply, variation ?? '', rate, bucket)
      if (isAdmitted) return
      if (access?.kind === 'admin' && bucketOf(`floor ${access.id}`, FLOOR_PER_SECOND, FLOOR_BURST).take()) return
      throw refusal(reply, access, rate, bucket)
    },
  }
}

/** What somebody does to end an incident. */
function isReserved({ method, routeOptions }: FastifyRequest): boolean {
  return method !== 'GET' && /\/(?:kills|limits)(?:\/:id)?$/.test(routeOptions.url ?? '')
}

/** What rules can go by. The address is that of the connection: a header that anyone can write says nothing. */
function contextOf(request: FastifyRequest, access: Access | null) {
  const network = networkOf(request.ip)
  return {
    targetingKey: access?.id ?? network,
    ...(access === null ? {} : { key: { id: access.id, kind: access.kind, name: access.name, role: highestRole(access) } }),
    ip: request.ip.replace(/^::ffff:(?=\d+\.)/, ''),
    network,
    method: request.method,
    route: request.routeOptions.url ?? '',
    class: isReserved(request) ? 'kill' : request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write',
  }
}

function highestRole(access: Access): Role | null {
  return ROLES.findLast(role => access.grants.some(grant => grant.role === role)) ?? null
}

/** The address, or of an IPv6 address the network of 64 bits that one customer has. */
export function networkOf(ip: string): string {
  const plain = ip.replace(/^::ffff:(?=\d+\.)/, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = (plain.split('%')[0] ?? '').split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length)
  const groups = [...front, ...Array<string>(missing).fill('0'), ...back]
  return `${groups
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')}::/64`
}

/** As the IETF draft on RateLimit headers has them, the rate by the second. */
function addHeaders(reply: FastifyReply, policy: string, rate: Rate, bucket: TokenBucket): void {
  const perSecond = rate.perMs / 1_000
  reply
    .header('ratelimit-policy', `"${policy}";q=${Math.floor(rate.rate)};w=${perSecond}`)
    .header('ratelimit', `"${policy}";r=${Math.floor(bucket.tokens() / rate.cost)};t=${waitS(rate, bucket)}`)
}

/** Seconds until one more is admitted, at least 1; a day for a cut. */
function waitS(rate: Rate, bucket: TokenBucket): number {
  if (rate.rate === 0) return 86_400
  return Math.max(1, Math.ceil((rate.cost - bucket.tokens()) / (rate.ratePerMs * 1_000)))
}

function refusal(reply: FastifyReply, access: Access | null, rate: Rate, bucket: TokenBucket): SluiceError {
  // An admin key is admitted again by its floor, which is sooner than a rate that is nearly nothing.
  const seconds = access?.kind === 'admin' ? 1 : waitS(rate, bucket)
  reply.header('retry-after', seconds)
  const who = access === null ? 'from this address without a valid key' : `by key "${access.name}"`
  return new SluiceError('TOO_MANY_REQUESTS', `More was asked ${who} than is taken. Come back in ${seconds} s.`)
}
