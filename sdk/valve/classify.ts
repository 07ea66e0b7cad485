/**
 * Whether a call that ended says something about the dependency, unless the application knows better: failures are what is the
 * dependency's fault. Never throws, whatever was thrown.
 */
import type { Ended } from '../types.ts'

/** Of those below 500, the two by which a server says that it gets too much, or that it took too long. */
const OVERLOADED = [408, 429]

/** A call that threw. */
export function classifyError(error: unknown): Ended {
  try {
    const status = statusOf(error)
    // What the caller did wrong, and what it gave up itself, is not the dependency's fault.
    if (status !== null && status >= 400 && status < 500 && !OVERLOADED.includes(status)) return 'ignore'
    return isAbort(error) ? 'ignore' : 'failure'
  } catch {
    return 'failure'
  }
}

/** A call that answered: an HTTP response can be a failure that was not thrown. */
export function classifyValue(value: unknown): Ended {
  if (typeof value !== 'object' || value === null) return 'success'
  try {
    const response = value as Record<string, unknown>
    // As `fetch` has it, and as `node:http`, undici and their kin.
    const status = typeof response.ok === 'boolean' ? response.status : 'headers' in response ? response.statusCode : null
    if (typeof status !== 'number') return 'success'
    return status >= 500 || OVERLOADED.includes(status) ? 'failure' : 'success'
  } catch {
    return 'success'
  }
}

function isAbort(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { name, code } = error as Record<string, unknown>
  return name === 'AbortError' || code === 'ABORT_ERR'
}

/** The HTTP status that an error of a client tells of, wherever it keeps it; null for none. */
function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null) return null
  const { status, statusCode, response } = error as Record<string, unknown>
  const found = status ?? statusCode
  if (found === undefined && typeof response === 'object' && response !== null) return statusOf({ ...response, response: undefined })
  return typeof found === 'number' ? found : null
}
