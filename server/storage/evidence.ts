/** The queries about what guards of rollouts have seen. What is in a row is JSON of `server/rollouts`. */
import type { Kysely } from 'kysely'
import type { EvidenceRow, Tables } from './tables.ts'

/** Errors as those of `Storage`. */
export interface EvidenceStorage {
  all(): Promise<readonly EvidenceRow[]>
  /** Each in the place of what stood for its log and flag; all or none. */
  save(rows: readonly EvidenceRow[]): Promise<void>
  remove(log: string, flag: string): Promise<void>
}

export function evidenceStorage(db: Kysely<Tables>, guarded: <T>(run: () => Promise<T>) => Promise<T>): EvidenceStorage {
  return {
    all: () => guarded(() => db.selectFrom('evidence').selectAll().execute()),
    save: rows =>
      guarded(async () => {
        if (rows.length === 0) return
        await db.transaction().execute(async transaction => {
          for (const row of rows) {
            await transaction
              .insertInto('evidence')
              .values(row)
              .onConflict(conflict => conflict.columns(['log', 'flag']).doUpdateSet({ run: row.run, body: row.body }))
              .execute()
          }
        })
      }),
    remove: (log, flag) =>
      guarded(async () => {
        await db.deleteFrom('evidence').where('log', '=', log).where('flag', '=', flag).execute()
      }),
  }
}
