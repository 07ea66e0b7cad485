/**
 * The change log: the one way in (`commit`) and the one way out (`subscribe`). Writes take turns; a write is planned on
 * the state in memory, stored, taken over into memory, and only then published. Reads of the present never wait.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { FastifyBaseLogger } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import { type Clock, moment } from '../clock.ts'
import { openSqlite } from '../storage/sqlite.ts'
import { openStorage, type Storage } from '../storage/storage.ts'
import { appendOf, type Entry, planned } from './entry.ts'
import { change, changes, type Sources, stateAt, verify } from './history.ts'
import { apply, emptyMemory, type Memory, stateOf } from './memory.ts'
import { loadLogs } from './open.ts'
import type { ChangeLog, Commit, Published, State, Write } from './types.ts'

export type Logger = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>

export interface LogOptions {
  /** The folder of the database and the files beside it; created if it is not there. */
  readonly data: string
  readonly clock: Clock
  readonly logger: Logger
  /** The database in a folder; SQLite unless given. Tests put one between that fails when told. */
  readonly openStorage?: (folder: string) => Promise<Storage>
}

/**
 * Open the log in a data folder, check it, and bring it up to date.
 * Errors: `DATA_LOCKED`, `SQLITE_TOO_OLD`, `LOG_DAMAGED`, `DATA_TOO_NEW`, `STORAGE_FULL`, `STORAGE_UNAVAILABLE`.
 */
export async function openLog(options: LogOptions): Promise<ChangeLog> {
  makeFolder(options.data)
  const storage = await (options.openStorage ?? openDatabase)(options.data)
  try {
    const logs = await loadLogs(storage)
    return new OpenLog(options, storage, logs)
  } catch (error) {
    await storage.close()
    throw error
  }
}

export async function openDatabase(folder: string): Promise<Storage> {
  return openStorage(openSqlite(folder))
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new SluiceError(
      'STORAGE_UNAVAILABLE',
      `The data folder ${folder} cannot be created: ${String(cause)}. Give another one with SLUICE_DATA.`,
      { cause },
    )
  }
}

class OpenLog implements ChangeLog {
  readonly #options: LogOptions
  readonly #storage: Storage
  readonly #logs: Map<string, Memory>
  readonly #listeners = new Set<(published: Published) => void>()
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(options: LogOptions, storage: Storage, logs: Map<string, Memory>) {
    this.#options = options
    this.#storage = storage
    this.#logs = logs
  }

  state(log: string): State {
    return stateOf(this.#memory(log))
  }

  logs(): readonly string[] {
    return [...this.#logs.values()].filter(memory => memory.revision > 0).map(memory => memory.log)
  }

  async commit(write: Write): Promise<Commit> {
    const [commit] = await this.commitAll([write])
    if (commit === undefined) throw new Error('One write, no commit.')
    return commit
  }

  commitAll(writes: readonly Write[]): Promise<readonly Commit[]> {
    return this.#inTurn(() => this.#write(writes))
  }

  subscribe(listener: (published: Published) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  changes: ChangeLog['changes'] = (log, query) => changes(this.#sources(log), query)
  change: ChangeLog['change'] = (log, revision) => change(this.#sources(log), revision)
  stateAt: ChangeLog['stateAt'] = (log, revision) => stateAt(this.#sources(log), revision)
  verify: ChangeLog['verify'] = log => verify(this.#sources(log))
  revisionAt: ChangeLog['revisionAt'] = (log, at) => this.#storage.revisionAt(log, at)
  status: ChangeLog['status'] = () => ({ healthy: true, problem: null, volatile: 0 })

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#turn
    await this.#storage.close()
  }

  async #write(writes: readonly Write[]): Promise<readonly Commit[]> {
    const at = moment(this.#options.clock.now())
    const plans = writes.map(write => ({ log: write.log, entry: planned(this.#memory(write.log), write, at) }))
    const entries = plans.flatMap(({ entry }) => entry ?? [])
    const isDry = writes.some(write => write.dryRun === true)
    if (!isDry && entries.length > 0) {
      await this.#storage.append(entries.map(appendOf))
      this.#takeOver(entries)
      this.#publish(entries, false)
    }
    return plans.map(({ log, entry }) => ({ log, revision: this.#memory(log).revision, change: entry?.change ?? null, volatile: false }))
  }

  #takeOver(entries: readonly Entry[]): void {
    for (const entry of entries) {
      apply(this.#memory(entry.log), entry)
      this.#memory(entry.log).stored = true
    }
  }

  #publish(entries: readonly Entry[], volatile: boolean): void {
    for (const { log, epoch, change } of entries) {
      for (const listener of this.#listeners) {
        try {
          listener({ log, epoch, change, volatile })
        } catch (error) {
          this.#options.logger.error({ err: error, log, revision: change.revision }, 'A listener of the log failed; the others go on')
        }
      }
    }
  }

  #memory(log: string): Memory {
    let memory = this.#logs.get(log)
    if (memory === undefined) {
      memory = emptyMemory(log, randomUUID())
      this.#logs.set(log, memory)
    }
    return memory
  }

  #sources(log: string): Sources {
    return { storage: this.#storage, memory: this.#memory(log), waiting: [] }
  }

  /** One after the other, in the order of the calls; a failed one does not hold up the next. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new SluiceError('NOT_READY', 'The server is shutting down. Try again when it is back.'))
    const result = this.#turn.then(run)
    this.#turn = result.catch(() => {})
    return result
  }
}
