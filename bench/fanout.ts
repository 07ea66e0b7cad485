/**
 * How long from the API call of a kill until the last of N connected SDKs has it, beside a bare `ws` broadcast of the
 * same bytes to as many clients?
 *
 *   node dist/bench/fanout.js [instances=1000] [rounds=30]      a kill beside a bare broadcast
 *   node dist/bench/fanout.js idle [instances=1000]             what idle sockets cost in memory and in loop delay
 *   node dist/bench/fanout.js write [sockets=1000] [bytes=800]  ws.send to each, beside one frame written to each
 *
 * Four processes on one machine: this one asks and reads the clock; the server, with its database, as it is run; the
 * bare server; and the clients of both, which parse every message, and on the stream answer it with a receipt once all
 * have it. Rounds take turns. Both servers are asked over HTTP on a connection kept open, and both answer when they
 * have written to all sockets. CLOCK_MONOTONIC is the same for all processes.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import fastify from 'fastify'
import { pino } from 'pino'
import { Agent, request } from 'undici'
import { WebSocket, WebSocketServer } from 'ws'
import type { Change } from '../schemas/change.ts'
import { buildSluice } from '../server/app.ts'
import { systemClock } from '../server/clock.ts'
import { readConfig } from '../server/config.ts'
import type { ChangeLog, Published } from '../server/log/types.ts'
import type { Usage } from '../server/services.ts'
import { textFrame } from '../server/stream/frame.ts'
import { prepare } from '../sdk/evaluator/prepare.ts'
import { openHub } from '../server/stream/hub.ts'

const ADMIN_KEY = 'admin-key-of-the-benchmark'
const SERVER_KEY = 'server-key-of-the-benchmark'
const ENVIRONMENT = '/api/v1/projects/default/environments/development'
const WARM_UP_ROUNDS = 5
/** The whole run ends after so long, with what it has. */
const RUN_MS = 20_000
/** Sockets opened at the same time. */
const OPENING_AT_ONCE = 50

/** What the processes tell each other. Moments are in ms of the machine's monotonic clock. */
type Told =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'connected' }
  /** All clients of a side have the message `number`; `confirmedAt` follows with the server's word. */
  | {
      readonly kind: 'arrived'
      readonly side: 'sluice' | 'bare'
      readonly number: number
      readonly firstAt: number
      readonly lastAt: number
      readonly text: string
    }
  | { readonly kind: 'memory'; readonly rss: number; readonly delayP99: number; readonly cpu: number }

const now = (): number => Number(process.hrtime.bigint()) / 1e6
const [first = '', ...rest] = process.argv.slice(2)
const count = (text: string | undefined, otherwise: number): number => (text === undefined || text === '' ? otherwise : Number(text))

if (first === 'child:server') await runServer()
else if (first === 'child:bare') await runBare()
else if (first === 'child:clients') await runClients(rest)
else if (first === 'idle') await measureIdle(count(rest[0], 1_000))
else if (first === 'write') await measureWrites(count(rest[0], 1_000), count(rest[1], 800))
else await measureKills(count(first, 1_000), count(rest[0], 30))

// --- the kill beside the broadcast

async function measureKills(instances: number, rounds: number): Promise<void> {
  printMachine()
  const data = mkdtempSync(join(tmpdir(), 'sluice-fanout-'))
  const children: ChildProcess[] = []
  try {
    const server = await start(children, ['child:server', data])
    const bare = await start(children, ['child:bare'])
    const agent = new Agent({ pipelining: 1, connections: 1 })
    const call = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
      ask(agent, `http://127.0.0.1:${server.port}${path}`, method, body)
    await call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'release' })
    await call('POST', '/api/v1/projects/default/flags', { key: 'basket', kind: 'release' })

    const clients = spawn(children, ['child:clients', String(server.port), String(bare.port), String(instances)])
    await told(clients, message => message.kind === 'connected')
    const expect = (side: 'sluice' | 'bare', number: number) =>
      told(clients, message => message.kind === 'arrived' && message.side === side && message.number === number)

    const sluiceMs: number[] = []
    const bareMs: number[] = []
    const answerMs: number[] = []
    const firstMs: number[] = []
    const bareFirstMs: number[] = []
    const confirmMs: number[] = []
    const startedAt = now()
    let text = ''
    for (let round = -WARM_UP_ROUNDS; round < rounds && now() - startedAt < RUN_MS; round++) {
      const { revision } = (await call('GET', `${ENVIRONMENT}/kills`)) as { revision: number }
      const arrival = expect('sluice', revision + 1)
      const killedAt = now()
      await call('POST', `${ENVIRONMENT}/flags/checkout/kills`, { reason: `round ${round}` })
      const answeredAt = now()
      const sluice = await arrival
      if (sluice.kind !== 'arrived') return
      text = sluice.text
      const receipts = (await call('GET', `${ENVIRONMENT}/changes/${revision + 1}/receipts?waitMs=10000`)) as {
        confirmed: number
        slowestMs: number | null
      }
      if (receipts.confirmed !== instances) throw new Error(`${receipts.confirmed} of ${instances} confirmed`)
      const lifted = expect('sluice', revision + 2)
      await call('DELETE', `${ENVIRONMENT}/flags/checkout/kills`)
      await lifted
      await call('GET', `${ENVIRONMENT}/changes/${revision + 2}/receipts?waitMs=10000`)

      const echo = expect('bare', round)
      const sentAt = now()
      await ask(agent, `http://127.0.0.1:${bare.port}/${round}`, 'POST', JSON.parse(text))
      const plain = await echo
      if (plain.kind !== 'arrived' || round < 0) continue
      sluiceMs.push(sluice.lastAt - killedAt)
      firstMs.push(sluice.firstAt - killedAt)
      answerMs.push(answeredAt - killedAt)
      if (receipts.slowestMs !== null) confirmMs.push(receipts.slowestMs)
      bareMs.push(plain.lastAt - sentAt)
      bareFirstMs.push(plain.firstAt - sentAt)
    }
    await agent.close()
    console.log(`${instances} instances, ${sluiceMs.length} rounds, ${Buffer.byteLength(text)} bytes a message`)
    print('kill: API call to last SDK', sluiceMs)
    print('  … to the first SDK', firstMs)
    print('  … to the answer', answerMs)
    print('  … published to last receipt', confirmMs)
    print('bare broadcast: call to last client', bareMs)
    print('  … to the first client', bareFirstMs)
    console.log(`ratio of the medians ${(median(sluiceMs) / median(bareMs)).toFixed(2)}`)
  } finally {
    stop(children)
    rmSync(data, { recursive: true, force: true })
  }
}

async function ask(agent: Agent, url: string, method: 'GET' | 'POST' | 'DELETE', body?: unknown): Promise<unknown> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const answer = await request(url, { dispatcher: agent, method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const text = await answer.body.text()
  if (answer.statusCode >= 400) throw new Error(`${method} ${url}: ${answer.statusCode} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

// --- idle sockets

async function measureIdle(instances: number): Promise<void> {
  printMachine()
  const data = mkdtempSync(join(tmpdir(), 'sluice-fanout-'))
  const children: ChildProcess[] = []
  try {
    const server = await start(children, ['child:server', data])
    const sample = async (): Promise<Extract<Told, { kind: 'memory' }>> => {
      const answer = told(server.child, message => message.kind === 'memory')
      server.child.send('memory')
      return (await answer) as Extract<Told, { kind: 'memory' }>
    }
    await sample()
    await new Promise(resolve => setTimeout(resolve, 2_000))
    const before = await sample()
    const clients = spawn(children, ['child:clients', String(server.port), '0', String(instances)])
    await told(clients, message => message.kind === 'connected')
    await sample()
    await new Promise(resolve => setTimeout(resolve, 10_000))
    const after = await sample()
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
    console.log(`server without streams ${mebibytes(before.rss)}, with ${instances} idle ones ${mebibytes(after.rss)}`)
    console.log(
      `${((after.rss - before.rss) / instances / 1024).toFixed(1)} KiB a stream; over 10 s event loop delay p99 ${after.delayP99.toFixed(1)} ms, ${(after.cpu * 100).toFixed(1)} % of a core`,
    )
  } finally {
    stop(children)
    rmSync(data, { recursive: true, force: true })
  }
}

// --- writing

/** The one loop of the hub that grows with the sockets, beside other ways of writing it, to sockets of this process. */
async function measureWrites(sockets: number, bytes: number): Promise<void> {
  printMachine()
  const text = 'x'.repeat(bytes)
  const buffer = Buffer.from(text)
  const hub = await hubWith(sockets)
  const http = createServer()
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  const peers: { socket: WebSocket; line: import('node:stream').Duplex }[] = []
  http.on('upgrade', (incoming, line, head) => wss.handleUpgrade(incoming, line, head, socket => peers.push({ socket, line })))
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  const readers = await Promise.all(
    Array.from({ length: sockets }, () => {
      const reader = connect(port, '127.0.0.1')
      reader.write(
        'GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      )
      return new Promise<typeof reader>(resolve => reader.once('data', () => resolve(reader.resume())))
    }),
  )
  const ways: [name: string, run: () => void, ms: number[]][] = [
    ['ws.send(text) to each', () => peers.forEach(({ socket }) => socket.send(text)), []],
    ['ws.send(buffer) to each', () => peers.forEach(({ socket }) => socket.send(buffer, { binary: false })), []],
    [
      'one frame written to each',
      () => {
        const frame = textFrame(text)
        for (const { socket, line } of peers) if (socket.readyState === socket.OPEN) line.write(frame)
      },
      [],
    ],
    ['the hub, publishing a change', () => hub.publish(text), []],
  ]
  for (let round = 0; round < 220; round++) {
    for (const [, run, ms] of ways) {
      // Processor time: what another program takes of the machine meanwhile does not count.
      const before = process.cpuUsage()
      run()
      const used = process.cpuUsage(before)
      if (round >= 20) ms.push((used.user + used.system) / 1_000)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  console.log(`${sockets} sockets, ${bytes} bytes, processor time of one broadcast`)
  for (const [name, , ms] of ways) print(name, ms)
  for (const reader of readers) reader.destroy()
  http.close()
  await hub.close()
}

/** The hub as it is, on a log that only tells; its streams say hello and read. */
async function hubWith(sockets: number): Promise<{ publish(text: string): void; close(): Promise<void> }> {
  const log = 'default/development'
  const documents = { flag: new Map(), segment: new Map(), environment: new Map([[log, {}]]) }
  let revision = 0
  let tell: (published: Published) => void = () => undefined
  const access = { id: 'k', kind: 'server', name: 'k', grants: [], project: 'default', environment: 'development' } as const
  const app = fastify()
  const hub = openHub({
    clock: systemClock,
    logger: app.log,
    log: {
      state: (name: string) => ({ log: name, epoch: 'e', revision, documents }),
      subscribe: (listener: typeof tell) => ((tell = listener), () => undefined),
    } as unknown as ChangeLog,
    keys: { authenticate: () => access, onRevoked: () => () => undefined },
    usage: { add: () => undefined } as unknown as Usage,
    rulesets: { current: () => prepare({ flags: [], segments: [] }, 0) },
    config: { handshakesPerSecond: 100_000, closeTimeoutMs: 1_000 },
  })
  hub.attach(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const readers = await Promise.all(
    Array.from({ length: sockets }, async (_, i) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/stream`, ['sluice.v1'], { headers: { authorization: 'Bearer k' } })
      await new Promise(resolve => socket.once('open', resolve))
      socket.send(JSON.stringify({ type: 'hello', instance: `i${i}`, service: 'bench', sdk: 'bench/1', revision: 0, epoch: 'e' }))
      await new Promise(resolve => socket.once('message', resolve))
      return socket
    }),
  )
  return {
    publish(text) {
      revision++
      const edits = [{ type: 'flag', key: 'f', before: null, after: { key: 'f', name: text } }]
      tell({ log, epoch: 'e', volatile: false, change: { revision, edits } as unknown as Change })
    },
    async close() {
      for (const reader of readers) reader.terminate()
      await app.close()
    },
  }
}

// --- the other processes

async function runServer(): Promise<void> {
  const config = readConfig({
    SLUICE_DATA: rest[0],
    SLUICE_PORT: '0',
    SLUICE_ADMIN_KEY: ADMIN_KEY,
    SLUICE_SERVER_KEY: SERVER_KEY,
    SLUICE_HANDSHAKES_PER_SECOND: '100000',
  })
  const sluice = await buildSluice({ config, clock: systemClock, logger: pino({ level: 'silent' }) })
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  let sampledAt = now()
  let cpu = process.cpuUsage()
  process.on('message', () => {
    globalThis.gc?.()
    const used = process.cpuUsage(cpu)
    const share = (used.user + used.system) / 1_000 / (now() - sampledAt)
    tell({ kind: 'memory', rss: process.memoryUsage().rss, delayP99: delay.percentile(99) / 1e6, cpu: share })
    delay.reset()
    sampledAt = now()
    cpu = process.cpuUsage()
  })
  const url = await sluice.listen()
  tell({ kind: 'listening', port: Number(new URL(url).port) })
}

/** The least that can be called a broadcast: what came in the body goes to every socket. */
async function runBare(): Promise<void> {
  const http = createServer((incoming, answer) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      for (const socket of wss.clients) socket.send(text)
      answer.end('{}')
    })
  })
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  tell({ kind: 'listening', port: (http.address() as AddressInfo).port })
}

async function runClients([sluicePort, barePort, instances]: string[]): Promise<void> {
  const amount = Number(instances)
  const arrivals = new Map<string, { count: number; firstAt: number }>()
  const arrive = (side: 'sluice' | 'bare', number: number, text: string): void => {
    const at = now()
    const name = `${side} ${number}`
    const arrival = arrivals.get(name) ?? { count: 0, firstAt: at }
    arrivals.set(name, arrival)
    arrival.count++
    if (arrival.count < amount) return
    arrivals.delete(name)
    tell({ kind: 'arrived', side, number, firstAt: arrival.firstAt, lastAt: at, text })
  }
  // The server writes to all sockets in one go, so no receipt can hold up a delivery. A thousand SDKs are a thousand
  // processes; in this one, answering at once would hold up the reading of the others, which is not the question.
  let owing: WebSocket[] = []
  const confirm = (revision: number): void => {
    for (const socket of owing) socket.send(`{"type":"applied","revision":${revision}}`)
    owing = []
  }
  let bareRound = -WARM_UP_ROUNDS
  let bareCount = 0
  const openSluice = (i: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${sluicePort}/stream`, ['sluice.v1'], {
        headers: { authorization: `Bearer ${SERVER_KEY}` },
        perMessageDeflate: false,
      })
      socket.on('error', reject)
      socket.on('open', () =>
        socket.send(JSON.stringify({ type: 'hello', instance: `i${i}`, service: 'bench', sdk: 'bench/1', revision: 0, epoch: '' })),
      )
      socket.on('message', data => {
        const text = (data as Buffer).toString()
        const message = JSON.parse(text) as { type: string; revision: number }
        if (message.type === 'beat') return
        owing.push(socket)
        if (message.type === 'change') arrive('sluice', message.revision, text)
        else resolve()
        if (message.type !== 'change' || owing.length === amount) confirm(message.revision)
      })
    })
  const openBare = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${barePort}/`, { perMessageDeflate: false })
      socket.on('error', reject)
      socket.on('open', resolve)
      socket.on('message', data => {
        const text = (data as Buffer).toString()
        JSON.parse(text)
        arrive('bare', bareRound, text)
        bareCount++
        if (bareCount < amount) return
        bareCount = 0
        bareRound++
      })
    })
  for (let i = 0; i < amount; i += OPENING_AT_ONCE) {
    const some = Array.from({ length: Math.min(OPENING_AT_ONCE, amount - i) }, (_, n) => i + n)
    await Promise.all(some.map(openSluice))
    if (barePort !== '0') await Promise.all(some.map(openBare))
  }
  tell({ kind: 'connected' })
}

function tell(message: Told): void {
  process.send?.(message)
}

function spawn(children: ChildProcess[], args: string[]): ChildProcess {
  const child = fork(fileURLToPath(import.meta.url), args, { execArgv: ['--expose-gc'] })
  children.push(child)
  return child
}

async function start(children: ChildProcess[], args: string[]): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(children, args)
  const message = await told(child, said => said.kind === 'listening')
  return { child, port: message.kind === 'listening' ? message.port : 0 }
}

function told(child: ChildProcess, isIt: (message: Told) => boolean): Promise<Told> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      child.off('message', look)
      child.off('exit', fail)
    }
    const look = (message: unknown): void => {
      if (!isIt(message as Told)) return
      leave()
      resolve(message as Told)
    }
    const fail = (): void => {
      leave()
      reject(new Error('a process of the benchmark ended early'))
    }
    child.on('message', look)
    child.on('exit', fail)
  })
}

function stop(children: readonly ChildProcess[]): void {
  for (const child of children) child.kill('SIGKILL')
}

// --- what it says

function printMachine(): void {
  const list = cpus()
  console.log(`${list.length} × ${list[0]?.model ?? 'unknown CPU'}, Node ${process.version}`)
}

function print(name: string, ms: readonly number[]): void {
  const sorted = [...ms].sort((a, b) => a - b)
  const at = (share: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN).toFixed(2)
  console.log(`${name.padEnd(38)} median ${at(0.5)} ms   p10 ${at(0.1)}   p90 ${at(0.9)}   max ${at(1)}`)
}

function median(ms: readonly number[]): number {
  return [...ms].sort((a, b) => a - b)[Math.floor(ms.length / 2)] ?? NaN
}
