/**
 * The one way to the server: requests over the public HTTP API with Node's own `fetch`. Turns whatever goes wrong into
 * a `Failure` that says what, where and what to do. The key is sent to the configured URL alone and never shown.
 */
import type { ErrorBody, ErrorDetail } from '../schemas/errors.ts'
import { EXIT, Failure, usage } from './failure.ts'

/** How long an answer may take, in ms; a long poll adds its own wait. */
const TIMEOUT_MS = 15_000

export interface Request {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly query?: Readonly<Record<string, string | number | boolean | null | undefined>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** A body that is JSON already, sent as it is. */
  readonly text?: string
  /** The version the write is based on. */
  readonly ifMatch?: number
  /** How long the server was asked to wait before it answers, in ms. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

export interface Client {
  readonly url: string
  /** Errors: `Failure` with the server's code (exit 1 or 3), `NOT_REACHABLE`, `BAD_ANSWER`. An abort by `signal` is thrown as it is. */
  call<T>(path: string, request?: Request): Promise<T>
}

/**
 * @param url the server, as in `http://127.0.0.1:7400`, with a path when it stands below one
 * @param key sent as `Authorization: Bearer`
 */
export function createClient(url: string, key: string): Client {
  return {
    url,
    async call<T>(path: string, request: Request = {}): Promise<T> {
      const response = await reach(url, path, key, request)
      const text = await read(response, url, request)
      if (response.status >= 300 && response.status < 400) {
        throw badAnswer(url, `it answers with a redirect to ${response.headers.get('location') ?? 'nowhere'}`)
      }
      const body = parse(text)
      if (response.ok) {
        if (body === undefined)
          throw badAnswer(url, `it answers ${response.status} with ${response.headers.get('content-type') ?? 'no content type'}`)
        return body as T
      }
      if (!isErrorBody(body)) throw badAnswer(url, `it answers ${response.status} without an error code`)
      throw new Failure(body.code, response.status >= 500 ? EXIT.unreachable : EXIT.refused, body.message, {
        details: detailsOf(body),
        advice: adviceFor(body, response),
      })
    },
  }
}

/**
 * A path whose values are escaped: ``at`/flags/${flag}` ``. A value that is empty or names a folder (`.`, `..`) is
 * refused: it would reach another resource than the one meant, and a DELETE on that is not what anybody wants.
 */
export function at(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return strings.reduce((path, part, i) => {
    const value = String(values[i - 1])
    if (value === '' || value === '.' || value === '..')
      throw usage(`${JSON.stringify(value)} is not a key.`, 'Give the key of a flag, segment, project or environment.')
    return path + encodeURIComponent(value) + part
  })
}

async function reach(url: string, path: string, key: string, request: Request): Promise<Response> {
  const target = new URL(url + path)
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined && value !== null) target.searchParams.set(name, String(value))
  }
  const headers: Record<string, string> = { accept: 'application/json', authorization: `Bearer ${key}` }
  const body = request.text ?? (request.body === undefined ? undefined : JSON.stringify(request.body))
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (request.ifMatch !== undefined) headers['if-match'] = `"${request.ifMatch}"`
  const limit = AbortSignal.timeout(TIMEOUT_MS + (request.waitMs ?? 0))
  const signal = request.signal === undefined ? limit : AbortSignal.any([limit, request.signal])
  try {
    return await fetch(target, {
      method: request.method ?? 'GET',
      headers,
      signal,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    })
  } catch (error) {
    throw request.signal?.aborted === true ? error : notReachable(url, error, request)
  }
}

async function read(response: Response, url: string, request: Request): Promise<string> {
  try {
    return await response.text()
  } catch (error) {
    throw request.signal?.aborted === true ? error : notReachable(url, error, request)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function isErrorBody(body: unknown): body is ErrorBody {
  return (
    typeof body === 'object' &&
    body !== null &&
    'code' in body &&
    typeof body.code === 'string' &&
    'message' in body &&
    typeof body.message === 'string'
  )
}

function detailsOf(body: ErrorBody): readonly ErrorDetail[] {
  return Array.isArray(body.details) ? (body.details as ErrorDetail[]) : []
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  ECONNRESET: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to the network',
  ETIMEDOUT: 'no answer in time',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS, so try http://',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS, so try http://',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself; name its authority in NODE_EXTRA_CA_CERTS',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown authority; name it in NODE_EXTRA_CA_CERTS',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority; name it in NODE_EXTRA_CA_CERTS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
}

/** Before a connection stands nothing has been sent, so nothing can have been done. */
const NEVER_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ERR_SSL_|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/

function notReachable(url: string, error: unknown, request: Request): Failure {
  const cause = causeOf(error)
  const written = request.method !== undefined && request.method !== 'GET'
  // Between "refused to connect" and "broke in the middle" lies whether the write may have happened.
  const open = written && !NEVER_SENT.test(cause.code)
  return new Failure(
    'NOT_REACHABLE',
    EXIT.unreachable,
    `No answer from ${url}: ${cause.text}.${open ? ' Whether it was done is not known.' : ''}`,
    {
      advice: open
        ? 'Look with "sluice history" before you repeat it; a kill may be repeated at once.'
        : 'Start it with "sluice serve", or correct --url, SLUICE_URL or "sluice login". Applications keep the flags they have.',
      cause: error,
    },
  )
}

function causeOf(error: unknown): { code: string; text: string } {
  for (let next = error; next instanceof Error; next = next.cause) {
    if (next.name === 'TimeoutError') return { code: 'ETIMEDOUT', text: 'no answer in time' }
    const inner = next instanceof AggregateError ? (next.errors[0] as unknown) : next
    const code = inner instanceof Error && 'code' in inner ? String(inner.code) : ''
    const known = CAUSES[code]
    if (known !== undefined) return { code, text: `${known} (${code})` }
    if (next.cause === undefined) return { code, text: next.message.trim().replace(/\s+/g, ' ') }
  }
  return { code: '', text: 'the request failed' }
}

function badAnswer(url: string, what: string): Failure {
  return new Failure('BAD_ANSWER', EXIT.unreachable, `${url} does not answer like a Sluice server: ${what}.`, {
    advice: 'Correct --url, SLUICE_URL or "sluice login": the address alone, as in http://127.0.0.1:7400.',
  })
}

/** What to do, where the server cannot know the CLI's words for it. */
function adviceFor(body: ErrorBody, response: Response): string | null {
  switch (body.code) {
    case 'KEY_MISSING':
    case 'KEY_INVALID':
    case 'KEY_EXPIRED':
      return 'Log in with "sluice login", or set SLUICE_KEY.'
    case 'FORBIDDEN':
      return 'See what your key may do with "sluice status".'
    case 'PROJECT_NOT_FOUND':
      return 'See what exists with "sluice projects".'
    case 'ENVIRONMENT_NOT_FOUND':
      return 'See what exists with "sluice environments".'
    case 'FLAG_NOT_FOUND':
      return 'See what exists with "sluice flags".'
    case 'SEGMENT_NOT_FOUND':
      return 'See what exists with "sluice segments".'
    case 'KILL_NOT_FOUND':
      return 'See what stands with "sluice kills".'
    case 'LIMIT_NOT_FOUND':
      return 'See who is held with "sluice limit <flag>".'
    case 'THROTTLE_NOT_FOUND':
      return 'See where the valve stands with "sluice valve <flag>".'
    case 'HOOK_NOT_FOUND':
      return 'See what exists with "sluice hooks".'
    case 'TRIGGER_NOT_FOUND':
      return 'See what exists with "sluice triggers".'
    case 'CHANGE_NOT_FOUND':
      return 'See the revisions with "sluice history".'
    case 'VERSION_CONFLICT':
      return 'Somebody changed it meanwhile. Look, then run the command again.'
    case 'FLAG_IN_USE':
      if (detailsOf(body).some(detail => detail.code === 'evaluated_recently'))
        return 'See who asks with "sluice flag show"; --force archives it all the same.'
      return null
    case 'REVERT_CONFLICT':
      // A kill or lift is never reverted, whatever is forced.
      if (detailsOf(body).some(detail => detail.code === 'is_override')) return 'Use "sluice lift", or "sluice kill" to bring one back.'
      return 'Look with "sluice history"; --force puts back what stood before all the same.'
    case 'RATE_STEP_TOO_LARGE':
      return 'If it is meant, say --force; else take several steps.'
    case 'TOO_MANY_REQUESTS':
      return `Try again in ${response.headers.get('retry-after') ?? 'a few'} s.`
    default:
      return null
  }
}
