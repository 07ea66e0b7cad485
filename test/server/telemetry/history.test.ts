/** Evaluations over time in a real database: rolled up, let go, and never counted twice, whatever fails in between. */
import { mkdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Append } from '../../../server/storage/storage.ts'
import { openSqlite } from '../../../server/storage/sqlite.ts'
import { openStorage } from '../../../server/storage/storage.ts'
import { HOUR_MS, MINUTE_MS } from '../../../server/telemetry/flagcounts.ts'
import { WAITING_MAX } from '../../../server/telemetry/history.ts'
import { openUsage, type UsageHandle } from '../../../server/telemetry/usage.ts'
import type { State } from '../../../server/log/types.ts'
import { manualClock } from '../../clock.ts'
import { randomFrom } from '../../random.ts'
import { runs } from '../../runs.ts'
import { recordingLogger } from '../log/open.ts'
import { type Counting, counting, failed, LOG, report, row, SHOP } from './open.ts'

const DAY_MS = 24 * HOUR_MS

/** Every evaluation of a flag that is known, whenever it was. */
async function all(usage: UsageHandle, flag = 'checkout'): Promise<number> {
  const series = await usage.series(LOG, flag, { since: 0, until: Date.parse('2100-01-01'), stepMs: 400 * DAY_MS })
  return series.reduce((sum, { total }) => sum + total, 0)
}

async function spans({ storage }: Counting): Promise<{ hours: number; days: number }> {
  const { hours, days } = await storage.spans()
  return { hours: hours.length, days: days.length }
}

/** A time with the server running: counts are stored and kept in order as they would be by themselves. */
async function pass({ clock, usage }: Counting, ms: number, each?: () => void): Promise<void> {
  for (let passed = 0; passed < ms; passed += HOUR_MS) {
    each?.()
    clock.jump(HOUR_MS)
    await usage.write()
    await usage.maintain()
    await usage.maintain()
  }
}

t.test('counts are kept by the minute for two days, then by the hour, then let go', async t => {
  const open = await counting(t, t.testdir(), { config: { minuteCountsHours: 48, hourCountsDays: 10 } })
  const { usage, clock } = open
  const begin = clock.now()
  usage.add(LOG, report(row('checkout', 5)), SHOP)
  clock.jump(7 * MINUTE_MS)
  usage.add(LOG, report(row('checkout', 2), row('checkout', 1, { variation: 'off' })), SHOP)
  const byMinute = { since: begin, until: begin + 10 * MINUTE_MS, stepMs: MINUTE_MS }
  await pass(open, 47 * HOUR_MS)
  t.same(await spans(open), { hours: 1, days: 0 })
  t.same((await usage.series(LOG, 'checkout', byMinute))[0]?.counts, [5, 0, 0, 0, 0, 0, 0, 2, 0, 0], 'by the minute')
  await pass(open, 3 * HOUR_MS)
  t.same(await spans(open), { hours: 0, days: 1 })
  t.same((await usage.series(LOG, 'checkout', byMinute))[0]?.counts, [7, 0, 0, 0, 0, 0, 0, 0, 0, 0], 'where the hour begins')
  t.equal(await all(usage), 8)
  await pass(open, 8 * DAY_MS)
  t.equal(await all(usage), 8)
  await pass(open, DAY_MS)
  t.same(await spans(open), { hours: 0, days: 0 })
  t.equal(await all(usage), 0)
  t.match(await usage.flag(LOG, 'checkout'), { lastDay: 0, lastSeen: '2026-11-21T03:07:00.000Z' }, 'when it was last seen stays known')
})

t.test('a flag that was archived is forgotten with the last of its counts', async t => {
  const open = await counting(t, t.testdir(), { config: { hourCountsDays: 7 } })
  open.usage.add(LOG, report(row('checkout', 5), row('search', 5)), SHOP)
  await pass(open, HOUR_MS)
  open.flags.delete('checkout')
  await pass(open, 6 * DAY_MS)
  t.equal(open.usage.isCounted(LOG, 'checkout'), true)
  await pass(open, 3 * DAY_MS)
  t.equal(open.usage.isCounted(LOG, 'checkout'), false)
  t.equal(open.usage.isCounted(LOG, 'search'), true)
  t.same(
    (await open.storage.flags()).map(({ flag }) => flag),
    ['search'],
  )
})

t.test('problems that nobody sees any more are forgotten', async t => {
  const open = await counting(t, t.testdir())
  open.usage.add(LOG, report(failed('chekout', 1, 'FLAG_NOT_FOUND')), SHOP)
  await pass(open, DAY_MS)
  open.usage.add(LOG, report(failed('serach', 1, 'FLAG_NOT_FOUND')), SHOP)
  await pass(open, 29 * DAY_MS + HOUR_MS)
  await open.usage.write()
  t.same(
    open.usage.problems(LOG).map(({ subject }) => subject),
    ['serach'],
  )
  t.same(
    (await open.storage.problems()).map(({ subject }) => subject),
    ['serach'],
  )
})

t.test('a restart goes on where the last one ended', async t => {
  const data = t.testdir()
  const clock = manualClock()
  const first = await counting(t, data, { clock })
  first.usage.add(LOG, report(row('checkout', 5), failed('chekout', 3, 'FLAG_NOT_FOUND')), SHOP)
  await first.usage.write()
  clock.advance(10 * MINUTE_MS)
  first.usage.add(LOG, report(row('checkout', 2)), { ...SHOP, service: 'billing' })
  const before = await first.usage.flag(LOG, 'checkout')
  await first.close()
  clock.advance(MINUTE_MS)
  const { usage } = await counting(t, data, { clock })
  t.strictSame(await usage.flag(LOG, 'checkout'), before)
  t.equal(before.lastHour, 7)
  t.match(usage.problems(LOG), [{ subject: 'chekout', count: 3, service: 'shop' }])
  clock.advance(50 * MINUTE_MS)
  t.equal(usage.lastHour(LOG, 'checkout'), 2, 'and the last hour moves on')
  usage.add(LOG, report(row('checkout', 1), failed('chekout', 1, 'FLAG_NOT_FOUND')), SHOP)
  await usage.write()
  t.match([await all(usage), usage.problems(LOG)[0]?.count], [8, 4])
})

t.test('kill -9 loses what was not stored yet, and counts nothing twice', async t => {
  const data = t.testdir()
  const first = await counting(t, data)
  first.usage.add(LOG, report(row('checkout', 5)), SHOP)
  await first.usage.write()
  first.usage.add(LOG, report(row('checkout', 100)), SHOP)
  await first.die()
  const { usage } = await counting(t, data)
  t.equal(await all(usage), 5)
})

t.test(
  'whatever fails and whenever the process dies, each evaluation is counted once, is lost with the process, or is said to be dropped',
  async t => {
    const { numRuns } = runs(3)
    for (let seed = 1; seed <= numRuns; seed++) await schedule(t, seed)
  },
)

/** A few hundred steps of counting, storing, rolling up, failing writes, deaths and clock jumps, against a plain sum. */
async function schedule(t: Test, seed: number): Promise<void> {
  const random = randomFrom(seed)
  const data = `${seed === 1 ? t.testdir() : t.testdirName}/seed-${seed}`
  mkdirSync(data)
  const clock = manualClock()
  let failure: Error | null = null
  const flags = ['a', 'b', 'c']
  const failing = <T>(run: () => Promise<T>): Promise<T> => (failure !== null && random() < 0.7 ? Promise.reject(failure) : run())
  const open = (): Promise<Counting> =>
    counting(t, data, {
      clock,
      flags,
      between: storage => ({
        ...storage,
        add: additions => failing(() => storage.add(additions)),
        compact: (hour, limit, merge) => failing(() => storage.compact(hour, limit, merge)),
      }),
    })
  let running = await open()
  /** What is in the database for certain, and what only in memory. */
  let stored = 0
  let waiting = 0
  for (let step = 0; step < 300; step++) {
    const chance = random()
    if (chance < 0.5) {
      const count = 1 + Math.floor(random() * 1_000)
      running.usage.add(LOG, report(row(flags[Math.floor(random() * 3)]!, count, { variation: random() < 0.5 ? 'on' : 'off' })), SHOP)
      waiting += count
    } else if (chance < 0.7) {
      clock.jump(Math.floor(random() * 3 * HOUR_MS))
    } else if (chance < 0.85) {
      await running.usage.write()
      if (running.usage.storing().waiting === 0) {
        stored += waiting
        waiting = 0
      }
    } else if (chance < 0.93) {
      await running.usage.maintain()
    } else if (chance < 0.96) {
      failure = failure === null ? new Error('the disk is ill') : null
    } else if (chance < 0.98) {
      clock.jump(random() < 0.5 ? -5 * HOUR_MS : 60 * HOUR_MS)
    } else {
      // With three flags a write is one transaction: what waited is lost, all of it.
      await running.die()
      waiting = 0
      running = await open()
    }
    if (step % 20 === 0) {
      const known = await Promise.all(flags.map(flag => all(running.usage, flag)))
      const sum = known.reduce((total, count) => total + count, 0)
      if (sum !== stored + waiting) return void t.equal(sum, stored + waiting, `seed ${seed}, step ${step}`)
    }
  }
  t.ok(stored > 0, `seed ${seed}`)
  t.equal(running.usage.dropped(LOG).server, 0)
  await running.close()
}

t.test('a full disk keeps counts waiting, and they are stored when there is room', async t => {
  let limit = (_pages: number): void => undefined
  const open = await counting(t, t.testdir(), {
    flags: Array.from({ length: 2_000 }, (_, i) => `flag-${i}`),
    sqlite: { configure: handle => (limit = pages => void handle.pragma(`max_page_count = ${pages}`)) },
  })
  const { usage, logger } = open
  limit(60)
  for (let i = 0; i < 2_000; i++) usage.add(LOG, report(row(`flag-${i}`, 3)), SHOP)
  await usage.write()
  await usage.write()
  t.ok(usage.storing().waiting > 0)
  t.match(usage.storing().problem, /is full/)
  t.equal(logger.lines.filter(({ level }) => level === 'warn').length, 1, 'said once')
  t.equal(await all(usage, 'flag-1999'), 3, 'what waits is answered')
  limit(1_000_000)
  await usage.write()
  t.match(usage.storing(), { waiting: 0, problem: null })
  t.ok(logger.said('info', /stored again/))
  let sum = 0
  for (let i = 0; i < 2_000; i += 50) sum += await all(usage, `flag-${i}`)
  t.equal(sum, 120)
})

t.test('what waits is bounded, and what no longer fits is dropped and said', async t => {
  const failure = new Error('the disk is ill')
  const open = await counting(t, t.testdir(), { between: storage => ({ ...storage, add: () => Promise.reject(failure) }) })
  const { usage, clock } = open
  const outcomes = 1_000
  const rows = report(...Array.from({ length: outcomes }, (_, i) => row('checkout', 2, { variation: `v${i}` })))
  const minutes = WAITING_MAX / outcomes + 3
  for (let i = 0; i < minutes; i++) {
    clock.jump(MINUTE_MS)
    usage.add(LOG, rows, SHOP)
  }
  await usage.write()
  t.equal(usage.storing().waiting, WAITING_MAX)
  t.equal(usage.dropped(LOG).server, 3 * outcomes * 2)
  t.equal(usage.total(LOG), minutes * outcomes * 2)
  t.equal(await all(usage), WAITING_MAX * 2)
})

t.test('a clock that is years ahead for an hour costs a day or two of the oldest history, and nothing of the rest', async t => {
  const open = await counting(t, t.testdir(), { config: { hourCountsDays: 100 } })
  await pass(open, 40 * DAY_MS, () => {
    if (open.clock.now() % DAY_MS < HOUR_MS) open.usage.add(LOG, report(row('checkout', 1)), SHOP)
  })
  t.equal(await all(open.usage), 40)
  open.clock.jump(3 * 365 * DAY_MS)
  open.usage.add(LOG, report(row('checkout', 1)), SHOP)
  t.equal(open.usage.lastHour(LOG, 'checkout'), 1)
  await open.usage.write()
  await open.usage.maintain()
  await open.usage.maintain()
  open.clock.jump(-3 * 365 * DAY_MS)
  t.ok(Date.parse((await open.usage.flag(LOG, 'checkout')).lastSeen ?? '') <= open.clock.now(), 'nothing was seen in the future')
  open.usage.add(LOG, report(row('checkout', 1)), SHOP)
  t.equal(await all(open.usage), 40 + 2 - 2)
  t.match(await open.usage.flag(LOG, 'checkout'), { lastHour: 1 })
})

t.test('a commit waits for a part of the counts, not for all of them', async t => {
  const database = await openStorage(openSqlite(t.testdir()))
  t.teardown(() => database.close())
  const clock = manualClock()
  const flags = Array.from({ length: 3_000 }, (_, i) => `flag-${i}`)
  const log = { state: () => ({ documents: { flag: new Set(flags) } }) as unknown as State }
  const config = { minuteCountsHours: 48, hourCountsDays: 400 }
  const usage = await openUsage({ clock, logger: recordingLogger(), log, storage: database.counts, config })
  for (const flag of flags) usage.add(LOG, report(row(flag, 1)), SHOP)
  const head = { name: LOG, epoch: 'e', revision: 1, hash: 'h', digest: '', seal: '' }
  const change = {
    revision: 1,
    at: 1,
    actor: '{}',
    action: 'flag.kill',
    comment: null,
    edits: '[]',
    reverts: null,
    hash: 'h',
    previousHash: '',
  }
  const append: Append = { from: null, head, change, documents: [] }
  const writing = usage.write()
  await database.append([append])
  const { waiting } = usage.storing()
  t.ok(waiting >= flags.length - 200, `${waiting} of ${flags.length} still wait when the commit is stored`)
  await writing
  t.equal(usage.storing().waiting, 0)
  await usage.close()
})
