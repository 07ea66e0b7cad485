/** The queries about secrets. What is in them is sealed; `server/secrets` opens it. */
import type { Kysely } from 'kysely'
import type { SecretRow, Tables } from './tables.ts'

/** Errors as those of `Storage`. */
export interface SecretStorage {
  add(row: SecretRow): Promise<void>
  /** Null for one that is not there. */
  sealed(id: string): Promise<string | null>
  remove(ids: readonly string[]): Promise<void>
}

export function secretStorage(db: Kysely<Tables>, guarded: <T>(run: () => Promise<T>) => Promise<T>): SecretStorage {
  return {
    add: row =>
      guarded(async () => {
        await db.insertInto('secrets').values(row).execute()
      }),
    sealed: id =>
      guarded(async () => (await db.selectFrom('secrets').select('sealed').where('id', '=', id).executeTakeFirst())?.sealed ?? null),
    remove: ids =>
      guarded(async () => {
        if (ids.length > 0) await db.deleteFrom('secrets').where('id', 'in', ids).execute()
      }),
  }
}
