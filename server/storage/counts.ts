/**
 * The queries about evaluation counts: the flags that were counted, their counts packed by the hour and by the day, and
 * the problems that applications reported. Counts are bytes here; what is in them, `server/telemetry` knows.
 */
import type { Kysely, Transaction } from 'kysely'
import type { CountedFlagRow, ProblemRow, Tables } from './tables.ts'

/** Rows per statement; what is left over goes one by one, so that a handful of statements serve any number of rows. */
const ROWS_PER_STATEMENT = 50
/** Lists of a query are filled up to one of these lengths, for the same reason. */
const LIST_LENGTHS = [1, 32, 128, 512, 4_096]

/** A flag with what is to be added to its counts. */
export interface FlagAddition {
  /** As it stands afterwards; null is a flag that is not in the database yet. */
  readonly row: Omit<CountedFlagRow, 'id'> & { readonly id: number | null }
  /** By hour: gives the counts that shall stand, from those that do (null for none). */
  readonly hours: ReadonlyMap<number, (held: Uint8Array | null) => Uint8Array>
}

/** A problem with what is to be added to it. */
export type ProblemAddition = ProblemRow
export type ProblemKey = Pick<ProblemRow, 'log' | 'code' | 'subject' | 'detail' | 'service'>

/** Errors as those of `Storage`; after a failed write nothing of it is stored. */
export interface CountStorage {
  flags(): Promise<readonly CountedFlagRow[]>
  problems(): Promise<readonly ProblemRow[]>
  /** The hours since 1970 that have rows by the minute, and the days that have rows by the hour. */
  spans(): Promise<{ readonly hours: readonly number[]; readonly days: readonly number[] }>
  /** Add to flags, in one transaction. Answers the id of each, in order. */
  add(additions: readonly FlagAddition[]): Promise<readonly number[]>
  /** Take problems away, then add to others, in one transaction. */
  addProblems(additions: readonly ProblemAddition[], gone: readonly ProblemKey[]): Promise<void>
  /** The counts by the minute of one flag, or of all when it is null. */
  minutes(flag: number | null, hours: readonly number[]): Promise<readonly { flag: number; hour: number; counts: Uint8Array }[]>
  /** The counts by the hour of one flag. */
  hours(flag: number, days: readonly number[]): Promise<readonly { day: number; counts: Uint8Array }[]>
  /**
   * Move counts of an hour from minutes to hours, in one transaction, so that each stands in one place at any time.
   * @param merge gives the day's counts that shall stand, from those that do and the hour's by the minute
   * @returns how many rows were moved; fewer than `limit` when the hour has none left
   */
  compact(hour: number, limit: number, merge: (held: Uint8Array | null, minutes: Uint8Array) => Uint8Array): Promise<number>
  /** Let counts of a day go. @returns how many rows; fewer than `limit` when the day has none left */
  dropDay(day: number, limit: number): Promise<number>
  /** Forget flags of which no counts are left. */
  dropFlags(ids: readonly number[]): Promise<void>
}

export function countStorage(db: Kysely<Tables>, guarded: <T>(run: () => Promise<T>) => Promise<T>): CountStorage {
  const inTransaction = <T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> =>
    guarded(() => db.transaction().execute(run))
  return {
    flags: () => guarded(async () => (await db.selectFrom('counted_flags').selectAll().execute()).map(countedFlag)),
    problems: () => guarded(async () => (await db.selectFrom('problems').selectAll().orderBy('lastSeen').execute()).map(problem)),
    spans: () =>
      guarded(async () => ({
        hours: (await db.selectFrom('minute_counts').select('hour').distinct().execute()).map(row => Number(row.hour)),
        days: (await db.selectFrom('hour_counts').select('day').distinct().execute()).map(row => Number(row.day)),
      })),
    add: additions => inTransaction(transaction => add(transaction, additions)),
    addProblems: (additions, gone) => inTransaction(transaction => addProblems(transaction, additions, gone)),
    minutes: (flag, hours) =>
      guarded(async () => {
        if (hours.length === 0) return []
        let select = db.selectFrom('minute_counts').selectAll().where('hour', 'in', filledUp(hours))
        if (flag !== null) select = select.where('flag', '=', flag)
        return (await select.execute()).map(row => ({ flag: Number(row.flag), hour: Number(row.hour), counts: row.counts }))
      }),
    hours: (flag, days) =>
      guarded(async () => {
        if (days.length === 0) return []
        const select = db.selectFrom('hour_counts').select(['day', 'counts']).where('day', 'in', filledUp(days)).where('flag', '=', flag)
        return (await select.execute()).map(row => ({ day: Number(row.day), counts: row.counts }))
      }),
    compact: (hour, limit, merge) => inTransaction(transaction => compact(transaction, hour, limit, merge)),
    dropDay: (day, limit) =>
      inTransaction(async transaction => {
        const rows = await transaction.selectFrom('hour_counts').select('flag').where('day', '=', day).limit(limit).execute()
        const flags = rows.map(row => Number(row.flag))
        if (flags.length > 0)
          await transaction.deleteFrom('hour_counts').where('day', '=', day).where('flag', 'in', filledUp(flags)).execute()
        return flags.length
      }),
    dropFlags: ids =>
      guarded(async () => {
        if (ids.length > 0) await db.deleteFrom('counted_flags').where('id', 'in', filledUp(ids)).execute()
      }),
  }
}

async function add(db: Transaction<Tables>, additions: readonly FlagAddition[]): Promise<readonly number[]> {
  const rows = await numbered(
    db,
    additions.map(addition => addition.row),
  )
  await inParts(rows, part =>
    db
      .insertInto('counted_flags')
      .values(part)
      .onConflict(conflict =>
        conflict.column('id').doUpdateSet(row => ({ lastSeen: row.ref('excluded.lastSeen'), services: row.ref('excluded.services') })),
      )
      .execute(),
  )
  const hours = [...new Set(additions.flatMap(addition => [...addition.hours.keys()]))]
  for (const hour of hours) {
    const merges = new Map(additions.flatMap(({ hours: spans }, i) => (spans.has(hour) ? [[rows[i]!.id, spans.get(hour)!] as const] : [])))
    const flags = [...merges.keys()]
    const held = await db
      .selectFrom('minute_counts')
      .select(['flag', 'counts'])
      .where('hour', '=', hour)
      .where('flag', 'in', filledUp(flags))
      .execute()
    const standing = new Map(held.map(row => [Number(row.flag), row.counts]))
    const counted = flags.map(flag => ({ hour, flag, counts: merges.get(flag)!(standing.get(flag) ?? null) }))
    await inParts(counted, part =>
      db
        .insertInto('minute_counts')
        .values(part)
        .onConflict(conflict => conflict.columns(['hour', 'flag']).doUpdateSet(row => ({ counts: row.ref('excluded.counts') })))
        .execute(),
    )
  }
  return rows.map(row => row.id)
}

/** Ids are given here, as databases differ in how they would; two servers that give the same one fail, and try again. */
async function numbered(db: Transaction<Tables>, rows: readonly FlagAddition['row'][]): Promise<CountedFlagRow[]> {
  if (rows.every(row => row.id !== null)) return rows.map(row => ({ ...row, id: row.id! }))
  const newest = await db
    .selectFrom('counted_flags')
    .select(select => select.fn.max('id').as('id'))
    .executeTakeFirst()
  let last = Number(newest?.id ?? 0)
  return rows.map(row => ({ ...row, id: row.id ?? ++last }))
}

async function addProblems(db: Transaction<Tables>, additions: readonly ProblemAddition[], gone: readonly ProblemKey[]): Promise<void> {
  for (const { log, code, subject, detail, service } of gone) {
    await db
      .deleteFrom('problems')
      .where('log', '=', log)
      .where('code', '=', code)
      .where('subject', '=', subject)
      .where('detail', '=', detail)
      .where('service', '=', service)
      .execute()
  }
  await inParts(additions, part =>
    db
      .insertInto('problems')
      .values(part)
      .onConflict(conflict =>
        conflict.columns(['log', 'code', 'subject', 'detail', 'service']).doUpdateSet(row => ({
          count: row('problems.count', '+', row.ref('excluded.count')),
          lastSeen: row.ref('excluded.lastSeen'),
          instance: row.ref('excluded.instance'),
          sdk: row.ref('excluded.sdk'),
        })),
      )
      .execute(),
  )
}

async function compact(
  db: Transaction<Tables>,
  hour: number,
  limit: number,
  merge: (held: Uint8Array | null, minutes: Uint8Array) => Uint8Array,
): Promise<number> {
  const day = Math.floor(hour / 24)
  const moved = await db.selectFrom('minute_counts').select(['flag', 'counts']).where('hour', '=', hour).limit(limit).execute()
  if (moved.length === 0) return 0
  const flags = moved.map(row => Number(row.flag))
  const held = await db
    .selectFrom('hour_counts')
    .select(['flag', 'counts'])
    .where('day', '=', day)
    .where('flag', 'in', filledUp(flags))
    .execute()
  const standing = new Map(held.map(row => [Number(row.flag), row.counts]))
  const merged = moved.map((row, i) => ({ day, flag: flags[i]!, counts: merge(standing.get(flags[i]!) ?? null, row.counts) }))
  await inParts(merged, part =>
    db
      .insertInto('hour_counts')
      .values(part)
      .onConflict(conflict => conflict.columns(['day', 'flag']).doUpdateSet(row => ({ counts: row.ref('excluded.counts') })))
      .execute(),
  )
  await db.deleteFrom('minute_counts').where('hour', '=', hour).where('flag', 'in', filledUp(flags)).execute()
  return moved.length
}

function countedFlag(row: CountedFlagRow): CountedFlagRow {
  return { ...row, id: Number(row.id), firstSeen: Number(row.firstSeen), lastSeen: Number(row.lastSeen) }
}

function problem(row: ProblemRow): ProblemRow {
  return { ...row, count: Number(row.count), firstSeen: Number(row.firstSeen), lastSeen: Number(row.lastSeen) }
}

async function inParts<T>(rows: readonly T[], write: (part: T[]) => Promise<unknown>): Promise<void> {
  let start = 0
  for (; start + ROWS_PER_STATEMENT <= rows.length; start += ROWS_PER_STATEMENT) await write(rows.slice(start, start + ROWS_PER_STATEMENT))
  for (; start < rows.length; start++) await write(rows.slice(start, start + 1))
}

/** The same set, as long as one of few lengths: naming a value twice changes nothing. */
function filledUp(values: readonly number[]): number[] {
  const length = LIST_LENGTHS.find(each => each >= values.length) ?? values.length
  return Array.from({ length }, (_, i) => values[Math.min(i, values.length - 1)]!)
}
