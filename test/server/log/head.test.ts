import t from 'tap'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOG, names, opened, segment, write } from './open.ts'

/** A log of five revisions, closed; and the database as it was after the third. */
async function five(t: Test, data: string): Promise<{ backup: Buffer; epoch: string }> {
  const first = await opened(t, data)
  for (const name of ['1', '2', '3']) await first.log.commit(write([segment('a', name)]))
  await first.log.close()
  const backup = readFileSync(join(data, 'sluice.db'))
  const second = await opened(t, data)
  for (const name of ['4', '5']) await second.log.commit(write([segment('a', name)]))
  const { epoch } = second.log.state(LOG)
  await second.log.close()
  return { backup, epoch }
}
type Test = Parameters<typeof opened>[0]

t.test('the head file says what was acknowledged, before the answer', async t => {
  const data = t.testdir()
  const { log } = await opened(t, data)
  for (let i = 1; i <= 3; i++) {
    const { change } = await log.commit(write([segment('a', String(i))]))
    t.match(JSON.parse(readFileSync(join(data, 'head.json'), 'utf8')), { logs: { [LOG]: { revision: i, hash: change?.hash } } })
  }
})

t.test('a restored backup begins a new epoch above every acknowledged revision, and says what is lost', async t => {
  const data = t.testdir()
  const { backup, epoch } = await five(t, data)
  writeFileSync(join(data, 'sluice.db'), backup)
  const restored = await opened(t, data)
  t.ok(restored.logger.said('warn', /Revisions 4 to 5 are not in it.*next change is revision 6/))
  t.not(restored.log.state(LOG).epoch, epoch)
  t.same([restored.log.state(LOG).revision, names(restored.log.state(LOG))], [5, { a: '3' }])
  t.match(await restored.log.commit(write([segment('a', 'restored')])), { revision: 6, change: { edits: [{ before: { name: '3' } }] } })
  t.match(await restored.log.verify(LOG), { revision: 6, brokenAt: null })
  await t.rejects(restored.log.change(LOG, 4), { code: 'CHANGE_NOT_FOUND' })
  for (const [revision, name] of [
    [2, '2'],
    [3, '3'],
    [4, '3'],
    [5, '3'],
    [6, 'restored'],
  ] as const) {
    t.same(names(await restored.log.stateAt(LOG, revision)), { a: name }, `state at ${revision}`)
  }
  const newEpoch = restored.log.state(LOG).epoch
  await restored.log.close()
  const again = await opened(t, data)
  t.same(again.logger.lines, [], 'said once')
  t.equal(again.log.state(LOG).epoch, newEpoch)
  t.match(await again.log.verify(LOG), { revision: 6, brokenAt: null })
})

t.test('a lost database is noticed as well: no revision is used twice', async t => {
  const data = t.testdir()
  await five(t, data)
  rmSync(join(data, 'sluice.db'))
  const { log, logger } = await opened(t, data)
  t.ok(logger.said('warn', /Changes are lost/))
  t.same([log.state(LOG).revision, names(log.state(LOG))], [5, {}])
  t.match(await log.commit(write([segment('a', 'anew')])), { revision: 6 })
  t.equal((await log.verify(LOG)).brokenAt, null)
  await log.close()
  const again = await opened(t, data)
  t.same(again.logger.lines, [])
  t.same(names(again.log.state(LOG)), { a: 'anew' })
})

t.test('a database with another history is noticed', async t => {
  const data = t.testdir()
  const { backup, epoch } = await five(t, data)
  const acknowledged = readFileSync(join(data, 'head.json'))
  writeFileSync(join(data, 'sluice.db'), backup)
  rmSync(join(data, 'head.json'))
  const other = await opened(t, data)
  for (const name of ['x', 'y', 'z']) await other.log.commit(write([segment('a', name)]))
  await other.log.close()
  writeFileSync(join(data, 'head.json'), acknowledged)
  const { log, logger } = await opened(t, data)
  t.ok(logger.said('warn', /another history/))
  t.not(log.state(LOG).epoch, epoch)
  t.match(await log.commit(write([segment('a', 'on')])), { revision: 7 })
})

for (const [name, alter] of [
  ['missing', (file: string) => rmSync(file)],
  ['damaged', (file: string) => writeFileSync(file, readFileSync(file, 'utf8').replace('"revision":5', '"revision":4'))],
  ['torn', (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 40))],
  ['empty', (file: string) => writeFileSync(file, '')],
] as const) {
  t.test(`a head file that is ${name} begins a new epoch, since nobody can tell whether something is lost`, async t => {
    const data = t.testdir()
    const { epoch } = await five(t, data)
    alter(join(data, 'head.json'))
    const { log, logger } = await opened(t, data)
    t.ok(logger.said('warn', /head\.json is (missing|damaged)/))
    t.not(log.state(LOG).epoch, epoch)
    t.same([log.state(LOG).revision, names(log.state(LOG))], [5, { a: '5' }])
    await log.close()
    const again = await opened(t, data)
    t.same(again.logger.lines, [])
    t.equal(again.log.state(LOG).epoch, log.state(LOG).epoch)
  })
}

t.test('a head file that is behind is what a crash leaves, and no reason for alarm', async t => {
  const data = t.testdir()
  const first = await opened(t, data)
  await first.log.commit(write([segment('a', '1')]))
  const behind = readFileSync(join(data, 'head.json'))
  await first.log.commit(write([segment('a', '2')]))
  await first.log.commit(write([segment('a', '1')], { log: 'shop/new' }))
  const { epoch } = first.log.state(LOG)
  await first.log.close()
  writeFileSync(join(data, 'head.json'), behind)
  const { log, logger } = await opened(t, data)
  t.same(logger.lines, [])
  t.match(log.state(LOG), { epoch, revision: 2 })
})

t.test('a head file that cannot be written does not stop the log', async t => {
  const data = t.testdir({ 'head.json.new': {} })
  const { log, logger } = await opened(t, data)
  t.match(await log.commit(write([segment('a', '1')])), { revision: 1, volatile: false })
  await log.commit(write([segment('a', '2')]))
  t.equal(logger.lines.filter(line => line.text.includes('head.json cannot be written')).length, 1, 'said once')
})
