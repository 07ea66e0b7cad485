/** One limiter alone: what a decision answers, what is kept, and that nothing from outside can throw into it. */
import t from 'tap'
import {
  LEASE_IDLE_MS,
  LEASE_INTERVAL_MS,
  LEASE_KEY_LENGTH_MAX,
  LEASE_KEYS_MAX,
  REST_KEY,
  UPSTREAM_BYTES_MAX,
} from '../../schemas/protocol.ts'
import { leaseSchema } from '../../schemas/lease.ts'
import type { Json } from '../../schemas/json.ts'
import type { Context } from '../../schemas/context.ts'
import { outcomeOf } from '../../sdk/evaluator/evaluation.ts'
import { Limiter } from '../../sdk/limiter/limiter.ts'
import type { Lease } from '../../schemas/lease.ts'
import { randomFrom } from '../random.ts'
import { rateOutcome } from './fleet.ts'

interface Bench {
  readonly limiter: Limiter
  readonly now: number
  /** Let time pass in ticks; answers the frames. */
  pass(ms: number): Lease[]
}

/** A limiter that is connected and was told of so many instances. */
function started(instances = 1, countersMax?: number): Bench {
  const clock = { now: 0 }
  const limiter = new Limiter({
    monotonic: () => clock.now,
    wake: () => undefined,
    ...(countersMax === undefined ? {} : { countersMax }),
  })
  limiter.connected(0)
  limiter.granted({ type: 'grant', instances, keys: [] }, 0)
  return {
    limiter,
    get now() {
      return clock.now
    },
    pass(ms) {
      const frames: Lease[] = []
      for (const end = clock.now + ms; clock.now < end;) {
        clock.now += LEASE_INTERVAL_MS
        const frame = limiter.tick(clock.now)
        if (frame !== null) frames.push(frame)
      }
      return frames
    },
  }
}

const outcome = (more: Record<string, Json> = {}): ReturnType<typeof rateOutcome> => rateOutcome({ rate: 40, per: 'second', ...more })
const acme: Context = { targetingKey: 'acme' }

t.test('a decision says what it decided, and its headers follow the draft', async t => {
  const { limiter } = started()
  const limit = outcome()
  const first = limiter.take(limit, acme, undefined)
  t.match(first, { allowed: true, reason: 'ALLOWED', limit: 40, remaining: 9, retryAfterMs: 0, variation: 'standard' })
  t.strictSame(first.headers, { 'RateLimit-Policy': '"api";q=40;w=1', RateLimit: '"api";r=9' })
  for (let i = 0; i < 9; i++) t.ok(limiter.take(limit, acme, undefined).allowed)
  const denied = limiter.take(limit, acme, undefined)
  t.match(denied, { allowed: false, reason: 'LIMITED', remaining: 0 })
  t.ok(denied.retryAfterMs >= LEASE_INTERVAL_MS && denied.retryAfterMs < 1_000)
  t.equal(denied.headers['Retry-After'], '1')
  t.equal(denied.headers.RateLimit, '"api";r=0;t=1')
  t.equal(limiter.take(outcome({ rate: 0.5, unit: 'a "b"' }), acme, undefined).headers['RateLimit-Policy'], '"api";q=1;w=2;qu="a \\"b\\""')
})

t.test('cut, too costly, unlimited, and what is no rate', async t => {
  const { limiter } = started()
  t.match(limiter.take(rateOutcome({ rate: 0, per: 'second' }, 'cut'), acme, 1), { allowed: false, reason: 'CUT', retryAfterMs: Infinity })
  t.match(limiter.take(outcome({ burst: 5 }), acme, 6), { allowed: false, reason: 'TOO_COSTLY', retryAfterMs: Infinity })
  t.notOk('Retry-After' in limiter.take(outcome({ burst: 5 }), acme, 6).headers, 'waiting does not help')
  const unlimited = rateOutcome({ unlimited: true }, 'free')
  t.match(limiter.take(unlimited, acme, 1e9), { allowed: true, reason: 'UNLIMITED', remaining: Infinity, headers: {} })
  t.match(limiter.take(rateOutcome({ rate: 'x', per: 'second' }, 'odd'), acme, 1), { allowed: true, reason: 'ERROR', variation: 'odd' })
  const error = outcomeOf('api', { value: undefined, variation: null, reason: 'ERROR', type: null, flagVersion: null })
  t.match(limiter.take(error, acme, 1), { allowed: true, reason: 'ERROR', variation: null, limit: Infinity, headers: {} })
})

t.test('shadow counts whom it would have denied, and denies nobody', async t => {
  const bench = started()
  const limit = outcome({ mode: 'shadow', burst: 5 })
  const reasons = Array.from({ length: 8 }, () => bench.limiter.take(limit, acme, undefined))
  t.ok(reasons.every(({ allowed }) => allowed))
  t.strictSame(
    reasons.map(({ reason }) => reason),
    [...Array<string>(5).fill('ALLOWED'), ...Array<string>(3).fill('SHADOW')],
  )
  t.match(bench.pass(1_000)[0]?.keys[0], { spent: 5, denied: 3 })
  const cut = rateOutcome({ rate: 0, per: 'second', mode: 'shadow' }, 'cut')
  t.match(bench.limiter.take(cut, acme, undefined), { allowed: true, reason: 'SHADOW' })
})

t.test('keyBy says what is counted apart', async t => {
  const { limiter } = started()
  const admitted = (limit: ReturnType<typeof outcome>, context: Context): number => {
    let count = 0
    while (count < 100 && limiter.take(limit, context, undefined).allowed) count++
    return count
  }
  const byTwo = outcome({ keyBy: ['/account/id', 'method'], burst: 3 })
  t.equal(admitted(byTwo, { account: { id: 17 }, method: 'GET' }), 3)
  t.equal(admitted(byTwo, { account: { id: '17' }, method: 'GET' }), 0, 'an integer is its decimal text')
  t.equal(admitted(byTwo, { account: { id: 17 }, method: 'POST' }), 3)
  t.equal(admitted(byTwo, { account: { id: '17|GET' } }), 3, 'joined without ambiguity')
  t.equal(admitted(byTwo, {}), 3)
  t.equal(admitted(byTwo, { method: true }), 0, 'all without a value share one')
  const forAll = rateOutcome({ rate: 40, per: 'second', keyBy: [], burst: 3 }, 'all')
  t.equal(admitted(forAll, acme), 3)
  t.equal(admitted(forAll, { targetingKey: 'other' }), 0)
})

t.test('costs may be fractions, and the ledger hears of whole tokens', async t => {
  const bench = started()
  const limit = outcome({ burst: 10 })
  for (let i = 0; i < 25; i++) bench.limiter.take(limit, acme, 0.1)
  const rows = bench.pass(3_000).flatMap(({ keys }) => keys)
  t.equal(
    rows.reduce((sum, { spent }) => sum + spent, 0),
    2,
  )
  for (let i = 0; i < 5; i++) bench.limiter.take(limit, acme, 0.1)
  t.equal(bench.pass(3_000).flatMap(({ keys }) => keys)[0]?.spent, 1)
})

t.test('concurrency is held per key, and released once', async t => {
  const { limiter } = started()
  const limit = outcome({ concurrency: 2 })
  const one = limiter.acquire(limit, acme)
  const two = limiter.acquire(limit, acme)
  t.match(
    [one, two],
    [
      { allowed: true, remaining: 1 },
      { allowed: true, remaining: 0 },
    ],
  )
  t.match(limiter.acquire(limit, acme), { allowed: false, reason: 'CONCURRENCY' })
  t.ok(limiter.acquire(limit, { targetingKey: 'other' }).allowed)
  one.release()
  one.release()
  t.ok(limiter.acquire(limit, acme).allowed)
  t.notOk(limiter.acquire(limit, acme).allowed)
})

t.test('idle keys are dropped, and a key is not given its seed more often than its rate allows', async t => {
  const bench = started(10)
  const limit = outcome({ burst: 10 })
  for (let i = 0; i < 1_000; i++) bench.limiter.take(limit, { targetingKey: `k${i}` }, undefined)
  t.equal(bench.limiter.size, 1_000)
  // Somebody else is busy meanwhile.
  for (let i = 0; i < 150; i++) {
    bench.limiter.take(limit, acme, undefined)
    bench.pass(1_000)
  }
  t.equal(bench.limiter.size, 1)
  const slow = rateOutcome({ rate: 5, per: 'hour' }, 'slow')
  t.ok(bench.limiter.take(slow, acme, undefined).allowed, 'a seed')
  for (let i = 0; i < 150; i++) {
    bench.limiter.take(limit, { targetingKey: 'b' }, undefined)
    bench.pass(1_000)
  }
  t.notOk(bench.limiter.take(slow, acme, undefined).allowed, 'no second one two minutes later')
})

t.test('counters are bounded: what rested goes first, and the rest share one', async t => {
  const bench = started(1, 100)
  const limit = outcome({ burst: 2 })
  for (let i = 0; i < 10_000; i++) bench.limiter.take(limit, { targetingKey: `k${i}` }, undefined)
  t.equal(bench.limiter.size, 101)
  t.notOk(bench.limiter.take(limit, { targetingKey: 'new' }, undefined).allowed, 'the rest has used what it had')
  const keys = bench.pass(5_000).flatMap(frame => frame.keys.map(({ key }) => key))
  t.ok(keys.includes(REST_KEY), 'and is reported as such')
  bench.pass(20_000)
  t.ok(bench.limiter.take(limit, { targetingKey: 'newer' }, undefined).allowed, 'takes the place of one that rested')
  t.equal(bench.limiter.size, 101)
})

t.test('frames stay within their limits, and every counter gets its turn', async t => {
  const bench = started()
  const limit = outcome()
  for (let i = 0; i < 3_000; i++) bench.limiter.take(limit, { targetingKey: `${'ü'.repeat(100)}${i}` }, undefined)
  const frames = bench.pass(5_000)
  for (const frame of frames) {
    t.ok(frame.keys.length <= LEASE_KEYS_MAX && Buffer.byteLength(JSON.stringify(frame)) <= UPSTREAM_BYTES_MAX)
    t.ok(leaseSchema.safeParse(frame).success)
  }
  t.equal(new Set(frames.flatMap(({ keys }) => keys.filter(({ spent }) => spent > 0).map(({ key }) => key))).size, 3_000)
})

t.test('a long key is cut, and two long keys stay two', async t => {
  const bench = started()
  const limit = outcome({ burst: 1 })
  for (const end of ['a', 'b']) t.ok(bench.limiter.take(limit, { targetingKey: 'x'.repeat(10_000) + end }, undefined).allowed)
  for (const { key } of bench.pass(2_000).flatMap(({ keys }) => keys)) t.ok(key === undefined || key.length <= LEASE_KEY_LENGTH_MAX)
})

t.test('whatever the wire brings, nothing throws and no tokens come of it', async t => {
  const bench = started()
  const limit = outcome({ burst: 1 })
  bench.limiter.take(limit, acme, undefined)
  const [frame] = bench.pass(LEASE_INTERVAL_MS)
  const slot = frame!.keys[0]!.slot
  const odd: unknown[] = [null, undefined, 0, -1, NaN, Infinity, 1.5, 1e300, '1', '', true, [], {}, { slot }, [slot], Symbol('x'), () => 1]
  for (const value of odd) {
    bench.limiter.granted(value, bench.now)
    bench.limiter.granted({ type: 'grant', instances: value, keys: value }, bench.now)
    bench.limiter.granted({ type: 'grant', instances: 1, keys: [value, { slot: value, tokens: 1, ttlMs: 1_000 }] }, bench.now)
    if (value !== 0 && value !== 1)
      bench.limiter.granted({ type: 'grant', instances: 1, keys: [{ slot, tokens: value, ttlMs: 1_000 }] }, bench.now)
    bench.limiter.granted({ type: 'grant', instances: 1, keys: [{ slot, tokens: 5, ttlMs: value }] }, bench.now - 1)
    bench.limiter.take(limit, value as Context, value as number)
    bench.pass(100)
  }
  const random = randomFrom(7)
  for (let i = 0; i < 2_000; i++) {
    const any = (): unknown => odd[Math.floor(random() * odd.length)]
    bench.limiter.granted({ instances: any(), keys: [{ slot: any(), tokens: any(), ttlMs: any(), gone: any() }] }, bench.now)
  }
  t.pass()
})

t.test('a clock that jumps or stands still neither throws nor makes tokens', async t => {
  const bench = started()
  const limit = outcome({ burst: 5 })
  for (let i = 0; i < 5; i++) bench.limiter.take(limit, acme, undefined)
  for (const jump of [0, -1e9, 1e9, -5, NaN]) {
    bench.limiter.tick(bench.now + jump)
    t.notOk(bench.limiter.take(limit, acme, undefined).allowed, String(jump))
  }
})

t.test('a slot that the server no longer knows is named again', async t => {
  const bench = started()
  const limit = outcome({ burst: 1 })
  bench.limiter.take(limit, acme, undefined)
  const { slot, ...first } = bench.pass(100)[0]!.keys[0]!
  t.match(first, { flag: 'api', variation: 'standard', key: 'acme' })
  bench.limiter.take(limit, acme, undefined)
  bench.limiter.granted({ type: 'grant', instances: 1, keys: [{ slot, tokens: 0, ttlMs: 0, gone: true }] }, bench.now)
  t.match(bench.pass(1_000)[0]?.keys[0], { slot, key: 'acme' })
})

t.test('whoever lost its link lives on its own share from then on, until a server lends again', async t => {
  const { limiter, pass } = started(4)
  const limit = outcome()
  const second = (): number => {
    let allowed = 0
    for (let i = 0; i < 20; i++) {
      pass(50)
      if (limiter.take(limit, acme, undefined).allowed) allowed++
    }
    return allowed
  }
  while (limiter.take(limit, acme, undefined).allowed);
  pass(100)
  limiter.disconnected(100)
  const apart = second()
  t.ok(apart >= 9 && apart <= 11, `a quarter of 40 a second at once, not after it has waited for an answer: ${apart}`)
  limiter.connected(1_100)
  limiter.granted({ type: 'grant', instances: 4, learning: true, keys: [] }, 1_100)
  const learning = second()
  t.ok(learning >= 9 && learning <= 11, `the same while a new server learns: ${learning}`)
  limiter.granted({ type: 'grant', instances: 4, keys: [] }, 2_100)
  const lent = second()
  t.ok(lent <= 1, `then it has what it is lent, here nothing: ${lent}`)
})

t.test('it sleeps when nobody asks, and says farewell with all that it holds', async t => {
  const bench = started()
  const limit = outcome({ burst: 1 })
  bench.limiter.take(limit, acme, undefined)
  const slot = bench.pass(100)[0]!.keys[0]!.slot
  bench.limiter.granted({ type: 'grant', instances: 1, keys: [{ slot, tokens: 7, ttlMs: LEASE_IDLE_MS }] }, bench.now)
  t.ok(bench.limiter.isAwake)
  bench.pass(4_000)
  t.notOk(bench.limiter.isAwake)
  t.match(bench.limiter.farewell(bench.now)?.keys[0], { slot, held: 0, returned: 7, want: 0 })
})
