/** How flags are used, as the command line says it. */
import t from 'tap'
import { agoText, barsText, evaluatedText, problemText, seenText } from '../../cli/usage.ts'
import type { EvaluationSeries, Problem, Usage } from '../../schemas/usage.ts'
import { begin } from './run.ts'

const NOW = Date.parse('2026-11-21T12:00:00.000Z')
const ago = (minutes: number): string => new Date(NOW - minutes * 60_000).toISOString()

const usage = (more: Partial<Usage> = {}): Usage => ({
  lastHour: 12_031,
  lastDay: 280_113,
  firstSeen: '2026-03-02T09:14:40.000Z',
  lastSeen: ago(5),
  services: [
    { service: 'shop', lastSeen: ago(5) },
    { service: '', lastSeen: ago(180) },
  ],
  variations: { off: 70_028, on: 210_084 },
  errors: {},
  unbucketed: 0,
  ...more,
})

t.test('the use of a flag in words', async t => {
  t.equal(evaluatedText(usage()), '12,031 in the last hour, 280,113 in the last day (on 75 %, off 25 %)')
  t.equal(
    evaluatedText(usage({ lastHour: 0, lastDay: 1_000, variations: { on: 999 }, errors: { TYPE_MISMATCH: 1 }, unbucketed: 2 })),
    '0 in the last hour, 1,000 in the last day (on > 99 %; 1 got the default in the code; 2 had nothing to bucket by)',
  )
  t.match(evaluatedText(usage({ lastDay: 100_000, variations: { on: 99_999, off: 1 } })), /on > 99 %, off < 1 %/)
  t.equal(evaluatedText(usage({ lastDay: null, variations: {} })), '12,031 in the last hour; the history cannot be read now')
  t.equal(evaluatedText(usage({ lastSeen: null })), 'never')
  t.equal(seenText(usage(), NOW), 'first 2026-03-02 09:14:40Z, last 5 min ago; by shop, a service without a name (3 h ago)')
  t.equal(agoText(ago(-3), NOW), '0 ms ago', 'a clock that is behind says nothing of the future')
})

t.test('a line of bars, where the highest is the most', async t => {
  const series = (...counts: number[]): EvaluationSeries => ({
    variation: 'on',
    reason: 'OFF',
    error: null,
    unbucketed: false,
    total: 1,
    counts,
  })
  t.equal(barsText([series(0, 1, 40, 80), series(0, 0, 0, 80)]), '·▁▃█')
  t.equal(barsText([]), '')
  t.equal(barsText([series(0, 0)]), '')
})

t.test('a problem in words, with the service', async t => {
  const problem: Problem = {
    ...{ code: 'TYPE_MISMATCH', subject: 'checkout', detail: 'string', service: 'billing', instance: 'b-1', sdk: 'node/0.1' },
    ...{ count: 31, firstSeen: ago(60), lastSeen: ago(5) },
  }
  t.equal(problemText(problem, NOW), 'asked for as string 31 times by billing, last 5 min ago: that gives the default in the code')
  t.match(
    problemText({ ...problem, code: 'UNKNOWN_OPERATOR', detail: 'nearMoon' }, NOW),
    /operator nearMoon is unknown to billing \(node\/0.1\)/,
  )
  t.match(problemText({ ...problem, code: 'MALFORMED_FLAG', count: 1 }, NOW), /MALFORMED_FLAG 1 time at billing/)
})

t.test('flags that nobody uses, what is asked for in vain, and how a flag is used', async t => {
  const { server, sluice, done } = await begin(t)
  for (const key of ['checkout', 'old-cart']) await server.call('POST', '/api/v1/projects/default/flags', { key, kind: 'release' })
  t.match((await done(['telemetry', '-e', 'development'])).stdout, /No application in development has asked for anything in vain/)
  const by = { service: 'billing', instance: 'billing-7', sdk: 'node/0.1' }
  const error = { variation: null, reason: 'ERROR', count: 4 }
  const counts = [
    { flag: 'checkout', variation: 'on', reason: 'FALLTHROUGH', count: 12 },
    { flag: 'chekout', ...error, error: 'FLAG_NOT_FOUND' },
    { flag: 'checkout', ...error, error: 'TYPE_MISMATCH', asked: 'string' },
  ]
  const unknownOperators = [{ op: 'nearMoon', where: 'flag checkout' }]
  server.services.usage.add('default/development', { counts, dropped: 3, unknownOperators }, by)

  const found = (await done(['telemetry', '-e', 'development'])).stdout
  t.match(found, /^chekout +4 +billing +billing-7 +\S+ m?s ago +checkout$/m)
  t.match(found, /^checkout +string +boolean +4 +billing/m)
  t.match(found, /^nearMoon +flag checkout +node\/0\.1 +billing/m)
  t.match(found, /20 evaluations counted in development since .*; dropped 3 by SDKs and 0 here\./)
  t.match((await done(['telemetry', '-e', 'development', '--json'])).json(), { unknownFlags: [{ subject: 'chekout', meant: 'checkout' }] })

  const shown = (await done(['flag', 'show', 'checkout', '-e', 'development'])).stdout
  t.match(shown, /evaluated +16 in the last hour, 16 in the last day \(on 75 %; 4 got the default in the code\)/)
  t.match(shown, /problem +the operator nearMoon is unknown to billing/)
  t.match((await done(['flag', 'show', 'checkout', '-e', 'development', '--json'])).json(), { key: 'checkout', usage: { lastDay: 16 } })
  t.notMatch((await done(['flag', 'show', 'checkout', '-e', 'development', '--yaml'])).stdout, /usage|evaluated/)

  const unused = (await done(['flags', '-e', 'development', '--unused', '30d'])).stdout
  t.match(unused, /^old-cart .* never +0$/m)
  t.match(unused, /1 flag in development that nobody evaluated for 30 days; evaluations are counted since 20/)
  t.equal((await sluice(['flags', '--unused', '30d'])).code, 2, 'which environment?')

  const killed = (await done(['kill', 'checkout', '-e', 'development', '-m', 'smoke', '--dry-run'])).stdout
  t.match(killed, /asked +in the last hour checkout 16 times/)
  const refused = await sluice(['flag', 'archive', 'checkout', '-e', 'development'])
  t.equal(refused.code, 1)
  t.match(refused.stderr, /by billing: 16 times in the last day\.[^]*--force archives it all the same/)
})
