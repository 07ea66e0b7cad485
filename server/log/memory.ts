/** A log as it stands, in memory: what every read is answered from. Changed by `apply` alone, after the entry is stored. */
import type { DocumentType } from '../../schemas/change.ts'
import type { LogRow } from '../storage/tables.ts'
import { hashOf, NO_HASH } from './canonical.ts'
import type { Entry } from './entry.ts'
import type { DocumentOf, State } from './types.ts'

export type DocumentMaps = { readonly [T in DocumentType]: Map<string, DocumentOf[T]> }

export interface Memory {
  readonly log: string
  epoch: string
  revision: number
  /** The newest entry's hash. */
  hash: string
  /** The hashes of all documents, combined with exclusive or: order does not matter, and one is taken out as it was put in. */
  digest: Buffer
  readonly documents: DocumentMaps
  /** The hash of each document, by `type/key`. */
  readonly hashes: Map<string, string>
  /** The bytes of each document as JSON, by `type/key`, and of all together. */
  readonly sizes: Map<string, number>
  bytes: number
  /** Whether the database has a row for this log. */
  stored: boolean
}

export function emptyMemory(log: string, epoch: string): Memory {
  const documents = emptyMaps()
  const digest = Buffer.alloc(32)
  return { log, epoch, revision: 0, hash: NO_HASH, digest, documents, hashes: new Map(), sizes: new Map(), bytes: 0, stored: false }
}

export function emptyMaps(): DocumentMaps {
  return {
    flag: new Map(),
    segment: new Map(),
    hook: new Map(),
    trigger: new Map(),
    notifier: new Map(),
    valve: new Map(),
    plan: new Map(),
    schedule: new Map(),
    project: new Map(),
    environment: new Map(),
    key: new Map(),
    chat: new Map(),
  }
}

/** The live view of a log: its documents change with the next entry. */
export function stateOf(memory: Memory): State {
  const { log, epoch, revision, hash, documents, bytes } = memory
  return { log, epoch, revision, hash, documents, bytes }
}

/** Take over an entry that was made from this state. */
export function apply(memory: Memory, entry: Entry): void {
  memory.digest = entry.digest
  memory.revision = entry.change.revision
  memory.hash = entry.change.hash
  for (const { type, key, document, hash, bytes } of entry.documents) putHashed(memory, type, key, document, hash, bytes)
}

/** A document as it stands from now on, null for one that is removed, with all that is known of its text. */
export function putHashed(memory: Memory, type: DocumentType, key: string, document: unknown, hash: string, bytes: number): void {
  const name = `${type}/${key}`
  putDocument(memory.documents, type, key, document)
  memory.bytes += bytes - (memory.sizes.get(name) ?? 0)
  if (document === null) {
    memory.hashes.delete(name)
    memory.sizes.delete(name)
  } else {
    memory.hashes.set(name, hash)
    memory.sizes.set(name, bytes)
  }
}

export function putDocument(documents: DocumentMaps, type: DocumentType, key: string, document: unknown): void {
  const map = documents[type] as Map<string, unknown>
  if (document === null) map.delete(key)
  else map.set(key, document)
}

export function documentHash(log: string, type: string, key: string, body: string): string {
  return hashOf([log, type, key, body])
}

/** `digest` with one document's hash put in or, the same thing, taken out. */
export function combined(digest: Buffer, hash: string): Buffer {
  const other = Buffer.from(hash, 'hex')
  const result = Buffer.alloc(32)
  for (let i = 0; i < 32; i++) result[i] = (digest[i] ?? 0) ^ (other[i] ?? 0)
  return result
}

/** The row that says where the log stands, sealed. */
export function headRow(head: { log: string; epoch: string; revision: number; hash: string; digest: Buffer }): LogRow {
  const row = { name: head.log, epoch: head.epoch, revision: head.revision, hash: head.hash, digest: head.digest.toString('hex') }
  return { ...row, seal: sealOf(row) }
}

export function sealOf(row: Omit<LogRow, 'seal'>): string {
  return hashOf([row.name, row.epoch, row.revision, row.hash, row.digest])
}
