/**
 * The only code that makes a request to the outside, for whatever was configured by people: it is the address that is connected to
 * that is looked at, not the name, so that a name that answers differently the second time gets nowhere. No redirects, no
 * proxies, bounded in time and size. What went wrong is told in our words: those of the system may say what is inside.
 */
import { isIP } from 'node:net'
import { buildConnector, Client } from 'undici'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Clock } from '../clock.ts'
import { VERSION } from '../version.ts'
import { type Allow, allowOf } from './allow.ts'
import { isPublic } from './ranges.ts'
import { type Resolve, systemResolve } from './resolve.ts'

/** For everything: the name, the connection, the answer. */
export const TIMEOUT_MS = 15_000
/** For one of several addresses, so that the next has its turn. In real time. */
const CONNECT_TIMEOUT_MS = 5_000
export const ANSWER_BYTES_MAX = 64 * 1024
const ADDRESSES_TRIED = 4
export const URL_LENGTH_MAX = 2_000

export interface Outgoing {
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PATCH'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Incoming {
  /** As it came: 3xx too, which is not followed. */
  readonly status: number
  /** Names in small letters; of a header that came several times, the first. */
  readonly headers: Readonly<Record<string, string>>
  /** At most `ANSWER_BYTES_MAX` of it. */
  readonly body: Buffer
  /** There was more. */
  readonly isCut: boolean
  /** It came from the public internet, so what it says tells nobody what is inside. */
  readonly isPublic: boolean
}

/** `timeout`, `unresolved`, `unreachable`, `tls`, `broken`. */
export type EgressFailure = keyof typeof FAILURES

const FAILURES = {
  timeout: `gave no whole answer within ${TIMEOUT_MS / 1_000} s`,
  unresolved: 'has a name that no address is known for',
  unreachable: 'cannot be connected to',
  tls: 'has no certificate that is valid for it, or does not speak TLS',
  broken: 'broke off, or did not answer with HTTP',
} as const

export interface Egress {
  /** Whether a URL may be sent to, as far as it can be said now; a name that has no address now is let pass. Error: `EGRESS_REFUSED`. */
  check(url: string): Promise<void>
  /** Whether configuration names the place of a URL, by its address or its host and port. */
  isListed(url: string): boolean
  /** Errors: `EGRESS_REFUSED`; `EGRESS_FAILED`, whose one detail has an `EgressFailure` as its code. */
  send(request: Outgoing): Promise<Incoming>
  /** Ends what is under way, and lets nothing begin. */
  close(): void
}

export function openEgress(options: {
  readonly clock: Clock
  readonly allow: readonly string[]
  /** The system's, unless given. */
  readonly resolve?: Resolve
}): Egress {
  const { clock } = options
  const allow = allowOf(options.allow)
  const resolve = options.resolve ?? systemResolve()
  const running = new Set<() => void>()
  let isClosed = false

  /** The addresses of a URL that may be connected to. */
  const addressesOf = async (url: URL): Promise<readonly string[]> => {
    const host = bareHost(url)
    const all = isIP(host) === 0 ? await resolved(resolve, host) : [host]
    const good = all.filter(address => isAllowed(allow, url, address))
    if (good.length === 0) throw refused(all.some(isPublic) ? NOT_HTTPS : NOT_PUBLIC)
    return good.slice(0, ADDRESSES_TRIED)
  }

  return {
    async check(text) {
      const url = urlOf(text)
      try {
        await addressesOf(url)
      } catch (error) {
        if (error instanceof SluiceError && error.code === 'EGRESS_FAILED') return
        throw error
      }
    },
    isListed(text) {
      const url = urlOf(text)
      return allow.names(url) || allow.address(url, bareHost(url))
    },
    async send({ url: text, method, headers = {}, body }) {
      const url = urlOf(text)
      if (isClosed) throw failed('broken')
      let address = ''
      const client = new Client(url.origin, {
        // The total time is ours to keep.
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: connecting(
          () => addressesOf(url),
          connected => (address = connected),
        ),
      })
      let stop = (_error: Error): void => {}
      const stopped = new Promise<never>((_resolve, reject) => (stop = reject))
      const timer = clock.after(TIMEOUT_MS, () => stop(failed('timeout')))
      const close = (): void => stop(failed('broken'))
      running.add(close)
      try {
        const answer = await Promise.race([
          stopped,
          (async () => {
            const response = await client.request({
              path: url.pathname + url.search,
              method,
              headers: { 'user-agent': `Sluice/${VERSION}`, ...headers },
              ...(body === undefined ? {} : { body }),
              reset: true,
            })
            return { status: response.statusCode, headers: firstOf(response.headers), ...(await bodyOf(response.body)) }
          })(),
        ])
        return { ...answer, isPublic: isPublic(address) }
      } catch (error) {
        throw error instanceof SluiceError ? error : failed(failureOf(error), error)
      } finally {
        timer.cancel()
        running.delete(close)
        void client.destroy().catch(() => {})
      }
    },
    close() {
      isClosed = true
      for (const close of running) close()
    },
  }
}

const NOT_PUBLIC =
  'has an address that is not public. If it is meant to be reached, let whoever runs the server add it to SLUICE_EGRESS_ALLOW'
const NOT_HTTPS = 'is without TLS. Use https, or let whoever runs the server add it to SLUICE_EGRESS_ALLOW'

function isAllowed(allow: Allow, url: URL, address: string): boolean {
  return allow.address(url, address) || (url.protocol === 'https:' && isPublic(address))
}

/** Errors: `EGRESS_REFUSED`. The parser has made one form of every way to write an address: `0x7f.1` is `127.0.0.1`. */
function urlOf(text: string): URL {
  if (text.length > URL_LENGTH_MAX || !URL.canParse(text)) throw refused('is not a URL as in https://example.com/path')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('is neither https nor http')
  if (url.username !== '' || url.password !== '') throw refused('holds a name or password. Leave them out')
  if (url.port === '0') throw refused('has the port 0')
  return url
}

function bareHost({ hostname }: URL): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

async function resolved(resolve: Resolve, host: string): Promise<readonly string[]> {
  let addresses: readonly string[]
  try {
    addresses = await resolve(host)
  } catch (error) {
    throw failed('unresolved', error)
  }
  if (addresses.length === 0) throw failed('unresolved')
  return addresses
}

/**
 * Connects to one of the addresses that may be, and to none that the name has by then: what is handed to the socket is the address.
 * The certificate is still held against the name.
 */
function connecting(addresses: () => Promise<readonly string[]>, connected: (address: string) => void): buildConnector.connector {
  const connect = buildConnector({ timeout: CONNECT_TIMEOUT_MS, maxCachedSessions: 0, allowH2: false })
  return (target, callback) => {
    addresses().then(
      all => {
        const next = (i: number): void => {
          const address = all[i]
          if (address === undefined) return
          connect({ ...target, hostname: address }, (...result) => {
            const [error] = result
            if (error !== null && i + 1 < all.length) return next(i + 1)
            if (error === null) connected(address)
            callback(...result)
          })
        }
        next(0)
      },
      (error: unknown) => callback(error as Error, null),
    )
  }
}

async function bodyOf(body: AsyncIterable<Buffer>): Promise<Pick<Incoming, 'body' | 'isCut'>> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > ANSWER_BYTES_MAX) return { body: Buffer.concat(pieces).subarray(0, ANSWER_BYTES_MAX), isCut: true }
  }
  return { body: Buffer.concat(pieces), isCut: false }
}

function firstOf(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const first: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const text = Array.isArray(value) ? value[0] : value
    if (text !== undefined) first[name] = text
  }
  return first
}

function failureOf(error: unknown): EgressFailure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'timeout'
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'].includes(code)) return 'unreachable'
  return /CERT|TLS|SSL|SIGNATURE|VERIFY|EPROTO/.test(code) ? 'tls' : 'broken'
}

function refused(what: string): SluiceError {
  const detail: ErrorDetail = { path: 'url', code: 'refused', message: what }
  return new SluiceError('EGRESS_REFUSED', `The URL ${what}.`, { details: [detail] })
}

function failed(failure: EgressFailure, cause?: unknown): SluiceError {
  const detail: ErrorDetail = { path: 'url', code: failure, message: FAILURES[failure] }
  return new SluiceError('EGRESS_FAILED', `The place of the URL ${FAILURES[failure]}.`, { details: [detail], cause })
}
