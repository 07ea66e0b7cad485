/**
 * What do 10,000 idle streams cost: memory, delay of the event loop, processor? The server runs as it is, in a process
 * of its own, and says of itself at `/metrics` what it uses; the streams answer its pings and hear its beats.
 *
 *   node dist/bench/idle.js [instances=10000] [seconds=30]
 *
 * Needs as many open files in one process as there are instances.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '../test/server/process.ts'
import { openFleet } from './fleet.ts'
import { endWith, monotonic, openFamily, tellParent } from './processes.ts'
import { budget, machine, print, table } from './report.ts'
import { scrape } from './scrape.ts'

const RSS_MAX_MIB = 400
const DELAY_P99_MAX_MS = 50
const IDLE_MIN = 0.8
const CLIENTS_PER_PROCESS = 5_000
const SPREAD_MS = 5_000
const CONNECTED_WITHIN_MS = 120_000

type Told = { readonly kind: 'connected' }

interface Sample {
  readonly rssMiB: number
  readonly delayP99Ms: number
  readonly cpuSeconds: number
  readonly at: number
}

const [first = '10000', ...rest] = process.argv.slice(2)
if (first === 'child:clients') await runClients(Number(rest[0]), rest[1] ?? '', Number(rest[2]), Number(rest[3]))
else await measure(Number(first), Number(rest[0] ?? 30))

async function measure(instances: number, seconds: number): Promise<void> {
  print(machine())
  const data = mkdtempSync(join(tmpdir(), 'sluice-idle-'))
  const family = openFamily<Told>(import.meta.url)
  const server = await startProcess({ data, environment: { SLUICE_HANDSHAKES_PER_SECOND: '2000' } })
  endWith(() => void server.child.kill('SIGKILL'))
  try {
    const without = await sampleOver(server.url, 5_000)
    for (let from = 0; from < instances; from += CLIENTS_PER_PROCESS) {
      const amount = Math.min(CLIENTS_PER_PROCESS, instances - from)
      await family.start(['child:clients', String(server.port), server.serverKey, String(from), String(amount)]).told('connected')
    }
    const sockets = (await scrape(server.url)).get('sluice_sockets')
    if (sockets !== instances) throw new Error(`${sockets} of ${instances} streams are open.`)
    // What connecting left behind is not what idle streams cost.
    await sleep(5_000)
    const idle = await sampleOver(server.url, seconds * 1_000)
    const after = (await scrape(server.url)).get('sluice_sockets')
    if (after !== instances) throw new Error(`${after} of ${instances} streams stayed open.`)
    report(instances, seconds, without, idle)
  } finally {
    family.stop()
    await server.kill()
    rmSync(data, { recursive: true, force: true })
  }
}

function report(instances: number, seconds: number, without: Used, idle: Used): void {
  const row = (name: string, read: (used: Used) => string): string[] => [name, read(without), read(idle)]
  print('')
  print(
    table([
      ['', 'without streams', `${instances} idle ones, ${seconds} s`],
      row('resident memory, MiB', used => used.rssMiB.toFixed(0)),
      row('event loop delay p99, ms', used => used.delayP99Ms.toFixed(1)),
      row('processor idle, of one core', used => `${(used.idle * 100).toFixed(1)} %`),
    ]),
  )
  print(`\n${(((idle.rssMiB - without.rssMiB) * 1_024) / instances).toFixed(1)} KiB a stream\n`)
  const named = `${instances.toLocaleString('en')} idle sockets`
  budget(`${named}: memory`, `≤ ${RSS_MAX_MIB} MiB`, `${idle.rssMiB.toFixed(0)} MiB`, idle.rssMiB <= RSS_MAX_MIB)
  budget(
    `${named}: event loop delay p99`,
    `≤ ${DELAY_P99_MAX_MS} ms`,
    `${idle.delayP99Ms.toFixed(1)} ms`,
    idle.delayP99Ms <= DELAY_P99_MAX_MS,
  )
  budget(`${named}: processor idle`, `≥ ${IDLE_MIN * 100} %`, `${(idle.idle * 100).toFixed(1)} %`, idle.idle >= IDLE_MIN)
}

interface Used {
  /** At the end. */
  readonly rssMiB: number
  readonly delayP99Ms: number
  /** Share of one core's time that the process left alone. */
  readonly idle: number
}

async function sampleOver(url: string, ms: number): Promise<Used> {
  // Each scrape starts the histogram of delays anew.
  const before = await sample(url)
  await sleep(ms)
  const after = await sample(url)
  const used = (after.cpuSeconds - before.cpuSeconds) / ((after.at - before.at) / 1_000)
  return { rssMiB: after.rssMiB, delayP99Ms: after.delayP99Ms, idle: 1 - used }
}

async function sample(url: string): Promise<Sample> {
  const samples = await scrape(url)
  const read = (name: string): number => samples.get(name) ?? NaN
  return {
    rssMiB: read('process_resident_memory_bytes') / 2 ** 20,
    delayP99Ms: read('nodejs_eventloop_lag_p99_seconds') * 1_000,
    cpuSeconds: read('process_cpu_seconds_total'),
    at: monotonic(),
  }
}

async function runClients(port: number, key: string, from: number, amount: number): Promise<void> {
  const fleet = openFleet({ port, key, clients: amount, first: from, random: Math.random, spreadMs: SPREAD_MS })
  const giveUpAt = monotonic() + CONNECTED_WITHIN_MS
  while (fleet.counts().live < amount) {
    if (monotonic() > giveUpAt) throw new Error(`Not all connected: ${JSON.stringify(fleet.counts())}.`)
    await sleep(100)
  }
  tellParent({ kind: 'connected' })
}
