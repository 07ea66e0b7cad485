/** Reads what `connect` was given. Nothing here throws: an application must start with a wrong setting too. */
import { contain } from './failure.ts'
import type { Logger, Options } from './types.ts'

export const POLL_INTERVAL_MS = 30_000
export const POLL_INTERVAL_MIN_MS = 1_000
export const READY_TIMEOUT_MS = 5_000
/** setTimeout holds no more. */
const TIMEOUT_MAX_MS = 0x7fff_ffff

export interface Settings {
  /** The server's address, `http://` or `https://`, without a trailing slash; null when it or the key cannot be used. */
  readonly base: string | null
  readonly key: string
  /** What is wrong with the options, for the log. */
  readonly problems: readonly string[]
  readonly service: string
  readonly instance: string
  readonly cache: string | null
  readonly logger: Required<Logger>
  readonly pollIntervalMs: number
  readonly readyTimeoutMs: number
}

/**
 * @param given          from plain JavaScript it may be anything
 * @param randomInstance what the instance is called unless told
 */
export function readOptions(given: Partial<Options> | null | undefined, randomInstance: string): Settings {
  const options = given ?? {}
  const problems: string[] = []
  const base = readUrl(options.url, problems)
  const key = readKey(options.key, problems)
  return {
    base: key === null ? null : base,
    key: key ?? '',
    problems,
    service: text(options.service, ''),
    instance: text(options.instance, '') || randomInstance,
    cache: typeof options.cache === 'string' && options.cache !== '' ? options.cache : null,
    logger: safeLogger(options.logger),
    pollIntervalMs: Math.max(POLL_INTERVAL_MIN_MS, duration(options.pollIntervalMs, POLL_INTERVAL_MS)),
    readyTimeoutMs: duration(options.readyTimeoutMs, READY_TIMEOUT_MS),
  }
}

/** A wait in milliseconds that a timer can hold; what is no such number is the default. */
export function duration(value: unknown, byDefault: number): number {
  return typeof value === 'number' && value >= 0 ? Math.min(value, TIMEOUT_MAX_MS) : byDefault
}

export function readUrl(given: unknown, problems: string[]): string | null {
  const value = given instanceof URL ? given.href : given
  if (typeof value !== 'string' || !URL.canParse(value)) {
    problems.push('The option url is not a URL, expected one as in ws://localhost:7400')
    return null
  }
  const url = new URL(value)
  const protocol = { 'ws:': 'http:', 'http:': 'http:', 'wss:': 'https:', 'https:': 'https:' }[url.protocol]
  if (protocol === undefined) {
    problems.push(`The option url starts with ${url.protocol}//, expected ws://, wss://, http:// or https://`)
    return null
  }
  // A key in a URL ends in logs: there is an option for it.
  if (url.username !== '' || url.password !== '' || url.search !== '')
    problems.push('The option url holds a user or a query, which is left out')
  return `${protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`
}

function readKey(value: unknown, problems: string[]): string | null {
  if (typeof value !== 'string' || value.trim() === '') {
    problems.push('The option key is missing: every value is its default. Set it to a server key (is SLUICE_KEY set?)')
    return null
  }
  const key = value.trim()
  if (!/^[\x21-\x7e]+$/.test(key)) {
    problems.push('The option key holds characters that no key has: every value is its default')
    return null
  }
  return key
}

function text(value: unknown, byDefault: string): string {
  return typeof value === 'string' ? value.slice(0, 128) : byDefault
}

/** A logger that is complete and never throws. */
export function safeLogger(logger: Logger | undefined): Required<Logger> {
  // A broken logger is the application's own matter, and no reason to stop.
  const ignored = (): void => undefined
  const level = (name: keyof Logger) => (message: string) => {
    if (logger !== undefined) contain(() => logger[name]?.(message), ignored)
    else if (name === 'error') process.emitWarning(message, 'SluiceWarning')
  }
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
}
