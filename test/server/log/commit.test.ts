import t from 'tap'
import { spawnSync } from 'node:child_process'
import { SluiceError } from '../../../schemas/errors.ts'
import type { Published, Write } from '../../../server/log/types.ts'
import { failingStorage, LOG, names, opened, removed, segment, write } from './open.ts'

t.test('a commit answers the entry, and its document has a version', async t => {
  const { log } = await opened(t, t.testdir())
  const commit = await log.commit(write([segment('staff', 'Staff')], { comment: 'because', action: 'segment.create' }))
  t.match(commit, {
    log: LOG,
    revision: 1,
    volatile: false,
    change: { revision: 1, at: '2026-11-21T03:00:00.000Z', comment: 'because', action: 'segment.create' },
  })
  t.match(commit.change?.edits, [{ type: 'segment', key: 'staff', before: null, after: { name: 'Staff', version: 1 } }])
  t.equal(commit.change?.previousHash, '0'.repeat(64))
  const second = await log.commit(write([segment('staff', 'All staff')]))
  t.match(second.change?.edits, [{ before: { name: 'Staff', version: 1 }, after: { name: 'All staff', version: 2 } }])
  t.equal(second.change?.previousHash, commit.change?.hash)
  t.equal(log.state(LOG).revision, 2)
  t.equal(log.state(LOG).documents.segment.get('staff')?.version, 2)
  t.same(log.logs(), [LOG])
})

t.test('a removed document leaves with what stood before, and starts again at version 1', async t => {
  const { log } = await opened(t, t.testdir())
  await log.commit(write([segment('a', '1')]))
  await log.commit(write([segment('a', '2')]))
  const gone = await log.commit(write([removed('a')]))
  t.match(gone.change?.edits, [{ before: { name: '2', version: 2 }, after: null }])
  t.same(names(log.state(LOG)), {})
  const back = await log.commit(write([segment('a', '2')]))
  t.match(back.change?.edits, [{ before: null, after: { version: 1 } }])
})

t.test('what changes nothing is not written', async t => {
  const { log } = await opened(t, t.testdir())
  await log.commit(write([segment('a', '1'), segment('b', '1')]))
  const reordered = {
    type: 'segment' as const,
    key: 'a',
    after: { rules: [], excluded: [], included: [], name: '1', description: undefined as never, version: 99, key: 'a' },
  }
  t.match(await log.commit(write([reordered, removed('never-there')])), { revision: 1, change: null, volatile: false })
  const partly = await log.commit(write([segment('a', '1'), segment('b', '2')]))
  t.same(
    partly.change?.edits.map(edit => edit.key),
    ['b'],
  )
})

t.test('a dry run answers the entry that would be and leaves no trace', async t => {
  const data = t.testdir()
  const { log } = await opened(t, data)
  let published = 0
  log.subscribe(() => published++)
  const dry = await log.commit(write([segment('a', '1')], { dryRun: true }))
  t.match(dry, { revision: 0, change: { revision: 1 }, volatile: false })
  t.equal(published, 0)
  t.same(names(log.state(LOG)), {})
  t.equal((await log.commit(write([segment('a', '1')]))).change?.hash, dry.change?.hash)
})

t.test('a plan that throws refuses the write, and the next one goes on', async t => {
  const { log } = await opened(t, t.testdir())
  const refused = log.commit(
    write([], {
      plan: () => {
        throw new SluiceError('VERSION_CONFLICT', 'no')
      },
    }),
  )
  const next = log.commit(write([segment('a', '1')]))
  await t.rejects(refused, { code: 'VERSION_CONFLICT' })
  t.equal((await next).revision, 1)
})

t.test('writes that arrive together take turns, each planned on what the one before left', async t => {
  const { log } = await opened(t, t.testdir())
  const plan: Write['plan'] = state => [segment('counter', String(Number(state.documents.segment.get('counter')?.name ?? 0) + 1))]
  const commits = await Promise.all(Array.from({ length: 50 }, () => log.commit(write([], { plan }))))
  t.same(
    commits.map(commit => commit.revision),
    Array.from({ length: 50 }, (_, i) => i + 1),
  )
  t.same(names(log.state(LOG)), { counter: '50' })
})

t.test('writes of several logs are stored together or not at all', async t => {
  const data = t.testdir()
  const storage = failingStorage()
  const { log } = await opened(t, data, { openStorage: storage.open })
  const both = [write([segment('a', '1')], { log: 'shop/one' }), write([segment('a', '1')], { log: 'shop/two' })]
  const refusing: Write = {
    ...write([], { log: 'shop/two' }),
    plan: () => {
      throw new SluiceError('ALREADY_EXISTS', 'no')
    },
  }
  await t.rejects(log.commitAll([both[0]!, refusing]), { code: 'ALREADY_EXISTS' })
  storage.failure = new Error('disk on fire')
  await t.rejects(log.commitAll(both), { code: 'STORAGE_UNAVAILABLE' })
  t.same([log.state('shop/one').revision, log.state('shop/two').revision], [0, 0])
  storage.failure = null
  const commits = await log.commitAll(both)
  t.same(
    commits.map(commit => [commit.log, commit.revision]),
    [
      ['shop/one', 1],
      ['shop/two', 1],
    ],
  )
  await t.rejects(log.commitAll([both[0]!, both[0]!]), /one write per log/)
})

t.test('subscribers hear every commit once, in order, after it is readable', async t => {
  const { log, logger } = await opened(t, t.testdir())
  const heard: [number, string | undefined][] = []
  log.subscribe(() => {
    throw new Error('a careless listener')
  })
  const end = log.subscribe((published: Published) => {
    heard.push([published.change.revision, log.state(published.log).documents.segment.get('a')?.name])
    t.equal(published.epoch, log.state(LOG).epoch)
  })
  await Promise.all(['1', '2', '3'].map(name => log.commit(write([segment('a', name)]))))
  end()
  await log.commit(write([segment('a', '4')]))
  t.same(heard, [
    [1, '1'],
    [2, '2'],
    [3, '3'],
  ])
  t.ok(logger.said('error', /listener/))
})

t.test('nobody can alter what the log holds', async t => {
  const { log } = await opened(t, t.testdir())
  const edit = segment('a', '1')
  await log.commit(write([edit]))
  ;(edit.after as { name: string }).name = 'altered by the caller'
  const held = log.state(LOG).documents.segment.get('a')
  t.equal(held?.name, '1')
  t.throws(() => {
    ;(held as { name: string }).name = 'altered by a reader'
  }, TypeError)
})

t.test('everything is there after a restart, in the same epoch', async t => {
  const data = t.testdir()
  const first = await opened(t, data)
  await first.log.commit(write([segment('a', '1'), segment('b', '1')]))
  await first.log.commit(write([removed('b'), segment('a', 'zwölf 🚰')]))
  const epoch = first.log.state(LOG).epoch
  await first.log.close()
  const second = await opened(t, data)
  t.match(second.log.state(LOG), { epoch, revision: 2 })
  t.same(names(second.log.state(LOG)), { a: 'zwölf 🚰' })
  t.match(await second.log.verify(LOG), { brokenAt: null, revision: 2 })
  t.same(second.logger.lines, [])
  await second.log.close()
  await t.rejects(second.log.commit(write([segment('a', '2')])), { code: 'NOT_READY' })
})

t.test('a second opener is refused while the first lives, in this process and in another', async t => {
  const data = t.testdir()
  const { log } = await opened(t, data)
  await t.rejects(opened(t, data), { code: 'DATA_LOCKED' })
  const script = `
    import { openLog } from ${JSON.stringify(new URL('../../../server/log/log.js', import.meta.url).href)}
    import { systemClock } from ${JSON.stringify(new URL('../../../server/clock.js', import.meta.url).href)}
    const logger = { info() {}, warn() {}, error() {} }
    try { const log = await openLog({ data: ${JSON.stringify(data)}, clock: systemClock, logger }); await log.close(); process.stdout.write('opened') }
    catch (error) { process.stdout.write(error.code + ' ' + error.message) }`
  const { NODE_OPTIONS: _, ...env } = process.env
  const other = (): string =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8', timeout: 60_000 }).stdout
  const answer = other()
  t.match(answer, /^DATA_LOCKED/)
  t.ok(answer.includes(data), 'names the folder')
  await log.commit(write([segment('a', '1')]))
  await log.close()
  t.equal(other(), 'opened')
})
