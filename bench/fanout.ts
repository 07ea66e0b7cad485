/**
 * How long from the API call of a kill until the last of N connected SDKs has it, beside a bare `ws` broadcast of the
 * same bytes to as many clients?
 *
 *   node dist/bench/fanout.js [instances=1000,10000] [rounds=30] [--cpu-prof]
 *
 * Processes on one machine: this one asks and reads the clock; the server as it is run, with its database; the bare
 * server; and the clients of both, at most `CLIENTS_PER_PROCESS` of each side in one process, so that no process needs
 * more than 20,000 open files. The clients are the same on both sides: bare sockets (`wire.ts`) that read every message
 * as the SDK does. On the stream they answer it with a receipt once all of their process have it: a thousand SDKs are a
 * thousand processes; in one, answering at once would hold up the reading of the others, which is not the question.
 * The server writes to all sockets in one go, so no receipt could hold up a delivery in any case.
 *
 * Both servers are asked over HTTP on a connection kept open, and both answer when they have written to all sockets.
 * A round is one of each, and which comes first takes turns.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { Agent, request } from 'undici'
import { WebSocketServer } from 'ws'
import { PROTOCOL } from '../schemas/protocol.ts'
import { parseMessage } from '../sdk/messages.ts'
import { buildSluice } from '../server/app.ts'
import { systemClock } from '../server/clock.ts'
import { readConfig } from '../server/config.ts'
import { openLog } from '../server/log/log.ts'
import { type Family, type Member, monotonic, openFamily, tellParent } from './processes.ts'
import { budget, machine, median, print, quantile, spread, table } from './report.ts'
import { openWire, type Wire } from './wire.ts'

const ADMIN_KEY = 'admin-key-of-the-benchmark'
const SERVER_KEY = 'server-key-of-the-benchmark'
const ENVIRONMENT = '/api/v1/projects/default/environments/development'
const WARM_UP_ROUNDS = 5
/** The rounds of one size end after so long, with what there is. */
const RUN_MS = 60_000
const CLIENTS_PER_PROCESS = 5_000
/** Sockets opened at the same time. */
const OPENING_AT_ONCE = 50
const LIMIT = 1.3

type Side = 'sluice' | 'bare'

/** What the processes tell. Moments are in ms of the machine's monotonic clock. */
type Told =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'connected' }
  /** All clients of a process and side have the message of this number; when each of them had it, in order. */
  | { readonly kind: 'arrived'; readonly side: Side; readonly number: number; readonly at: Float64Array; readonly text: string }
  /** A server has written to all sockets. `publishedAt` is when it began to. */
  | {
      readonly kind: 'wrote'
      readonly number: number
      readonly requestAt: number
      readonly publishedAt: number
      readonly writtenAt: number
    }

/** One broadcast, in ms from the call. */
interface Measured {
  readonly requestMs: number
  readonly publishedMs: number
  readonly writtenMs: number
  readonly answerMs: number
  readonly firstMs: number
  readonly lastMs: number
  /** Of each client, in order. */
  readonly clientMs: readonly number[]
  readonly text: string
}

const options = process.argv.slice(2).filter(argument => argument.startsWith('--'))
const [first = '1000,10000', ...rest] = process.argv.slice(2).filter(argument => !argument.startsWith('--'))

if (first === 'child:server') await runServer(rest[0] ?? '')
else if (first === 'child:bare') await runBare()
else if (first === 'child:clients') await runClients(Number(rest[0]), Number(rest[1]), Number(rest[2]), Number(rest[3]))
else {
  print(machine())
  for (const size of first.split(',')) await measure(Number(size), Number(rest[0] ?? 30))
}

async function measure(instances: number, rounds: number): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'sluice-fanout-'))
  const family = openFamily<Told>(import.meta.url)
  try {
    const sides = await openSides(family, data, instances)
    const sluice: Measured[] = []
    const bare: Measured[] = []
    const confirmMs: number[] = []
    const startedAt = monotonic()
    let { text } = (await sides.kill(-WARM_UP_ROUNDS)).measured
    for (let round = 1 - WARM_UP_ROUNDS; round < rounds && monotonic() - startedAt < RUN_MS; round++) {
      const isBareFirst = round % 2 === 0
      const before = isBareFirst ? await sides.broadcast(text) : null
      const { measured, slowestMs } = await sides.kill(round)
      text = measured.text
      const after = before ?? (await sides.broadcast(text))
      if (round < 0) continue
      sluice.push(measured)
      bare.push(after)
      confirmMs.push(slowestMs)
    }
    await sides.close()
    report(instances, text, sluice, bare, confirmMs)
  } finally {
    family.stop()
    rmSync(data, { recursive: true, force: true })
  }
}

function report(
  instances: number,
  text: string,
  sluice: readonly Measured[],
  bare: readonly Measured[],
  confirmMs: readonly number[],
): void {
  const row = (name: string, read: (one: Measured) => number): string[] => [name, spread(sluice.map(read), 2), spread(bare.map(read), 2)]
  const clients = (share: number): string[] =>
    [sluice, bare].map(side =>
      quantile(
        side.flatMap(one => one.clientMs),
        share,
      ).toFixed(2),
    )
  const last = (side: readonly Measured[]): number[] => side.map(one => one.lastMs)
  print(
    `\n${instances} instances, ${sluice.length} rounds in turns, ${Buffer.byteLength(text)} bytes a message; ms from the call, median ± quartiles\n`,
  )
  print(
    table([
      ['', 'kill', 'bare broadcast'],
      row('the request is in', one => one.requestMs),
      row('stored, publishing begins', one => one.publishedMs),
      row('the last socket is written', one => one.writtenMs),
      row('the first client has it', one => one.firstMs),
      row('**the last client has it**', one => one.lastMs),
      row('the caller has the answer', one => one.answerMs),
      ['a client has it, p50', ...clients(0.5)],
      ['a client has it, p99', ...clients(0.99)],
      ['the last client, p90 of the rounds', ...[sluice, bare].map(side => quantile(last(side), 0.9).toFixed(2))],
      ['the last client, worst round', ...[sluice, bare].map(side => quantile(last(side), 1).toFixed(2))],
      ['published to the last receipt', spread(confirmMs, 2), ''],
    ]),
  )
  const ratio = median(last(sluice)) / median(last(bare))
  const paired = median(sluice.map((one, i) => one.lastMs / (bare[i]?.lastMs ?? NaN)))
  // The rounds in which nobody else took the processor.
  const undisturbed = quantile(last(sluice), 0.1) / quantile(last(bare), 0.1)
  print(
    `\nratio of the medians ${ratio.toFixed(2)}, of the pairs ${paired.toFixed(2)}, of the undisturbed rounds (p10) ${undisturbed.toFixed(2)}`,
  )
  budget(
    `a kill, API call to the last of ${instances.toLocaleString('en')} SDKs`,
    `≤ ${LIMIT.toFixed(2)} × bare broadcast`,
    `${ratio.toFixed(2)} ×`,
    ratio <= LIMIT,
  )
}

// --- the two sides, asked from here

async function openSides(family: Family<Told>, data: string, instances: number) {
  const profile = options.includes('--cpu-prof') ? ['--cpu-prof'] : []
  const server = family.start(['child:server', data], profile)
  const { port } = await server.told('listening')
  const plain = family.start(['child:bare'])
  const { port: barePort } = await plain.told('listening')
  const agent = new Agent({ pipelining: 1, connections: 1 })
  const call = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
    ask(agent, `http://127.0.0.1:${port}${path}`, method, body)
  await call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'release' })
  await call('POST', '/api/v1/projects/default/flags', { key: 'basket', kind: 'release' })

  const clients: Member<Told>[] = []
  for (let from = 0; from < instances; from += CLIENTS_PER_PROCESS) {
    const amount = Math.min(CLIENTS_PER_PROCESS, instances - from)
    const child = family.start(['child:clients', String(port), String(barePort), String(from), String(amount)])
    clients.push(child)
    await child.told('connected')
  }
  const arrivals = (side: Side, number: number) =>
    Promise.all(clients.map(child => child.told('arrived', message => message.side === side && message.number === number)))
  let bareNumber = 0

  /** One broadcast: what `send` causes to be written and to arrive. */
  async function measured(side: Side, number: number, send: () => Promise<unknown>): Promise<Measured> {
    const arrived = arrivals(side, number)
    const wrote = (side === 'sluice' ? server : plain).told('wrote', message => message.number === number)
    const calledAt = monotonic()
    await send()
    const answerMs = monotonic() - calledAt
    const { requestAt, publishedAt, writtenAt } = await wrote
    const children = await arrived
    const clientMs = children.flatMap(child => [...child.at]).map(at => at - calledAt)
    clientMs.sort((a, b) => a - b)
    return {
      requestMs: requestAt - calledAt,
      publishedMs: publishedAt - calledAt,
      writtenMs: writtenAt - calledAt,
      answerMs,
      firstMs: clientMs[0] ?? NaN,
      lastMs: clientMs.at(-1) ?? NaN,
      clientMs,
      text: children[0]?.text ?? '',
    }
  }

  async function confirmed(revision: number): Promise<number> {
    const path = `${ENVIRONMENT}/changes/${revision}/receipts?waitMs=20000`
    const receipts = (await call('GET', path)) as { confirmed: number; slowestMs: number | null }
    if (receipts.confirmed !== instances) throw new Error(`${receipts.confirmed} of ${instances} confirmed revision ${revision}.`)
    return receipts.slowestMs ?? NaN
  }

  return {
    /** A kill, and its lift, which is not measured. */
    async kill(round: number): Promise<{ measured: Measured; slowestMs: number }> {
      const { revision } = (await call('GET', `${ENVIRONMENT}/kills`)) as { revision: number }
      const one = await measured('sluice', revision + 1, () =>
        call('POST', `${ENVIRONMENT}/flags/checkout/kills`, { reason: `round ${round}` }),
      )
      const slowestMs = await confirmed(revision + 1)
      await measured('sluice', revision + 2, () => call('DELETE', `${ENVIRONMENT}/flags/checkout/kills`))
      await confirmed(revision + 2)
      return { measured: one, slowestMs }
    },
    broadcast(text: string): Promise<Measured> {
      const body: unknown = JSON.parse(text)
      return measured('bare', bareNumber++, () => ask(agent, `http://127.0.0.1:${barePort}/`, 'POST', body))
    },
    /** A server that is profiled writes its profile when it ends by itself. */
    async close() {
      await agent.close()
      if (profile.length === 0) return
      const ended = new Promise(resolve => server.child.once('exit', resolve))
      server.tell({ kind: 'end' })
      await ended
    },
  }
}

async function ask(agent: Agent, url: string, method: 'GET' | 'POST' | 'DELETE', body?: unknown): Promise<unknown> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const answer = await request(url, { dispatcher: agent, method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const text = await answer.body.text()
  if (answer.statusCode >= 400) throw new Error(`${method} ${url}: ${answer.statusCode} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

// --- the other processes

async function runServer(data: string): Promise<void> {
  const logger = pino({ level: 'silent' })
  const log = await openLog({ data, clock: systemClock, logger })
  let requestAt = 0
  let publishedAt = 0
  // The first that is told of a change, and below the last.
  log.subscribe(() => (publishedAt = monotonic()))
  const config = readConfig({
    SLUICE_DATA: data,
    SLUICE_PORT: '0',
    SLUICE_ADMIN_KEY: ADMIN_KEY,
    SLUICE_SERVER_KEY: SERVER_KEY,
    SLUICE_HANDSHAKES_PER_SECOND: '100000',
  })
  const sluice = await buildSluice({ config, clock: systemClock, logger, log })
  sluice.app.server.prependListener('request', () => (requestAt = monotonic()))
  log.subscribe(({ change }) => tellWritten(change.revision, requestAt, publishedAt))
  process.on('message', () => void sluice.close().then(() => process.exit(0)))
  const url = await sluice.listen()
  tellParent({ kind: 'listening', port: Number(new URL(url).port) })
}

/** The least that can be called a broadcast: what came in the body goes to every socket. */
async function runBare(): Promise<void> {
  let number = 0
  const http = createServer((incoming, answer) => {
    const requestAt = monotonic()
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const publishedAt = monotonic()
      for (const socket of wss.clients) socket.send(text)
      answer.end('{}')
      tellWritten(number++, requestAt, publishedAt)
    })
  })
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  tellParent({ kind: 'listening', port: (http.address() as AddressInfo).port })
}

function tellWritten(number: number, requestAt: number, publishedAt: number): void {
  const writtenAt = monotonic()
  setImmediate(() => tellParent({ kind: 'wrote', number, requestAt, publishedAt, writtenAt }))
}

async function runClients(port: number, barePort: number, from: number, amount: number): Promise<void> {
  const sluice = openArrivals('sluice', amount)
  const bare = openArrivals('bare', amount)
  const owing: Wire[] = []
  let bareNumber = 0

  function openSluice(i: number): Promise<void> {
    const instance = `i${from + i}`
    return new Promise((resolve, reject) => {
      const headers = [`authorization: Bearer ${SERVER_KEY}`, `sec-websocket-protocol: ${PROTOCOL}`]
      const wire = openWire(
        { port, path: '/stream', headers },
        {
          opened: () => wire.send(JSON.stringify({ type: 'hello', instance, service: 'bench', sdk: 'bench/1', revision: 0, epoch: '' })),
          message(text) {
            const message = parseMessage(text)
            if (message?.type === 'ruleset') {
              wire.send(`{"type":"applied","revision":${message.revision}}`)
              resolve()
            } else if (message?.type === 'change') {
              owing.push(wire)
              if (!sluice.arrive(message.revision, text)) return
              for (const each of owing.splice(0)) each.send(`{"type":"applied","revision":${message.revision}}`)
            }
          },
          lost: how => reject(new Error(`A stream was lost: ${JSON.stringify(how)}.`)),
        },
      )
    })
  }

  function openBare(): Promise<void> {
    return new Promise((resolve, reject) => {
      openWire(
        { port: barePort },
        {
          opened: resolve,
          message(text) {
            if (parseMessage(text)?.type === 'change' && bare.arrive(bareNumber, text)) bareNumber++
          },
          lost: how => reject(new Error(`A socket was lost: ${JSON.stringify(how)}.`)),
        },
      )
    })
  }

  for (let i = 0; i < amount; i += OPENING_AT_ONCE) {
    const some = Array.from({ length: Math.min(OPENING_AT_ONCE, amount - i) }, (_, n) => i + n)
    await Promise.all(some.flatMap(n => [openSluice(n), openBare()]))
  }
  tellParent({ kind: 'connected' })
}

/** When each client of a side has a message; tells it when all have. */
function openArrivals(side: Side, amount: number): { arrive(number: number, text: string): boolean } {
  let at = new Float64Array(amount)
  let count = 0
  return {
    arrive(number, text) {
      at[count++] = monotonic()
      if (count < amount) return false
      tellParent({ kind: 'arrived', side, number, at, text })
      at = new Float64Array(amount)
      count = 0
      return true
    },
  }
}
