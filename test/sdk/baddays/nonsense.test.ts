/** A server, or something that stands where it should, sends what nobody understands: the link is given up, the values are not. */
import t from 'tap'
import { randomFrom } from '../../random.ts'
import { stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { answer, frame, frameHead, ruleset, startRaw } from './raw.ts'

stayAlive(t)

/** Longer than any wait between two attempts. */
const ANY_WAIT_MS = 31_000

const delta = { epoch: 'e', from: 1, revision: 2, flags: [], segments: [], removedFlags: [], removedSegments: [] }
/** Every message of the server that holds something, each field of which is left out or replaced. */
const messages: readonly Record<string, unknown>[] = [
  { type: 'current', epoch: 'e', revision: 1 },
  { type: 'beat', epoch: 'e', revision: 1 },
  { type: 'changes', ...delta },
  { type: 'change', ...delta },
  { type: 'ruleset', epoch: 'e', revision: 2, flags: [flag('a', { enabled: false })], segments: [] },
  { type: 'drain', afterMs: 1, spreadMs: 1 },
]
const broken = messages.flatMap(message =>
  Object.keys(message)
    .filter(field => field !== 'type')
    .flatMap(field => [undefined, null, true, { deep: [] }].map(value => JSON.stringify({ ...message, [field]: value }))),
)
const malformed = ['', '{', '[]', '5', 'null', '"text"', '{}', '{"type":5}', '<html>', '\0', `${'['.repeat(50_000)}`]

t.test('malformed JSON, and every message with every field wrong: connected anew, values as they were', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, until, log } = openTimelapse(t, server.url)
  const wrong: string[] = []
  for (const nonsense of [...malformed, ...broken]) {
    while (!client.status().connected) await pass(1_000)
    const lines = log.length
    server.send(nonsense)
    await server.until(() => server.live.size === 0)
    await until(() => log.slice(lines).some(line => line.includes('cannot be understood')))
    if (client.value('a', {}, null) !== true || client.status().revision !== 1) wrong.push(nonsense.slice(0, 80))
  }
  t.same(wrong, [])
  while (!client.status().connected) await pass(1_000)
  t.match(client.status(), { connected: true, stale: false, revision: 1 })
})

t.test('a type of tomorrow, and fields of tomorrow, are no nonsense', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, until, attempts } = openTimelapse(t, server.url)
  await pass(1_000)
  server.send({ type: 'of tomorrow', revision: 'x' })
  server.send({ type: 'beat', epoch: 'epoch-1', revision: 1, fieldOfTomorrow: [] })
  server.commit({ ...flag('a', { enabled: false, version: 2 }), fieldOfTomorrow: {} } as ReturnType<typeof flag>)
  await until(() => client.status().revision === 2)
  t.equal(client.value('a', {}, true), false)
  t.equal(attempts.length, 1)
})

t.test('flags that are nonsense themselves yield their defaults, and the others their values', async t => {
  const server = await startModel(t, [flag('good')])
  const { client, pass, until, attempts, log } = openTimelapse(t, server.url, { cache: t.testdir() })
  await pass(1_000)
  const nonsense: Record<string, unknown>[] = [
    { key: 'only-a-key' },
    ...Object.keys(flag('x')).map(field => ({ ...flag(`without-${field}`), [field]: undefined })),
    ...Object.keys(flag('x'))
      .filter(field => field !== 'key')
      .flatMap(field => [null, 5, 'text', {}, [5], [[]]].map((value, i) => ({ ...flag(`${field}-${i}`), [field]: value }))),
  ].filter(document => typeof document.key === 'string')
  const keys: string[] = []
  client.on('change', changed => void keys.push(...changed))
  for (const document of nonsense) server.commit(document as never)
  await until(() => client.status().revision === nonsense.length + 1)
  for (const { key } of nonsense) t.type(client.value(String(key), { targetingKey: 'x' }, false), 'boolean', String(key))
  t.ok(nonsense.every(({ key }) => keys.includes(String(key))))
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) t.equal(client.value(name, {}, null), null, name)
  // Nested deeper than a program's stack: not even comparing it, or writing it to a file, may stop anything.
  const deep = `{"key":"deep","variations":[{"key":"on","value":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}]}`
  for (const revision of [1_001, 1_002]) {
    const good = JSON.stringify(flag('good', { version: revision }))
    server.send(`{"type":"ruleset","epoch":"epoch-1","revision":${revision},"flags":[${good},${deep}],"segments":[]}`)
    await until(() => client.status().revision === revision)
  }
  t.ok(keys.slice(-2).includes('good'))
  await client.close()
  t.ok(log.some(line => line.includes('could not be written')))
  t.equal(client.value('good', {}, false), true)
  t.equal(attempts.length, 1, 'all over the first stream')
})

t.test('a poll answered with nonsense changes nothing and is asked again', async t => {
  const bodies = [...malformed, ...broken.filter(text => !text.includes('"type":"drain"')), '{"epoch":"e","revision":2,"flags":[]}']
  const server = await startRaw(t, {
    answer: (socket, _head, nth) => socket.end(answer(200, nth === 1 ? ruleset([flag('a')]) : (bodies[nth % bodies.length] ?? ''))),
  })
  const { client, pass, polls } = openTimelapse(t, server.url, { pollIntervalMs: 1_000 })
  for (let i = 0; i < 2 * bodies.length; i++) {
    await pass(1_000)
    if (polls.length === 1) t.match(client.status(), { stale: false, revision: 1 })
  }
  t.ok(polls.length > bodies.length)
  t.equal(client.value('a', {}, null), true)
  t.match(client.status(), { stale: true, revision: 1 })
})

t.test('binary frames, another protocol, and a websocket that is none of ours', async t => {
  const binary = await startRaw(t, {
    stream: socket => {
      socket.write(frame(ruleset([flag('a')])))
      socket.write(frame(ruleset([flag('a', { enabled: false })], 2), { opcode: 2 }))
    },
  })
  const first = openTimelapse(t, binary.url)
  await first.pass(5_000)
  t.ok(binary.streams > 1)
  t.equal(first.client.value('a', {}, null), true)

  for (const protocol of ['sluice.v2', 'chat', '']) {
    const other = await startRaw(t, { protocol, stream: socket => void socket.write(frame(ruleset([flag('a')]))) })
    const { client, pass, polls } = openTimelapse(t, other.url)
    await pass(5_000)
    t.match(client.status(), { connected: false, revision: 0 }, `"${protocol}" is not spoken`)
    t.ok(polls.length > 0, 'polling goes on')
    t.equal(client.value('a', {}, null), null)
  }

  // One that sends back whatever it is sent, and so seems to live.
  const echo = await startRaw(t, { stream: socket => void socket.write(frame('{"type":"hello"}')) })
  const { client, pass, attempts } = openTimelapse(t, echo.url)
  await pass(60_000)
  t.ok(attempts.length > 1, 'given up')
  t.match(client.status(), { connected: false, revision: 0 })
})

t.test('seeded bytes on an open stream never reach the application', async t => {
  const random = randomFrom(20_261_128)
  const below = (n: number): number => Math.floor(random() * n)
  const bytes = (n: number): Buffer => Buffer.from(Array.from({ length: n }, () => below(256)))
  const hostile: (() => Buffer)[] = [
    () => bytes(below(200)),
    () => frame(bytes(below(300)), { opcode: below(16), fin: random() < 0.5, compressed: random() < 0.3 }),
    () => frame(bytes(below(4)), { opcode: 8 }),
    () => frame(Buffer.concat([Buffer.from([3, 232]), bytes(below(120))]), { opcode: 8 }),
    () => frame(bytes(below(126)), { opcode: 9 + below(2) }),
    () => Buffer.concat([frameHead(2 ** (7 + below(24))), bytes(below(50))]),
    () => {
      const message = Buffer.from(frame(ruleset([flag('a', { enabled: false })], 2)))
      message[below(message.length)]! ^= 1 << below(8)
      return message.subarray(0, 1 + below(message.length))
    },
    () => Buffer.from(frame('x')).fill(0x81, 1, 2),
  ]
  for (const compresses of [false, true]) {
    const server = await startRaw(t, {
      compresses,
      stream: socket => {
        socket.write(frame(ruleset([flag('a')], 9)))
        for (let i = below(4); i >= 0; i--) socket.write(hostile[below(hostile.length)]!())
        if (random() < 0.5) socket.end()
      },
    })
    const { client, pass } = openTimelapse(t, server.url)
    let wrong = 0
    while (server.streams < 150) {
      await pass(ANY_WAIT_MS)
      if (client.status().revision > 0 && client.value('a', {}, null) !== true) wrong++
    }
    t.equal(wrong, 0)
    t.equal(client.status().revision, 9)
  }
})
