/**
 * What is particular to SQLite: opening the file, its settings, the lock on the data folder, and what its errors mean.
 * The queries themselves are in `storage.ts` and know nothing of it.
 */
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { CompiledQuery, type DatabaseConnection, type Dialect, type Driver, SqliteAdapter, SqliteDialect, SqliteDriver } from 'kysely'
import { SluiceError } from '../../schemas/errors.ts'
import type { Database } from './storage.ts'

export const DATABASE_FILE = 'sluice.db'

/** Older ones can corrupt a database when a checkpoint meets a write (sqlite.org/wal.html, "the WAL-reset bug"). */
export const SQLITE_VERSION_MIN = '3.51.3'

/** The write-ahead log is cut back to this many bytes once its entries are in the database. */
const WAL_BYTES_KEPT = 64 * 1024 * 1024
/** Statements kept prepared; the log uses about thirty shapes. */
const STATEMENTS_KEPT = 128

export interface SqliteOptions {
  /** What the library calls itself; the library is asked unless given. */
  readonly libraryVersion?: string
  /** Called with the open handle: tests set a `max_page_count` here, to fill a disk at will. */
  readonly configure?: (handle: Sqlite.Database) => void
}

/**
 * Open, and if need be create, the database in a data folder, and lock it against every other process.
 * Errors: `SQLITE_TOO_OLD`, `DATA_LOCKED`, `LOG_DAMAGED` for a file that is no database, `STORAGE_FULL`, `STORAGE_UNAVAILABLE`.
 */
export function openSqlite(folder: string, options: SqliteOptions = {}): Database {
  const file = join(folder, DATABASE_FILE)
  let handle: Sqlite.Database | null = null
  try {
    // No waiting for a lock: whoever holds it holds it for as long as he lives.
    handle = new Sqlite(file, { timeout: 0 })
    checkLibrary(options.libraryVersion ?? String(handle.prepare('select sqlite_version()').pluck().get()))
    configure(handle, file)
    options.configure?.(handle)
  } catch (error) {
    handle?.close()
    throw isBusy(error) ? locked(folder, error) : (failureOf(error, file) ?? error)
  }
  return { dialect: dialectOf(handle), failure: error => failureOf(error, file) }
}

/** Error: `SQLITE_TOO_OLD`. */
export function checkLibrary(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const [majorMin = 0, minorMin = 0, patchMin = 0] = SQLITE_VERSION_MIN.split('.').map(Number)
  if ((major - majorMin || minor - minorMin || patch - patchMin) >= 0) return
  throw new SluiceError(
    'SQLITE_TOO_OLD',
    `This SQLite is version ${version}; at least ${SQLITE_VERSION_MIN} is needed, because older ones can corrupt a database. Install better-sqlite3 12.8.0 or newer.`,
  )
}

function configure(handle: Sqlite.Database, file: string): void {
  // Before the first access, so that the lock is taken with it and kept until the process ends, however it ends; the
  // index of the write-ahead log then lives in memory, not in a file that a full disk could refuse.
  handle.pragma('locking_mode = EXCLUSIVE')
  const mode = handle.pragma('journal_mode = WAL', { simple: true })
  if (mode !== 'wal') {
    throw new SluiceError(
      'STORAGE_UNAVAILABLE',
      `${file} cannot be opened with a write-ahead log (SQLite offers "${String(mode)}"). Put the data folder on a local disk.`,
    )
  }
  // Every commit is on disk before it is acknowledged. On macOS only F_FULLFSYNC means that.
  handle.pragma('synchronous = FULL')
  handle.pragma('fullfsync = ON')
  handle.pragma('foreign_keys = ON')
  handle.pragma('trusted_schema = OFF')
  handle.pragma('cell_size_check = ON')
  handle.pragma(`journal_size_limit = ${WAL_BYTES_KEPT}`)
  // The probe: a damaged header shows at the first read, a foreign lock at the latest here.
  handle.exec('begin exclusive; select count(*) from sqlite_master; commit')
}

function locked(folder: string, cause: unknown): SluiceError {
  return new SluiceError(
    'DATA_LOCKED',
    `The data folder ${folder} is in use by another process, most likely a Sluice server that is still running. Stop that one, or give this one a folder of its own with SLUICE_DATA.`,
    { cause },
  )
}

function isBusy(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

/** What an error of SQLite means for us; null for an error that is not the database's. */
function failureOf(error: unknown, file: string): SluiceError | null {
  if (error instanceof SluiceError) return error
  if (!(error instanceof Sqlite.SqliteError)) {
    // better-sqlite3 throws a TypeError for a folder that is missing, and for a handle that is closed.
    return error instanceof TypeError
      ? new SluiceError('STORAGE_UNAVAILABLE', `${file} cannot be used: ${error.message}.`, { cause: error })
      : null
  }
  if (error.code === 'SQLITE_FULL') {
    return new SluiceError('STORAGE_FULL', `The disk that holds ${file} is full. Make room on it.`, { cause: error })
  }
  if (error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB') {
    return new SluiceError(
      'LOG_DAMAGED',
      `${file} is damaged (${error.code}: ${error.message}). Stop the server, keep a copy of the folder, and put the newest backup of ${DATABASE_FILE} in its place; leave head.json as it is.`,
      { cause: error },
    )
  }
  return new SluiceError(
    'STORAGE_UNAVAILABLE',
    `${file} cannot be read or written (${error.code}: ${error.message}). Look at the disk, at the rights on the folder, and at the kernel's log.`,
    { cause: error },
  )
}

function dialectOf(handle: Sqlite.Database): Dialect {
  const config = { database: keepingStatements(handle) }
  const base = new SqliteDialect(config)
  return {
    createDriver: () => new ForgivingDriver(config, handle),
    createQueryCompiler: () => base.createQueryCompiler(),
    createAdapter: () => new TransactionalAdapter(),
    createIntrospector: db => base.createIntrospector(db),
  }
}

/** Kysely leaves migrations of SQLite outside a transaction. SQLite can do better, and a first start that is killed must leave nothing half made. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

/**
 * SQLite may already have rolled back when a write fails (a full disk, an I/O error); a second rollback is then an
 * error of its own and would hide the first.
 */
class ForgivingDriver extends SqliteDriver implements Driver {
  readonly #handle: Sqlite.Database

  constructor(config: ConstructorParameters<typeof SqliteDriver>[0], handle: Sqlite.Database) {
    super(config)
    this.#handle = handle
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // Left open by a rollback that itself failed.
    if (this.#handle.inTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'))
    await super.beginTransaction(connection)
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (!this.#handle.inTransaction) return
    try {
      await super.rollbackTransaction(connection)
    } catch {
      // The failure that led here is the one to tell; the next transaction tries again.
    }
  }
}

/** Kysely prepares each query anew; the shapes are few, so they are kept, the least recently used one dropped first. */
function keepingStatements(handle: Sqlite.Database): { prepare(sql: string): Sqlite.Statement; close(): void } {
  const kept = new Map<string, Sqlite.Statement>()
  return {
    prepare(sql) {
      const statement = kept.get(sql) ?? handle.prepare(sql)
      kept.delete(sql)
      kept.set(sql, statement)
      if (kept.size > STATEMENTS_KEPT) for (const oldest of [kept.keys().next().value]) if (oldest !== undefined) kept.delete(oldest)
      return statement
    },
    close() {
      kept.clear()
      handle.close()
    },
  }
}
