/** Where a valve stands in the fleet: rows in, transitions out, with time as an argument. */
import fc from 'fast-check'
import t from 'tap'
import { PROBE_KEY } from '../../../schemas/protocol.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { ValveRecord, ValveRow, ValveState } from '../../../schemas/valve.ts'
import { Book, MOVE_INTERVAL_MS, RETURN_MS } from '../../../server/valves/book.ts'
import { fleetState, type Standing } from '../../../server/valves/fleet.ts'
import { GONE_MS, SILENT_MS } from '../../../server/valves/pool.ts'
import { Ring } from '../../../server/valves/ring.ts'
import { moveText } from '../../../server/valves/words.ts'
import { openLending } from '../../../server/limits/lending.ts'
import type { Documents, State } from '../../../server/log/types.ts'
import { manualClock } from '../../clock.ts'
import { runs } from '../../runs.ts'
import { flag as anyFlag } from '../flags/state.ts'

const FLAG = 'payments-vendor'
const STATES: readonly ValveState[] = ['flowing', 'throttled', 'cut', 'probing']
const BREAKER = { windowMs: 10_000, minCalls: 30, openMs: 5_000, maxOpenMs: 20_000, backoff: 2 }

function valve(value: object = {}, more: Partial<Flag> = {}): Flag {
  return anyFlag(FLAG, {
    kind: 'safety-valve',
    variations: [
      { key: 'auto', value: { mode: 'auto', breaker: BREAKER, ...value } },
      { key: 'half', value: { mode: 'throttle', admit: 0.5 } },
      { key: 'cut', value: { mode: 'cut' } },
    ],
    offVariation: 'cut',
    fallthrough: { variation: 'auto' },
    ...more,
  })
}

const bookOf = (flag: Flag): Book => new Book(key => (key === flag.key ? flag : undefined))

function row(state: ValveState, more: Partial<ValveRow> = {}): ValveRow {
  const admit = state === 'flowing' ? 1 : state === 'throttled' ? 0.4 : 0
  return { flag: FLAG, variation: 'auto', state, admit, calls: 0, failures: 0, slow: 0, rejected: 0, ...more }
}

const who = (link: string, service = 'shop') => ({ link, instance: link, service })

/** Instances report these states; answered is what is due a second later. */
function said(book: Book, states: readonly ValveState[], now: number, more: Partial<ValveRow> = {}) {
  for (const [i, state] of states.entries()) book.report(who(`i${i}`), [row(state, more)], now)
  return book.look(now)
}

t.test('sums of a ring are those of a list, in whole slots', async () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 9_000 }),
    calls: fc.integer({ min: 0, max: 9 }),
    ms: fc.integer({ min: 1, max: 15_000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 1e9 }), (steps, start) => {
      const ring = new Ring(1_000, 12, start)
      const all: { at: number; calls: number }[] = []
      let now = start
      for (const { afterMs, calls, ms } of steps) {
        now += afterMs
        ring.add({ calls, failures: 1, slow: 0, rejected: 0 }, now)
        all.push({ at: now, calls })
        const slots = Math.min(12, Math.ceil(ms / 1_000))
        const recent = all.filter(({ at }) => Math.floor(at / 1_000) > Math.floor(now / 1_000) - slots)
        const sums = ring.sums(ms, now)
        if (sums.calls !== recent.reduce((sum, each) => sum + each.calls, 0) || sums.failures !== recent.length) return false
      }
      return true
    }),
    runs(300),
  )
})

t.test('the state of the fleet follows the rules, with more to enter a state than to stay in it', async t => {
  const standing = (flowing: number, throttled: number, cut: number, probing: number): Standing => ({
    ...{ instances: flowing + throttled + cut + probing, flowing, throttled, cut, probing, admit: 1 },
  })
  const cases: readonly [ValveState, Standing, ValveState][] = [
    ['flowing', standing(4, 0, 0, 0), 'flowing'],
    ['flowing', standing(4, 1, 0, 0), 'flowing'],
    ['flowing', standing(3, 1, 0, 0), 'throttled'],
    ['throttled', standing(8, 1, 0, 0), 'throttled'],
    ['throttled', standing(9, 1, 0, 0), 'flowing'],
    ['flowing', standing(2, 0, 2, 0), 'cut'],
    ['throttled', standing(2, 1, 1, 0), 'throttled'],
    ['cut', standing(2, 1, 1, 0), 'cut'],
    ['cut', standing(3, 1, 0, 1), 'throttled'],
    ['cut', standing(0, 0, 9, 1), 'probing'],
    ['probing', standing(1, 0, 9, 0), 'cut'],
    ['probing', standing(10, 0, 1, 0), 'flowing'],
    ['cut', standing(0, 0, 0, 0), 'cut'],
  ]
  for (const [before, counts, expected] of cases) t.equal(fleetState(before, counts), expected, `${before} ${JSON.stringify(counts)}`)
})

t.test('a transition is told at once, and written with its numbers', async t => {
  const book = bookOf(valve())
  t.same(said(book, ['flowing', 'flowing', 'flowing'], 1_000, { calls: 10 }), { rows: [], moves: [] })
  const { rows, moves } = said(book, ['cut', 'cut', 'flowing'], 2_000, {
    calls: 10,
    failures: 6,
    cause: 'failures',
    retryMs: 4_000,
    trips: 1,
  })
  t.same(rows, [{ flag: FLAG, variation: 'auto', state: 'cut', admit: 1 / 3, retryMs: 4_000, trips: 1 }])
  const numbers = { instances: 3, inState: 2, windowMs: 10_000, calls: 60, failures: 18, slow: 0, rejected: 0 }
  t.match(moves, [{ flag: FLAG, state: 'cut', cause: 'failures', numbers }])
  t.equal(moveText(moves[0]!), 'cut: too many calls failed (30 % of 60 calls failed in 10 s; cut in 2 of 3 instances, 33 % admitted)')
})

t.test('a valve makes at most one entry in 5 s, whatever its instances do', async () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 1, max: 4_000 }),
    states: fc.array(fc.constantFrom(...STATES), { minLength: 1, maxLength: 8 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const book = bookOf(valve({ fleetTrip: true }))
      let now = 0
      let [writtenAt, written]: [number, ValveState] = [-Infinity, 'flowing']
      for (const { afterMs, states } of steps) {
        now += afterMs
        for (const { state } of said(book, states, now, { calls: 20, failures: 15 }).moves) {
          if (now - writtenAt < MOVE_INTERVAL_MS || state === written) return false
          ;[writtenAt, written] = [now, state]
          book.wrote(FLAG, 'auto', state, now)
        }
      }
      return true
    }),
    runs(300),
  )
})

t.test('what comes and goes within the interval is not written', async t => {
  const book = bookOf(valve())
  const first = said(book, ['cut'], 0)
  book.wrote(FLAG, 'auto', first.moves[0]!.state, 0)
  t.same(said(book, ['probing'], 1_000).moves, [])
  t.same(said(book, ['cut'], 3_000).moves, [])
  t.same(said(book, ['cut'], 9_000).moves, [], 'it stands as it was written')
  t.match(said(book, ['flowing'], 9_500).moves, [{ state: 'flowing' }])
})

t.test('instances that a setting holds move nothing', async t => {
  const book = bookOf(valve())
  t.same(said(book, ['cut', 'cut', 'cut'], 1_000, { cause: 'setting' }), { rows: [], moves: [] })
  book.report(who('i9'), [{ ...row('throttled'), variation: 'half' }], 1_000)
  t.same(book.look(2_000), { rows: [], moves: [] }, 'nor does a variation that does not move by itself')
  t.equal(book.of(FLAG).length, 2, 'but both are seen')
})

t.test('a restart of the instances moves nothing', async t => {
  const book = bookOf(valve())
  for (const { state } of said(book, ['cut', 'cut', 'flowing'], 0, { retryMs: 60_000 }).moves) book.wrote(FLAG, 'auto', state, 0)
  book.leave('i0', 10_000)
  book.leave('i1', 10_000)
  book.report(who('i2'), [row('flowing')], 20_000)
  t.same(book.look(20_000), { rows: [], moves: [] }, 'who left counts as it stood')
  for (const i of [0, 1]) book.report(who(`i${i}`), [row('cut', { cause: 'restored' })], 30_000)
  book.leave('i2', 31_000)
  for (const i of [0, 1]) book.leave(`i${i}`, 31_000)
  t.same(book.look(31_000 + GONE_MS), { rows: [], moves: [] }, 'and with nobody left nothing is decided')
  t.match(book.notFlowing(31_000 + GONE_MS), [{ state: 'cut' }], 'whoever comes is told')
})

t.test('a restart of the server goes on with what stood in the log', async t => {
  const record: ValveRecord = {
    ...{ key: FLAG, variation: 'auto', state: 'cut', admit: 0, cause: 'failures', since: '2026-11-28T03:00:00Z', version: 1 },
    numbers: { instances: 4, inState: 4, windowMs: 10_000, calls: 0, failures: 0, slow: 0, rejected: 0 },
  }
  const book = bookOf(valve())
  book.restore(record, 2_000, 100_000)
  t.match(book.notFlowing(100_000), [{ flag: FLAG, state: 'cut', admit: 0, retryMs: 3_000 }], 'it waits for the rest of its time')
  t.same(said(book, ['flowing'], 101_000), { rows: [], moves: [] }, 'the first that comes does not speak for the fleet')
  t.match(said(book, ['flowing'], 100_000 + RETURN_MS), { rows: [{ state: 'flowing' }], moves: [{ state: 'flowing' }] })
})

t.test('an instance that says nothing for long does not count', async t => {
  const book = bookOf(valve())
  said(book, ['cut', 'cut', 'flowing'], 0)
  t.match(said(book, ['flowing'], SILENT_MS), { rows: [{ state: 'flowing' }] })
  t.match(book.notFlowing(SILENT_MS + 1), [{ state: 'flowing' }], 'who comes back is told for a while that it flows again')
  t.same(book.notFlowing(20 * SILENT_MS), [])
  t.equal(book.of(FLAG)[0]!.pool.members(SILENT_MS).length, 1)
  t.equal(book.of(FLAG)[0]!.pool.members(3 * SILENT_MS).length, 0)
})

t.test('a fleet is well when its probes together went well, however many wait for one', async t => {
  const book = bookOf(valve({ breaker: { ...BREAKER, probes: 3 } }))
  const all = (state: ValveState): ValveState[] => Array.from({ length: 50 }, () => state)
  t.match(said(book, all('cut'), 0, { cause: 'failures', retryMs: 5_000 }).rows, [{ state: 'cut' }])
  t.match(said(book, all('probing').slice(0, 3), 5_000, { cause: 'waited' }).rows, [{ state: 'probing' }])
  t.same(said(book, ['throttled', 'throttled'], 6_000, { cause: 'probes', calls: 1 }).rows, [], 'two of three probes')
  t.match(said(book, ['throttled', 'throttled', 'throttled'], 7_000, { cause: 'probes' }).rows, [{ state: 'throttled' }])
  t.match(book.notFlowing(7_000), [{ state: 'throttled' }])
  t.same(said(book, all('throttled').slice(0, 30), 8_000, { cause: 'ramp' }).rows, [], 'those that still wait do not shut it again')
  t.match(said(book, all('cut').slice(0, 30), 9_000, { cause: 'failures' }).rows, [{ state: 'cut' }], 'those that are cut anew do')
})

t.test('probes that fail do not open the fleet', async t => {
  const book = bookOf(valve({ breaker: { ...BREAKER, probes: 3 } }))
  said(book, ['cut', 'cut', 'cut', 'cut', 'cut', 'cut'], 0, { cause: 'failures' })
  for (const i of [3, 4]) book.report(who(`i${i}`), [row('probing')], 5_000)
  for (const i of [3, 4]) book.report(who(`i${i}`), [row('cut', { cause: 'probe-failed' })], 5_500)
  t.same(said(book, ['throttled', 'throttled', 'throttled'], 6_000, { cause: 'probes' }).rows, [], '3 of 5 are less than 80 %')
})

t.test('the fleet trips as one when three agree, probes after its time, and waits longer each time', async t => {
  const book = bookOf(valve({ fleetTrip: true }))
  const bad = { calls: 20, failures: 15 }
  for (const i of [0, 1]) book.report(who(`i${i}`), [row('flowing', bad)], 1_000)
  t.same(book.look(1_000), { rows: [], moves: [] }, 'two are not enough, however bad')
  book.report(who('i2'), [row('flowing', bad)], 2_000)
  const first = book.look(2_000)
  t.same(first.rows, [{ flag: FLAG, variation: 'auto', state: 'cut', admit: 0, retryMs: 5_000, trips: 1, isOrder: true }])
  t.match(first.moves, [{ state: 'cut', cause: 'fleet', numbers: { calls: 60, failures: 45 } }])
  t.match(book.notFlowing(4_000), [{ isOrder: true, retryMs: 3_000 }], 'who comes meanwhile is told the rest')
  t.same(said(book, ['flowing', 'flowing', 'flowing'], 4_000, bad).rows, [], 'what was under way does not end it')
  // What failed before the order does not cut again.
  t.match(said(book, ['probing', 'cut', 'cut'], 8_000, { calls: 1 }).rows, [{ state: 'probing' }])
  t.match(said(book, ['flowing', 'flowing', 'flowing'], 9_000, { calls: 5 }).rows, [{ state: 'flowing' }])
  t.match(said(book, ['flowing', 'flowing', 'flowing'], 10_000, bad).rows, [{ state: 'cut', isOrder: true, retryMs: 10_000, trips: 2 }])
})

t.test('a fleet does not trip where it is not asked to', async t => {
  const bad = { calls: 20, failures: 15 }
  for (const value of [{}, { fleetTrip: true, shadow: true }, { fleetTrip: true, breaker: { ...BREAKER, enabled: false } }])
    t.same(said(bookOf(valve(value)), ['flowing', 'flowing', 'flowing'], 1_000, bad), { rows: [], moves: [] }, JSON.stringify(value))
})

t.test('what is no valve is left alone', async t => {
  const book = bookOf(valve())
  book.report(
    who('i0'),
    [
      { ...row('cut'), flag: 'other' },
      { ...row('cut'), variation: 'no-such' },
    ],
    0,
  )
  t.same([...book.all()], [])
})

t.test('probes are lent to the fleet: so many for each time that a valve waits, none while it is cut by hand', async t => {
  const clock = manualClock()
  let standing = valve({ breaker: { ...BREAKER, probes: 3, openMs: 10_000 } })
  const documents = { flag: { get: () => standing, values: () => [standing] } } as unknown as Documents
  const state: State = { log: 'default/production', epoch: 'e', revision: 1, documents }
  const lending = openLending({ clock, logger: { error: t.fail } as never, log: { state: () => state } })
  t.teardown(() => lending.close())
  clock.advance(3_000)
  let tokens = 0
  const borrowers = [0, 1, 2, 3, 4, 5].map(i =>
    lending.join(state.log, `i${i}`, grant => {
      for (const each of grant.keys) tokens += each.tokens
    }),
  )
  const ask = async (key: string): Promise<number> => {
    const before = tokens
    for (const each of borrowers)
      each.report({ type: 'lease', keys: [{ slot: 1, flag: FLAG, variation: 'auto', key, held: 0, spent: 0, denied: 0, want: 1 }] })
    for (let i = 0; i < 4; i++) {
      clock.advance(50)
      await new Promise(resolve => setImmediate(resolve))
    }
    return tokens - before
  }
  t.equal(await ask(PROBE_KEY), 3, 'three of six instances may probe')
  t.equal(await ask('a-17'), 0, 'nothing else of a valve is lent')
  t.same([...(await lending.totals()).values()].flat(), [], 'and no limit counts them')
  clock.advance(10_000)
  standing = { ...standing, kills: [{ id: 'k', variation: 'cut', clauses: [], reason: '', actor: '', at: '', until: null }] }
  t.equal(await ask(PROBE_KEY), 0, 'a person has cut it')
})
