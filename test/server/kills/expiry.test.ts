import { EventEmitter, once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { startServer, type TestServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`
const DAY_MS = 86_400_000

/** Resolves with the next change of this action. */
function next(server: TestServer, action: string): Promise<Change> {
  const events = new EventEmitter()
  const stop = server.services.log.subscribe(({ change }) => {
    if (change.action === action) events.emit('change', change)
  })
  return once(events, 'change').then(([change]) => {
    stop()
    return change as Change
  })
}

/** The timer is set again only when the entry is stored: what fell due meanwhile runs at the clock's next move. */
async function ticking<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let isDone = false
  void promise.finally(() => (isDone = true))
  for (let i = 0; !isDone && i < 4_000; i++) {
    clock.advance(0)
    await pause(5)
  }
  return promise
}

const at = (ms: number): string => new Date(ms).toISOString()

t.test('a kill ends at its moment, by an entry of the system; others stay', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const ending = await server.call('POST', `${D}/flags/a/kills`, { reason: 'short', until: at(clock.now() + 5_000) })
  const staying = await server.call('POST', `${D}/flags/a/kills`, { reason: 'long' })
  clock.advance(4_999)
  t.equal((await server.call('GET', `${D}/kills`)).body.kills.length, 2)
  const expired = next(server, 'flag.expire')
  clock.advance(1)
  t.match(await ticking(clock, expired), { actor: { kind: 'system', name: 'expiry' }, edits: [{ key: 'a' }] })
  t.same(
    (await server.call('GET', `${D}/kills`)).body.kills.map((kill: { id: string }) => kill.id),
    [staying.body.kill.id],
  )
  t.not(ending.body.kill.id, staying.body.kill.id)
})

t.test('a moment further away than a timer can hold is kept', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await server.call('POST', `${D}/flags/a/kills`, { reason: 'x', until: at(clock.now() + 40 * DAY_MS) })
  const expired = next(server, 'flag.expire')
  clock.advance(39 * DAY_MS)
  t.equal((await server.call('GET', `${D}/kills`)).body.kills.length, 1)
  clock.advance(DAY_MS)
  t.match(await ticking(clock, expired), { action: 'flag.expire' })
})

t.test('a clock that is set forward ends a kill soon, one set back does not end it early or twice', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await server.call('POST', `${D}/flags/a/kills`, { reason: 'x', until: at(clock.now() + 3_600_000) })
  clock.jump(-1_800_000)
  clock.advance(3_600_000)
  t.equal((await server.call('GET', `${D}/kills`)).body.kills.length, 1, 'the hour has not come')
  const expired = next(server, 'flag.expire')
  clock.jump(1_800_000)
  clock.advance(60_000)
  await ticking(clock, expired)
  clock.jump(-3_600_000)
  clock.advance(2 * 3_600_000)
  const { body } = await server.call('GET', `${D}/changes`)
  t.equal(body.changes.filter((change: Change) => change.action === 'flag.expire').length, 1)
})

t.test('a kill whose moment passed while the server was down ends at once when it starts', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await server.call('POST', `${D}/flags/a/kills`, { reason: 'x', until: at(clock.now() + 1_000) })
  const later = manualClock(clock.now() + DAY_MS)
  await server.restart({ clock: later })
  const expired = next(server, 'flag.expire')
  await ticking(later, expired)
  t.same((await server.call('GET', `${D}/kills`)).body.kills, [])
})

t.test('several ends in several environments are each kept; a lift before the end leaves nothing to do', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const production = `${P}/environments/production`
  for (const key of ['a', 'b']) await server.call('POST', `${P}/flags`, { key, kind: 'release' })
  for (const [where, key, ms] of [
    [D, 'a', 3_000],
    [D, 'b', 3_000],
    [production, 'a', 2_000],
    [production, 'b', 1_000],
  ] as const) {
    await server.call('POST', `${where}/flags/${key}/kills`, { reason: 'x', until: at(clock.now() + ms) })
  }
  await server.call('DELETE', `${production}/flags/b/kills`)
  clock.advance(1_500)
  const first = next(server, 'flag.expire')
  clock.advance(1_000)
  t.match(await ticking(clock, first), { edits: [{ key: 'a' }] })
  t.equal((await server.call('GET', `${D}/kills`)).body.kills.length, 2)
  const second = next(server, 'flag.expire')
  clock.advance(1_000)
  t.equal((await ticking(clock, second)).edits.length, 2, 'one entry for what ends together')
  t.same((await server.call('GET', `${production}/kills`)).body.kills, [])
})
