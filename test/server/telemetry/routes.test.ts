/** What telemetry answers over HTTP: how a flag is used, what applications got wrong, and that a restart forgets neither. */
import t from 'tap'
import { manualClock } from '../../clock.ts'
import { startServer, type TestServer } from '../start.ts'
import { failed, report, row } from './open.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`
const HOUR_MS = 3_600_000

/** As an SDK that polls: names who it is. */
async function send(server: TestServer, service: string, body: ReturnType<typeof report>): Promise<void> {
  const sent = { type: 'counts', ...body, service, instance: `${service}-1`, sdk: 'node/1' }
  const { status } = await server.call('POST', '/telemetry', sent, { key: server.serverKey })
  if (status !== 200) throw new Error(`the report was answered ${status}`)
}

t.test('the evaluations of a flag over time, by variation and reason', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'checkout', kind: 'release' })
  await send(server, 'shop', report(row('checkout', 30), row('checkout', 10, { variation: 'off', reason: 'OFF' })))
  clock.advance(2 * HOUR_MS)
  await send(server, 'shop', report(row('checkout', 5), failed('checkout', 2, 'TYPE_MISMATCH', 'string')))
  const { status, body } = await server.call('GET', `${D}/flags/checkout/evaluations?since=2026-11-21T02:30:00Z&step=1h`)
  t.equal(status, 200)
  t.match(body, {
    flag: 'checkout',
    since: '2026-11-21T02:00:00.000Z',
    until: '2026-11-21T06:00:00.000Z',
    step: '1h',
    usage: { lastHour: 7, lastDay: 47, services: [{ service: 'shop' }], variations: { on: 35, off: 10 }, errors: { TYPE_MISMATCH: 2 } },
    problems: [{ code: 'TYPE_MISMATCH', detail: 'string', service: 'shop', count: 2 }],
  })
  t.same(
    body.series.map((each: { variation: string; reason: string; counts: number[] }) => [each.variation, each.reason, each.counts]),
    [
      ['on', 'FALLTHROUGH', [0, 30, 0, 5]],
      ['off', 'OFF', [0, 10, 0, 0]],
      [null, 'ERROR', [0, 0, 0, 2]],
    ],
    'the hour that has just begun included',
  )
})

t.test('a range is a day unless asked otherwise, and may be named by revisions', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'checkout', kind: 'release' })
  clock.advance(30 * 60_000)
  await send(server, 'shop', report(row('checkout', 3)))
  clock.advance(30 * 60_000)
  await server.call('PATCH', `${D}/flags/checkout`, { enabled: true })
  const day = await server.call('GET', `${D}/flags/checkout/evaluations`)
  t.match(day.body, { since: '2026-11-20T04:00:00.000Z', until: '2026-11-21T04:05:00.000Z', step: '5m', series: [{ total: 3 }] })
  t.equal(day.body.series[0].counts.length, 24 * 12 + 1)
  const between = await server.call('GET', `${D}/flags/checkout/evaluations?since=1&until=2&step=15m`)
  t.match(between.body, { since: '2026-11-21T03:00:00.000Z', until: '2026-11-21T04:00:00.000Z', series: [{ counts: [0, 0, 3, 0] }] })
  for (const [query, path] of [
    ['since=2026-11-22T00:00:00Z', 'since'],
    ['since=2020-01-01T00:00:00Z&step=1m', 'step'],
    ['since=yesterday', 'since'],
    ['step=7m', 'step'],
  ] as const) {
    const refused = await server.call('GET', `${D}/flags/checkout/evaluations?${query}`)
    t.match(refused, { status: 400, body: { code: 'INVALID_REQUEST', details: [{ path }] } }, query)
  }
  t.match(await server.call('GET', `${D}/flags/checkout/evaluations?since=99`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
  t.match(await server.call('GET', `${D}/flags/chekout/evaluations`), {
    status: 404,
    body: { code: 'FLAG_NOT_FOUND', message: /"checkout"/ },
  })
})

t.test('what applications got wrong is answered with the service, and what was probably meant', async t => {
  const server = await startServer(t)
  await server.call('POST', `${P}/flags`, { key: 'checkout', kind: 'release' })
  await send(server, 'billing', {
    ...report(
      failed('chekout', 40, 'FLAG_NOT_FOUND'),
      failed('checkout', 2, 'TYPE_MISMATCH', 'string'),
      failed('checkout', 1, 'MALFORMED_FLAG'),
    ),
    dropped: 6,
    unknownOperators: [{ op: 'nearMoon', where: 'flag checkout' }] as never[],
  })
  const { status, body } = await server.call('GET', `${D}/telemetry`)
  t.equal(status, 200)
  t.match(body, {
    unknownFlags: [{ subject: 'chekout', meant: 'checkout', service: 'billing', instance: 'billing-1', count: 40 }],
    wrongTypes: [{ subject: 'checkout', detail: 'string', type: 'boolean', service: 'billing', count: 2 }],
    unknownOperators: [{ subject: 'flag checkout', detail: 'nearMoon', service: 'billing', sdk: 'node/1' }],
    errors: [{ code: 'MALFORMED_FLAG', subject: 'checkout' }],
    evaluations: 43,
    dropped: { sdk: 6, server: 0 },
    storing: { problem: null },
  })
  const { body: metrics } = await server.call('GET', '/metrics', undefined, { key: null })
  t.match(metrics, /^sluice_evaluations_dropped_total\{project="default",environment="development",by="sdk"\} 6$/m)
  t.match(metrics, /^sluice_evaluations_total\{project="default",environment="development"\} 43$/m)
  t.match(metrics, /^sluice_counts_healthy 1$/m)
  await server.call('POST', `${P}/flags`, { key: 'chekout', kind: 'release' })
  t.same((await server.call('GET', `${D}/telemetry`)).body.unknownFlags, [], 'until the flag exists')
  t.equal((await server.call('GET', `${D}/telemetry`, undefined, { key: server.serverKey })).status, 403, 'not for an application')
})

t.test('a restart remembers that a flag was used yesterday, and by whom', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  for (const key of ['checkout', 'old-cart', 'parent']) await server.call('POST', `${P}/flags`, { key, kind: 'release' })
  await server.call('POST', `${P}/flags`, { key: 'child', kind: 'release', prerequisites: [{ flag: 'parent', variations: ['on'] }] })
  await send(server, 'checkout-service', report(row('checkout', 12_031), row('child', 1), failed('chekout', 1, 'FLAG_NOT_FOUND')))
  await server.restart()
  clock.advance(20 * HOUR_MS)
  t.match(await server.call('DELETE', `${D}/flags/checkout`), {
    status: 409,
    body: { code: 'FLAG_IN_USE', message: /20 h ago by checkout-service: 12,031 times in the last day/ },
  })
  t.match((await server.call('GET', `${D}/telemetry`)).body, { unknownFlags: [{ subject: 'chekout', service: 'checkout-service' }] })
  t.match((await server.call('GET', `${P}/flags/checkout`)).body.usage, {
    development: { lastHour: 0, lastDay: 12_031 },
    staging: { lastDay: 0, lastSeen: null },
  })
  const unused = async (days: number) => (await server.call('GET', `${D}/flags?unusedDays=${days}`)).body
  t.match(await unused(1), { flags: [{ key: 'old-cart' }], lastSeen: { 'old-cart': null }, countedSince: '2026-11-21T03:00:00.000Z' })
  await server.restart()
  clock.advance(10 * HOUR_MS)
  t.match(await unused(1), {
    flags: [{ key: 'checkout' }, { key: 'child' }, { key: 'old-cart' }],
    lastSeen: { checkout: /^2026-11-21T03/ },
  })
  t.same((await unused(1)).flags.length, 3, 'a prerequisite is used by what needs it')
  t.match(await server.call('DELETE', `${D}/flags/checkout`), { status: 200 })
  t.match((await server.call('GET', `${D}/flags/checkout/evaluations?since=2026-11-21T00:00:00Z&step=1h`)).body, {
    series: [{ variation: 'on', total: 12_031 }],
  })
})

t.test('a kill says how often what it touches was evaluated in the last hour', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'parent', kind: 'release' })
  for (const key of ['child', 'idle'])
    await server.call('POST', `${P}/flags`, { key, kind: 'release', prerequisites: [{ flag: 'parent', variations: ['on'] }] })
  await send(server, 'shop', report(row('parent', 7), row('child', 40)))
  const affected = { downstream: ['child', 'idle'], lastHour: { parent: 7, child: 40 } }
  const dryRun = await server.call('POST', `${D}/flags/parent/kills?dryRun=true`, { reason: 'smoke' })
  t.match(dryRun.body, { affected })
  t.equal(dryRun.body.affected.lastHour.idle, undefined)
  t.match((await server.call('POST', `${D}/kills`, { flags: ['parent'], reason: 'smoke' })).body, { affected })
  clock.advance(HOUR_MS)
  t.same((await server.call('POST', `${D}/flags/child/kills`, { reason: 'smoke' })).body.affected, { downstream: [], lastHour: {} })
})
