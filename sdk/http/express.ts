/** Limits and reports as middleware of Express, Connect, and whatever else calls `(request, response, next)`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { guard, type LimitOptions } from './guard.ts'
import { reporter, type ReportOptions } from './report.ts'
import { answer } from './response.ts'

export { contextOf, type HttpRequest } from './context.ts'
export type { LimitClient, LimitOptions } from './guard.ts'
export type { ReportClient, ReportOptions } from './report.ts'

/** As in `app.use(rateLimit({ flags, flag: 'api-requests' }))`, behind the middleware that says who is asking, and behind that of CORS. */
export function rateLimit<Request extends IncomingMessage>(
  options: LimitOptions<Request>,
): (request: Request, response: ServerResponse, next: () => void) => void {
  const check = guard(options)
  return (request, response, next) => {
    if (answer(response, check(request))) next()
  }
}

/** As in `app.use(reportOutcomes({ flags, report: 'new-ledger' }))`, before everything whose time counts. */
export function reportOutcomes<Request extends IncomingMessage>(
  options: ReportOptions<Request>,
): (request: Request, response: ServerResponse, next: () => void) => void {
  const begin = reporter(options)
  return (request, response, next) => {
    begin(request, response)
    next()
  }
}
