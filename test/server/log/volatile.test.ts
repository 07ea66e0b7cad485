import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SluiceError } from '../../../schemas/errors.ts'
import type { Published } from '../../../server/log/types.ts'
import { openSqlite } from '../../../server/storage/sqlite.ts'
import { openStorage } from '../../../server/storage/storage.ts'
import { failingStorage, LOG, names, opened, segment, write } from './open.ts'

const FULL = new SluiceError('STORAGE_FULL', 'The disk is full. Make room on it.')
const BROKEN = Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_FSYNC' })
const kill = (name: string) => write([segment('killed', name)], { action: 'flag.kill', evenIfStorageFails: true })

/** Runs what the log has queued so far. */
async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

for (const [failure, code] of [
  [FULL, 'STORAGE_FULL'],
  [BROKEN, 'STORAGE_UNAVAILABLE'],
] as const) {
  t.test(`a kill goes out while writes are refused with ${code}, and is stored when that is over`, async t => {
    const data = t.testdir()
    const storage = failingStorage()
    const { log, clock, logger } = await opened(t, data, { openStorage: storage.open })
    const heard: Published[] = []
    log.subscribe(published => heard.push(published))
    await log.commit(write([segment('killed', 'on')]))
    storage.failure = failure
    await t.rejects(log.commit(write([segment('a', '1')])), { code, message: /streamed as before.*kills still work/ })
    t.match(log.status(), { healthy: false, volatile: 0 })
    t.match(await log.commit(kill('off')), { revision: 2, volatile: true, change: { revision: 2 } })
    t.match(await log.commit(kill('off')), { revision: 2, volatile: true, change: null }, 'again: it stands already, and still waits')
    t.match(await log.commit(kill('off, everywhere')), { revision: 3, volatile: true })
    t.same(names(log.state(LOG)), { killed: 'off, everywhere' })
    t.same(
      heard.map(({ change, volatile }) => [change.revision, volatile]),
      [
        [1, false],
        [2, true],
        [3, true],
      ],
    )
    t.match(log.status(), { healthy: false, volatile: 2 })
    await t.rejects(log.commit(write([segment('a', '1')])), { code, message: /2 kills are published and waiting/ })
    t.match(await log.commit(write([segment('a', '1')], { dryRun: true })), { change: { revision: 4 } }, 'a dry run needs no storage')
    t.same(
      (await log.changes(LOG, { limit: 10, order: 'newest' })).map(change => change.revision),
      [3, 2, 1],
      'history holds what waits',
    )
    t.same(names(await log.stateAt(LOG, 2)), { killed: 'off' })
    t.equal(await log.revisionAt(LOG, clock.now()), 3)
    t.match(await log.verify(LOG), { brokenAt: null, revision: 3 })
    t.match(JSON.parse(readFileSync(join(data, 'head.json'), 'utf8')), { logs: { [LOG]: { revision: 1 } } })
    t.ok(logger.said('error', /kill could not be stored/))

    clock.advance(1_000)
    await settled(() => clock.waiting === 1)
    t.equal(log.status().volatile, 2, 'still failing after a second')
    storage.failure = null
    clock.advance(1_999)
    t.equal(log.status().volatile, 2)
    clock.advance(1)
    await settled(() => log.status().healthy && log.status().volatile === 0 && !existsSync(join(data, 'journal.jsonl')))
    t.equal(clock.waiting, 0, 'nothing left to retry')
    t.match(await log.commit(write([segment('a', '1')])), { revision: 4, volatile: false })
    t.match(JSON.parse(readFileSync(join(data, 'head.json'), 'utf8')), { logs: { [LOG]: { revision: 4 } } })
    await log.close()
    const again = await opened(t, data)
    t.same(names(again.log.state(LOG)), { a: '1', killed: 'off, everywhere' })
    t.same(await again.log.change(LOG, 3), heard[2]?.change, 'stored as it was published: revision, moment and hash')
    t.match(await again.log.verify(LOG), { brokenAt: null })
  })
}

t.test('what waits is stored before the next write', async t => {
  const storage = failingStorage()
  const { log, clock } = await opened(t, t.testdir(), { openStorage: storage.open })
  storage.failure = FULL
  await log.commit(kill('off'))
  storage.failure = null
  t.match(await log.commit(write([segment('a', '1')])), { revision: 2, volatile: false })
  t.match(log.status(), { healthy: true, problem: null, volatile: 0 })
  t.equal(clock.waiting, 0)
})

t.test('storage that is well again is noticed without a write', async t => {
  const storage = failingStorage()
  const { log, clock } = await opened(t, t.testdir(), { openStorage: storage.open })
  storage.failure = BROKEN
  await t.rejects(log.commit(write([segment('a', '1')])), { code: 'STORAGE_UNAVAILABLE' })
  t.match(log.status(), { healthy: false, problem: /disk I\/O error/ })
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    clock.advance(seconds * 1_000 - 1)
    t.equal(clock.waiting, 1, `not before ${seconds} s`)
    clock.advance(1)
    await settled(() => clock.waiting === 1)
  }
  storage.failure = null
  clock.advance(30_000)
  await settled(() => log.status().healthy)
  t.equal(log.state(LOG).revision, 0)
})

t.test('a restart commits the journal first; a torn last line is left out', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const first = await opened(t, data, { openStorage: storage.open })
  await first.log.commit(write([segment('a', '1')]))
  storage.failure = FULL
  const volatile = [
    await first.log.commit(kill('off')),
    await first.log.commit(write([segment('killed', 'new')], { log: 'shop/new', evenIfStorageFails: true })),
  ]
  const epochs = [first.log.state(LOG).epoch, first.log.state('shop/new').epoch]
  await first.log.close()
  t.ok(existsSync(join(data, 'journal.jsonl')))
  appendFileSync(join(data, 'journal.jsonl'), 'deadbeef [{"log":"shop/prod')

  // Still full: what waits is known all the same, and still waits.
  const second = await opened(t, data, { openStorage: storage.open })
  t.ok(second.logger.said('warn', /not whole/))
  t.match(second.log.status(), { healthy: false, volatile: 2 })
  t.match(await second.log.commit(kill('off, everywhere')), { revision: 3, volatile: true })
  await second.log.close()

  const third = await opened(t, data)
  t.match(third.log.status(), { healthy: true, volatile: 0 })
  t.notOk(existsSync(join(data, 'journal.jsonl')))
  t.same(names(third.log.state(LOG)), { a: '1', killed: 'off, everywhere' })
  t.same(await third.log.change(LOG, 2), volatile[0]?.change)
  t.same(await third.log.change('shop/new', 1), volatile[1]?.change)
  t.same([third.log.state(LOG).epoch, third.log.state('shop/new').epoch], epochs)
  t.equal((await third.log.verify(LOG)).brokenAt, null)
})

t.test('a journal that is in the database already changes nothing', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const first = await opened(t, data, { openStorage: storage.open })
  storage.failure = FULL
  await first.log.commit(kill('off'))
  const journal = readFileSync(join(data, 'journal.jsonl'))
  storage.failure = null
  await first.log.commit(kill('off, everywhere'))
  await first.log.close()
  // As after a crash between the commit and the removal of the file.
  writeFileSync(join(data, 'journal.jsonl'), journal)
  const second = await opened(t, data)
  t.same(names(second.log.state(LOG)), { killed: 'off, everywhere' })
  t.equal(second.log.state(LOG).revision, 2)
  t.notOk(existsSync(join(data, 'journal.jsonl')))
})

t.test('a journalled kill survives a log that has moved on without it', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const first = await opened(t, data, { openStorage: storage.open })
  await first.log.commit(write([segment('a', '1')]))
  storage.failure = FULL
  await first.log.commit(kill('off'))
  const epoch = first.log.state(LOG).epoch
  const journal = readFileSync(join(data, 'journal.jsonl'))
  await first.log.close()
  writeFileSync(join(data, 'journal.jsonl'), '')
  const other = await opened(t, data)
  await other.log.commit(write([segment('a', '2')]))
  await other.log.close()
  writeFileSync(join(data, 'journal.jsonl'), journal)
  const second = await opened(t, data)
  t.ok(second.logger.said('warn', /moved on/))
  t.same(names(second.log.state(LOG)), { a: '2', killed: 'off' })
  t.equal(second.log.state(LOG).revision, 3)
  t.not(second.log.state(LOG).epoch, epoch)
  t.equal((await second.log.verify(LOG)).brokenAt, null)
})

t.test('a broken line before the last is refused: an acknowledged kill is not dropped in silence', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const { log } = await opened(t, data, { openStorage: storage.open })
  storage.failure = FULL
  await log.commit(kill('off'))
  await log.commit(kill('off, everywhere'))
  await log.close()
  const file = join(data, 'journal.jsonl')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"off"', '"on!"'))
  await t.rejects(opened(t, data), { code: 'LOG_DAMAGED', message: /Line 1 of .*journal\.jsonl/ })
})

t.test('the ballast gives way when the journal cannot be written, and comes back', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const { log } = await opened(t, data, { openStorage: storage.open })
  const ballast = join(data, 'ballast')
  t.equal(statSync(ballast).size, 1024 * 1024)
  storage.failure = FULL
  await log.commit(kill('off'))
  t.ok(existsSync(ballast), 'kept while there is room')
  storage.failure = null
  await log.commit(kill('on'))
  t.equal(statSync(ballast).size, 1024 * 1024)
})

t.test('a kill goes out even when there is no way to journal it', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const { log, logger } = await opened(t, data, { openStorage: storage.open })
  mkdirSync(join(data, 'journal.jsonl'))
  storage.failure = FULL
  t.match(await log.commit(kill('off')), { revision: 1, volatile: true })
  t.same(names(log.state(LOG)), { killed: 'off' })
  t.ok(logger.said('error', /only this process knows it/))
  t.notOk(existsSync(join(data, 'ballast')), 'the ballast was given up for it')
  rmdirSync(join(data, 'journal.jsonl'))
  storage.failure = null
  t.match(await log.commit(write([segment('a', '1')])), { revision: 2, volatile: false })
  t.match(await log.verify(LOG), { revision: 2, brokenAt: null })
})

t.test('ballast that found no room is tried again', async t => {
  const data = t.testdir({ ballast: { 'in-the-way': '' } })
  const { log, clock, logger } = await opened(t, data)
  t.ok(logger.said('warn', /no room for the ballast/))
  t.match(await log.commit(write([segment('a', '1')])), { revision: 1, volatile: false })
  rmSync(join(data, 'ballast'), { recursive: true })
  clock.advance(30_000)
  await settled(() => existsSync(join(data, 'ballast')) && statSync(join(data, 'ballast')).size === 1024 * 1024)
  t.equal(clock.waiting, 0)
})

t.test('SQLite itself out of room: reads go on, a kill goes out, and room mends it', async t => {
  const data = t.testdir()
  let pages = (_count: number): void => {}
  const openFull = (folder: string) =>
    openStorage(
      openSqlite(folder, {
        configure: handle => {
          pages = count => void handle.pragma(`max_page_count = ${count}`)
        },
      }),
    )
  const { log } = await opened(t, data, { openStorage: openFull })
  await log.commit(write([segment('a', '1')]))
  pages(1)
  const big = 'x'.repeat(100_000)
  await t.rejects(log.commit(write([segment('big', big)])), { code: 'STORAGE_FULL', message: /is full/ })
  await t.rejects(log.commit(write([segment('big', big), segment('small', '1')])), { code: 'STORAGE_FULL' })
  t.same(names(log.state(LOG)), { a: '1' })
  t.equal((await log.changes(LOG, { limit: 10, order: 'newest' })).length, 1)
  t.match(await log.commit(kill(big)), { revision: 2, volatile: true })
  t.match(log.status(), { healthy: false, volatile: 1 })
  pages(1_000_000)
  t.match(await log.commit(write([segment('small', '1')])), { revision: 3, volatile: false })
  await log.close()
  const again = await opened(t, data)
  t.same(names(again.log.state(LOG)), { a: '1', killed: big, small: '1' })
  t.equal((await again.log.verify(LOG)).brokenAt, null)
})

t.test('a kill that only the journal holds survives kill -9', async t => {
  const data = t.testdir()
  const script = `
    import { openLog } from ${JSON.stringify(new URL('../../../server/log/log.js', import.meta.url).href)}
    import { manualClock } from ${JSON.stringify(new URL('../../clock.js', import.meta.url).href)}
    import { failingStorage, segment, write } from ${JSON.stringify(new URL('./open.js', import.meta.url).href)}
    const logger = { info() {}, warn() {}, error() {} }
    const storage = failingStorage()
    const log = await openLog({ data: ${JSON.stringify(data)}, clock: manualClock(), logger, openStorage: storage.open })
    await log.commit(write([segment('a', '1')]))
    storage.failure = new Error('disk I/O error')
    const { change } = await log.commit(write([segment('killed', 'off')], { evenIfStorageFails: true }))
    process.stdout.write(change.hash + '\\n')
    setInterval(() => {}, 1000)`
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  child.kill('SIGKILL')
  await once(child, 'exit')
  const { log } = await opened(t, data)
  t.same(names(log.state(LOG)), { a: '1', killed: 'off' })
  t.equal((await log.change(LOG, 2)).hash, said.toString().trim())
})
