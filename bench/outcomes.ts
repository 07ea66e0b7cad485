/**
 * What does reporting an outcome cost, beside the evaluation it belongs to?
 *
 * Through the client, as an application calls it, of a rollout by account: one account again and again, ten in turn, and
 * 10,000 at random, with a slice that ends every 100,000 reports.
 *
 *     npx tsc -b test && node dist/bench/outcomes.js
 */
import type { Flag } from '../schemas/flag.ts'
import { startClient } from '../sdk/client.ts'
import { readOptions } from '../sdk/options.ts'
import type { LinkEvents } from '../sdk/transport.ts'
import type { Context, Sluice } from '../sdk/types.ts'
import { manualClock } from '../test/clock.ts'
import { randomFrom } from '../test/random.ts'
import { budget, machine, median, print, spread, table } from './report.ts'

const CALLS = 100_000
const ROUNDS = 15
const REPORT_MAX_NS = 200
const FLAG = 'ledger'

main()

function main(): void {
  print(`${machine()}\n`)
  const random = randomFrom(1)
  const accounts = Array.from({ length: 10_000 }, (_, i): Context => ({ targetingKey: `user-${i}`, account: { id: `account-${i}` } }))
  const walks: Record<string, Context[]> = {
    'one account': [accounts[7]!],
    'ten accounts': accounts.slice(0, 10),
    '10,000 accounts at random': Array.from({ length: CALLS }, () => accounts[Math.floor(random() * accounts.length)]!),
  }
  const { client, endSlice } = connected()
  const contenders: [string, (context: Context) => unknown][] = [
    ['value', context => client.value(FLAG, context, false)],
    ['report', context => client.report(FLAG, context, { ok: true, ms: 12 })],
  ]
  const measured = new Map(contenders.map(([name]) => [name, Object.keys(walks).map((): number[] => [])]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, call] of contenders) {
      for (const [i, walk] of Object.values(walks).entries()) {
        // Of this process alone: others on the machine do not count.
        const startedAt = process.cpuUsage()
        for (let at = 0; at < CALLS; at++) call(walk[at % walk.length]!)
        const { user, system } = process.cpuUsage(startedAt)
        endSlice()
        // The first rounds compile.
        if (round >= 3) measured.get(name)![i]!.push(((user + system) * 1_000) / CALLS)
      }
    }
  }
  const rows = [...measured].map(([name, each]) => [name, ...each.map(values => spread(values, 0))])
  print(table([['ns of processor time per call', ...Object.keys(walks)], ...rows]))
  print('')
  // Of accounts in use: among many at random the processor waits for memory, as it does for their values.
  for (const [i, walk] of Object.keys(walks).slice(0, 2).entries()) {
    const ns = median(measured.get('report')![i]!)
    budget(`reporting an outcome, ${walk}`, `≤ ${REPORT_MAX_NS} ns`, `${ns.toFixed(0)} ns`, ns <= REPORT_MAX_NS)
  }
}

function connected(): { readonly client: Sluice; endSlice(): void } {
  const weights = [
    { variation: 'on', weight: 5_000 },
    { variation: 'off', weight: 95_000 },
  ]
  const flag = {
    key: FLAG,
    kind: 'release',
    version: 1,
    seed: 1,
    enabled: true,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { rollout: { by: '/account/id', weights } },
  } satisfies Flag
  const clock = manualClock()
  let link: LinkEvents | null = null
  const client = startClient(readOptions({ url: 'ws://localhost:1', key: 'slc_server_k1_0123456789abcdef' }, 'bench'), {
    clock,
    random: () => 0,
    transport: () => ({
      open(events) {
        link = events
        return { send: () => undefined, drop: () => undefined, bytesRead: () => 0 }
      },
      poll: () => new Promise(() => undefined),
      report: () => Promise.resolve(true),
      close: () => Promise.resolve(),
    }),
  })
  clock.advance(0)
  const events = link as LinkEvents | null
  if (events === null) throw new Error('the client did not connect')
  events.opened()
  const say = (message: object): void => events.message(JSON.stringify(message))
  say({ type: 'ruleset', epoch: 'e', revision: 1, flags: [flag], segments: [] })
  return {
    client,
    endSlice() {
      for (let i = 0; i < 2; i++) {
        say({ type: 'beat', epoch: 'e', revision: 1 })
        clock.advance(5_000)
      }
    },
  }
}
