import t from 'tap'
import WebSocket from 'ws'
import { manualClock } from '../../clock.ts'
import { SESSION_MS } from '../../../server/session/session.ts'
import { type Answer, startServer, type TestServer } from '../start.ts'

const PAGE = { 'x-sluice-page': '1' }

async function cookieOf(server: TestServer, key: string): Promise<string> {
  const answer = await server.call('POST', '/api/v1/session', { key }, { key: null })
  return (answer.headers.get('set-cookie') ?? '').split(';')[0]!
}

const withCookie = (
  server: TestServer,
  cookie: string,
  method: string,
  path: string,
  headers: Record<string, string> = PAGE,
): Promise<Answer> => server.call(method, path, undefined, { key: null, headers: { cookie, ...headers } })

/** How a live stream ended: the status of a refused handshake, or what it said first. */
function liveWith(server: TestServer, query: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise(resolve => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/live${query}`, { headers })
    socket.on('message', data => {
      resolve(String(data))
      socket.close()
    })
    socket.on('unexpected-response', (_request, response) => resolve(String(response.statusCode)))
    socket.on('error', () => undefined)
  })
}

t.test('a session is a cookie that scripts cannot read and other sites cannot use', async t => {
  const server = await startServer(t)
  const answer = await server.call('POST', '/api/v1/session', { key: server.adminKey }, { key: null })
  const set = answer.headers.get('set-cookie') ?? ''
  for (const part of ['HttpOnly', 'SameSite=Strict', 'Path=/']) t.match(set, part)
  t.notMatch(set, 'Secure', 'without TLS it would not come back')
  t.notOk(set.includes(server.adminKey))
  const cookie = set.split(';')[0]!
  t.equal((await withCookie(server, cookie, 'GET', '/api/v1/keys')).status, 200)
  t.match(
    (await withCookie(server, cookie, 'POST', '/api/v1/session/ticket', {})).body,
    { code: 'FORBIDDEN' },
    'a form of another site has no header',
  )
  t.equal((await withCookie(server, cookie, 'POST', '/api/v1/session/ticket')).status, 200)
  t.equal((await withCookie(server, cookie.replace(/.{8}$/, 'AAAAAAAA'), 'GET', '/api/v1/keys')).status, 401)
  const tls = await server.call(
    'POST',
    '/api/v1/session',
    { key: server.adminKey },
    { key: null, headers: { 'x-forwarded-proto': 'https' } },
  )
  t.match(tls.headers.get('set-cookie'), 'Secure')
})

t.test('a session ends with its key, with its time, and not with the server', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const { id, token } = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer' }] })
  const [mine, theirs] = [await cookieOf(server, token), await cookieOf(server, server.adminKey)]
  await server.restart({ clock })
  const status = async (cookie: string): Promise<number> => (await withCookie(server, cookie, 'GET', '/api/v1/session')).status
  t.same([await status(mine), await status(theirs)], [200, 200], 'a restart signs nobody out')
  await server.call('DELETE', `/api/v1/keys/${id}`)
  t.same([await status(mine), await status(theirs)], [401, 200])
  await server.restart({ clock, config: { adminKey: 'another-key-of-the-configuration' } })
  t.equal(await status(theirs), 401, 'a changed variable ends the sessions of the former key')
  const last = await cookieOf(server, 'another-key-of-the-configuration')
  clock.advance(SESSION_MS)
  t.equal(await status(last), 401)
})

t.test('only admin keys sign in, and roles hold as with the key itself', async t => {
  const server = await startServer(t)
  t.match(await server.call('POST', '/api/v1/session', { key: server.serverKey }, { key: null }), {
    status: 403,
    body: { code: 'FORBIDDEN' },
  })
  const { token } = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer' }] })
  const cookie = await cookieOf(server, token)
  t.equal((await withCookie(server, cookie, 'DELETE', '/api/v1/projects/default/environments/production/kills?tag=x')).status, 403)
})

t.test('a ticket opens the live stream once, soon, and for pages of this server', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const ticket = async (): Promise<string> => `?ticket=${(await server.call('POST', '/api/v1/session/ticket')).body.ticket as string}`
  const first = await ticket()
  t.match(await liveWith(server, first), '"type":"welcome"')
  t.equal(await liveWith(server, first), '401', 'used up')
  t.equal(await liveWith(server, ''), '401')
  t.equal(await liveWith(server, await ticket(), { origin: 'https://elsewhere.example' }), '403')
  const late = await ticket()
  clock.advance(31_000)
  t.equal(await liveWith(server, late), '401', 'too old')
})

t.test('the page comes under a policy that runs nothing of anybody else', async t => {
  const server = await startServer(t)
  const page = await server.call('GET', '/', undefined, { key: null })
  t.equal(page.status, 200)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/)
  t.notMatch(policy, 'unsafe')
  t.notMatch(page.body, /<script>|<style|onload=|src="http/)
  let bytes = 0
  for (const [, source] of page.body.matchAll(/(?:src|href)="\.?([^"]+)"/g)) {
    const asset = await fetch(server.url + source, { headers: { 'accept-encoding': 'br' } })
    t.match([asset.status, asset.headers.get('cache-control')], [200, /immutable/], source)
    bytes += Number(asset.headers.get('content-length'))
  }
  t.ok(bytes > 0 && bytes < 200_000, `the first view is ${bytes} bytes on the wire`)
})
