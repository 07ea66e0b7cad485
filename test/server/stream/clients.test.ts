import { createServer, connect as connectTcp, type AddressInfo } from 'node:net'
import { pino } from 'pino'
import t from 'tap'
import { CLIENT_UPSTREAM_BYTES_MAX } from '../../../schemas/protocol.ts'
import type { Flag, FlagInput } from '../../../schemas/flag.ts'
import { CLIENT_COUNT_MAX, CLIENT_EVENTS_MAX } from '../../../server/stream/clients.ts'
import { MESSAGES_MAX } from '../../../server/stream/session.ts'
import { manualClock } from '../../clock.ts'
import { randomFrom } from '../../random.ts'
import { CONTEXT, ENVIRONMENT, FLAGS, LOG, startEnvironment } from '../ofrep/environment.ts'
import { startServer } from '../start.ts'
import { flag, openStream, refused, startBare } from './bare.ts'
import { type Item, openClient } from './clientsocket.ts'

/** Waits for what is only to be seen by looking. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setTimeout(resolve, 10))
}

/** An item of OFREP as the stream brings it: the revision is the message's. */
function withoutRevision(item: Item): Item {
  const { revision: _, ...metadata } = item.metadata ?? {}
  return { ...item, metadata }
}

t.test('a client is told what OFREP would answer, and after a commit what of it changed for its context', async t => {
  const environment = await startEnvironment(t)
  const { clientKey, url } = environment
  const bearer = { authorization: `Bearer ${clientKey}` }
  const answered = async (context: unknown): Promise<Item[]> =>
    ((await environment.evaluate(null, context, bearer)).body.flags as Item[]).map(withoutRevision)

  const free = await openClient(t, url, clientKey)
  const beta = await openClient(t, url, clientKey)
  free.hello(CONTEXT)
  beta.hello({ targetingKey: 'user-2', account: { id: 'a-17', plan: 'beta' } }, { contextId: 7 })
  const { epoch, revision } = environment.services.log.state(LOG)
  const first = await free.next()
  t.match(first, { type: 'evaluations', contextId: 1, epoch, revision })
  t.same(first.flags, await answered(CONTEXT))
  t.notOk(free.held.has('internal'), 'a flag that is not for clients')
  t.match(await beta.next(), { type: 'evaluations', contextId: 7 })
  t.match(beta.held.get('greeting'), { value: 'HELLO', variant: 'loud', metadata: { reason: 'RULE_MATCH' } })
  t.same(environment.hub.instances(LOG), [], 'a client is no instance')

  await environment.kill('sick', [{ attribute: '/account/plan', op: 'in', values: ['beta'] }])
  t.match(
    await free.next(),
    { type: 'changed', from: revision, revision: revision + 1, flags: [{ key: 'sick' }], removed: [] },
    'its version',
  )
  t.match(await beta.next(), { flags: [{ key: 'sick', value: false, variant: 'off', reason: 'DISABLED', metadata: { reason: 'KILLED' } }] })

  await environment.call('PATCH', `${ENVIRONMENT}/flags/dark`, { enabled: true })
  for (const client of [free, beta])
    t.same((await client.next()).flags?.map(item => item.key).toSorted(), ['dark', 'needs-dark'], 'a flag that depends on it')

  await environment.call('PATCH', `${ENVIRONMENT}/flags/internal`, { enabled: false })
  t.match(await free.next(), { type: 'changed', revision: revision + 3, flags: [], removed: [] }, 'a commit that is not for it')
  await environment.call('PATCH', '/api/v1/projects/default/flags/split', { clientVisible: false })
  t.match(await free.next(), { flags: [], removed: ['split'] })
  await environment.call('PATCH', '/api/v1/projects/default/flags/internal', { clientVisible: true })
  t.match(await free.next(), { flags: [{ key: 'internal' }], removed: [] })
  await environment.call('DELETE', `${ENVIRONMENT}/flags/ratio?force=true`)
  t.match(await free.next(), { flags: [], removed: ['ratio'] })
  t.same([...free.held.values()].toSorted(byKey), (await answered(CONTEXT)).toSorted(byKey))

  free.hello({ targetingKey: 'user-3', account: { plan: 'beta' } }, { contextId: 2 })
  t.match(await free.next(), { type: 'evaluations', contextId: 2 })
  t.equal(free.held.get('greeting')?.value, 'HELLO', 'another context, on the open stream')
  await environment.lift('sick')
  t.match(await free.next(), { type: 'changed', flags: [{ key: 'sick', value: true }] }, 'told from the new one')

  const back = await openClient(t, url, clientKey)
  const now = environment.services.log.state(LOG).revision
  back.hello(CONTEXT, { revision: now, epoch, contextId: 3 })
  t.match(await back.next(), { type: 'current', contextId: 3, epoch, revision: now }, 'who holds all of it is told so')
  await environment.kill('checkout')
  t.same(
    (await back.next()).flags?.map(item => item.key),
    ['checkout'],
    'and then only what changes',
  )
  back.hello(CONTEXT, { revision: now + 9, epoch })
  t.match(await back.next(), { type: 'evaluations', reset: true }, 'who holds what was lost')
})

t.test('whatever is committed, a client holds what a new one is told', async t => {
  const environment = await startEnvironment(t)
  const random = randomFrom(26)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const contexts = [CONTEXT, { targetingKey: 'u', account: { id: 'a-17', plan: 'beta' } }, {}]
  const clients = await Promise.all(contexts.map(() => openClient(t, environment.url, environment.clientKey)))
  for (const [i, client] of clients.entries()) client.hello(contexts[i])
  const where = [{ op: 'segment', values: ['first'] }]
  await environment.call('POST', `${ENVIRONMENT}/segments`, { key: 'first', included: [{ attribute: '/account/id', values: ['a-1'] }] })
  const keys = FLAGS.map(({ key }) => key).filter(key => key !== 'dark')
  for (let i = 0; i < 60; i++) {
    const path = `${ENVIRONMENT}/flags/${pick(keys)}`
    const edit = pick([
      () => environment.call('PATCH', path, { enabled: random() < 0.5 }),
      () => environment.call('PATCH', path, { prerequisites: random() < 0.5 ? [] : [{ flag: 'dark', variations: ['on'] }] }),
      () => environment.call('PATCH', path, { rules: random() < 0.5 ? [] : [{ id: 'r', clauses: where, serve: { variation: 'off' } }] }),
      () => environment.call('PATCH', `${ENVIRONMENT}/flags/dark`, { enabled: random() < 0.5 }),
      () =>
        environment.call('PATCH', `${ENVIRONMENT}/segments/first`, {
          included: [{ attribute: '/account/id', values: [pick(['a-1', 'a-17'])] }],
        }),
      () => environment.call('POST', `${path}/kills`, { reason: 'x' }),
      () => environment.call('DELETE', `${path}/kills`),
      () => environment.call('PATCH', `/api/v1/projects/default/flags/${pick(keys)}`, { clientVisible: random() < 0.7 }),
    ])
    const writes = [edit()]
    // Several at once are told as one, or one by one.
    if (random() < 0.3) writes.push(edit(), edit())
    await Promise.all(writes)
    if (random() < 0.1) clients[0]?.hello(contexts[0], { contextId: i + 2 })
  }
  const { revision } = environment.services.log.state(LOG)
  t.ok(revision > 20, `${revision} revisions`)
  for (const [i, client] of clients.entries()) {
    let said = await client.next()
    while (said.revision < revision) said = await client.next()
    const fresh = await openClient(t, environment.url, environment.clientKey)
    fresh.hello(contexts[i])
    await fresh.next()
    t.same([...client.held.values()].toSorted(byKey), [...fresh.held.values()].toSorted(byKey))
  }
})

t.test('no byte that a client key is sent says anything of rules, segments, kills or flags that are not for it', async t => {
  const lines: string[] = []
  const logger = pino({ level: 'trace' }, { write: line => void lines.push(line) })
  const server = await startServer(t, { logger })
  let count = 0
  const secrets: string[] = []
  const secret = (): string => {
    const text = `secret${count++}secret`
    secrets.push(text)
    return text
  }
  const boolean = { variations: [{ key: 'on', value: true }, { key: 'off', value: false }] } // prettier-ignore
  const flags: FlagInput[] = [
    { key: secret(), kind: 'release', ...boolean, enabled: true, clientVisible: false, name: secret(), metadata: { note: secret() } },
    {
      key: 'shown',
      kind: 'config',
      enabled: true,
      clientVisible: true,
      name: secret(),
      description: secret(),
      owner: secret(),
      tags: [secret()],
      runbook: `https://example.com/${secret()}`,
      metadata: { team: 'open' },
      variations: [
        { key: 'a', value: 'served' },
        { key: secret(), value: secret() },
      ],
      offVariation: 'a',
      fallthrough: { variation: 'a' },
      targets: [{ attribute: secret(), values: [secret()], variation: 'a' }],
      rules: [
        { id: secret(), clauses: [{ attribute: secret(), op: 'in', values: [secret()] }], serve: { variation: 'a' } },
        { id: secret(), clauses: [{ op: 'segment', values: ['internal-people'] }], serve: { variation: 'a' } },
        { id: secret(), clauses: [{ attribute: 'plan', op: 'in', values: ['beta', secret()] }], serve: { variation: 'a' } },
      ],
    },
    {
      key: 'held-back',
      kind: 'release',
      ...boolean,
      enabled: true,
      clientVisible: true,
      prerequisites: [{ flag: secrets[0]!, variations: ['off'] }],
    },
    { key: 'killed', kind: 'release', ...boolean, enabled: true, clientVisible: true },
  ]
  secrets.push('internal-people')
  const segments = [{ key: 'internal-people', included: [{ attribute: secret(), values: [secret()] }], rules: [{ id: secret(), clauses: [{ attribute: secret(), op: 'in', values: [secret()] }] }] }] // prettier-ignore
  t.equal((await server.call('PUT', `${ENVIRONMENT}/ruleset?comment=${secret()}`, { flags, segments })).status, 200)
  // What no route takes: a damaged flag and a cycle, whose errors name the place for those who may know it.
  const plant = (fields: object): Promise<unknown> =>
    server.services.log.commit({
      log: LOG,
      actor: { kind: 'system', id: secret(), name: secret() },
      action: 'flag.create',
      plan: ({ documents }) => {
        const planted = { ...documents.flag.get('killed'), ...fields } as Flag
        return [{ type: 'flag', key: planted.key, after: planted }]
      },
    })
  await plant({ key: 'damaged', fallthrough: { variation: secret() } })
  const partner = secret()
  await plant({ key: partner, clientVisible: false, prerequisites: [{ flag: 'circle', variations: ['on'] }] })
  await plant({ key: 'circle', prerequisites: [{ flag: partner, variations: ['on'] }] })
  await server.call('PUT', '/api/v1/projects/default/environments/production/ruleset', {
    flags: [{ key: secret(), kind: 'release' }],
    segments: [],
  })

  // Every byte between the server and whoever has the key, as it goes over the line.
  const bytes: Buffer[] = []
  const { port } = new URL(server.url)
  const tap = createServer(near => {
    const far = connectTcp(Number(port), '127.0.0.1')
    near
      .pipe(far)
      .on('data', chunk => bytes.push(chunk as Buffer))
      .pipe(near)
    for (const line of [near, far]) line.on('error', () => line.destroy()).on('close', () => (near.destroy(), far.destroy()))
  })
  await new Promise<void>(resolve => tap.listen(0, '127.0.0.1', resolve))
  t.teardown(() => tap.close())
  const url = `http://127.0.0.1:${(tap.address() as AddressInfo).port}`
  const key = await server.makeKey('client')
  const client = await openClient(t, url, key.token)
  client.hello({ targetingKey: 'u', plan: 'beta' })
  await client.next()
  t.same([...client.held.keys()].toSorted(), ['circle', 'damaged', 'held-back', 'killed', 'shown'])
  t.match(client.held.get('damaged'), { errorCode: 'PARSE_ERROR', metadata: { error: 'MALFORMED_FLAG' } })
  t.match(client.held.get('circle'), { errorCode: 'GENERAL', metadata: { error: 'PREREQUISITE_CYCLE' } })
  t.match(client.held.get('shown'), { value: 'served', metadata: { reason: 'RULE_MATCH', team: 'open' } })
  t.match(client.held.get('held-back'), { metadata: { reason: 'PREREQUISITE_FAILED' } })

  const kill = {
    reason: secret(),
    incident: secret(),
    comment: secret(),
    clauses: [{ attribute: 'plan', op: 'in', values: ['beta', secret()] }],
  }
  const killed = await server.call('POST', `${ENVIRONMENT}/flags/killed/kills`, kill)
  secrets.push(killed.body.kills?.[0]?.id ?? killed.body.kill?.id)
  t.match((await client.next()).flags, [{ key: 'killed', metadata: { reason: 'KILLED' } }])
  await server.call('POST', `${ENVIRONMENT}/flags/${secrets[0]}/kills`, { reason: secret() })
  t.same(
    (await client.next()).flags?.map(item => item.key),
    [],
    'its dependant was held back before',
  )
  await server.call('PATCH', `${ENVIRONMENT}/segments/internal-people`, { included: [{ attribute: 'plan', values: [secret()] }] })
  await client.next()
  client.hello({ targetingKey: 'u' }, { contextId: 2 })
  await client.next()

  // The other ways in with the same key, and every refusal.
  const ask = async (method: string, path: string, body?: unknown): Promise<number> => {
    const headers = { authorization: `Bearer ${key.token}`, 'content-type': 'application/json', origin: 'https://shop.example' }
    return (await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })).status
  }
  t.equal(await ask('POST', '/ofrep/v1/evaluate/flags', { context: { plan: 'beta' } }), 200)
  for (const name of ['shown', 'damaged', 'circle', 'killed', 'held-back', 'none'])
    t.ok([200, 400, 404].includes(await ask('POST', `/ofrep/v1/evaluate/flags/${name}`, { context: { plan: 'beta' } })), name)
  for (const path of [
    '/ruleset',
    '/stream',
    `${ENVIRONMENT}/ruleset`,
    `${ENVIRONMENT}/changes`,
    `${ENVIRONMENT}/flags/shown`,
    `${ENVIRONMENT}/instances`,
    '/api/v1/keys',
    '/stream/client',
  ])
    t.ok((await ask('GET', path)) >= 400, path)
  await server.call('DELETE', `/api/v1/keys/${key.id}`)
  t.equal((await client.closed).code, 4401)

  const sent = Buffer.concat(bytes).toString('latin1')
  t.match(sent, 'HTTP/1.1 101 Switching Protocols')
  t.match(sent, /Sec-WebSocket-Protocol: sluice\.client\.v1\r\n/)
  t.match(sent, '"served"')
  t.ok(secrets.length > 30 && secrets.every(text => typeof text === 'string' && text.length > 4), `${secrets.length} secrets`)
  t.same(
    secrets.filter(text => sent.includes(text)),
    [],
    'none of them was sent',
  )
  t.notOk(sent.includes(key.token), 'nor the key')
  t.notOk(lines.join('').includes(key.token.split('_')[3]!), 'nor is it in the log')
})

t.test('whoever may not open a client stream is told so over HTTP', async t => {
  const server = await startBare(t)
  const client = await server.key('client')
  const admin = await server.key('admin', null)
  const revoked = await server.key('client')
  await server.revoke(revoked.id)
  const offer = (key: string): Record<string, string> => ({ 'sec-websocket-protocol': `sluice.client.v1, key.${key}` })
  const cases: [name: string, headers: Record<string, string>, status: number, code: string, path?: string][] = [
    ['no key', { 'sec-websocket-protocol': 'sluice.client.v1' }, 401, 'KEY_MISSING'],
    [
      'a key in a header alone',
      { 'sec-websocket-protocol': 'sluice.client.v1', authorization: `Bearer ${client.token}` },
      401,
      'KEY_MISSING',
    ],
    ['a key in the query', { 'sec-websocket-protocol': 'sluice.client.v1' }, 401, 'KEY_MISSING', `/stream/client?key=${client.token}`],
    ['a query', offer(client.token), 400, 'INVALID_REQUEST', '/stream/client?a=1'],
    ['an empty key', { 'sec-websocket-protocol': 'sluice.client.v1, key.' }, 401, 'KEY_INVALID'],
    ['a server key', offer(server.token), 403, 'FORBIDDEN'],
    ['an admin key', offer(admin.token), 403, 'FORBIDDEN'],
    ['a revoked key', offer(revoked.token), 401, 'KEY_INVALID'],
    ['a key and no protocol', { 'sec-websocket-protocol': `key.${client.token}` }, 426, 'UPGRADE_REQUIRED'],
    ['the protocol of SDKs', { 'sec-websocket-protocol': `sluice.v1, key.${client.token}` }, 426, 'UPGRADE_REQUIRED'],
  ]
  for (const [name, headers, status, code, path = '/stream/client'] of cases) {
    const answer = await refused(server, headers, path)
    t.match({ status: answer.status, code: answer.body.code }, { status, code }, name)
    t.notMatch(JSON.stringify(answer.body), client.token, 'no secret in the message')
  }
  const plain = await server.app.inject({ url: '/stream/client', headers: { authorization: `Bearer ${client.token}` } })
  t.match({ status: plain.statusCode, body: plain.json() }, { status: 426, body: { code: 'UPGRADE_REQUIRED' } })
})

t.test('applications are let in before clients, at one rate for both', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock, handshakesPerSecond: 4 })
  const url = `http://127.0.0.1:${server.port}`
  const { token } = await server.key('client')
  const offer = { 'sec-websocket-protocol': `sluice.client.v1, key.${token}` }
  await openClient(t, url, token)
  await openClient(t, url, token)
  t.match(await refused(server, offer, '/stream/client'), {
    status: 503,
    body: { code: 'NOT_READY' },
    headers: { 'retry-after': /^[1-5]$/ },
  })
  await openStream(t, server)
  await openStream(t, server)
  t.match(await refused(server, { authorization: `Bearer ${server.token}` }), { status: 503 })
  clock.advance(750)
  await openClient(t, url, token)
  t.match(server.hub.statistics(), { sockets: 5, clientSockets: 3 })
})

t.test('a client that breaks the protocol or a limit is closed', async t => {
  const server = await startBare(t)
  const { token } = await server.key('client')
  const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`
  const hello = (context: string): string => `{"type":"hello","sdk":"x","contextId":1,"revision":0,"epoch":"","context":${context}}`
  const cases: [name: string, message: string | Buffer, code: number][] = [
    ['bytes', Buffer.from('{}'), 1008],
    ['no JSON', '{', 1008],
    ['no hello first', '{"type":"counts","counts":[]}', 1008],
    ['no context', '{"type":"hello","sdk":"x","contextId":1,"revision":0,"epoch":""}', 1008],
    ['a context that is a list', hello('[]'), 1008],
    ['a deep context', hello(`{"a":${deep(25)}}`), 1008],
    ['a very deep one', hello(`{"a":${deep(7_000)}}`), 1008],
    ['a key that objects inherit', hello('{"__proto__":{"a":1}}'), 1008],
    ['a long text', hello(`{"a":"${'x'.repeat(5_000)}"}`), 1008],
    ['many attributes', hello(JSON.stringify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`a${i}`, i])))), 1008],
    ['too large a message', hello(JSON.stringify({ a: Array.from({ length: 5 }, () => 'x'.repeat(4_000)) })), 1008],
    ['larger than any', 'x'.repeat(70_000), 1009],
    ['a number that is none', hello('{"a":1e999}'), 1008],
    ['a negative revision', hello('{}').replace('"revision":0', '"revision":-1'), 1008],
  ]
  t.ok(Buffer.byteLength(cases[10]![1]) > CLIENT_UPSTREAM_BYTES_MAX)
  for (const [name, message, code] of cases) {
    const client = await openClient(t, `http://127.0.0.1:${server.port}`, token)
    client.socket.send(message, { binary: Buffer.isBuffer(message) })
    t.equal((await client.closed).code, code, name)
  }
  const chatty = await openClient(t, `http://127.0.0.1:${server.port}`, token)
  for (let i = 0; i <= MESSAGES_MAX; i++) chatty.hello({}, { contextId: i })
  t.equal((await chatty.closed).code, 1008, 'more messages than it may')

  const lenient = await openClient(t, `http://127.0.0.1:${server.port}`, token)
  lenient.hello({}, { newer: 1, contextId: 3 })
  t.match(await lenient.next(), { type: 'evaluations', contextId: 3 })
  lenient.say({ type: 'of a newer client' })
  lenient.hello({}, { contextId: 4 })
  t.match(await lenient.next(), { contextId: 4 }, 'what is not known is left alone')
  t.equal(server.hub.statistics().clientSockets, 1)
})

t.test('a client is sent away as an SDK is: a revoked key, a deleted environment, a restart', async t => {
  const server = await startBare(t)
  const url = `http://127.0.0.1:${server.port}`
  const [one, two, three] = [await server.key('client'), await server.key('client', 'staging'), await server.key('client')]
  const clients = [await openClient(t, url, one.token), await openClient(t, url, two.token), await openClient(t, url, three.token)] as const
  for (const client of clients) {
    client.hello()
    await client.next()
  }
  await server.revoke(one.id)
  t.equal((await clients[0].closed).code, 4401)
  await server.deleteEnvironment('staging')
  t.equal((await clients[1].closed).code, 1008)
  const drained = clients[2].next()
  await server.hub.drain()
  t.match(await drained, { type: 'drain', afterMs: Number, spreadMs: Number })
  t.equal((await clients[2].closed).code, 1012)
})

t.test('a client that does not read is brought to the newest state, and nobody else notices', async t => {
  const server = await startBare(t)
  const url = `http://127.0.0.1:${server.port}`
  const { token } = await server.key('client')
  const [slow, healthy] = [await openClient(t, url, token), await openClient(t, url, token)]
  for (const client of [slow, healthy]) {
    client.hello()
    await client.next()
  }
  slow.socket.pause()
  let behind = 0
  let revision = 0
  while (behind < 3) {
    const before = server.hub.statistics().messagesSent
    revision = (await server.write({ ...flag(`f${revision % 5}`, 400_000, String(revision)), clientVisible: true })).revision
    t.equal((await healthy.next()).revision, revision)
    await until(() => server.hub.statistics().messagesSent > before)
    await new Promise(resolve => setImmediate(resolve))
    if (server.hub.statistics().messagesSent - before === 1) behind++
  }
  slow.socket.resume()
  let messages = 0
  for (let said = 0; said < revision; messages++) said = (await slow.next()).revision
  t.ok(messages < revision, `${messages} messages for ${revision} revisions`)
  t.same(slow.held, healthy.held)
  t.equal(server.hub.statistics().slowClosed, 0)
})

t.test('what a client has counted is taken as far as it can be true', async t => {
  const environment = await startEnvironment(t)
  const client = await openClient(t, environment.url, environment.clientKey)
  client.hello()
  await client.next()
  const row = (flag: string, variation: string | null, count: number, reason = 'FALLTHROUGH') => ({ flag, variation, reason, count })
  client.say({
    type: 'counts',
    counts: [
      row('checkout', 'on', 5),
      row('checkout', 'never', 5),
      row('checkout', 'on', CLIENT_COUNT_MAX + 1),
      row('checkout', 'off', 5, 'BECAUSE'),
      row('internal', 'on', 5),
      row('no-such-flag', null, 5),
    ],
    tracked: [
      { event: 'bought', count: 1, value: 3 },
      { event: 'stolen', count: CLIENT_COUNT_MAX + 1, value: 3 },
      ...Array.from({ length: CLIENT_EVENTS_MAX - 2 }, (_, i) => ({ event: `event-${i}`, count: 1, value: 1 })),
    ],
  })
  client.say({
    type: 'counts',
    counts: [],
    tracked: ['one-more', 'too-many', 'bought'].map(event => ({ event, count: 1, value: 1 })),
  })
  const { usage } = environment.services
  await until(() => usage.lastHour(LOG, 'checkout') > 0)
  t.match(await usage.flag(LOG, 'checkout'), { lastDay: 5, variations: { on: 5 }, services: [{ service: String }] })
  const metrics = (): Promise<string> => environment.call('GET', '/metrics').then(answer => String(answer.body))
  let told = await metrics()
  while (!told.includes('event="one-more"')) told = await metrics()
  t.match(told, /sluice_tracked_total\{[^}]*event="bought"\} 2\n/)
  t.match(told, /sluice_tracked_value\{[^}]*event="bought"\} 4\n/)
  t.notMatch(told, /stolen|too-many/, 'pages do not crowd out the events of applications')
  t.equal(usage.lastSeen(LOG, 'internal'), null)
  t.equal(usage.lastSeen(LOG, 'no-such-flag'), null)
  t.same(usage.problems(LOG), [], 'names that a page makes up are not kept')
})

function byKey(a: Item, b: Item): number {
  return a.key < b.key ? -1 : 1
}
