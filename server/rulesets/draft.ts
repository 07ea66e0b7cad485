/** An environment as it would stand after a write: what references are checked against. */
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { PlannedEdit, State } from '../log/types.ts'

export interface Draft {
  /** `project/environment`, for messages. */
  readonly log: string
  readonly flags: ReadonlyMap<string, Flag>
  readonly segments: ReadonlyMap<string, Segment>
}

/** The state with the edits laid over it. */
export function draftOf(state: State, edits: readonly PlannedEdit[]): Draft {
  const { flag, segment } = state.documents
  // Not copied when nothing is laid over: a write of one flag leaves thousands of segments alone.
  const flags = edits.some(edit => edit.type === 'flag') ? new Map(flag) : flag
  const segments = edits.some(edit => edit.type === 'segment') ? new Map(segment) : segment
  for (const edit of edits) {
    if (edit.type === 'flag') lay(flags as Map<string, Flag>, edit.key, edit.after)
    else if (edit.type === 'segment') lay(segments as Map<string, Segment>, edit.key, edit.after)
  }
  return { log: state.log, flags, segments }
}

function lay<T>(documents: Map<string, T>, key: string, after: T | null): void {
  if (after === null) documents.delete(key)
  else documents.set(key, after)
}

/** Puts a place before every detail's own: `flags[3]` and `rules[0].id` become `flags[3].rules[0].id`. */
export function placed(details: readonly ErrorDetail[], place: string): ErrorDetail[] {
  if (place === '') return [...details]
  return details.map(detail => ({
    ...detail,
    path: detail.path === '' ? place : `${place}${detail.path.startsWith('[') ? '' : '.'}${detail.path}`,
  }))
}

const sizes = new WeakMap<object, number>()

/** Bytes of a document as JSON. Documents are never changed in place, so each is measured once. */
export function bytesOf(document: object): number {
  const known = sizes.get(document)
  if (known !== undefined) return known
  const bytes = Buffer.byteLength(JSON.stringify(document))
  sizes.set(document, bytes)
  return bytes
}
