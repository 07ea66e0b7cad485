/** The client over real sockets on its ordinary ways: connected, cut, caught up, polling, dark and back. The bad days are below `baddays/`. */
import { join } from 'node:path'
import t from 'tap'
import { NOTHING } from '../../sdk/connection.ts'
import { networkTransport } from '../../sdk/transport.ts'
import { runProgram } from './baddays/child.ts'
import { startProxy } from './baddays/proxy.ts'
import { holds, LONG_MS, open, stayAlive } from './open.ts'
import { flag, KEY, startModel } from './server.ts'
import { openTimelapse } from './timelapse.ts'

stayAlive(t)
// Compilers and sockets on a busy machine.
t.setTimeout(300_000)

const MINUTE_MS = 60_000

t.test('connects, serves values, takes changes and confirms them', async t => {
  const server = await startModel(t, [flag('a'), flag('b')])
  const client = open(t, server.url, { service: 'shop' })
  t.same(await client.ready(), { ok: true, stale: false, revision: 2 })
  t.equal(client.value('a', {}, false), true)
  server.commit(flag('a', { enabled: false, version: 2 }))
  await holds(client, () => !client.value('a', {}, true))
  server.commit({ removed: 'b' })
  await holds(client, () => client.explain('b', {}, false).error === 'FLAG_NOT_FOUND')
  await server.until(() => server.received.some(message => message.type === 'applied' && message.revision === 4))
  t.match(server.received[0], { type: 'hello', service: 'shop', revision: 0, epoch: '' })
  t.match(client.status(), { revision: 4, connected: true, stale: false })
})

t.test('a cut stream is opened again, and only what was missed is sent', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, passUntil, until } = openTimelapse(t, server.url)
  await pass(1_000)
  server.commit(flag('a', { enabled: false, version: 2 }), false)
  server.cut()
  await until(() => !client.status().connected)
  await passUntil(() => !client.value('a', {}, true), MINUTE_MS)
  t.match(server.received.filter(message => message.type === 'hello').at(-1), { revision: 1, epoch: 'epoch-1' })
  t.match(client.status(), { connected: true, rulesets: 1 })
})

t.test('a change that is lost on the way is asked for', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, passUntil } = openTimelapse(t, server.url)
  await pass(1_000)
  server.commit(flag('b'), false)
  server.commit(flag('c'))
  await passUntil(() => client.value('b', {}, false) && client.value('c', {}, false), MINUTE_MS)
  t.equal(client.status().revision, 3)
})

t.test('a restored backup is taken although its revision is lower', async t => {
  const server = await startModel(t, [flag('a'), flag('b'), flag('c')])
  const { client, pass, passUntil, until } = openTimelapse(t, server.url)
  await pass(1_000)
  server.restore([flag('z')], 1)
  server.cut()
  await until(() => !client.status().connected)
  await passUntil(() => client.status().connected, MINUTE_MS)
  t.equal(client.value('z', {}, false), true)
  t.match(client.status(), { epoch: 'epoch-1+', revision: 1 })
  t.equal(client.value('a', {}, null), null)
})

t.test('where websockets are refused, polling keeps the values current', async t => {
  const server = await startModel(t, [flag('a')])
  server.refuseUpgrades(true)
  const { client, pass, passUntil } = openTimelapse(t, server.url)
  await passUntil(() => client.status().revision === 1, MINUTE_MS)
  t.match(client.status(), { connected: false, stale: false })
  server.commit(flag('a', { enabled: false, version: 2 }))
  await pass(31_000)
  t.equal(client.value('a', {}, true), false)
  const { polls } = server
  await pass(31_000)
  t.ok(server.polls > polls)
  t.match(client.status(), { connected: false, stale: false, rulesets: 1 })
  await server.until(() => server.telemetry.length > 0)
  t.match(server.telemetry[0], { type: 'counts' })
})

t.test('how long a busy server asks to be left alone is heard, of the stream and of a poll', async t => {
  const server = await startModel(t)
  server.refuse(503, 7)
  const transport = networkTransport(server.url.replace('ws', 'http'), KEY)
  t.teardown(() => transport.close())
  const lost = (): Promise<unknown[]> =>
    new Promise(resolve => {
      transport.open({ opened: () => undefined, message: () => undefined, lost: (...why) => resolve(why) })
    })
  t.same(await lost(), ['refused', 7_000])
  t.match(await transport.poll(NOTHING, new AbortController().signal), { kind: 'failed', retryAfterMs: 7_000 })
  server.refuse(503)
  t.same(await lost(), ['refused', 0])
  server.refuse(null)
  const opened = new Promise<void>(resolve => {
    transport.open({ opened: resolve, message: () => undefined, lost: () => undefined })
  })
  await t.resolves(opened)
})

t.test('a refused key is told once, and ready ends', async t => {
  const server = await startModel(t, [flag('a')])
  const errors: string[] = []
  let told: () => void = () => undefined
  const isTold = new Promise<void>(resolve => (told = resolve))
  const client = open(t, server.url, {
    key: 'a-wrong-key-of-24-characters',
    logger: {
      error: message => {
        errors.push(message)
        told()
      },
    },
  })
  await isTold
  t.match(errors, [/refused the key/])
  t.notOk(errors.join().includes('a-wrong-key'))
  t.match(await client.ready(1), { ok: false })
  t.equal(client.value('a', {}, 'default'), 'default')
})

t.test('a server that does not speak TLS is not talked to without', async t => {
  const server = await startModel(t, [flag('a')])
  const told = new Promise<string>(resolve => open(t, server.url.replace('ws:', 'wss:'), { logger: { error: resolve } }))
  t.match(await told, /does not speak TLS/)
})

t.test('while the server is dark the values stay; a start begins with the cache file; both catch up by changes', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a'), flag('b')])
  const before = openTimelapse(t, server.url, { cache })
  await before.pass(1_000)
  server.commit(flag('c'))
  await before.until(() => before.client.value('c', {}, false))
  server.goDark(true)
  await before.until(() => !before.client.status().connected)
  await before.passUntil(() => before.client.status().stale, MINUTE_MS)
  t.equal(before.client.value('c', {}, false), true)
  await before.client.close()

  const { client, pass, passUntil } = openTimelapse(t, server.url, { cache })
  t.match(client.status(), { revision: 3, stale: true, connected: false })
  t.equal(client.value('c', {}, false), true, 'before anything was awaited')
  await pass(1_000)
  t.same(await client.ready(), { ok: true, stale: true, revision: 3 })

  server.commit(flag('d'), false)
  server.goDark(false)
  await passUntil(() => client.value('d', {}, false), MINUTE_MS)
  t.match(client.status(), { revision: 4, stale: false, epoch: 'epoch-1', rulesets: 0 })
})

t.test('the process ends by itself without close as well', async t => {
  const server = await startModel(t, [flag('a')])
  const silent = await startProxy(t, server.url)
  silent.freeze(true)
  for (const [url, waitMs, expected] of [
    [server.url, LONG_MS, 'true true'],
    [silent.url, 50, 'false false'],
  ] as const) {
    const { code, stdout, stderr } = await runProgram(
      `
      const flags = connect({ url, key })
      await flags.ready(waitMs)
      process.stdout.write(flags.value('a', {}, false) + ' ' + flags.status().connected)`,
      { url, key: KEY, waitMs },
    )
    t.same([code, stdout, stderr], [0, expected, ''])
  }
})
