import { once } from 'node:events'
import t from 'tap'
import { parseGuard, parseSteps } from '../../cli/plan.ts'
import { begin, startCli } from './run.ts'

t.test('steps are read as people write them', async t => {
  t.same(parseSteps('1%:5m, 5:10m:500x,25%:1h:approval,shadow@5%:evidence,100%'), [
    { percent: 1, holdMs: 300_000 },
    { percent: 5, holdMs: 600_000, minExposures: 500 },
    { percent: 25, holdMs: 3_600_000, gate: 'approval' },
    { percent: 5, variation: 'shadow', gate: 'evidence' },
    { percent: 100 },
  ])
  for (const text of ['', '5%:later', 'x%', '5%:5', '5%,,10%', '1.2345%']) t.throws(() => parseSteps(text), { code: 'USAGE' }, text)
})

t.test('guards are read as people write them', async t => {
  const address = 'http://prometheus.internal:9090'
  const limit = { type: 'promql', role: 'signal', address }
  for (const [text, guard] of [
    ['errorShare', { type: 'errorShare', role: 'signal' }],
    ['mismatch=0.01', { type: 'mismatch', role: 'signal', maxShare: 0.01 }],
    ['valve=vendor', { type: 'valve', role: 'signal', flag: 'vendor' }],
    ['alert=critical', { type: 'alert', role: 'signal', severity: 'critical' }],
    ['promql=max(queue) > 1000', { ...limit, query: 'max(queue)', op: '>', threshold: 1_000 }],
    ['promql=up{job="a"}<1', { ...limit, query: 'up{job="a"}', op: '<', threshold: 1 }],
    ['promql=sum(a > 1) / sum(b{c!=""}) >= -2.5e-3', { ...limit, query: 'sum(a > 1) / sum(b{c!=""})', op: '>=', threshold: -0.0025 }],
  ] as const)
    t.same(parseGuard(text, 'signal', address), guard, text)
  for (const text of ['', 'errors', 'valve', 'alert=loud', 'mismatch=x', 'promql=up', 'promql=up > high'])
    t.throws(() => parseGuard(text, 'signal', address), { code: 'USAGE' }, text)
  t.throws(() => parseGuard('promql=up < 1', 'signal', undefined), { code: 'USAGE' }, 'nobody to ask')
})

t.test('sluice rollout starts, shows and turns back a plan; sluice schedule has a change made and takes it back', async t => {
  const { server, sluice, done } = await begin(t)
  await done(['flag', 'create', 'new-ledger'])
  const where = ['new-ledger', '-e', 'production']
  const started = await done([
    'rollout',
    'start',
    ...where,
    '--steps',
    '1%:5m,100%',
    '--guard',
    'errorShare',
    '--bake',
    '1h',
    '-m',
    'ledger 2',
  ])
  t.match(started.stdout, /^STARTED the rollout of new-ledger in production\n/)
  t.match(started.stdout, /steps +on 1 % for 5 min → on 100 % for 1 h\n/)
  t.match(started.stdout, /now +step 1 of 2: on 1 %, the rest off/)
  t.match(started.stdout, /then +in 5 min: then 100 % of on/)
  t.match(started.stdout, /\nsluice rollout revert new-ledger -e production\n$/)
  t.match((await done(['status'])).stdout, /rollout +new-ledger in default\/production is running, step 1 of 2/)
  t.match((await done(['rollout', 'show', ...where])).stdout, /▶ on 1 % for 5 min/)
  const reverted = await done(['rollout', 'revert', ...where, '-m', 'double entries', '--json'])
  t.match(reverted.json(), { plan: { reverted: { text: /double entries/ } }, flag: { enabled: false } })
  t.equal((await sluice(['rollout', 'resume', ...where])).code, 1)
  t.match(
    (await done(['rollout', 'clear', ...where])).stdout,
    /serves +off: the flag is off\n[^]*next .*: sluice rollout resume new-ledger -e production\n/,
  )

  const added = await done(['schedule', 'add', ...where, '--on', '--at', '2h', '-m', 'launch', '--json'])
  t.match((await done(['schedule', 'list', '-e', 'production'])).stdout, /new-ledger +.*switches it on +.*launch/)
  await done(['schedule', 'remove', added.json().schedule.key, '-e', 'production'])
  t.equal(server.services.log.state('default/production').documents.schedule.size, 0)
})

t.test('sluice rollout watch tells each change until the rollout ends, and its exit code says how', async t => {
  const { server, home, sluice, done } = await begin(t)
  const rollout = '/api/v1/projects/default/environments/production/rollouts/new-ledger'
  await done(['flag', 'create', 'new-ledger'])
  await server.call('POST', rollout, { steps: [{ percent: 5, holdMs: 3_600_000 }, { percent: 100 }], guards: [{ type: 'errorShare' }] })
  const words = ['rollout', 'watch', 'new-ledger', '-e', 'production', '--interval', '250ms']
  const follow = (more: readonly string[]) => {
    const child = startCli(t, home, [...words, ...more], { url: server.url })
    let told = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (told += text))
    const ended = once(child, 'close')
    return {
      ended,
      told: () => told,
      async until(is: RegExp): Promise<void> {
        while (!is.test(told))
          await Promise.race([once(child.stdout!, 'data'), ended.then(() => Promise.reject(new Error(`it ended: ${told}`)))])
      },
    }
  }
  const [lines, records] = [follow([]), follow(['--json'])]
  await Promise.all([
    lines.until(/ {2}new-ledger running, step 1 of 2, 5 % of on; next in \S+ \w+: then 100 % of on\n/),
    records.until(/\n/),
  ])
  await server.call('POST', `${rollout}/hold`, { comment: 'looking\u001b[2Jat it' })
  await Promise.all([lines.until(/ {2}new-ledger held, .*looking\\u001b\[2Jat it/), records.until(/"state":"held"/)])
  await server.restart()
  await server.call('POST', `${rollout}/revert`, { comment: 'double entries' })
  t.same(await lines.ended, [5, null])
  t.same(await records.ended, [5, null])
  t.match(lines.told(), / {2}new-ledger reverted, .*: by .*double entries.*\n$/)
  const told = records
    .told()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string; plan: { state: string }; guards: unknown[] })
  t.match(told[0], { type: 'rollout', plan: { state: 'running' }, guards: [{ id: 'errorShare', state: 'watching' }] })
  t.match(told.at(-1), { plan: { state: 'reverted' } })

  await server.call('POST', `${rollout}/clear`, {})
  await server.call('POST', rollout, { steps: [{ percent: 100 }] })
  t.match((await done(words)).stdout, / {2}new-ledger completed, .*\n$/)
  t.match(await sluice(['rollout', 'watch', 'nothing', '-e', 'production', '--json']), { code: 1, stdout: '', stderr: /FLAG_NOT_FOUND/ })
})
