/** A limit as middleware of Express, Connect, and whatever else calls `(request, response, next)`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { guard, type LimitOptions } from './guard.ts'
import { answer } from './response.ts'

export { contextOf, type HttpRequest } from './context.ts'
export type { LimitClient, LimitOptions } from './guard.ts'

/** As in `app.use(rateLimit({ flags, flag: 'api-requests' }))`, behind the middleware that says who is asking, and behind that of CORS. */
export function rateLimit<Request extends IncomingMessage>(
  options: LimitOptions<Request>,
): (request: Request, response: ServerResponse, next: () => void) => void {
  const check = guard(options)
  return (request, response, next) => {
    if (answer(response, check(request))) next()
  }
}
