/** What the routes are given: the collaborators of the server, each opened once by `app.ts` and closed with it. */
import type { FastifyBaseLogger } from 'fastify'
import type { Instance, Receipts } from '../schemas/instance.ts'
import type { Counts } from '../schemas/stream.ts'
import type { Prepared } from '../sdk/evaluator/prepare.ts'
import type { Access } from './access/policy.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import type { ChangeLog } from './log/types.ts'

export interface Services {
  readonly config: Config
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: ChangeLog
  readonly rulesets: Rulesets
  readonly keys: KeyRing
  readonly hub: Hub
  readonly usage: Usage
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

/** Evaluation counts as SDKs report them and as OFREP adds them. */
export interface Usage {
  add(log: string, counts: Pick<Counts, 'counts' | 'dropped' | 'unknownOperators' | 'tracked'>): void
  /** One evaluation that this server made itself. */
  one(log: string, flag: string, variation: string | null, unbucketed: boolean): void
  /** Evaluations and moment of the last one per flag, since this server started. */
  flag(log: string, flag: string): FlagUsage
  unknownOperators(log: string): readonly { readonly op: string; readonly where: string }[]
}

export interface FlagUsage {
  readonly evaluations: number
  readonly unbucketed: number
  readonly variations: Readonly<Record<string, number>>
  readonly firstSeen: string | null
  readonly lastSeen: string | null
}
