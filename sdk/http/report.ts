/** Reports how requests ended to the rollouts of flags, by their status and time. Knows no framework beyond the response of `node:http`. */
import type { ServerResponse } from 'node:http'
import { messageOf } from '../failure.ts'
import { safeLogger } from '../options.ts'
import type { Context, Logger, Sluice } from '../types.ts'
import { contextOf, type HttpRequest } from './context.ts'
import { atOnce, isPreflight } from './guard.ts'
import { whenDone } from './response.ts'

/** What of a client is needed. */
export type ReportClient = Pick<Sluice, 'report'>

/** Which requests are reported, and how. */
export interface ReportOptions<Request> {
  /** The client, as `connect` gave it. */
  readonly flags: ReportClient
  /** The flags whose rollouts the requests are evidence for, or a function that names them for a request; null for none. */
  readonly report: string | readonly string[] | ((request: Request) => string | readonly string[] | null)
  /** Who asked, looked at when the answer is done; null for a request that is not reported. Must not be async. Default: `contextOf`. */
  readonly context?: (request: Request) => Context | null
  /** From so many milliseconds on an answer is slow. Default: none is. */
  readonly slowMs?: number
  /** Where it is said, once for each, that `report` or `context` failed. Default: the log of Fastify, else process warnings. */
  readonly logger?: Logger
}

/** Call it at the beginning of each request. */
export type Reporter<Request> = (request: Request, response: ServerResponse) => void

/**
 * An answer of 500 and above is a failure. One that its client did not wait for is none, for that alone says nothing, but may be slow.
 * Nothing that fails in here takes a request down.
 */
export function reporter<Request extends HttpRequest>(options: ReportOptions<Request>): Reporter<Request> {
  const { flags, report, context = contextOf, slowMs } = options
  const logger = safeLogger(options.logger)
  const told = new Set<string>()
  const guarded = <T>(what: string, call: () => T): T | null => {
    try {
      return atOnce(call())
    } catch (error) {
      if (!told.has(what))
        logger.error(`Reporting outcomes: ${what} failed (${messageOf(error)}); such requests are not reported. Said once`)
      told.add(what)
      return null
    }
  }

  const ended = (request: Request, response: ServerResponse, ms: number): void => {
    const keys = typeof report === 'function' ? guarded('report', () => report(request)) : report
    if (keys === null || keys.length === 0) return
    const asking = guarded('context', () => context(request))
    if (asking === null) return
    const isFailure = response.writableFinished && response.statusCode >= 500
    const outcome = { ok: !isFailure, ms, slow: slowMs !== undefined && ms >= slowMs }
    for (const key of typeof keys === 'string' ? [keys] : keys) flags.report(key, asking, outcome)
  }

  return (request, response) => {
    if (isPreflight(request)) return
    const startedAt = performance.now()
    let isDone = false
    whenDone(response, () => {
      if (isDone) return
      isDone = true
      ended(request, response, performance.now() - startedAt)
    })
  }
}
