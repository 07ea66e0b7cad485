/**
 * A server that carries a whole fleet is killed with `kill -9` and started again on the same data. How long until all
 * are back, does the server admit them at the rate it is set to, and does a kill get through meanwhile?
 *
 *   node dist/bench/storm.js [repeats=1] [instances=10000] [seed=1]
 *
 * The SDKs follow the SDK's own rules for coming back (`fleet.ts`). While they do, somebody calls the API twice a second,
 * each time on a connection of its own; every fifth call kills or lifts a flag, and is followed to all who were connected
 * when it was made. (More kills would be a load of their own: each is one write, and one receipt, for every SDK.)
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Agent, request } from 'undici'
import { randomFrom } from '../test/random.ts'
import { type ServerProcess, startProcess } from '../test/server/process.ts'
import { type Fleet, type FleetCounts, openFleet, type Outcome } from './fleet.ts'
import { endWith, type Member, monotonic, openFamily, tellParent } from './processes.ts'
import { budget, machine, print, quantile, table } from './report.ts'
import { scrape } from './scrape.ts'

const ENVIRONMENT = '/api/v1/projects/default/environments/development'
/** As a server has it unless it is set otherwise. */
const HANDSHAKES_PER_SECOND = 500
const CLIENTS_PER_PROCESS = 5_000
const CALL_EVERY_MS = 500
/** Every so many calls is a kill or a lift, which is followed for as long as it may take to arrive; the others read. */
const KILL_EVERY = 5
const FOLLOW_MS = 2_000
/** After so long a run gives up on those who are not back. */
const RUN_MS = 120_000
const STEADY_MS = 3_000
/** The fleet comes for the first time at this pace, per instance of a process. */
const ARRIVAL_MS = 3

const BACK_MAX_MS = 60_000
const CALL_MAX_MS = 1_000
const OFF_SHARE_MIN = 0.99
const RSS_GROWTH_MAX = 2

export interface StormOptions {
  /** An empty folder for the data. */
  readonly data: string
  readonly instances: number
  readonly handshakesPerSecond: number
  /** Starts the fleet; it is closed by who made it. */
  openFleets(port: number, key: string): Promise<Fleets>
  /** Told of every server process, to have it ended whatever happens. */
  readonly onServer?: (server: ServerProcess) => void
  /** How long the fleet is left alone before it loses its server, for a steady memory; 3 s unless given. */
  readonly steadyMs?: number
}

/** A fleet, wherever it runs. */
export interface Fleets {
  counts(): Promise<FleetCounts>
  watch(revision: number): Promise<void>
  outcome(): Promise<Outcome>
}

/** Moments are in ms since the `kill -9`. */
export interface StormResult {
  readonly listeningMs: number
  /** When everyone was live again; Infinity when somebody was not in time. */
  readonly backMs: number
  readonly counts: FleetCounts
  /** Of the calls that an operator made while the server was up: ms to the answer, and what went wrong. */
  readonly killMs: readonly number[]
  readonly readMs: readonly number[]
  readonly problems: readonly string[]
  /** Calls that met no server. */
  readonly down: number
  /** How many of those connected had a kill within `FOLLOW_MS`, one share a kill, and how long it took to the 99th of 100. */
  readonly offShares: readonly number[]
  readonly off99Ms: readonly number[]
  /** Handshakes accepted in any stretch of time above what the bucket allows in it; at most 0 when it holds. */
  readonly aboveRate: number
  readonly acceptedPerSecond: number
  readonly steadyRssMiB: number
  readonly peakRssMiB: number
  /** The revision that stands at the end; everyone holds it when `counts.lowest` is the same. */
  readonly revision: number
}

export async function runStorm(options: StormOptions): Promise<StormResult> {
  const { data, instances, handshakesPerSecond } = options
  const start = async (rate: number, port?: number): Promise<ServerProcess> => {
    const environment = { SLUICE_HANDSHAKES_PER_SECOND: String(rate) }
    const server = await startProcess({ data, environment, ...(port === undefined ? {} : { port }), onSpawn: () => undefined })
    options.onServer?.(server)
    return server
  }
  // Nobody is measured while the fleet comes for the first time.
  let server = await start(100_000)
  const { port, adminKey } = server
  await ask(server.url, adminKey, 'POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'release' })
  const fleets = await options.openFleets(port, server.serverKey)
  await until(async () => (await fleets.counts()).live === instances, 'the fleet to connect')
  await sleep(options.steadyMs ?? STEADY_MS)
  const steadyRssMiB = memoryOf(server.child.pid, 'VmRSS')
  const { text } = await ask(server.url, adminKey, 'GET', `${ENVIRONMENT}/kills`)
  const before = (JSON.parse(text) as { revision: number }).revision

  await server.kill()
  const killedAt = monotonic()
  const since = (): number => monotonic() - killedAt
  let listeningMs = Infinity
  const restarted = start(handshakesPerSecond, port).then(again => {
    listeningMs = since()
    server = again
  })
  const operator = openOperator(`http://127.0.0.1:${port}`, adminKey, fleets, before, () => listeningMs < Infinity)
  const rate: AcceptedSample[] = []
  let backMs = Infinity
  for (let nextAt = 0; since() < RUN_MS && backMs === Infinity; nextAt = Math.max(nextAt + CALL_EVERY_MS, since())) {
    await sleep(nextAt - since())
    await operator.turn()
    if (listeningMs === Infinity) continue
    rate.push(await acceptedNow(server.url))
    // Live again is who was down: the counts of a fleet that has not noticed yet do not count.
    if ((await fleets.counts()).live === instances) backMs = since()
  }
  await restarted
  const revision = await operator.end()
  const isCurrent = async (): Promise<boolean> => (await fleets.counts()).lowest === revision
  await until(isCurrent, 'everyone to hold the newest revision').catch(() => undefined)
  const counts = await fleets.counts()
  const peakRssMiB = memoryOf(server.child.pid, 'VmHWM')
  await server.stop()
  return {
    listeningMs,
    backMs,
    counts,
    ...operator.result(),
    aboveRate: aboveRate(rate, handshakesPerSecond),
    acceptedPerSecond: acceptedPerSecond(rate),
    steadyRssMiB,
    peakRssMiB,
    revision,
  }
}

// --- who kills and lifts meanwhile

function openOperator(url: string, adminKey: string, fleets: Fleets, before: number, isUp: () => boolean) {
  const killMs: number[] = []
  const readMs: number[] = []
  const problems: string[] = []
  const offShares: number[] = []
  const off99Ms: number[] = []
  let down = 0
  let turns = 0
  let isKilled = false
  let followedAt: number | null = null
  let revision = before

  async function conclude(): Promise<void> {
    if (followedAt === null) return
    await sleep(Math.max(0, followedAt + FOLLOW_MS - monotonic()))
    followedAt = null
    const { live, left, ms } = await fleets.outcome()
    // Whoever lost the stream is not connected any more; it gets the kill as part of what it missed.
    const stayed = live - left
    if (stayed === 0) return
    const inTime = ms.filter(one => one <= FOLLOW_MS)
    offShares.push(inTime.length / stayed)
    off99Ms.push(quantile([...ms], 0.99))
  }

  const kills = `${ENVIRONMENT}/flags/checkout/kills`

  /** Kills or lifts, and follows it to everyone who is connected now. */
  async function change(isFollowed: boolean): Promise<void> {
    await conclude()
    if (isFollowed) {
      await fleets.watch(revision + 1)
      followedAt = monotonic()
    }
    const calledAt = monotonic()
    const answer = await (isKilled ? ask(url, adminKey, 'DELETE', kills) : ask(url, adminKey, 'POST', kills, { reason: 'the storm' }))
    killMs.push(monotonic() - calledAt)
    if (answer.status >= 300) return void problems.push(`${answer.status} ${answer.text.slice(0, 200)}`)
    revision = (JSON.parse(answer.text) as { revision: number }).revision
    isKilled = !isKilled
  }

  async function read(): Promise<void> {
    const calledAt = monotonic()
    const answer = await ask(url, adminKey, 'GET', `${ENVIRONMENT}/kills`)
    readMs.push(monotonic() - calledAt)
    if (answer.status >= 300) problems.push(`${answer.status} ${answer.text.slice(0, 200)}`)
  }

  return {
    /** One call. */
    async turn(): Promise<void> {
      const wasUp = isUp()
      try {
        await (turns++ % KILL_EVERY === 0 ? change(wasUp) : read())
      } catch (error) {
        // Before it listens there is nobody to answer.
        if (!wasUp) down++
        else problems.push(String(error))
      }
    },
    async end(): Promise<number> {
      await conclude()
      return revision
    },
    result: () => ({ killMs, readMs, problems, down, offShares, off99Ms }),
  }
}

/** On a connection of its own, as a person's tool makes it. */
async function ask(
  url: string,
  adminKey: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  const dispatcher = new Agent({ pipelining: 0 })
  try {
    const answer = await request(url + path, {
      method,
      dispatcher,
      headers: { authorization: `Bearer ${adminKey}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.statusCode, text: await answer.body.text() }
  } finally {
    await dispatcher.close()
  }
}

// --- how fast they are let in

interface AcceptedSample {
  readonly askedAt: number
  readonly answeredAt: number
  /** Since the server started. */
  readonly accepted: number
}

async function acceptedNow(url: string): Promise<AcceptedSample> {
  const askedAt = monotonic()
  const accepted = (await scrape(url)).get('sluice_stream_handshakes_accepted_total') ?? NaN
  return { askedAt, answeredAt: monotonic(), accepted }
}

/** A bucket admits its rate and, after a quiet second, as many again at once: over any stretch no more than both. */
function aboveRate(samples: readonly AcceptedSample[], perSecond: number): number {
  let most = -Infinity
  for (const [i, from] of samples.entries()) {
    for (const to of samples.slice(i + 1)) {
      const allowed = perSecond + (perSecond * (to.answeredAt - from.askedAt)) / 1_000
      most = Math.max(most, to.accepted - from.accepted - allowed)
    }
  }
  return most
}

/** While they came: from the first sample to the one after which no more did. */
function acceptedPerSecond(samples: readonly AcceptedSample[]): number {
  const [from] = samples
  const to = samples.find(sample => sample.accepted === samples.at(-1)?.accepted)
  if (from === undefined || to === undefined || to === from) return 0
  return ((to.accepted - from.accepted) / (to.answeredAt - from.askedAt)) * 1_000
}

/** Of a process, as Linux counts it. */
function memoryOf(pid: number | undefined, name: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) / 1_024
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAt = monotonic() + RUN_MS; !(await isSo()); await sleep(100)) {
    if (monotonic() > giveUpAt) throw new Error(`Waited ${RUN_MS / 1_000} s for ${what}.`)
  }
}

/** One fleet in this process. */
export function fleetsHere(fleet: Fleet): Fleets {
  return { counts: async () => fleet.counts(), watch: async revision => fleet.watch(revision), outcome: async () => fleet.outcome() }
}

// --- the bench

type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'watching' }
  | { readonly kind: 'counts'; readonly counts: FleetCounts }
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
type Asked = { readonly ask: 'watch'; readonly revision: number } | { readonly ask: 'counts' } | { readonly ask: 'outcome' }

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [first = '1', ...rest] = process.argv.slice(2)
  if (first === 'child:fleet') runFleet(rest)
  else await measure(Number(first), Number(rest[0] ?? 10_000), Number(rest[1] ?? 1))
}

async function measure(repeats: number, instances: number, seed: number): Promise<void> {
  print(machine())
  const results: StormResult[] = []
  for (let repeat = 0; repeat < repeats; repeat++) {
    const data = mkdtempSync(join(tmpdir(), 'sluice-storm-'))
    const family = openFamily<Told>(import.meta.url)
    const servers: ServerProcess[] = []
    const stop = (): void => servers.forEach(server => void server.child.kill('SIGKILL'))
    endWith(stop)
    try {
      const openFleets = async (port: number, key: string): Promise<Fleets> => {
        const children: Member<Told>[] = []
        for (let from = 0; from < instances; from += CLIENTS_PER_PROCESS) {
          const amount = Math.min(CLIENTS_PER_PROCESS, instances - from)
          children.push(family.start(['child:fleet', String(port), key, String(from), String(amount), String(seed + repeat)]))
        }
        await Promise.all(children.map(child => child.told('ready')))
        return fleetsOf(children)
      }
      const onServer = (server: ServerProcess): void => void servers.push(server)
      results.push(await runStorm({ data, instances, handshakesPerSecond: HANDSHAKES_PER_SECOND, openFleets, onServer }))
    } finally {
      family.stop()
      stop()
      rmSync(data, { recursive: true, force: true })
    }
  }
  report(results, instances)
}

function report(results: readonly StormResult[], instances: number): void {
  const row = (name: string, read: (result: StormResult) => string): string[] => [name, ...results.map(read)]
  const worst = (read: (result: StormResult) => number): number => Math.max(...results.map(read))
  const slowest = (values: readonly number[]): number => Math.max(0, ...values)
  print(`\n${instances} instances, ${HANDSHAKES_PER_SECOND} handshakes a second; times since the kill -9\n`)
  print(
    table([
      ['', ...results.map((_, i) => `storm ${i + 1}`)],
      row('the server listens again', one => `${(one.listeningMs / 1_000).toFixed(1)} s`),
      row('everyone is back', one => `${(one.backMs / 1_000).toFixed(1)} s`),
      row('attempts', one => String(one.counts.attempts - instances)),
      row('met no server', one => String(one.counts.refused[0] ?? 0)),
      row('refused with 503', one => String(one.counts.refused[503] ?? 0)),
      row('polls, of them answered 5xx', one => `${one.counts.polls}, ${one.counts.pollFailures}`),
      row('accepted a second, while they came', one => one.acceptedPerSecond.toFixed(0)),
      row('kills and lifts', one => String(one.killMs.length)),
      row('… answered, median, slowest', one => `${quantile(one.killMs, 0.5).toFixed(0)}, ${slowest(one.killMs).toFixed(0)} ms`),
      row('… had by 99 % of the connected, slowest', one => `${slowest(one.off99Ms).toFixed(0)} ms`),
      row('reads of the API', one => String(one.readMs.length)),
      row('… answered, median, slowest', one => `${quantile(one.readMs, 0.5).toFixed(0)}, ${slowest(one.readMs).toFixed(0)} ms`),
      row('calls that failed while it was up', one => String(one.problems.length)),
      row('resident memory, steady and peak', one => `${one.steadyRssMiB.toFixed(0)}, ${one.peakRssMiB.toFixed(0)} MiB`),
      row('the lowest revision held, of', one => `${one.counts.lowest} of ${one.revision}`),
    ]),
  )
  for (const problem of results.flatMap(one => one.problems)) print(`problem: ${problem}`)
  print('')
  const named = `storm of ${instances.toLocaleString('en')}`
  const back = worst(one => one.backMs)
  budget(`${named}: everyone back`, `≤ ${BACK_MAX_MS / 1_000} s`, `${(back / 1_000).toFixed(1)} s`, back <= BACK_MAX_MS)
  const above = worst(one => one.aboveRate)
  budget(`${named}: accepted above the configured rate`, 'none', above <= 0 ? 'none' : above.toFixed(0), above <= 0)
  const slow = worst(one => slowest([...one.killMs, ...one.readMs]))
  budget(`${named}: kills and reads are answered`, `≤ ${CALL_MAX_MS} ms`, `${slow.toFixed(0)} ms`, slow <= CALL_MAX_MS)
  const off = Math.min(...results.flatMap(one => one.offShares))
  budget(
    `${named}: connected SDKs off within ${FOLLOW_MS / 1_000} s`,
    `≥ ${OFF_SHARE_MIN * 100} %`,
    `${(off * 100).toFixed(2)} %`,
    off >= OFF_SHARE_MIN,
  )
  const failed = results.flatMap(one => one.problems).length
  budget(`${named}: admin calls that fail while it is up`, 'none', failed === 0 ? 'none' : String(failed), failed === 0)
  const growth = worst(one => one.peakRssMiB / one.steadyRssMiB)
  budget(`${named}: peak memory`, `≤ ${RSS_GROWTH_MAX.toFixed(2)} × steady`, `${growth.toFixed(2)} ×`, growth <= RSS_GROWTH_MAX)
}

function fleetsOf(children: readonly Member<Told>[]): Fleets {
  const tell = (asked: Asked): void => children.forEach(child => child.tell(asked))
  return {
    async counts() {
      const said = Promise.all(children.map(child => child.told('counts')))
      tell({ ask: 'counts' })
      return (await said).map(({ counts }) => counts).reduce(added)
    },
    async watch(revision) {
      const said = Promise.all(children.map(child => child.told('watching')))
      tell({ ask: 'watch', revision })
      await said
    },
    async outcome() {
      const said = Promise.all(children.map(child => child.told('outcome')))
      tell({ ask: 'outcome' })
      const outcomes = (await said).map(({ outcome }) => outcome)
      return {
        live: outcomes.reduce((sum, one) => sum + one.live, 0),
        left: outcomes.reduce((sum, one) => sum + one.left, 0),
        ms: Float64Array.from(outcomes.flatMap(one => [...one.ms])),
      }
    },
  }
}

function added(one: FleetCounts, other: FleetCounts): FleetCounts {
  const refused: Record<number, number> = { ...one.refused }
  for (const [status, count] of Object.entries(other.refused)) refused[Number(status)] = (refused[Number(status)] ?? 0) + count
  return {
    live: one.live + other.live,
    lowest: Math.min(one.lowest, other.lowest),
    attempts: one.attempts + other.attempts,
    accepted: one.accepted + other.accepted,
    refused,
    polls: one.polls + other.polls,
    pollFailures: one.pollFailures + other.pollFailures,
  }
}

function runFleet([port, key = '', from, amount, seed]: readonly string[]): void {
  const clients = Number(amount)
  const random = randomFrom(Number(seed) * 1_000_003 + Number(from))
  const fleet = openFleet({ port: Number(port), key, clients, first: Number(from), random, spreadMs: clients * ARRIVAL_MS })
  process.on('message', (asked: Asked) => {
    if (asked.ask === 'counts') tellParent({ kind: 'counts', counts: fleet.counts() })
    else if (asked.ask === 'outcome') tellParent({ kind: 'outcome', outcome: fleet.outcome() })
    else {
      fleet.watch(asked.revision)
      tellParent({ kind: 'watching' })
    }
  })
  tellParent({ kind: 'ready' })
}
