/** The valve's core: how it moves, with time and chance moved by hand. */
import fc from 'fast-check'
import t from 'tap'
import { valveOf } from '../../../sdk/evaluator/valve.ts'
import type { Ended } from '../../../sdk/types.ts'
import { type Moved, ValveCore } from '../../../sdk/valve/valve.ts'
import { randomFrom } from '../../random.ts'
import { runs } from '../../runs.ts'
import { average, runFault } from './fault.ts'

/** A breaker alone: what the throttle does is in the faults below. */
const BREAKER = { mode: 'auto', breaker: { windowMs: 10_000, buckets: 10, minCalls: 10, openMs: 1_000 }, adaptive: { enabled: false } }

function scene(setting: object = BREAKER) {
  const moves: string[] = []
  let now = 0
  const valve = new ValveCore(valveOf(setting)!, 0, ({ to, cause }: Moved) => void moves.push(`${to} (${cause})`))
  return {
    valve,
    moves,
    wait(ms: number, needed = 1) {
      now += ms
      valve.tick(now, needed)
    },
    get now() {
      return now
    },
    /** One call; null when it was not let through. */
    call(ended: Ended = 'success', isSlow = false, place = 0) {
      const probe = valve.enter(place)
      if (typeof probe !== 'number') return probe
      valve.end(valve.epoch, probe, ended, isSlow)
      return probe === 0 ? 'FLOWING' : 'PROBE'
    },
    times(count: number, ended: Ended, isSlow = false) {
      for (let i = 0; i < count; i++) this.call(ended, isSlow)
    },
  }
}

t.test('too many failures cut, and fewer calls than are needed do not', async t => {
  const { times, call, moves, valve } = bound(scene())
  times(9, 'failure')
  t.same(moves, [])
  times(1, 'failure')
  t.same(moves, ['cut (failures)'])
  t.equal(call(), 'CUT')
  t.equal(valve.retryAfterMs(), 1_000)
  t.match(valve.totals, { calls: 10, failures: 10, rejected: 1 })
})

t.test('ignored calls are as if they had not been made', async t => {
  const { times, moves, valve } = bound(scene())
  times(100, 'ignore')
  times(9, 'failure')
  t.same(moves, [])
  t.equal(valve.window.sums.calls, 9)
})

t.test('too many slow calls cut, where anybody looks at that', async t => {
  const setting = { ...BREAKER, breaker: { ...BREAKER.breaker, slowMs: 100, slowRate: 0.8 } }
  const slow = bound(scene(setting))
  slow.times(2, 'success')
  slow.times(8, 'success', true)
  t.same(slow.moves, ['cut (slow)'])
})

t.test('a cut probes after its open time, and comes back step by step when the probes went well', async t => {
  const { times, call, wait, moves, valve } = bound(scene())
  times(10, 'failure')
  wait(999)
  t.equal(call(), 'CUT')
  wait(1)
  t.equal(call(), 'PROBING', 'there is no permit yet')
  t.ok(valve.wantsProbe)
  valve.permitProbe()
  t.equal(call(), 'PROBE')
  t.same(moves, ['cut (failures)', 'probing (waited)', 'throttled (probes)'])
  t.equal(valve.admit, 0.1, 'it does not flood what has just come back')
  t.equal(call('success', false, 0.5), 'THROTTLED')
  let before = valve.admit
  for (let i = 0; i < 100 && valve.state !== 'flowing'; i++) {
    wait(50)
    t.ok(valve.admit >= before && valve.admit - before < 0.02, 'by small steps')
    before = valve.admit
    call()
  }
  t.equal(moves.at(-1), 'flowing (ramp)')
  t.equal(valve.admit, 1)
})

t.test('renewed cuts last longer, up to the longest, and a window of health makes them short again', async t => {
  const setting = { ...BREAKER, breaker: { ...BREAKER.breaker, maxOpenMs: 3_000 } }
  const { times, call, wait, moves, valve } = bound(scene(setting))
  times(10, 'failure')
  const lasted: number[] = []
  for (let i = 0; i < 4; i++) {
    lasted.push(valve.retryAfterMs())
    wait(valve.retryAfterMs())
    call()
    valve.permitProbe()
    call('failure')
    t.equal(moves.at(-1), 'cut (probe-failed)')
  }
  t.same(lasted, [1_000, 2_000, 3_000, 3_000])
  wait(3_000)
  call()
  valve.permitProbe()
  call()
  for (let i = 0; i < 400; i++) wait(50)
  t.match(valve, { state: 'flowing', trips: 0 })
})

t.test('on its way back it is cut again by as few failures as there are probes', async t => {
  const { times, call, wait, moves, valve } = bound(scene())
  times(10, 'failure')
  wait(1_000)
  call()
  valve.permitProbe()
  call()
  wait(50)
  times(5, 'failure')
  t.equal(moves.at(-1), 'cut (failures)')
  t.equal(valve.retryAfterMs(), 2_000)
})

t.test('a probe that never ends has failed, and one that says nothing is made again', async t => {
  const setting = { ...BREAKER, breaker: { ...BREAKER.breaker, timeoutMs: 500 } }
  const { times, call, wait, moves, valve } = bound(scene(setting))
  times(10, 'failure')
  wait(1_000)
  call()
  valve.permitProbe()
  t.equal(call('ignore'), 'PROBE')
  t.equal(valve.state, 'probing')
  const hanging = valve.enter(0)
  t.type(hanging, 'number', 'the permit is good for another one')
  wait(499)
  t.equal(valve.state, 'probing')
  wait(1)
  t.equal(moves.at(-1), 'cut (probe-failed)')
})

t.test('calls that began before the cut say nothing about what comes after it', async t => {
  const { times, call, wait, moves, valve } = bound(scene())
  const epochs = Array.from({ length: 50 }, () => {
    valve.pass()
    return valve.epoch
  })
  times(10, 'failure')
  // With those under way half of what was begun has failed: enough.
  wait(1_000)
  call()
  valve.permitProbe()
  call()
  for (const epoch of epochs) valve.end(epoch, 0, 'failure', false)
  t.equal(moves.at(-1), 'throttled (probes)')
  t.equal(valve.window.sums.failures, 0)
})

t.test('what the setting holds stays, whatever becomes of the calls', async t => {
  for (const [setting, admit, state] of [
    [{ mode: 'flow' }, 1, 'flowing'],
    [{ mode: 'throttle', admit: 0.25 }, 0.25, 'throttled'],
    [{ mode: 'cut' }, 0, 'cut'],
  ] as const) {
    const { valve, wait, moves } = bound(scene(setting))
    const random = randomFrom(1)
    let letThrough = 0
    for (let i = 0; i < 10_000; i++) {
      const probe = valve.enter(random())
      if (typeof probe === 'number') {
        letThrough++
        valve.end(valve.epoch, probe, 'failure', false)
      }
      if (i % 100 === 0) wait(50)
    }
    t.match(valve, { state, admit, cause: 'setting' })
    t.ok(Math.abs(letThrough / 10_000 - admit) < 0.02, `${letThrough} of 10,000`)
    t.same(moves, [])
  }
})

t.test('a setting that changes moves the valve at once, and what it saw before does not cut it afterwards', async t => {
  const { valve, times, moves, call } = bound(scene())
  times(9, 'failure')
  valve.set(valveOf({ mode: 'cut' })!)
  t.equal(call(), 'CUT')
  valve.set(valveOf(BREAKER)!)
  t.equal(call('failure'), 'FLOWING')
  t.same(moves, ['cut (setting)', 'flowing (setting)'])
})

t.test('with shadow it moves as it would, and nobody need be turned away', async t => {
  const { valve, times, moves } = bound(scene({ ...BREAKER, shadow: true }))
  times(10, 'failure')
  t.same(moves, ['cut (failures)'])
  times(5, 'failure')
  t.match(valve.totals, { shadowed: 5, rejected: 0 })
})

t.test('the order of the fleet is followed, and it is no order to a setting', async t => {
  const order = { state: 'cut', admit: 0, retryMs: 4_000, trips: 2, isOrder: true } as const
  const { valve, moves, wait, call } = bound(scene())
  for (let i = 0; i < 20; i++) call()
  valve.fleet(order, 0)
  t.same(moves, ['cut (fleet)'])
  wait(3_999)
  t.equal(call(), 'CUT')
  wait(1)
  t.equal(call(), 'PROBING')

  const set = bound(scene({ mode: 'flow' }))
  set.valve.fleet(order, 0)
  t.equal(set.call(), 'FLOWING')
})

t.test('a valve that has seen nothing begins where the fleet stands, and one that has goes by what it saw', async t => {
  const told = { state: 'cut', admit: 0, retryMs: 700, trips: 3, isOrder: false } as const
  const fresh = bound(scene())
  fresh.valve.fleet(told, 0)
  t.same(fresh.moves, ['cut (restored)'])
  t.equal(fresh.valve.retryAfterMs(), 700)
  t.equal(fresh.valve.trips, 3)

  const narrow = bound(scene())
  narrow.valve.fleet({ ...told, state: 'throttled', admit: 0.4 }, 0)
  t.match(narrow.valve, { state: 'throttled', cause: 'restored', admit: 0.4 })

  const known = bound(scene())
  known.times(10, 'success')
  known.valve.fleet(told, 0)
  t.same(known.moves, [])
})

t.test('the ceiling of an auto setting bounds it, and below it the valve moves by itself', async t => {
  const { valve, moves, call, times, wait } = bound(scene({ ...BREAKER, admit: 0.5 }))
  t.match(valve, { state: 'throttled', admit: 0.5 })
  t.same([call('success', false, 0.49), call('success', false, 0.5)], ['FLOWING', 'THROTTLED'])
  times(10, 'failure')
  t.same(moves, ['cut (failures)'], 'it is cut all the same')
  wait(1_000)
  t.equal(call(), 'PROBING')
  const loose = bound(scene())
  loose.valve.set(valveOf({ ...BREAKER, admit: 0.2 })!)
  t.same(loose.moves, ['throttled (setting)'])
  loose.valve.set(valveOf(BREAKER)!)
  t.match(loose.valve, { state: 'flowing', admit: 1 })
})

t.test('a valve of the same dependency begins where the other stands, and is never opened by it', async t => {
  const sick = bound(scene())
  sick.times(10, 'failure')
  const next = bound(scene({ ...BREAKER, admit: 0.5 }))
  next.valve.beginAt(sick.valve)
  t.same(next.moves, ['cut (restored)'])
  t.equal(next.valve.retryAfterMs(), 1_000)
  sick.valve.beginAt(bound(scene()).valve)
  t.equal(sick.valve.state, 'cut')
})

t.test('who waits for a probe need not when the fleet is well again', async t => {
  const ill = { state: 'cut', admit: 0, retryMs: 0, trips: 1, isOrder: false } as const
  const well = { ...ill, state: 'throttled', admit: 0.5 } as const
  const waiting = bound(scene())
  waiting.times(10, 'failure')
  waiting.valve.fleet(ill, 0)
  waiting.wait(1_000)
  waiting.call()
  waiting.valve.fleet(well, 1_000)
  t.equal(waiting.moves.at(-1), 'throttled (fleet)')

  const early = bound(scene())
  early.times(10, 'failure')
  early.valve.fleet(ill, 0)
  early.wait(500)
  early.valve.fleet(well, 500)
  t.equal(early.call(), 'CUT', 'its own open time stands')
  early.wait(500)
  early.call()
  t.equal(early.moves.at(-1), 'throttled (fleet)')
})

// What holds for any course of things.

type Deed =
  | { readonly do: 'enter'; readonly place: number }
  | { readonly do: 'end'; readonly which: number; readonly ended: Ended; readonly isSlow: boolean }
  | { readonly do: 'wait'; readonly ms: number; readonly needed: number }
  | { readonly do: 'permit' }
  | { readonly do: 'fleet'; readonly state: 'flowing' | 'throttled' | 'cut' | 'probing'; readonly isOrder: boolean }

const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant('enter' as const), place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      which: fc.nat(200),
      ended: fc.constantFrom<Ended>('success', 'failure', 'failure', 'ignore'),
      isSlow: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(200), fc.nat(5_000)),
      needed: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: 'permit' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fleet' as const),
      state: fc.constantFrom('flowing' as const, 'throttled' as const, 'cut' as const, 'probing' as const),
      isOrder: fc.boolean(),
    }),
  },
)

t.test('never more probes than were permitted, nothing passes a cut, and the share is always a share', async t => {
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 200 }), fc.boolean(), (deeds, isAdaptive) => {
      const setting = { ...BREAKER, breaker: { ...BREAKER.breaker, minCalls: 3 }, adaptive: { enabled: isAdaptive, minRps: 0 } }
      const { valve, wait, ...scenery } = bound(scene(setting))
      const under: { epoch: number; probe: number; isOver: boolean }[] = []
      let [permits, probes, ignored] = [0, 0, 0]
      for (const deed of deeds) {
        if (deed.do === 'enter') {
          const before = valve.state
          const probe = valve.enter(deed.place)
          if (typeof probe !== 'number') continue
          if (before === 'cut' || before === 'probing')
            t.ok(probe > 0 || valve.state === 'throttled', 'a probe, or it is well by the fleet')
          if (probe > 0) probes++
          under.push({ epoch: valve.epoch, probe, isOver: false })
        } else if (deed.do === 'end') {
          const call = under[deed.which]
          if (call === undefined || call.isOver) continue
          call.isOver = true
          if (call.probe > 0 && deed.ended === 'ignore') ignored++
          valve.end(call.epoch, call.probe, deed.ended, deed.isSlow)
        } else if (deed.do === 'permit') {
          if (!valve.wantsProbe) continue
          permits++
          valve.permitProbe()
        } else if (deed.do === 'wait') wait(deed.ms, deed.needed)
        else valve.fleet({ state: deed.state, admit: 0.5, retryMs: 500, trips: 1, isOrder: deed.isOrder }, scenery.at())
        t.ok(probes <= permits + ignored, `${probes} probes with ${permits} permits`)
        t.ok(valve.admit >= 0 && valve.admit <= 1)
        t.equal(valve.admit === 0, valve.state === 'cut' || valve.state === 'probing')
        t.ok(Object.values(valve.totals).every(count => count >= 0))
        t.ok(Object.values(valve.window.sums).every(count => count >= 0))
      }
    }),
    runs(200),
  )
})

t.test('a cut by setting admits nothing, whatever happens', async t => {
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 100 }), deeds => {
      const { valve, wait, at } = bound(scene({ mode: 'cut' }))
      for (const deed of deeds) {
        if (deed.do === 'enter') t.equal(valve.enter(deed.place), 'CUT')
        else if (deed.do === 'wait') wait(deed.ms)
        else if (deed.do === 'permit') valve.permitProbe()
        else if (deed.do === 'fleet') valve.fleet({ state: deed.state, admit: 1, retryMs: 0, trips: 0, isOrder: deed.isOrder }, at())
      }
      t.equal(valve.totals.calls, 0)
    }),
    runs(100),
  )
})

// A dependency that has a bad day.

const FAULT = { offeredRps: 1_000, capacityRps: 200, sickFromMs: 40_000, sickUntilMs: 120_000, untilMs: 170_000, latencyMs: 20 }

t.test('it narrows to twice what a sick dependency takes, never cuts, and is back within half a minute', async t => {
  const { load, let: letThrough, moves } = runFault({ ...FAULT, setting: { mode: 'auto' }, random: randomFrom(1) })
  const late = average(load, 110, 120)
  t.ok(late > 360 && late < 440, `${late.toFixed(0)} calls a second`)
  t.ok(average(letThrough, 145, 150) > 0.99)
  t.same(
    moves.map(({ to, cause }) => `${to} (${cause})`),
    ['throttled (overload)', 'flowing (ramp)'],
  )
})

t.test('strict holds it to little more than it takes, and its ramp brings it back', async t => {
  const setting = { mode: 'auto', adaptive: { enabled: true, K: 1.2, ramp: 0.05 } }
  const { load, let: letThrough } = runFault({ ...FAULT, setting, random: randomFrom(1) })
  const late = average(load, 110, 120)
  t.ok(late > 210 && late < 270, `${late.toFixed(0)} calls a second`)
  t.ok(average(letThrough, 145, 150) > 0.99)
})

t.test('a dependency that answers nothing is cut, and gets no more than probes until it does', async t => {
  const { load, let: letThrough, moves } = runFault({ ...FAULT, capacityRps: 0, setting: { mode: 'auto' }, random: randomFrom(1) })
  const cutAt = moves.find(({ to }) => to === 'cut')!.at
  t.ok(cutAt < FAULT.sickFromMs + 18_000, `cut after ${cutAt - FAULT.sickFromMs} ms, half of the window`)
  const after = load.slice(Math.ceil(cutAt / 1_000) + 1, 120).reduce((sum, count) => sum + count, 0)
  t.ok(after <= 10, `${after} calls in the rest of the fault`)
  t.ok(moves.some(({ cause }) => cause === 'probe-failed'))
  t.ok(average(letThrough, 40, 56) > 0.5)
})

t.test('a valve without trouble turns nobody away', async t => {
  const { let: letThrough, moves } = runFault({
    ...FAULT,
    sickUntilMs: 0,
    untilMs: 60_000,
    setting: { mode: 'auto' },
    random: randomFrom(1),
  })
  t.ok(letThrough.every(share => share === 1))
  t.same(moves, [])
})

t.test('calls that take long do not narrow a valve that has just begun', async t => {
  const { moves } = runFault({
    ...FAULT,
    sickUntilMs: 0,
    untilMs: 60_000,
    latencyMs: 8_000,
    setting: { mode: 'auto' },
    random: randomFrom(1),
  })
  t.same(moves, [])
})

/** So that its functions can be taken apart. */
function bound(one: ReturnType<typeof scene>) {
  return {
    valve: one.valve,
    moves: one.moves,
    wait: (ms: number, needed?: number) => one.wait(ms, needed),
    call: (ended?: Ended, isSlow?: boolean, place?: number) => one.call(ended, isSlow, place),
    times: (count: number, ended: Ended, isSlow?: boolean) => one.times(count, ended, isSlow),
    at: () => one.now,
  }
}
