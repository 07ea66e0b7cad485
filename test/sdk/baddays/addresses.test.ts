/** Where the server is: every way to write it, TLS that is trusted and TLS that is not, a path in front, and what is no address. */
import { request as forward } from 'node:http'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { runProgram } from './child.ts'
import { TLS_CERTIFICATE, TLS_KEY } from './certificate.ts'

stayAlive(t)

/** TLS in front of a server, as a load balancer has it; only what is below `path` is carried on. */
async function startFront(t: Test, target: string, path: string): Promise<Server & { readonly port: number }> {
  const { hostname, port } = new URL(target)
  const server = createServer({ key: TLS_KEY, cert: TLS_CERTIFICATE }, (request, response) => {
    const { url = '', method, headers } = request
    if (!url.startsWith(`${path}/`)) return void response.writeHead(404).end()
    const onward = forward({ hostname, port, method, headers, path: url.slice(path.length) }, answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  })
  server.on('upgrade', (request, socket) => {
    const { url = '', rawHeaders } = request
    if (!url.startsWith(`${path}/`)) return void socket.end('HTTP/1.1 404 No\r\n\r\n')
    const onward = connect(Number(port), hostname)
    onward.write(`GET ${url.slice(path.length)} HTTP/1.1\r\n`)
    for (let i = 0; i < rawHeaders.length; i += 2) onward.write(`${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`)
    onward.write('\r\n')
    for (const one of [socket, onward]) one.on('error', () => undefined)
    socket.pipe(onward).pipe(socket)
    t.teardown(() => void [socket, onward].map(one => one.destroy()))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(server, { port: (server.address() as AddressInfo).port })
}

t.test('ws and http, with and without a slash at the end', async t => {
  const server = await startModel(t, [flag('a')])
  for (const url of [
    server.url,
    `${server.url}/`,
    `${server.url}//`,
    server.url.replace('ws:', 'http:'),
    `${server.url}/#fragment`,
    new URL(server.url),
  ]) {
    const client = open(t, url as string)
    t.match(await client.ready(), { ok: true, stale: false }, String(url))
    t.equal(client.status().connected, true)
  }
})

t.test('wss and https below a path, by stream and by poll, with a certificate that the system trusts', async t => {
  const server = await startModel(t, [flag('a')])
  const polled = await startModel(t, [flag('a')])
  polled.refuseUpgrades(true)
  const file = join(t.testdir(), 'certificate.pem')
  writeFileSync(file, TLS_CERTIFICATE)
  const streaming = await startFront(t, server.url, '/flags/eu')
  const polling = await startFront(t, polled.url, '/flags/eu')
  const urls = [
    `wss://localhost:${streaming.port}/flags/eu`,
    `https://localhost:${streaming.port}/flags/eu/`,
    `wss://localhost:${polling.port}/flags/eu/`,
  ]
  const { code, stdout, stderr } = await runProgram(
    `
    for (const url of urls) {
      const flags = connect({ url, key, logger: {} })
      const { ok } = await flags.ready(60_000)
      console.log(ok, flags.value('a', {}, false), flags.status().connected)
      await flags.close()
    }`,
    { urls, key: KEY, env: { NODE_EXTRA_CA_CERTS: file } },
  )
  t.equal(code, 0, stderr)
  t.equal(stdout, 'true true true\ntrue true true\ntrue true false\n')
})

t.test('a certificate that nobody vouches for is refused for an hour, told once, and sees no key', async t => {
  const server = await startModel(t, [flag('a')])
  const front = await startFront(t, server.url, '')
  const { client, pass, log, attempts } = openTimelapse(t, `wss://127.0.0.1:${front.port}`)
  await pass(3_600_000, 10_000)
  t.match(client.status(), { connected: false, revision: 0 })
  t.equal(client.value('a', {}, null), null)
  t.same(log.filter(line => line.startsWith('error')).length, 1)
  t.match(log.join(), /certificate is not trusted/)
  t.ok(attempts.length > 11 && attempts.length < 30, `${attempts.length} attempts`)
  t.equal(server.polls + server.received.length, 0)
})
