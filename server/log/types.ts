/**
 * What the change log offers to the rest of the server: one way in (`commit`), one way out (`subscribe`).
 * A log belongs to one environment (`project/environment`); projects, environments and keys live in a log of their own.
 */
import type { AccessKey } from '../../schemas/accesskey.ts'
import type { Action, Actor, Change, DocumentType } from '../../schemas/change.ts'
import type { Chat } from '../../schemas/chat.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Hook } from '../../schemas/hook.ts'
import type { Notifier } from '../../schemas/notifier.ts'
import type { Plan, Schedule } from '../../schemas/plan.ts'
import type { Environment, Project } from '../../schemas/project.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { Trigger } from '../../schemas/trigger.ts'
import type { ValveRecord } from '../../schemas/valve.ts'

/** The log of projects, environments and keys. No environment of `sluice` may be called `server`. */
export const SERVER_LOG = 'sluice/server'

/** The project of the server itself, whose one environment holds the flag that limits its API. */
export const BUILT_IN_PROJECT = 'sluice'

/** The name of an environment's log. */
export function logOf(project: string, environment: string): string {
  return `${project}/${environment}`
}

export interface DocumentOf {
  flag: Flag
  segment: Segment
  hook: Hook
  trigger: Trigger
  notifier: Notifier
  valve: ValveRecord
  plan: Plan
  schedule: Schedule
  project: Project
  environment: Environment
  key: AccessKey
  chat: Chat
}

export type Documents = { readonly [T in DocumentType]: ReadonlyMap<string, DocumentOf[T]> }

/** The documents as they stand at a revision. The current state is a live view: read it at once, do not keep it. */
export interface State {
  readonly log: string
  /** Names this life of the log; a restored backup starts a new one. */
  readonly epoch: string
  readonly revision: number
  /** Of the newest entry: in the newest state. */
  readonly hash?: string | undefined
  readonly documents: Documents
  /** Bytes of all documents as JSON, where somebody has counted: in the newest state. */
  readonly bytes?: number | undefined
}

/** What a write wants to stand afterwards. `version` is the log's to set; `after: null` removes the document. */
export type PlannedEdit = {
  [T in DocumentType]: { readonly type: T; readonly key: string; readonly after: DocumentOf[T] | null }
}[DocumentType]

export interface Write {
  readonly log: string
  readonly actor: Actor
  readonly action: Action
  readonly comment?: string | null | undefined
  readonly reverts?: number | null
  /** Plan and check everything, write nothing. */
  readonly dryRun?: boolean | undefined
  /**
   * For kills and lifts: when the change cannot be stored it is published all the same, marked volatile, journalled to
   * a local file and committed when storage returns.
   */
  readonly evenIfStorageFails?: boolean
  /**
   * Look at the state and say what shall stand. Pure and synchronous, called inside the write's turn, so that what it
   * checks (a version, a cycle) still holds when the edits are stored. Throws `SluiceError` to refuse. An edit that
   * changes nothing is left out; when none is left, no entry is written and the answer names the current revision.
   * A long one may be asynchronous to let the event loop have its turn, and waits for nothing else.
   */
  plan(state: State): readonly PlannedEdit[] | Promise<readonly PlannedEdit[]>
  /** Whether it touches thousands of documents. It is then planned before its turn, so that kills need not wait for that. */
  readonly isLong?: boolean
}

export interface Commit {
  readonly log: string
  /** The revision that now stands (for a dry run: that still stands). */
  readonly revision: number
  /** The entry written; for a dry run the one that would be; null when nothing changed. */
  readonly change: Change | null
  readonly volatile: boolean
}

/** Told to every subscriber after a commit, in order of revision, synchronously. */
export interface Published {
  readonly log: string
  readonly epoch: string
  readonly change: Change
  readonly volatile: boolean
}

export interface ChangesQuery {
  /** Only entries after this revision. */
  readonly afterRevision?: number | undefined
  /** Only entries up to this revision. */
  readonly toRevision?: number | undefined
  /** Only entries at or after this moment, in ms since 1970. */
  readonly since?: number | undefined
  /** Only entries at or before this moment, in ms since 1970. */
  readonly until?: number | undefined
  /** Only entries that touch this flag, where its valve stands, or its rollout plan; or this segment. */
  readonly flag?: string | undefined
  readonly segment?: string | undefined
  /** Most entries to answer with. */
  readonly limit: number
  /** `newest` first for people, `oldest` first for programs that catch up. */
  readonly order: 'newest' | 'oldest'
}

export interface Verification {
  readonly log: string
  readonly revision: number
  /** The newest entry's hash; 64 zeros for an empty log. */
  readonly hash: string
  /** The first revision whose hash does not fit, or null when the whole chain holds. */
  readonly brokenAt: number | null
  /** How far the chain was recomputed, and the hash of that entry. */
  readonly reached: { readonly revision: number; readonly hash: string }
}

/** A part of the chain: the rest after an entry that was reached before, at most so many entries. */
export interface VerifyPart {
  readonly from?: Verification['reached'] | undefined
  readonly most?: number | undefined
}

export interface LogStatus {
  /** Whether the last write could be stored. */
  readonly healthy: boolean
  /** Why not, for people. */
  readonly problem: string | null
  /** Entries published but not yet stored. */
  readonly volatile: number
}

export interface ChangeLog {
  /** The newest state; for a log nobody has written to, an empty one at revision 0. */
  state(log: string): State
  /** The names of all logs that hold at least one entry. */
  logs(): readonly string[]
  /** One write. Errors: what `plan` throws, `STORAGE_FULL`, `STORAGE_UNAVAILABLE`. */
  commit(write: Write): Promise<Commit>
  /** Several logs in one transaction: all are stored or none. At most one write per log. */
  commitAll(writes: readonly Write[]): Promise<readonly Commit[]>
  /** Called after each commit; answers the function that ends it. A listener that throws is logged and kept. */
  subscribe(listener: (published: Published) => void): () => void
  changes(log: string, query: ChangesQuery): Promise<readonly Change[]>
  /** Error: `CHANGE_NOT_FOUND`. */
  change(log: string, revision: number): Promise<Change>
  /** The documents as they stood at a revision. Error: `CHANGE_NOT_FOUND` for one that does not exist yet. */
  stateAt(log: string, revision: number): Promise<State>
  /** The newest revision at a moment (ms since 1970); 0 before the first. */
  revisionAt(log: string, at: number): Promise<number>
  verify(log: string, part?: VerifyPart): Promise<Verification>
  status(): LogStatus
  close(): Promise<void>
}
