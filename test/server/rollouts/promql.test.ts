import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { systemClock } from '../../../server/clock.ts'
import { openEgress } from '../../../server/egress/egress.ts'
import { measureThrough } from '../../../server/rollouts/promql.ts'
import { programTest, startPrometheus } from '../../prometheus.ts'
import type { Loose } from '../start.ts'
import { D, MINUTE_MS, type Scene, scene, shareOn } from './scene.ts'

const LOOPBACK = { config: { egressAllow: ['127.0.0.0/8'] } }
const ADDRESS = 'http://127.0.0.1:9'
const CALLS = 'sum(sluice_outcome_calls_total{flag="new-ledger",variation="on"})'
const ERRORS = 'sum(sluice_outcome_errors_total{flag="new-ledger",variation="on"})'

/** The guard that stands first, as the API shows it. */
async function guardOf({ server }: Scene): Promise<Loose> {
  return (await server.call('GET', `${D}/rollouts/new-ledger/evidence`)).body.guards[0]
}

/** Until the guard has been looked at so often. */
async function lookedAt(made: Scene, looks: number): Promise<Loose> {
  for (let i = 0; i < 1_000; i++) {
    const guard = await guardOf(made)
    if (guard.limit.looks >= looks) return guard
    await pause(50)
  }
  throw new Error(`it was not looked at ${looks} times`)
}

programTest(t, 'prometheus', 'hard limits ask a real Prometheus that scrapes this server', async (t, path) => {
  const made = await scene(t, LOOPBACK)
  const { server, make, act, report, clock, plan, flag, until, pass } = made
  const prometheus = await startPrometheus(t, path, server.data, server.url)
  const { url: address } = prometheus
  await prometheus.until('sluice_info', value => value === 1)
  const limit = (more: object): object => ({ type: 'promql', address, op: '>', intervalMs: 10_000, ...more })

  await t.test('one number is taken, and everything else is named in words', async t => {
    const measure = measureThrough(openEgress({ clock: systemClock, allow: ['127.0.0.0/8'] }))
    const ask = async (query: string, at = address): Promise<number | null> =>
      measure({ type: 'promql', id: 'g', role: 'guardrail', address: at, query, op: '>', threshold: 1 })
    for (const [query, value] of [
      ['scalar(sluice_info) + 1.5', 2.5],
      ['sluice_info', 1],
      ['vector(7)', 7],
      ['vector(0) / 0', NaN],
      ['vector(1) / 0', Number.MAX_VALUE],
      ['vector(-1) / 0', -Number.MAX_VALUE],
      ['nobody_exports_this', null],
      [`sluice_info${' + sluice_info * 0'.repeat(150)}`, 1],
    ] as const)
      t.same(await ask(query), value, query.slice(0, 40))
    for (const [query, message] of [
      [`label_replace({job="sluice"}, "copy", "${'x'.repeat(900)}", "", "")`, /is longer than 64 KiB.*one number/],
      ['{__name__=~"sluice_flags|sluice_revision"}', /gives \d+ series.*sum/],
      ['sluice_info[1m]', /gives a matrix/],
      ['"text"', /gives a string/],
      ['sum(', /refuses the query \(bad_data\): .*parse error/],
    ] as const)
      await t.rejects(ask(query), { message }, query.slice(0, 40))
    await t.rejects(ask('vector(1)', server.url), { message: /status 404\) is no Prometheus/ })
    await t.rejects(ask('vector(1)', `${address}/graph`), { message: /is no Prometheus/ })
    await t.rejects(ask('vector(1)', ADDRESS), { message: /^http:\/\/127\.0\.0\.1:9 cannot be connected to/ })
  })

  await t.test('no data holds a plan when its step is over, and it goes on by itself when there is data', async t => {
    await make({ steps: [{ percent: 10, holdMs: MINUTE_MS }, { percent: 100 }], guards: [limit({ query: CALLS, threshold: 1e6 })] })
    t.match(await lookedAt(made, 1), {
      state: 'blind',
      text: 'promql: The source has no data.',
      limit: { value: null, verdict: 'holding' },
    })
    clock.advance(MINUTE_MS)
    await until(() => plan().state === 'held')
    t.match(plan().held, { cause: 'no-data', text: 'promql: The source has no data.' })
    report('on', 100, 1)
    await prometheus.until(CALLS, calls => calls === 100)
    clock.advance(10_000)
    await until(() => plan().state === 'running')
    t.equal(plan().step, 0, 'from the beginning of the step')
    // A look that is missing is not taken for a good one.
    await lookedAt(made, 1)
    clock.advance(MINUTE_MS)
    await until(() => plan().state === 'completed')
  })

  await t.test('what is beyond the limit turns a plan back once more than is borne was seen', async t => {
    await server.call('PATCH', `${D}/flags/new-ledger`, { fallthrough: { variation: 'off' } })
    const query = `${ERRORS} / ${CALLS}`
    await make({
      steps: [{ percent: 10, holdMs: 10 * MINUTE_MS }, { percent: 100 }],
      guards: [limit({ id: 'errors', query, threshold: 0.05, failureLimit: 1, initialDelayMs: 20_000 })],
    })
    await pass(20_000 - 1)
    t.match(
      await guardOf(made),
      { state: 'watching', limit: { at: null, looks: 0, verdict: 'waiting' } },
      'nothing is asked before its delay',
    )
    await pass(1)
    t.match(await lookedAt(made, 1), {
      state: 'watching',
      text: 'errors: It is 0.01; > 0.05 would be harm.',
      limit: { value: 0.01, op: '>', threshold: 0.05, verdict: 'passing', failures: 0, problem: null },
    })
    report('on', 100, 39)
    await prometheus.until(query, share => share === 0.2)
    clock.advance(10_000)
    t.match(await lookedAt(made, 2), { state: 'watching', limit: { value: 0.2, failures: 1, verdict: 'holding' } }, 'borne once')
    t.equal(plan().state, 'running')
    const at = new Date(clock.now() + 10_000).toISOString()
    clock.advance(10_000)
    await until(() => plan().state === 'reverting' || plan().state === 'reverted')
    t.match(plan().reverted, {
      at,
      guard: 'errors',
      text: 'errors: 2 of 3 looks were > 0.05; 1 are borne.',
      numbers: { value: 0.2, threshold: 0.05, looks: 3, failures: 2 },
    })
    t.equal(shareOn(flag()), 0)
    await until(() => plan().state === 'reverted')
    t.match(await guardOf(made), { state: 'fired', limit: { value: 0.2, at, verdict: 'failed' } }, 'it stays in the evidence')
    await act('clear')
  })

  await t.test('a Prometheus that is gone is borne so often, then it holds, as a signal does', async t => {
    const query = `${ERRORS} / ${CALLS}`
    await make({
      steps: [{ percent: 10, holdMs: MINUTE_MS }, { percent: 100 }],
      guards: [
        limit({ query, threshold: 0.5, consecutiveErrorLimit: 1 }),
        limit({ id: 'says', query, threshold: 0.1, role: 'signal', dryRun: true }),
      ],
    })
    await lookedAt(made, 1)
    await prometheus.stop()
    clock.advance(10_000)
    t.match(await lookedAt(made, 2), {
      state: 'watching',
      text: 'promql: It is 0.2; > 0.5 would be harm.',
      limit: { value: 0.2, problem: /cannot be connected to/ },
    })
    clock.advance(10_000)
    t.match(await lookedAt(made, 3), { state: 'blind', text: /^promql: 2 looks in a row went wrong: http.*cannot be connected to/ })
    clock.advance(MINUTE_MS)
    await until(() => plan().state === 'held')
    t.match(plan().held, { cause: 'no-data', text: /went wrong/ }, 'and what only says so held nothing')
  })
})

t.test('an address that must not be asked is refused with its place and the cure when the plan is written', async t => {
  const { make, plan } = await scene(t)
  const guard = (address: string): object => ({ type: 'promql', address, query: 'up', op: '<', threshold: 1 })
  const refused = await make({
    steps: [{ percent: 10, guards: [guard('http://127.0.0.1:9090/prometheus')] }, { percent: 100 }],
    guards: [{ type: 'errorShare' }, guard('http://10.1.2.3'), guard('https://93.184.216.34/?x=1')],
  })
  t.equal(refused.status, 422)
  const cure =
    'has an address that is not public. If it is meant to be reached, let whoever runs the server add it to SLUICE_EGRESS_ALLOW, as in'
  t.same(refused.body.details, [
    { path: 'guards[1].address', code: 'egress_refused', message: `is "http://10.1.2.3", which ${cure} SLUICE_EGRESS_ALLOW=10.1.2.3:80.` },
    {
      path: 'guards[2].address',
      code: 'invalid',
      message: 'is "https://93.184.216.34/?x=1". Leave out what follows "?" or "#": the query has a field of its own.',
    },
    {
      path: 'steps[0].guards[0].address',
      code: 'egress_refused',
      message: `is "http://127.0.0.1:9090/prometheus", which ${cure} SLUICE_EGRESS_ALLOW=127.0.0.1:9090.`,
    },
  ])
  t.match(refused.body, {
    code: 'INVALID_PLAN',
    message: /guards\[1\]\.address is "http:\/\/10\.1\.2\.3", which .* SLUICE_EGRESS_ALLOW=10\.1\.2\.3:80/,
  })
  t.equal(plan(), undefined)
})
