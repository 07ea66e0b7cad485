/** Events that applications track: summed where they are counted, bounded, and shown beside the evaluations. */
import t from 'tap'
import { openTracked, TRACKED_EVENTS_MAX } from '../../../server/telemetry/tracked.ts'
import { startServer } from '../start.ts'

const LOG = 'default/production'

t.test('tracked events are summed per environment, however hostile their names and numbers', async t => {
  const tracked = openTracked()
  tracked.add(LOG, [
    { event: 'purchase', count: 2, value: 30.5 },
    { event: '__proto__', count: Number.MAX_SAFE_INTEGER, value: Number.MAX_VALUE },
  ])
  tracked.add(LOG, [
    { event: 'purchase', count: 1, value: -10 },
    { event: '__proto__', count: 5, value: Number.MAX_VALUE },
  ])
  t.strictSame(tracked.of(LOG), [
    { event: 'purchase', count: 3, value: 20.5 },
    { event: '__proto__', count: Number.MAX_SAFE_INTEGER, value: Number.MAX_VALUE },
  ])
  t.strictSame(tracked.of('default/staging'), [])
})

t.test('names of tracked events are bounded, and what has no room is dropped and said', async t => {
  const tracked = openTracked()
  const events = Array.from({ length: TRACKED_EVENTS_MAX }, (_, i) => ({ event: `e${i}`, count: 1, value: 0 }))
  t.equal(tracked.add(LOG, events), 0)
  t.equal(tracked.add(LOG, [{ event: 'one more', count: 7, value: 0 }]), 7)
  t.equal(tracked.add(LOG, [{ event: 'e1', count: 1, value: 0 }]), 0, 'a known one has room')
})

t.test('tracked events are in the metrics', async t => {
  const server = await startServer(t)
  const counts = { type: 'counts', dropped: 0, counts: [], unknownOperators: [] }
  const events = [
    { event: 'purchase', count: 3, value: 61.5 },
    { event: 'say "when"\n', count: 1, value: 0 },
  ]
  const sent = await server.call('POST', '/telemetry', { ...counts, tracked: events }, { key: server.serverKey })
  t.equal(sent.status, 200)
  const { body } = await server.call('GET', '/metrics', undefined, { key: null })
  for (const line of [
    /^sluice_tracked_total\{project="default",environment="development",event="purchase"\} 3$/m,
    /^sluice_tracked_value\{project="default",environment="development",event="purchase"\} 61.5$/m,
    /^sluice_tracked_total\{project="default",environment="development",event="say \\"when\\"\\n"\} 1$/m,
  ]) {
    t.match(body, line)
  }
  const refused = await server.call(
    'POST',
    '/telemetry',
    { ...counts, tracked: [{ event: '', count: 1, value: 0 }] },
    { key: server.serverKey },
  )
  t.equal(refused.status, 400)
})
