/** Who is asking, as far as a request alone can tell. Who they are to the application, its own `context` adds. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Context } from '../types.ts'

/** What this looks at: requests of Fastify, Express, Connect and `node:http` have it. */
export interface HttpRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** With what a mounted router has taken off. */
  readonly originalUrl?: string | undefined
  readonly headers: IncomingHttpHeaders
  /** The framework's word, by its own setting of trusted proxies. */
  readonly ip?: string | undefined
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined
  readonly routeOptions?: { readonly url?: string | undefined } | undefined
}

/**
 * - `ip`: as Fastify (`trustProxy`) or Express (`trust proxy`) has it, else of the socket. `X-Forwarded-For` is never
 *   looked at here: anybody can write one.
 * - `targetingKey`: the `ip`, or for IPv6 its network of 64 bits, since one client has all of it.
 * - `method`, `path` without its query, and of Fastify `route`, as in `/accounts/:id`.
 * - `authScheme`: `basic`, `bearer` and so on, in lower case. Never the credential.
 */
export function contextOf(request: HttpRequest): Context {
  const ip = plain(request.ip ?? request.socket?.remoteAddress)
  const path = (request.originalUrl ?? request.url ?? '').split('?', 1)[0]!
  const route = request.routeOptions?.url
  const authScheme = schemeOf(request.headers.authorization)
  return {
    ...(ip === undefined ? {} : { targetingKey: networkOf(ip), ip }),
    ...(request.method === undefined ? {} : { method: request.method }),
    path,
    ...(route === undefined ? {} : { route }),
    ...(authScheme === undefined ? {} : { authScheme }),
  }
}

/** An IPv4 address that a socket for both kinds tells as IPv6; one with a zone. */
function plain(ip: string | undefined): string | undefined {
  return ip?.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').replace(/%.*$/, '')
}

function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const [head = '', tail] = ip.split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  const whole = [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...(tail === undefined || tail === '' ? [] : tail.split(':'))]
  return `${whole
    .slice(0, 4)
    .map(group => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

/** A header without a scheme is a credential as a whole, and none of it is taken. */
function schemeOf(authorization: string | undefined): string | undefined {
  return /^([A-Za-z][A-Za-z0-9-]{0,31}) +\S/.exec(authorization ?? '')?.[1]!.toLowerCase()
}
