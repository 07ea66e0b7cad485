/** What every route refuses, whatever it does. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { anyKey, everyone } from '../../../server/access/policy.ts'
import { route } from '../../../server/http/route.ts'
import { everyRoute } from '../access/everyroute.ts'
import { startServer, type TestServer } from '../start.ts'

t.test('every route refuses a body that it does not know', async t => {
  const server = await startServer(t)
  const serverKey = await server.makeKey('server', 'production')
  const bodies: [name: string, body: string, code: string][] = [
    ['an unknown field', '{"nonsense":1}', 'INVALID_REQUEST'],
    ['a list', '[]', 'INVALID_REQUEST'],
    ['a text', '"text"', 'INVALID_REQUEST'],
    ['a number', '7', 'INVALID_REQUEST'],
    ['a boolean', 'true', 'INVALID_REQUEST'],
    ['a prototype', '{"__proto__":{"isAdmin":true}}', 'INVALID_REQUEST'],
    ['a constructor', '{"constructor":{"prototype":{"isAdmin":true}}}', 'INVALID_REQUEST'],
    ['a number that is not finite', '{"comment":1e400}', 'INVALID_REQUEST'],
    ['a deep one', `{"comment":${'['.repeat(50)}${']'.repeat(50)}}`, 'INVALID_REQUEST'],
    ['a bottomless one', '['.repeat(30_000) + ']'.repeat(30_000), 'INVALID_REQUEST'],
    ['a key twice', '{"comment":"a","comment":"b"}', 'INVALID_JSON'],
    ['half a body', '{"comment":', 'INVALID_JSON'],
    ['half a surrogate', '{"comment":"\\ud800"}', 'INVALID_REQUEST'],
  ]
  const wrong: string[] = []
  let asked = 0
  for (const { name, method, path, description, route } of everyRoute(server.sluice.routes)) {
    // A GET has no body: whatever follows it is not read. Evaluations answer in OpenFeature's own form and have their own tests.
    // What outside tools send is taken as bytes and looked at by the hook.
    if (method === 'GET' || description.tag === 'ofrep' || description.rawBody === true) continue
    const key = route.policy.allow === 'kinds' && !route.policy.kinds.includes('admin') ? serverKey.token : server.adminKey
    for (const [what, body, code] of bodies) {
      asked++
      const answer = await server.call(method, path, body, { key })
      const ok = answer.status === 400 && answer.body?.code === code && answer.body.message !== '' && Array.isArray(answer.body.details)
      if (!ok) wrong.push(`${name} with ${what}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`)
    }
  }
  t.same(wrong, [])
  t.ok(asked > 200, `${asked} requests`)
  t.equal(({} as Record<string, unknown>).isAdmin, undefined)
})

t.test('every route refuses a query that it does not know', async t => {
  const server = await startServer(t)
  const tokens = {
    server: (await server.makeKey('server', 'production')).token,
    client: (await server.makeKey('client', 'production')).token,
  }
  const wrong: string[] = []
  for (const { name, method, path, description, route } of everyRoute(server.sluice.routes)) {
    // What tools add to the address of a hook is not looked at.
    if (description.tag === 'ofrep' || path === '/metrics' || description.rawBody === true) continue
    const kinds = route.policy.allow === 'kinds' ? route.policy.kinds : []
    const key = kinds.includes('server') ? tokens.server : kinds.includes('client') ? tokens.client : server.adminKey
    for (const query of ['nonsense=1', '__proto__=1', 'dryRun=true&dryRun=false', 'comment=a&comment=b']) {
      const answer = await server.call(method, `${path}?${query}`, undefined, { key })
      if (answer.status !== 400 || answer.body?.code !== 'INVALID_REQUEST')
        wrong.push(`${name}?${query}: ${answer.status} ${answer.body?.code}`)
    }
  }
  t.same(wrong, [])
})

t.test('what is wrong with a field reads on after its path', async t => {
  const server = await startServer(t)
  const flags = '/api/v1/projects/default/environments/development'
  const rows: readonly [method: 'GET' | 'POST' | 'DELETE', path: string, body: unknown, said: RegExp][] = [
    ['DELETE', `${flags}/kills`, undefined, /: tag is missing: expected string\.$/],
    ['POST', '/api/v1/projects', { key: 7 }, /: key is of type number, expected string\.$/],
    ['GET', `${flags}/flags?state=purple`, undefined, /: state is none of "on", "off", "killed"\.$/],
    ['GET', `${flags}/changes?limit=501`, undefined, /: limit is too big: expected number to be <=500\.$/],
  ]
  for (const [method, path, body, said] of rows) {
    const { status, body: answer } = await server.call(method, path, body)
    t.equal(status, 400, path)
    t.match(answer.message, said)
  }
})

t.test('bodies are JSON in one spelling, as they are', async t => {
  const server = await startServer(t)
  const send = async (headers: Record<string, string>, body = '{"key":"x"}') => {
    const { status, body: answer } = await server.call('POST', '/api/v1/projects?dryRun=true', body, { headers })
    return status === 201 ? 'taken' : answer.code
  }
  for (const type of ['application/json', 'application/json; charset=utf-8', 'application/json;charset=UTF-8']) {
    t.equal(await send({ 'content-type': type }), 'taken', type)
  }
  const refused = [
    'text/plain',
    'application/json; charset=latin1',
    'application/json; charset=utf-8; x=y',
    'application/jsonx',
    'application/json\t; charset=utf-8',
    'application/json ;charset=utf-8',
    'application/json, text/plain',
    'Application/JSON',
    'application/vnd.api+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'json',
    '*/*',
    ';',
  ]
  for (const type of refused) t.equal(await send({ 'content-type': type }), 'UNSUPPORTED_MEDIA_TYPE', type)
  for (const encoding of ['gzip', 'br', 'deflate, identity'])
    t.equal(await send({ 'content-encoding': encoding }), 'UNSUPPORTED_MEDIA_TYPE', encoding)
  t.equal(await send({}, ''), 'INVALID_REQUEST', 'the type alone is no body, and this route needs one')
  t.match(
    await server.call('POST', '/api/v1/projects/default/environments/production/changes/1/revert', '{}', {
      headers: { 'content-type': 'text/plain' },
      key: null,
    }),
    { status: 401 },
    'without a key one does not learn what is taken',
  )
})

t.test('a body that is too large is not read to its end', async t => {
  const server = await startServer(t)
  const answer = await server.call('POST', '/api/v1/projects', { key: 'x', description: 'x'.repeat(1024 * 1024) })
  t.match(answer, { status: 413, body: { code: 'BODY_TOO_LARGE', message: /1048576/ } })
})

t.test('a body in many pieces is read as one, up to its limit, and half a body is none', async t => {
  const server = await startServer(t)
  const head = (rest: string): string =>
    `POST /api/v1/projects HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${server.adminKey}\r\ncontent-type: application/json\r\n${rest}\r\n\r\n`
  const chunked = (pieces: readonly string[]): string =>
    head('transfer-encoding: chunked') + [...pieces, ''].map(piece => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`).join('')
  t.match(await raw(server, chunked(['{"key":"', 'pieces","na', 'me":"Zoë"}'])), /^HTTP\/1\.1 201 .*"name":"Zoë"/s)
  t.match(await raw(server, chunked([])), /^HTTP\/1\.1 400 .*"code":"INVALID_REQUEST"/s, 'none at all')
  const many = Array.from({ length: 17 }, () => 'x'.repeat(65_536))
  t.match(await raw(server, chunked(['{"key":"', ...many, '"}'])), /^HTTP\/1\.1 413 .*"code":"BODY_TOO_LARGE"/s)

  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.end(`${head('content-length: 100')}{"key":"half"`)
  await once(socket.resume(), 'close')
  t.equal((await server.call('GET', '/api/v1/projects/half')).status, 404, 'nothing was made of it')
})

t.test('a path with another method says which it takes, an unknown one says where to look', async t => {
  const server = await startServer(t)
  const answer = await server.call('PUT', '/api/v1/projects/default')
  t.match(answer, { status: 405, body: { code: 'METHOD_NOT_ALLOWED' } })
  t.equal(answer.headers.get('allow'), 'DELETE, GET, HEAD, PATCH')
  t.match(await server.call('GET', '/nothing/here?secret=x'), {
    status: 404,
    body: { code: 'ROUTE_NOT_FOUND', message: /There is no GET \/nothing\/here here/ },
  })
  t.match(await server.call('GET', `/api/v1/projects/${'x'.repeat(300)}`), { status: 404, body: { code: 'PROJECT_NOT_FOUND' } })
  t.match(await server.call('GET', `/api/v1/projects/${'x'.repeat(2_000)}`), { status: 404, body: { code: 'ROUTE_NOT_FOUND' } })
  t.match(await server.call('GET', '/api/v1/projects/%ff'), { status: 400, body: { code: 'INVALID_REQUEST' } })
  t.match(await server.call('HEAD', '/healthz'), { status: 200, body: undefined })
})

t.test('a fault inside is answered with an id, not with its text', async t => {
  const lines: Record<string, unknown>[] = []
  const server = await startServer(t, {
    logger: recording(lines),
    extend: app => {
      route(app, {
        method: 'GET',
        url: '/fault',
        policy: anyKey,
        tag: 'test',
        summary: 'x',
        handler: () => Promise.reject(new Error('the password is hunter2')),
      })
      route(app, {
        method: 'GET',
        url: '/odd',
        policy: everyone,
        tag: 'test',
        summary: 'x',
        handler: () => {
          // Libraries throw more than errors.
          throw JSON.parse('{"statusCode":418,"message":"hunter2"}')
        },
      })
    },
  })
  const { status, body } = await server.call('GET', '/fault')
  t.match({ status, body }, { status: 500, body: { code: 'INTERNAL', details: [] } })
  t.notMatch(body.message, /hunter2/)
  const id = /request "([^"]+)"/.exec(body.message)?.[1]
  t.ok(
    lines.some(line => line.requestId === id && (line.err as Error).message === 'the password is hunter2'),
    'the log says what it was',
  )
  t.notMatch(JSON.stringify(lines), new RegExp(server.adminKey), 'and never the key')
  const odd = await server.call('GET', '/odd')
  t.notMatch(JSON.stringify(odd.body), /hunter2/)
})

t.test('what is not HTTP gets an answer of the same shape', async t => {
  const server = await startServer(t)
  for (const [what, expected] of [
    ['nonsense\r\n\r\n', /^HTTP\/1\.1 400 .*"code":"INVALID_REQUEST"/s],
    [`GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 .*"code":"INVALID_REQUEST"/s],
    ['POST /telemetry HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n', /^HTTP\/1\.1 400 /],
  ] as const) {
    t.match(await raw(server, what), expected, what.slice(0, 20))
  }
  t.equal((await server.call('GET', '/healthz')).status, 200, 'the others do not notice')
})

t.test('what stands in front is not believed', async t => {
  const server = await startServer(t, {
    extend: app =>
      void app.get('/who', { config: { policy: everyone } }, request => ({
        ip: request.ip,
        host: request.host,
        protocol: request.protocol,
      })),
  })
  const { body } = await server.call('GET', '/who', undefined, {
    headers: { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-host': 'evil', 'x-forwarded-proto': 'https' },
  })
  t.match(body, { ip: '127.0.0.1', host: new URL(server.url).host, protocol: 'http' })
})

async function raw(server: TestServer, text: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (part: unknown) => (answer += String(part)))
  // A reset after the answer is an end as well.
  socket.on('error', () => undefined)
  socket.write(text)
  await once(socket, 'close')
  return answer
}

/** A logger that keeps what it is given. */
function recording(lines: Record<string, unknown>[]): NonNullable<Parameters<typeof startServer>[1]>['logger'] {
  const keep = (fields: Record<string, unknown>): void => void lines.push(fields)
  const logger = {
    level: 'info',
    fatal: keep,
    error: keep,
    warn: keep,
    info: keep,
    debug: keep,
    trace: keep,
    silent: keep,
    child: () => logger,
  }
  return logger
}
