/**
 * How many single OFREP evaluations does the server answer per second, beside a bare Fastify route that parses the same
 * request and answers the same JSON? Each server is a process of its own; both are loaded in turns from this one.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'

const ROUNDS = 15
const ROUND_MS = 400
const WARM_UP_MS = 1_500
const CONNECTIONS = 16
/** Requests sent ahead on a connection, so that the servers are busy and not the one who asks. */
const PIPELINE = 4
const BUDGET = 0.85

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

    await load(plain, WARM_UP_MS)
    await load(ours, WARM_UP_MS)
    const bareRates: number[] = []
    const ourRates: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      bareRates.push(await load(plain, ROUND_MS))
      ourRates.push(await load(ours, ROUND_MS))
    }
    report(bareRates, ourRates)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    rmSync(data, { recursive: true, force: true })
  }
}

function report(bareRates: readonly number[], ourRates: readonly number[]): void {
  const ratios = ourRates.map((rate, i) => rate / (bareRates[i] ?? rate))
  const line = (name: string, values: readonly number[], digits: number): string => {
    const [low, middle, high] = [0, 0.5, 1].map(share => (sorted(values)[Math.round(share * (values.length - 1))] ?? 0).toFixed(digits))
    return `${name.padEnd(22)}${String(middle).padStart(9)}   (${low} to ${high})`
  }
  const ratio = sorted(ratios)[Math.floor(ratios.length / 2)] ?? 0
  console.log('OFREP single evaluations beside a bare Fastify route, requests per second')
  console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, node ${process.version}`)
  console.log(
    `${ROUNDS} rounds of ${ROUND_MS} ms in turns, ${CONNECTIONS} connections with ${PIPELINE} requests each, median (lowest to highest)\n`,
  )
  console.log(line('bare Fastify', bareRates, 0))
  console.log(line('Sluice', ourRates, 0))
  console.log(line('ratio per round', ratios, 3))
  console.log(`\nbudget ${BUDGET}: ${ratio >= BUDGET ? 'kept' : 'missed'}`)
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

/** Requests per second over `ms`, with `PIPELINE` of them under way on each of the connections. */
function load(port: number, ms: number): Promise<number> {
  const head = `POST ${PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${SERVER_KEY}\r\ncontent-type: application/json\r\n`
  const message = `${head}content-length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`
  const messages = Array.from({ length: PIPELINE + 1 }, (_, count) => Buffer.from(message.repeat(count)))
  return new Promise((resolve, reject) => {
    const started = performance.now()
    let answered = 0
    let open = CONNECTIONS
    for (let i = 0; i < CONNECTIONS; i++) {
      let underWay = PIPELINE
      const socket = connect(port, '127.0.0.1', () => socket.write(messages[PIPELINE] ?? ''))
      socket.setNoDelay(true)
      socket.on('error', reject)
      socket.on('data', chunk => {
        const count = occurrences(chunk, 'HTTP/1.1 200')
        if (count !== occurrences(chunk, 'HTTP/1.1 ')) return reject(new Error(`The server answered ${chunk.toString('latin1', 0, 300)}`))
        answered += count
        underWay -= count
        if (performance.now() - started < ms) {
          underWay += count
          return void socket.write(messages[count] ?? '')
        }
        if (underWay > 0) return
        socket.destroy()
        open -= 1
        if (open === 0) resolve((answered / (performance.now() - started)) * 1_000)
      })
    }
  })
}

/** The status lines in what arrived: each answer is written at once, so none is torn between two pieces. */
function occurrences(chunk: Buffer, text: string): number {
  let count = 0
  for (let at = chunk.indexOf(text); at !== -1; at = chunk.indexOf(text, at + text.length)) count += 1
  return count
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

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}
