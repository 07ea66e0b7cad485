/**
 * How exactly do 50 SDKs hold one limit over the real hub: real sockets, a server in a process of its own, real time?
 *
 * One account is asked for at three times its limit, skewed over the instances by Zipf (exponent 1.2); half-way the busy
 * instances are others. Printed is admitted ÷ limit for each second after the first three, and the frames that it took.
 *
 *     npx tsc -b test && node dist/bench/limithub.js
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { connect } from '../sdk/index.ts'
import { zipf } from '../test/limiter/fleet.ts'
import { randomFrom } from '../test/random.ts'
import { startProcess } from '../test/server/process.ts'
import { budget, machine, print, table } from './report.ts'

const INSTANCES = 50
const RATE = 1_000
const SECONDS = 14
/** The tokens of the first seconds are seeds and a full counter. */
const SETTLING_S = 3
const FLAG = 'api-requests'
const CONTEXT = { account: { id: 'a-17' } }

const data = mkdtempSync(join(tmpdir(), 'sluice-limits-'))
const server = await startProcess({ data })
try {
  await main()
} finally {
  await server.stop()
  rmSync(data, { recursive: true, force: true })
}

async function main(): Promise<void> {
  print(`${machine()}\n`)
  const created = await fetch(`${server.url}/api/v1/projects/default/flags`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      key: FLAG,
      kind: 'rate-limit',
      variations: [{ key: 'standard', value: { rate: RATE, per: 'second', keyBy: ['/account/id'] } }],
      offVariation: 'standard',
    }),
  })
  if (!created.ok) throw new Error(await created.text())
  const clients = Array.from({ length: INSTANCES }, (_, i) => connect({ url: server.url, key: server.serverKey, instance: `i-${i}` }))
  await Promise.all(clients.map(client => client.ready(60_000)))
  const before = await frames()
  const admitted = await drive(clients)
  const sent = (await frames()) - before
  for (const client of clients) await client.close()

  const shares = admitted.slice(SETTLING_S, -1).map(count => count / RATE)
  print(table([['second', 'admitted ÷ limit'], ...shares.map((share, i) => [String(i + SETTLING_S + 1), share.toFixed(3)])]))
  print(`\n${INSTANCES} instances, ${RATE} tokens a second; ${(sent / SECONDS).toFixed(0)} frames a second from the server`)
  const [lowest, highest] = [Math.min(...shares), Math.max(...shares)]
  budget(
    'admitted ÷ limit in any second, 50 instances over the real hub',
    '0.97 to 1.10',
    `${lowest.toFixed(2)} to ${highest.toFixed(2)}`,
    lowest >= 0.97 && highest <= 1.1,
  )
}

/** Admitted in each second. */
async function drive(clients: readonly ReturnType<typeof connect>[]): Promise<number[]> {
  const pick = zipf(randomFrom(7), INSTANCES)
  const admitted = new Array<number>(SECONDS + 1).fill(0)
  let asked = 0
  const start = performance.now()
  const timer = setInterval(() => {
    const ms = performance.now() - start
    const second = Math.min(SECONDS, Math.floor(ms / 1_000))
    for (const due = (ms * 3 * RATE) / 1_000; asked < due; asked++) {
      if (clients[pick(second >= SECONDS / 2 ? INSTANCES / 2 : 0)]!.limit(FLAG, CONTEXT).allowed) admitted[second]!++
    }
  }, 2)
  await once(AbortSignal.timeout(SECONDS * 1_000), 'abort')
  clearInterval(timer)
  return admitted.slice(0, SECONDS)
}

async function frames(): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^sluice_stream_messages_sent_total (\d+)/m.exec(metrics)?.[1] ?? Number.NaN)
}
