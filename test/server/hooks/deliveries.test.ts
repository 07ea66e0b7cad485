/** What becomes of deliveries that are forged, replayed, late or altered, of storms, and of what the server cannot keep. */
import { createHmac } from 'node:crypto'
import { connect } from 'node:net'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { Alert } from '../../../schemas/alert.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { type Loose, startServer, type StartOptions, type TestServer } from '../start.ts'
import { deliver, type Fixture, fixtures, HOOKS, makeHook, outside } from './fixtures.ts'

const SECRET = 'a-secret-of-the-tests-0123456789'

interface Scene {
  readonly server: TestServer
  readonly clock: ManualClock
  /** What was told. */
  readonly told: Alert[]
}

async function scene(t: Test, options: StartOptions = {}): Promise<Scene> {
  const clock = manualClock()
  const told: Alert[] = []
  const server = await startServer(t, {
    clock,
    config: { apiLimit: 'off' },
    extend: (_app, { alerts }) => void alerts.subscribe(({ alert }) => void told.push(alert)),
    ...options,
  })
  return { server, clock, told }
}

async function deliveriesOf(server: TestServer, hook: string): Promise<Loose[]> {
  return (await server.call('GET', `${HOOKS}/${hook}/deliveries?limit=200`)).body.deliveries
}

async function alertsOf(server: TestServer): Promise<Loose[]> {
  return (await server.call('GET', `${HOOKS.replace('/hooks', '/alerts')}?limit=200`)).body.alerts
}

async function until(t: Test, isSo: () => boolean): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    if (i > 200_000) return void t.fail('it does not come to be so')
    await new Promise(setImmediate)
  }
}

t.test('a forged, replayed, late or altered delivery changes nothing and is visible', async t => {
  const { server, clock, told } = await scene(t)
  const path = await makeHook(server, { key: 'grafana', hook: { source: 'grafana' }, secret: SECRET } as unknown as Fixture)
  const body = (status: string, startsAt: string): string =>
    JSON.stringify({
      status,
      alerts: [{ status, fingerprint: 'f1', labels: { alertname: 'A' }, startsAt, endsAt: new Date(clock.now()).toISOString() }],
    })
  const signed = (text: string, atMs: number, secret = SECRET) => {
    const timestamp = String(Math.floor(atMs / 1_000))
    const signature = createHmac('sha256', secret).update(`${timestamp}:${text}`).digest('hex')
    return { body: text, headers: { 'x-grafana-alerting-timestamp': timestamp, 'x-grafana-alerting-signature': signature } }
  }
  const began = '2026-11-21T02:59:00Z'
  const genuine = signed(body('firing', began), clock.now())
  const taken = await deliver(server, path, genuine)
  t.match(taken, { status: 200, body: { verdict: 'accepted', new: 1 } })

  const refused: readonly [what: string, delivery: Pick<Fixture, 'body' | 'headers'>, status: number, verdict: string][] = [
    ['a secret that is not ours', signed(body('resolved', began), clock.now(), 'another-secret'), 401, 'bad-signature'],
    ['an altered body', { ...signed(body('firing', began), clock.now()), body: body('resolved', began) }, 401, 'bad-signature'],
    [
      'another moment than the one signed',
      { ...genuine, headers: { ...genuine.headers, 'x-grafana-alerting-timestamp': String(Math.floor(clock.now() / 1_000) + 1) } },
      401,
      'bad-signature',
    ],
    ['no signature', { ...genuine, headers: {} }, 401, 'bad-signature'],
    ['from six minutes ago', signed(body('resolved', began), clock.now() - 360_000), 401, 'stale'],
    ['from in six minutes', signed(body('resolved', began), clock.now() + 360_000), 401, 'stale'],
    ['the same again', genuine, 200, 'duplicate'],
    ['genuine, and no JSON', signed('{"alerts":', clock.now()), 400, 'malformed'],
    ['genuine, and no alert', signed('{"alerts":[]}', clock.now()), 400, 'malformed'],
  ]
  for (const [what, delivery, status] of refused) t.equal((await deliver(server, path, delivery)).status, status, what)

  clock.advance(60_000)
  t.match(await deliver(server, path, signed(body('resolved', began), clock.now())), { body: { verdict: 'accepted', new: 1 } })
  clock.advance(1_000)
  t.match(await deliver(server, path, signed(body('firing', '2026-11-21T02:59:30Z'), clock.now())), { body: { verdict: 'late', new: 0 } })
  t.match(
    await deliver(server, path, genuine),
    { status: 200, body: { verdict: 'duplicate' } },
    'the first one, replayed within its window',
  )
  clock.advance(10 * 60_000)
  t.equal((await deliver(server, path, genuine)).status, 401, 'and after it')

  const seen = await deliveriesOf(server, 'grafana')
  t.same(seen.map(delivery => delivery.verdict).reverse(), [
    'accepted',
    ...refused.map(row => row[3]),
    'accepted',
    'late',
    'duplicate',
    'stale',
  ])
  t.ok(seen.every(delivery => delivery.remote === '127.0.0.1' && delivery.bytes >= 0))
  await until(t, () => told.length === 2)
  t.same(
    told.map(alert => alert.status),
    ['firing', 'resolved'],
    'nothing else was told',
  )
  t.equal((await alertsOf(server)).length, 2)
  t.same(server.services.alerts.firing('default/development'), [])
  t.match(
    (await server.call('GET', '/metrics')).body,
    /sluice_hook_deliveries_total\{project="default",environment="development",hook="grafana",verdict="bad-signature"\} 4\n/,
  )
})

t.test('a header that stands twice proves nothing', async t => {
  const { server } = await scene(t)
  const path = await makeHook(server, { key: 'am', hook: { source: 'generic' }, secret: SECRET } as unknown as Fixture)
  const { port } = new URL(server.url)
  const socket = connect(Number(port), '127.0.0.1')
  const body = '{"status":"firing","title":"x"}'
  socket.end(
    `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${SECRET}\r\nauthorization: Bearer ${SECRET}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
  let answer = ''
  socket.on('data', (piece: Buffer) => (answer += piece.toString()))
  await once(socket, 'close')
  t.match(answer, /^HTTP\/1\.1 401 /)
  t.match(await deliveriesOf(server, 'am'), [{ verdict: 'bad-signature', reason: 'the header Authorization stands 2 times' }])
})

t.test('a storm of a thousand alerts within a minute is taken, and each is told once', async t => {
  const { server, told } = await scene(t)
  const path = await makeHook(server, { key: 'storm', hook: { source: 'generic' }, secret: SECRET } as unknown as Fixture)
  const headers = { authorization: `Bearer ${SECRET}` }
  const send = (i: number) =>
    deliver(server, path, { body: JSON.stringify({ dedupKey: `k${i}`, status: 'firing', title: 'storm' }), headers })
  for (let i = 0; i < 1_000; i += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, j) => send(i + j)))
    t.ok(answers.every(answer => answer.status === 200))
  }
  // A thousand at once and 50 a second after that: the clock stands still, so the next one is too many.
  const over = await send(1_000)
  t.match(over, { status: 429, body: { code: 'TOO_MANY_REQUESTS' } })
  t.equal(over.headers.get('retry-after'), '1')
  await until(t, () => told.length === 1_000)
  t.equal(new Set(told.map(alert => alert.dedupKey)).size, 1_000)
  t.equal(server.services.alerts.firing('default/development').length, 1_000)
  await server.restart()
  t.equal(server.services.alerts.firing('default/development').length, 1_000, 'and what fires is known after a restart')
  t.equal(told.length, 1_000, 'nothing is told twice')
  const kept = await deliveriesOf(server, 'storm')
  t.ok(kept.length > 100 && kept.length <= 141, `of the deliveries the newest are kept: ${kept.length}`)
  t.equal(kept[0].verdict, 'over-limit')
})

t.test('whoever is refused fills no disk and pushes no genuine delivery out', async t => {
  const { server, clock } = await scene(t)
  const path = await makeHook(server, { key: 'hook', hook: { source: 'generic' }, secret: SECRET } as unknown as Fixture)
  t.equal(
    (await deliver(server, path, { body: '{"status":"firing","title":"x"}', headers: { authorization: `Bearer ${SECRET}` } })).status,
    200,
  )
  for (let i = 0; i < 100; i++) await deliver(server, path, { body: 'x'.repeat(10_000), headers: {} })
  const first = await deliveriesOf(server, 'hook')
  t.equal(first.length, 21, 'a burst of twenty is kept, and the genuine one')
  t.ok(first.every(delivery => delivery.payload.length <= 2_100))
  clock.advance(10_000)
  await deliver(server, path, { body: 'x', headers: {} })
  t.match((await deliveriesOf(server, 'hook'))[0], { verdict: 'bad-signature', skipped: 80 }, 'and how many were not is said')
  t.equal(server.sluice.services.alerts.firing('default/development').length, 1)
})

t.test('a path that no hook has, a hook that is disabled, and a body that is too large are refused and visible', async t => {
  const { server } = await scene(t)
  t.match(await deliver(server, '/hooks/not-a-path-of-any-hook', { body: '{}', headers: {} }), {
    status: 404,
    body: { code: 'HOOK_NOT_FOUND' },
  })
  const { deliveries } = (await server.call('GET', '/api/v1/deliveries/unknown')).body
  t.match(deliveries, [{ verdict: 'unknown-hook', hook: null }])
  t.notMatch(JSON.stringify(deliveries), /not-a-path-of-any-hook/, 'a path that is nearly right is nearly a secret')
  const path = await makeHook(server, { key: 'off', hook: { source: 'generic' }, secret: SECRET } as unknown as Fixture)
  const headers = { authorization: `Bearer ${SECRET}` }
  t.match(await deliver(server, path, { body: 'x'.repeat(1024 * 1024 + 1), headers }), { status: 413, body: { code: 'BODY_TOO_LARGE' } })
  await server.call('PATCH', `${HOOKS}/off`, { enabled: false })
  t.equal((await deliver(server, path, { body: '{"status":"firing","title":"x"}', headers })).status, 404)
  t.match(await deliveriesOf(server, 'off'), [{ verdict: 'disabled' }, { verdict: 'malformed', reason: /more than 1048576 bytes/ }])
  t.same(await alertsOf(server), [])
})

t.test('SNS is followed to Amazon alone, and only for the topic of the hook', async t => {
  const asked: string[] = []
  const all = fixtures()
  const fixture = all.find(each => each.key === 'cloudwatch-sns-alarm-v1')!
  const subscription = all.find(each => each.key === 'cloudwatch-sns-subscription')!
  const { server, clock } = await scene(t, { egress: outside(fixture.certificate ?? '', asked) })
  clock.advance(Date.parse(fixture.at) - clock.now())
  const path = await makeHook(server, fixture)
  const refused: readonly [string, Loose][] = [
    ['another topic', { TopicArn: 'arn:aws:sns:eu-west-1:123456789012:other' }],
    ['a certificate of somebody else', { SigningCertURL: 'https://sns.eu-west-1.amazonaws.com.example.com/x.pem' }],
    ['a bucket at Amazon', { SigningCertURL: 'https://s3.eu-west-1.amazonaws.com/sns.pem' }],
    ['not https', { SigningCertURL: 'http://sns.eu-west-1.amazonaws.com/x.pem' }],
    ['with a user', { SigningCertURL: 'https://sns.eu-west-1.amazonaws.com@example.com/x.pem' }],
    ['another port', { SigningCertURL: 'https://sns.eu-west-1.amazonaws.com:8443/x.pem' }],
  ]
  for (const [what, change] of refused) {
    const body = JSON.stringify({ ...fixture.payload, ...change })
    t.equal((await deliver(server, path, { ...fixture, body })).status, 401, what)
  }
  t.same(asked, [], 'nothing was asked of the outside for those')
  t.equal(
    (await deliver(server, path, { ...fixture, body: JSON.stringify({ ...fixture.payload, Message: '{}' }) })).status,
    401,
    'another message',
  )
  const forged = { ...subscription.payload, SubscribeURL: 'https://example.com/?Action=ConfirmSubscription' }
  t.equal((await deliver(server, path, { ...subscription, body: JSON.stringify(forged) })).status, 401, 'a forged confirmation')
  t.equal(asked.filter(url => !url.endsWith('.pem')).length, 0, 'and none was followed')
  t.equal((await deliver(server, path, fixture)).status, 200)
  clock.advance(2 * 3_600_000)
  t.equal((await deliver(server, path, fixture)).status, 401, 'nor is one from two hours ago')
})

t.test('one body may hold many alerts, more than are read are said to be', async t => {
  const { server, told } = await scene(t)
  const path = await makeHook(server, { key: 'many', hook: { source: 'generic' }, secret: SECRET } as unknown as Fixture)
  const alerts = Array.from({ length: 510 }, (_, i) => ({ dedupKey: `k${i % 505}`, status: 'firing', title: 'many' }))
  const answer = await deliver(server, path, { body: JSON.stringify({ alerts }), headers: { authorization: `Bearer ${SECRET}` } })
  t.match(answer, { status: 200, body: { verdict: 'accepted', alerts: 500, new: 500, reason: /10 more alerts/ } })
  await until(t, () => told.length === 500)
  t.same(
    told.map(alert => alert.dedupKey),
    alerts.slice(0, 500).map(alert => alert.dedupKey),
    'in their order',
  )
})

t.test('what an alert may do is what its hook may', async t => {
  const clock = manualClock()
  const told: { hook: string; mayAct: boolean; dryRun: boolean }[] = []
  const server = await startServer(t, {
    clock,
    extend: (_app, { alerts }) =>
      void alerts.subscribe(({ alert, mayAct, dryRun }) => void told.push({ hook: alert.hook, mayAct, dryRun })),
  })
  const body = '{"status":"firing","title":"x"}'
  for (const [key, more] of [
    ['weak', { auth: 'path' }],
    ['trusted', { auth: 'path', mayAct: true }],
    ['dry', { auth: 'path', dryRun: true }],
  ] as const) {
    const { body: made } = await server.call('POST', HOOKS, { key, source: 'generic', ...more })
    t.equal((await deliver(server, made.hook.url, { body, headers: {} })).status, 401, 'the path alone is no secret')
    t.equal((await deliver(server, `${made.hook.url}.${made.secret}x`, { body, headers: {} })).status, 401)
    t.equal((await deliver(server, `${made.hook.url}.${made.secret}`, { body, headers: {} })).status, 200)
    t.notMatch(JSON.stringify(await server.call('GET', `${HOOKS}/${key}`)), made.secret)
  }
  await until(t, () => told.length === 3)
  t.same(told, [
    { hook: 'weak', mayAct: false, dryRun: false },
    { hook: 'trusted', mayAct: true, dryRun: false },
    { hook: 'dry', mayAct: false, dryRun: true },
  ])
})
