/** From the rows of the database to the logs in memory. Nothing is taken over that does not fit its hash. */
import type { DocumentType } from '../../schemas/change.ts'
import type { Storage } from '../storage/storage.ts'
import type { LogRow } from '../storage/tables.ts'
import { NO_HASH } from './canonical.ts'
import { damaged } from './damage.ts'
import { changeOf, deepFrozen } from './entry.ts'
import { combined, documentHash, emptyMemory, type Memory, putHashed, sealOf } from './memory.ts'

/**
 * Read every log with its documents.
 * Error: `LOG_DAMAGED`, naming the log, the document or the entry.
 */
export async function loadLogs(storage: Storage): Promise<Map<string, Memory>> {
  const logs = new Map<string, Memory>()
  for (const row of await storage.logs()) logs.set(row.name, await loadLog(storage, row))
  for (const name of await storage.names()) {
    if (!logs.has(name)) throw damaged(`the log "${name}" has entries or documents but no head`)
  }
  return logs
}

async function loadLog(storage: Storage, row: LogRow): Promise<Memory> {
  if (sealOf(row) !== row.seal) throw damaged(`the head of the log "${row.name}" does not fit its seal`)
  const memory = emptyMemory(row.name, row.epoch)
  memory.revision = row.revision
  memory.hash = row.hash
  memory.stored = true
  await checkNewest(storage, row)
  for (const { type, key, body, hash } of await storage.documents(row.name)) {
    if (documentHash(row.name, type, key, body) !== hash || !(type in memory.documents)) {
      throw damaged(`the ${type} "${key}" in the log "${row.name}" does not fit its hash`)
    }
    putHashed(memory, type as DocumentType, key, deepFrozen(JSON.parse(body)), hash, Buffer.byteLength(body))
    memory.digest = combined(memory.digest, hash)
  }
  if (memory.digest.toString('hex') !== row.digest)
    throw damaged(`the documents of the log "${row.name}" are not those of revision ${row.revision}`)
  return memory
}

/** The head names the newest entry; after a restored backup its revision may be higher than that entry's, never lower. */
async function checkNewest(storage: Storage, row: LogRow): Promise<void> {
  const [newest] = await storage.changes(row.name, { limit: 1, order: 'newest' })
  const change = newest === undefined ? null : changeOf(row.name, newest)
  if (newest !== undefined && change === null) throw damaged(`entry ${newest.revision} of the log "${row.name}" does not fit its hash`)
  if ((change?.hash ?? NO_HASH) === row.hash && (change?.revision ?? 0) <= row.revision) return
  throw damaged(`the newest entry of the log "${row.name}" is not the one its head names (revision ${row.revision})`)
}
