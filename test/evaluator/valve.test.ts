/** The lenient reading of a valve setting, and that everything the schema takes is read as it was written. */
import fc from 'fast-check'
import t from 'tap'
import { VALVE_PRESETS, valveValueSchema } from '../../schemas/values.ts'
import { VALVE_DEFAULTS, valveOf } from '../../sdk/evaluator/valve.ts'
import { runs } from '../runs.ts'

t.test('what a setting leaves out is filled in', async t => {
  const { windowMs, buckets, minCalls, failureRate, slowRate, openMs, maxOpenMs, backoff, probes, probeSuccess, ...adaptive } =
    VALVE_DEFAULTS
  t.strictSame(valveOf({ mode: 'auto' }), {
    mode: 'auto',
    admit: 1,
    breaker: {
      isEnabled: true,
      windowMs,
      buckets,
      minCalls,
      failureRate,
      slowMs: null,
      slowRate,
      timeoutMs: null,
      openMs,
      maxOpenMs,
      backoff,
      probes,
      probeSuccess,
    },
    adaptive: { isEnabled: true, ...adaptive },
    fallback: '',
    stickyBy: null,
    isShadow: false,
    isFleetTrip: false,
  })
  t.match(valveOf({ mode: 'throttle', admit: 0.25, stickyBy: '/account/id' }), { admit: 0.25, stickyBy: { name: '/account/id' } })
  t.match(valveOf({ mode: 'cut', admit: 0.5 }), { admit: 0 }, 'a cut is a cut')
  t.match(valveOf({ mode: 'auto', breaker: { openMs: 400_000 } }), { breaker: { maxOpenMs: 400_000 } })
})

t.test('what is no setting is none, and a field that cannot be is left out', async t => {
  for (const value of [null, undefined, 5, 'auto', [], {}, { mode: 'open' }, { admit: 1 }])
    t.equal(valveOf(value), null, JSON.stringify(value))
  const odd = {
    mode: 'auto',
    admit: 2,
    breaker: { windowMs: 'long', buckets: 0, timeoutMs: -1, probes: 1.5 },
    adaptive: [],
    stickyBy: 5,
    newField: 1,
  }
  t.strictSame(valveOf(odd), valveOf({ mode: 'auto' }))
})

t.test('presets are settings, and say what their names do', async t => {
  for (const [name, value] of Object.entries(VALVE_PRESETS)) t.ok(valveValueSchema.safeParse(value).success, name)
  t.equal(valveOf(VALVE_PRESETS.half)?.admit, 0.5)
  t.equal(valveOf(VALVE_PRESETS.cut)?.admit, 0)
})

t.test('reading never throws, and every number of it is in its range', async t => {
  const part = fc.oneof(fc.object(), fc.jsonValue())
  const value = fc.record(
    {
      mode: fc.oneof(fc.constantFrom('auto', 'flow', 'throttle', 'cut'), fc.jsonValue()),
      admit: fc.jsonValue(),
      breaker: part,
      adaptive: part,
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(value, fc.anything()), tried => {
      const valve = valveOf(tried)
      if (valve === null) return
      const { admit, breaker, adaptive } = valve
      t.ok(admit >= 0 && admit <= 1)
      t.ok(breaker.windowMs / breaker.buckets >= 1 && breaker.buckets >= 2)
      t.ok(breaker.openMs <= breaker.maxOpenMs && breaker.backoff >= 1 && breaker.probes >= 1)
      t.ok(adaptive.K >= 1 && adaptive.maxReject >= 0 && adaptive.maxReject <= 1)
    }),
    runs(300),
  )
})
