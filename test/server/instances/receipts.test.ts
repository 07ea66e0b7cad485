import t from 'tap'
import { type Member, MISSING_NAMED_MAX, openReceipts, TIMED_REVISIONS_MAX } from '../../../server/instances/receipts.ts'
import { type ManualClock, manualClock } from '../../clock.ts'

const LOG = 'default/production'
const START = '2026-11-21T03:00:00.000Z'

const member = (clock: ManualClock, id: string, revision = 0): Member => ({
  id,
  service: 'shop',
  sdk: 'test/1',
  connectedAt: clock.now(),
  joinedAt: clock.monotonic(),
  revision,
  confirmedAt: null,
})

t.test('receipts say how many have a revision, who was slowest and who is missing', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  const [a, b, c] = [member(clock, 'a', 4), member(clock, 'b', 4), member(clock, 'c', 4)]
  for (const one of [a, b, c]) book.joined(LOG, one)
  book.published(LOG, 5)
  t.strictSame(book.receipts(LOG, 5).slowestMs, null)
  clock.advance(120)
  book.confirmed(LOG, b, 5)
  clock.advance(80)
  book.confirmed(LOG, a, 5)
  t.strictSame(book.receipts(LOG, 5), {
    revision: 5,
    instances: 3,
    confirmed: 2,
    slowestMs: 200,
    slowest: 'a',
    missing: [{ id: 'c', service: 'shop', revision: 4 }],
  })
  t.equal(book.receipts(LOG, 4).confirmed, 3, 'whoever has 5 has 4')
  t.equal(book.receipts('default/staging', 5).instances, 0)
})

t.test('one receipt confirms everything up to it', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  const a = member(clock, 'a')
  book.joined(LOG, a)
  for (const revision of [1, 2, 3]) book.published(LOG, revision)
  clock.advance(10)
  book.confirmed(LOG, a, 3)
  for (const revision of [1, 2, 3]) t.equal(book.receipts(LOG, revision).slowestMs, 10)
})

t.test('an instance that came after the publishing is not the slowest', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  book.published(LOG, 1)
  clock.advance(60_000)
  const late = member(clock, 'late')
  book.joined(LOG, late)
  clock.advance(10)
  book.confirmed(LOG, late, 1)
  t.match(book.receipts(LOG, 1), { instances: 1, confirmed: 1, slowestMs: null })
})

t.test('of two connections with one id the newer is listed', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  const older = member(clock, 'a', 3)
  book.joined(LOG, older)
  clock.advance(5_000)
  const newer = member(clock, 'a', 7)
  book.joined(LOG, newer)
  t.strictSame(book.instances(LOG), [
    { id: 'a', service: 'shop', sdk: 'test/1', connectedAt: '2026-11-21T03:00:05.000Z', revision: 7, confirmedAt: null },
  ])
  book.confirmed(LOG, older, 9)
  t.equal(book.instances(LOG)[0]?.revision, 7, 'what the older says does not count')
  book.left(LOG, newer)
  t.equal(book.instances(LOG)[0]?.revision, 9, 'when the newer leaves, the older is there still')
  book.left(LOG, older)
  book.left(LOG, older)
  t.strictSame(book.instances(LOG), [])
})

t.test('instances are listed by service and id, with what each confirmed and when', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  for (const id of ['c', 'a', 'b']) book.joined(LOG, member(clock, id))
  const other = { ...member(clock, 'z'), service: 'basket' }
  book.joined(LOG, other)
  book.confirmed(LOG, other, 2)
  t.strictSame(
    book.instances(LOG).map(instance => [instance.service, instance.id, instance.revision, instance.confirmedAt]),
    [
      ['basket', 'z', 2, START],
      ['shop', 'a', 0, null],
      ['shop', 'b', 0, null],
      ['shop', 'c', 0, null],
    ],
  )
  book.confirmed(LOG, other, 0)
  t.match(book.instances(LOG)[0], { revision: 0, confirmedAt: null }, 'what was confirmed of another epoch is taken back')
})

t.test('waiting for receipts ends', async t => {
  const waits: [
    name: string,
    run: (book: ReturnType<typeof openReceipts>, members: Member[], clock: ManualClock) => void,
    expected: object,
  ][] = [
    [
      'when the last one confirms',
      (book, members) => members.forEach(one => book.confirmed(LOG, one, 5)),
      { instances: 2, confirmed: 2, missing: [] },
    ],
    [
      'when a later revision is confirmed',
      (book, members) => members.forEach(one => book.confirmed(LOG, one, 6)),
      { instances: 2, confirmed: 2, missing: [] },
    ],
    [
      'when who is missing leaves',
      (book, members) => {
        if (members[0] !== undefined) book.confirmed(LOG, members[0], 5)
        if (members[1] !== undefined) book.left(LOG, members[1])
      },
      { instances: 1, confirmed: 1, missing: [] },
    ],
    ['when the time is over', (_book, _members, clock) => clock.advance(1_000), { instances: 2, confirmed: 0 }],
    ['when the server closes', book => book.close(), { instances: 2, confirmed: 0 }],
    [
      'when who is missing is replaced by one who has it',
      (book, members, clock) => {
        if (members[0] !== undefined) book.confirmed(LOG, members[0], 5)
        book.joined(LOG, member(clock, 'b', 5))
      },
      { instances: 2, confirmed: 2, missing: [] },
    ],
  ]
  for (const [name, run, expected] of waits) {
    const clock = manualClock()
    const book = openReceipts(clock)
    const members = [member(clock, 'a', 4), member(clock, 'b', 4)]
    for (const one of members) book.joined(LOG, one)
    book.published(LOG, 5)
    const arrived = book.arrived(LOG, 5, 1_000)
    run(book, members, clock)
    t.match(await arrived, expected, name)
    t.equal(clock.waiting, 0, 'no timer is left')
  }
})

t.test('who comes while others wait is waited for', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  const [a, b] = [member(clock, 'a', 4), member(clock, 'b', 4)]
  book.joined(LOG, a)
  const arrived = book.arrived(LOG, 5, 1_000)
  book.joined(LOG, b)
  book.confirmed(LOG, a, 5)
  clock.advance(1_000)
  t.match(await arrived, { instances: 2, confirmed: 1, missing: [{ id: 'b' }] })
})

t.test('nobody connected: there is nothing to wait for', async t => {
  const book = openReceipts(manualClock())
  t.match(await book.arrived(LOG, 5, 30_000), { instances: 0, confirmed: 0, missing: [] })
})

t.test('what is remembered and named is bounded', async t => {
  const clock = manualClock()
  const book = openReceipts(clock)
  for (let i = 0; i < MISSING_NAMED_MAX + 50; i++) book.joined(LOG, member(clock, `i${i}`))
  for (let revision = 1; revision <= TIMED_REVISIONS_MAX + 1; revision++) book.published(LOG, revision)
  const a = member(clock, 'a')
  book.joined(LOG, a)
  book.published(LOG, TIMED_REVISIONS_MAX + 2)
  clock.advance(5)
  book.confirmed(LOG, a, TIMED_REVISIONS_MAX + 2)
  t.equal(book.receipts(LOG, 1).slowestMs, null)
  t.equal(book.receipts(LOG, 1).missing.length, MISSING_NAMED_MAX)
  t.equal(book.receipts(LOG, TIMED_REVISIONS_MAX + 2).slowestMs, 5)
})
