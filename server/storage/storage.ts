/**
 * What the log asks of a database, and the one set of queries that answers it. Asynchronous throughout, so that a
 * database across the network fits behind it. Knows rows and texts; what they mean is the log's.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Dialect, Kysely, Migrator, sql, type Transaction } from 'kysely'
import { SluiceError } from '../../schemas/errors.ts'
import { type AlertStorage, alertStorage } from './alerts.ts'
import { type CountStorage, countStorage } from './counts.ts'
import { type EvidenceStorage, evidenceStorage } from './evidence.ts'
import { MIGRATIONS } from './migrations.ts'
import { type OutboxStorage, outboxStorage } from './outbox.ts'
import { type SecretStorage, secretStorage } from './secrets.ts'
import type { ChangeRow, DocumentRow, LogRow, Tables } from './tables.ts'

/** Rows per statement: at most six values each, well below the 32,766 of SQLite and the 65,535 of PostgreSQL. */
const ROWS_PER_STATEMENT = 500

/** An open database: how Kysely speaks to it, and what its errors mean. */
export interface Database {
  readonly dialect: Dialect
  /** The failure as callers see it; null for an error that is not the database's. */
  failure(error: unknown): SluiceError | null
}

/** One entry with all that must be stored together with it. */
export interface Append {
  /** Where the log stood when the entry was planned; null for a log that has no row yet. */
  readonly from: Pick<LogRow, 'revision' | 'hash'> | null
  /** Where it stands afterwards. */
  readonly head: LogRow
  readonly change: ChangeRow
  /** The documents the entry touches: as they stand afterwards, `body` null for one that is removed. */
  readonly documents: readonly { readonly type: string; readonly key: string; readonly body: string | null; readonly hash: string }[]
}

export interface RowsQuery {
  readonly afterRevision?: number | undefined
  readonly toRevision?: number | undefined
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Only entries that touch at least one of these. */
  readonly touching?: readonly { readonly type: string; readonly key: string }[]
  readonly limit: number
  readonly order: 'newest' | 'oldest'
}

/**
 * Every method may fail with `STORAGE_FULL`, `STORAGE_UNAVAILABLE` or `LOG_DAMAGED`; after a failed write nothing of it is stored.
 */
export interface Storage {
  logs(): Promise<readonly LogRow[]>
  documents(log: string): Promise<readonly DocumentRow[]>
  /** The names that documents or entries carry: each must have its row in `logs`. */
  names(): Promise<readonly string[]>
  /** All of them in one transaction. Refused with `STORAGE_UNAVAILABLE` when a log does not stand where the entry was planned. */
  append(appends: readonly Append[]): Promise<void>
  /** Move heads without an entry: a new epoch, a revision that is passed over. */
  replaceHeads(heads: readonly LogRow[]): Promise<void>
  changes(log: string, query: RowsQuery): Promise<readonly ChangeRow[]>
  /** The hash of the newest entry up to a revision; null when there is none. */
  hashAt(log: string, revision: number): Promise<string | null>
  /** Which documents the entries of a range touch, by the index. */
  touched(
    log: string,
    afterRevision: number,
    toRevision: number,
  ): Promise<readonly { readonly type: string; readonly key: string; readonly revision: number }[]>
  /** The newest revision at or before a moment (ms since 1970); 0 before the first. */
  revisionAt(log: string, at: number): Promise<number>
  /** Write something that changes nothing: succeeds when writing is possible. */
  probe(): Promise<void>
  /** What is counted beside the logs. */
  readonly counts: CountStorage
  readonly secrets: SecretStorage
  readonly evidence: EvidenceStorage
  readonly alerts: AlertStorage
  readonly outbox: OutboxStorage
  close(): Promise<void>
}

/**
 * Bring the tables up to date and start.
 * Errors: those of `Storage`, `DATA_TOO_NEW` for a database that a newer version of Sluice has written.
 */
export async function openStorage(database: Database): Promise<Storage> {
  const db = new Kysely<Tables>({ dialect: database.dialect })
  const guarded = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      throw database.failure(error) ?? error
    }
  }
  try {
    await guarded(() => migrate(db))
  } catch (error) {
    await db.destroy()
    throw error
  }
  return {
    logs: () =>
      guarded(async () =>
        (await db.selectFrom('logs').selectAll().orderBy('name').execute()).map(row => ({ ...row, revision: Number(row.revision) })),
      ),
    documents: log =>
      guarded(() =>
        db.selectFrom('documents').select(['type', 'key', 'body', 'hash']).where('log', '=', log).orderBy('type').orderBy('key').execute(),
      ),
    names: () => guarded(() => names(db)),
    append: appends => guarded(() => db.transaction().execute(transaction => appendAll(transaction, appends))),
    replaceHeads: heads =>
      guarded(() =>
        db.transaction().execute(async transaction => {
          for (const { name, ...head } of heads) {
            await transaction
              .insertInto('logs')
              .values({ name, ...head })
              .onConflict(conflict => conflict.column('name').doUpdateSet(head))
              .execute()
          }
        }),
      ),
    changes: (log, query) => guarded(() => changes(db, log, query)),
    hashAt: (log, revision) =>
      guarded(async () => {
        const row = await db
          .selectFrom('changes')
          .select('hash')
          .where('log', '=', log)
          .where('revision', '<=', revision)
          .orderBy('revision', 'desc')
          .limit(1)
          .executeTakeFirst()
        return row?.hash ?? null
      }),
    touched: (log, afterRevision, toRevision) => guarded(() => touched(db, log, afterRevision, toRevision)),
    revisionAt: (log, at) =>
      guarded(async () => {
        const row = await db
          .selectFrom('changes')
          .select(select => select.fn.max('revision').as('revision'))
          .where('log', '=', log)
          .where('at', '<=', at)
          .executeTakeFirst()
        return Number(row?.revision ?? 0)
      }),
    probe: () => guarded(() => probe(db)),
    counts: countStorage(db, guarded),
    secrets: secretStorage(db, guarded),
    evidence: evidenceStorage(db, guarded),
    alerts: alertStorage(db, guarded),
    outbox: outboxStorage(db, guarded),
    close: () => guarded(() => db.destroy()),
  }
}

async function migrate(db: Kysely<Tables>): Promise<void> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (tables.some(table => table.name === 'kysely_migration')) {
    const taken = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
    const unknown = taken.rows.map(row => row.name).filter(name => MIGRATIONS[name] === undefined)
    if (unknown.length > 0) {
      throw new SluiceError(
        'DATA_TOO_NEW',
        `This database was written by a newer version of Sluice (it has taken the step "${unknown.join('", "')}", which this version does not know). Start the newer version, or restore a backup from before the upgrade.`,
      )
    }
  }
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve({ ...MIGRATIONS }) } })
  const { error } = await migrator.migrateToLatest()
  // The list of steps itself is damaged: it names none that there was, or not in their order.
  if (error instanceof Error && error.message.startsWith('corrupted migrations')) {
    const message = `The database is damaged: its list of the steps that its tables have taken cannot be right (${error.message}). Restore a backup.`
    throw new SluiceError('LOG_DAMAGED', message, { cause: error })
  }
  if (error instanceof Error) throw error
  if (error !== undefined) throw new Error('The tables could not be brought up to date.', { cause: error })
}

async function names(db: Kysely<Tables>): Promise<readonly string[]> {
  const rows = await db.selectFrom('documents').select('log').distinct().union(db.selectFrom('changes').select('log').distinct()).execute()
  return rows.map(row => row.log)
}

async function appendAll(db: Transaction<Tables>, appends: readonly Append[]): Promise<void> {
  for (const append of appends) {
    await moveHead(db, append)
    const log = append.head.name
    await db
      .insertInto('changes')
      .values({ log, ...append.change })
      .execute()
    for (const part of parts(append.documents)) {
      await pause(part)
      await db
        .insertInto('changed_documents')
        .values(part.map(({ type, key }) => ({ log, type, key, revision: append.change.revision })))
        .execute()
    }
    for (const part of parts(append.documents.flatMap(({ body, ...document }) => (body === null ? [] : [{ log, ...document, body }])))) {
      await pause(part)
      await db
        .insertInto('documents')
        .values(part)
        .onConflict(conflict =>
          conflict.columns(['log', 'type', 'key']).doUpdateSet(row => ({ body: row.ref('excluded.body'), hash: row.ref('excluded.hash') })),
        )
        .execute()
    }
    for (const { type, key, body } of append.documents) {
      if (body === null) await db.deleteFrom('documents').where('log', '=', log).where('type', '=', type).where('key', '=', key).execute()
    }
  }
}

async function moveHead(db: Transaction<Tables>, { from, head }: Append): Promise<void> {
  const { name, ...rest } = head
  if (from === null) {
    await db.insertInto('logs').values(head).execute()
    return
  }
  const { numUpdatedRows } = await db
    .updateTable('logs')
    .set(rest)
    .where('name', '=', name)
    .where('revision', '=', from.revision)
    .where('hash', '=', from.hash)
    .executeTakeFirst()
  if (numUpdatedRows === 1n) return
  throw new SluiceError(
    'STORAGE_UNAVAILABLE',
    `The log "${name}" no longer stands at revision ${from.revision}: something else has written to its database. Restart the server.`,
  )
}

async function changes(db: Kysely<Tables>, log: string, query: RowsQuery): Promise<readonly ChangeRow[]> {
  let select = db
    .selectFrom('changes')
    .select(['revision', 'at', 'actor', 'action', 'comment', 'edits', 'reverts', 'hash', 'previousHash'])
    .where('log', '=', log)
    .orderBy('revision', query.order === 'newest' ? 'desc' : 'asc')
    .limit(query.limit)
  if (query.afterRevision !== undefined) select = select.where('revision', '>', query.afterRevision)
  if (query.toRevision !== undefined) select = select.where('revision', '<=', query.toRevision)
  if (query.since !== undefined) select = select.where('at', '>=', query.since)
  if (query.until !== undefined) select = select.where('at', '<=', query.until)
  const touching = query.touching ?? []
  if (touching.length > 0) {
    select = select.where('revision', 'in', inner =>
      inner
        .selectFrom('changed_documents')
        .select('revision')
        .where('log', '=', log)
        .where(where => where.or(touching.map(({ type, key }) => where.and({ type, key })))),
    )
  }
  return (await select.execute()).map(row => ({
    ...row,
    revision: Number(row.revision),
    at: Number(row.at),
    reverts: row.reverts === null ? null : Number(row.reverts),
  }))
}

async function touched(db: Kysely<Tables>, log: string, afterRevision: number, toRevision: number): ReturnType<Storage['touched']> {
  const rows = await db
    .selectFrom('changed_documents')
    .select(['type', 'key', 'revision'])
    .where('log', '=', log)
    .where('revision', '>', afterRevision)
    .where('revision', '<=', toRevision)
    .execute()
  return rows.map(row => ({ ...row, revision: Number(row.revision) }))
}

/** A row is added and taken away again in one transaction: the pages are written, nothing changes. */
async function probe(db: Kysely<Tables>): Promise<void> {
  const name = ' probe'
  await db.transaction().execute(async transaction => {
    await transaction.insertInto('logs').values({ name, epoch: '', revision: 0, hash: '', digest: '', seal: '' }).execute()
    await transaction.deleteFrom('logs').where('name', '=', name).execute()
  })
}

/** An import writes many thousand rows: the event loop has its turn between the statements. Nobody else writes meanwhile. */
async function pause(part: readonly unknown[]): Promise<void> {
  if (part.length === ROWS_PER_STATEMENT) await nextTurn()
}

function parts<T>(rows: readonly T[]): T[][] {
  const list: T[][] = []
  for (let start = 0; start < rows.length; start += ROWS_PER_STATEMENT) list.push(rows.slice(start, start + ROWS_PER_STATEMENT))
  return list
}
