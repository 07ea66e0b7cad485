/** The queries about messages to be sent: in order per notifier, with how far each log has been turned into messages. */
import type { Kysely, Transaction } from 'kysely'
import type { OutboxRow, Tables } from './tables.ts'

export type NewMessage = Pick<OutboxRow, 'id' | 'log' | 'notifier' | 'createdAt' | 'body'>

/** What became of a try. */
export interface Tried {
  readonly at: number
  readonly status: number | null
  readonly text: string | null
}

export interface Waiting {
  readonly log: string
  readonly notifier: string
  readonly waiting: number
}

/** Errors as those of `Storage`; after a failed write nothing of it is stored. */
export interface OutboxStorage {
  cursors(): Promise<ReadonlyMap<string, number>>
  /**
   * Store messages, and that a log has been turned into messages up to a revision, in one transaction. One that is there already is
   * left as it is; one for a notifier that has `waitingMax` waiting is counted instead.
   * @param tell makes the message that says how many found no room, to be stored before the next one that does
   */
  add(
    messages: readonly NewMessage[],
    cursor: { readonly log: string; readonly revision: number } | null,
    waitingMax: number,
    tell: (message: NewMessage, leftOut: number) => NewMessage,
  ): Promise<void>
  /** The oldest first. */
  waiting(log: string, notifier: string, limit: number): Promise<readonly OutboxRow[]>
  /** Every notifier with something waiting. */
  allWaiting(): Promise<readonly Waiting[]>
  leftOut(): Promise<readonly { readonly log: string; readonly notifier: string; readonly count: number }[]>
  /** Sent, or refused for good: waits no longer. */
  settle(ids: readonly string[], state: 'sent' | 'refused', tried: Tried): Promise<void>
  /** It failed, and waits. */
  postpone(id: string, tries: number, nextAt: number, tried: Tried): Promise<void>
  /** What waits is tried from the beginning. */
  restart(log: string, notifier: string, at: number): Promise<void>
  /** Newest first. */
  recent(log: string, notifier: string, limit: number): Promise<readonly OutboxRow[]>
  /** Keep the newest of those that wait no longer. */
  trim(log: string, notifier: string, keep: number): Promise<void>
  /** All of a notifier that is no more. */
  forget(log: string, notifier: string): Promise<void>
}

export function outboxStorage(db: Kysely<Tables>, guarded: <T>(run: () => Promise<T>) => Promise<T>): OutboxStorage {
  const of = (log: string, notifier: string) => db.selectFrom('outbox').selectAll().where('log', '=', log).where('notifier', '=', notifier)
  return {
    cursors: () =>
      guarded(async () => {
        const rows = await db.selectFrom('outbox_cursors').selectAll().execute()
        return new Map(rows.map(row => [row.log, Number(row.revision)]))
      }),
    add: (messages, cursor, waitingMax, tell) =>
      guarded(() => db.transaction().execute(transaction => add(transaction, messages, cursor, waitingMax, tell))),
    waiting: (log, notifier, limit) =>
      guarded(async () => (await of(log, notifier).where('state', '=', 'waiting').orderBy('seq').limit(limit).execute()).map(message)),
    allWaiting: () =>
      guarded(async () => {
        const rows = await db
          .selectFrom('outbox')
          .select(['log', 'notifier'])
          .select(select => select.fn.countAll().as('waiting'))
          .where('state', '=', 'waiting')
          .groupBy(['log', 'notifier'])
          .execute()
        return rows.map(row => ({ ...row, waiting: Number(row.waiting) }))
      }),
    leftOut: () =>
      guarded(async () => {
        const rows = await db.selectFrom('outbox_left_out').selectAll().execute()
        return rows.map(({ log, notifier, count }) => ({ log, notifier, count: Number(count) }))
      }),
    settle: (ids, state, { at, status, text }) =>
      guarded(async () => {
        await db.updateTable('outbox').set({ state, lastAt: at, lastStatus: status, lastText: text }).where('id', 'in', ids).execute()
      }),
    postpone: (id, tries, nextAt, { at, status, text }) =>
      guarded(async () => {
        await db.updateTable('outbox').set({ tries, nextAt, lastAt: at, lastStatus: status, lastText: text }).where('id', '=', id).execute()
      }),
    restart: (log, notifier, at) =>
      guarded(async () => {
        await db
          .updateTable('outbox')
          .set({ tries: 0, nextAt: at })
          .where('log', '=', log)
          .where('notifier', '=', notifier)
          .where('state', '=', 'waiting')
          .where('tries', '>', 0)
          .execute()
      }),
    recent: (log, notifier, limit) =>
      guarded(async () => (await of(log, notifier).orderBy('seq', 'desc').limit(limit).execute()).map(message)),
    trim: (log, notifier, keep) =>
      guarded(async () => {
        const first = await db
          .selectFrom('outbox')
          .select('seq')
          .where('log', '=', log)
          .where('notifier', '=', notifier)
          .where('state', '!=', 'waiting')
          .orderBy('seq', 'desc')
          .offset(keep)
          .limit(1)
          .executeTakeFirst()
        if (first === undefined) return
        await db
          .deleteFrom('outbox')
          .where('log', '=', log)
          .where('notifier', '=', notifier)
          .where('state', '!=', 'waiting')
          .where('seq', '<=', first.seq)
          .execute()
      }),
    forget: (log, notifier) =>
      guarded(() =>
        db.transaction().execute(async transaction => {
          for (const table of ['outbox', 'outbox_left_out'] as const)
            await transaction.deleteFrom(table).where('log', '=', log).where('notifier', '=', notifier).execute()
        }),
      ),
  }
}

async function add(
  db: Transaction<Tables>,
  messages: readonly NewMessage[],
  cursor: { readonly log: string; readonly revision: number } | null,
  waitingMax: number,
  tell: (message: NewMessage, leftOut: number) => NewMessage,
): Promise<void> {
  let seq = messages.length === 0 ? 0 : await lastSeq(db)
  const rooms = new Map<string, { room: number; untold: number }>()
  const insert = async (each: NewMessage): Promise<boolean> => {
    const row = { ...each, seq: ++seq, state: 'waiting', tries: 0, nextAt: each.createdAt, lastAt: null, lastStatus: null, lastText: null }
    const result = await db
      .insertInto('outbox')
      .values(row)
      .onConflict(conflict => conflict.column('id').doNothing())
      .executeTakeFirst()
    return Number(result.numInsertedOrUpdatedRows ?? 0) > 0
  }
  for (const each of messages) {
    const place = `${each.log} ${each.notifier}`
    let room = rooms.get(place)
    if (room === undefined) {
      room = await roomFor(db, each, waitingMax)
      rooms.set(place, room)
    }
    if (room.room <= 0) {
      await leaveOut(db, each)
      room.untold++
      continue
    }
    if (room.untold > 0) {
      await insert(tell(each, room.untold))
      await db
        .updateTable('outbox_left_out')
        .set(row => ({ told: row.ref('count') }))
        .where('log', '=', each.log)
        .where('notifier', '=', each.notifier)
        .execute()
      room.untold = 0
      room.room--
    }
    if (await insert(each)) room.room--
  }
  if (cursor === null) return
  await db
    .insertInto('outbox_cursors')
    .values(cursor)
    .onConflict(conflict => conflict.column('log').doUpdateSet({ revision: cursor.revision }))
    .execute()
}

async function lastSeq(db: Transaction<Tables>): Promise<number> {
  const newest = await db
    .selectFrom('outbox')
    .select(select => select.fn.max('seq').as('seq'))
    .executeTakeFirst()
  return Number(newest?.seq ?? 0)
}

async function roomFor(
  db: Transaction<Tables>,
  { log, notifier }: NewMessage,
  waitingMax: number,
): Promise<{ room: number; untold: number }> {
  const count = await db
    .selectFrom('outbox')
    .select(select => select.fn.countAll().as('count'))
    .where('log', '=', log)
    .where('notifier', '=', notifier)
    .where('state', '=', 'waiting')
    .executeTakeFirstOrThrow()
  const left = await db.selectFrom('outbox_left_out').selectAll().where('log', '=', log).where('notifier', '=', notifier).executeTakeFirst()
  const total = Number(left?.count ?? 0)
  return { room: waitingMax - Number(count.count), untold: total - Number(left?.told ?? 0) }
}

async function leaveOut(db: Transaction<Tables>, { log, notifier }: NewMessage): Promise<void> {
  await db
    .insertInto('outbox_left_out')
    .values({ log, notifier, count: 1, told: 0 })
    .onConflict(conflict => conflict.columns(['log', 'notifier']).doUpdateSet(row => ({ count: row('outbox_left_out.count', '+', 1) })))
    .execute()
}

function message(row: OutboxRow): OutboxRow {
  return {
    id: row.id,
    log: row.log,
    notifier: row.notifier,
    createdAt: Number(row.createdAt),
    body: row.body,
    state: row.state,
    tries: row.tries,
    nextAt: Number(row.nextAt),
    lastAt: row.lastAt === null ? null : Number(row.lastAt),
    lastStatus: row.lastStatus,
    lastText: row.lastText,
  }
}
