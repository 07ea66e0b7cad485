/** What `headers` says, read by a parser of structured fields that is not ours. */
import { type BareItem, type Item, parseList } from 'structured-headers'
import t from 'tap'
import type { Outcome } from '../../../sdk/evaluator/evaluation.ts'
import { rateOf } from '../../../sdk/evaluator/rate.ts'
import { Decision } from '../../../sdk/limiter/decision.ts'
import { Limiter } from '../../../sdk/limiter/limiter.ts'
import type { LimitReason } from '../../../sdk/types.ts'

/** A field of one item, a string, with its parameters. */
function itemOf(field = ''): Record<string, BareItem> {
  const list = parseList(field)
  t.equal(list.length, 1, field)
  const [name, parameters] = list[0] as Item
  return { name, ...Object.fromEntries(parameters) }
}

function headersOf(value: object, reason: LimitReason, remaining: number, retryAfterMs: number, flag = 'api-requests') {
  const allowed = reason === 'ALLOWED' || reason === 'UNLIMITED' || reason === 'SHADOW'
  return new Decision(allowed, reason, remaining, retryAfterMs, flag, 'on', rateOf(value)).headers
}

t.test('headers are structured fields of the draft: a string with q, w and qu, and with r and t', async t => {
  const rows = [
    [
      { rate: 10, per: 'second' },
      { q: 10, w: 1 },
    ],
    [
      { rate: 0.5, per: 'second' },
      { q: 1, w: 2 },
    ],
    [
      { rate: 2.5, per: 'minute' },
      { q: 5, w: 120 },
    ],
    [
      { rate: 0.1, per: 'second' },
      { q: 1, w: 10 },
    ],
    [
      { rate: 0.333, per: 'second' },
      { q: 333, w: 1_000 },
    ],
    [
      { rate: 1e-9, per: 'day' },
      { q: 1, w: 86_400_000 },
    ],
    [
      { rate: 1e9, per: 'day' },
      { q: 1e9, w: 86_400 },
    ],
    [
      { rate: 0, per: 'hour' },
      { q: 0, w: 3_600 },
    ],
    [
      { rate: 5, per: 'second', unit: 'request' },
      { q: 5, w: 1 },
    ],
    [
      { rate: 1e6, per: 'second', unit: 'content-bytes' },
      { q: 1e6, w: 1, qu: 'content-bytes' },
    ],
    [
      { rate: 5, per: 'second', unit: 'rows "\\ and é' },
      { q: 5, w: 1, qu: 'rows "\\ and ?' },
    ],
  ] as const
  for (const [value, expected] of rows) {
    const allowed = headersOf(value, 'ALLOWED', 3.7, 0)
    t.strictSame(itemOf(allowed['RateLimit-Policy']), { name: 'api-requests', ...expected })
    t.strictSame(itemOf(allowed.RateLimit), { name: 'api-requests', r: 3 }, 'whole units alone')
    t.notOk('Retry-After' in allowed)
  }
})

t.test('what is denied says when to come again, alike in both fields', async t => {
  for (const [ms, seconds] of [
    [1, 1],
    [1_000, 1],
    [1_001, 2],
    [3_600_000, 3_600],
    [1e300, 999_999_999_999_999],
  ] as const) {
    const denied = headersOf({ rate: 10, per: 'second' }, 'LIMITED', 0.4, ms)
    t.strictSame(itemOf(denied.RateLimit), { name: 'api-requests', r: 0, t: seconds })
    t.equal(denied['Retry-After'], String(seconds))
  }
  const cut = headersOf({ rate: 0, per: 'second' }, 'CUT', 0, Infinity)
  t.strictSame(itemOf(cut.RateLimit), { name: 'api-requests', r: 0 })
  t.notOk('Retry-After' in cut, 'nobody knows when')
})

t.test('without a limit, and in shadow mode, the headers say nothing', async t => {
  t.strictSame(headersOf({ unlimited: true }, 'UNLIMITED', Infinity, 0), {})
  t.strictSame(headersOf({ rate: 1, per: 'second', mode: 'shadow' }, 'SHADOW', 0, 0), {})
  t.strictSame(headersOf({ nonsense: 1 }, 'ERROR', Infinity, 0), {})
})

t.test('places at once are a quota of their own', async t => {
  const limiter = new Limiter({ monotonic: () => 0, wake: () => undefined })
  const acquire = (variation: string, value: object) => {
    const outcome = { flag: 'exports', value, evaluation: { variation, reason: 'FALLTHROUGH' } }
    return limiter.acquire(outcome as unknown as Outcome, {}).headers
  }
  const two = { rate: 10, per: 'second', concurrency: 2 }
  t.strictSame(itemOf(acquire('two', two)['RateLimit-Policy']), { name: 'exports/concurrency', q: 2, qu: 'concurrent-requests' })
  t.strictSame(itemOf(acquire('two', two).RateLimit), { name: 'exports/concurrency', r: 0 })
  const denied = acquire('two', two)
  t.strictSame(itemOf(denied.RateLimit), { name: 'exports/concurrency', r: 0, t: 1 })
  t.equal(denied['Retry-After'], '1')
  t.strictSame(acquire('any', { rate: 1, per: 'second' }), {}, 'any number')
})
