/** What Slack, PagerDuty and Statuspage are sent, as they document it. */
import t, { type Test } from 'tap'
import { manualClock } from '../../clock.ts'
import { type Loose, startServer, type TestServer } from '../start.ts'
import { EGRESS_ALLOW, type Receiver, startReceiver } from './receiver.ts'

const BASE = '/api/v1/projects/default/environments/development'
const ANDROID = [{ attribute: '/device/os', op: 'in', values: ['android'] }]

async function started(t: Test, notifier: (url: string) => object): Promise<{ server: TestServer; receiver: Receiver }> {
  const receiver = await startReceiver(t)
  const server = await startServer(t, { config: { egressAllow: EGRESS_ALLOW, apiLimit: 'off' } })
  for (const key of ['checkout', 'cart']) await server.call('POST', '/api/v1/projects/default/flags', { key, kind: 'kill-switch' })
  const made = await server.call('POST', `${BASE}/notifiers`, { key: 'n', ...notifier(receiver.url) })
  t.equal(made.status, 201, JSON.stringify(made.body))
  return { server, receiver }
}

const kill = async (server: TestServer, flag: string, body: object = {}): Promise<Loose> =>
  (await server.call('POST', `${BASE}/flags/${flag}/kills`, { reason: 'double charges', ...body })).body

t.test('Slack is told what changed, who, why, and how to undo it, and nothing in a text means anything to it', async t => {
  const { server, receiver } = await started(t, url => ({ kind: 'slack', secrets: { url: `${url}/services/T0/B0/x` } }))
  const { kill: made, revision } = await kill(server, 'checkout', {
    reason: 'double <!channel> & <https://evil.example|charges>',
    clauses: ANDROID,
  })
  const { path, body, text } = await receiver.nth(1)
  t.equal(path, '/services/T0/B0/x')
  const [section, context] = body.blocks
  t.match(body, { text: 'KILLED checkout in development', blocks: [{ type: 'section', text: { type: 'mrkdwn' } }, { type: 'context' }] })
  t.match(section.text.text, /^:red_circle: \*KILLED checkout in development\*\n/)
  t.match(section.text.text, 'contexts where /device/os is "android"; everyone else is served as before')
  t.match(section.text.text, 'It stands until somebody lifts it')
  t.match(section.text.text, '\n> double &lt;!channel&gt; &amp; &lt;https://evil.example|charges&gt;')
  t.match(section.text.text, `Undo: \`sluice lift checkout --id ${made.id} -e development\``)
  t.match(
    context.elements[0].text,
    `default/development · by ${(await server.call('GET', '/api/v1/whoami')).body.name} · revision ${revision}`,
  )
  t.notMatch(text, /<[!@#h]/)
})

t.test('what comes faster than Slack takes it shares a message', async t => {
  const receiver = await startReceiver(t)
  const clock = manualClock()
  const server = await startServer(t, { clock, config: { egressAllow: EGRESS_ALLOW, apiLimit: 'off' } })
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch' })
  await server.call('POST', `${BASE}/notifiers`, { key: 'n', kind: 'slack', secrets: { url: receiver.url }, topics: ['trouble'] })
  const say = (title: string): void =>
    server.services.notices.say({ log: 'default/development', topic: 'trouble', severity: 'warning', title, text: 'a'.repeat(5_000) })
  say('first')
  await receiver.nth(1)
  for (let i = 2; i <= 11; i++) say(`notice ${i}`)
  for (;;) {
    const { body } = await server.call('GET', `${BASE}/notifiers/n`)
    if (body.delivery.waiting === 10) break
  }
  t.equal(receiver.received.length, 1, 'not within the same second')
  while (receiver.received.length < 2) {
    clock.advance(1_000)
    await server.call('GET', '/healthz')
  }
  const { body, text } = await receiver.nth(2)
  t.equal(body.blocks.length, 10)
  t.equal(body.text, 'notice 2 (and 9 more)')
  t.ok(text.length < 40_000)
  t.ok(body.blocks.every((block: Loose) => block.text.text.length <= 3_000))
})

t.test('PagerDuty alerts begin with a kill and end with its last lift', async t => {
  const { server, receiver } = await started(t, url => ({ kind: 'pagerduty-alerts', url, secrets: { routingKey: 'r'.repeat(32) } }))
  receiver.answer(202)
  const first = await kill(server, 'checkout')
  const second = await kill(server, 'checkout', { clauses: ANDROID })
  await server.call('DELETE', `${BASE}/flags/checkout/kills/${first.kill.id}`)
  await server.call('DELETE', `${BASE}/flags/checkout/kills/${second.kill.id}`)
  await receiver.nth(3)
  const key = 'sluice/default/development/checkout/kill'
  t.same(
    receiver.received.map(({ path, body }) => [path, body.routing_key, body.event_action, body.dedup_key]),
    [
      ['/v2/enqueue', 'r'.repeat(32), 'trigger', key],
      ['/v2/enqueue', 'r'.repeat(32), 'trigger', key],
      ['/v2/enqueue', 'r'.repeat(32), 'resolve', key],
    ],
  )
  t.match(receiver.received[0]?.body.payload, {
    summary: 'KILLED checkout in development for everyone',
    source: 'sluice/default/development',
    severity: 'critical',
    timestamp: first.change.at,
    component: 'checkout',
    group: 'default/development',
    class: 'flag.kill',
    custom_details: { why: 'double charges', revision: first.revision },
  })
  const test = await server.call('POST', `${BASE}/notifiers/n/test`)
  t.match(test.body, { ok: true, status: 202 })
  t.same(
    receiver.received.slice(3).map(({ body }) => body.event_action),
    ['trigger', 'resolve'],
  )
})

t.test('PagerDuty hears of every change once, and what it will never take is refused and shown', async t => {
  const { server, receiver } = await started(t, url => ({
    kind: 'pagerduty-changes',
    url,
    secrets: { routingKey: 'r'.repeat(32) },
    topics: ['flags', 'kills', 'trouble'],
  }))
  receiver.answer(400, 202, 400, 400, 400)
  await server.call('PATCH', `${BASE}/flags/cart`, { enabled: false })
  const killed = await kill(server, 'checkout')
  const { path, body } = await receiver.nth(2)
  t.equal(path, '/v2/change/enqueue')
  t.match(body, {
    routing_key: 'r'.repeat(32),
    payload: { summary: /^KILLED checkout in development \(/, source: 'sluice/default/development', timestamp: killed.change.at },
    links: [],
  })
  const { body: listed } = await server.call('GET', `${BASE}/notifiers/n/deliveries`)
  t.match(listed.deliveries.at(-1), { state: 'refused', lastStatus: 400, title: 'Edited cart in development' })
  for (const enabled of [true, false, true]) await server.call('PATCH', `${BASE}/flags/cart`, { enabled })
  for (;;) {
    const { body: notifier } = await server.call('GET', `${BASE}/notifiers/n`)
    if (notifier.paused === null) continue
    t.match(notifier.paused.why, /^3 messages in a row were refused/)
    break
  }
  t.match((await server.call('GET', '/api/v1/status')).body.environments, [{ environment: 'development', notifiers: { paused: 1 } }])
  const metrics = (await server.call('GET', '/metrics')).body
  t.match(metrics, 'sluice_notifier_paused{project="default",environment="development",notifier="n"} 1')
  t.match(metrics, 'sluice_notifier_messages_total{project="default",environment="development",notifier="n",outcome="refused"} 3')
})

t.test('Statuspage components say what their flags come to', async t => {
  const { server, receiver } = await started(t, url => ({
    kind: 'statuspage',
    url,
    secrets: { apiKey: 'k'.repeat(36) },
    statuspage: { page: 'p1', components: [{ component: 'c1', flags: ['checkout', 'cart'] }] },
  }))
  const statuses: string[] = []
  const next = async (): Promise<void> => {
    const { method, path, headers, body } = await receiver.nth(statuses.length + 1)
    t.match([method, path, headers.authorization], ['PATCH', '/v1/pages/p1/components/c1', `OAuth ${'k'.repeat(36)}`])
    statuses.push(body.component.status)
  }
  await kill(server, 'cart', { clauses: ANDROID })
  await next()
  const { kill: whole } = await kill(server, 'checkout')
  await next()
  await server.call('DELETE', `${BASE}/flags/checkout/kills/${whole.id}`)
  await next()
  await server.call('DELETE', `${BASE}/flags/cart/kills`)
  await next()
  t.same(statuses, ['degraded_performance', 'partial_outage', 'degraded_performance', 'operational'])
  await server.call('POST', `${BASE}/notifiers/n/test`)
  t.equal((await receiver.nth(5)).method, 'GET', 'a test changes nothing')
})
