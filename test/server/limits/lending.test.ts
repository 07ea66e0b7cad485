/** Limits shared over the real stream: SDKs and the server on real sockets, in real time that is short and bounded. */
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import t, { type Test } from 'tap'
import { connect, type Sluice } from '../../../sdk/index.ts'
import type { LimitUsage } from '../../../schemas/limitusage.ts'
import { startServer, type TestServer } from '../start.ts'

const ENVIRONMENT = '/api/v1/projects/default/environments/development'
const RATE = 200

t.setTimeout(240_000)

async function limitFlag(server: TestServer, more: object = {}): Promise<void> {
  const value = { rate: RATE, per: 'second', keyBy: ['/account/id'] }
  const created = await server.call('POST', '/api/v1/projects/default/flags', {
    key: 'api-requests',
    kind: 'rate-limit',
    variations: [{ key: 'standard', value: { ...value, ...more } }],
    offVariation: 'standard',
  })
  if (created.status >= 300) throw new Error(JSON.stringify(created.body))
}

async function openAll(t: Test, server: TestServer, count: number): Promise<Sluice[]> {
  const clients = Array.from({ length: count }, (_, i) =>
    connect({ url: server.url, key: server.serverKey, instance: `i-${i}`, logger: {}, readyTimeoutMs: 120_000 }),
  )
  t.teardown(() => Promise.all(clients.map(client => client.close())))
  await Promise.all(clients.map(client => client.ready(120_000)))
  return clients
}

/** Asks in turns for so long, about `perSecond` in all; answers how often it was allowed and denied. */
async function traffic(
  clients: readonly Sluice[],
  account: string,
  perSecond: number,
  ms: number,
): Promise<{ allowed: number; denied: number; ms: number }> {
  let [allowed, denied, asked] = [0, 0, 0]
  const start = performance.now()
  const timer = setInterval(() => {
    for (const due = ((performance.now() - start) * perSecond) / 1_000; asked < due; asked++) {
      const client = clients[asked % clients.length]!
      if (client.limit('api-requests', { account: { id: account } }).allowed) allowed++
      else denied++
    }
  }, 10)
  await once(AbortSignal.timeout(ms), 'abort')
  clearInterval(timer)
  return { allowed, denied, ms: performance.now() - start }
}

const usageOf = async (server: TestServer): Promise<LimitUsage> => {
  const { status, body } = await server.call('GET', `${ENVIRONMENT}/limits/api-requests/usage`)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body as LimitUsage
}

t.test('several instances share one limit, and the server says who uses it', async t => {
  const server = await startServer(t)
  await limitFlag(server)
  const clients = await openAll(t, server, 5)
  const noisy = await traffic(clients, 'a-17', 3 * RATE, 4_000)
  const calm = await traffic(clients, 'a-1', 20, 1_000)
  t.equal(calm.denied, 0, 'nobody else is denied')
  t.ok(noisy.denied > 0, `some were denied: ${JSON.stringify(noisy)}`)

  const usage = await usageOf(server)
  const [busiest] = usage.keys
  t.match(usage, { flag: 'api-requests', instances: 5, silent: 0 })
  t.match(busiest, { key: 'a-17', variation: 'standard' })
  t.equal(
    usage.denied.minute,
    usage.keys.reduce((sum, key) => sum + key.denied.minute, 0),
    'the whole is the sum of its keys',
  )
  const { body } = await server.call('GET', `${ENVIRONMENT}/limits?keys=1`)
  t.match(body, { limits: [{ flag: 'api-requests', instances: 5, keys: [{ key: 'a-17' }] }] })
  t.ok(body.limits[0].denied.hour > 0, 'the list says the same')
  // Exact, not statistical: what was issued, what may be lent beside it, and the seeds of cold counters.
  const seeds = clients.length * Math.max(1, Math.floor(RATE / 4 / clients.length)) + RATE / 4
  const most = (RATE * noisy.ms) / 1_000 + RATE / 4 + (busiest?.overAdmissionMax ?? 0) + seeds
  t.ok(noisy.allowed <= most, `admitted ${noisy.allowed} of at most ${Math.round(most)}`)
  t.ok(noisy.allowed >= (RATE * noisy.ms) / 1_000 / 4, 'and not a fraction of it')
  t.ok(busiest!.admitted.minute <= noisy.allowed && busiest!.admitted.minute > noisy.allowed / 2, 'reported while it went on')

  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  t.match(
    metrics,
    /sluice_limit_admitted_total\{project="default",environment="development",flag="api-requests",variation="standard"\} \d+/,
  )
  t.match(metrics, /sluice_limit_keys\{[^}]*\} [12]\n/)
})

t.test('a change of the rate reaches buckets that run, and an instance that ends gives back what it holds', async t => {
  const server = await startServer(t)
  await limitFlag(server, { onPartition: 'closed' })
  const clients = await openAll(t, server, 3)
  await traffic(clients, 'a-17', 2 * RATE, 1_500)
  const flag = await server.call('GET', '/api/v1/projects/default/flags/api-requests')
  t.equal(flag.status, 200)
  const changed = await server.call('PATCH', '/api/v1/projects/default/flags/api-requests?force=true', {
    variations: [{ key: 'standard', value: { rate: 0, per: 'second', keyBy: ['/account/id'] } }],
  })
  t.ok(changed.status < 300, JSON.stringify(changed.body).slice(0, 300))
  const [first] = clients
  await new Promise<void>(resolve => {
    const look = (): void => {
      if (first!.limit('api-requests', { account: { id: 'a-2' } }).reason === 'CUT') resolve()
    }
    first!.on('change', look)
    look()
  })
  t.match(first!.limit('api-requests', { account: { id: 'a-17' } }), { allowed: false, reason: 'CUT', retryAfterMs: Infinity })

  const before = await usageOf(server)
  t.equal(before.instances, 3)
  await clients[2]!.close()
  for (let usage = await usageOf(server); usage.instances > 2 || usage.silent > 0; usage = await usageOf(server))
    await once(AbortSignal.timeout(50), 'abort')
  t.pass('an instance that took leave is not waited for')
})

t.test('what is no limit is said, with what to do', async t => {
  const server = await startServer(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'release' })
  t.match(await server.call('GET', `${ENVIRONMENT}/limits/checkout/usage`), { status: 400, body: { code: 'INVALID_REQUEST' } })
  t.match(await server.call('GET', `${ENVIRONMENT}/limits/nothing/usage`), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  const [client] = await openAll(t, server, 1)
  t.match(client!.limit('checkout', {}), { allowed: true, reason: 'ERROR' }, 'a limit that is none keeps nobody out')
  t.match(client!.limit('nothing', {}), { allowed: true, reason: 'ERROR' })
  t.match(await client!.limitOrWait('nothing', {}), { allowed: true })
})

t.test('limitOrWait waits for its turn, or says at once that it cannot come in time', async t => {
  const server = await startServer(t)
  await limitFlag(server, { rate: 4, burst: 1 })
  const [client] = await openAll(t, server, 1)
  const context = { account: { id: 'a' } }
  const waited = await Promise.all([0, 1, 2].map(() => client!.limitOrWait('api-requests', context, { timeoutMs: 60_000 })))
  t.ok(
    waited.every(({ allowed }) => allowed),
    JSON.stringify(waited),
  )
  let last = client!.limit('api-requests', context)
  while (last.allowed) last = client!.limit('api-requests', context)
  const start = performance.now()
  t.equal((await client!.limitOrWait('api-requests', context, { timeoutMs: 1 })).allowed, false)
  t.ok(performance.now() - start < 60_000)
})
