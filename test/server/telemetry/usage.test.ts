/** Counting: exact, told apart, bounded, and nothing lost without being said. */
import t from 'tap'
import type { Evaluation } from '../../../sdk/evaluator/evaluation.ts'
import { SERVICES_MAX } from '../../../server/telemetry/flagcounts.ts'
import { PROBLEMS_MAX } from '../../../server/telemetry/problems.ts'
import { counting, failed, LOG, report, row, SHOP } from './open.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

t.test('counts of a flag are summed by variation and reason, with the first and last moment and who asked', async t => {
  const { clock, usage } = await counting(t, t.testdir())
  const since = clock.now()
  usage.add(LOG, report(row('checkout', 3), row('checkout', 2, { variation: 'off', unbucketed: 1 })), SHOP)
  clock.advance(5 * MINUTE_MS)
  usage.add(LOG, report(row('checkout', 5, { reason: 'RULE_MATCH' }), failed('checkout', 1, 'TYPE_MISMATCH', 'string')), {
    ...SHOP,
    service: 'billing',
  })
  t.strictSame(await usage.flag(LOG, 'checkout'), {
    lastHour: 11,
    lastDay: 11,
    firstSeen: '2026-11-21T03:00:00.000Z',
    lastSeen: '2026-11-21T03:05:00.000Z',
    services: [
      { service: 'billing', lastSeen: '2026-11-21T03:05:00.000Z' },
      { service: 'shop', lastSeen: '2026-11-21T03:00:00.000Z' },
    ],
    variations: { on: 8, off: 2 },
    errors: { TYPE_MISMATCH: 1 },
    unbucketed: 1,
  })
  const series = await usage.series(LOG, 'checkout', { since, until: since + 10 * MINUTE_MS, stepMs: 5 * MINUTE_MS })
  t.same(
    series.map(({ variation, reason, error, unbucketed, counts }) => [variation, reason, error, unbucketed, counts]),
    [
      ['on', 'RULE_MATCH', null, false, [0, 5]],
      ['on', 'FALLTHROUGH', null, false, [3, 0]],
      ['off', 'FALLTHROUGH', null, false, [1, 0]],
      ['off', 'FALLTHROUGH', null, true, [1, 0]],
      [null, 'ERROR', 'TYPE_MISMATCH', false, [0, 1]],
    ],
  )
  t.equal(usage.total(LOG), 11)
})

t.test('the last hour moves on, and so does the last day', async t => {
  const { clock, usage } = await counting(t, t.testdir())
  usage.add(LOG, report(row('checkout', 7)), SHOP)
  clock.advance(59 * MINUTE_MS)
  t.equal(usage.lastHour(LOG, 'checkout'), 7)
  clock.advance(MINUTE_MS)
  t.match(await usage.flag(LOG, 'checkout'), { lastHour: 0, lastDay: 7 })
  usage.add(LOG, report(row('checkout', 1)), SHOP)
  clock.advance(23 * HOUR_MS)
  t.match(await usage.flag(LOG, 'checkout'), { lastHour: 0, lastDay: 1, firstSeen: '2026-11-21T03:00:00.000Z' })
  clock.advance(2 * HOUR_MS)
  t.match(await usage.flag(LOG, 'checkout'), { lastDay: 0, lastSeen: '2026-11-21T04:00:00.000Z', variations: {} })
})

t.test('environments are counted apart, and what was never reported is zero', async t => {
  const { usage } = await counting(t, t.testdir())
  usage.add(LOG, report(row('checkout', 3)), SHOP)
  t.match(await usage.flag('default/staging', 'checkout'), { lastDay: 0, lastSeen: null })
  t.match(await usage.flag(LOG, 'search'), { lastDay: 0, lastSeen: null, services: [] })
  t.equal(usage.lastSeen(LOG, 'search'), null)
  t.match(usage.dropped('default/staging'), { sdk: 0, server: 0 })
})

t.test('evaluations of this server itself are counted by result, without a clock or a look-up for each', async t => {
  const { clock, usage, flags } = await counting(t, t.testdir())
  const result = (variation: string, more: object = {}): Evaluation =>
    Object.freeze({ value: true, variation, reason: 'FALLTHROUGH', type: 'boolean', flagVersion: 1, ...more } as const)
  const [on, off, split] = [result('on'), result('off'), result('off', { unbucketed: true })]
  for (let i = 0; i < 100; i++) usage.one(LOG, 'checkout', i % 3 === 0 ? on : off, SHOP)
  usage.one(LOG, 'checkout', split, { ...SHOP, service: 'web' })
  t.match(await usage.flag(LOG, 'checkout'), { lastHour: 101, variations: { on: 34, off: 67 }, unbucketed: 1 })
  t.same((await usage.flag(LOG, 'checkout')).services.map(({ service }) => service).sort(), ['shop', 'web'])
  // A ruleset that changes all the time makes results without end.
  for (let i = 0; i < 1_000; i++) usage.one(LOG, 'checkout', result('on'), SHOP)
  t.equal(usage.total(LOG), 1_101)
  clock.advance(MINUTE_MS)
  usage.one(LOG, 'unheard-of', on, SHOP)
  t.match([usage.total(LOG), usage.dropped(LOG)], [1_102, { server: 1 }])
  flags.add('unheard-of')
  usage.one(LOG, 'unheard-of', on, SHOP)
  t.equal(usage.lastHour(LOG, 'unheard-of'), 1)
})

t.test('a misspelt flag and a wrong type are remembered, with how often, when last, and by whom', async t => {
  const { clock, usage } = await counting(t, t.testdir())
  const billing = { service: 'billing', instance: 'billing-7', sdk: 'node/2' }
  usage.add(LOG, report(failed('chekout', 40, 'FLAG_NOT_FOUND'), failed('checkout', 2, 'TYPE_MISMATCH', 'string')), SHOP)
  clock.advance(MINUTE_MS)
  usage.add(LOG, report(failed('chekout', 2, 'FLAG_NOT_FOUND')), SHOP)
  usage.add(LOG, report(failed('chekout', 1, 'FLAG_NOT_FOUND'), failed('checkout', 1, 'TYPE_MISMATCH', 'number')), billing)
  t.same(
    usage
      .problems(LOG)
      .map(({ code, subject, detail, service, instance, count, lastSeen }) => [
        ...[code, subject, detail],
        ...[service, instance, count, lastSeen.slice(11, 16)],
      ]),
    [
      ['TYPE_MISMATCH', 'checkout', 'number', 'billing', 'billing-7', 1, '03:01'],
      ['FLAG_NOT_FOUND', 'chekout', '', 'billing', 'billing-7', 1, '03:01'],
      ['FLAG_NOT_FOUND', 'chekout', '', 'shop', 'shop-1', 42, '03:01'],
      ['TYPE_MISMATCH', 'checkout', 'string', 'shop', 'shop-1', 2, '03:00'],
    ],
  )
  t.equal(usage.isCounted(LOG, 'chekout'), false, 'what does not exist has no history')
})

t.test('an SDK that does not name its errors is understood all the same', async t => {
  const { usage, flags } = await counting(t, t.testdir())
  const old = (flag: string) => row(flag, 1, { variation: null, reason: 'ERROR' })
  usage.add(LOG, report(row('search', 1)), SHOP)
  flags.delete('search')
  usage.add(LOG, report(old('chekout'), old('checkout'), old('search')), SHOP)
  t.same(
    usage.problems(LOG).map(({ code, subject }) => `${code} ${subject}`),
    ['FLAG_NOT_FOUND search', 'OTHER checkout', 'FLAG_NOT_FOUND chekout'],
  )
  t.match(await usage.flag(LOG, 'checkout'), { errors: { OTHER: 1 } })
})

t.test('an operator that an SDK does not know is remembered with the place, the service and the SDK', async t => {
  const { usage } = await counting(t, t.testdir())
  const nearMoon = { op: 'nearMoon', where: 'flag checkout' }
  usage.add(LOG, { ...report(), unknownOperators: [nearMoon] }, SHOP)
  usage.add(LOG, { ...report(), unknownOperators: [nearMoon, { op: 'nearMoon', where: 'segment beta' }] }, { ...SHOP, sdk: 'node/0' })
  t.match(usage.problems(LOG), [
    { code: 'UNKNOWN_OPERATOR', subject: 'segment beta', detail: 'nearMoon' },
    { code: 'UNKNOWN_OPERATOR', subject: 'flag checkout', detail: 'nearMoon', service: 'shop', sdk: 'node/0', count: 2 },
  ])
})

t.test('names without end are bounded, the newest are kept, and every evaluation is counted or said to be dropped', async t => {
  const { clock, usage, storage } = await counting(t, t.testdir())
  const made = PROBLEMS_MAX + 500
  for (let i = 0; i < made; i++) {
    clock.advance(1_000)
    usage.add(LOG, report(failed(`ghost-${i}`, 2, 'FLAG_NOT_FOUND'), failed('chekout', 1, 'FLAG_NOT_FOUND'), row('checkout', 3)), SHOP)
    if (i % 700 === 0) await usage.write()
  }
  usage.add(LOG, { ...report(), dropped: 7 }, SHOP)
  const held = usage.problems(LOG)
  t.equal(held.length, PROBLEMS_MAX)
  t.match(held[0], { subject: 'chekout', count: made }, 'what is asked for all the time stays')
  const unknown = held.reduce((sum, { count }) => sum + count, 0)
  const { lastDay } = await usage.flag(LOG, 'checkout')
  t.equal(lastDay, 3 * made)
  t.equal(usage.total(LOG), unknown + (lastDay ?? 0) + usage.dropped(LOG).server, 'nothing is lost without being said')
  t.equal(usage.dropped(LOG).sdk, 7)
  await usage.write()
  t.equal((await storage.problems()).length, PROBLEMS_MAX, 'nor does the database hold more')
})

t.test('what gave way and comes back is stored as new', async t => {
  const { usage, storage } = await counting(t, t.testdir())
  usage.add(LOG, report(failed('chekout', 5, 'FLAG_NOT_FOUND')), SHOP)
  await usage.write()
  for (let i = 0; i < PROBLEMS_MAX; i++) usage.add(LOG, report(failed(`ghost-${i}`, 1, 'FLAG_NOT_FOUND')), SHOP)
  usage.add(LOG, report(failed('chekout', 2, 'FLAG_NOT_FOUND')), SHOP)
  await usage.write()
  const stored = await storage.problems()
  t.match(
    stored.filter(({ subject }) => subject === 'chekout'),
    [{ count: 2 }],
  )
  t.equal(stored.length, PROBLEMS_MAX)
})

t.test('services without end are bounded too', async t => {
  const { clock, usage } = await counting(t, t.testdir())
  for (let i = 0; i < 3 * SERVICES_MAX; i++) {
    clock.advance(1_000)
    usage.add(LOG, report(row('checkout', 1)), { ...SHOP, service: `s-${i}` })
  }
  const { services } = await usage.flag(LOG, 'checkout')
  t.equal(services.length, SERVICES_MAX)
  t.equal(services[0]?.service, `s-${3 * SERVICES_MAX - 1}`)
})

t.test('hostile names and numbers do no harm', async t => {
  const data = t.testdir()
  const first = await counting(t, data, { flags: ['__proto__'] })
  const names = ['__proto__', 'constructor', '\0', '\ud800', '’; drop table problems; --', 'x'.repeat(256)]
  first.usage.add(LOG, report(row('__proto__', Number.MAX_SAFE_INTEGER, { variation: '__proto__' })), SHOP)
  first.usage.add(LOG, report(row('__proto__', 5, { variation: 'constructor', unbucketed: 9 })), SHOP)
  for (const name of names) {
    const by = { service: name, instance: name, sdk: name }
    const reports = report(
      failed(name, 1, name, name),
      failed('__proto__', 1, name),
      failed(name, 1, 'FLAG_NOT_FOUND'),
      row('__proto__', 1, { variation: name, reason: name }),
    )
    first.usage.add(LOG, reports, by)
    first.usage.add(LOG, { ...report(), unknownOperators: [{ op: name, where: name }] }, by)
  }
  await first.close()
  t.same(first.logger.lines, [], 'all of it could be stored')
  const { usage } = await counting(t, data, { flags: ['__proto__'] })
  const flag = await usage.flag(LOG, '__proto__')
  t.equal(flag.lastDay, Number.MAX_SAFE_INTEGER)
  t.equal(flag.unbucketed, 5)
  t.ok(Object.keys(flag.variations).includes('__proto__'))
  t.equal(Object.getPrototypeOf(flag.variations), Object.prototype)
  t.ok(usage.problems(LOG).length >= names.length)
})
