/** Reading the log: entries, earlier states, the chain. Every entry that is read is checked against its hash. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Change, DOCUMENT_TYPES } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { RowsQuery, Storage } from '../storage/storage.ts'
import type { ChangeRow } from '../storage/tables.ts'
import { NO_HASH } from './canonical.ts'
import { damaged } from './damage.ts'
import { changeOf, type Entry } from './entry.ts'
import { type DocumentMaps, emptyMaps, type Memory, putDocument, stateOf } from './memory.ts'
import { Pace } from './pace.ts'
import type { ChangesQuery, State, Verification, VerifyPart } from './types.ts'

/** Entries read at a time, at first and at most; between two helpings the event loop has its turn. */
const HELPING_FIRST = 10
const HELPING_MAX = 50
/** An import is one entry with thousands of edits: after one, fewer entries are read at a time, so that memory stays bounded. */
const EDITS_PER_HELPING = 1_000

/** Where history is read from: the database, and the entries that wait to be stored. */
export interface Sources {
  readonly storage: Storage
  readonly memory: Memory
  readonly waiting: readonly Entry[]
}

/**
 * The entries as they are when this is called. Without a filter they must follow one another without a gap, from the
 * entry before them to the newest: one that a damaged database no longer shows is noticed.
 * Error: `LOG_DAMAGED`, also for an entry that does not fit its hash.
 */
export async function changes(sources: Sources, query: ChangesQuery): Promise<readonly Change[]> {
  const { storage, memory, waiting } = sources
  const { afterRevision = 0, since, until, limit, order } = query
  const { log, revision, hash } = memory
  const toRevision = Math.min(query.toRevision ?? revision, revision)
  if (afterRevision >= toRevision) return []
  const touching: { type: string; key: string }[] = []
  // Where a valve stands and what becomes of a rollout plan is part of the flag's history.
  if (query.flag !== undefined) for (const type of ['flag', 'valve', 'plan']) touching.push({ type, key: query.flag })
  if (query.segment !== undefined) touching.push({ type: 'segment', key: query.segment })
  const rows: RowsQuery = { afterRevision, toRevision, since, until, limit, order, touching }
  // Taken before the database is asked: an entry that is stored meanwhile would be missed otherwise, not seen twice.
  const unstored = waiting.map(entry => entry.change).filter(change => fits(change, rows))
  const stored: Change[] = []
  const pace = new Pace()
  for (const row of await storage.changes(log, rows)) {
    stored.push(read(log, row))
    // Each import among them is thousands of edits to hash.
    if (pace.isDue()) await pace.rest()
  }
  const newestStored = stored.reduce((newest, change) => Math.max(newest, change.revision), 0)
  const rest = unstored.filter(change => change.revision > newestStored)
  const answer = (order === 'newest' ? [...rest.reverse(), ...stored] : [...stored, ...rest]).slice(0, limit)
  if (touching.length === 0 && since === undefined && until === undefined) {
    const isAll = answer.length < limit
    const start = order === 'oldest' || isAll ? await hashAt(sources, afterRevision) : null
    const end = toRevision === revision && (order === 'newest' || isAll) ? hash : null
    checkLinks(log, order === 'newest' ? answer.toReversed() : answer, start, end)
  }
  return answer
}

/** Errors: `CHANGE_NOT_FOUND`, `LOG_DAMAGED`. */
export async function change(sources: Sources, revision: number): Promise<Change> {
  const [found] = await changes(sources, { afterRevision: revision - 1, toRevision: revision, limit: 1, order: 'oldest' })
  if (found !== undefined) return found
  throw notFound(sources.memory, revision)
}

/**
 * The documents as they stood: back from now, or forward from nothing, whichever is nearer. The chain is followed on
 * the way, so that an entry that is missing or altered is noticed rather than left out.
 * Errors: `CHANGE_NOT_FOUND`, `LOG_DAMAGED`.
 */
export async function stateAt(sources: Sources, revision: number): Promise<State> {
  const { memory } = sources
  if (revision < 0 || revision > memory.revision || !Number.isSafeInteger(revision)) throw notFound(memory, revision)
  const now: State = { ...stateOf(memory), documents: copied(memory.documents) }
  const documents =
    revision < memory.revision / 2
      ? await forward(sources, now, memory.hash, revision)
      : await backward(sources, now, memory.hash, revision)
  return { ...now, revision, hash: undefined, documents, bytes: undefined }
}

/** The newest revision at a moment (ms since 1970); 0 before the first. */
export async function revisionAt({ storage, memory, waiting }: Sources, at: number): Promise<number> {
  const newest = waiting.findLast(entry => Date.parse(entry.change.at) <= at)
  return newest?.change.revision ?? storage.revisionAt(memory.log, at)
}

/** Recompute the chain, and compare the index of documents with what the entries say. */
export async function verify(sources: Sources, { from, most = Infinity }: VerifyPart = {}): Promise<Verification> {
  const { storage, memory } = sources
  const { log, revision, hash } = memory
  const waiting = sources.waiting.map(entry => entry.change)
  const storedRevision = waiting[0] === undefined ? revision : waiting[0].revision - 1
  let last = from?.hash ?? NO_HASH
  let reached = from?.revision ?? 0
  const end = reached + most
  const found = (brokenAt: number | null): Verification => ({ log, revision, hash, brokenAt, reached: { revision: reached, hash: last } })
  let helping = HELPING_FIRST
  while (reached < end) {
    const rows = await storage.changes(log, {
      afterRevision: reached,
      toRevision: storedRevision,
      limit: Math.min(helping, end - reached),
      order: 'oldest',
    })
    if (rows.length === 0) break
    const to = rows.at(-1)?.revision ?? reached
    const index = new Map<number, string[]>()
    let edits = 0
    for (const row of await storage.touched(log, reached, to)) {
      const listed = index.get(row.revision)
      if (listed === undefined) index.set(row.revision, [`${row.type}/${row.key}`])
      else listed.push(`${row.type}/${row.key}`)
    }
    for (const row of rows) {
      const entry = changeOf(log, row)
      const listed = index.get(row.revision)?.sort().join('\n')
      const touched = entry?.edits
        .map(edit => `${edit.type}/${edit.key}`)
        .sort()
        .join('\n')
      if (entry?.previousHash !== last || listed !== touched) return found(row.revision)
      last = entry.hash
      reached = entry.revision
      edits += entry.edits.length
      index.delete(row.revision)
    }
    const [stray] = index.keys()
    if (stray !== undefined) return found(stray)
    helping = nextHelping(helping, edits)
    await nextTurn()
  }
  if (reached >= end && reached < storedRevision) return found(null)
  for (const entry of waiting.filter(each => each.revision > reached)) {
    if (entry.previousHash !== last) return found(entry.revision)
    last = entry.hash
    reached = entry.revision
  }
  // The newest entries are gone: the chain ends before the log does.
  return found(last === hash ? null : Math.min(reached + 1, revision))
}

async function backward(sources: Sources, now: State, hash: string, revision: number): Promise<DocumentMaps> {
  const documents = now.documents as DocumentMaps
  let expected = hash
  let reached = now.revision
  let helping = HELPING_FIRST
  for (;;) {
    const part = await changes(sources, { afterRevision: revision, toRevision: reached, limit: helping, order: 'newest' })
    for (const entry of part) {
      if (entry.hash !== expected) throw broken(now.log, entry.revision)
      for (const { type, key, before } of entry.edits) putDocument(documents, type, key, before)
      expected = entry.previousHash
      reached = entry.revision - 1
    }
    if (part.length < helping) break
    helping = nextHelping(helping, part.flatMap(entry => entry.edits).length)
    await nextTurn()
  }
  // The entry the state stands on must be the one that the walk arrived at.
  if ((await hashAt(sources, revision)) !== expected) throw broken(now.log, revision)
  return documents
}

async function forward(sources: Sources, now: State, hash: string, revision: number): Promise<DocumentMaps> {
  const documents = emptyMaps()
  let expected = NO_HASH
  let reached = 0
  let helping = HELPING_FIRST
  for (;;) {
    const part = await changes(sources, { afterRevision: reached, toRevision: revision, limit: helping, order: 'oldest' })
    for (const entry of part) {
      if (entry.previousHash !== expected) throw broken(now.log, entry.revision)
      for (const { type, key, after } of entry.edits) putDocument(documents, type, key, after)
      expected = entry.hash
      reached = entry.revision
    }
    if (part.length < helping) break
    helping = nextHelping(helping, part.flatMap(entry => entry.edits).length)
    await nextTurn()
  }
  const [above] = await changes(sources, { afterRevision: revision, toRevision: now.revision, limit: 1, order: 'oldest' })
  if ((above?.previousHash ?? hash) !== expected) throw broken(now.log, revision)
  return documents
}

function nextHelping(helping: number, edits: number): number {
  if (edits <= EDITS_PER_HELPING) return Math.min(HELPING_MAX, helping * 2)
  return Math.max(1, Math.floor((helping * EDITS_PER_HELPING) / edits))
}

function copied(documents: State['documents']): DocumentMaps {
  const maps = emptyMaps()
  for (const type of DOCUMENT_TYPES) for (const [key, document] of documents[type]) (maps[type] as Map<string, unknown>).set(key, document)
  return maps
}

function read(log: string, row: ChangeRow): Change {
  const found = changeOf(log, row)
  if (found === null) throw damaged(`entry ${row.revision} of the log "${log}" does not fit its hash`)
  return found
}

function broken(log: string, revision: number): SluiceError {
  return damaged(`the entries of the log "${log}" around revision ${revision} do not follow one another`)
}

function notFound(memory: Memory, revision: number): SluiceError {
  const range = memory.revision === 0 ? 'is empty' : `goes from 1 to ${memory.revision}`
  return new SluiceError('CHANGE_NOT_FOUND', `There is no revision ${revision} in "${memory.log}": its log ${range}.`)
}

/**
 * @param entries oldest first
 * @param start the hash that the first one must name, when it is known
 * @param end the hash of the last one, when it is known
 */
function checkLinks(log: string, entries: readonly Change[], start: string | null, end: string | null): void {
  let last = start
  for (const entry of entries) {
    if (last !== null && entry.previousHash !== last) throw broken(log, entry.revision)
    last = entry.hash
  }
  if (last !== null && end !== null && last !== end) throw broken(log, entries.at(-1)?.revision ?? 0)
}

/** The hash of the newest entry up to a revision. */
async function hashAt({ storage, memory, waiting }: Sources, revision: number): Promise<string> {
  if (revision <= 0) return NO_HASH
  const unstored = waiting.findLast(entry => entry.change.revision <= revision)
  return unstored?.change.hash ?? (await storage.hashAt(memory.log, revision)) ?? NO_HASH
}

/** Whether an entry that is not stored yet belongs to the answer. */
function fits(entry: Change, query: RowsQuery): boolean {
  const at = Date.parse(entry.at)
  const touching = query.touching ?? []
  return (
    (query.afterRevision === undefined || entry.revision > query.afterRevision) &&
    (query.toRevision === undefined || entry.revision <= query.toRevision) &&
    (query.since === undefined || at >= query.since) &&
    (query.until === undefined || at <= query.until) &&
    (touching.length === 0 || touching.some(({ type, key }) => entry.edits.some(edit => edit.type === type && edit.key === key)))
  )
}
