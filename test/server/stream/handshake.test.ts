import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import type { Access } from '../../../server/access/policy.ts'
import type { State } from '../../../server/log/types.ts'
import { APPOINTMENT_MAX_MS, openAppointments } from '../../../server/stream/appointments.ts'
import { type Gate, judge, SOCKETS_MAX, SOCKETS_PER_KEY_MAX } from '../../../server/stream/handshake.ts'
import { manualClock } from '../../clock.ts'
import { clientFrame, handshakeOf, messagesIn, openLine, openStream, refused, startBare } from './bare.ts'

t.test('whoever may not open a stream is told so over HTTP, before there is one', async t => {
  const server = await startBare(t)
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const good = bearer(server.token)
  const admin = await server.key('admin', null)
  const client = await server.key('client')
  const staging = await server.key('server', 'staging')
  await server.deleteEnvironment('staging')
  const revoked = await server.key('server')
  await server.revoke(revoked.id)

  const cases: [name: string, headers: Record<string, string>, status: number, code: string, path?: string, method?: string][] = [
    ['no key', {}, 401, 'KEY_MISSING'],
    ['a key in the query', {}, 401, 'KEY_MISSING', `/stream?key=${server.token}`],
    ['a key in the query beside one in the header', good, 400, 'INVALID_REQUEST', `/stream?key=${server.token}`],
    ['a key in X-API-Key', { 'x-api-key': server.token }, 401, 'KEY_MISSING'],
    ['another scheme', { authorization: 'Basic eDp5' }, 401, 'KEY_INVALID'],
    ['an unknown key', bearer(`slc_server_AAAAAAAAAAAA_${'B'.repeat(43)}`), 401, 'KEY_INVALID'],
    ['no key at all', bearer('hello'), 401, 'KEY_INVALID'],
    ['a revoked key', bearer(revoked.token), 401, 'KEY_INVALID'],
    ['an admin key', bearer(admin.token), 403, 'FORBIDDEN'],
    ['a client key', bearer(client.token), 403, 'FORBIDDEN'],
    ['an environment that is gone', bearer(staging.token), 404, 'ENVIRONMENT_NOT_FOUND'],
    ['another path', good, 404, 'ROUTE_NOT_FOUND', '/streams'],
    ['a path that only looks the same', good, 404, 'ROUTE_NOT_FOUND', '/stream/'],
    ['another protocol', { ...good, 'sec-websocket-protocol': 'graphql-ws' }, 426, 'UPGRADE_REQUIRED'],
    ['another upgrade', { ...good, upgrade: 'h2c' }, 426, 'UPGRADE_REQUIRED'],
    ['another method', good, 426, 'UPGRADE_REQUIRED', '/stream', 'POST'],
    ['a broken handshake', { ...good, 'sec-websocket-key': 'short' }, 400, 'INVALID_REQUEST'],
    ['an old version', { ...good, 'sec-websocket-version': '7' }, 400, 'INVALID_REQUEST'],
  ]
  for (const [name, headers, status, code, path, method] of cases) {
    const answer = await refused(server, headers, path, method)
    t.match({ status: answer.status, code: answer.body.code }, { status, code }, name)
    t.notMatch(answer.body.message, server.token, 'no secret in the message')
  }
  t.match(server.hub.statistics(), { sockets: 0, handshakesAccepted: 0, handshakesRefused: cases.length })
})

t.test('a plain request to /stream is asked to upgrade, and only with a key', async t => {
  const server = await startBare(t)
  const asked = (headers: Record<string, string>) => server.app.inject({ url: '/stream', headers })
  t.equal((await asked({})).statusCode, 401)
  const answer = await asked({ authorization: `Bearer ${server.token}` })
  t.equal(answer.statusCode, 426)
  t.equal(answer.headers.upgrade, 'websocket')
  t.match(answer.json(), { code: 'UPGRADE_REQUIRED' })
})

t.test('handshakes are admitted at a bounded rate, and who is not is told when to come back', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock, handshakesPerSecond: 2 })
  await openStream(t, server)
  await openStream(t, server)
  const answer = await refused(server, { authorization: `Bearer ${server.token}` })
  t.equal(answer.status, 503)
  t.equal(answer.body.code, 'NOT_READY')
  t.equal(answer.headers['retry-after'], '1')
  clock.advance(500)
  await openStream(t, server)
  t.match(server.hub.statistics(), { sockets: 3, handshakesAccepted: 3, handshakesRefused: 1 })
})

t.test('who comes too fast is given a moment of its own, no faster than all can be let in', async t => {
  const clock = manualClock()
  const appointments = openAppointments(clock, 500)
  const seconds = Array.from({ length: 10_000 }, () => Math.floor(appointments.next() / 1_000))
  for (let second = 0; second < 24; second++) {
    const share = seconds.filter(one => one === second).length
    t.ok(share >= 399 && share <= 401, `${share} in second ${second}, of 500 that are let in`)
  }
  t.equal(Math.max(...seconds), 25, 'all are given one')
  clock.advance(20_000)
  t.ok(appointments.next() < 6_000, 'what has passed is not waited for')
  const many = Array.from({ length: 20_000 }, () => appointments.next())
  t.ok(
    many.every(ms => ms < APPOINTMENT_MAX_MS),
    'nobody is sent away for longer than half a minute',
  )
  clock.advance(60_000)
  t.equal(appointments.next(), 2.5)
})

t.test('a crowd is refused with waits that follow each other', async t => {
  const server = await startBare(t, { clock: manualClock(), handshakesPerSecond: 5 })
  for (let i = 0; i < 5; i++) await openStream(t, server)
  const waits: number[] = []
  for (let i = 0; i < 12; i++)
    waits.push(Number((await refused(server, { authorization: `Bearer ${server.token}` })).headers['retry-after']))
  // Four fifths of the rate: four a second.
  t.same(waits, [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4])
})

t.test('who has left before the handshake is decided takes nothing from the rate', async t => {
  const server = await startBare(t, { clock: manualClock(), handshakesPerSecond: 1 })
  // The end of the connection comes right behind the request.
  const lines = [0, 1].map(() => connect({ host: '127.0.0.1', port: server.port }).end(handshakeOf(server)).resume())
  await Promise.all(lines.map(line => once(line, 'close')))
  t.match(server.hub.statistics(), { sockets: 0, handshakesAccepted: 0, handshakesAbandoned: 2 })
  await openStream(t, server)
  t.match(server.hub.statistics(), { sockets: 1, handshakesAccepted: 1, handshakesRefused: 0 })
})

t.test('sockets are bounded, of one key and of all', async t => {
  const access: Access = { id: 'k', kind: 'server', name: 'k', grants: [], project: 'default', environment: 'production' }
  const request = {
    url: '/stream',
    method: 'GET',
    headers: { upgrade: 'websocket', authorization: 'Bearer x', 'sec-websocket-protocol': 'sluice.v1' },
  } as unknown as IncomingMessage
  const gate = (changed: Partial<Gate>): Gate => ({
    keys: { authenticate: () => access },
    log: { state: () => ({ documents: { environment: new Map([['default/production', {}]]) } }) as unknown as State },
    isDraining: () => false,
    admit: () => true,
    appointment: () => 0,
    sockets: () => 0,
    clientSockets: () => 0,
    socketsOf: () => 0,
    ...changed,
  })
  const judged = (changed: Partial<Gate>, random = 0) => judge(request, gate(changed), random)
  t.match(judged({}), { log: 'default/production', access: { id: 'k' } })
  t.match(judged({ sockets: () => SOCKETS_MAX }), { error: { code: 'NOT_READY' }, retryAfter: 1 })
  t.match(judged({ socketsOf: () => SOCKETS_PER_KEY_MAX }, 0.999), { error: { code: 'TOO_MANY_REQUESTS', status: 429 }, retryAfter: 5 })
  t.match(judged({ isDraining: () => true }), { error: { code: 'NOT_READY' } })
})

t.test('what comes right behind the handshake is not lost', async t => {
  const server = await startBare(t)
  const line = await openLine(t, server)
  line.write(clientFrame('{"type":"hello","instance":"i","service":"s","sdk":"x","revision":0,"epoch":""}'))
  const bytes: Buffer[] = []
  const first = await new Promise<unknown>(resolve => {
    line.on('data', chunk => {
      bytes.push(chunk)
      const [message] = messagesIn(Buffer.concat(bytes))
      if (message !== undefined) resolve(message)
    })
    line.resume()
  })
  t.match(first, { type: 'ruleset', revision: 0, flags: [], segments: [] })
})
