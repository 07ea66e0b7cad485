/** Every type a user of the web SDK can see; those that it shares with the SDK for servers are the same ones. */
import type { Context, Details, Events, Json, Logger, Ready, ValueType } from '../types.ts'

/** How `connect` is told what to do. Only `url` and `key` are needed. */
export interface Options {
  /** Where the server is: `wss://`, `https://`, `ws://` or `http://`, with a path when it stands below one. */
  readonly url: string
  /** A client key: it is in the page for all to read, and lets through evaluations of flags marked client-visible alone. */
  readonly key: string | undefined
  /** Who is asking. Only what rules look at: it is sent to the server and kept there while the page is open. Default: nothing. */
  readonly context?: Context
  /**
   * `local` keeps the last values in `localStorage`, for a page that is opened while the server is dark: at most a day, for
   * the ten contexts that came last, readable by every script of the page's origin. Default: false.
   */
  readonly cache?: 'local' | false
  /** Where the SDK says what happens to it. Default: errors on the console, the rest nowhere. */
  readonly logger?: Logger
  /** Milliseconds between two polls where websockets are blocked, at least 1,000. Default: 30,000. */
  readonly pollIntervalMs?: number
  /** Milliseconds that `ready` and `setContext` wait. Default: 5,000. */
  readonly readyTimeoutMs?: number
}

export interface Status {
  /** The revision of the values, 0 for none. */
  readonly revision: number
  /** Names the life of the server's log, empty for none. */
  readonly epoch: string
  /** Whether the stream is up: changes arrive as they are made. */
  readonly connected: boolean
  /** Whether the values may be out of date, or are still those of the context before. */
  readonly stale: boolean
  /** Since when `connected` and `stale` are what they are, in milliseconds since 1970. */
  readonly since: number
}

/** The flags of one page, evaluated on the server for its context. */
export interface Sluice {
  /**
   * Wait until there are values for the context, but no longer than `timeoutMs`. Never rejects: start either way.
   * With values from the cache it also ends at the first failure to reach the server.
   */
  ready(timeoutMs?: number): Promise<Ready>
  /**
   * The flag's value. Synchronous, never throws. A flag that is missing, not client-visible, or of another type than
   * `fallback` yields `fallback`; a null or undefined one takes any type.
   */
  value(flag: string, fallback: boolean): boolean
  value(flag: string, fallback: string): string
  value(flag: string, fallback: number): number
  value(flag: string, fallback?: null): Json | undefined
  value<T extends Json>(flag: string, fallback: T): T
  boolean(flag: string, fallback: boolean): boolean
  string(flag: string, fallback: string): string
  number(flag: string, fallback: number): number
  /** An object or array. Its shape is the caller's to know: the server promises JSON, not `T`. */
  object<T extends Json>(flag: string, fallback: T): T
  /**
   * As `value`, with the variation and the reason; counted as an evaluation like it. Which rule or kill decided is not told
   * to a page.
   * @param type what the value must be, where that is not the type of `fallback`
   */
  details<T extends Json | undefined>(flag: string, fallback: T, type?: ValueType): Details<T>
  /** The values of all flags, by key. Flags in error are left out, and nothing is counted as an evaluation. */
  all(): Record<string, Json>
  /**
   * From now on somebody else is asking: after a login, say. The values stay those of the former context (or become those
   * that the cache has) until the new ones arrive, and this resolves then; or when the wait is over. Never rejects.
   */
  setContext(context: Context): Promise<Ready>
  /**
   * Count an event of the page's own, and sum the values it comes with. The sums are sent with the counts of evaluations;
   * who did it is not.
   */
  track(event: string, value?: number): void
  /** Listen. Answers the function that ends it. A listener that throws is contained and logged. */
  on<E extends Exclude<keyof Events, 'mismatch' | 'valve'>>(event: E, listener: Events[E]): () => void
  status(): Status
  /** End: leaves no timer, socket or listener. Values stay as they are. */
  close(): void
}
