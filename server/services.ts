/** What the routes are given: the collaborators of the server, each opened once by `app.ts` and closed with it. */
import type { FastifyBaseLogger } from 'fastify'
import type { Alert } from '../schemas/alert.ts'
import type { Actor } from '../schemas/change.ts'
import type { Instance, Receipts } from '../schemas/instance.ts'
import type { NoticeTopic } from '../schemas/notifier.ts'
import type { OutcomeSeries } from '../schemas/outcome.ts'
import type { Counts } from '../schemas/stream.ts'
import type { ValveRecord } from '../schemas/valve.ts'
import type { EvaluationSeries, Problem, Usage as FlagUsage } from '../schemas/usage.ts'
import type { Evaluation } from '../sdk/evaluator/evaluation.ts'
import type { Prepared } from '../sdk/evaluator/prepare.ts'
import type { Access } from './access/policy.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import type { Egress } from './egress/egress.ts'
import type { ChangeLog, Commit, PlannedEdit, State } from './log/types.ts'
import type { Secrets } from './secrets/secrets.ts'

export interface Services {
  readonly config: Config
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: ChangeLog
  readonly rulesets: Rulesets
  readonly keys: KeyRing
  readonly hub: Hub
  readonly usage: Usage
  readonly outcomes: Outcomes
  readonly rollouts: Rollouts
  readonly secrets: Secrets
  readonly alerts: Alerts
  readonly egress: Egress
  readonly valves: Valves
  readonly notices: Notices
}

/** Prepared rulesets, kept current by the log: what every evaluation in the server runs on. */
export interface Rulesets {
  /** The newest one of a log; prepared at first use, then changed flag by flag. */
  current(log: string): Prepared
  /** As it stood at a revision. Error: `CHANGE_NOT_FOUND`. */
  at(log: string, revision: number): Promise<Prepared>
}

/** Knows which keys are valid now. */
export interface KeyRing {
  /** Errors: `KEY_INVALID` (unknown, revoked, malformed), `KEY_EXPIRED`. The secret is never repeated in a message. */
  authenticate(token: string): Access
  /** Told when a key stops being valid (revoked or expired), so that its sockets close. */
  onRevoked(listener: (id: string) => void): () => void
}

/** The connected SDK instances and what they have confirmed. */
export interface Hub {
  instances(log: string): readonly Instance[]
  receipts(log: string, revision: number): Receipts
  /** Resolves when every connected instance has confirmed the revision, or after `waitMs`, with what is known then. */
  arrived(log: string, revision: number, waitMs: number): Promise<Receipts>
}

/** Whose evaluations they are. */
export interface Asker {
  /** As the application calls itself; for OFREP the name of its key. */
  readonly service: string
  readonly instance: string
  readonly sdk: string
}

/** Evaluation counts as SDKs report them and as OFREP adds them. */
export interface Usage {
  add(log: string, counts: Pick<Counts, 'counts' | 'dropped' | 'unknownOperators' | 'tracked'>, by: Asker): void
  /** One evaluation that this server made itself. `by` is the same object for the same caller. */
  one(log: string, flag: string, evaluation: Evaluation, by: Asker): void
  /** This server was asked for a flag that does not exist. */
  unknown(log: string, flag: string, by: Asker): void
  /** Evaluations within the last 60 minutes: from memory, so that a kill never waits for it. */
  lastHour(log: string, flag: string): number
  /** When the flag was evaluated last, in ms since 1970; null for never. From memory. */
  lastSeen(log: string, flag: string): number | null
  /** Never fails: what cannot be read from the database is left out. */
  flag(log: string, flag: string): Promise<FlagUsage>
  /** `since` and `until` in ms since 1970. Errors: `STORAGE_UNAVAILABLE`, `LOG_DAMAGED`. */
  series(
    log: string,
    flag: string,
    range: { readonly since: number; readonly until: number; readonly stepMs: number },
  ): Promise<readonly EvaluationSeries[]>
  /** Whether a flag was ever evaluated, one that has left included. */
  isCounted(log: string, flag: string): boolean
  /** Since when flags of a log are counted, in ms since 1970; null when none was. */
  countedSince(log: string): number | null
  /** Most recent first; a flag asked for that has been made since is among them. */
  problems(log: string): readonly Problem[]
  dropped(log: string): Dropped
}

/** Evaluations that no longer fitted, so that only their number is known. */
export interface Dropped {
  /** As SDKs report them. */
  readonly sdk: number
  /** Here. */
  readonly server: number
  /** The start of the server. */
  readonly since: string
}

export interface ToldAlert {
  readonly log: string
  readonly alert: Alert
  /** Whether triggers may do more than hold and tell. */
  readonly mayAct: boolean
  /** Whether triggers only say what they would do. */
  readonly dryRun: boolean
}

/** How what applications did under a variation ended, as their SDKs report it, in slices of `SLICE_MS`. */
export interface Outcomes {
  add(log: string, rows: NonNullable<Counts['outcomes']>, by: Pick<Asker, 'service' | 'instance'>): void
  /** Told of every slice when it has ended, also of those in which nobody reported. */
  subscribe(listener: (slice: ClosedSlice) => void): () => void
  /** By variation and side, services together: of the slices within the last hour that began at `since` (ms since 1970) or later. */
  recent(log: string, flag: string, since: number): readonly OutcomeSeries[]
}

export interface ClosedSlice {
  /** In ms since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  /** One for each variation, side and service that reported. */
  of(log: string, flag: string): readonly OutcomeSum[]
}

export interface OutcomeSum {
  readonly variation: string
  /** '' for a report of the application's own, `old`, `new` and `mismatch` of a migration. */
  readonly side: string
  readonly service: string
  /** Each context once, on each instance. */
  readonly contexts: number
  /** Contexts that failed, and that were slow: each once in five minutes, so that few who always fail weigh no more than others. */
  readonly errors: number
  readonly slow: number
  /** Of the one instance that saw most: so many contexts at least are different ones. */
  readonly largest: number
  readonly allCalls: number
  readonly allErrors: number
  readonly allSlow: number
  readonly totalMs: number
}

/** What monitoring tools said, in one form; each alert once, however often it was delivered. */
export interface Alerts {
  /**
   * Told of every new edge (firing, resolved, info) after it is stored, in order, never from within a request. Each is told
   * once, and counts as told when what the listeners answered has settled: only a process that ends before that is told again
   * at its next start, with the same `alert.id`.
   */
  subscribe(listener: (told: ToldAlert) => void | Promise<void>): () => void
  /** Newest first. Errors: `STORAGE_UNAVAILABLE`, `LOG_DAMAGED`. */
  recent(
    log: string,
    query: { readonly hook?: string | undefined; readonly since?: number | undefined; readonly limit: number },
  ): Promise<readonly Alert[]>
  /** Those that fire now: from memory. */
  firing(log: string): readonly Alert[]
}

/** What people hear of beside the changes of the log, which notifiers follow by themselves. */
export interface Notices {
  say(notice: Notice): void
}

export interface Notice {
  readonly log: string
  readonly topic: NoticeTopic
  readonly severity: 'critical' | 'error' | 'warning' | 'info'
  /** One line: what, where. */
  readonly title: string
  /** What happens next, and how to undo it. */
  readonly text: string
  readonly flag?: string
  /** Two notices with one key are one incident to tools that count them; the later replaces or resolves the earlier. */
  readonly dedupKey?: string
  readonly isResolved?: boolean
}

/** Where valves stand in the fleet. */
export interface Valves {
  /** As last recorded in the log; a valve that never moved flows. */
  record(log: string, flag: string): ValveRecord | null
  /**
   * The percentage that a person or a trigger lets through at most: 100 without a throttle, 0 while the flag is killed for everyone
   * or off. What the valve does by itself is in `record`. Errors: `FLAG_NOT_FOUND`, `INVALID_FLAG` (no valve).
   */
  standing(log: string, flag: string): number
  /** Told after a transition is in the log. */
  subscribe(
    listener: (moved: { readonly log: string; readonly record: ValveRecord; readonly before: ValveRecord | null }) => void,
  ): () => void
  /**
   * Let `percent` (0 to 100; 0 is a kill) of the calls through, for a person or a trigger, until it is taken away: it stands above
   * what the valve does by itself. Errors: `FLAG_NOT_FOUND`, `INVALID_FLAG` (no valve), and those of `commit`.
   */
  throttle(log: string, flag: string, percent: number, by: By): Promise<Commit>
  /** Take that away, kills apart. */
  release(log: string, flag: string, by: By): Promise<Commit>
}

export interface By {
  readonly actor: Actor
  readonly comment: string
  readonly dryRun?: boolean
  /** What else belongs into the same commit, planned on the same state in the same turn. May throw, and then nothing is done. */
  readonly also?: (state: State) => readonly PlannedEdit[]
}

/** Rollout plans, as triggers and guards reach them. */
export interface Rollouts {
  /** Stop where it is. Null when there is no plan that runs. */
  hold(log: string, flag: string, by: By): Promise<Commit | null>
  /** Put back what stood before the plan. Null when there is no plan that runs or is held. */
  revert(log: string, flag: string, by: By): Promise<Commit | null>
}
