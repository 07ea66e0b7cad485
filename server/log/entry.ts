/**
 * From what a write wants to the entry that is stored: versions, what stood before, the hash. Pure, and asynchronous only
 * to let others have their turn during an import: the caller sees to it that the log does not change meanwhile.
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Change, DocumentType } from '../../schemas/change.ts'
import type { Append } from '../storage/storage.ts'
import type { ChangeRow } from '../storage/tables.ts'
import { canonicalJson } from './canonical.ts'
import { combined, documentHash, headRow, type Memory, stateOf } from './memory.ts'
import { Pace } from './pace.ts'
import type { Write } from './types.ts'

/** A change together with all that follows from it. */
export interface Entry {
  readonly log: string
  readonly change: Change
  /** Where the log stood. */
  readonly from: { readonly revision: number; readonly hash: string; readonly stored: boolean }
  readonly epoch: string
  /** The combined hash of the log's documents afterwards. */
  readonly digest: Buffer
  readonly documents: readonly EntryDocument[]
}

interface EntryDocument {
  readonly type: DocumentType
  readonly key: string
  readonly document: object | null
  readonly body: string | null
  /** Of the body; 0 for a document that is removed. */
  readonly bytes: number
  readonly hash: string
}

type ChangeEdit = Change['edits'][number]

/**
 * Ask a write what shall stand, and make the entry of it; null when nothing would change.
 * @param at the moment of the entry, RFC 3339
 * Errors: what `plan` throws.
 */
export async function planned(memory: Memory, write: Write, at: string): Promise<Entry | null> {
  const edits = new Map<string, ChangeEdit>()
  const pace = new Pace()
  const plan = write.plan(stateOf(memory))
  for (const { type, key, after } of plan instanceof Promise ? await plan : plan) {
    if (pace.isDue()) await pace.rest()
    const before = (memory.documents[type] as ReadonlyMap<string, Versioned>).get(key) ?? null
    edits.delete(`${type}/${key}`)
    const edit = editOf(type, key, before, after)
    if (edit !== null) edits.set(`${type}/${key}`, edit)
  }
  if (edits.size === 0) return null
  const { actor, action, comment = null, reverts = null } = write
  return entryOf(memory, {
    at,
    actor: { kind: actor.kind, id: actor.id, name: actor.name },
    action,
    comment,
    edits: [...edits.values()],
    reverts,
  })
}

/**
 * The same edits on a log that has moved on meanwhile: what shall stand is kept, what stood is what stands now.
 * Null when nothing would change.
 */
export async function replannedOn(memory: Memory, change: Change): Promise<Entry | null> {
  const edits = change.edits.flatMap(({ type, key, after }) => {
    const before = (memory.documents[type] as ReadonlyMap<string, Versioned>).get(key) ?? null
    return editOf(type, key, before, after as Versioned | null) ?? []
  })
  return edits.length === 0 ? null : entryOf(memory, { ...change, edits })
}

/** The entry that brings these edits, after the log's newest one. */
export async function entryOf(memory: Memory, content: Omit<Change, 'revision' | 'hash' | 'previousHash'>): Promise<Entry> {
  const revision = memory.revision + 1
  if (!Number.isSafeInteger(revision)) throw new Error(`The log ${memory.log} has run out of revisions.`)
  const { at, actor, action, comment, edits, reverts } = content
  const previousHash = memory.hash
  const pace = new Pace()
  const hash = createHash('sha256')
  for (const piece of hashedPieces(memory.log, { revision, at, actor, action, comment, edits, reverts, previousHash })) {
    hash.update(piece)
    if (pace.isDue()) await pace.rest()
  }
  return entryFrom(memory, deepFrozen({ revision, at, actor, action, comment, edits, reverts, hash: hash.digest('hex'), previousHash }))
}

/** The entry of a change that is already numbered and hashed, as the journal keeps it. */
export async function entryFrom(memory: Memory, change: Change): Promise<Entry> {
  let digest = memory.digest
  const documents: EntryDocument[] = []
  const pace = new Pace()
  for (const { type, key, after } of change.edits) {
    if (pace.isDue()) await pace.rest()
    const former = memory.hashes.get(`${type}/${key}`)
    if (former !== undefined) digest = combined(digest, former)
    if (after === null) {
      documents.push({ type, key, document: null, body: null, bytes: 0, hash: '' })
      continue
    }
    const body = JSON.stringify(after)
    const hash = documentHash(memory.log, type, key, body)
    digest = combined(digest, hash)
    documents.push({ type, key, document: after as object, body, bytes: Buffer.byteLength(body), hash })
  }
  const from = { revision: memory.revision, hash: memory.hash, stored: memory.stored }
  return { log: memory.log, change, from, epoch: memory.epoch, digest, documents }
}

/** SHA-256 over the entry without its own hash, and over the name of its log, so that it fits nowhere else. */
export function changeHash(log: string, change: Omit<Change, 'hash'>): string {
  const hash = createHash('sha256')
  for (const piece of hashedPieces(log, change)) hash.update(piece)
  return hash.digest('hex')
}

/** The canonical JSON of what is hashed, edit by edit: all fields of an entry, and `log`, in the order of their names. */
export function* hashedPieces(log: string, change: Omit<Change, 'hash'>): Generator<string> {
  const { revision, at, actor, action, comment, edits, reverts, previousHash } = change
  yield `${canonicalJson({ action, actor, at, comment }).slice(0, -1)},"edits":[`
  for (const [i, edit] of edits.entries()) yield `${i === 0 ? '' : ','}${canonicalJson(edit)}`
  yield `],${canonicalJson({ log, previousHash, reverts, revision }).slice(1)}`
}

/** What the storage is given. */
export function appendOf(entry: Entry): Append {
  const { log, change, from, epoch, digest, documents } = entry
  return {
    from: from.stored ? { revision: from.revision, hash: from.hash } : null,
    head: headRow({ log, epoch, revision: change.revision, hash: change.hash, digest }),
    change: rowOf(change),
    documents: documents.map(({ type, key, body, hash }) => ({ type, key, body, hash })),
  }
}

export function rowOf(change: Change): ChangeRow {
  const { revision, at, actor, action, comment, edits, reverts, hash, previousHash } = change
  return {
    revision,
    at: Date.parse(at),
    actor: JSON.stringify(actor),
    action,
    comment,
    edits: JSON.stringify(edits),
    reverts,
    hash,
    previousHash,
  }
}

/** The change in a row, or null when the row does not fit its hash. */
export function changeOf(log: string, row: ChangeRow): Change | null {
  try {
    const { revision, comment, reverts, hash, previousHash } = row
    const at = new Date(row.at).toISOString()
    const actor = JSON.parse(row.actor) as Change['actor']
    const edits = JSON.parse(row.edits) as Change['edits']
    const change = { revision, at, actor, action: row.action as Change['action'], comment, edits, reverts, hash, previousHash }
    return changeHash(log, change) === hash ? deepFrozen(change) : null
  } catch {
    // Not JSON any more, or no moment: damaged, as a wrong hash is.
    return null
  }
}

interface Versioned {
  readonly version: number
}

/** The edit with the version set, or null when it changes nothing but the version. */
function editOf(type: DocumentType, key: string, before: Versioned | null, after: Versioned | null): ChangeEdit | null {
  if (after === null) return before === null ? null : { type, key, before: before as unknown as ChangeEdit['before'], after: null }
  // Through JSON, so that what stands in memory is what a restart would read: no undefined, no -0, nobody else's object.
  const fresh = JSON.parse(JSON.stringify({ ...after, version: (before?.version ?? 0) + 1 })) as Versioned
  if (before !== null && isDeepStrictEqual({ ...fresh, version: 0 }, { ...before, version: 0 })) return null
  return { type, key, before: before as unknown as ChangeEdit['before'], after: fresh as unknown as ChangeEdit['after'] }
}

/** Everything that reads shares these objects, so nobody may write to them. */
export function deepFrozen<T>(value: T): T {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const item of Object.values(value)) deepFrozen(item)
  return value
}
