/** The way to the server: the public API, with the session's cookie. What fails comes as one `Failure` that says what to do. */
import type { ErrorBody, ErrorDetail } from '../../schemas/errors.ts'
import { route } from './route.ts'

const TIMEOUT_MS = 20_000

export class Failure extends Error {
  readonly code: string
  readonly status: number
  readonly details: readonly ErrorDetail[]

  constructor(code: string, status: number, message: string, details: readonly ErrorDetail[] = []) {
    super(message)
    this.code = code
    this.status = status
    this.details = details
  }
}

export interface Asking {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly body?: unknown
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** The version that an edit is based on. */
  readonly ifMatch?: number
  readonly signal?: AbortSignal
}

/** Told when the server says that nobody is signed in. */
let onSignedOut: () => void = () => undefined
export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener
}

/** @param path as in `/api/v1/status`. Errors: `Failure`; code `NOT_REACHABLE` when the server did not answer. */
export async function call<T>(path: string, { method = 'GET', body, query = {}, ifMatch, signal }: Asking = {}): Promise<T> {
  const url = new URL(path, location.origin)
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value))
  let response: Response
  try {
    response = await fetch(url, {
      method,
      headers: {
        'x-sluice-page': '1',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]),
    })
  } catch (error) {
    if (signal?.aborted === true) throw error
    throw new Failure('NOT_REACHABLE', 0, 'The server did not answer. Applications go on with what they have; this page tries again.')
  }
  const text = await response.text()
  if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T
  if (response.status === 401) onSignedOut()
  throw failureOf(response.status, text)
}

function failureOf(status: number, text: string): Failure {
  try {
    const { code, message, details } = JSON.parse(text) as ErrorBody
    return new Failure(code, status, message, details)
  } catch {
    return new Failure('BAD_ANSWER', status, `The server answered ${status} without saying why.`)
  }
}

/** ``at`/flags/${key}` `` with its values escaped. */
export function at(strings: TemplateStringsArray, ...values: readonly string[]): string {
  return strings.reduce((path, part, i) => path + encodeURIComponent(values[i - 1] ?? '') + part)
}

/** The paths of the project and environment at hand. */
export function inProject(path: string, project: string = route.value.project): string {
  return `${at`/api/v1/projects/${project}`}${path}`
}

export function inEnvironment(
  path: string,
  { project, environment } = { project: route.value.project, environment: route.value.environment },
): string {
  return `${at`/api/v1/projects/${project}/environments/${environment}`}${path}`
}
