/**
 * The newest entries of one log, kept in memory, so that whoever missed a few is brought up to date without asking
 * the storage. After a start it is empty; `fill` adds what the storage has when the first SDK needs it, once for all.
 */
import type { Step } from './messages.ts'

/** An SDK that missed more takes the whole ruleset, which is then hardly larger. */
export const RECENT_STEPS_MAX = 1_000
export const RECENT_BYTES_MAX = 4 * 1024 * 1024

interface Kept {
  readonly step: Step
  readonly bytes: number
}

export interface Recent {
  /** Invariant: the kept steps are consecutive, the first from `floor`, the last to `revision`. */
  epoch: string
  revision: number
  /** Of the entry at `revision`. */
  hash: string
  /** The lowest revision from which steps can be given. */
  floor: number
  /** Whether the storage was asked already for what lies below `floor`. */
  isFilled: boolean
  kept: Kept[]
  bytes: number
}

export function emptyRecent(epoch: string, revision: number, hash: string): Recent {
  return { epoch, revision, hash, floor: revision, isFilled: revision === 0, kept: [], bytes: 0 }
}

/** Starts over when the log does not stand where the history ends: it skipped a revision, or began a new life. */
export function follow(recent: Recent, epoch: string, revision: number, hash: string): boolean {
  if (recent.epoch === epoch && recent.revision === revision) return false
  Object.assign(recent, { ...emptyRecent(epoch, revision, hash), isFilled: true })
  return true
}

/** A new entry. One that does not follow the last (a new epoch, a gap) starts over: nothing before it can be given. */
export function append(recent: Recent, epoch: string, step: Step, bytes: number): void {
  if (epoch !== recent.epoch || step.from !== recent.revision) {
    Object.assign(recent, { ...emptyRecent(epoch, step.from, step.fromHash), isFilled: true })
  }
  recent.kept.push({ step, bytes })
  recent.bytes += bytes
  recent.revision = step.revision
  recent.hash = step.hash
  trim(recent)
}

/** Older entries from the storage, oldest first, ending at the floor at which they were asked for or above it. */
export function fill(recent: Recent, older: readonly { readonly step: Step; readonly bytes: number }[]): void {
  recent.isFilled = true
  for (const entry of [...older].reverse()) {
    if (entry.step.revision > recent.floor) continue
    if (entry.step.revision !== recent.floor) return
    if (recent.kept.length >= RECENT_STEPS_MAX || recent.bytes + entry.bytes > RECENT_BYTES_MAX) return
    recent.kept.unshift(entry)
    recent.bytes += entry.bytes
    recent.floor = entry.step.from
  }
}

/** The steps that lead from a revision to the newest. The revision is at least `floor` and below `revision`. */
export function stepsFrom(recent: Recent, revision: number): readonly Step[] {
  return recent.kept.slice(revision - recent.floor).map(entry => entry.step)
}

/** The hash of the entry at a revision; null for one before the history or after it. */
export function hashAt(recent: Recent, revision: number): string | null {
  if (revision === recent.revision) return recent.hash
  return recent.kept[revision - recent.floor]?.step.fromHash ?? null
}

/** Whether what somebody holds at a revision is known not to be this log's. @param hash empty for one who does not know */
export function isOther(recent: Recent, revision: number, hash: string): boolean {
  const here = hashAt(recent, revision)
  return hash !== '' && here !== null && here !== hash
}

function trim(recent: Recent): void {
  while (recent.kept.length > RECENT_STEPS_MAX || recent.bytes > RECENT_BYTES_MAX) {
    const oldest = recent.kept.shift()
    if (oldest === undefined) return
    recent.bytes -= oldest.bytes
    recent.floor = oldest.step.revision
  }
}
