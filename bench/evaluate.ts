/**
 * How long does one evaluation take, beside a function written by hand for that one flag?
 *
 * Both are called through the same loop over the same contexts, in turns, so that the machine's moods hit both. The
 * hand-written function gives the value alone; the evaluator gives variation, reason and version with it. Printed are
 * medians over the rounds, the spread between the quartiles, and the ratio of the medians.
 *
 *     npx tsc -b test && node dist/bench/evaluate.js
 */
import { cpus } from 'node:os'
import type { Context } from '../schemas/context.ts'
import type { Flag } from '../schemas/flag.ts'
import type { Segment } from '../schemas/segment.ts'
import { bucketOf } from '../sdk/evaluator/bucket.ts'
import { evaluate } from '../sdk/evaluator/evaluate.ts'
import { applyDelta, prepare } from '../sdk/evaluator/prepare.ts'

const ROUNDS = 25
/** Long enough that the clock's own cost does not count. */
const ROUND_MS = 8
const SEED = 2984379123

type Decide = (context: Context, i: number) => unknown

interface Shape {
  readonly name: string
  readonly ours: Decide
  readonly byHand: Decide
  readonly contexts: readonly Context[]
}

const contexts: readonly Context[] = Array.from({ length: 64 }, (_, i) => ({
  targetingKey: `user-${i}`,
  plan: ['free', 'pro', 'beta'][i % 3] ?? '',
  country: ['CH', 'DE', 'FR', 'US'][i % 4] ?? '',
  version: i,
  account: { id: `account-${i * 31}`, tier: 'gold' },
}))

/** All match the last of the ten rules. */
const lastRule: readonly Context[] = contexts.map(context => ({ ...context, plan: 'plan-9', country: 'country-9', version: 9 }))

function flagOf(key: string, over: Partial<Flag> = {}): Flag {
  return {
    key,
    kind: 'release',
    version: 1,
    seed: SEED,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    enabled: true,
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { variation: 'on' },
    ...over,
  }
}

const thirty = Array.from({ length: 10 }, (_, i) => ({
  id: `r${i}`,
  clauses: [
    { attribute: 'country', op: 'in' as const, values: ['country-9'] },
    { attribute: 'version', op: 'greaterThan' as const, values: [i - 1] },
    { attribute: 'plan', op: 'in' as const, values: [`plan-${i}`, `plan-${i}-yearly`] },
  ],
  serve: { variation: 'on' },
}))
const failing = thirty.map(rule => ({
  ...rule,
  clauses: [{ attribute: 'plan', op: 'in' as const, values: [`other-${rule.id}`] }, ...rule.clauses],
}))
const half = {
  rollout: {
    weights: [
      { variation: 'on', weight: 50_000 },
      { variation: 'off', weight: 50_000 },
    ],
  },
}
const thousand = Array.from({ length: 1_000 }, (_, i) => `user-${i * 7}`)
const prerequisite = (flag: string): Pick<Flag, 'prerequisites'> => ({ prerequisites: [{ flag, variations: ['on'] }] })

const flags: readonly Flag[] = [
  flagOf('boolean'),
  flagOf('ten-rules', { rules: thirty, fallthrough: { variation: 'off' } }),
  flagOf('ten-failing', { rules: failing, fallthrough: { variation: 'off' } }),
  flagOf('half', { fallthrough: half }),
  flagOf('top', prerequisite('middle')),
  flagOf('middle', prerequisite('bottom')),
  flagOf('bottom', {
    rules: [{ id: 'r', clauses: [{ attribute: 'plan', op: 'in', values: ['free', 'pro'] }], serve: { variation: 'on' } }],
    fallthrough: { variation: 'off' },
  }),
  flagOf('list', { targets: [{ values: thousand, variation: 'off' }] }),
]
const prepared = prepare({ flags, segments: [] }, 1)
const one =
  (key: string): Decide =>
  context =>
    evaluate(prepared, key, context).value

// By hand: what somebody who knows the flag would write, with its lists as sets.
const plans = Array.from({ length: 10 }, (_, i) => new Set([`plan-${i}`, `plan-${i}-yearly`]))
const listed = new Set(thousand)
const isPro = (context: Context): boolean => context.plan === 'free' || context.plan === 'pro'
/** Unrolled, as by hand. */
function tenRules({ country, version, plan }: Context): boolean {
  if (typeof version !== 'number' || typeof plan !== 'string') return false
  if (country === 'country-9' && version > -1 && plans[0]!.has(plan)) return true
  if (country === 'country-9' && version > 0 && plans[1]!.has(plan)) return true
  if (country === 'country-9' && version > 1 && plans[2]!.has(plan)) return true
  if (country === 'country-9' && version > 2 && plans[3]!.has(plan)) return true
  if (country === 'country-9' && version > 3 && plans[4]!.has(plan)) return true
  if (country === 'country-9' && version > 4 && plans[5]!.has(plan)) return true
  if (country === 'country-9' && version > 5 && plans[6]!.has(plan)) return true
  if (country === 'country-9' && version > 6 && plans[7]!.has(plan)) return true
  if (country === 'country-9' && version > 7 && plans[8]!.has(plan)) return true
  if (country === 'country-9' && version > 8 && plans[9]!.has(plan)) return true
  return false
}
function tenFailing(context: Context): boolean {
  const { plan } = context
  if (plan === 'other-r0' && tenRules(context)) return true
  if (plan === 'other-r1' && tenRules(context)) return true
  if (plan === 'other-r2' && tenRules(context)) return true
  if (plan === 'other-r3' && tenRules(context)) return true
  if (plan === 'other-r4' && tenRules(context)) return true
  if (plan === 'other-r5' && tenRules(context)) return true
  if (plan === 'other-r6' && tenRules(context)) return true
  if (plan === 'other-r7' && tenRules(context)) return true
  if (plan === 'other-r8' && tenRules(context)) return true
  if (plan === 'other-r9' && tenRules(context)) return true
  return false
}

/** A mixture as in a company's environment: one flag in four of each. */
function mixture(count: number): Flag[] {
  return Array.from({ length: count }, (_, i) => {
    const key = `flag-${i}`
    if (i % 4 === 0) return flagOf(key)
    if (i % 4 === 1) return flagOf(key, { seed: i, fallthrough: half })
    const rules = [
      { id: 'r1', clauses: [{ attribute: 'plan', op: 'in' as const, values: ['beta', `plan-${i}`] }], serve: { variation: 'on' } },
    ]
    if (i % 4 === 2) return flagOf(key, { rules, fallthrough: { variation: 'off' } })
    return flagOf(key, { targets: [{ values: ['user-1', `user-${i}`], variation: 'off' }], enabled: i % 8 === 3 })
  })
}

function mixtureByHand(count: number): Map<string, (context: Context) => boolean> {
  return new Map(
    Array.from({ length: count }, (_, i): [string, (context: Context) => boolean] => {
      const key = `flag-${i}`
      const names = new Set([`plan-${i}`, 'beta'])
      const users = new Set(['user-1', `user-${i}`])
      if (i % 4 === 0) return [key, () => true]
      if (i % 4 === 1) return [key, ({ targetingKey }) => targetingKey !== undefined && bucketOf(targetingKey, i) < 50_000]
      if (i % 4 === 2) return [key, ({ plan }) => names.has(plan as string)]
      return [key, ({ targetingKey }) => i % 8 === 3 && !users.has(targetingKey!)]
    }),
  )
}

function many(count: number, isRandom: boolean): Pick<Shape, 'ours' | 'byHand'> {
  const all = prepare({ flags: mixture(count), segments: [] }, 1)
  const byHand = mixtureByHand(count)
  // The keys an application holds are its own texts, not the ruleset's. 8,191 is prime: no visit finds the caches as the last left them.
  const order = Array.from(
    { length: 16_384 },
    (_, i) => `flag-${isRandom ? Math.floor(((i * 8_191 * 7_919) % 1_000_003) / (1_000_003 / count)) : i % count}`,
  )
  const keyAt = (i: number): string => order[i & 16_383]!
  return { ours: (context, i) => evaluate(all, keyAt(i), context).value, byHand: (context, i) => byHand.get(keyAt(i))?.(context) }
}

const shapes: readonly Shape[] = [
  { name: 'boolean without rules', ours: one('boolean'), byHand: () => true, contexts },
  { name: 'ten rules of three clauses, the last matches', ours: one('ten-rules'), byHand: tenRules, contexts: lastRule },
  { name: 'ten rules that fail at once', ours: one('ten-failing'), byHand: tenFailing, contexts },
  {
    name: '50/50 rollout',
    ours: one('half'),
    byHand: ({ targetingKey }) => targetingKey !== undefined && bucketOf(targetingKey, SEED) < 50_000,
    contexts,
  },
  { name: 'two-deep prerequisites', ours: one('top'), byHand: isPro, contexts },
  { name: '1,000-key list', ours: one('list'), byHand: ({ targetingKey }) => !listed.has(targetingKey!), contexts },
  { name: 'all of 1,000 flags', ...many(1_000, false), contexts },
  { name: '10,000 flags at random', ...many(10_000, true), contexts },
]

let sink = 0

/** Nanoseconds of this process's own time per call. One loop for all, so that no function is inlined into it. */
function timed(decide: Decide, contexts: readonly Context[], calls: number): number {
  const mask = contexts.length - 1
  const start = process.cpuUsage().user
  let hits = 0
  for (let i = 0; i < calls; i++) if (decide(contexts[i & mask]!, i) === true) hits++
  const took = process.cpuUsage().user - start
  sink += hits
  return (took * 1e3) / calls
}

function callsFor(decide: Decide, contexts: readonly Context[]): number {
  timed(decide, contexts, 200_000)
  return Math.ceil((ROUND_MS * 1e6) / timed(decide, contexts, 100_000))
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
}

interface Measured {
  readonly median: number
  readonly spread: number
}

function measured(samples: readonly number[]): Measured {
  const sorted = samples.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), spread: quantile(sorted, 0.75) - quantile(sorted, 0.25) }
}

function compare({ ours, byHand, contexts }: Shape): { ours: Measured; byHand: Measured } {
  // Same answers first: a fast wrong function is no comparison.
  for (let i = 0; i < 2_000; i++) {
    const context = contexts[i % contexts.length]!
    if (ours(context, i) !== byHand(context, i)) throw new Error(`they differ for ${JSON.stringify(context)}`)
  }
  const [ourCalls, handCalls] = [callsFor(ours, contexts), callsFor(byHand, contexts)]
  const [ourTimes, handTimes]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    ourTimes.push(timed(ours, contexts, ourCalls))
    handTimes.push(timed(byHand, contexts, handCalls))
  }
  return { ours: measured(ourTimes), byHand: measured(handTimes) }
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(46) : cell.padStart(16))).join(' | ')} |`
}

function shown({ median, spread }: Measured): string {
  return `${median.toFixed(1)} ± ${spread.toFixed(1)}`
}

function preparation(): void {
  const flags = mixture(10_000)
  const segments: Segment[] = []
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now()
    prepare({ flags, segments }, 1)
    return performance.now() - start
  })
  const all = prepare({ flags, segments }, 1)
  const changes = Array.from({ length: 2_001 }, (_, i) => {
    const start = performance.now()
    applyDelta(all, { flags: [flags[(i * 31) % flags.length]], segments: [], removedFlags: [], removedSegments: [] }, i + 2)
    return (performance.now() - start) * 1_000
  })
  const [whole, single] = [measured(times), measured(changes)]
  print(`\nprepare 10,000 flags: ${shown(whole)} ms    applyDelta of one of them: ${shown(single)} µs`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

print(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${ROUNDS} rounds of ${ROUND_MS} ms in turns\n`)
print(row(['ns per evaluation (median ± quartiles)', 'sluice', 'by hand', 'ratio', 'per second']))
print(row(['---', '---:', '---:', '---:', '---:']))
for (const shape of shapes) {
  const { ours, byHand } = compare(shape)
  print(row([shape.name, shown(ours), shown(byHand), (ours.median / byHand.median).toFixed(2), `${(1e3 / ours.median).toFixed(1)} M`]))
}
preparation()
if (sink < 0) print('never')
