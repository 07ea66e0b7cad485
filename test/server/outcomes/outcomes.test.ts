/** Outcomes as SDKs report them: summed into slices, told when a slice has ended, shown to people and to Prometheus, bounded. */
import t, { type Test } from 'tap'
import { connect } from '../../../sdk/index.ts'
import { SLICE_MS } from '../../../schemas/protocol.ts'
import type { Counts } from '../../../schemas/stream.ts'
import { KEPT_MAX, openOutcomes, REPEAT_MS, SLICES_KEPT, SUMS_MAX, TOTALS_MAX } from '../../../server/outcomes/outcomes.ts'
import type { State } from '../../../server/log/types.ts'
import type { ClosedSlice } from '../../../server/services.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { recordingLogger } from '../log/open.ts'
import { startServer, type TestServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`
const LOG = 'default/development'

type Row = NonNullable<Counts['outcomes']>[number]

function row(variation: string, contexts: number, errors: number, more: Partial<Row> = {}): Row {
  const all = { allCalls: contexts * 2, allErrors: errors * 3, allSlow: 0, totalMs: contexts * 20 }
  return { flag: 'checkout', variation, contexts, errors, slow: 0, ...all, ...more }
}

/** Without a server: every flag of `flags` has the variations of `variations`. */
function opened(t: Test, flags = ['checkout'], variations = ['on', 'off']) {
  const clock = manualClock()
  const logger = recordingLogger()
  const documents = new Map(flags.map(key => [key, { key, variations: variations.map(each => ({ key: each, value: true })) }]))
  const outcomes = openOutcomes({ clock, logger, log: { state: () => ({ documents: { flag: documents } }) as unknown as State } })
  t.teardown(() => outcomes.close())
  const slices: ClosedSlice[] = []
  outcomes.subscribe(slice => void slices.push(slice))
  return { clock, logger, documents, outcomes, slices }
}

async function send(server: TestServer, service: string, outcomes: readonly Row[]): Promise<void> {
  const sent = { type: 'counts', dropped: 0, counts: [], unknownOperators: [], service, instance: `${service}-1`, sdk: 'node/1', outcomes }
  const { status } = await server.call('POST', '/telemetry', sent, { key: server.serverKey })
  if (status !== 200) throw new Error(`the report was answered ${status}`)
}

t.test('reports are summed by variation, side and service, and told when their slice has ended', async t => {
  const { clock, outcomes, slices } = opened(t)
  const begin = clock.now()
  outcomes.add(LOG, [row('on', 10, 1), row('off', 90, 2)], { service: 'shop', instance: 'a' })
  outcomes.add(LOG, [row('on', 5, 1), row('on', 3, 3, { side: 'new' })], { service: 'shop', instance: 'b' })
  outcomes.add(LOG, [row('on', 4, 0)], { service: 'admin', instance: 'c' })
  clock.advance(SLICE_MS - 1)
  t.same(slices, [], 'not before')
  clock.advance(1)
  t.match(slices, [{ startedAt: begin, endedAt: begin + SLICE_MS }])
  t.match(slices[0]?.of(LOG, 'checkout'), [
    { variation: 'on', side: '', service: 'shop', contexts: 15, errors: 2, largest: 10, allCalls: 30, allErrors: 6, totalMs: 300 },
    { variation: 'off', side: '', service: 'shop', contexts: 90, errors: 2, largest: 90 },
    { variation: 'on', side: 'new', service: 'shop', contexts: 3, errors: 3 },
    { variation: 'on', side: '', service: 'admin', contexts: 4, errors: 0 },
  ])
  outcomes.add(LOG, [row('on', 1, 0)], { service: 'shop', instance: 'a' })
  clock.advance(3 * SLICE_MS)
  t.same(
    slices.map(slice => slice.of(LOG, 'checkout').length),
    [4, 1, 0, 0],
    'also of slices in which nobody reported',
  )
})

t.test('whoever fails to take a slice keeps it from nobody, and takes the next', async t => {
  const { clock, outcomes, slices, logger } = opened(t)
  let told = 0
  outcomes.subscribe(() => {
    told++
    throw new Error('no')
  })
  clock.advance(2 * SLICE_MS)
  t.equal(told, 2)
  t.equal(slices.length, 2)
  t.ok(logger.said('error', /follows outcomes/))
})

t.test('what is about no variation of a flag is dropped, and names cannot fill the memory', async t => {
  const flags = Array.from({ length: 300 }, (_, i) => `flag-${i}`)
  const { clock, outcomes, slices, documents } = opened(t, flags)
  const by = { service: 'shop', instance: 'a' }
  outcomes.add(LOG, [row('on', 1, 0, { flag: 'unknown' }), row('sideways', 1, 0, { flag: 'flag-1' })], by)
  t.equal(outcomes.dropped(), 2)
  const fill = (): void => {
    for (let i = 0; i < SUMS_MAX + 50; i++) {
      outcomes.add(LOG, [row('on', 1, 0, { flag: `flag-${i % 300}`, side: `side-${Math.floor(i / 300)}` })], by)
    }
  }
  fill()
  t.equal(outcomes.dropped(), 52)
  t.equal(outcomes.totals(LOG).length, TOTALS_MAX)
  for (let i = 0; i < KEPT_MAX / SUMS_MAX + 1; i++) {
    clock.advance(SLICE_MS)
    fill()
  }
  const kept = outcomes.recent(LOG, 'flag-0', 0)[0]?.slices.length
  t.equal(kept, KEPT_MAX / SUMS_MAX, 'of full slices, as many as fit')
  t.equal(slices.at(-1)?.of(LOG, 'flag-0').length, Math.ceil(SUMS_MAX / 300))
  clock.advance(SLICE_MS)
  documents.clear()
  documents.set('new', { key: 'new', variations: [{ key: 'on', value: true }] })
  outcomes.add(LOG, [row('on', 1, 0, { flag: 'new' })], by)
  t.match(outcomes.totals(LOG), [{ flag: 'new', allCalls: 2 }], 'those of flags that have left make room')
})

t.test('who fails again within five minutes has failed once, on whichever instance and in whichever variation', async t => {
  const { clock, outcomes, slices } = opened(t)
  const told = (): unknown =>
    slices
      .at(-1)
      ?.of(LOG, 'checkout')
      .map(({ variation, errors, slow }) => [variation, errors, slow])
  outcomes.add(LOG, [row('on', 10, 3, { failed: [1, 2], slow: 1, slowed: [1] }), row('off', 10, 1, { failed: [9] })], {
    service: 'shop',
    instance: 'a',
  })
  outcomes.add(LOG, [row('on', 10, 2, { failed: [2, 4] })], { service: 'shop', instance: 'b' })
  clock.advance(SLICE_MS)
  t.same(
    told(),
    [
      ['on', 4, 1],
      ['off', 1, 0],
    ],
    'those without a mark count for themselves',
  )
  const again = (): void =>
    outcomes.add(LOG, [row('on', 10, 3, { failed: [1, 9, 7], slow: 1, slowed: [1] })], { service: 'shop', instance: 'c' })
  again()
  clock.advance(SLICE_MS)
  t.same(told(), [['on', 1, 0]])
  outcomes.add(LOG, [row('on', 1, 1, { side: 'old', failed: [1] })], { service: 'shop', instance: 'c' })
  clock.advance(REPEAT_MS)
  again()
  clock.advance(SLICE_MS)
  t.same(told(), [['on', 3, 1]], 'then it counts again')
  t.match(outcomes.totals(LOG), [{ variation: 'on', allErrors: 3 * (3 + 2 + 3 + 3) }, {}, {}], 'every call is counted all the same')
})

t.test('an hour of slices is kept for people, services together', async t => {
  const { clock, outcomes } = opened(t)
  const begin = clock.now()
  for (let i = 0; i < SLICES_KEPT + 10; i++) {
    outcomes.add(LOG, [row('on', 10, 1)], { service: 'shop', instance: 'a' })
    outcomes.add(LOG, [row('on', 20, 0)], { service: 'admin', instance: 'b' })
    clock.advance(SLICE_MS)
  }
  const [series, ...more] = outcomes.recent(LOG, 'checkout', 0)
  t.same(more, [])
  t.equal(series?.slices.length, SLICES_KEPT)
  t.match(series?.slices[0], { at: new Date(begin + 10 * SLICE_MS).toISOString(), contexts: 30, errors: 1, allCalls: 60, meanMs: 10 })
  t.match(series, { variation: 'on', side: '', contexts: 30 * SLICES_KEPT, errors: SLICES_KEPT })
  t.equal(outcomes.recent(LOG, 'checkout', clock.now() - 5 * SLICE_MS)[0]?.slices.length, 5)
})

async function serverWith(t: Test): Promise<{ server: TestServer; clock: ManualClock }> {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await server.call('POST', `${P}/flags`, { key: 'checkout', kind: 'release' })
  return { server, clock }
}

t.test('the outcomes of a flag over time are answered by variation', async t => {
  const { server, clock } = await serverWith(t)
  await send(server, 'shop', [row('on', 10, 1), row('off', 90, 2)])
  clock.advance(SLICE_MS)
  await send(server, 'shop', [row('on', 20, 4, { totalMs: 0 })])
  clock.advance(SLICE_MS)
  const { status, body } = await server.call('GET', `${D}/flags/checkout/outcomes`)
  t.equal(status, 200)
  t.match(body, {
    flag: 'checkout',
    sliceMs: SLICE_MS,
    series: [
      {
        ...{ variation: 'on', side: '', contexts: 30, errors: 5, allCalls: 60, allErrors: 15 },
        slices: [
          { at: '2026-11-21T03:00:00.000Z', contexts: 10, errors: 1, meanMs: 10 },
          { at: '2026-11-21T03:00:10.000Z', contexts: 20, errors: 4, meanMs: 0 },
        ],
      },
      { variation: 'off', contexts: 90, errors: 2 },
    ],
  })
  const since = await server.call('GET', `${D}/flags/checkout/outcomes?since=2026-11-21T03:00:05Z`)
  t.match(since.body.series, [{ variation: 'on', contexts: 20 }])
  t.equal(since.body.series.length, 1)
  t.match(await server.call('GET', `${D}/flags/chekout/outcomes`), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
})

t.test('Prometheus is told of calls, errors, slow calls and durations by flag, variation and side', async t => {
  const { server } = await serverWith(t)
  await send(server, 'shop', [row('on', 10, 1), row('off', 90, 2), row('on', 1, 1, { side: 'new', slow: 1, allSlow: 2 })])
  await send(server, 'shop', [row('on', 10, 1), row('gone', 1, 1)])
  const { body } = await server.call('GET', '/metrics', undefined, { key: null })
  const labels = 'project="default",environment="development",flag="checkout"'
  for (const line of [
    `sluice_outcome_calls_total{${labels},variation="on",side=""} 40`,
    `sluice_outcome_errors_total{${labels},variation="on",side=""} 6`,
    `sluice_outcome_seconds_total{${labels},variation="on",side=""} 0.4`,
    `sluice_outcome_calls_total{${labels},variation="off",side=""} 180`,
    `sluice_outcome_slow_total{${labels},variation="on",side="new"} 2`,
    'sluice_outcomes_dropped_total 1',
  ])
    t.ok((body as string).split('\n').includes(line), line)
})

t.test('what an application reports over its stream arrives in the slice at hand', async t => {
  const server = await startServer(t)
  await server.call('POST', `${P}/flags`, { key: 'checkout', kind: 'release' })
  await server.call('PATCH', `${D}/flags/checkout`, { enabled: true, fallthrough: { variation: 'on' } })
  const flags = connect({ url: server.url, key: server.serverKey, service: 'shop' })
  t.teardown(() => flags.close())
  await flags.ready()
  for (let i = 0; i < 20; i++) flags.report('checkout', { targetingKey: `c-${i % 10}` }, { ok: i !== 3, ms: 5 })
  // The last report is sent on closing.
  await flags.close()
  for (;;) {
    const { body } = await server.call('GET', '/metrics', undefined, { key: null })
    if (/^sluice_outcome_calls_total\{.*variation="on",side=""\} 20$/m.test(body as string)) break
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.pass('all twenty')
})
