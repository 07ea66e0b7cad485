/** The queries about alerts and the deliveries that brought them. Which delivery is new, a repetition or late, `server/hooks` decides. */
import type { Kysely, Transaction } from 'kysely'
import type { AlertRow, DeliveryRow, Tables } from './tables.ts'

/** Edges of one alert that are looked at to place another: an older one than all of them is late by its moment. */
const KNOWN_MAX = 50
/** Rows per statement that lists ids, and per step of a clean-up. */
const ROWS_PER_STATEMENT = 500

/** An edge that is known, as far as another is placed by it. */
export type KnownAlert = Pick<AlertRow, 'id' | 'status' | 'startsAt' | 'endsAt' | 'externalId' | 'standing' | 'receivedAt'>

/** An edge as it was delivered: what has no moment of its own is given one by what is known. */
export type ArrivedAlert = Omit<AlertRow, 'startsAt' | 'standing' | 'told' | 'body'> & { readonly startsAt: number | null }

/** What is to become of an edge. */
export interface Placed {
  readonly outcome: 'new' | 'duplicate' | 'late'
  /** The row to store; null for one that is not new. */
  readonly row: AlertRow | null
  /** The edge that it repeats: seen again now. */
  readonly seen: string | null
  /** Edges that fire no longer. */
  readonly ended: readonly string[]
}

export interface Arrival {
  readonly alerts: readonly ArrivedAlert[]
  /** @param known edges of the same alert, the latest first; those with the same `externalId` among them */
  place(alert: ArrivedAlert, known: readonly KnownAlert[]): Placed
  /** The row of the delivery, once it is known what came of it. */
  delivery(placed: readonly Placed[]): DeliveryRow
}

export interface Taken {
  readonly placed: readonly Placed[]
  readonly delivery: DeliveryRow
}

/** Errors as those of `Storage`; after a failed write nothing of it is stored. */
export interface AlertStorage {
  /** Place and store what arrived, each on what those before it left, in one transaction. */
  take(arrivals: readonly Arrival[]): Promise<readonly Taken[]>
  addDelivery(row: DeliveryRow): Promise<void>
  /** The oldest first. */
  untold(limit: number): Promise<readonly AlertRow[]>
  setTold(ids: readonly string[]): Promise<void>
  standing(): Promise<readonly AlertRow[]>
  /** Those that fired last before a moment fire no longer, nor do those beyond so many. Answers their ids. */
  endBefore(seenAt: number, keep: number): Promise<readonly string[]>
  /** Newest first. */
  recent(
    log: string,
    query: { readonly hook?: string | undefined; readonly since?: number | undefined; readonly limit: number },
  ): Promise<readonly AlertRow[]>
  /** Newest first. */
  deliveries(log: string, hook: string, limit: number): Promise<readonly DeliveryRow[]>
  /** Keep the newest deliveries of a kind of one hook. */
  trimDeliveries(log: string, hook: string, taken: number, keep: number): Promise<void>
  /** Let go what was seen last before a moment, and what is more than so many alerts; never one that fires or was not told. */
  drop(before: { readonly seenAt: number; readonly deliveredAt: number; readonly keep: number }): Promise<void>
}

export function alertStorage(db: Kysely<Tables>, guarded: <T>(run: () => Promise<T>) => Promise<T>): AlertStorage {
  return {
    take: arrivals =>
      guarded(() =>
        db.transaction().execute(async transaction => {
          const taken: Taken[] = []
          for (const arrival of arrivals) taken.push(await take(transaction, arrival))
          return taken
        }),
      ),
    addDelivery: row =>
      guarded(async () => {
        await db.insertInto('deliveries').values(row).execute()
      }),
    untold: limit =>
      guarded(async () =>
        (await db.selectFrom('alerts').selectAll().where('told', '=', 0).orderBy('id').limit(limit).execute()).map(alert),
      ),
    setTold: ids =>
      guarded(async () => {
        for (const part of parts(ids)) await db.updateTable('alerts').set({ told: 1 }).where('id', 'in', part).execute()
      }),
    standing: () =>
      guarded(async () => (await db.selectFrom('alerts').selectAll().where('standing', '=', 1).orderBy('id').execute()).map(alert)),
    endBefore: (seenAt, keep) =>
      guarded(async () => {
        const standing = db.selectFrom('alerts').select(['id', 'seenAt']).where('standing', '=', 1)
        const over = await standing.orderBy('seenAt', 'desc').offset(keep).limit(1).executeTakeFirst()
        const before = Math.max(seenAt, over === undefined ? 0 : Number(over.seenAt) + 1)
        const rows = await standing.where('seenAt', '<', before).execute()
        const ids = rows.map(row => row.id)
        for (const part of parts(ids)) await end(db, part)
        return ids
      }),
    recent: (log, { hook, since, limit }) =>
      guarded(async () => {
        let select = db.selectFrom('alerts').selectAll().where('log', '=', log)
        if (hook !== undefined) select = select.where('hook', '=', hook)
        if (since !== undefined) select = select.where('receivedAt', '>=', since)
        return (await select.orderBy('id', 'desc').limit(limit).execute()).map(alert)
      }),
    deliveries: (log, hook, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('deliveries')
          .selectAll()
          .where('log', '=', log)
          .where('hook', '=', hook)
          .orderBy('id', 'desc')
          .limit(limit)
          .execute()
        return rows.map(row => ({ ...row, at: Number(row.at), bytes: Number(row.bytes), skipped: Number(row.skipped) }))
      }),
    trimDeliveries: (log, hook, taken, keep) =>
      guarded(async () => {
        const first = await db
          .selectFrom('deliveries')
          .select('id')
          .where('log', '=', log)
          .where('hook', '=', hook)
          .where('taken', '=', taken)
          .orderBy('id', 'desc')
          .offset(keep)
          .limit(1)
          .executeTakeFirst()
        if (first === undefined) return
        await db
          .deleteFrom('deliveries')
          .where('log', '=', log)
          .where('hook', '=', hook)
          .where('taken', '=', taken)
          .where('id', '<=', first.id)
          .execute()
      }),
    drop: ({ seenAt, deliveredAt, keep }) =>
      guarded(async () => {
        await db.deleteFrom('deliveries').where('at', '<', deliveredAt).execute()
        const over = await db.selectFrom('alerts').select('seenAt').orderBy('seenAt', 'desc').offset(keep).limit(1).executeTakeFirst()
        const before = Math.max(seenAt, over === undefined ? 0 : Number(over.seenAt))
        for (;;) {
          const old = await db
            .selectFrom('alerts')
            .select('id')
            .where('seenAt', '<', before)
            .where('standing', '=', 0)
            .where('told', '=', 1)
            .limit(ROWS_PER_STATEMENT)
            .execute()
          if (old.length > 0)
            await db
              .deleteFrom('alerts')
              .where(
                'id',
                'in',
                old.map(row => row.id),
              )
              .execute()
          if (old.length < ROWS_PER_STATEMENT) return
        }
      }),
  }
}

async function take(db: Transaction<Tables>, arrival: Arrival): Promise<Taken> {
  const placed: Placed[] = []
  for (const arrived of arrival.alerts) {
    const place = arrival.place(arrived, await knownOf(db, arrived))
    placed.push(place)
    if (place.row !== null) await db.insertInto('alerts').values(place.row).execute()
    if (place.seen !== null) await db.updateTable('alerts').set({ seenAt: arrived.seenAt }).where('id', '=', place.seen).execute()
    if (place.ended.length > 0) await end(db, place.ended)
  }
  const delivery = arrival.delivery(placed)
  await db.insertInto('deliveries').values(delivery).execute()
  return { placed, delivery }
}

async function knownOf(
  db: Transaction<Tables>,
  { log, hook, dedupKey, status, startsAt, externalId }: ArrivedAlert,
): Promise<KnownAlert[]> {
  const select = db
    .selectFrom('alerts')
    .select(['id', 'status', 'startsAt', 'endsAt', 'externalId', 'standing', 'receivedAt'])
    .where('log', '=', log)
    .where('hook', '=', hook)
    .where('dedupKey', '=', dedupKey)
  const latest = await select.orderBy('startsAt', 'desc').limit(KNOWN_MAX).execute()
  if (latest.length === KNOWN_MAX) {
    // The same edge, or the same delivery, from before those.
    if (startsAt !== null) latest.push(...(await select.where('status', '=', status).where('startsAt', '=', startsAt).execute()))
    if (externalId !== null) latest.push(...(await select.where('externalId', '=', externalId).limit(1).execute()))
  }
  return latest.map(row => ({
    ...row,
    startsAt: Number(row.startsAt),
    endsAt: row.endsAt === null ? null : Number(row.endsAt),
    receivedAt: Number(row.receivedAt),
  }))
}

async function end(db: Kysely<Tables>, ids: readonly string[]): Promise<void> {
  await db.updateTable('alerts').set({ standing: 0 }).where('id', 'in', ids).execute()
}

function alert(row: AlertRow): AlertRow {
  return {
    ...row,
    startsAt: Number(row.startsAt),
    endsAt: row.endsAt === null ? null : Number(row.endsAt),
    receivedAt: Number(row.receivedAt),
    seenAt: Number(row.seenAt),
  }
}

function parts(ids: readonly string[]): string[][] {
  const result: string[][] = []
  for (let i = 0; i < ids.length; i += ROWS_PER_STATEMENT) result.push(ids.slice(i, i + ROWS_PER_STATEMENT))
  return result
}
