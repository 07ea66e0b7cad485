import t, { type Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { checkLibrary, DATABASE_FILE, openSqlite, SQLITE_VERSION_MIN } from '../../../server/storage/sqlite.ts'
import { type Append, openStorage, type Storage } from '../../../server/storage/storage.ts'

async function openedStorage(test: Test, data: string): Promise<Storage> {
  const storage = await openStorage(openSqlite(data))
  test.teardown(() => storage.close())
  return storage
}

function append(revision: number, from: Append['from'], documents: Append['documents'] = []): Append {
  const head = { name: 'shop/production', epoch: 'e', revision, hash: `hash ${revision}`, digest: '', seal: '' }
  const change = { revision, at: revision * 1_000, actor: '{}', action: 'segment.edit', comment: null, edits: '[]', reverts: null }
  return { from, head, change: { ...change, hash: `hash ${revision}`, previousHash: from?.hash ?? '' }, documents }
}

t.test('an SQLite with the WAL-reset bug is refused', async t => {
  for (const version of ['3.51.2', '3.50.9', '3.7.17', '2.99.99'])
    t.throws(() => checkLibrary(version), { code: 'SQLITE_TOO_OLD' }, version)
  for (const version of [SQLITE_VERSION_MIN, '3.51.4', '3.52.0', '3.100.0', '4.0.0']) t.doesNotThrow(() => checkLibrary(version), version)
  t.throws(() => openSqlite(t.testdir(), { libraryVersion: '3.51.2' }), { code: 'SQLITE_TOO_OLD', message: /3\.51\.2.*better-sqlite3/ })
})

t.test('the settings that durability rests on are those that SQLite uses', async t => {
  const settings: Record<string, unknown> = {}
  const database = openSqlite(t.testdir(), {
    configure: handle => {
      for (const name of ['journal_mode', 'synchronous', 'locking_mode', 'foreign_keys', 'trusted_schema', 'cell_size_check']) {
        settings[name] = handle.pragma(name, { simple: true })
      }
    },
  })
  const storage = await openStorage(database)
  await storage.close()
  t.same(settings, {
    journal_mode: 'wal',
    synchronous: 2,
    locking_mode: 'exclusive',
    foreign_keys: 1,
    trusted_schema: 0,
    cell_size_check: 1,
  })
})

t.test('a file that is no database is refused, with what to do', async t => {
  for (const [name, content] of [
    ['text', 'this is not a database, and long enough to be seen as one at a glance'.repeat(40)],
    ['zeroed header', Buffer.concat([Buffer.alloc(100), Buffer.alloc(8_092, 7)])],
  ] as const) {
    const data = t.testdir({})
    writeFileSync(join(data, DATABASE_FILE), content)
    t.throws(() => openSqlite(data), { code: 'LOG_DAMAGED', message: /newest backup/ }, name)
  }
})

t.test('a folder that is not there is a clear error', async t => {
  t.throws(() => openSqlite(join(t.testdir(), 'missing')), { code: 'STORAGE_UNAVAILABLE' })
})

t.test('a database of a newer version is refused, and left as it is', async t => {
  const data = t.testdir()
  await (await openStorage(openSqlite(data))).close()
  const file = join(data, DATABASE_FILE)
  const newer = new Sqlite(file)
  newer.prepare('insert into kysely_migration (name, timestamp) values (?, ?)').run('0999-from-the-future', '2031-01-01')
  newer.close()
  await t.rejects(openStorage(openSqlite(data)), { code: 'DATA_TOO_NEW', message: /0999-from-the-future.*newer version/ })
  await t.rejects(openStorage(openSqlite(data)), { code: 'DATA_TOO_NEW' }, 'and the lock is given back')
})

t.test('a database of before evaluations were stored is brought up to date, and keeps what it holds', async t => {
  const data = t.testdir()
  const before = await openStorage(openSqlite(data))
  await before.append([append(1, null)])
  await before.close()
  const handle = new Sqlite(join(data, DATABASE_FILE))
  const first = ['logs', 'changes', 'changed_documents', 'documents']
  const tables = handle.prepare(`select name from sqlite_master where type = 'table'`).pluck().all() as string[]
  for (const table of tables.filter(name => !first.includes(name) && !name.startsWith('kysely'))) handle.exec(`drop table ${table}`)
  handle.exec(`delete from kysely_migration where name > '0001-the-log'`)
  handle.close()
  const storage = await openedStorage(t, data)
  t.match(await storage.logs(), [{ revision: 1 }])
  const row = { id: null, log: 'shop/production', flag: 'checkout', firstSeen: 1, lastSeen: 2, services: '[]' }
  t.same(await storage.counts.add([{ row, hours: new Map([[7, () => Uint8Array.of(1)]]) }]), [1])
  t.same(await storage.counts.spans(), { hours: [7], days: [] })
})

t.test('a step that fails leaves nothing behind, and is taken again', async t => {
  const data = t.testdir()
  const file = join(data, DATABASE_FILE)
  const inTheWay = new Sqlite(file)
  inTheWay.exec('create table changed_documents (x)')
  inTheWay.close()
  await t.rejects(openStorage(openSqlite(data)))
  const cleared = new Sqlite(file)
  t.same(cleared.prepare(`select name from sqlite_master where name in ('logs', 'changes')`).all(), [])
  cleared.exec('drop table changed_documents')
  cleared.close()
  const storage = await openedStorage(t, data)
  t.same(await storage.logs(), [])
})

t.test('opening again takes no step twice', async t => {
  const data = t.testdir()
  const first = await openStorage(openSqlite(data))
  await first.append([append(1, null)])
  await first.close()
  const second = await openedStorage(t, data)
  t.match(await second.logs(), [{ name: 'shop/production', revision: 1 }])
})

t.test('an entry that does not follow the head is refused, and nothing of the transaction is stored', async t => {
  const storage = await openedStorage(t, t.testdir())
  const other = append(1, null)
  await storage.append([append(1, null, [{ type: 'segment', key: 'a', body: '1', hash: 'h' }])])
  const elsewhere = { ...other, head: { ...other.head, name: 'shop/other' } }
  await t.rejects(storage.append([elsewhere, append(3, { revision: 2, hash: 'hash 2' })]), { code: 'STORAGE_UNAVAILABLE' })
  await t.rejects(storage.append([elsewhere, append(2, { revision: 1, hash: 'another' })]), { code: 'STORAGE_UNAVAILABLE' })
  t.same(
    (await storage.logs()).map(log => [log.name, log.revision]),
    [['shop/production', 1]],
  )
  await storage.append([elsewhere, append(2, { revision: 1, hash: 'hash 1' }, [{ type: 'segment', key: 'a', body: null, hash: '' }])])
  t.same(await storage.documents('shop/production'), [])
})

t.test('revisions and moments beyond 32 bits come back as they went in', async t => {
  const storage = await openedStorage(t, t.testdir())
  const far = Number.MAX_SAFE_INTEGER - 1
  await storage.append([append(1, null)])
  await storage.append([
    { ...append(far, { revision: 1, hash: 'hash 1' }), change: { ...append(far, null).change, at: 4_102_444_800_000, reverts: 2 ** 40 } },
  ])
  t.match(await storage.changes('shop/production', { limit: 1, order: 'newest' }), [
    { revision: far, at: 4_102_444_800_000, reverts: 2 ** 40 },
  ])
  t.equal(await storage.revisionAt('shop/production', 4_102_444_800_000), far)
})

t.test('thousands of documents in one transaction', async t => {
  const storage = await openedStorage(t, t.testdir())
  const documents = Array.from({ length: 2_345 }, (_, i) => ({ type: 'flag', key: `f${i}`, body: String(i), hash: 'h' }))
  await storage.append([append(1, null, documents)])
  t.equal((await storage.documents('shop/production')).length, 2_345)
  t.equal((await storage.touched('shop/production', 0, 1)).length, 2_345)
})

t.test('a probe leaves nothing behind', async t => {
  const storage = await openedStorage(t, t.testdir())
  await storage.probe()
  t.same(await storage.logs(), [])
})
