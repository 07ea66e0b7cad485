/** Webhooks over the API: made, signed, rotated, tested, paused. */
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { type Loose, startServer, type TestServer } from '../start.ts'
import { EGRESS_ALLOW, type Received, type Receiver, startReceiver } from './receiver.ts'

const BASE = '/api/v1/projects/default/environments/development'

async function started(t: Test): Promise<{ server: TestServer; receiver: Receiver; secret: string }> {
  const receiver = await startReceiver(t)
  const server = await startServer(t, { config: { egressAllow: EGRESS_ALLOW, apiLimit: 'off' } })
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch' })
  const made = await server.call('POST', `${BASE}/notifiers`, { key: 'ops', kind: 'webhook', url: `${receiver.url}/in` })
  t.equal(made.status, 201, JSON.stringify(made.body))
  return { server, receiver, secret: made.body.secret }
}

function verified(secret: string, { headers, text }: Received): Loose {
  return new Webhook(secret).verify(text, headers as Record<string, string>)
}

t.test('a change reaches a webhook, signed as Standard Webhooks asks for', async t => {
  const { server, receiver, secret } = await started(t)
  const kill = await server.call('POST', `${BASE}/flags/checkout/kills`, {
    reason: 'double charges',
    clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }],
  })
  const got = await receiver.nth(1)
  t.equal(got.path, '/in')
  t.match(got.headers, {
    'content-type': 'application/json',
    'webhook-id': /^msg_/,
    'webhook-signature': /^v1,\S+$/,
    'user-agent': /^Sluice\//,
  })
  t.match(verified(secret, got), {
    type: 'flag.kill',
    timestamp: kill.body.change.at,
    data: {
      project: 'default',
      environment: 'development',
      revision: kill.body.revision,
      severity: 'error',
      title: 'KILLED checkout in development',
      why: 'double charges',
      undo: `sluice lift checkout --id ${kill.body.kill.id} -e development`,
      flags: ['checkout'],
    },
  })
  t.match(got.body.data.lines.join('\n'), /contexts where \/device\/os is "android"/)
  t.throws(() => verified(secret, { ...got, text: got.text.replace('checkout', 'checkouts') }), 'another body has another signature')
  t.throws(() => verified('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', got), 'and so has another secret')
})

t.test('while a secret is replaced both sign, and the one before is let go', async t => {
  const { server, receiver, secret } = await started(t)
  const rotated = await server.call('PATCH', `${BASE}/notifiers/ops`, { rotate: true })
  t.equal(rotated.status, 200)
  const next = rotated.body.secret
  t.not(next, secret)
  await server.call('POST', `${BASE}/flags/checkout/kills`, { reason: 'one' })
  const both = await receiver.nth(1)
  t.equal(String(both.headers['webhook-signature']).split(' ').length, 2)
  t.ok(verified(secret, both) && verified(next, both), 'receivers may know either')
  await server.call('PATCH', `${BASE}/notifiers/ops`, { secrets: { signingPrevious: null } })
  await server.call('POST', `${BASE}/notifiers/ops/test`)
  const one = await receiver.nth(2)
  t.ok(verified(next, one))
  t.throws(() => verified(secret, one))
})

t.test('no answer and no entry holds a secret', async t => {
  const { server, secret } = await started(t)
  const own = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  await server.call('PATCH', `${BASE}/notifiers/ops`, { secrets: { signing: own } })
  for (const path of ['/notifiers', '/notifiers/ops', '/notifiers/ops/deliveries', '/changes']) {
    const text = JSON.stringify((await server.call('GET', BASE + path)).body)
    t.notMatch(text, secret.slice(6, 30))
    t.notMatch(text, own.slice(6, 30))
  }
})

t.test('a test sends at once and answers what came of it', async t => {
  const { server, receiver } = await started(t)
  t.match((await server.call('POST', `${BASE}/notifiers/ops/test`)).body, { ok: true, status: 200, text: 'answered 200' })
  t.match((await receiver.nth(1)).body, { type: 'notice.test', data: { title: 'Test of notifier ops in default/development' } })
  receiver.answer({ status: 500, body: 'secret of the inside' }, { status: 301, headers: { location: `${receiver.url}/elsewhere` } })
  t.match((await server.call('POST', `${BASE}/notifiers/ops/test`)).body, { ok: false, status: 500, text: 'answered 500' })
  t.match((await server.call('POST', `${BASE}/notifiers/ops/test`)).body, { ok: false, status: 301, text: 'answered 301' })
  t.equal(receiver.received.length, 3, 'a redirect is not followed')
})

t.test('what is paused waits and is sent in order when it is resumed', async t => {
  const { server, receiver } = await started(t)
  const paused = await server.call('POST', `${BASE}/notifiers/ops/pause`, { comment: 'moving house' })
  t.match(paused.body.notifier.paused, { why: 'moving house' })
  await server.call('POST', `${BASE}/flags/checkout/kills`, { reason: 'one' })
  await server.call('DELETE', `${BASE}/flags/checkout/kills`)
  await server.call('POST', `${BASE}/flags/checkout/kills`, { reason: 'two' })
  t.equal((await server.call('POST', `${BASE}/notifiers/ops/resume`)).status, 200)
  await receiver.nth(5)
  t.same(
    receiver.received.map(({ body }) => [body.type, body.data.why]),
    [
      ['notifier.pause', 'moving house'],
      ['flag.kill', 'one'],
      ['flag.lift', null],
      ['flag.kill', 'two'],
      ['notifier.resume', null],
    ],
  )
})

t.test('only topics and tags that are asked for are heard', async t => {
  const { server, receiver } = await started(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'search', kind: 'kill-switch', tags: ['team:search'] })
  const made = await server.call('PATCH', `${BASE}/notifiers/ops`, { topics: ['kills', 'flags'], tags: ['team:search'] })
  t.equal(made.status, 200)
  await server.call('POST', `${BASE}/flags/checkout/kills`, { reason: 'not theirs' })
  await server.call('PATCH', `${BASE}/flags/search`, { enabled: false })
  await server.call('POST', `${BASE}/flags/search/kills`, { reason: 'theirs' })
  await receiver.nth(2)
  t.same(
    receiver.received.map(({ body }) => body.data.title),
    ['Edited search in development', 'KILLED search in development'],
  )
})

t.test('what cannot be used is refused with its place', async t => {
  const { server } = await started(t)
  const cases: readonly (readonly [body: object, status: number, code: string, path?: string])[] = [
    [{ key: 'a', kind: 'webhook' }, 422, 'INVALID_NOTIFIER', 'url'],
    [{ key: 'a', kind: 'webhook', url: 'http://10.0.0.1/' }, 422, 'EGRESS_REFUSED', 'url'],
    [{ key: 'a', kind: 'webhook', url: 'http://169.254.169.254/latest/' }, 422, 'EGRESS_REFUSED', 'url'],
    [{ key: 'a', kind: 'webhook', url: 'https://1.1.1.1/', secrets: { signing: 'short' } }, 422, 'INVALID_NOTIFIER', 'secrets.signing'],
    [{ key: 'a', kind: 'webhook', url: 'https://1.1.1.1/', secrets: { apiKey: 'x' } }, 422, 'INVALID_NOTIFIER', 'secrets.apiKey'],
    [{ key: 'a', kind: 'slack' }, 422, 'INVALID_NOTIFIER', 'secrets.url'],
    [{ key: 'a', kind: 'slack', secrets: { url: 'https://10.1.2.3/' } }, 422, 'EGRESS_REFUSED', 'url'],
    [{ key: 'a', kind: 'slack', url: 'https://1.1.1.1/', secrets: { url: 'https://1.1.1.1/' } }, 422, 'INVALID_NOTIFIER', 'url'],
    [{ key: 'a', kind: 'pagerduty-alerts', secrets: { routingKey: 'a b' } }, 422, 'INVALID_NOTIFIER', 'secrets.routingKey'],
    [{ key: 'a', kind: 'pagerduty-alerts', url: 'https://example.com', secrets: { routingKey: 'ab' } }, 422, 'INVALID_NOTIFIER', 'url'],
    [{ key: 'a', kind: 'statuspage', secrets: { apiKey: 'ab' } }, 422, 'INVALID_NOTIFIER', 'statuspage'],
    [{ key: 'a', kind: 'email' }, 400, 'INVALID_REQUEST', 'kind'],
    [{ key: 'ops', kind: 'webhook', url: 'https://1.1.1.1/' }, 409, 'ALREADY_EXISTS', 'key'],
  ]
  for (const [body, status, code, path] of cases) {
    const answer = await server.call('POST', `${BASE}/notifiers`, body)
    t.match(answer, { status, body: { code, details: [{ path }] } }, JSON.stringify(body))
  }
  t.match((await server.call('PATCH', `${BASE}/notifiers/ops`, { url: 'http://[::ffff:10.0.0.1]/' })).body, { code: 'EGRESS_REFUSED' })
  t.match((await server.call('GET', `${BASE}/notifiers/none`)).body, { code: 'NOTIFIER_NOT_FOUND' })
  t.match((await server.call('POST', `${BASE}/notifiers?dryRun=true`, { key: 'dry', kind: 'webhook', url: 'https://1.1.1.1/' })).body, {
    dryRun: true,
  })
  t.equal((await server.call('GET', `${BASE}/notifiers/dry`)).status, 404)
})

t.test('secrets are given by admins, notifiers edited by editors, paused by operators', async t => {
  const { server } = await started(t)
  const grants = (role: string) => ({ grants: [{ role, project: 'default', environment: 'development' }] })
  const [editor, operator] = [
    await server.makeKey('admin', undefined, grants('editor')),
    await server.makeKey('admin', undefined, grants('operator')),
  ]
  const as = async (key: { token: string }, method: string, path: string, body?: object): Promise<number> =>
    (await server.call(method, `${BASE}/notifiers${path}`, body, { key: key.token })).status
  t.equal(await as(editor, 'PATCH', '/ops', { description: 'ours' }), 200)
  t.equal(await as(editor, 'PATCH', '/ops', { rotate: true }), 403)
  t.equal(await as(editor, 'PATCH', '/ops', { secrets: { signingPrevious: null } }), 403)
  t.equal(await as(editor, 'POST', '', { key: 'b', kind: 'slack', secrets: { url: 'https://1.1.1.1/' } }), 403)
  t.equal(await as(editor, 'POST', '', { key: 'b', kind: 'webhook', url: 'https://1.1.1.1/' }), 201)
  t.equal(await as(operator, 'PATCH', '/ops', { description: 'theirs' }), 403)
  t.equal(await as(operator, 'POST', '/ops/pause'), 200)
  t.equal(await as(operator, 'POST', '/ops/resume'), 200)
})
