/** What a middleware does with a request: asks the limit, and says what to answer. Knows no framework. */
import { contain, isThenable, messageOf } from '../failure.ts'
import { safeLogger } from '../options.ts'
import type { Context, Limited, Logger, Sluice } from '../types.ts'
import { contextOf, type HttpRequest } from './context.ts'
import { problemOf } from './problem.ts'

/** What a middleware needs of a client. */
export type LimitClient = Pick<Sluice, 'limit' | 'acquire'>

/** What a request is limited by. */
export interface LimitOptions<Request> {
  /** The client, as `connect` gave it. */
  readonly flags: LimitClient
  /** The key of a `rate-limit` flag. */
  readonly flag: string
  /** Who is asking; null for a request that is not limited. Must not be async. Default: `contextOf`. */
  readonly context?: (request: Request) => Context | null
  /** What the request takes. Default: what the rate says, or 1. */
  readonly cost?: number | ((request: Request) => number)
  /** Also hold it to the rate's `concurrency`, from here to the end of the answer. Default: false. */
  readonly concurrency?: boolean
  /** `X-RateLimit-Limit`, `-Remaining` and `-Reset` (in seconds) as well. Default: false. */
  readonly legacyHeaders?: boolean
  /** Told of each request that is denied, and of each that a limit in shadow mode would have denied (`SHADOW`). */
  readonly onLimited?: (request: Request, limited: Limited) => void
  /** Where it is said, once for each, that `context`, `cost` or `onLimited` failed. Default: the log of Fastify, else process warnings. */
  readonly logger?: Logger
}

/** What to do with a request that was looked at. */
export interface Verdict {
  readonly headers: Readonly<Record<string, string>>
  /** The answer, when it is denied. */
  readonly problem: { readonly status: number; readonly body: string } | null
  /** To be called at the end of the answer. */
  readonly release: (() => void) | null
}

/** Null: nothing to say of it, it goes on. */
export type Guard<Request> = (request: Request) => Verdict | null

const PROBLEM_HEADERS = { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' }

/** Nothing that fails in here takes a request down: it then goes on without a limit, and the log is told once. */
export function guard<Request extends HttpRequest>(options: LimitOptions<Request>): Guard<Request> {
  const { flags, flag, context = contextOf, cost, concurrency = false, legacyHeaders = false, onLimited } = options
  const logger = safeLogger(options.logger)
  const told = new Set<string>()
  const tell = (what: string, follows: string, error: unknown): void => {
    if (told.has(what)) return
    told.add(what)
    logger.error(`The limit "${flag}": ${what} failed (${messageOf(error)}); ${follows}. Said once`)
  }

  const costOf = (request: Request): number | undefined => {
    if (typeof cost !== 'function') return cost
    try {
      return atOnce(cost(request))
    } catch (error) {
      tell('cost', "such requests take the rate's own cost", error)
      return undefined
    }
  }

  const verdictOf = (request: Request, limited: Limited, release: (() => void) | null): Verdict => {
    if (onLimited !== undefined && (!limited.allowed || limited.reason === 'SHADOW'))
      contain(
        () => onLimited(request, limited),
        error => tell('onLimited', 'the answer is the same', error),
      )
    const headers = legacyHeaders ? { ...limited.headers, ...legacyOf(limited) } : limited.headers
    if (limited.allowed) return { headers, problem: null, release }
    return { headers: { ...headers, ...PROBLEM_HEADERS }, problem: problemOf(flag, limited), release }
  }

  return request => {
    if (isPreflight(request)) return null
    let release: (() => void) | null = null
    try {
      const asking = atOnce(context(request))
      if (asking === null) return null
      if (typeof asking !== 'object') throw new TypeError(`it answered ${typeof asking}, expected a context or null`)
      if (concurrency) {
        const permit = flags.acquire(flag, asking)
        if (!permit.allowed) return verdictOf(request, permit, null)
        release = () => permit.release()
      }
      const limited = flags.limit(flag, asking, costOf(request))
      if (limited.allowed) return verdictOf(request, limited, release)
      release?.()
      return verdictOf(request, limited, null)
    } catch (error) {
      release?.()
      tell('context', 'such requests are not limited', error)
      return null
    }
  }
}

/** Taken for a context, a promise would be one counter for everybody; and one that is rejected would end the process. */
export function atOnce<T>(value: T): T {
  if (!isThenable(value)) return value
  Promise.resolve(value).catch(() => undefined)
  throw new TypeError('it answered a promise, expected the value itself')
}

/** A browser's question before the request proper, without a credential. Denied, it looks like a fault of the page's. */
export function isPreflight({ method, headers }: HttpRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** Names that are older than the draft, where there is a limit to tell. */
function legacyOf({ headers, limit, remaining, retryAfterMs }: Limited): Record<string, string> {
  if (!('RateLimit' in headers)) return {}
  return {
    'X-RateLimit-Limit': String(limit),
    'X-RateLimit-Remaining': String(Math.max(0, Math.floor(remaining))),
    ...(Number.isFinite(retryAfterMs) ? { 'X-RateLimit-Reset': String(Math.ceil(retryAfterMs / 1_000)) } : {}),
  }
}

/** A request that passes two limits tells of both: the two fields are lists. */
export function joined(name: string, value: string, before: unknown): string {
  const isList = name === 'RateLimit' || name === 'RateLimit-Policy'
  return isList && typeof before === 'string' && before !== '' ? `${before}, ${value}` : value
}
