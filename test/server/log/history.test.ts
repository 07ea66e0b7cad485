import t from 'tap'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import fc from 'fast-check'
import type { PlannedEdit } from '../../../server/log/types.ts'
import { LOG, names, opened, removed, segment, write } from './open.ts'
import { runs } from '../../runs.ts'

t.test('changes are found by revision, moment and document', async t => {
  const { log, clock } = await opened(t, t.testdir())
  for (let i = 1; i <= 9; i++) {
    clock.advance(1_000)
    await log.commit(write([segment(i % 3 === 0 ? 'third' : 'other', String(i))]))
  }
  const start = Date.parse('2026-11-21T03:00:00.000Z')
  const revisions = async (query: object): Promise<number[]> =>
    (await log.changes(LOG, { limit: 100, order: 'newest', ...query })).map(change => change.revision)
  t.same(await revisions({}), [9, 8, 7, 6, 5, 4, 3, 2, 1])
  t.same(await revisions({ order: 'oldest', limit: 2 }), [1, 2])
  t.same(await revisions({ afterRevision: 3, toRevision: 5 }), [5, 4])
  t.same(await revisions({ since: start + 8_000 }), [9, 8])
  t.same(await revisions({ until: start + 2_000 }), [2, 1])
  t.same(await revisions({ segment: 'third' }), [9, 6, 3])
  t.same(await revisions({ segment: 'third', limit: 1, order: 'oldest' }), [3])
  t.same(await revisions({ flag: 'third' }), [])
  t.same(await revisions({ flag: 'third', segment: 'other', afterRevision: 6 }), [8, 7])
  t.match(await log.change(LOG, 4), { revision: 4, edits: [{ key: 'other', after: { name: '4' } }] })
  await t.rejects(log.change(LOG, 10), { code: 'CHANGE_NOT_FOUND' })
  await t.rejects(log.stateAt(LOG, 10), { code: 'CHANGE_NOT_FOUND' })
  await t.rejects(log.stateAt(LOG, -1), { code: 'CHANGE_NOT_FOUND' })
  t.same(
    await Promise.all([start - 1, start + 999, start + 1_000, start + 4_500, start + 99_000].map(at => log.revisionAt(LOG, at))),
    [0, 0, 1, 4, 9],
  )
  t.same((await log.stateAt('nobody/here', 0)).documents.segment.size, 0)
})

/** One write: which documents are set or removed. */
const writeArbitrary = fc.uniqueArray(
  fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd', 'e'), name: fc.option(fc.stringMatching(/^[a-z]{1,2}$/)) }),
  {
    selector: edit => edit.key,
    minLength: 1,
    maxLength: 4,
  },
)

t.test('the state at any revision is the state that stood then, for any history, also after a restart', async t => {
  const folder = t.testdir()
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(writeArbitrary, { maxLength: 25 }), async writes => {
      const data = join(folder, `history-${run++}`)
      let { log } = await opened(t, data)
      const model: Record<string, string>[] = [{}]
      const versions = new Map<string, number>()
      for (const edits of writes) {
        const planned: PlannedEdit[] = edits.map(({ key, name }) => (name === null ? removed(key) : segment(key, name)))
        const next = { ...model.at(-1) }
        for (const { key, name } of edits) {
          if (name === null) delete next[key]
          else next[key] = name
          if (name === null) versions.delete(key)
          else if (model.at(-1)?.[key] !== name) versions.set(key, (versions.get(key) ?? 0) + 1)
        }
        const { revision } = await log.commit(write(planned))
        if (JSON.stringify(Object.entries(next).sort()) !== JSON.stringify(Object.entries(model.at(-1) ?? {}).sort())) model.push(next)
        if (revision !== model.length - 1) throw new Error(`revision ${revision}, expected ${model.length - 1}`)
      }
      for (const [key, version] of versions) {
        if (log.state(LOG).documents.segment.get(key)?.version !== version) throw new Error(`version of ${key}`)
      }
      await log.close()
      ;({ log } = await opened(t, data))
      for (const [revision, expected] of model.entries()) {
        const found = names(await log.stateAt(LOG, revision))
        if (JSON.stringify(found) !== JSON.stringify(Object.fromEntries(Object.entries(expected).sort())))
          throw new Error(`state at ${revision}`)
      }
      if ((await log.verify(LOG)).brokenAt !== null) throw new Error('the chain does not hold')
      await log.close()
    }),
    runs(15),
  )
  t.pass('every history')
})

t.test('long histories are read in helpings', async t => {
  const { log } = await opened(t, t.testdir())
  for (let i = 1; i <= 250; i++) await log.commit(write([segment(`s${i % 7}`, String(i))]))
  const expected = (revision: number): Record<string, string> => {
    const state: Record<string, string> = {}
    for (let i = 1; i <= revision; i++) state[`s${i % 7}`] = String(i)
    return Object.fromEntries(Object.entries(state).sort())
  }
  for (const revision of [0, 1, 9, 10, 11, 29, 30, 31, 69, 70, 71, 119, 120, 124, 125, 126, 180, 219, 220, 239, 240, 241, 249, 250]) {
    t.same(names(await log.stateAt(LOG, revision)), expected(revision), `state at ${revision}`)
  }
  t.match(await log.verify(LOG), { revision: 250, brokenAt: null })
})

t.test('imports with thousands of edits are read one by one', async t => {
  const { log } = await opened(t, t.testdir())
  const many = (name: string): PlannedEdit[] => Array.from({ length: 1_500 }, (_, i) => segment(`s${i}`, name))
  for (let i = 1; i <= 14; i++) await log.commit(write(i % 4 === 0 ? many(`import ${i}`) : [segment('s7', `edit ${i}`)]))
  for (const [revision, name, count] of [
    [3, 'edit 3', 1],
    [4, 'import 4', 1_500],
    [7, 'edit 7', 1_500],
    [12, 'import 12', 1_500],
  ] as const) {
    const found = names(await log.stateAt(LOG, revision))
    t.same([found.s7, Object.keys(found).length], [name, count])
  }
  t.match(await log.verify(LOG), { revision: 14, brokenAt: null })
})

t.test('entries that are committed while history is read do not disturb it', async t => {
  const { log } = await opened(t, t.testdir())
  for (let i = 1; i <= 120; i++) await log.commit(write([segment('a', String(i))]))
  const reads = [30, 70, 119, 120].map(async revision => [revision, names(await log.stateAt(LOG, revision)).a])
  const verification = log.verify(LOG)
  for (let i = 121; i <= 150; i++) await log.commit(write([segment('a', String(i))]))
  for (const [revision, name] of await Promise.all(reads)) t.equal(name, String(revision))
  t.equal((await verification).brokenAt, null)
})

/** What somebody might do to the database behind our back, and the revision that `verify` must name. */
const TAMPERINGS: { name: string; sql: string; brokenAt: number }[] = [
  { name: 'an altered comment', sql: `update changes set comment = 'nothing' where revision = 5`, brokenAt: 5 },
  { name: 'an altered edit', sql: `update changes set edits = replace(edits, 'Dana', 'Eve') where revision = 5`, brokenAt: 5 },
  { name: 'an altered moment', sql: `update changes set at = at + 1 where revision = 5`, brokenAt: 5 },
  { name: 'an altered actor', sql: `update changes set actor = replace(actor, 'dana', 'eve') where revision = 5`, brokenAt: 5 },
  { name: 'an altered action', sql: `update changes set action = 'segment.create' where revision = 5`, brokenAt: 5 },
  { name: 'an altered hash', sql: `update changes set hash = replace(hash, '1', '2') where revision = 5`, brokenAt: 5 },
  { name: 'a moved entry', sql: `update changes set log = 'shop/other' where revision = 5`, brokenAt: 6 },
  { name: 'a deleted entry', sql: `delete from changes where revision = 5`, brokenAt: 6 },
  { name: 'the first entry deleted', sql: `delete from changes where revision = 1`, brokenAt: 2 },
  {
    name: 'two entries exchanged',
    sql: `update changes set revision = 99 where revision = 5; update changes set revision = 5 where revision = 6; update changes set revision = 6 where revision = 99`,
    brokenAt: 5,
  },
  { name: 'an index entry removed', sql: `delete from changed_documents where revision = 5`, brokenAt: 5 },
  { name: 'an index entry added', sql: `insert into changed_documents values ('${LOG}', 'flag', 'x', 5)`, brokenAt: 5 },
]

t.test('an altered, deleted, moved or exchanged entry is found', async t => {
  for (const { name, sql, brokenAt } of TAMPERINGS) {
    const data = t.testdir({})
    const first = await opened(t, data)
    for (let i = 1; i <= 9; i++) await first.log.commit(write([segment('a', `Dana ${i}`)], { comment: `comment ${i}` }))
    await first.log.close()
    tamper(data, sql)
    const { log } = await opened(t, data).catch((error: unknown) => ({ log: error as Error & { code: string } }))
    // Moved to another log it makes a log without a head, which is refused at once.
    if ('code' in log) t.equal(log.code, 'LOG_DAMAGED', name)
    else {
      t.match(await log.verify(LOG), { brokenAt }, name)
      t.equal(names(log.state(LOG)).a, 'Dana 9', `${name}: the state of now is not touched`)
      // Entries are checked when they are read as well; the index holds no values.
      if (!sql.includes('changed_documents')) {
        await t.rejects(log.changes(LOG, { limit: 100, order: 'newest' }), { code: 'LOG_DAMAGED' }, `${name}: the history is refused`)
        await t.rejects(log.changes(LOG, { limit: 100, order: 'oldest' }), { code: 'LOG_DAMAGED' }, `${name}: and catching up too`)
      }
      await log.close()
    }
  }
})

/** Damage to what a start-up reads: it is refused, and the message names what. */
const DAMAGES: { name: string; sql: string; says: RegExp }[] = [
  {
    name: 'an altered document',
    sql: `update documents set body = replace(body, 'Dana', 'Eve') where key = 'a'`,
    says: /segment "a" in the log "shop\/production"/,
  },
  { name: 'a document under another key', sql: `update documents set key = 'z' where key = 'a'`, says: /segment "z"/ },
  { name: 'a removed document', sql: `delete from documents where key = 'a'`, says: /documents of the log "shop\/production"/ },
  { name: 'the newest entry removed', sql: `delete from changes where revision = 9`, says: /newest entry of the log "shop\/production"/ },
  { name: 'the newest entry altered', sql: `update changes set comment = 'x' where revision = 9`, says: /entry 9/ },
  { name: 'an altered head', sql: `update logs set revision = 8`, says: /head of the log "shop\/production"/ },
  { name: 'an altered epoch', sql: `update logs set epoch = 'x'`, says: /head of the log/ },
  { name: 'a removed head', sql: `delete from logs`, says: /no head/ },
]

t.test('a damaged document, head or newest entry is refused at the start', async t => {
  for (const { name, sql, says } of DAMAGES) {
    const data = t.testdir({})
    const { log } = await opened(t, data)
    for (let i = 1; i <= 9; i++) await log.commit(write([segment('a', `Dana ${i}`), segment('b', 'still')]))
    await log.close()
    tamper(data, sql)
    const error: unknown = await opened(t, data).then(
      () => null,
      (refusal: unknown) => refusal,
    )
    t.match(error, { code: 'LOG_DAMAGED', message: says }, name)
  }
})

function tamper(data: string, sql: string): void {
  const database = new Sqlite(join(data, 'sluice.db'))
  database.pragma('foreign_keys = OFF')
  database.exec(sql)
  database.close()
}
