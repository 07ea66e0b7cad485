import t from 'tap'
import type { State } from '../../../server/log/types.ts'
import { openUsage, UNKNOWN_FLAGS_MAX, UNKNOWN_OPERATORS_MAX, VARIATIONS_COUNTED_MAX } from '../../../server/telemetry/usage.ts'
import { manualClock } from '../../clock.ts'

const LOG = 'default/production'
const open = () => {
  const clock = manualClock()
  const flags = new Set(['checkout', '__proto__'])
  const log = { state: () => ({ documents: { flag: flags } }) as unknown as State }
  return { clock, usage: openUsage({ clock, log }) }
}
const count = (flag: string, count: number, variation: string | null = 'on', unbucketed?: number) => ({
  flag,
  variation,
  reason: 'FALLTHROUGH',
  count,
  ...(unbucketed === undefined ? {} : { unbucketed }),
})
const report = (...counts: ReturnType<typeof count>[]) => ({ counts, dropped: 0, unknownOperators: [] })

t.test('counts of a flag are summed, with the first and last moment', async t => {
  const { clock, usage } = open()
  usage.add(LOG, report(count('checkout', 3), count('checkout', 2, 'off', 1)))
  clock.advance(60_000)
  usage.add(LOG, report(count('checkout', 5), count('checkout', 1, null)))
  t.strictSame(usage.flag(LOG, 'checkout'), {
    evaluations: 11,
    unbucketed: 1,
    variations: { on: 8, off: 2, '': 1 },
    firstSeen: '2026-11-21T03:00:00.000Z',
    lastSeen: '2026-11-21T03:01:00.000Z',
  })
  t.equal(usage.total(LOG), 11)
})

t.test('logs are counted apart, and what was never reported is zero', async t => {
  const { usage } = open()
  usage.add(LOG, report(count('checkout', 3)))
  t.match(usage.flag('default/staging', 'checkout'), { evaluations: 0, lastSeen: null })
  t.match(usage.flag(LOG, 'other'), { evaluations: 0, lastSeen: null })
  t.equal(usage.dropped('default/staging'), 0)
})

t.test('names that nobody knows are bounded, and what does not fit is counted as dropped', async t => {
  const { usage } = open()
  for (let i = 0; i < UNKNOWN_FLAGS_MAX + 10; i++) usage.add(LOG, { ...report(count(`ghost-${i}`, 2)), dropped: 1 })
  t.equal(usage.flag(LOG, `ghost-${UNKNOWN_FLAGS_MAX - 1}`).evaluations, 2)
  t.equal(usage.flag(LOG, `ghost-${UNKNOWN_FLAGS_MAX}`).evaluations, 0)
  t.equal(usage.dropped(LOG), UNKNOWN_FLAGS_MAX + 10 + 20)
  usage.add(LOG, report(count('checkout', 1)))
  t.equal(usage.flag(LOG, 'checkout').evaluations, 1, 'a flag that exists has room always')
  for (let i = 0; i < VARIATIONS_COUNTED_MAX + 10; i++) usage.add(LOG, report(count('checkout', 1, `v${i}`)))
  t.equal(Object.keys(usage.flag(LOG, 'checkout').variations).length, VARIATIONS_COUNTED_MAX)
  t.equal(usage.flag(LOG, 'checkout').evaluations, VARIATIONS_COUNTED_MAX + 11)
})

t.test('hostile names and numbers do no harm', async t => {
  const { usage } = open()
  usage.add(LOG, report(count('__proto__', Number.MAX_SAFE_INTEGER, '__proto__'), count('__proto__', 5, 'constructor')))
  const flag = usage.flag(LOG, '__proto__')
  t.equal(flag.evaluations, Number.MAX_SAFE_INTEGER)
  t.strictSame(Object.keys(flag.variations), ['__proto__', 'constructor'])
  t.equal(Object.getPrototypeOf(flag.variations), Object.prototype)
})

t.test('operators that an SDK does not know are remembered once each, and not without bound', async t => {
  const { usage } = open()
  const nearMoon = { op: 'nearMoon', where: 'checkout' }
  usage.add(LOG, { ...report(), unknownOperators: [nearMoon] })
  usage.add(LOG, { ...report(), unknownOperators: [nearMoon, { op: 'nearMoon', where: 'basket' }] })
  t.strictSame(usage.unknownOperators(LOG), [nearMoon, { op: 'nearMoon', where: 'basket' }])
  for (let i = 0; i < 2 * UNKNOWN_OPERATORS_MAX; i++) usage.add(LOG, { ...report(), unknownOperators: [{ op: `op${i}`, where: 'x' }] })
  t.equal(usage.unknownOperators(LOG).length, UNKNOWN_OPERATORS_MAX)
})
