/**
 * The change log: the one way in (`commit`) and the one way out (`subscribe`). Writes take turns; a write is planned on
 * the state in memory, stored, taken over into memory, and only then published. Reads of the present never wait.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { FastifyBaseLogger } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import { type Clock, moment, type Timer } from '../clock.ts'
import { openSqlite } from '../storage/sqlite.ts'
import { openStorage, type Storage } from '../storage/storage.ts'
import { appendOf, type Entry, planned } from './entry.ts'
import { type Head, HeadFile, readHeads } from './head.ts'
import { change, changes, revisionAt, type Sources, stateAt, verify } from './history.ts'
import { Journal } from './journal.ts'
import { emptyMemory, type Memory, stateOf } from './memory.ts'
import { loadLogs } from './open.ts'
import { holdAgainstHeads, replay, takeOver } from './recover.ts'
import { Pace } from './pace.ts'
import type { ChangeLog, Commit, LogStatus, Published, State, Write } from './types.ts'

/** When storage fails it is tried again after this long, then after twice as long, up to the longest. */
const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 30_000
/** How often a long write is planned before its turn, when other writes come in between. */
const PLANS_AHEAD = 2

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
export async function openLog(options: LogOptions): Promise<OpenedLog> {
  makeFolder(options.data)
  const storage = await (options.openStorage ?? openDatabase)(options.data)
  try {
    const logs = await loadLogs(storage)
    await holdAgainstHeads(storage, logs, await readHeads(options.data), options.logger)
    const log = new OpenLog(options, storage, logs)
    await log.recover()
    return log
  } catch (error) {
    await storage.close()
    throw error
  }
}

/** A log with the database it is in, for what else is kept there. Closing the log closes it. */
export interface OpenedLog extends ChangeLog {
  readonly storage: Storage
}

/** What a write has come to, on the log as it stood. */
interface Plan {
  readonly log: string
  readonly epoch: string
  readonly revision: number
  /** Null when nothing would change. */
  readonly entry: Entry | null
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

class OpenLog implements OpenedLog {
  readonly storage: Storage
  readonly #options: LogOptions
  /** What is true for everybody who asks, the entries that wait to be stored included. */
  readonly #logs: Map<string, Memory>
  /** Where each log stands in the database, as the head file says it. */
  readonly #stored = new Map<string, Head>()
  readonly #headFile: HeadFile
  readonly #journal: Journal
  /** Commits that are published but not stored, oldest first. */
  readonly #waiting: (readonly Entry[])[] = []
  readonly #listeners = new Set<(published: Published) => void>()
  #turn: Promise<unknown> = Promise.resolve()
  #problem: SluiceError | null = null
  #retry: Timer | null = null
  #isBallastMissing = false
  #ballastTimer: Timer | null = null
  #closed = false

  constructor(options: LogOptions, storage: Storage, logs: Map<string, Memory>) {
    this.#options = options
    this.storage = storage
    this.#logs = logs
    this.#headFile = new HeadFile(options.data, this.#stored, options.logger)
    this.#journal = new Journal(options.data, options.logger)
    for (const { log, epoch, revision, hash } of logs.values()) this.#stored.set(log, { epoch, revision, hash })
  }

  /** Commit what a former process had to leave in the journal; what still cannot be stored waits on. */
  async recover(): Promise<void> {
    const commits = await this.#journal.read()
    for (const commit of commits) {
      const entries = await replay(this.storage, this.#logs, commit, this.#options.logger)
      if (entries.length === 0) continue
      takeOver(this.#logs, entries)
      this.#waiting.push(entries)
    }
    if (commits.length > 0) await this.#storeWaiting()
    await this.#keepBallast()
    await this.#headFile.save()
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

  async commitAll(writes: readonly Write[]): Promise<readonly Commit[]> {
    if (new Set(writes.map(write => write.log)).size < writes.length) throw new Error('At most one write per log.')
    const ahead = writes.some(write => write.isLong === true) ? await this.#planAhead(writes) : null
    const { commits, isStored } = await this.#inTurn(() => this.#write(writes, ahead))
    // Outside the turn: the next write need not wait for it, and several share one.
    if (isStored) await this.#headFile.save()
    return commits
  }

  subscribe(listener: (published: Published) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  // Asynchronous even where they fail at once, as the interface says.
  changes: ChangeLog['changes'] = async (log, query) => changes(this.#sources(log), query)
  change: ChangeLog['change'] = async (log, revision) => change(this.#sources(log), revision)
  stateAt: ChangeLog['stateAt'] = async (log, revision) => stateAt(this.#sources(log), revision)
  revisionAt: ChangeLog['revisionAt'] = async (log, at) => revisionAt(this.#sources(log), at)
  verify: ChangeLog['verify'] = async (log, part) => verify(this.#sources(log), part)

  status(): LogStatus {
    const volatile = this.#waiting.reduce((count, entries) => count + entries.length, 0)
    return { healthy: this.#problem === null, problem: this.#problem?.message ?? null, volatile }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#turn
    if (this.#waiting.length > 0) await this.#storeWaiting()
    this.#retry?.cancel()
    this.#ballastTimer?.cancel()
    await this.#headFile.save()
    await this.storage.close()
  }

  async #plan(writes: readonly Write[]): Promise<readonly Plan[]> {
    const at = moment(this.#options.clock.now())
    const plans: Plan[] = []
    for (const write of writes) {
      const memory = this.#memory(write.log)
      const { epoch, revision } = memory
      plans.push({ log: write.log, epoch, revision, entry: await planned(memory, write, at) })
    }
    return plans
  }

  /**
   * Plan a long write while others have their turns. What comes out, a refusal too, counts only if none of its logs has
   * changed meanwhile; then it is tried once more, and at last left to the write's own turn, where nothing changes.
   */
  async #planAhead(writes: readonly Write[]): Promise<readonly Plan[] | null> {
    for (let tries = 0; tries < PLANS_AHEAD; tries++) {
      const before = writes.map(write => this.#memory(write.log).hash)
      const isSame = (): boolean => writes.every((write, i) => this.#memory(write.log).hash === before[i])
      try {
        const plans = await this.#plan(writes)
        if (isSame()) return plans
      } catch (error) {
        if (isSame()) throw error
      }
    }
    return null
  }

  async #write(writes: readonly Write[], ahead: readonly Plan[] | null): Promise<{ commits: readonly Commit[]; isStored: boolean }> {
    const isCurrent = ahead?.every(({ log, epoch, revision }) => {
      const memory = this.#memory(log)
      return memory.epoch === epoch && memory.revision === revision
    })
    const plans = ahead !== null && isCurrent === true ? ahead : await this.#plan(writes)
    const entries = plans.flatMap(({ entry }) => entry ?? [])
    const isWritten = entries.length > 0 && !writes.some(write => write.dryRun === true)
    const failure = isWritten ? await this.#store(entries) : null
    if (failure !== null) {
      if (!writes.every(write => write.evenIfStorageFails === true)) throw this.#refusal(failure)
      await this.#keepWaiting(entries, failure)
    }
    if (isWritten) {
      takeOver(this.#logs, entries)
      this.#publish(entries, failure !== null)
    }
    const commits = plans.map(({ log, entry }) => ({
      log,
      revision: this.#memory(log).revision,
      change: entry?.change ?? null,
      volatile: isWritten && entry !== null ? failure !== null : entry === null && this.#waits(log),
    }))
    return { commits, isStored: isWritten && failure === null }
  }

  /** Store entries, those that wait first; answers why not, when it cannot. */
  async #store(entries: readonly Entry[]): Promise<SluiceError | null> {
    if (this.#waiting.length > 0) {
      const failure = await this.#storeWaiting()
      if (failure !== null) return failure
    }
    return this.#append(entries)
  }

  async #storeWaiting(): Promise<SluiceError | null> {
    const { logger } = this.#options
    for (let entries = this.#waiting[0]; entries !== undefined; entries = this.#waiting[0]) {
      const failure = await this.#append(entries)
      if (failure !== null) return failure
      this.#waiting.shift()
      for (const { log, change } of entries)
        logger.info({ log, revision: change.revision }, 'A change from the journal is now in the database')
    }
    try {
      await this.#journal.clear()
    } catch (error) {
      logger.warn({ err: error }, 'The journal cannot be removed. All of it is in the database, and the next start sees that')
    }
    await this.#keepBallast()
    await this.#headFile.save()
    return null
  }

  async #append(entries: readonly Entry[]): Promise<SluiceError | null> {
    try {
      const pace = new Pace()
      const appends = entries.map(appendOf)
      if (pace.isDue()) await pace.rest()
      await this.storage.append(appends)
    } catch (error) {
      this.#failed(error)
      return this.#problem
    }
    for (const { log, epoch, change } of entries) this.#stored.set(log, { epoch, revision: change.revision, hash: change.hash })
    this.#recovered()
    return null
  }

  /** In the journal, so that it outlives the process; published even if that fails, because a kill must arrive. */
  async #keepWaiting(entries: readonly Entry[], failure: SluiceError): Promise<void> {
    const { logger } = this.#options
    const named = entries.map(({ log, change }) => `${log} ${change.revision}`)
    try {
      await this.#journal.append(entries.map(({ log, epoch, change }) => ({ log, epoch, change })))
      logger.error(
        { err: failure, changes: named },
        'A kill could not be stored. It is published and in the journal, and is stored when the database can be written again',
      )
    } catch (error) {
      logger.error(
        { err: error, changes: named },
        'A kill could neither be stored nor journalled. It is published, but only this process knows it: do not restart before the disk is well',
      )
    }
    this.#waiting.push(entries)
  }

  async #keepBallast(): Promise<void> {
    try {
      await this.#journal.keepBallast()
      this.#isBallastMissing = false
    } catch (error) {
      const { logger, data, clock } = this.#options
      if (!this.#isBallastMissing) {
        logger.warn(
          { err: error },
          `There is no room for the ballast in ${data}: should the disk be full, a kill may not find room in the journal. Make room on the disk`,
        )
      }
      this.#isBallastMissing = true
      this.#ballastTimer?.cancel()
      this.#ballastTimer = clock.after(RETRY_MAX_MS, () => {
        if (!this.#closed) void this.#inTurn(() => this.#keepBallast())
      })
    }
  }

  #failed(error: unknown): void {
    this.#problem =
      error instanceof SluiceError && (error.code === 'STORAGE_FULL' || error.code === 'STORAGE_UNAVAILABLE')
        ? error
        : new SluiceError('STORAGE_UNAVAILABLE', error instanceof Error ? error.message : String(error), { cause: error })
    this.#retry ??= this.#retryAfter(RETRY_FIRST_MS)
  }

  #recovered(): void {
    if (this.#problem !== null) this.#options.logger.info({}, 'The log can be written again')
    this.#problem = null
    this.#retry?.cancel()
    this.#retry = null
  }

  #retryAfter(afterMs: number): Timer {
    return this.#options.clock.after(afterMs, () => {
      if (!this.#closed) void this.#inTurn(() => this.#tryAgain(afterMs))
    })
  }

  async #tryAgain(afterMs: number): Promise<void> {
    if (this.#problem === null) return
    if (this.#waiting.length > 0) {
      await this.#storeWaiting()
    } else {
      try {
        await this.storage.probe()
        this.#recovered()
      } catch (error) {
        this.#failed(error)
      }
    }
    if (this.#problem !== null) this.#retry = this.#retryAfter(Math.min(afterMs * 2, RETRY_MAX_MS))
  }

  /** What a person is told whose change was not taken. */
  #refusal(failure: SluiceError): SluiceError {
    const { volatile } = this.status()
    const waiting =
      volatile === 0 ? '' : ` ${volatile} ${volatile === 1 ? 'kill is' : 'kills are'} published and waiting to be stored first.`
    return new SluiceError(
      failure.code,
      `The change was not stored. ${failure.message}${waiting} Flags are read and streamed as before, and kills still work. Send the change again when this is mended.`,
      { cause: failure },
    )
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

  #waits(log: string): boolean {
    return this.#waiting.some(entries => entries.some(entry => entry.log === log))
  }

  #sources(log: string): Sources {
    return { storage: this.storage, memory: this.#memory(log), waiting: this.#waiting.flat().filter(entry => entry.log === log) }
  }

  /** One after the other, in the order of the calls; a failed one does not hold up the next. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new SluiceError('NOT_READY', 'The server is shutting down. Try again when it is back.'))
    const result = this.#turn.then(run)
    this.#turn = result.catch(() => {})
    return result
  }
}
