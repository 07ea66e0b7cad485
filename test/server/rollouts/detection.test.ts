/** What a step can find out, and plain limits. */
import t from 'tap'
import { badNeeded, badNeededToClear, msToClear, msToDetect, smallestHarm } from '../../../server/rollouts/statistics/detection.ts'
import { beginLimit, limitVerdict, looked, nextLook } from '../../../server/rollouts/statistics/hardlimit.ts'
import type { HardLimit, Look } from '../../../server/rollouts/statistics/types.ts'

t.test('the failures and the time that harm takes are those of the formula', async t => {
  for (const [share, risk, failures] of [
    [0.1, 2, 210],
    [0.1, 5, 27],
    [0.01, 2, 1_690],
    [0.01, 5, 170],
  ] as const)
    t.ok(Math.abs(badNeeded(share, risk, 0.01) / failures - 1) < 0.1, `${share}, × ${risk}: ${badNeeded(share, risk, 0.01)}`)
  t.ok(Math.abs(badNeededToClear(0.1, 1.5, 0.01) / 560 - 1) < 0.1)
  const traffic = { perSecond: 100, share: 0.1, baseRate: 0.01 }
  const smallest = smallestHarm(traffic, 160_000, 0.01)!
  t.ok(smallest > 1.7 && smallest < 2.3, `within 160 s harm of ${smallest} times`)
  t.ok(Math.abs(msToDetect(traffic, smallest, 0.01) - 160_000) < 1)
  t.equal(smallestHarm(traffic, 1, 0.01), null)
  t.equal(msToClear({ ...traffic, baseRate: 0 }, 1.5, 0.05), Infinity)
})

t.test('a limit bears what it is told to, and neither silence nor a broken source is health', async t => {
  const limit: HardLimit = { op: '>', threshold: 5, failureLimit: 1, consecutiveErrorLimit: 1, initialDelayMs: 100, intervalMs: 50 }
  const value = (number: number): Look => ({ kind: 'value', value: number })
  const error: Look = { kind: 'error', message: 'timeout' }
  const after = (looks: readonly Look[], more: Partial<HardLimit> = {}): string =>
    limitVerdict(
      { ...limit, ...more },
      looks.reduce((state, look) => looked({ ...limit, ...more }, state, look, 0), beginLimit(0)),
    ).kind
  t.equal(nextLook(limit, beginLimit(1_000)), 1_100)
  t.equal(nextLook(limit, looked(limit, beginLimit(1_000), value(1), 1_200)), 1_250)
  for (const [looks, kind, more] of [
    [[], 'waiting', {}],
    [[value(5)], 'passing', {}],
    [[value(6)], 'holding', {}],
    [[value(6), value(5)], 'passing', {}],
    [[value(6), value(5), value(7), value(1)], 'failed', {}],
    [[value(NaN)], 'holding', {}],
    [[{ kind: 'no-data' }], 'passing', { onNoData: 'pass' }],
    [[error], 'waiting', {}],
    [[value(5), error], 'passing', {}],
    [[value(5), error, error], 'holding', {}],
    [[value(5), error, error, value(5)], 'passing', {}],
    [[value(5)], 'holding', { op: '>=' }],
  ] as const)
    t.equal(after(looks, more), kind, JSON.stringify([looks, more]))
})
