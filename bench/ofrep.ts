/**
 * How many single OFREP evaluations does the server answer per second, beside a bare Fastify route that parses the same
 * request and answers the same JSON?
 *
 * Each server is a process of its own; both are loaded from this one over as many connections as keep them busy, one
 * request at a time on each, as OFREP's clients do. Rounds are short and come in pairs, in turns first and second; the ratio
 * is the median of the pairs' own. Beside it stands the processor time that a request costs each server, which other work
 * on the machine touches less.
 *
 *     npx tsc -b test && node dist/bench/ofrep.js
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { budget, machine, median, print, spread, table } from './report.ts'

const PAIRS = 41
const ROUND_MS = 150
const WARM_UP_MS = 3_000
const CONNECTIONS = 64
const RATIO_MIN = 0.85
const CLOSE_BRACE = 125

const ADMIN_KEY = 'bench-admin-key-0123456789'
const SERVER_KEY = 'bench-server-key-0123456789'
const PATH = '/ofrep/v1/evaluate/flags/new-ledger'
const BODY = JSON.stringify({ context: { targetingKey: 'user-1234', account: { id: 'a-17', plan: 'beta' }, country: 'NL', beta: true } })

/** A flag as they usually are: a few rules, the last of which decides by a rollout. */
const FLAG = {
  key: 'new-ledger',
  kind: 'release',
  enabled: true,
  seed: 7,
  rules: [
    { id: 'staff', clauses: [{ attribute: '/account/plan', op: 'in', values: ['staff'] }], serve: { variation: 'on' } },
    { id: 'countries', clauses: [{ attribute: 'country', op: 'in', values: ['DE', 'FR'] }], serve: { variation: 'off' } },
    {
      id: 'beta',
      clauses: [{ attribute: '/account/plan', op: 'in', values: ['beta'] }],
      serve: {
        rollout: {
          by: '/account/id',
          weights: [
            { variation: 'on', weight: 50_000 },
            { variation: 'off', weight: 50_000 },
          ],
        },
      },
    },
  ],
}

if (process.argv[2] === 'bare') await bare(Number(process.argv[3]), process.argv[4] ?? '{}')
else await main()

async function main(): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const children: ChildProcess[] = []
  try {
    const ours = await freePort()
    const env = {
      SLUICE_PORT: String(ours),
      SLUICE_DATA: data,
      SLUICE_ADMIN_KEY: ADMIN_KEY,
      SLUICE_SERVER_KEY: SERVER_KEY,
      SLUICE_LOG_LEVEL: 'error',
    }
    children.push(start([fileURLToPath(new URL('../server/main.js', import.meta.url))], env))
    await answers(ours, '/readyz')
    await request(ours, 'PUT', '/api/v1/projects/default/environments/development/ruleset', ADMIN_KEY, JSON.stringify({ flags: [FLAG] }))
    const answer = await request(ours, 'POST', PATH, SERVER_KEY, BODY)

    const plain = await freePort()
    children.push(start([fileURLToPath(import.meta.url), 'bare', String(plain), answer], {}))
    await answers(plain, '/readyz')
    const same = await request(plain, 'POST', PATH, SERVER_KEY, BODY)
    if (same !== answer) throw new Error(`The bare route answers ${same}, expected ${answer}`)

    const [ourPid = 0, barePid = 0] = children.map(child => child.pid)
    const bareServer: Server = { pid: barePid, connections: await connections(plain), rates: [], costs: [] }
    const ourServer: Server = { pid: ourPid, connections: await connections(ours), rates: [], costs: [] }
    await bareServer.connections.ask(WARM_UP_MS)
    await ourServer.connections.ask(WARM_UP_MS)
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const server of pair % 2 === 0 ? [bareServer, ourServer] : [ourServer, bareServer]) await round(server)
    }
    report(bareServer, ourServer)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(data, { recursive: true, force: true })
  }
}

interface Server {
  readonly pid: number
  readonly connections: Connections
  /** Requests per second, one for each round. */
  readonly rates: number[]
  /** Microseconds of processor time per request; NaN where the system does not tell. */
  readonly costs: number[]
}

async function round({ pid, connections, rates, costs }: Server): Promise<void> {
  const before = processorTime(pid)
  const { answered, ms } = await connections.ask(ROUND_MS)
  costs.push((processorTime(pid) - before) / answered / 1_000)
  rates.push((answered / ms) * 1_000)
}

/** Nanoseconds that all threads of a process have run, as Linux counts them; NaN elsewhere. */
function processorTime(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    return threads.reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0)
  } catch {
    return Number.NaN
  }
}

function report(bareServer: Server, ourServer: Server): void {
  const ratios = (one: readonly number[], other: readonly number[]): number[] => one.map((value, i) => value / (other[i] ?? Number.NaN))
  const speed = ratios(ourServer.rates, bareServer.rates)
  print(`${machine()}; ${PAIRS} pairs of rounds of ${ROUND_MS} ms, ${CONNECTIONS} connections, median ± distance of the quartiles\n`)
  print(
    table([
      ['', 'bare Fastify', 'Sluice', 'ratio'],
      ['requests per second', spread(bareServer.rates, 0), spread(ourServer.rates, 0), spread(speed, 3)],
      [
        'processor time, µs per request',
        spread(bareServer.costs),
        spread(ourServer.costs),
        spread(ratios(bareServer.costs, ourServer.costs), 3),
      ],
    ]),
  )
  print('')
  const ratio = median(speed)
  budget('OFREP single evaluation', `≥ ${RATIO_MIN} × bare Fastify`, `${ratio.toFixed(2)} ×`, ratio >= RATIO_MIN)
}

/** The bare route, in a process of its own. */
async function bare(port: number, answer: string): Promise<void> {
  const app = Fastify()
  const body = JSON.parse(answer) as { key: string; metadata: object }
  app.get('/readyz', (_request, reply) => reply.send({ status: 'ok' }))
  app.post('/ofrep/v1/evaluate/flags/:flag', (request, reply) => {
    const { flag } = request.params as { flag: string }
    return reply.send({ ...body, key: flag, metadata: { ...body.metadata } })
  })
  await app.listen({ port, host: '127.0.0.1' })
}

interface Connections {
  /** Asks for `ms`, one request at a time on each connection, and waits for the last answers. */
  ask(ms: number): Promise<{ readonly answered: number; readonly ms: number }>
}

/** Kept open from round to round, as clients do. */
async function connections(port: number): Promise<Connections> {
  const head = `POST ${PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${SERVER_KEY}\r\ncontent-type: application/json\r\n`
  const message = Buffer.from(`${head}content-length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`)
  const state = { until: 0, answered: 0, underWay: 0, done: (): void => undefined, fail: (_error: Error): void => undefined }
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1').setNoDelay(true))
  for (const socket of sockets) {
    socket.on('error', error => state.fail(error))
    socket.on('data', chunk => {
      if (!isWhole(chunk)) return state.fail(new Error(`The server answered ${chunk.toString('latin1', 0, 300)}`))
      state.answered += 1
      if (performance.now() < state.until) return void socket.write(message)
      state.underWay -= 1
      if (state.underWay === 0) state.done()
    })
  }
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  return {
    async ask(ms) {
      const start = performance.now()
      Object.assign(state, { until: start + ms, answered: 0, underWay: CONNECTIONS })
      await new Promise<void>((resolve, reject) => {
        Object.assign(state, { done: resolve, fail: reject })
        for (const socket of sockets) socket.write(message)
      })
      return { answered: state.answered, ms: performance.now() - start }
    },
  }
}

/** Each answer is small and written at once, so that none is torn in two. */
function isWhole(chunk: Buffer): boolean {
  return chunk.indexOf('HTTP/1.1 200') === 0 && chunk.at(-1) === CLOSE_BRACE
}

async function request(port: number, method: string, path: string, key: string, body: string): Promise<string> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers, body })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status} ${text}`)
  return text
}

/** Resolves when the path answers 200; a server that does not come up within 30 s is an error. */
async function answers(port: number, path: string): Promise<void> {
  for (const until = performance.now() + 30_000; performance.now() < until;) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null)
    if (response?.ok === true) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`No server answered on port ${port} within 30 s`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, args, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'ignore', 'inherit'] })
}
