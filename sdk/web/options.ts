/** Reads what `connect` was given. Nothing here throws: a page must start with a wrong setting too. */
import { contain, messageOf } from '../failure.ts'
import { duration, POLL_INTERVAL_MIN_MS, POLL_INTERVAL_MS, readUrl, READY_TIMEOUT_MS } from '../options.ts'
import type { Logger } from '../types.ts'
import type { Page } from './page.ts'
import type { Options } from './types.ts'

export interface Settings {
  /** The server's address, `http://` or `https://`, without a trailing slash; null when it or the key cannot be used. */
  readonly base: string | null
  readonly key: string
  /** As JSON. */
  readonly context: string
  readonly problems: readonly string[]
  readonly cache: 'local' | false
  readonly logger: Required<Logger>
  readonly pollIntervalMs: number
  readonly readyTimeoutMs: number
}

/**
 * The largest context that is sent, in bytes of JSON: what the server takes, less what stands around it. The server also
 * bounds its depth and its attributes, and says so when it closes the stream.
 */
export const CONTEXT_BYTES_MAX = 15 * 1024

export function readOptions(given: Partial<Options> | null | undefined, page: Page): Settings {
  const options = given ?? {}
  const problems: string[] = []
  const base = readUrl(options.url, problems)
  const key = typeof options.key === 'string' ? options.key.trim() : ''
  // No other kind: it would be in the page for all to read, and the server would show it rules.
  const isKey = /^slc_client_\w+$/.test(key)
  if (!isKey) problems.push('The option key is missing or no client key (slc_client_…): every value is its default')
  const context = contextText(options.context ?? {}, problem => problems.push(problem))
  return {
    base: isKey ? base : null,
    key,
    context: context ?? '{}',
    problems,
    cache: options.cache === 'local' ? 'local' : false,
    logger: safeLogger(options.logger, page),
    pollIntervalMs: Math.max(POLL_INTERVAL_MIN_MS, duration(options.pollIntervalMs, POLL_INTERVAL_MS)),
    readyTimeoutMs: duration(options.readyTimeoutMs, READY_TIMEOUT_MS),
  }
}

/** A context as it is sent, or null for one that cannot be: what the page does with its object afterwards is its own matter. */
export function contextText(context: unknown, problem: (text: string) => void): string | null {
  try {
    const text = JSON.stringify(context)
    if (
      typeof context === 'object' &&
      context !== null &&
      !Array.isArray(context) &&
      new TextEncoder().encode(text).length <= CONTEXT_BYTES_MAX
    )
      return text
    problem(`The context is no object, or larger than ${CONTEXT_BYTES_MAX} bytes as JSON: it is not taken`)
  } catch (error) {
    problem(`The context is no JSON: ${messageOf(error)}. It is not taken`)
  }
  return null
}

/** A logger that is complete and never throws. */
function safeLogger(logger: Logger | undefined, page: Page): Required<Logger> {
  const level = (name: keyof Logger) => (message: string) =>
    contain(
      () => (logger !== undefined ? logger[name]?.(message) : name === 'error' ? page.console?.error(`Sluice: ${message}`) : undefined),
      () => undefined,
    )
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
}
