/**
 * Do 100 of 1,000 SDKs that never read slow down the others? Two servers stand side by side, each with 900 that do read;
 * one of them carries 100 more that do not. Each update goes to one server, then to the other, in turns, and is waited
 * for; p99 is that of the 900. Before that the 100 are sent what fills the system's own buffers, some megabytes each;
 * when the server has closed all of them the next 100 come.
 *
 *   node dist/bench/slow.js [updates=1000] [slow=100] [healthy=900]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { PROTOCOL } from '../schemas/protocol.ts'
import { type ServerProcess, startProcess } from '../test/server/process.ts'
import { endWith, monotonic, openFamily, tellParent } from './processes.ts'
import { budget, machine, median, print, quantile, spread, table } from './report.ts'
import { scrape } from './scrape.ts'
import { openWire, type Wire } from './wire.ts'

const FLAG = '/api/v1/projects/default/environments/development/flags/wide'
/** An account in a flag's list; so many make an update large, for filling, and small, for measuring. */
const ACCOUNT = 'account-00000000'
const [LARGE, SMALL] = [12_000, 20]
const FILLING_MAX = 80
const WARM_UP = 20
const RUN_MS = 180_000
const CLOSED_WITHIN_MS = 10_000
const RSS_GROWTH_MAX_MIB = 100
const RATIO_MAX = 1.1
/** How often the server with the slow ones is asked how it is, in updates. */
const LOOK_EVERY = 2

type Side = 'with' | 'without'
type Told =
  { readonly kind: 'connected' } | { readonly kind: 'arrived'; readonly side: Side; readonly revision: number; readonly at: Float64Array }

const [first = '1000', ...rest] = process.argv.slice(2)
if (first === 'child:clients') await runClients(rest)
else await measure(Number(first), Number(rest[0] ?? 100), Number(rest[1] ?? 900))

async function measure(updates: number, slow: number, healthy: number): Promise<void> {
  print(machine())
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'sluice-slow-')))
  const family = openFamily<Told>(import.meta.url)
  const environment = { SLUICE_HANDSHAKES_PER_SECOND: '100000' }
  const servers = await Promise.all(folders.map(data => startProcess({ data, environment })))
  const stop = (): void => servers.forEach(server => void server.child.kill('SIGKILL'))
  endWith(stop)
  const agent = new Agent({ pipelining: 1 })
  try {
    const [withSlow, without] = servers as [ServerProcess, ServerProcess]
    for (const server of servers) await ask(agent, server, 'POST', '/api/v1/projects/default/flags', { key: 'wide', kind: 'release' })
    const ports = servers.map(server => String(server.port))
    const clients = family.start(['child:clients', ...ports, withSlow.serverKey, String(healthy)])
    await clients.told('connected')

    const revisions = { with: 1, without: 1 }
    const update = async (side: Side, size: number): Promise<number> => {
      const revision = ++revisions[side]
      const arrived = clients.told('arrived', message => message.side === side && message.revision === revision)
      const calledAt = monotonic()
      await ask(agent, side === 'with' ? withSlow : without, 'PATCH', FLAG, { targets: [targetOf(revision, size)] })
      const { at } = await arrived
      return quantile([...at], 0.99) - calledAt
    }
    /** Both, in turns as to who is first. */
    const round = async (i: number): Promise<Round> => {
      if (i % 2 === 0) return { with: await update('with', SMALL), without: await update('without', SMALL) }
      const first = await update('without', SMALL)
      return { with: await update('with', SMALL), without: first }
    }
    for (let i = 0; i < WARM_UP; i++) await round(i)

    const rounds: Round[] = []
    const closedMs: number[] = []
    const startMiB = (await lookAt(withSlow)).rssMiB
    let mostMiB = startMiB
    let closed = 0
    const look = async (): Promise<Look> => {
      const found = await lookAt(withSlow)
      mostMiB = Math.max(mostMiB, found.rssMiB)
      return found
    }
    for (const startedAt = monotonic(); rounds.length < updates && monotonic() - startedAt < RUN_MS; closed += slow) {
      const wires = await openSlow(withSlow, slow)
      let behindAt = Infinity
      for (let i = 0, behind = 0; behind < slow; i++) {
        if (i === FILLING_MAX) throw new Error(`${behind} of ${slow} are behind after ${i} large updates.`)
        await update('with', LARGE)
        behind = (await look()).behind
        if (behind > 0) behindAt = Math.min(behindAt, monotonic())
      }
      for (let i = 0; ; i++) {
        rounds.push(await round(i))
        if (i % LOOK_EVERY !== 0) continue
        if ((await look()).slowClosed === closed + slow) break
        if (monotonic() - behindAt > 3 * CLOSED_WITHIN_MS) break
      }
      closedMs.push(monotonic() - behindAt)
      for (const wire of wires) wire.drop()
    }
    const { slowClosed } = await look()
    report({ slow, healthy, rounds, grewMiB: mostMiB - startMiB, closedMs: Math.max(...closedMs), slowClosed, opened: closed })
  } finally {
    await agent.close()
    family.stop()
    stop()
    for (const data of folders) rmSync(data, { recursive: true, force: true })
  }
}

interface Round {
  /** p99 of those that read, in ms from the call. */
  readonly with: number
  readonly without: number
}

interface Measured {
  readonly slow: number
  readonly healthy: number
  readonly rounds: readonly Round[]
  readonly grewMiB: number
  /** From the first that was behind to the last that was closed, at worst. */
  readonly closedMs: number
  readonly slowClosed: number
  readonly opened: number
}

function report({ slow, healthy, rounds, grewMiB, closedMs, slowClosed, opened }: Measured): void {
  const ratio = median(rounds.map(one => one.with / one.without))
  print(`\n${healthy} SDKs that read, ${slow} that do not, ${rounds.length} updates; ms from the call\n`)
  print(
    table([
      ['', `beside ${slow} that do not read`, 'without'],
      ['p99 of those that read, median ± quartiles', ...(['with', 'without'] as const).map(side => spread(rounds.map(one => one[side])))],
      [
        '… in the worst hundredth of the updates',
        ...(['with', 'without'] as const).map(side =>
          quantile(
            rounds.map(one => one[side]),
            0.99,
          ).toFixed(1),
        ),
      ],
    ]),
  )
  print(
    `\nclosed ${slowClosed} of ${opened}, the last ${(closedMs / 1_000).toFixed(1)} s after the first was behind; memory grew by ${grewMiB.toFixed(0)} MiB\n`,
  )
  budget(
    `${slow} of ${slow + healthy} never read: p99 of the others`,
    `≤ ${RATIO_MAX.toFixed(2)} × without them`,
    `${ratio.toFixed(2)} ×`,
    ratio <= RATIO_MAX,
  )
  budget(
    `${slow} of ${slow + healthy} never read: memory grows by`,
    `≤ ${RSS_GROWTH_MAX_MIB} MiB`,
    `${grewMiB.toFixed(0)} MiB`,
    grewMiB <= RSS_GROWTH_MAX_MIB,
  )
  budget(
    `${slow} of ${slow + healthy} never read: all closed within`,
    `≤ ${CLOSED_WITHIN_MS / 1_000} s`,
    `${(closedMs / 1_000).toFixed(1)} s`,
    closedMs <= CLOSED_WITHIN_MS,
  )
}

/** A list of account ids of which one is new each time. */
function targetOf(revision: number, size: number): object {
  return {
    attribute: '/account/id',
    values: [...Array.from({ length: size }, (_, i) => `${ACCOUNT}${i}`), `new-${revision}`],
    variation: 'off',
  }
}

interface Look {
  readonly rssMiB: number
  readonly behind: number
  readonly slowClosed: number
}

async function lookAt(server: ServerProcess): Promise<Look> {
  const samples = await scrape(server.url)
  const read = (name: string): number => samples.get(name) ?? NaN
  return {
    rssMiB: read('process_resident_memory_bytes') / 2 ** 20,
    behind: read('sluice_sockets_behind'),
    slowClosed: read('sluice_stream_slow_closed_total'),
  }
}

async function ask(agent: Agent, server: ServerProcess, method: 'POST' | 'PATCH', path: string, body: unknown): Promise<void> {
  const answer = await request(server.url + path, {
    dispatcher: agent,
    method,
    headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.body.text()
  if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`)
}

/** They say hello, hear the answer, and read no more. */
async function openSlow(server: ServerProcess, amount: number): Promise<readonly Wire[]> {
  const opening = Array.from({ length: amount }, (_, i) => {
    return new Promise<Wire>(resolve => {
      const wire = openStream(server.port, server.serverKey, `slow-${i}`, () => {
        wire.pause()
        resolve(wire)
      })
    })
  })
  return Promise.all(opening)
}

function openStream(port: number, key: string, instance: string, message: (text: string) => void): Wire {
  const headers = [`authorization: Bearer ${key}`, `sec-websocket-protocol: ${PROTOCOL}`]
  const wire = openWire(
    { port, path: '/stream', headers },
    {
      opened: () => wire.send(JSON.stringify({ type: 'hello', instance, service: 'bench', sdk: 'bench/1', revision: 0, epoch: '' })),
      message,
      lost: () => undefined,
    },
  )
  return wire
}

async function runClients([withPort, withoutPort, key = '', amount]: readonly string[]): Promise<void> {
  await Promise.all([
    openHealthy('with', Number(withPort), key, Number(amount)),
    openHealthy('without', Number(withoutPort), key, Number(amount)),
  ])
  tellParent({ kind: 'connected' })
}

/** @returns when all have heard the answer to their hello */
function openHealthy(side: Side, port: number, key: string, amount: number): Promise<void> {
  let at = new Float64Array(amount)
  let [count, connected] = [0, 0]
  return new Promise(resolve => {
    for (let i = 0; i < amount; i++) {
      const wire = openStream(port, key, `i${i}`, text => {
        // Its beginning says it all: reading the whole of it is the SDK's work, and there are 1,800 of them in this process.
        const [, type = '', number] = /^\{"type":"(\w+)",.{0,80}?"revision":(\d+)/.exec(text.slice(0, 200)) ?? []
        const revision = Number(number)
        if (type === 'beat' || Number.isNaN(revision)) return
        wire.send(`{"type":"applied","revision":${revision}}`)
        if (type !== 'change') {
          if (++connected === amount) resolve()
          return
        }
        at[count++] = monotonic()
        if (count < amount) return
        tellParent({ kind: 'arrived', side, revision, at })
        at = new Float64Array(amount)
        count = 0
      })
    }
  })
}
