/** What the outbox promises: order, tries, restarts, and that one place never delays another. Time is moved by hand. */
import t, { type Test } from 'tap'
import { RETRIES_MS } from '../../../server/notifiers/delivery.ts'
import { leftOutMessage } from '../../../server/notifiers/following.ts'
import { openDatabase } from '../../../server/log/log.ts'
import type { NewMessage } from '../../../server/storage/outbox.ts'
import { TIMEOUT_MS } from '../../../server/egress/egress.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { type Loose, type StartOptions, startServer, type TestServer } from '../start.ts'
import { EGRESS_ALLOW, type Receiver, startReceiver } from './receiver.ts'

const BASE = '/api/v1/projects/default/environments/development'
const DAY = 86_400_000

interface Started {
  readonly server: TestServer
  readonly receiver: Receiver
  readonly clock: ManualClock
  readonly options: StartOptions
}

async function started(t: Test): Promise<Started> {
  const clock = manualClock()
  const receiver = await startReceiver(t)
  const options = { clock, config: { egressAllow: EGRESS_ALLOW, apiLimit: 'off' } } as const
  const server = await startServer(t, options)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch' })
  await addNotifier(server, 'ops', receiver)
  return { server, receiver, clock, options }
}

async function addNotifier(server: TestServer, key: string, receiver: Receiver): Promise<void> {
  const made = await server.call('POST', `${BASE}/notifiers`, { key, kind: 'webhook', url: receiver.url, topics: ['kills', 'trouble'] })
  if (made.status !== 201) throw new Error(JSON.stringify(made.body))
}

/** A change that is told of. */
async function change(server: TestServer, reason: string): Promise<void> {
  const killed = await server.call('POST', `${BASE}/flags/checkout/kills`, {
    reason,
    clauses: [{ attribute: 'n', op: 'in', values: [reason] }],
  })
  if (killed.status !== 201) throw new Error(JSON.stringify(killed.body))
}

/** Resolves with the notifier once it is as described: what is noted after an answer is noted a moment later. */
async function until(server: TestServer, key: string, isSo: (notifier: Loose) => boolean): Promise<Loose> {
  for (;;) {
    const { body } = await server.call('GET', `${BASE}/notifiers/${key}`)
    if (isSo(body)) return body
  }
}

const isEmpty = ({ delivery }: Loose): boolean => delivery.waiting === 0
const failures =
  (count: number) =>
  ({ delivery }: Loose): boolean =>
    delivery.failures === count

t.test('what fails is tried again on the schedule, then the notifier is paused and nothing is lost', async t => {
  const { server, receiver, clock } = await started(t)
  receiver.answer(500)
  await change(server, 'one')
  await change(server, 'two')
  for (let tries = 1; tries < RETRIES_MS.length; tries++) {
    await receiver.nth(tries)
    const wait = RETRIES_MS[tries] ?? 0
    const { delivery } = await until(server, 'ops', failures(tries))
    const planned = Date.parse(delivery.nextTryAt) - clock.now()
    t.ok(planned >= wait && planned <= wait * 1.1 + 1, `try ${tries + 1} comes after ${wait} ms and a little: ${planned}`)
    t.match(delivery, { waiting: 2, problem: 'answered 500' })
    // Slept over, as nobody cares for what else would have happened in three days.
    clock.sleep(planned - 1)
    t.equal(receiver.received.length, tries, 'not before')
    clock.advance(1)
  }
  const paused = await until(server, 'ops', notifier => notifier.paused !== null)
  t.match(
    paused,
    { paused: { why: '10 tries failed, the last: answered 500' }, delivery: { waiting: 3 } },
    'with the message that it was paused',
  )
  t.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1, 'always the same message')
  t.equal(new Set(receiver.received.map(({ text }) => text)).size, 1, 'with the same body')
  clock.sleep(30 * DAY)
  receiver.answer(200)
  await server.call('POST', `${BASE}/notifiers/ops/resume`)
  await until(server, 'ops', isEmpty)
  const sent = receiver.received.slice(RETRIES_MS.length).map(({ body }) => [body.type, body.data.why])
  t.same(sent.slice(0, 3), [
    ['flag.kill', 'one'],
    ['flag.kill', 'two'],
    ['notifier.pause', '10 tries failed, the last: answered 500'],
  ])
  const { body } = await server.call('GET', `${BASE}/notifiers/ops/deliveries`)
  t.match(body.deliveries.at(-1), { state: 'sent', lastStatus: 200, title: 'KILLED checkout in development' })
})

t.test('a new message is a reason to look whether a place is back, at most once a minute', async t => {
  const { server, receiver, clock } = await started(t)
  receiver.answer(500)
  await change(server, 'one')
  await receiver.nth(1)
  await until(server, 'ops', failures(1))
  clock.advance(6_000)
  await receiver.nth(2)
  await until(server, 'ops', failures(2))
  await change(server, 'two')
  await until(server, 'ops', ({ delivery }) => delivery.waiting === 2)
  t.equal(receiver.received.length, 2, 'it failed a moment ago')
  clock.advance(60_000)
  t.equal(receiver.received.length, 2)
  receiver.answer(200)
  await change(server, 'three')
  await until(server, 'ops', isEmpty)
  t.same(
    receiver.received.slice(2).map(({ body }) => body.data.why),
    ['one', 'two', 'three'],
    'in order, long before the next try of the schedule',
  )
})

t.test('Retry-After is honoured', async t => {
  const { server, receiver, clock } = await started(t)
  receiver.answer({ status: 429, headers: { 'retry-after': '3600' } }, 200)
  await change(server, 'one')
  await receiver.nth(1)
  const { delivery } = await until(server, 'ops', failures(1))
  t.equal(Date.parse(delivery.nextTryAt) - clock.now(), 3_600_000)
  clock.advance(3_599_999)
  await change(server, 'two')
  await until(server, 'ops', each => each.delivery.waiting === 2)
  t.equal(receiver.received.length, 1, 'not even for a new message')
  clock.advance(1)
  await until(server, 'ops', isEmpty)
  t.equal(receiver.received.length, 3)
})

t.test('410 pauses at once, and others hear of it', async t => {
  const { server, receiver } = await started(t)
  const other = await startReceiver(t)
  await addNotifier(server, 'other', other)
  receiver.answer(410)
  await change(server, 'one')
  const { paused } = await until(server, 'ops', notifier => notifier.paused !== null)
  t.match(paused.why, 'answered 410')
  await other.nth(2)
  t.match(other.received[1]?.body, {
    type: 'notifier.pause',
    data: { title: 'Notifier ops is paused in development', undo: 'sluice notifiers resume ops -e development' },
  })
  await change(server, 'two')
  await other.nth(3)
  t.equal(receiver.received.length, 1, 'nothing is sent while it is paused')
})

t.test('what waits outlives a restart, and what was told is not told again', async t => {
  const { server, receiver } = await started(t)
  await change(server, 'told')
  await until(server, 'ops', isEmpty)
  receiver.answer(null)
  await change(server, 'one')
  const first = await receiver.nth(2)
  await change(server, 'two')
  await until(server, 'ops', ({ delivery }) => delivery.waiting === 2)
  await server.restart()
  receiver.answer(200)
  // The restarted server began before the receiver was well again: whatever it sent then hangs until its time is over.
  await server.restart()
  await until(server, 'ops', isEmpty)
  const last = receiver.received.slice(-2)
  t.same(
    last.map(({ body }) => body.data.why),
    ['one', 'two'],
  )
  t.equal(last[0]?.headers['webhook-id'], first.headers['webhook-id'], 'its id is the same as before')
  t.equal(receiver.received.filter(({ body }) => body.data.why === 'told').length, 1)
})

t.test('a change whose messages a crash has lost is told at the next start', async t => {
  const { server, receiver } = await started(t)
  await change(server, 'one')
  await until(server, 'ops', isEmpty)
  // As a crash between the commit and the outbox leaves it.
  const { revision } = server.services.log.state('default/development')
  await server.close()
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(`${server.data}/sluice.db`)
  db.prepare('update outbox_cursors set revision = ? where log = ?').run(revision - 1, 'default/development')
  db.prepare('delete from outbox').run()
  db.close()
  await server.restart()
  await receiver.nth(2)
  t.equal(receiver.received[1]?.headers['webhook-id'], receiver.received[0]?.headers['webhook-id'], 'as the same message')
})

t.test('a place that hangs delays no other and no commit', async t => {
  const { server, receiver, clock } = await started(t)
  const other = await startReceiver(t)
  await addNotifier(server, 'other', other)
  receiver.answer(null)
  for (const reason of ['one', 'two', 'three']) await change(server, reason)
  await other.nth(3)
  await receiver.nth(1)
  t.equal(receiver.received.length, 1, 'one request at a time')
  clock.advance(TIMEOUT_MS)
  const { delivery } = await until(server, 'ops', failures(1))
  t.match(delivery, { waiting: 3, problem: /gave no whole answer within 15 s/ })
})

t.test('what finds no room is counted, and the count is told before the next that does', async t => {
  const { outbox, close } = await openDatabase(t.testdir())
  t.teardown(close)
  const message = (number: number): NewMessage => ({
    id: `m${number}`,
    log: 'a/b',
    notifier: 'ops',
    createdAt: number,
    body: bodyOf(number),
  })
  const bodyOf = (number: number): string =>
    JSON.stringify({ message: { title: `message ${number}`, lines: [], flags: [], incidents: [] } })
  const titles = async (): Promise<string[]> => (await outbox.waiting('a/b', 'ops', 100)).map(({ body }) => JSON.parse(body).message.title)
  const add = (...numbers: number[]): Promise<void> => outbox.add(numbers.map(message), { log: 'a/b', revision: 1 }, 3, leftOutMessage)
  await add(1, 2, 3, 4)
  await add(5)
  t.same(await titles(), ['message 1', 'message 2', 'message 3'])
  t.match(await outbox.leftOut(), [{ notifier: 'ops', count: 2 }])
  await outbox.settle(['m1', 'm2'], 'sent', { at: 1, status: 200, text: null })
  await add(6, 7)
  t.same(await titles(), ['message 3', '2 messages were left out before this one', 'message 6'], 'and 7 found none')
  t.match(await outbox.leftOut(), [{ notifier: 'ops', count: 3 }])
  await add(6)
  t.same(await titles(), ['message 3', '2 messages were left out before this one', 'message 6'], 'one that is there is not stored again')
})

t.test('what waits for one that is removed is not sent to one that is made anew', async t => {
  const { server, receiver } = await started(t)
  await server.call('POST', `${BASE}/notifiers/ops/pause`)
  await change(server, 'old')
  await until(server, 'ops', ({ delivery }) => delivery.waiting === 2)
  await server.call('DELETE', `${BASE}/notifiers/ops`)
  await addNotifier(server, 'ops', receiver)
  await change(server, 'new')
  await receiver.nth(1)
  t.same(
    receiver.received.map(({ body }) => body.data.why),
    ['new'],
  )
})
