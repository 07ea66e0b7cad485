/** The client against the real server: values, changes, kills, restarts, receipts and counts. */
import { request as send } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Options, Sluice } from '../../sdk/types.ts'
import { startServer, type TestServer } from '../server/start.ts'
import { listen } from './http/scene.ts'
import { holds, open as openClient, stayAlive } from './open.ts'

const ENVIRONMENT = '/api/v1/projects/default/environments/development'

stayAlive(t)

function open(t: Test, server: TestServer, options: Partial<Options> = {}): Sluice {
  return openClient(t, server.url, { key: server.serverKey, ...options })
}

async function write(t: Test, server: TestServer, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await server.call(method, path, body)
  t.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`)
  return answer.body as Record<string, unknown>
}

const newFlag = (key: string, more: object = {}) => ({ key, kind: 'release', enabled: true, ...more })

// Compilers and sockets on a busy machine.
t.setTimeout(300_000)

t.test('a flag that is made, edited, killed, lifted and archived arrives each time, and the receipt is back', async t => {
  const server = await startServer(t)
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('new-ledger'))
  const client = open(t, server, { service: 'shop', instance: 'shop-1' })
  t.match(await client.ready(), { ok: true, stale: false })
  await write(t, server, 'PATCH', `${ENVIRONMENT}/flags/new-ledger`, { enabled: true })
  await holds(client, () => client.value('new-ledger', {}, false))

  const killed = await write(t, server, 'POST', `${ENVIRONMENT}/flags/new-ledger/kills`, { reason: 'double charges' })
  await holds(client, () => !client.value('new-ledger', {}, true))
  t.match(client.explain('new-ledger', {}, true), { reason: 'KILLED', variation: 'off', revision: killed.revision })
  const receipts = await server.call('GET', `${ENVIRONMENT}/changes/${String(killed.revision)}/receipts?waitMs=30000`)
  t.match(receipts.body, { instances: 1, confirmed: 1 })
  const instances = await server.call('GET', `${ENVIRONMENT}/instances`)
  t.match(instances.body, { instances: [{ id: 'shop-1', service: 'shop', revision: killed.revision }] })

  await write(t, server, 'DELETE', `${ENVIRONMENT}/flags/new-ledger/kills`)
  await holds(client, () => client.value('new-ledger', {}, false))
  await write(t, server, 'DELETE', `${ENVIRONMENT}/flags/new-ledger?force=true`)
  await holds(client, () => client.explain('new-ledger', {}, false).error === 'FLAG_NOT_FOUND')
  t.equal(client.status().rulesets, 1, 'everything after the first arrived as changes')
})

t.test('a server that restarts is caught up with by changes; a cache file bridges the time', async t => {
  const server = await startServer(t)
  const cache = join(t.testdirName, 'sluice.json')
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('a'))
  await write(t, server, 'PATCH', `${ENVIRONMENT}/flags/a`, { enabled: true })
  const first = open(t, server, { cache })
  await first.ready()
  t.equal(first.value('a', {}, false), true)
  await first.close()

  const second = open(t, server, { cache })
  t.match(second.status(), { stale: true, connected: false }, 'from the file, before the first word with the server')
  t.equal(second.value('a', {}, false), true)
  await second.ready()
  await holds(second, () => !second.status().stale)
  await server.restart()
  await write(t, server, 'PATCH', `${ENVIRONMENT}/flags/a`, { enabled: false })
  await holds(second, () => !second.value('a', {}, true))
  t.equal(second.status().rulesets, 0, 'only changes')
})

t.test('counts arrive: the server knows the flag is in use', async t => {
  const server = await startServer(t)
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('a'))
  const client = open(t, server)
  await client.ready()
  for (let i = 0; i < 41; i++) client.value('a', {}, false)
  await client.close()
  const seen = async (): Promise<number> => {
    for (;;) {
      const evaluations = server.services.usage.lastHour('default/development', 'a')
      if (evaluations > 0) return evaluations
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  t.equal(await seen(), 41)
})

t.test('polling alone gives the same', async t => {
  const server = await startServer(t)
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('a'))
  const headers = { authorization: `Bearer ${server.serverKey}` }
  const whole = await fetch(`${server.url}/ruleset`, { headers })
  t.equal(whole.status, 200)
  const { epoch, revision, hash } = (await whole.json()) as { epoch: string; revision: number; hash: string }
  t.equal(whole.headers.get('etag'), `"${epoch}.${revision}.${hash}"`)
  // The second is what an SDK sends that does not know hashes yet.
  for (const held of [`"${epoch}.${revision}.${hash}"`, `"${epoch}.${revision}"`]) {
    const again = await fetch(`${server.url}/ruleset`, { headers: { ...headers, 'if-none-match': held } })
    t.equal(again.status, 304)
  }
  const other = await fetch(`${server.url}/ruleset`, { headers: { ...headers, 'if-none-match': `"${epoch}.${revision}.0123"` } })
  t.equal(other.status, 200)
})

t.test('a revoked key ends the stream, and the values stay', async t => {
  const server = await startServer(t)
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('a'))
  const { id, token } = await server.makeKey('server')
  const told = new Promise<string>(resolve => {
    const client = open(t, server, { key: token, logger: { error: resolve } })
    void client.ready().then(async () => server.call('DELETE', `/api/v1/keys/${id}`))
  })
  t.match(await told, /refused the key/)
})

t.test('outcomes arrive: on the stream, and beside it while that is refused', async t => {
  const server = await startServer(t)
  await write(t, server, 'POST', '/api/v1/projects/default/flags', newFlag('a'))
  await write(t, server, 'PATCH', `${ENVIRONMENT}/flags/a`, { enabled: true })
  /** As Prometheus would read it. */
  const errors = async (): Promise<number> => {
    await new Promise(resolve => setTimeout(resolve, 10))
    const { body } = await server.call('GET', '/metrics')
    const line = String(body)
      .split('\n')
      .find(line => line.startsWith('sluice_outcome_errors_total{') && line.includes('variation="on"'))
    return Number(line?.split(' ').at(-1) ?? 0)
  }
  const onStream = open(t, server)
  await onStream.ready()
  await holds(onStream, () => onStream.value('a', {}, false))
  for (let i = 0; i < 3; i++) onStream.report('a', { targetingKey: 'x' }, { ok: false, ms: 5 })
  onStream.report('a', { targetingKey: 'y' }, { ok: true, ms: 5 })
  await onStream.close()
  while ((await errors()) < 3);

  // A proxy that lets no upgrade through.
  const proxy = await listen(t, (request, response) => {
    const { host: _, ...headers } = request.headers
    if (headers.upgrade !== undefined) return void response.writeHead(403).end()
    const onward = send(`${server.url}${request.url!}`, { method: request.method!, headers }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  })
  const polling = openClient(t, proxy, { key: server.serverKey })
  await polling.ready()
  polling.report('a', { targetingKey: 'x' }, { ok: false, ms: 5 })
  await polling.close()
  while ((await errors()) < 4);
})
