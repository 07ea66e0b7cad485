/**
 * What does a rate-limit decision cost, beside the limiters of others; how much room does a key take; and how exactly do
 * many instances hold one limit?
 *
 * The decisions are those of one process: ours with tokens in hand, the others with their store in memory. The fleets are
 * simulated in virtual time with a network of 10 to 40 ms each way, at three times the limit, skewed over the instances by
 * Zipf (exponent 1.2), and after half the time the busy instances are others.
 *
 *     npx tsc -b test && node --expose-gc dist/bench/limits.js
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Context } from '../schemas/context.ts'
import { decideSafely } from '../sdk/evaluator/evaluate.ts'
import { prepare } from '../sdk/evaluator/prepare.ts'
import type { Flag } from '../schemas/flag.ts'
import { Limiter } from '../sdk/limiter/limiter.ts'
import { Fleet, poisson, policyFor, rateOutcome, zipf } from '../test/limiter/fleet.ts'
import { MemoryLedger } from '../server/limits/memory.ts'
import { randomFrom } from '../test/random.ts'
import { budget, machine, median, print, spread, table } from './report.ts'

const DECISIONS = 200_000
const ROUNDS = 15
const KEYS = 100_000
const DECISION_MAX_NS = 100
const RATE = 1e9

type Take = (key: string) => unknown

const PEERS = fileURLToPath(new URL('../../bench/peers/', import.meta.url))
const require = createRequire(`${PEERS}package.json`)

await main()

async function main(): Promise<void> {
  print(`${machine()}\n`)
  await decisions()
  print('')
  memory()
  print('')
  fleets()
}

/** One key again and again, ten in turn, and 100,000 at random; the contenders in turns. */
async function decisions(): Promise<void> {
  const random = randomFrom(1)
  const keys = Array.from({ length: KEYS }, (_, i) => `account-${i}`)
  const walks: Record<string, string[]> = {
    'one key': Array.from({ length: 1_000 }, () => 'account-7'),
    'ten keys': Array.from({ length: 1_000 }, (_, i) => keys[i % 10]!),
    '100,000 keys at random': Array.from({ length: DECISIONS }, () => keys[Math.floor(random() * KEYS)]!),
  }
  const contenders: [string, Take, boolean][] = [
    ['Sluice, with its evaluation', oursEvaluated(), false],
    ['Sluice, the limit alone', ours(), false],
    ...peers(),
  ]
  const rows = [['ns of processor time per decision', ...Object.keys(walks)]]
  const measured = new Map<string, number[][]>(contenders.map(([name]) => [name, Object.keys(walks).map(() => [])]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, take, isAsync] of contenders) {
      for (const [i, walk] of Object.values(walks).entries()) {
        const count = isAsync ? DECISIONS / 10 : DECISIONS
        // Of this process alone: others on the machine do not count.
        const startedAt = process.cpuUsage()
        if (isAsync) for (let at = 0; at < count; at++) await take(walk[at % walk.length]!)
        else for (let at = 0; at < count; at++) take(walk[at % walk.length]!)
        const { user, system } = process.cpuUsage(startedAt)
        const ns = ((user + system) * 1_000) / count
        // The first rounds compile.
        if (round >= 3) measured.get(name)![i]!.push(ns)
      }
    }
  }
  for (const [name, each] of measured) rows.push([name, ...each.map(values => spread(values, 0))])
  print(table(rows))
  print('')
  const mine = measured.get('Sluice, with its evaluation')!
  const ns = median(mine[0]!)
  budget('a limit decision, key in use, evaluation included', `≤ ${DECISION_MAX_NS} ns`, `${ns.toFixed(0)} ns`, ns <= DECISION_MAX_NS)
  const ten = median(mine[1]!)
  budget('the same, ten keys in turn', `≤ ${DECISION_MAX_NS} ns`, `${ten.toFixed(0)} ns`, ten <= DECISION_MAX_NS)
}

function limiter(): Limiter {
  const one = new Limiter({ monotonic: () => 0, wake: () => undefined, countersMax: 2 * KEYS })
  one.connected(0)
  one.granted({ type: 'grant', instances: 1, keys: [] }, 0)
  return one
}

function ours(): Take {
  const mine = limiter()
  const outcome = rateOutcome({ rate: RATE, per: 'second' })
  return key => {
    const answer = mine.take(outcome, { targetingKey: key }, undefined)
    if (!answer.allowed) throw new Error('denied within the limit')
    return answer
  }
}

function oursEvaluated(): Take {
  const mine = limiter()
  const flag = {
    key: 'api',
    kind: 'rate-limit',
    version: 1,
    seed: 1,
    enabled: true,
    variations: [
      { key: 'standard', value: { rate: RATE, per: 'second' } },
      { key: 'none', value: { rate: 0, per: 'second' } },
    ],
    offVariation: 'none',
    targets: [],
    rules: [{ id: 'r1', clauses: [{ attribute: 'country', op: 'in', values: ['XX'] }], serve: { variation: 'none' } }],
    fallthrough: { variation: 'standard' },
  } as unknown as Flag
  const prepared = prepare({ flags: [flag], segments: [] }, 1).flags.get('api')!
  return key => {
    const context: Context = { targetingKey: key, country: 'NZ' }
    const answer = mine.take(decideSafely(prepared, context, null), context, undefined)
    if (!answer.allowed || answer.reason === 'ERROR') throw new Error(`${answer.reason} within the limit`)
    return answer
  }
}

/** Those that are not installed are said to be so. */
function peers(): [string, Take, boolean][] {
  const found: [string, Take, boolean][] = []
  const load = (name: string, file: string, open: (module: never) => [Take, boolean]): void => {
    try {
      const { version } = require(`${PEERS}node_modules/${name}/package.json`) as { version: string }
      const [take, isAsync] = open(require(file) as never)
      found.push([`${name} ${version}${isAsync ? ' (async)' : ''}`, take, isAsync])
    } catch (error) {
      print(`${name} is not compared: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
    }
  }
  load(
    'rate-limiter-flexible',
    'rate-limiter-flexible',
    ({ RateLimiterMemory }: { RateLimiterMemory: new (o: object) => { consume(key: string): Promise<unknown> } }) => {
      const one = new RateLimiterMemory({ points: RATE, duration: 3_600 })
      return [key => one.consume(key), true]
    },
  )
  load(
    'limiter',
    `${PEERS}node_modules/limiter/dist/cjs/index.js`,
    ({ RateLimiter }: { RateLimiter: new (o: object) => { tryRemoveTokens(count: number): boolean } }) => {
      // It has no keys of its own: a map of them, as its users write it.
      const all = new Map<string, { tryRemoveTokens(count: number): boolean }>()
      return [
        key => {
          let one = all.get(key)
          if (one === undefined) all.set(key, (one = new RateLimiter({ tokensPerInterval: RATE, interval: 'second' })))
          return one.tryRemoveTokens(1)
        },
        false,
      ]
    },
  )
  load(
    '@fastify/rate-limit',
    '@fastify/rate-limit/store/LocalStore.js',
    (Store: new (...options: unknown[]) => { incr(key: string, cb: () => void, windowMs: number, max: number): void }) => {
      const one = new Store(false, false, KEYS)
      const done = (): void => undefined
      return [key => one.incr(key, done, 1_000, RATE), false]
    },
  )
  return found
}

function memory(): void {
  const outcome = rateOutcome({ rate: 10, per: 'second' })
  const collect = (globalThis as { gc?: () => void }).gc
  if (collect === undefined) {
    print('Memory is measured with --expose-gc only.')
    return
  }
  const used = (): number => {
    collect()
    collect()
    return process.memoryUsage().heapUsed
  }
  const clock = { now: 0 }
  const mine = new Limiter({ monotonic: () => clock.now, wake: () => undefined, countersMax: KEYS })
  mine.connected(0)
  const before = used()
  for (let i = 0; i < KEYS; i++) mine.take(outcome, { targetingKey: `account-${i}` }, undefined)
  const sdk = (used() - before) / KEYS
  const policy = policyFor({ rate: 10, per: 'second' })
  const ledger = new MemoryLedger(() => policy, -10_000)
  ledger.join('i', 0)
  const empty = used()
  for (let i = 0; i < KEYS; i += 500) {
    const keys = Array.from({ length: 500 }, (_, at) => ({
      ...{ slot: i + at, flag: 'api', variation: 'standard', key: `account-${i + at}` },
      ...{ held: 0, spent: 1, local: 1, denied: 0, want: 1 },
    }))
    ledger.report('i', { type: 'lease', keys }, 0)
  }
  const server = (used() - empty) / KEYS
  const startedAt = performance.now()
  ledger.round(50)
  const round = performance.now() - startedAt
  // Kept in use, so that they are not collected before.
  if (mine.size !== KEYS || ledger.size !== KEYS) throw new Error('counters were lost')
  const ticked = performance.now()
  clock.now = 50
  mine.tick(50)
  const tick = performance.now() - ticked
  print(
    table([
      ['100,000 keys', 'in the SDK', 'in the ledger'],
      ['bytes per key', sdk.toFixed(0), server.toFixed(0)],
      ['one tick or round with all of them in use, ms', tick.toFixed(1), round.toFixed(1)],
    ]),
  )
  print('')
  budget('a key in the SDK', '≤ 500 bytes', `${sdk.toFixed(0)} bytes`, sdk <= 500)
}

function fleets(): void {
  const rows = [['instances', 'limit', 'lowest', 'highest', 'in the second of the shift', 'mean', 'frames/s up', 'frames/s down']]
  for (const rate of [1_000, 50]) {
    for (const instances of [10, 50, 500]) {
      const fleet = new Fleet({ instances, value: { rate, per: 'second' }, seed: instances })
      fleet.connectAll()
      fleet.run(3_000)
      const draw = zipf(fleet.random, instances)
      const before = { ...fleet.frames }
      fleet.run(20_000, (now, stepMs) => {
        const shift = now < 13_000 ? 0 : Math.floor(instances / 2)
        for (let i = poisson(fleet.random, (rate * 3 * stepMs) / 1_000); i > 0; i--) fleet.take(draw(shift), 'acme')
      })
      const each = fleet.admitted.slice(6, 23).map(admitted => admitted / rate)
      const [shifting = 0] = each.splice(7, 1)
      const mean = each.reduce((sum, one) => sum + one, 0) / each.length
      const [low, high] = [Math.min(...each), Math.max(...each)]
      rows.push([
        ...[String(instances), `${rate}/s`, low.toFixed(2), high.toFixed(2), shifting.toFixed(2), mean.toFixed(3)],
        ...[fleet.frames.up - before.up, fleet.frames.down - before.down].map(frames => (frames / 20).toFixed(0)),
      ])
      if (rate !== 1_000) continue
      const all = [...each, shifting]
      const [lowest, highest] = [Math.min(...all), Math.max(...all)]
      budget(
        `admitted ÷ limit in any second, ${instances} instances, ${rate}/s`,
        '0.97 to 1.10',
        `${lowest.toFixed(2)} to ${highest.toFixed(2)}`,
        lowest >= 0.97 && highest <= 1.1,
      )
    }
  }
  print('')
  print(table(rows))
}
