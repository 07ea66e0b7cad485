import { once } from 'node:events'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { type AlertsHandle, openAlerts, sortedId } from '../../../server/hooks/alerts.ts'
import { edgeOf } from '../../../server/hooks/edge.ts'
import { openSqlite } from '../../../server/storage/sqlite.ts'
import { openStorage, type Storage } from '../../../server/storage/storage.ts'
import { type ManualClock, manualClock } from '../../clock.ts'

const DAY_MS = 24 * 3_600_000
const logger = pino({ level: 'silent' })

/** The alerts of a data folder, as one life of a server, with what its listener was told. */
async function opened(
  data: string,
  clock: ManualClock,
): Promise<{ alerts: AlertsHandle; storage: Storage; told: string[]; end: () => Promise<void> }> {
  const storage = await openStorage(openSqlite(data))
  const alerts = await openAlerts({ storage: storage.alerts, clock, logger })
  const told: string[] = []
  alerts.subscribe(({ alert }) => void told.push(`${alert.dedupKey} ${alert.status}`))
  const end = async (): Promise<void> => {
    await alerts.close()
    await storage.close()
  }
  return { alerts, storage, told, end }
}

/** One delivery with one alert. */
async function take(alerts: AlertsHandle, clock: ManualClock, dedupKey: string, status: 'firing' | 'resolved' = 'firing'): Promise<string> {
  const now = clock.now()
  const row = {
    log: 'l',
    hook: 'h',
    dedupKey,
    status,
    startsAt: null,
    endsAt: null,
    externalId: null,
    mayAct: 1,
    dryRun: 0,
    receivedAt: now,
    seenAt: now,
  }
  const { placed } = await alerts.take({
    alerts: [{ id: sortedId('a', now), ...row }],
    place(arrived, known) {
      const edge = edgeOf(arrived, known)
      const body = JSON.stringify({ id: arrived.id, hook: 'h', dedupKey, status })
      const stored = { ...arrived, startsAt: edge.startsAt, standing: status === 'firing' ? 1 : 0, told: 0, body }
      return { outcome: edge.outcome, row: edge.outcome === 'new' ? stored : null, seen: edge.seen, ended: edge.ended }
    },
    delivery: () => ({
      id: sortedId('d', now),
      log: 'l',
      hook: 'h',
      taken: 1,
      at: now,
      verdict: 'accepted',
      reason: '',
      bytes: 0,
      remote: '',
      headers: '{}',
      payload: '',
      alerts: '[]',
      skipped: 0,
    }),
  })
  return placed[0]!.outcome
}

/** All that waits has been told. */
async function settled(t: Test, alerts: AlertsHandle): Promise<void> {
  for (let i = 0; alerts.untold > 0; i++) {
    if (i > 100_000) return void t.fail('it is not told')
    await new Promise(setImmediate)
  }
}

t.test('what was stored and not told is told at the next start, once and in order', async t => {
  const data = t.testdir()
  const clock = manualClock()
  const first = await opened(data, clock)
  // Never started: as a process that ends between the answer and the telling.
  for (const key of ['a', 'b', 'c']) t.equal(await take(first.alerts, clock, key), 'new')
  t.equal(await take(first.alerts, clock, 'b'), 'duplicate')
  t.same(first.told, [])
  await first.end()

  const second = await opened(data, clock)
  second.alerts.start()
  await settled(t, second.alerts)
  t.same(second.told, ['a firing', 'b firing', 'c firing'])
  await second.end()

  const third = await opened(data, clock)
  third.alerts.start()
  t.equal(await take(third.alerts, clock, 'b', 'resolved'), 'new')
  await settled(t, third.alerts)
  t.same(third.told, ['b resolved'], 'the others were told')
  t.same(
    third.alerts.firing('l').map(alert => alert.dedupKey),
    ['a', 'c'],
    'and what fires is known from before',
  )
  await third.end()
})

t.test('a listener that fails or never ends keeps neither the others from hearing nor the server from closing', async t => {
  const data = t.testdir()
  const clock = manualClock()
  const first = await opened(data, clock)
  first.alerts.subscribe(() => {
    throw new Error('a mistake')
  })
  first.alerts.start()
  await take(first.alerts, clock, 'a')
  await settled(t, first.alerts)
  t.same(first.told, ['a firing'])
  const hanging = new EventTarget()
  first.alerts.subscribe(async () => void (await once(hanging, 'never')))
  await take(first.alerts, clock, 'b')
  await first.end()
  const second = await opened(data, clock)
  second.alerts.start()
  await settled(t, second.alerts)
  t.same(second.told, ['b firing'], 'which is told again: nobody knows how far it came')
  await second.end()
})

t.test('an alert that its tool has forgotten fires no longer after a week, and old ones are let go', async t => {
  const clock = manualClock()
  const { alerts, storage, end } = await opened(t.testdir(), clock)
  alerts.start()
  await take(alerts, clock, 'forgotten')
  await take(alerts, clock, 'repeated')
  await settled(t, alerts)
  for (let day = 0; day < 40; day++) {
    clock.advance(DAY_MS - 1)
    t.equal(await take(alerts, clock, 'repeated'), 'duplicate', 'known for as long as it is repeated')
    clock.advance(1)
    // The clean-up, which the clock set off, has had its turn.
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    await storage.alerts.standing()
  }
  t.same(
    alerts.firing('l').map(alert => alert.dedupKey),
    ['repeated'],
  )
  t.same(
    (await alerts.recent('l', { limit: 10 })).map(alert => alert.dedupKey),
    ['repeated'],
  )
  await end()
})
