/** A server that is not there, or takes the connection and says nothing: the application starts all the same, in its time. */
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connect } from '../../../sdk/index.ts'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { startProxy } from './proxy.ts'

stayAlive(t)

/** Takes connections and never says a word. */
async function startHole(t: Test): Promise<string> {
  const server = await startModel(t)
  const proxy = await startProxy(t, server.url)
  proxy.freeze(true)
  return proxy.url
}

/** A port that nobody listens on: one that was free a moment ago. */
async function findNobody(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return `ws://127.0.0.1:${port}`
}

/** Generous for a busy machine, and far below every timeout of the network. */
const SOON_MS = 2_000

t.test('ready is bounded by its own time, whatever the network does', async t => {
  for (const [name, url] of [
    ['silence', await startHole(t)],
    ['nobody', await findNobody()],
  ] as const) {
    const started = performance.now()
    const client = connect({ url, key: KEY, logger: {}, readyTimeoutMs: 50 })
    t.ok(performance.now() - started < SOON_MS, 'connect itself waits for nothing')
    t.same(await client.ready(), { ok: false, stale: false, revision: 0 }, name)
    t.same(await client.ready(0), { ok: false, stale: false, revision: 0 }, name)
    t.equal(client.value('a', {}, null), null)
    t.match(client.explain('a', {}, 5), { value: 5, reason: 'ERROR', error: 'NOT_READY' })
    await client.close()
    t.ok(performance.now() - started < SOON_MS, `${name}: ${Math.round(performance.now() - started)} ms`)
  }
})

t.test('with a cache file the values are there at once', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a')])
  // The file belongs to an address: the same one answers first and is silent later.
  const proxy = await startProxy(t, server.url)
  const first = open(t, proxy.url, { cache })
  await first.ready()
  await first.close()
  proxy.freeze(true)
  const second = open(t, proxy.url, { cache })
  t.match(second.explain('a', {}, false), { value: true, stale: true })
  t.same(await second.ready(50), { ok: true, stale: true, revision: 1 })
  t.match(second.status(), { connected: false, stale: true })
})

t.test('silence is given up, tried again, and told apart from life', async t => {
  const server = await startModel(t, [flag('a')])
  const proxy = await startProxy(t, server.url)
  proxy.freeze(true)
  const { client, clock, attempts, passUntil } = openTimelapse(t, proxy.url)
  clock.advance(0)
  t.equal(attempts.length, 1)
  // Ten seconds to connect, then the first wait of at most one.
  clock.advance(12_000)
  t.equal(attempts.length, 2)
  proxy.freeze(false)
  proxy.cut()
  await passUntil(() => client.status().connected, 60_000)
  t.match(client.status(), { connected: true, stale: false, revision: 1 })
  t.equal(client.value('a', {}, false), true)
})
