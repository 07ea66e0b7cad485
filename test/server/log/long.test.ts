import t from 'tap'
import { canonicalJson } from '../../../server/log/canonical.ts'
import { hashedPieces } from '../../../server/log/entry.ts'
import type { PlannedEdit } from '../../../server/log/types.ts'
import { LOG, names, opened, removed, segment, write } from './open.ts'

t.test('what is hashed piece by piece is the canonical JSON of the whole entry', async t => {
  const { log } = await opened(t, t.testdir())
  const texts = ['1', 'quote " and \\', 'zwölf', '']
  await log.commit(write([segment('a', '1')]))
  const { change } = await log.commit(write([...texts.map((text, i) => segment(`s${i}`, text)), removed('a')], { comment: 'why' }))
  const { hash, ...rest } = change!
  for (const content of [rest, { ...rest, edits: [], comment: null, reverts: 1 }])
    t.equal([...hashedPieces(LOG, content)].join(''), canonicalJson({ log: LOG, ...content }))
  t.match(hash, /^[0-9a-f]{64}$/)
  t.equal((await log.verify(LOG)).brokenAt, null)
})

t.test('a long write does not hold up others, and is planned anew on what they leave', async t => {
  const { log } = await opened(t, t.testdir())
  await log.commit(write([segment('a', '1')]))
  const seen: (string | undefined)[] = []
  const long = await log.commit(
    write([], {
      isLong: true,
      async plan(state) {
        const standing = state.documents.segment.get('a')?.name
        seen.push(standing)
        // Another write is made and stored while this one is planned: in its own turn it would wait for itself.
        if (seen.length === 1) await log.commit(write([segment('a', '2')]))
        return [segment('b', `after ${standing}`)] as readonly PlannedEdit[]
      },
    }),
  )
  t.same(seen, ['1', '2'])
  t.equal(long.revision, 3)
  t.same(names(log.state(LOG)), { a: '2', b: 'after 2' })
  t.equal((await log.verify(LOG)).brokenAt, null)
})

t.test('a long write that others keep coming before gets its turn, and its refusal counts only on what stands', async t => {
  const { log } = await opened(t, t.testdir())
  let tries = 0
  const long = await log.commit(
    write([], {
      isLong: true,
      async plan(state) {
        tries++
        // Twice something comes in between; in the write's own turn nothing can.
        if (tries <= 2) await log.commit(write([segment('a', String(tries))]))
        if (tries <= 2) throw new Error('refused on a state that is gone')
        return [segment('b', String(state.revision))]
      },
    }),
  )
  t.equal(tries, 3)
  t.match(long, { revision: 3, change: { revision: 3 } })
  t.same(names(log.state(LOG)), { a: '2', b: '2' })
  await t.rejects(
    log.commit(write([], { isLong: true, plan: () => Promise.reject(new Error('refused')) })),
    /^refused$/,
    'a refusal on what stands is one',
  )
})

t.test('the bytes of all documents are counted on the way, and again at a start', async t => {
  const data = t.testdir()
  const first = await opened(t, data)
  await first.log.commit(write([segment('a', '1'), segment('b', 'zwölf')]))
  await first.log.commit(write([segment('a', 'longer than before'), removed('b'), segment('c', '')]))
  const bytes = (): number =>
    [...first.log.state(LOG).documents.segment.values()].reduce((sum, one) => sum + Buffer.byteLength(JSON.stringify(one)), 0)
  t.equal(first.log.state(LOG).bytes, bytes())
  await first.log.close()
  const second = await opened(t, data)
  t.equal(second.log.state(LOG).bytes, bytes())
})
