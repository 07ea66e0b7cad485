/** What the server says on the stream, as JSON texts; and a log's entries reduced to what an SDK needs of them. */
import type { Grant } from '../../schemas/lease.ts'
import type { Change } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { ValveStates } from '../../schemas/valve.ts'
import type { State } from '../log/types.ts'

const HASH_DIGITS = 16

/** A flag or segment after a change; `after` is null for one that was removed. */
export type Touched =
  | { readonly type: 'flag'; readonly key: string; readonly after: Flag | null }
  | { readonly type: 'segment'; readonly key: string; readonly after: Segment | null }

/** One entry of a log: from the revision before it to its own, each with the mark of its history. */
export interface Step {
  readonly from: number
  readonly fromHash: string
  readonly revision: number
  readonly hash: string
  readonly touched: readonly Touched[]
}

export function stepOf(change: Change): Step {
  const touched: Touched[] = []
  for (const { type, key, after } of change.edits) {
    // The log has checked its documents when they were written.
    if (type === 'flag') touched.push({ type, key, after: after as Flag | null })
    if (type === 'segment') touched.push({ type, key, after: after as Segment | null })
  }
  const { revision, hash, previousHash } = change
  return { from: revision - 1, fromHash: shortHash(previousHash), revision, hash: shortHash(hash), touched }
}

/** Enough of an entry's hash to tell two histories apart. */
export function shortHash(hash: string): string {
  return hash.slice(0, HASH_DIGITS)
}

/** One commit, for those who hold the revision before it. */
export function changeMessage(epoch: string, step: Step, isVolatile: boolean): string {
  const mark = isVolatile ? { volatile: true } : {}
  return JSON.stringify({
    type: 'change',
    epoch,
    from: step.from,
    revision: step.revision,
    hash: step.hash,
    ...documentsOf([step]),
    ...mark,
  })
}

/** Several commits as one: the newest state of everything they touched. `steps` are consecutive and not empty. */
export function changesMessage(epoch: string, steps: readonly Step[]): string {
  const from = steps[0]?.from
  const last = steps.at(-1)
  return JSON.stringify({ type: 'changes', epoch, from, revision: last?.revision, hash: last?.hash, ...documentsOf(steps) })
}

export function currentMessage(epoch: string, revision: number, hash: string): string {
  return JSON.stringify({ type: 'current', epoch, revision, hash })
}

export function beatMessage(epoch: string, revision: number): string {
  return JSON.stringify({ type: 'beat', epoch, revision })
}

/** Come back `afterMs` from now at the earliest, at a moment of your own within the next `spreadMs`. */
export function drainMessage(afterMs: number, spreadMs: number): string {
  return JSON.stringify({ type: 'drain', afterMs, spreadMs })
}

/** The body of `GET /ruleset`; on the stream `rulesetOpening` stands in the place of its first byte. */
export function rulesetBody(state: State): Buffer {
  const { epoch, revision, documents } = state
  const hash = shortHash(state.hash ?? '')
  return Buffer.from(
    JSON.stringify({ epoch, revision, hash, flags: [...documents.flag.values()], segments: [...documents.segment.values()] }),
  )
}

/** What stands in the place of the first byte of a body that tells a poll to take it although it holds a later revision. */
export const RESET_OPENING = '{"reset":true,'

/** Makes a body the message of type `ruleset`. `isReset` tells the SDK to take it although it holds a later revision. */
export function rulesetOpening(isReset: boolean): string {
  return isReset ? '{"type":"ruleset","reset":true,' : '{"type":"ruleset",'
}

function documentsOf(steps: readonly Step[]): { flags: Flag[]; segments: Segment[]; removedFlags: string[]; removedSegments: string[] } {
  const flags = new Map<string, Flag | null>()
  const segments = new Map<string, Segment | null>()
  for (const step of steps) {
    for (const edit of step.touched) {
      if (edit.type === 'flag') flags.set(edit.key, edit.after)
      else segments.set(edit.key, edit.after)
    }
  }
  return { flags: standing(flags), segments: standing(segments), removedFlags: removed(flags), removedSegments: removed(segments) }
}

function standing<T>(documents: ReadonlyMap<string, T | null>): T[] {
  return [...documents.values()].filter(document => document !== null)
}

function removed(documents: ReadonlyMap<string, unknown>): string[] {
  return [...documents].filter(([, document]) => document === null).map(([key]) => key)
}

export function grantMessage(grant: Grant): string {
  return JSON.stringify(grant)
}

export function valveStatesMessage(states: ValveStates): string {
  return JSON.stringify(states)
}
