/**
 * How much room does a year of evaluations of 1,000 flags take, what does it cost to store them while commits go on, and
 * what to read them back?
 *
 * The year is written row by row into the tables of a real database, as the server would have left them: 400 days by the
 * hour, two days by the minute. `typical`: half of the flags are asked for all day with fewer at night, a fifth a few
 * hours a day, the others not any more; a few outcomes each, from ten evaluations an hour to a million. `all of them`: three
 * outcomes of every flag in every minute. The row per count that was not chosen is written for a month and scaled up.
 *
 *     npx tsc -b test && node dist/bench/telemetry.js
 */
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { pino } from 'pino'
import type { Evaluation } from '../sdk/evaluator/evaluation.ts'
import type { State } from '../server/log/types.ts'
import { DATABASE_FILE, openSqlite } from '../server/storage/sqlite.ts'
import { type Append, openStorage, type Storage } from '../server/storage/storage.ts'
import { DAY_MS, HOUR_MS } from '../server/telemetry/flagcounts.ts'
import { addTo, pack, type Slots } from '../server/telemetry/packed.ts'
import { openUsage, type UsageHandle } from '../server/telemetry/usage.ts'
import { manualClock } from '../test/clock.ts'
import { randomFrom } from '../test/random.ts'
import { budget, machine, median, print, quantile, spread, table } from './report.ts'

const FLAGS = 1_000
const DAYS = 400
const MINUTES_OF_HOURS = 48
/** Days of which a row per count is written, to scale up. */
const PLAIN_DAYS = 30
const YEAR_MAX_MB = 100
const LOG = 'default/production'
const ROUNDS = 30
const EVALUATIONS = 2_000_000
const BY = { service: 'checkout-service', instance: 'i-1', sdk: 'node/1' }
const NOW = Date.parse('2026-11-21T03:00:00.000Z')
const MEGABYTE = 1_000_000

type Traffic = (flag: number, hour: number, outcome: number) => number

const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
try {
  await main()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<void> {
  print(`${machine()}\n`)
  const typical = await written('typical', typicalTraffic())
  const full = await written('full', () => 1_000)
  const plain = plainMegabytes(typicalTraffic())
  print(
    table([
      [`${FLAGS.toLocaleString('en')} flags`, 'typical', 'all of them'],
      ...(['by the hour, 400 days', 'by the minute, 2 days', 'flags', 'the whole file'] as const).map((name, i) => [
        `${name}, MB`,
        typical.megabytes[i]!.toFixed(1),
        full.megabytes[i]!.toFixed(1),
      ]),
      ['evaluations in it', typical.evaluations.toExponential(1), full.evaluations.toExponential(1)],
    ]),
  )
  print(`\nWith a row per flag, outcome and hour, the typical 400 days would take ${Math.round(plain)} MB.\n`)
  budget(
    'a year of 1,000 flags by the hour and two days by the minute',
    `≤ ${YEAR_MAX_MB} MB`,
    `${Math.round(typical.megabytes[3]!)} MB, ${Math.round(full.megabytes[3]!)} MB at most`,
    typical.megabytes[3]! <= YEAR_MAX_MB,
  )
  print('')
  await speed(full.data)
}

/** What an hour of a flag brings, so that every run writes the same. */
function typicalTraffic(): Traffic {
  const random = randomFrom(20_261_121)
  const shapes = Array.from({ length: FLAGS }, () => {
    const kind = random()
    return {
      busy: kind < 0.5,
      idle: kind > 0.7,
      hourOfJob: Math.floor(random() * 24),
      scale: 10 ** (1 + 5 * random()),
      share: random(),
    }
  })
  return (flag, hour, outcome) => {
    const { busy, idle, hourOfJob, scale, share } = shapes[flag]!
    if (idle) return 0
    if (!busy && (hour + 24 - hourOfJob) % 24 > 2) return 0
    // A third outcome (a kill, an error) is there one hour in fifty.
    if (outcome === 2) return random() < 0.02 ? Math.floor(scale * 0.01 * random()) : 0
    const daylight = busy ? 0.1 + Math.sin(((hour % 24) / 24) * Math.PI) : 1
    return Math.floor(scale * daylight * (outcome === 0 ? share : 1 - share) * (0.8 + 0.4 * random()))
  }
}

interface Written {
  readonly data: string
  readonly megabytes: readonly number[]
  readonly evaluations: number
}

async function written(name: string, traffic: Traffic): Promise<Written> {
  const data = join(folder, name)
  const storage = await opened(data)
  await storage.counts.add(
    Array.from({ length: FLAGS }, (_, i) => ({
      row: { id: null, log: LOG, flag: keyOf(i), firstSeen: 0, lastSeen: NOW, services: JSON.stringify([[BY.service, NOW]]) },
      hours: new Map(),
    })),
  )
  await storage.close()
  const database = new Sqlite(join(data, DATABASE_FILE))
  const ids = new Map(database.prepare('select flag, id from counted_flags').raw().all() as [string, number][])
  const today = Math.floor(NOW / DAY_MS)
  const thisHour = Math.floor(NOW / HOUR_MS)
  let evaluations = 0
  const fill = (
    sql: string,
    spans: readonly number[],
    slots: number,
    countOf: (flag: number, span: number, slot: number, outcome: number) => number,
  ): void => {
    const insert = database.prepare(sql)
    for (const span of spans) {
      database.transaction(() => {
        for (let flag = 0; flag < FLAGS; flag++) {
          const packed: Slots = new Map()
          for (const [outcome, text] of ['Rtreatment', 'Fcontrol', 'Kcontrol'].entries()) {
            for (let slot = 0; slot < slots; slot++) {
              const count = countOf(flag, span, slot, outcome)
              if (count === 0) continue
              evaluations += count
              addTo(packed, slots, text, slot, count)
            }
          }
          if (packed.size > 0) insert.run(span, ids.get(keyOf(flag)), pack(packed, slots))
        }
      })()
    }
  }
  const days = Array.from({ length: DAYS }, (_, i) => today - DAYS - 2 + i)
  const hours = Array.from({ length: MINUTES_OF_HOURS }, (_, i) => thisHour - MINUTES_OF_HOURS + i)
  fill('insert into hour_counts (day, flag, counts) values (?, ?, ?)', days, 24, (flag, day, hour, outcome) =>
    traffic(flag, day * 24 + hour, outcome),
  )
  fill('insert into minute_counts (hour, flag, counts) values (?, ?, ?)', hours, 60, (flag, hour, _, outcome) =>
    Math.ceil(traffic(flag, hour, outcome) / 60),
  )
  const size = database.prepare(
    "select coalesce(sum(pgsize), 0) from dbstat where name in (?, 'sqlite_autoindex_' || ? || '_1', 'sqlite_autoindex_' || ? || '_2')",
  )
  const of = (tableName: string): number => Number(size.pluck().get(tableName, tableName, tableName)) / MEGABYTE
  const megabytes = [of('hour_counts'), of('minute_counts'), of('counted_flags')]
  database.pragma('wal_checkpoint(TRUNCATE)')
  database.close()
  return { data, megabytes: [...megabytes, statSync(join(data, DATABASE_FILE)).size / MEGABYTE], evaluations }
}

/** The layout that was not chosen: a row per flag, outcome and hour, with the same ids. */
function plainMegabytes(traffic: Traffic): number {
  const file = join(folder, 'plain.db')
  const database = new Sqlite(file)
  database.exec('create table counts (hour bigint, flag bigint, outcome text, count bigint, primary key (hour, flag, outcome))')
  const insert = database.prepare('insert into counts values (?, ?, ?, ?)')
  database.transaction(() => {
    for (let hour = 0; hour < PLAIN_DAYS * 24; hour++) {
      for (let flag = 0; flag < FLAGS; flag++) {
        for (const [outcome, text] of ['Rtreatment', 'Fcontrol', 'Kcontrol'].entries()) {
          const count = traffic(flag, hour, outcome)
          if (count > 0) insert.run(494_000 + hour, flag, text, count)
        }
      }
    }
  })()
  database.close()
  return (statSync(file).size / MEGABYTE) * (DAYS / PLAIN_DAYS)
}

/** On the fullest database. */
async function speed(data: string): Promise<void> {
  const storage = await openStorage(openSqlite(data))
  const clock = manualClock(NOW)
  const keys = new Set(Array.from({ length: FLAGS }, (_, i) => keyOf(i)))
  const log = { state: () => ({ documents: { flag: keys } }) as unknown as State }
  const config = { minuteCountsHours: MINUTES_OF_HOURS, hourCountsDays: DAYS + 10 }
  const startedAt = performance.now()
  const usage = await openUsage({ clock, logger: pino({ level: 'silent' }), log, storage: storage.counts, config })
  const opening = performance.now() - startedAt

  const summaries: number[] = []
  const years: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    summaries.push(await timed(() => usage.flag(LOG, keyOf(i * 7))))
    years.push(await timed(() => usage.series(LOG, keyOf(i * 7), { since: NOW - DAYS * DAY_MS, until: NOW, stepMs: DAY_MS })))
  }

  const writes: number[] = []
  const commits: number[] = []
  const alone: number[] = []
  let revision = 0
  for (let i = 0; i < ROUNDS; i++) {
    clock.jump(10_000)
    report(usage)
    const writing = timed(() => usage.write())
    let isWriting = true
    void writing.then(() => (isWriting = false))
    // The commits of somebody who edits all the while: each begins as soon as the event loop lets it.
    while (isWriting) {
      commits.push(await timed(() => storage.append([append(revision++)])))
      await nextTurn()
    }
    writes.push(await writing)
    for (let commit = 0; commit < 5; commit++) alone.push(await timed(() => storage.append([append(revision++)])))
  }

  const results = ['a', 'b'].map((variation): Evaluation =>
    Object.freeze({ value: true, variation, reason: 'FALLTHROUGH', type: 'boolean', flagVersion: 1 } as const),
  )
  const one: number[] = []
  for (let round = 0; round < 5; round++) {
    const ms = await timed(async () => {
      for (let i = 0; i < EVALUATIONS; i++) usage.one(LOG, 'flag-7', results[i & 1]!, BY)
    })
    one.push((ms * 1e6) / EVALUATIONS)
  }
  print(
    table([
      ['with all of them', 'median ± quartiles', '99 %'],
      ['count one evaluation that this server made, two results in turn, ns', spread(one), '-'],
      ['store ten seconds of 1,000 busy flags, ms', spread(writes), quantile(writes, 0.99).toFixed(1)],
      ['a commit meanwhile, ms', spread(commits), quantile(commits, 0.99).toFixed(1)],
      ['a commit alone, ms', spread(alone), quantile(alone, 0.99).toFixed(1)],
      ['summary of a flag (last day), ms', spread(summaries, 2), quantile(summaries, 0.99).toFixed(2)],
      ['400 days of a flag, day by day, ms', spread(years, 2), quantile(years, 0.99).toFixed(2)],
      ['read what the start needs, ms', opening.toFixed(0), '-'],
    ]),
  )
  print('')
  const late = median(commits) - median(alone)
  budget('what storing counts adds to a commit', '≤ 20 ms', `${late.toFixed(1)} ms`, late <= 20)
  await usage.close()
  await storage.close()
}

function report(usage: UsageHandle): void {
  const counts = Array.from({ length: FLAGS }, (_, i) =>
    ['on', 'off', 'other'].map(variation => ({ flag: keyOf(i), variation, reason: 'FALLTHROUGH', count: 170 })),
  ).flat()
  usage.add(LOG, { counts, dropped: 0, unknownOperators: [] }, BY)
}

async function opened(data: string): Promise<Storage> {
  mkdirSync(data)
  return openStorage(openSqlite(data))
}

function append(revision: number): Append {
  const head = { name: LOG, epoch: 'e', revision: revision + 1, hash: `h${revision + 1}`, digest: '', seal: '' }
  const change = { revision: revision + 1, at: 1, actor: '{}', action: 'flag.kill', comment: null, edits: '[]', reverts: null }
  const from = revision === 0 ? null : { revision, hash: `h${revision}` }
  return { from, head, change: { ...change, hash: head.hash, previousHash: '' }, documents: [] }
}

async function timed(run: () => unknown): Promise<number> {
  const start = performance.now()
  await run()
  return performance.now() - start
}

function keyOf(flag: number): string {
  return `flag-${flag}`
}
