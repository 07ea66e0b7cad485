/**
 * What does a call through a valve cost while it flows, beside the breakers of others; and how does the valve treat a dependency
 * that has a bad day?
 *
 * The calls are those of a real client, connected to a server, evaluation included. What is called resolves at once, so that
 * what is left is the breaker; the bare call is the same loop without any. The fault: 1,000 calls a
 * second offered, of which the dependency answers 200 for two minutes, in virtual time through the valve's own core.
 *
 *     npx tsc -b test && node dist/bench/valves.js
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Flag } from '../schemas/flag.ts'
import { VALVE_PRESETS } from '../schemas/values.ts'
import { connect } from '../sdk/index.ts'
import { randomFrom } from '../test/random.ts'
import { flag, KEY, startModel } from '../test/sdk/server.ts'
import { average, runFault } from '../test/sdk/valve/fault.ts'
import { budget, machine, median, print, spread, table } from './report.ts'

const CALLS = 100_000
const ROUNDS = 15
/** The first rounds compile. */
const WARM_UP = 3
const OVERHEAD_MAX_NS = 150
/** Of the fault. */
const SICK_FROM_S = 120
const HEALED_S = 240
const UNTIL_S = 420

const PEERS = fileURLToPath(new URL('../../bench/peers/', import.meta.url))
const require = createRequire(`${PEERS}package.json`)

const context = { targetingKey: 'user-1', account: { id: 'a-17', plan: 'beta' } }
const resolved = (): Promise<number> => Promise.resolve(1)
const answers = (): number => 1

await main()

async function main(): Promise<void> {
  print(`${machine()}\n`)
  await costs()
  print('')
  faults()
}

/** One way of making calls: nanoseconds of processor time per call. */
interface Contender {
  readonly name: string
  measure(count: number): Promise<number>
}

async function costs(): Promise<void> {
  const ends: (() => void | Promise<void>)[] = []
  const server = await startModel({ teardown: run => void ends.push(run) }, [
    valveFlag('usual', VALVE_PRESETS.auto),
    valveFlag('slow', { mode: 'auto', breaker: { slowMs: 500 } }),
    valveFlag('timed', { mode: 'auto', breaker: { timeoutMs: 1_000 } }),
  ])
  const flags = connect({ url: server.url, key: KEY })
  await flags.ready(60_000)
  const usual = flags.valve('usual')
  const slow = flags.valve('slow')
  const timed = flags.valve('timed')
  for (const valve of [usual, slow, timed])
    if (valve.enter(context).reason !== 'FLOWING') throw new Error('the valve does not flow: there is nothing to measure')
  const contenders: Contender[] = [
    steps('nothing: the loop alone', () => answers()),
    steps('evaluation of the flag alone', () => flags.value('usual', context)),
    steps('Sluice enter and done', () => usual.enter(context).done()),
    steps('Sluice enter and done, with slowMs', () => slow.enter(context).done()),
    awaited('nothing: the promise awaited', resolved),
    awaited('Sluice run', () => usual.run(context, resolved)),
    awaited('Sluice run, with timeoutMs', () => timed.run(context, resolved)),
    ...peers(),
  ]
  const measured = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, measure } of contenders) {
      const ns = await measure(CALLS)
      if (round >= WARM_UP) measured.get(name)!.push(ns)
    }
  }
  print(table([['a call while it flows', 'ns of processor time'], ...[...measured].map(([name, each]) => [name, spread(each, 0)])]))
  print('')
  const of = (name: string): number => median(measured.get(name)!)
  const overhead = of('Sluice enter and done') - of('nothing: the loop alone')
  budget(
    'enter and done while the valve flows, evaluation included',
    `≤ ${OVERHEAD_MAX_NS} ns`,
    `${overhead.toFixed(0)} ns`,
    overhead <= OVERHEAD_MAX_NS,
  )
  // Cockatiel's asks no flag, and tells nobody how the call ended.
  const ratio = of('Sluice run') / of('opossum 9.0.0')
  budget('run over a resolved call, beside opossum', '≤ 1 ×', `${ratio.toFixed(2)} ×`, ratio <= 1)
  await flags.close()
  for (const end of ends) await end()
}

function valveFlag(key: string, value: object): Flag {
  return flag(key, {
    kind: 'safety-valve',
    variations: [
      { key: 'auto', value: value as never },
      { key: 'cut', value: { mode: 'cut' } },
    ],
    offVariation: 'cut',
    rules: [{ id: 'r1', clauses: [{ attribute: '/account/plan', op: 'in', values: ['noisy'] }], serve: { variation: 'cut' } }],
    fallthrough: { variation: 'auto' },
  })
}

function steps(name: string, call: () => unknown): Contender {
  return {
    name,
    measure(count) {
      // Of this process alone: others on the machine do not count.
      const startedAt = process.cpuUsage()
      for (let i = 0; i < count; i++) call()
      return Promise.resolve(nsSince(startedAt, count))
    },
  }
}

function awaited(name: string, call: () => PromiseLike<unknown>): Contender {
  return {
    name,
    async measure(count) {
      const startedAt = process.cpuUsage()
      for (let i = 0; i < count; i++) await call()
      return nsSince(startedAt, count)
    },
  }
}

function nsSince(startedAt: NodeJS.CpuUsage, count: number): number {
  const { user, system } = process.cpuUsage(startedAt)
  return ((user + system) * 1_000) / count
}

/** As their manuals set them up for the same: half of the calls of ten seconds or more, without a time limit where they let one do without. */
function peers(): Contender[] {
  const Opossum = require('opossum') as new (call: () => Promise<number>, options: object) => { fire(): Promise<number> }
  const cockatiel = require('cockatiel') as {
    readonly circuitBreaker: (policy: unknown, options: object) => { execute(call: () => Promise<number>): Promise<number> }
    readonly handleAll: unknown
    readonly SamplingBreaker: new (options: object) => unknown
  }
  const opossum = new Opossum(resolved, { timeout: false, errorThresholdPercentage: 50, rollingCountTimeout: 10_000 })
  const breaker = new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000 })
  const policy = cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 10_000, breaker })
  return [awaited('opossum 9.0.0', () => opossum.fire()), awaited('cockatiel 3.2.1', () => policy.execute(resolved))]
}

/** The figures of the table in the design: calls a second late in the fault, and seconds until 99 % are let through. */
function faults(): void {
  const throttle = (K: number, windowMs: number, more: object = {}): object => ({
    ...{ mode: 'auto', breaker: { enabled: false, windowMs } },
    adaptive: { enabled: true, K, ...more },
  })
  const rows: readonly (readonly [name: string, setting: object, load: string, seconds: string])[] = [
    ['throttle alone, K 2, 120 s', throttle(2, 120_000), '605', '84'],
    ['throttle alone, K 2, 30 s', throttle(2, 30_000), '400', '22'],
    ['throttle alone, K 2, 10 s', throttle(2, 10_000), '400', '8'],
    ['throttle alone, K 1.1, 30 s', throttle(1.1, 30_000), '225', 'not within 180'],
    ['preset auto: throttle and breaker', VALVE_PRESETS.auto, '', ''],
    ['preset strict: K 1.2, ramp 0.05', VALVE_PRESETS.strict, '', ''],
    ['breaker alone', { mode: 'auto', adaptive: { enabled: false } }, '', ''],
  ]
  const printed = [['1,000 calls/s, of which 200 are answered for 120 s', 'late in the fault', 'design', 'back after', 'design', 'moves']]
  for (const [name, setting, load, seconds] of rows) {
    const course = runFault({
      ...{ setting, random: randomFrom(1), offeredRps: 1_000, capacityRps: 200, latencyMs: 20 },
      ...{ sickFromMs: SICK_FROM_S * 1_000, sickUntilMs: HEALED_S * 1_000, untilMs: UNTIL_S * 1_000 },
    })
    const back = course.let.slice(HEALED_S).findIndex(share => share >= 0.99)
    const late = average(course.load, HEALED_S - 20, HEALED_S)
    printed.push([
      ...[name, `${late.toFixed(0)}/s`, load === '' ? '' : `${load}/s`],
      ...[back < 0 ? `not within ${UNTIL_S - HEALED_S} s` : `${back} s`, seconds === '' ? '' : `${seconds} s`, String(course.moves.length)],
    ])
    if (name === 'throttle alone, K 2, 30 s')
      budget('load on a sick dependency, K 2: K × what it answers', '360 to 440/s', `${late.toFixed(0)}/s`, late >= 360 && late <= 440)
  }
  print('')
  print(table(printed))
}
