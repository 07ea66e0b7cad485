/** Every type a user of the SDK can see. Without imports, so that the package's declarations need no other package. */

/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** Who or what is asking: `targetingKey` plus any JSON attributes. What rules look at is decided by the flag. */
export interface Context {
  readonly targetingKey?: string
  readonly [attribute: string]: Json | undefined
}

/** Why a value came out. */
export type Reason = 'KILLED' | 'OFF' | 'PREREQUISITE_FAILED' | 'TARGET_MATCH' | 'RULE_MATCH' | 'FALLTHROUGH' | 'ERROR'

/** What an `ERROR` was. `NOT_READY`: no ruleset has arrived yet. */
export type EvaluationError = 'FLAG_NOT_FOUND' | 'TYPE_MISMATCH' | 'MALFORMED_FLAG' | 'PREREQUISITE_CYCLE' | 'NOT_READY'

/** One clause that was looked at; those after the first that did not match are not. */
export interface ClauseStep {
  readonly attribute?: string
  readonly op: string
  /** At most the first 20. */
  readonly values: readonly Json[]
  readonly negate?: true
  /** What the context has there; absent when it is missing. */
  readonly value?: Json
  readonly matched: boolean
  /** Why, where that is not plain: an unknown operator, a missing attribute, what a segment said. */
  readonly note?: string
}

/** One thing that was looked at, in order. */
export interface Step {
  readonly step: 'kill' | 'enabled' | 'prerequisite' | 'target' | 'rule' | 'fallthrough' | 'rollout' | 'error'
  /** Whether it decided (for `enabled`: whether it is; for `prerequisite`: whether it is met). */
  readonly matched: boolean
  /** A sentence for people. */
  readonly text: string
  /** Of the kill or rule, or the key of the prerequisite. */
  readonly id?: string
  readonly variation?: string | null
  readonly clauses?: readonly ClauseStep[]
  /** For a rollout: 0 to 99,999; null when the context has nothing to bucket by. */
  readonly bucket?: number | null
  /** For a prerequisite: its own steps. */
  readonly steps?: readonly Step[]
}

/** The types a flag's values can have; all values of one flag share one. */
export type ValueType = 'boolean' | 'string' | 'number' | 'object'

/** A value and why it came out. */
export interface Details<T = Json | undefined> {
  /** What `value` would have answered. */
  readonly value: T
  /** The variation's key, null when the default was taken. */
  readonly variation: string | null
  readonly reason: Reason
  readonly error?: EvaluationError
  /** What was wrong and what to do, for people. */
  readonly message?: string
  readonly ruleId?: string
  readonly killId?: string
  /** The prerequisite that failed. */
  readonly prerequisite?: string
  /** The context has no value for the attribute that the rollout buckets by. */
  readonly unbucketed?: true
  /** The bucket of a rollout decided. */
  readonly rollout?: true
  /** Nothing about the context could have changed the outcome: no kills, prerequisites, targets, rules or rollout. */
  readonly static?: true
  readonly flagVersion: number | null
  /** The flag's own metadata, where it has any. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>
  /** The ruleset's revision. */
  readonly revision: number
  /** Whether the ruleset may be out of date: see `Status.stale`. */
  readonly stale: boolean
}

/** A value and how it came about. */
export interface Explanation<T = Json | undefined> extends Details<T> {
  readonly steps: readonly Step[]
}

/**
 * Why a limit answered as it did. `LIMITED`: no tokens now. `CUT`: the rate is 0. `TOO_COSTLY`: it costs more than the
 * limit ever holds, and waiting does not help. `SHADOW`: would have been denied, but the limit only watches.
 * `CONCURRENCY`: too many at once. `ERROR`: no such flag, not a rate, or no ruleset yet; allowed.
 */
export type LimitReason = 'ALLOWED' | 'LIMITED' | 'CUT' | 'TOO_COSTLY' | 'CONCURRENCY' | 'UNLIMITED' | 'SHADOW' | 'ERROR'

/** What a limit decided. */
export interface Limited {
  readonly allowed: boolean
  readonly reason: LimitReason
  /** The rate, in units per its own span; `Infinity` where there is no limit. */
  readonly limit: number
  /** Tokens that this process could spend at once, now; other instances hold others. `Infinity` where there is no limit. */
  readonly remaining: number
  /** When to try again, an estimate; 0 when allowed, `Infinity` when waiting does not help. */
  readonly retryAfterMs: number
  /** The variation's key, null with `ERROR`. */
  readonly variation: string | null
  /** `RateLimit-Policy`, `RateLimit` and, when denied, `Retry-After`. Made when asked for; empty where there is no limit. */
  readonly headers: Readonly<Record<string, string>>
}

/** What `acquire` answered. */
export interface Acquired extends Limited {
  /** The work is done. Calling it again does nothing. */
  release(): void
}

/** How something done under a flag's variation ended. */
export interface Reported {
  /** False for a failure that the variation may be to blame for: not for what the caller did wrong, or gave up. */
  readonly ok: boolean
  /** How long it took. */
  readonly ms?: number
  /** Whether that was too long, where whoever reports has a limit for it. */
  readonly slow?: boolean
}

/** The stages of a migration, in order: see `docs/migrations.md`. */
export type Stage = 'off' | 'dual-write' | 'shadow' | 'live' | 'ramp-down' | 'complete'

/** The two sides of a migration. */
export type Side = 'old' | 'new'

/**
 * The sides of a migration, and how they are treated. What a side is given must not be changed by the caller afterwards: the
 * other side may be called with it a moment later.
 */
export interface MigrationOptions<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written> {
  /** The old side's reading, and the new side's. */
  readonly read?: readonly [old: (...args: ReadArgs) => Read | PromiseLike<Read>, its: (...args: ReadArgs) => Read | PromiseLike<Read>]
  /** The old side's writing, and the new side's. Repeating a write should do no harm, as a retry by its caller does. */
  readonly write?: readonly [
    old: (...args: WriteArgs) => Written | PromiseLike<Written>,
    its: (...args: WriteArgs) => Written | PromiseLike<Written>,
  ]
  /** Whether two answers are the same. Must be deterministic and not async. Default: deep equality. */
  readonly compare?: (old: Read, its: Read) => boolean
  /** What is compared of an answer, taken before the caller has it: for callers that change what they get, as `structuredClone`. Default: the answer itself. */
  readonly snapshot?: (answer: Read) => Read
  /** The share of reads of both sides that are compared, 0 to 1. Default: 1. */
  readonly compareShare?: number
  /** From so many milliseconds on a call counts as slow. Default: none does. */
  readonly slowMs?: number
  /** Whether an error is the side's fault, and not the caller's, as "no such account" is. Default: every error is. */
  readonly isFailure?: (error: unknown) => boolean
  /** The stage where the flag gives none: it is missing, no migration, or no ruleset has arrived yet. Default: `off`. */
  readonly fallback?: Stage
  /** Most calls of the other side at once, in this process. Reads beyond are dropped, writes wait. Default: 100. */
  readonly concurrency?: number
  /** How long a call of the other side may take, and a write may wait for its turn. Default: 10,000. */
  readonly timeoutMs?: number
  /** Whether the event `mismatch` names the context's key, as an account's. Default: false. */
  readonly keys?: boolean
}

/** A migration that runs. */
export interface Migration<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written> {
  /** Read from the side that leads at the context's stage; its answer or error is the caller's. */
  read(context: Context, ...args: ReadArgs): Promise<Read>
  /** Write to the side that leads at the context's stage, and once that is done to the other, which nobody waits for. */
  write(context: Context, ...args: WriteArgs): Promise<Written>
  /** The context's stage, counted as an evaluation. */
  stage(context: Context): Stage
  status(): MigrationStatus
}

/** Of the other side's calls, in this process. */
export interface MigrationStatus {
  readonly running: number
  /** Writes that wait for their turn. */
  readonly waiting: number
  /** Since the start: reads and writes for which there was no room or no time. */
  readonly dropped: number
}

/** The two sides of a migration do not agree. */
export interface Mismatch {
  readonly flag: string
  readonly variation: string | null
  readonly stage: Stage
  readonly operation: 'read' | 'write'
  /**
   * `differs`: the answers do, or one side alone failed. Of the other side: `failed`, `late` (it took longer than `timeoutMs`),
   * `dropped` (a write for which there was no room or no time: the other side does not have it).
   */
  readonly why: 'differs' | 'failed' | 'late' | 'dropped'
  /** What the context is told apart by, where the migration was asked for `keys`. */
  readonly key?: string
  /** Mismatches of this flag since the last event, beyond ten in ten seconds. */
  readonly missed: number
}

/** Where a valve stands. In words of a breaker: closed, closed but shedding, open, half-open. */
export type ValveState = 'flowing' | 'throttled' | 'cut' | 'probing'

/**
 * Why a valve moved. `setting`: somebody set it so. Of itself: `failures` and `slow` (too many), `overload` (it narrows), `waited` (it
 * tries again), `probes` (they went well), `probe-failed`, `ramp` (it is open again), `fleet` (the server said so), `restored` (as it stood
 * before this process started).
 */
export type ValveCause = 'setting' | 'failures' | 'slow' | 'overload' | 'waited' | 'probes' | 'probe-failed' | 'ramp' | 'fleet' | 'restored'

/**
 * Why a call was let through (`FLOWING`; `PROBE`: to try the dependency; `SHADOW`: the valve only watches; `ERROR`: no such flag, not a valve, or
 * no ruleset yet) or was not (`THROTTLED`; `CUT`; `PROBING`: others try the dependency just now).
 */
export type ValveReason = 'FLOWING' | 'PROBE' | 'SHADOW' | 'ERROR' | 'THROTTLED' | 'CUT' | 'PROBING'

/** How a call ended. `failure` is the dependency's fault; `ignore` says nothing about it. */
export type Ended = 'success' | 'failure' | 'ignore'

/** What `enter` answered. */
export interface ValveTicket {
  /** Whether the call may begin. If so, `done` is to be called when it has ended, however it did. */
  readonly admitted: boolean
  readonly reason: ValveReason
  /** When to try again, an estimate; 0 when admitted. */
  readonly retryAfterMs: number
  /**
   * The call has ended. Calling it again does nothing.
   * @param ended default: `success`
   * @param ms    how long it took; measured where it is not given
   */
  done(ended?: Ended, ms?: number): void
}

/** How a call through a valve is made. */
export interface RunOptions<T> {
  /** Answers instead when the call is not let through. A call that was let through and failed throws what it threw. Default: `run` rejects with `ValveCutError`. */
  readonly fallback?: (
    error: Error & { readonly code: 'VALVE_CUT'; readonly retryAfterMs: number; readonly instead: string },
  ) => T | PromiseLike<T>
  /**
   * What the end of a call says about the dependency: `error` is what it threw, undefined when it answered `value`. Default: what it threw is a
   * failure, but for HTTP's 4xx (408 and 429 apart) and aborts of the caller's own, which are ignored; so is the answer of a response with 5xx, 408 or 429.
   */
  readonly classify?: (error: unknown, value: T | undefined) => Ended
  /** Milliseconds the call may take; then its signal aborts, `run` rejects with a `TimeoutError`, and it counts as failed. `Infinity` for any. Default: the setting's. */
  readonly timeoutMs?: number
}

/** A valve as `flags.valve` answers it: cheap to ask for again and again. */
export interface Valve {
  /**
   * Make a call if the valve lets it through. Throws nothing of its own but, as a rejection, `ValveCutError` and the `TimeoutError` of `timeoutMs`. What cannot
   * be decided (no such flag, no valve, no ruleset) flows.
   * @param call    gets a signal that aborts when its time is over, if it has a parameter for it
   * @param options or a fallback alone
   */
  run<T>(
    context: Context,
    call: (signal: AbortSignal) => T | PromiseLike<T>,
    options?: RunOptions<T> | RunOptions<T>['fallback'],
  ): Promise<T>
  /** The same in two steps, for calls that are no function: synchronous, never throws. */
  enter(context: Context): ValveTicket
  /** Where the valve stands for this context (default: an empty one), in this process. Not counted as an evaluation. */
  state(context?: Context): ValveStatus
}

export interface ValveStatus {
  readonly state: ValveState
  /** The share of calls that is let through now. */
  readonly admit: number
  /** Null until it has moved. */
  readonly cause: ValveCause | null
  /** Since when, in milliseconds since 1970. */
  readonly since: number
  /** When a call that is turned away now had better try again; 0 where none is. */
  readonly retryAfterMs: number
  /** The variation whose setting it is; null when there is no valve. */
  readonly variation: string | null
  /** It only watches: nobody is turned away. */
  readonly shadow: boolean
}

/** A transition of a valve in this process. */
export interface ValveEvent {
  readonly flag: string
  readonly variation: string
  readonly from: ValveState
  readonly to: ValveState
  readonly cause: ValveCause
  readonly admit: number
  /** For how long it is cut; 0 otherwise. */
  readonly retryAfterMs: number
  /** Of the window: calls that have ended, and how. */
  readonly calls: number
  readonly failures: number
  readonly slow: number
  readonly shadow: boolean
}

/** How `connect` is told what to do. Only `url` and `key` are needed. */
export interface Options {
  /** Where the server is: `ws://`, `wss://`, `http://` or `https://`, with a path when it stands below one. */
  readonly url: string
  /** A server key. Without one (an unset variable) every value is its default, and the logger is told. */
  readonly key: string | undefined
  /** What this application is called, so that operators recognise it. Default: empty. */
  readonly service?: string
  /** What this one process is called. Default: random. */
  readonly instance?: string
  /**
   * Where the last ruleset is kept for a start while the server is dark: a file, or an existing folder (then the name
   * is ours). Holds the rules in the clear, readable by its owner only. Default: no file.
   */
  readonly cache?: string
  /** Where the SDK says what happens to it. Default: errors as process warnings, the rest nowhere. */
  readonly logger?: Logger
  /** Milliseconds between two polls while there is no stream, at least 1,000. Default: 30,000. */
  readonly pollIntervalMs?: number
  /** Milliseconds that `ready` waits unless told otherwise. Default: 5,000. */
  readonly readyTimeoutMs?: number
}

/** Any of pino, winston, console fits. A logger that throws is ignored. */
export interface Logger {
  debug?(message: string): void
  info?(message: string): void
  warn?(message: string): void
  error?(message: string): void
}

/** What `ready` resolves to. */
export interface Ready {
  /** Whether there is a ruleset; without one every value is its default. */
  readonly ok: boolean
  /** Whether it may be out of date: it comes from the cache file and the server has not confirmed it. */
  readonly stale: boolean
  readonly revision: number
}

export interface Status {
  /** The ruleset's revision, 0 for none. */
  readonly revision: number
  /** Names the life of the server's log, empty for none. */
  readonly epoch: string
  /** Whether the stream is up: changes arrive as they are made. */
  readonly connected: boolean
  /**
   * Whether the ruleset may be out of date: the stream is down and the server did not answer the last poll either, or
   * what came from the cache file is not confirmed yet. A short interruption alone is `connected: false`.
   */
  readonly stale: boolean
  /** Since when `connected` and `stale` are what they are, in milliseconds since 1970. */
  readonly since: number
  /** Whole rulesets taken from the server since `connect`; everything else arrived as changes. */
  readonly rulesets: number
}

export interface Events {
  /** After a ruleset was taken: the keys of flags that may now yield something else, those that depend on a changed flag or segment included. */
  change: (flags: readonly string[]) => void
  /** When `Status.stale` changes: true for the worse, false for the better, after the `change` of what was missed. */
  stale: (stale: boolean) => void
  /** Once: there is a ruleset, confirmed by the server or, when that cannot be reached, from the cache file. After the first `change`. */
  ready: () => void
  /** The sides of a migration do not agree: at most ten per flag in ten seconds, all of them are counted. Stays in this process. */
  mismatch: (mismatch: Mismatch) => void
  /** After a valve has moved in this process. That another variation is served instead is a `change`. */
  valve: (event: ValveEvent) => void
}

/** A connected client. One per process is enough; it may be shared freely. */
export interface Sluice {
  /**
   * Wait until there is a ruleset, but no longer than `timeoutMs`. Never rejects: start either way.
   * With a ruleset from the cache file it also ends at the first failure to reach the server.
   */
  ready(timeoutMs?: number): Promise<Ready>
  /**
   * The flag's value for this context. Synchronous, never throws. A flag that is missing, cannot be understood or is of
   * another type than `fallback` yields `fallback`; a null or undefined one takes any type.
   */
  value(flag: string, context: Context, fallback: boolean): boolean
  value(flag: string, context: Context, fallback: string): string
  value(flag: string, context: Context, fallback: number): number
  value(flag: string, context: Context, fallback?: null): Json | undefined
  value<T extends Json>(flag: string, context: Context, fallback: T): T
  boolean(flag: string, context: Context, fallback: boolean): boolean
  string(flag: string, context: Context, fallback: string): string
  number(flag: string, context: Context, fallback: number): number
  /** An object or array. Its shape is the caller's to know: the server promises JSON, not `T`. */
  object<T extends Json>(flag: string, context: Context, fallback: T): T
  /**
   * As `value`, with the variation and the reason; counted as an evaluation like it.
   * @param type what the value must be, where that is not the type of `fallback`
   */
  details<T extends Json | undefined>(flag: string, context: Context, fallback: T, type?: ValueType): Details<T>
  /** As `details`, with every step taken. Costs more, and is not counted as an evaluation. */
  explain<T extends Json | undefined>(flag: string, context: Context, fallback: T): Explanation<T>
  /**
   * The values of all flags for this context, by key: for starting a page or another process with them. Flags in error
   * are left out, and nothing is counted as an evaluation. The object has no prototype.
   * @param options `clientVisible`: only the flags that browsers may see, for what is sent to one. Default: all
   */
  all(context: Context, options?: { readonly clientVisible?: boolean }): Record<string, Json>
  /**
   * Take `cost` from the limit that the flag has for this context. Synchronous, and never throws; all instances share the
   * limit. What cannot be decided (no such flag, no rate, no ruleset) is allowed and says `ERROR`.
   * @param cost default: what the rate says, or 1
   */
  limit(flag: string, context: Context, cost?: number): Limited
  /**
   * As `limit`, and waits for its turn up to `timeoutMs` (default 1,000). What cannot be allowed in time is denied at
   * once. Never rejects.
   */
  limitOrWait(flag: string, context: Context, options?: { readonly cost?: number; readonly timeoutMs?: number }): Promise<Limited>
  /** Take a place of the rate's `concurrency` for this key, in this process; give it back with `release()`. Takes no tokens. */
  acquire(flag: string, context: Context): Acquired
  /**
   * Run a migration from an old side to a new one as the `migration` flag says, by stage and context: see `docs/migrations.md`.
   * Make it once, beside the client. The other side never delays a caller, and its errors never surface: they are reported.
   */
  migrate<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written>(
    flag: string,
    options: MigrationOptions<ReadArgs, Read, WriteArgs, Written>,
  ): Migration<ReadArgs, Read, WriteArgs, Written>
  /**
   * Say how something ended that was done under the variation this flag has for this context: what rollouts turn back by.
   * Costs about as much as `value`, and never throws. Summed; of the context nothing is sent. A context counts once in 10 s,
   * as a failure once and as slow once, by what the rollout chose by, or its `targetingKey`.
   */
  report(flag: string, context: Context, outcome: Reported): void
  /** The safety valve of the flag, to make calls through. */
  valve(flag: string): Valve
  /**
   * Count an event of the application's own, such as a purchase, and sum the values it comes with. The sums are sent with
   * the counts of evaluations, at most 100 names between two reports; who did it is not.
   */
  track(event: string, value?: number): void
  /** Listen. Answers the function that ends it. A listener that throws is contained and logged. */
  on<E extends keyof Events>(event: E, listener: Events[E]): () => void
  status(): Status
  /** End: sends what is counted, writes the cache file, leaves no timer or socket. Takes at most about two seconds; values stay as they are. */
  close(): Promise<void>
}
