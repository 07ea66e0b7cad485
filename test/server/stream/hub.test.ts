import { cpSync } from 'node:fs'
import type { Socket } from 'node:net'
import t from 'tap'
import { UPSTREAM_BYTES_MAX } from '../../../schemas/stream.ts'
import { comeBack } from '../../../server/stream/drain.ts'
import { RECENT_BYTES_MAX } from '../../../server/stream/recent.ts'
import { BEHIND_BYTES } from '../../../server/stream/session.ts'
import { manualClock } from '../../clock.ts'
import { clientFrame, flag, LOG, messagesIn, openLine, openStream, type Said, startBare } from './bare.ts'

/** Waits for what is only to be seen by looking. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setTimeout(resolve, 20))
}

t.test('an SDK that holds nothing gets the ruleset, then every change, at any size', async t => {
  const server = await startBare(t)
  await server.write('a')
  const stream = await openStream(t, server)
  stream.hello()
  const { epoch } = server.log.state(LOG)
  t.match(await stream.next(), { type: 'ruleset', epoch, revision: 1, flags: [{ key: 'a' }], segments: [] })
  // Payloads with a header of four and of ten bytes.
  for (const [i, bytes] of [10, 60_000, 65_000, 70_000, 300_000].entries()) {
    await server.write(flag('b', bytes))
    const said = await stream.next()
    t.match(said, { type: 'change', epoch, from: i + 1, revision: i + 2, removedFlags: [] })
    t.same(said.flags, [{ ...flag('b', bytes), version: i + 1 }])
  }
  await server.remove('b')
  t.match(await stream.next(), { type: 'change', revision: 7, flags: [], removedFlags: ['b'] })
})

t.test('a change goes to all streams of its environment and to no other', async t => {
  const server = await startBare(t)
  const staging = await openStream(t, server, { token: (await server.key('server', 'staging')).token })
  const streams = [await openStream(t, server), await openStream(t, server), await openStream(t, server)]
  for (const stream of [staging, ...streams]) {
    stream.hello()
    await stream.next()
  }
  await server.write('a')
  for (const stream of streams) t.match(await stream.next(), { type: 'change', revision: 1 })
  staging.hello()
  t.match(await staging.next(), { type: 'ruleset', revision: 0, flags: [] }, 'nothing came before the answer')
})

t.test('a change is serialised once, and all sockets are written the same frame', async t => {
  const server = await startBare(t)
  const written = new Map<Socket, unknown[]>()
  server.app.server.on('connection', (socket: Socket) => {
    const write = socket.write.bind(socket) as (chunk: unknown, ...rest: unknown[]) => boolean
    const chunks: unknown[] = []
    written.set(socket, chunks)
    socket.write = (chunk: unknown, ...rest: unknown[]) => {
      chunks.push(chunk)
      return write(chunk, ...rest)
    }
  })
  const streams = await Promise.all(['a', 'b', 'c'].map(() => openStream(t, server)))
  for (const [i, stream] of streams.entries()) {
    stream.hello(0, '', `i${i}`)
    await stream.next()
  }
  for (const chunks of written.values()) chunks.length = 0
  await server.write('a')
  for (const stream of streams) t.match(await stream.next(), { type: 'change', revision: 1 })
  const frames = [...written.values()].flat()
  t.equal(frames.length, streams.length, 'one write each')
  t.equal(new Set(frames).size, 1, 'of the very same bytes')
})

t.test('a mistake with one socket keeps a change from no other', async t => {
  const server = await startBare(t)
  const sockets: Socket[] = []
  server.app.server.on('connection', (socket: Socket) => sockets.push(socket))
  const streams = [await openStream(t, server), await openStream(t, server)]
  for (const [i, stream] of streams.entries()) {
    stream.hello(0, '', `i${i}`)
    await stream.next()
  }
  const [broken] = sockets
  t.ok(broken)
  if (broken !== undefined) {
    const write = broken.write.bind(broken)
    broken.write = () => {
      broken.write = write
      throw new Error('a write that fails in a way nobody foresaw')
    }
  }
  await server.write('a')
  t.match(await streams[1]?.next(), { type: 'change', revision: 1 })
  t.equal((await streams[0]?.closed)?.code, 1011)
})

t.test('who missed something gets it as one message', async t => {
  const server = await startBare(t)
  const { epoch } = server.log.state(LOG)
  const stream = await openStream(t, server)
  await server.write('a')
  stream.hello(0, epoch)
  t.match(await stream.next(), { type: 'changes', from: 0, revision: 1 })
  await server.write('b')
  await stream.next()
  await server.write('a', 'c')
  await stream.next()
  await server.remove('b')
  await stream.next()

  const cases: [revision: number, epoch: string, expected: object][] = [
    [4, epoch, { type: 'current', revision: 4 }],
    [1, epoch, { type: 'changes', from: 1, revision: 4, flags: [{ key: 'a', version: 2 }, { key: 'c' }], removedFlags: ['b'] }],
    [3, epoch, { type: 'changes', from: 3, revision: 4, flags: [], removedFlags: ['b'] }],
    [4, 'other', { type: 'ruleset', epoch, revision: 4 }],
    [9, epoch, { type: 'ruleset', epoch, revision: 4, reset: true }],
  ]
  for (const [revision, said, expected] of cases) {
    const late = await openStream(t, server)
    late.hello(revision, said, `late-${revision}-${said}`)
    t.match(await late.next(), expected, `hello ${said} ${revision}`)
  }
})

t.test('after a restart what was missed is read from the log, and a whole ruleset comes when it is too much', async t => {
  const data = t.testdir()
  const before = await startBare(t, { data })
  const { epoch } = before.log.state(LOG)
  for (let i = 0; i < 6; i++) await before.write(flag('large', RECENT_BYTES_MAX / 5, String(i)))
  await before.write('a')
  await before.write('b')
  await before.stop()

  const server = await startBare(t, { data })
  const expected: [revision: number, object][] = [
    [6, { type: 'changes', from: 6, revision: 8, flags: [{ key: 'a' }, { key: 'b' }] }],
    [3, { type: 'changes', from: 3, revision: 8, flags: [{ key: 'large' }, { key: 'a' }, { key: 'b' }] }],
    [1, { type: 'ruleset', revision: 8 }],
  ]
  // At once, so that some come while the log is read.
  const streams = await Promise.all(expected.map(() => openStream(t, server)))
  for (const [i, [revision]] of expected.entries()) streams[i]?.hello(revision, epoch, `i${i}`)
  for (const [i, [revision, message]] of expected.entries()) t.match(await streams[i]?.next(), message, `from ${revision}`)
})

t.test('a change that was lost, and whose number another has taken, is not taken for what the log has', async t => {
  const data = t.testdir({ whole: {}, lost: {} })
  const before = await startBare(t, { data: `${data}/whole` })
  await before.write('a')
  const { epoch } = before.log.state(LOG)
  await before.stop()
  // The disk as it was before the change that everyone was told of.
  cpSync(`${data}/whole`, `${data}/lost`, { recursive: true })
  const told = await startBare(t, { data: `${data}/whole` })
  const listening = await openStream(t, told)
  listening.hello(1, epoch)
  await listening.next()
  await told.write(flag('b', 10, 'lost'))
  const { hash } = await listening.next()
  await told.stop()

  const server = await startBare(t, { data: `${data}/lost` })
  t.equal(server.log.state(LOG).epoch, epoch)
  await server.write(flag('c', 10, 'kept'))
  const expected = { type: 'ruleset', revision: 2, reset: true, flags: [{ key: 'a' }, { key: 'c' }] }
  const same = await openStream(t, server)
  same.hello(2, epoch, 'same', hash)
  t.match(await same.next(), expected, 'the same number')
  await server.write(flag('d', 10, 'kept'))
  const passed = await openStream(t, server)
  passed.hello(2, epoch, 'passed', hash)
  t.match(await passed.next(), { ...expected, revision: 3, flags: [{ key: 'a' }, { key: 'c' }, { key: 'd' }] }, 'a number that was passed')
  const older = await openStream(t, server)
  older.hello(3, epoch, 'older')
  t.match(await older.next(), { type: 'current' }, 'an SDK that does not know hashes is taken at its word')
})

t.test('receipts say who has a revision, live', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const { epoch } = server.log.state(LOG)
  const streams = await Promise.all(['a', 'b', 'c'].map(() => openStream(t, server)))
  for (const [i, stream] of streams.entries()) {
    stream.hello(0, epoch, `i${i}`)
    t.match(await stream.next(), { type: 'current', revision: 0 })
  }
  await server.write('a')
  const arrived = server.hub.arrived(LOG, 1, 60_000)
  for (const stream of streams) await stream.next()
  clock.advance(30)
  streams[0]?.say({ type: 'applied', revision: 1 })
  streams[1]?.say({ type: 'applied', revision: 1 })
  await until(() => server.hub.receipts(LOG, 1).confirmed === 2)
  t.match(server.hub.receipts(LOG, 1), { instances: 3, confirmed: 2, slowestMs: 30, missing: [{ id: 'i2', service: 'shop', revision: 0 }] })
  clock.advance(70)
  streams[2]?.say({ type: 'applied', revision: 1 })
  t.match(await arrived, { revision: 1, instances: 3, confirmed: 3, slowestMs: 100, slowest: 'i2', missing: [] })

  const admin = await server.key('admin', null)
  const answer = await server.app.inject({
    url: '/api/v1/projects/default/environments/production/instances',
    headers: { authorization: `Bearer ${admin.token}` },
  })
  t.match(answer.json(), {
    revision: 1,
    instances: [
      {
        id: 'i0',
        service: 'shop',
        sdk: 'test/1',
        revision: 1,
        connectedAt: '2026-11-21T03:00:00.000Z',
        confirmedAt: '2026-11-21T03:00:00.030Z',
      },
      { id: 'i1' },
      { id: 'i2', confirmedAt: '2026-11-21T03:00:00.100Z' },
    ],
  })
  streams[2]?.socket.close()
  await until(() => server.hub.instances(LOG).length === 2)
})

t.test('a second connection of an instance takes its place in the listing', async t => {
  const server = await startBare(t)
  const { epoch } = server.log.state(LOG)
  const [older, newer] = [await openStream(t, server), await openStream(t, server)]
  older.hello(0, epoch)
  await older.next()
  newer.hello(0, epoch)
  await newer.next()
  await server.write('a')
  t.match(await older.next(), { revision: 1 }, 'the older is served still')
  await newer.next()
  older.say({ type: 'applied', revision: 1 })
  newer.say({ type: 'applied', revision: 1 })
  await until(() => server.hub.receipts(LOG, 1).confirmed === 1)
  t.equal(server.hub.instances(LOG).length, 1)
  t.equal(server.hub.statistics().sockets, 2)
})

t.test('a beat names the revision every few seconds', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const stream = await openStream(t, server, { beats: true })
  stream.hello()
  await stream.next()
  await server.write('a')
  await stream.next()
  const pinged = new Promise<void>(resolve => stream.socket.once('ping', () => resolve()))
  const { epoch } = server.log.state(LOG)
  for (let i = 0; i < 3; i++) {
    clock.advance(5_000)
    t.match(await stream.next(), { type: 'beat', epoch, revision: 1 })
  }
  // The first ping falls anywhere within 15 s, and is looked at once a second.
  clock.advance(2_000)
  await pinged
})

t.test('what breaks the protocol closes the stream, and nobody else notices', async t => {
  const server = await startBare(t)
  const bystander = await openStream(t, server)
  bystander.hello()
  await bystander.next()
  const cases: [name: string, messages: unknown[], code: number][] = [
    ['not hello first', [{ type: 'applied', revision: 1 }], 1008],
    ['not JSON', ['{'], 1008],
    ['not an object', ['[]'], 1008],
    ['no type', [{}], 1008],
    ['a hello without its fields', [{ type: 'hello' }], 1008],
    ['a hello with a hostile revision', [{ type: 'hello', instance: 'i', service: 's', sdk: 'x', epoch: '', revision: 1e400 }], 1008],
    ['an instance id without end', [{ type: 'hello', instance: 'i'.repeat(200), service: 's', sdk: 'x', epoch: '', revision: 0 }], 1008],
    ['binary', [Buffer.from('{}')], 1008],
    ['too large', ['x'.repeat(UPSTREAM_BYTES_MAX + 1)], 1009],
    [
      'too many',
      Array.from({ length: 30 }, () => ({ type: 'hello', instance: 'flood', service: 's', sdk: 'x', epoch: '', revision: 0 })),
      1008,
    ],
  ]
  for (const [name, messages, code] of cases) {
    const stream = await openStream(t, server)
    for (const message of messages) stream.say(message)
    t.equal((await stream.closed).code, code, name)
  }
  await server.write('a')
  t.match(await bystander.next(), { type: 'change', revision: 1 })
  t.match(server.hub.statistics(), { sockets: 1, instances: 1, protocolClosed: cases.length })
})

t.test('what is unknown is let pass', async t => {
  const server = await startBare(t)
  const stream = await openStream(t, server)
  stream.say({ type: 'hello', instance: 'i', service: 's', sdk: 'x', epoch: '', revision: 0, mood: 'fine', __proto__: null })
  t.match(await stream.next(), { type: 'ruleset' })
  stream.say({ type: 'song', text: 'la' })
  stream.hello()
  t.match(await stream.next(), { type: 'ruleset' })
})

t.test('malformed frames close the socket', async t => {
  const server = await startBare(t)
  const hello = clientFrame('{"type":"hello","instance":"i","service":"s","sdk":"x","revision":0,"epoch":""}')
  const unmasked = Buffer.from([0x81, 2, 0x7b, 0x7d])
  const cases: [name: string, bytes: Buffer][] = [
    ['not masked', unmasked],
    ['a reserved bit', clientFrame('{}', 0xc1)],
    ['an unknown opcode', clientFrame('{}', 0x83)],
    ['no UTF-8', Buffer.concat([Buffer.from([0x81, 0x81, 0, 0, 0, 0]), Buffer.from([0xff])])],
    ['a message in crumbs', Buffer.concat([clientFrame('{', 0x01), ...Array.from({ length: 40 }, () => clientFrame(' ', 0x00))])],
    ['rubbish', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ]
  for (const [name, bytes] of cases) {
    const line = await openLine(t, server)
    const ended = new Promise<void>(resolve => line.once('close', () => resolve()))
    line.write(hello)
    line.write(bytes)
    line.resume()
    await ended
    t.pass(name)
  }
  await until(() => server.hub.statistics().sockets === 0)
  t.equal(server.hub.statistics().protocolClosed, cases.length)
})

t.test('evaluation counts are taken over the stream and over HTTP', async t => {
  const server = await startBare(t)
  await server.write('a')
  const stream = await openStream(t, server)
  stream.hello()
  await stream.next()
  const counts = {
    type: 'counts',
    dropped: 0,
    counts: [{ flag: 'a', variation: 'off', reason: 'FALLTHROUGH', count: 7 }],
    unknownOperators: [],
  }
  stream.say(counts)
  await until(() => server.usage.lastHour(LOG, 'a') === 7)
  const headers = { authorization: `Bearer ${server.token}` }
  const answer = await server.app.inject({ method: 'POST', url: '/telemetry', headers, payload: { ...counts, service: 'batch' } })
  t.match(answer.json(), { accepted: 1 })
  t.match(await server.usage.flag(LOG, 'a'), { lastHour: 14, lastDay: 14, variations: { off: 14 } })
  const services = (await server.usage.flag(LOG, 'a')).services.map(({ service }) => service)
  t.same(services.sort(), ['batch', 'shop'], 'by whom: as hello said, or as the report does')
  const bad = await server.app.inject({ method: 'POST', url: '/telemetry', headers, payload: { ...counts, counts: [{ flag: 'a' }] } })
  t.match([bad.statusCode, bad.json()], [400, { code: 'INVALID_REQUEST' }])
})

t.test('a key that is revoked closes its streams at once, and no other', async t => {
  const server = await startBare(t)
  const stolen = await server.key('server')
  const [gone, stays] = [await openStream(t, server, { token: stolen.token }), await openStream(t, server)]
  for (const stream of [gone, stays]) {
    stream.hello()
    await stream.next()
  }
  await server.revoke(stolen.id)
  t.equal(server.hub.instances(LOG).length, 1, 'it is not waited for either')
  t.equal((await gone.closed).code, 4401)
  await server.write('a')
  t.match(await stays.next(), { type: 'change' })
})

t.test('an environment that is deleted closes its streams', async t => {
  const server = await startBare(t)
  const stream = await openStream(t, server)
  stream.hello()
  await stream.next()
  await server.deleteEnvironment('production')
  t.equal((await stream.closed).code, 1008)
  const headers = { authorization: `Bearer ${server.token}` }
  const polled = await server.app.inject({ url: '/ruleset', headers })
  t.match([polled.statusCode, polled.json()], [404, { code: 'ENVIRONMENT_NOT_FOUND' }])
  const counts = { type: 'counts', dropped: 0, counts: [], unknownOperators: [] }
  const reported = await server.app.inject({ method: 'POST', url: '/telemetry', headers, payload: counts })
  t.match([reported.statusCode, reported.json()], [404, { code: 'ENVIRONMENT_NOT_FOUND' }])
})

t.test('a drain says when to come back, closes everything and lets nobody in', async t => {
  const server = await startBare(t)
  const streams = [await openStream(t, server), await openStream(t, server)]
  for (const stream of streams) {
    stream.hello()
    await stream.next()
  }
  const drained = server.hub.drain()
  for (const stream of streams) {
    const said = await stream.next()
    t.match(said, { type: 'drain', afterMs: 1_000, spreadMs: 1_000 })
    t.equal((await stream.closed).code, 1012)
  }
  await drained
  t.equal(server.hub.statistics().sockets, 0)
  await t.rejects(openStream(t, server), /503/)
})

t.test('a drain spreads a fleet over twice the time that letting it in takes', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock, handshakesPerSecond: 3 })
  const streams = [await openStream(t, server), await openStream(t, server), await openStream(t, server)]
  clock.advance(1_000)
  streams.push(await openStream(t, server), await openStream(t, server), await openStream(t, server))
  for (const [i, stream] of streams.entries()) {
    stream.hello(0, '', `i${i}`)
    await stream.next()
  }
  const drained = server.hub.drain()
  for (const stream of streams) t.match(await stream.next(), { type: 'drain', afterMs: 1_000, spreadMs: 4_000 })
  await drained
  t.match(comeBack(10_000, 500), { spreadMs: 40_000 })
  t.match(comeBack(50_000, 500), { spreadMs: 60_000 }, 'but nobody is kept away for minutes')
})

t.test('a drain does not wait for who does not answer', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const line = await openLine(t, server)
  line.write(clientFrame('{"type":"hello","instance":"i","service":"s","sdk":"x","revision":0,"epoch":""}'))
  await until(() => server.hub.instances(LOG).length === 1)
  const drained = server.hub.drain()
  clock.advance(2_000)
  await drained
  await until(() => server.hub.statistics().sockets === 0)
})

t.test('closing the server drains it', async t => {
  const server = await startBare(t)
  const stream = await openStream(t, server)
  stream.hello()
  await stream.next()
  await server.app.close()
  t.match(await stream.next(), { type: 'drain' })
  t.equal((await stream.closed).code, 1012)
})

t.test('a link that went dead is dropped', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const line = await openLine(t, server)
  const ended = new Promise<void>(resolve => line.once('close', () => resolve()))
  line.write(clientFrame('{"type":"hello","instance":"i","service":"s","sdk":"x","revision":0,"epoch":""}'))
  await until(() => server.hub.instances(LOG).length === 1)
  clock.advance(39_000)
  t.equal(server.hub.statistics().sockets, 1)
  clock.advance(3_000)
  line.resume()
  await ended
  await until(() => server.hub.statistics().sockets === 0)
  t.equal(server.hub.statistics().deadClosed, 1)
})

t.test('a stream without a hello is closed', async t => {
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const stream = await openStream(t, server)
  clock.advance(12_000)
  t.equal((await stream.closed).code, 1008)
})

t.test('who does not read is brought up to date with one message when it reads again', async t => {
  const server = await startBare(t, { clock: manualClock() })
  const { epoch } = server.log.state(LOG)
  const healthy = await openStream(t, server)
  healthy.hello(0, epoch, 'healthy')
  await healthy.next()
  const line = await openLine(t, server)
  line.write(clientFrame(`{"type":"hello","instance":"slow","service":"s","sdk":"x","revision":0,"epoch":"${epoch}"}`))
  await until(() => server.hub.instances(LOG).length === 2)

  // The system takes some megabytes for a socket that is not read; after that no more is sent to it.
  let revision = 0
  let last = 0
  for (let missed = 0; missed < 3;) {
    const before = server.hub.statistics().messagesSent
    revision = (await server.write(flag(`f${revision % 5}`, 400_000, String(revision)))).revision
    t.equal((await healthy.next()).revision, revision, 'the others get every change')
    if (server.hub.statistics().messagesSent - before === 1) missed++
    else last = revision
  }

  const bytes: Buffer[] = []
  line.on('data', chunk => bytes.push(chunk))
  line.resume()
  let said: Said[] = []
  const hasRead = (newest: number): boolean => (said = messagesIn(Buffer.concat(bytes))).at(-1)?.revision === newest
  await until(() => hasRead(revision))
  await server.write('after')
  await healthy.next()
  await until(() => hasRead(revision + 1))
  t.same(
    said.map(message => [message.type, message.from, message.revision]),
    [
      ['current', undefined, 0],
      ...Array.from({ length: last }, (_, i) => ['change', i, i + 1]),
      ['changes', last, revision],
      ['change', revision, revision + 1],
    ],
  )
})

t.test('who never reads is closed within ten seconds, and nobody else notices', async t => {
  const SLOW = 10
  const clock = manualClock()
  const server = await startBare(t, { clock })
  const { epoch } = server.log.state(LOG)
  const healthy = await openStream(t, server)
  healthy.hello(0, epoch, 'healthy')
  await healthy.next()
  const lines = await Promise.all(Array.from({ length: SLOW }, () => openLine(t, server)))
  for (const [i, line] of lines.entries())
    line.write(clientFrame(`{"type":"hello","instance":"slow-${i}","service":"","sdk":"x","revision":0,"epoch":"${epoch}"}`))
  await until(() => server.hub.instances(LOG).length === SLOW + 1)

  const bytes = 140_000
  let revision = 0
  // The system takes some megabytes for each; behind they are when it takes no more.
  while (server.hub.statistics().behind < SLOW) {
    revision = (await server.write(flag('f', bytes, String(revision)))).revision
    t.equal((await healthy.next()).revision, revision, 'the others get every change')
  }
  t.ok(server.hub.statistics().unsentBytes <= SLOW * (BEHIND_BYTES + 2 * bytes), 'what waits for them is bounded')
  clock.advance(10_000)
  t.match(server.hub.statistics(), { slowClosed: SLOW, behind: 0 })
  t.same(
    server.hub.instances(LOG).map(instance => instance.id),
    ['healthy'],
  )
  await server.write('after')
  t.match(await healthy.next(), { type: 'change', flags: [{ key: 'after' }] })
  // A close frame with the code 1013 follows all that waited.
  const close = Buffer.from([0x03, 0xf5])
  const told = lines.map(line => {
    let end = Buffer.alloc(0)
    const found = new Promise<void>(resolve =>
      line.on('data', chunk => {
        end = Buffer.concat([end, chunk]).subarray(-80)
        if (end.includes(close)) resolve()
      }),
    )
    line.resume()
    return found
  })
  await Promise.all(told)
})

t.test('/ruleset is the whole state, and costs nothing while it has not changed', async t => {
  const server = await startBare(t)
  await server.write('a')
  const asked = (headers: Record<string, string> = {}) =>
    server.app.inject({ url: '/ruleset', headers: { authorization: `Bearer ${server.token}`, ...headers } })
  const first = await asked()
  const { epoch } = server.log.state(LOG)
  const hash = server.log.state(LOG).hash?.slice(0, 16)
  const etag = `"${epoch}.1.${hash}"`
  t.equal(first.headers.etag, etag)
  t.match(first.headers['content-type'], 'application/json')
  t.strictSame(first.json(), { epoch, revision: 1, hash, flags: [{ ...flag('a'), name: '0' }], segments: [] })
  for (const held of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await asked({ 'if-none-match': held })
    t.match([again.statusCode, again.body, again.headers.etag], [304, '', etag], held)
  }
  await server.write('b')
  const changed = await asked({ 'if-none-match': etag })
  t.match([changed.statusCode, changed.headers.etag], [200, `"${epoch}.2.${server.log.state(LOG).hash?.slice(0, 16)}"`])

  const since = async (query: string) =>
    (await server.app.inject({ url: `/ruleset?${query}`, headers: { authorization: `Bearer ${server.token}` } })).json<object>()
  t.match(
    await since(`epoch=${epoch}&revision=1`),
    { type: 'changes', epoch, from: 1, revision: 2, flags: [{ key: 'b' }] },
    'what was missed',
  )
  t.match(await since(`epoch=${epoch}&revision=1&hash=${hash}`), { type: 'changes', from: 1, revision: 2 })
  for (const [query, reset] of [
    [`epoch=${epoch}&revision=2`, undefined],
    [`epoch=${epoch}&revision=9`, true],
    [`epoch=${epoch}&revision=1&hash=other`, true],
    [`epoch=${epoch}&revision=2&hash=other`, true],
    ['epoch=other&revision=1&hash=other', undefined],
  ] as const) {
    t.match(await since(query), { type: undefined, reset, revision: 2, flags: [{ key: 'a' }, { key: 'b' }] }, `${query}: everything`)
  }

  t.equal((await server.app.inject({ url: '/ruleset' })).statusCode, 401)
  const client = await server.key('client')
  t.equal((await server.app.inject({ url: '/ruleset', headers: { authorization: `Bearer ${client.token}` } })).statusCode, 403)
})
