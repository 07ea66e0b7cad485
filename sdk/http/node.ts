/** Limits and reports around a listener of `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { guard, type LimitOptions } from './guard.ts'
import { reporter, type ReportOptions } from './report.ts'
import { answer } from './response.ts'

export { contextOf, type HttpRequest } from './context.ts'
export type { LimitClient, LimitOptions } from './guard.ts'
export type { ReportClient, ReportOptions } from './report.ts'

/** As in `createServer(rateLimit({ flags, flag: 'api-requests' }, listener))`. Upgrades, as to websockets, do not pass it. */
export function rateLimit<Request extends IncomingMessage, Response extends ServerResponse>(
  options: LimitOptions<Request>,
  listener: (request: Request, response: Response) => unknown,
): (request: Request, response: Response) => void {
  const check = guard(options)
  return (request, response) => {
    if (answer(response, check(request))) listener(request, response)
  }
}

/** As in `createServer(reportOutcomes({ flags, report: 'new-ledger' }, listener))`. */
export function reportOutcomes<Request extends IncomingMessage, Response extends ServerResponse>(
  options: ReportOptions<Request>,
  listener: (request: Request, response: Response) => unknown,
): (request: Request, response: Response) => void {
  const begin = reporter(options)
  return (request, response) => {
    begin(request, response)
    listener(request, response)
  }
}
