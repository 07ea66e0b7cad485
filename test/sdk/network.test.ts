/** The client over real sockets, against a server that misbehaves: refused, cut, mute, gone, swallowed. */
import { execFile } from 'node:child_process'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { connect } from '../../sdk/index.ts'
import { NOTHING } from '../../sdk/connection.ts'
import { networkTransport } from '../../sdk/transport.ts'
import type { Options, Sluice } from '../../sdk/types.ts'
import { flag, KEY, startModel } from './server.ts'

/** Made for this test and used nowhere else: a certificate that signs itself. */
const TLS_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD7ZjFSudfQ/BiSHb
3T13r4qjQhBlNC8xp/Lw14A5pFChRANCAAS0aHjCmYJosEN8XNK6gyQx9eWDy8my
nGfvh2054eBThWfc8tXajsZPiNBAS5e5IAGCW8ajqMbdVQWlp2v6WGC9
-----END PRIVATE KEY-----
`
const TLS_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUUhOdZDuYsIFoHy6jFN8XI9BYGyAwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIxMjYxNloYDzIxMjYxMDMw
MjEyNjE2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS0aHjCmYJosEN8XNK6gyQx9eWDy8mynGfvh2054eBThWfc8tXajsZP
iNBAS5e5IAGCW8ajqMbdVQWlp2v6WGC9o1MwUTAdBgNVHQ4EFgQUrzPV/ZGWQ6Uu
DGYWGhg/vHgl/C8wHwYDVR0jBBgwFoAUrzPV/ZGWQ6UuDGYWGhg/vHgl/C8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAiaO0zJSLXmTfhMF908MQ
+tLCYOcHfTnqMXZYErV8358CIQDFw3pfPuWpgkSbrnQANfdoQuhPsdcuCNfVUCUA
yDgttw==
-----END CERTIFICATE-----
`

/** Far more than any of this takes: a test that waits so long has failed. */
const LONG_MS = 120_000

// Nothing of the SDK keeps a process alive, so that a test which waits for it alone must.
const alive = setInterval(() => undefined, LONG_MS)
t.teardown(() => clearInterval(alive))

function open(t: Test, url: string, options: Partial<Options> = {}): Sluice {
  const client = connect({ url, key: KEY, logger: {}, pollIntervalMs: 1_000, readyTimeoutMs: LONG_MS, ...options })
  t.teardown(() => client.close())
  return client
}

/** Resolves at the next `change` that leaves the condition true. */
function changed(client: Sluice, condition: () => boolean): Promise<void> {
  return new Promise(resolve => {
    const end = client.on('change', () => {
      if (!condition()) return
      end()
      resolve()
    })
    if (condition()) resolve()
  })
}

function became(client: Sluice, stale: boolean): Promise<void> {
  return new Promise(resolve => {
    const end = client.on('stale', is => {
      if (is !== stale) return
      end()
      resolve()
    })
    if (client.status().stale === stale) resolve()
  })
}

// Compilers and sockets on a busy machine.
t.setTimeout(300_000)

t.test('connects, serves values, takes changes and confirms them', async t => {
  const server = await startModel(t, [flag('a'), flag('b')])
  const client = open(t, server.url, { service: 'shop' })
  t.same(await client.ready(), { ok: true, stale: false, revision: 2 })
  t.equal(client.value('a', {}, false), true)
  server.commit(flag('a', { enabled: false, version: 2 }))
  await changed(client, () => !client.value('a', {}, true))
  server.commit({ removed: 'b' })
  await changed(client, () => client.explain('b', {}, false).error === 'FLAG_NOT_FOUND')
  await server.until(() => server.received.some(message => message.type === 'applied' && message.revision === 4))
  t.match(server.received[0], { type: 'hello', service: 'shop', revision: 0, epoch: '' })
  t.match(client.status(), { revision: 4, connected: true, stale: false })
})

t.test('a cut stream is opened again, and only what was missed is sent', async t => {
  const server = await startModel(t, [flag('a')])
  const client = open(t, server.url)
  await client.ready()
  await server.until(() => server.live.size === 1)
  server.commit(flag('a', { enabled: false, version: 2 }), false)
  server.cut()
  await changed(client, () => !client.value('a', {}, true))
  t.match(server.received.filter(message => message.type === 'hello').at(-1), { revision: 1, epoch: 'epoch-1' })
})

t.test('a change that is lost on the way is asked for', async t => {
  const server = await startModel(t, [flag('a')])
  const client = open(t, server.url)
  await client.ready()
  await server.until(() => server.live.size === 1)
  server.commit(flag('b'), false)
  server.commit(flag('c'))
  await changed(client, () => client.value('b', {}, false) && client.value('c', {}, false))
  t.equal(client.status().revision, 3)
})

t.test('what cannot be understood cuts the link and leaves the values', async t => {
  const messages = ['{', '[]', '5', '{"type":"change"}', '{"type":"ruleset","epoch":"x","revision":1,"flags":[{}],"segments":[]}']
  await Promise.all(
    messages.map(async nonsense => {
      const server = await startModel(t, [flag('a')])
      const client = open(t, server.url)
      await client.ready()
      await server.until(() => server.live.size === 1)
      server.send({ type: 'of a newer server', flags: 5 })
      server.send(nonsense)
      await server.until(() => server.received.filter(message => message.type === 'hello').length === 2)
      t.equal(client.value('a', {}, false), true, nonsense)
    }),
  )
})

t.test('a restored backup is taken although its revision is lower', async t => {
  const server = await startModel(t, [flag('a'), flag('b'), flag('c')])
  const client = open(t, server.url)
  await client.ready()
  await server.until(() => server.live.size === 1)
  server.restore([flag('z')], 1)
  server.cut()
  await changed(client, () => client.value('z', {}, false))
  t.match(client.status(), { epoch: 'epoch-1+', revision: 1 })
  t.equal(client.value('a', {}, false), false)
})

t.test('where websockets are refused, polling keeps the values current', async t => {
  const server = await startModel(t, [flag('a')])
  server.refuseUpgrades(true)
  const client = open(t, server.url)
  t.same(await client.ready(), { ok: true, stale: false, revision: 1 })
  t.equal(client.status().connected, false)
  server.commit(flag('a', { enabled: false, version: 2 }))
  await changed(client, () => !client.value('a', {}, true))
  const polls = server.polls
  await server.until(() => server.polls > polls)
  t.equal(client.status().stale, false)
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

t.test('a certificate that nobody vouches for is not trusted', async t => {
  const server = createTlsServer({ key: TLS_KEY, cert: TLS_CERTIFICATE })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const told = new Promise<string>(resolve =>
    open(t, `wss://127.0.0.1:${(server.address() as AddressInfo).port}`, { logger: { error: resolve } }),
  )
  t.match(await told, /certificate is not trusted/)
})

t.test('a server that does not speak TLS is not talked to without', async t => {
  const server = await startModel(t, [flag('a')])
  const told = new Promise<string>(resolve => open(t, server.url.replace('ws:', 'wss:'), { logger: { error: resolve } }))
  t.match(await told, /does not speak TLS/)
})

t.test('a redirect is not followed', async t => {
  const server = await startModel(t, [flag('a')])
  server.refuse(302)
  const client = open(t, server.url)
  t.match(await client.ready(1), { ok: false })
  t.equal(client.value('a', {}, 1), 1)
})

t.test('while the server is dark the values stay; a start begins with the cache file; both catch up by changes', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a'), flag('b')])
  const before = open(t, server.url, { cache })
  await before.ready()
  await server.until(() => server.live.size === 1)
  server.commit(flag('c'))
  await changed(before, () => before.value('c', {}, false))
  server.goDark(true)
  await became(before, true)
  t.equal(before.value('c', {}, false), true)
  await before.close()

  const after = open(t, server.url, { cache })
  t.match(after.status(), { revision: 3, stale: true, connected: false })
  t.equal(after.value('c', {}, false), true, 'before anything was awaited')
  t.same(await after.ready(), { ok: true, stale: true, revision: 3 })

  server.commit(flag('d'), false)
  server.goDark(false)
  await changed(after, () => after.value('d', {}, false))
  await became(after, false)
  t.match(after.status(), { revision: 4, stale: false, epoch: 'epoch-1' })
})

/** Takes connections and never says a word. */
async function startHole(t: Test): Promise<string> {
  const sockets = new Set<Socket>()
  const hole = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>(resolve => hole.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    hole.close()
  })
  return `ws://127.0.0.1:${(hole.address() as AddressInfo).port}`
}

t.test('a server that swallows everything does not hold up the start', async t => {
  const client = open(t, await startHole(t))
  t.same(await client.ready(50), { ok: false, stale: false, revision: 0 })
  t.equal(client.value('a', {}, 5), 5)
  await client.close()
})

t.test('a server that takes the socket but never answers does not either', async t => {
  const server = await startModel(t, [flag('a')])
  server.stayMute()
  const client = open(t, server.url)
  await server.until(() => server.received.length > 0)
  t.same(await client.ready(50), { ok: false, stale: false, revision: 0 })
})

t.test('the process ends by itself: after close, and without it', async t => {
  const server = await startModel(t, [flag('a')])
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS'))
  const sdk = new URL('../../sdk/index.js', import.meta.url).href
  const cache = join(t.testdir(), 'sluice.json')
  const hole = await startHole(t)
  for (const [url, ending, expected] of [
    [server.url, 'await flags.close()', 'truetrue'],
    [server.url, '', 'truetrue'],
    [hole, 'await flags.close()', 'falsefalse'],
    [hole, '', 'falsefalse'],
  ] as const) {
    const code = `
      import { connect } from '${sdk}'
      const flags = connect({ url: '${url}', key: '${KEY}', ${url === hole ? '' : `cache: ${JSON.stringify(cache)}`} })
      await flags.ready(${url === hole ? 50 : LONG_MS})
      process.stdout.write(String(flags.value('a', {}, false)) + flags.status().connected)
      ${ending}`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { env, timeout: LONG_MS })
    t.equal(stdout, expected, `${url} ${ending}`)
  }
})
