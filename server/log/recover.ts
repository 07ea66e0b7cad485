/** Start-up, after the logs are loaded: hold them against the head file, then commit what waits in the journal. */
import { randomUUID } from 'node:crypto'
import type { Storage } from '../storage/storage.ts'
import { NO_HASH } from './canonical.ts'
import { deepFrozen, type Entry, entryFrom, replannedOn } from './entry.ts'
import type { Head, Heads } from './head.ts'
import type { Journalled } from './journal.ts'
import type { Logger } from './log.ts'
import { apply, emptyMemory, headRow, type Memory } from './memory.ts'

/**
 * A log that knows less than was acknowledged, or something else, begins a new epoch, so that every SDK takes its state
 * anew; it goes on above every revision that was ever acknowledged, so that no number means two things.
 * @param heads what the head file says, or why it says nothing
 */
export async function holdAgainstHeads(storage: Storage, logs: Map<string, Memory>, heads: Heads | string, logger: Logger): Promise<void> {
  const changed: Memory[] = []
  if (typeof heads === 'string') {
    for (const memory of logs.values()) changed.push(memory)
    if (changed.length > 0)
      logger.warn(
        {},
        `head.json is ${heads}. Whether the newest changes are all here cannot be told; every log begins a new epoch, so that every SDK takes its state anew`,
      )
  } else {
    for (const [log, head] of heads) {
      const memory = logs.get(log) ?? emptyMemory(log, randomUUID())
      logs.set(log, memory)
      const problem = await difference(storage, memory, head)
      if (problem === null) continue
      logger.warn({ log, stored: memory.revision, acknowledged: head.revision }, problem)
      memory.revision = Math.max(memory.revision, head.revision)
      changed.push(memory)
    }
  }
  // Nothing to say, nothing to write: a start on a full disk must not fail for it.
  if (changed.length === 0) return
  for (const memory of changed) memory.epoch = randomUUID()
  await storage.replaceHeads(changed.map(headRow))
  for (const memory of changed) memory.stored = true
}

/** What is wrong, for people; null when the log holds everything that was acknowledged. */
async function difference(storage: Storage, memory: Memory, head: Head): Promise<string | null> {
  const { log, revision } = memory
  if (revision < head.revision) {
    return (
      `Changes are lost: the database stands at revision ${revision} of "${log}", but revision ${head.revision} had been acknowledged. ` +
      `Revisions ${revision + 1} to ${head.revision} are not in it (an older backup was restored, or the write-ahead log was damaged or removed). ` +
      `Going on from revision ${revision} in a new epoch; the next change is revision ${head.revision + 1}. Compare the flags with what you expect, kills above all`
    )
  }
  const [entry] = await storage.changes(log, { toRevision: head.revision, limit: 1, order: 'newest' })
  if ((entry?.hash ?? NO_HASH) === head.hash) return null
  return (
    `The database holds another history of "${log}" than the one that was acknowledged: revision ${head.revision} is a different entry. ` +
    `Going on from its revision ${revision} in a new epoch. Compare the flags with what you expect, kills above all`
  )
}

/**
 * Make the entries of a journalled commit, on the logs as they stand; empty when the database has them already. A log
 * that has moved on differently gets the documents as a new entry, in a new epoch.
 */
export async function replay(
  storage: Storage,
  logs: Map<string, Memory>,
  commit: readonly Journalled[],
  logger: Logger,
): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for (const { log, epoch, change } of commit) {
    const memory = logs.get(log) ?? emptyMemory(log, epoch)
    logs.set(log, memory)
    const [stored] = await storage.changes(log, {
      afterRevision: change.revision - 1,
      toRevision: change.revision,
      limit: 1,
      order: 'oldest',
    })
    if (stored?.hash === change.hash) continue
    if (change.previousHash === memory.hash && change.revision === memory.revision + 1) {
      entries.push(await entryFrom(memory, deepFrozen(change)))
      continue
    }
    memory.epoch = randomUUID()
    const entry = await replannedOn(memory, change)
    logger.warn(
      { log, revision: change.revision },
      `Revision ${change.revision} of "${log}" waited in the journal, but the log has moved on without it. ${entry === null ? 'It would change nothing any more' : `It becomes revision ${entry.change.revision}, in a new epoch`}`,
    )
    if (entry !== null) entries.push(entry)
  }
  return entries
}

/** After the entries are stored, or journalled: they are the state now. */
export function takeOver(logs: ReadonlyMap<string, Memory>, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const memory = logs.get(entry.log)
    if (memory === undefined) throw new Error(`No log ${entry.log} in memory.`)
    apply(memory, entry)
    memory.stored = true
  }
}
