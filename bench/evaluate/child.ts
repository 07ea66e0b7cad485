/** The process of one contender: opens it, checks its answers, and runs a round whenever it is asked for one. */
import { byHand } from './byhand.ts'
import type { Client, Contender, Decide } from './contender.ts'
import { flagd } from './flagd.ts'
import { growthBook } from './growthbook.ts'
import { launchDarkly } from './launchdarkly.ts'
import { type Environment, environments, type Shape, shapes } from './shapes.ts'
import { BY_SHARE, expected } from './sketch.ts'
import { evaluator, sluice } from './sluice.ts'
import { statsig } from './statsig.ts'
import { unleash } from './unleash.ts'

const CONTENDERS: Readonly<Record<string, () => Contender>> = {
  sluice: () => sluice,
  evaluator: () => evaluator,
  'by hand': () => byHand,
  'flagd core': flagd,
  LaunchDarkly: launchDarkly,
  Unleash: unleash,
  GrowthBook: growthBook,
  Statsig: statsig,
}

/** Long enough that the clock's own cost does not count. */
const ROUND_MS = 8
const WARM_UP_MS = 150
const CHECKS = 4_096
/** Of a rollout to one half, over all contexts: wide enough for 256 of them. */
const SHARE_MIN = 0.4
const SHARE_MAX = 0.6

export type Ask = { readonly ask: 'open' } | { readonly ask: 'check' | 'warm' | 'round'; readonly shape: string }

export type Answer =
  /** `cannot`: by shape, why not. */
  | { readonly kind: 'opened'; readonly version: string; readonly cannot: Readonly<Record<string, string>> }
  | { readonly kind: 'not installed' }
  | { readonly kind: 'done' }
  | { readonly kind: 'round'; readonly ns: number }
  | { readonly kind: 'failed'; readonly problem: string }

interface Entry {
  readonly decide: Decide
  readonly users: readonly never[]
  /** Per round, from the warm-up on. */
  calls: number
}

let contender: Contender
const clients = new Map<Environment, Client>()
const entries = new Map<string, Entry>()
let sink = 0

process.on('message', (ask: Ask) => {
  void answerTo(ask)
    .catch((error: unknown): Answer => ({
      kind: 'failed',
      problem: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }))
    .then(answer => process.send?.(answer))
})

async function answerTo(ask: Ask): Promise<Answer> {
  if (ask.ask === 'open') return open(process.argv[2] ?? '')
  const shape = shapes.find(({ id }) => id === ask.shape)
  const entry = entries.get(ask.shape)
  if (shape === undefined || entry === undefined) throw new Error(`Shape ${ask.shape} was not opened`)
  if (ask.ask === 'check') await check(shape, entry)
  else if (ask.ask === 'warm') await warm(entry)
  else return { kind: 'round', ns: await round(entry, entry.calls) }
  return { kind: 'done' }
}

async function open(name: string): Promise<Answer> {
  try {
    const make = CONTENDERS[name]
    if (make === undefined) throw new Error(`There is no contender ${name}`)
    contender = make()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return { kind: 'not installed' }
    throw error
  }
  for (const [environment, sketches] of Object.entries(environments))
    clients.set(environment as Environment, await contender.open(sketches))
  const cannot = { ...contender.cannot }
  for (const shape of shapes) {
    const client = clients.get(shape.environment)
    if (client === undefined || cannot[shape.id] !== undefined) continue
    const decide = decideOf(client, shape)
    if (decide === null) cannot[shape.id] = 'no such call'
    else entries.set(shape.id, { decide, users: shape.contexts.map(context => contender.userOf(context) as never), calls: 0 })
  }
  return { kind: 'opened', version: contender.version, cannot }
}

function decideOf(client: Client, { keys }: Shape): Decide | null {
  if (keys === null) return client.all?.call ?? null
  if (keys.length === 1) return client.one(keys[0]!)
  const mask = keys.length - 1
  return (user, i) => client.value(keys[i & mask]!, user)
}

/** Throws where an answer is not the expected one: a fast wrong answer is no comparison. */
async function check(shape: Shape, { decide, users }: Entry): Promise<void> {
  const sketches = new Map(environments[shape.environment].map(sketch => [sketch.key, sketch]))
  const share = { of: 0, on: 0 }
  const compare = (key: string, i: number, answer: unknown): void => {
    const context = shape.contexts[i % shape.contexts.length]!
    const wanted = expected(sketches, key, context, contender.keepsBuckets)
    if (wanted === BY_SHARE) {
      share.of++
      if (answer === true) share.on++
    } else if (answer !== wanted) throw new Error(`${key} is ${JSON.stringify(answer)}, expected ${wanted}, for ${JSON.stringify(context)}`)
  }
  if (shape.keys === null) {
    const read = clients.get(shape.environment)?.all?.read
    for (let i = 0; i < 4; i++) {
      const answer = (await decide(users[i]!, i)) as never
      for (const key of sketches.keys()) compare(key, i, read?.(answer, key))
    }
  } else {
    for (let i = 0; i < CHECKS; i++) compare(shape.keys[i % shape.keys.length]!, i, await decide(users[i % users.length]!, i))
  }
  const part = share.on / share.of
  if (part < SHARE_MIN || part > SHARE_MAX) throw new Error(`A rollout to one half yields true for ${(part * 100).toFixed(1)} %`)
}

async function warm(entry: Entry): Promise<void> {
  let calls = 1
  for (const until = performance.now() + WARM_UP_MS; performance.now() < until; calls *= 2) await round(entry, calls)
  entry.calls = Math.max(1, Math.ceil((ROUND_MS * 1e6) / (await round(entry, Math.max(1, calls / 4)))))
}

/** Nanoseconds of this process's own time per call. One loop for all, so that no function is inlined into it. */
async function round({ decide, users }: Entry, calls: number): Promise<number> {
  const mask = users.length - 1
  const before = process.cpuUsage()
  let hits = 0
  if (contender.isAsync) for (let i = 0; i < calls; i++) hits += (await decide(users[i & mask]!, i)) === true ? 1 : 0
  else for (let i = 0; i < calls; i++) hits += decide(users[i & mask]!, i) === true ? 1 : 0
  const { user, system } = process.cpuUsage(before)
  sink += hits
  return ((user + system) * 1e3) / calls
}

process.on('exit', () => {
  // Read once, so that no compiler finds it idle to count.
  if (sink < 0) process.exitCode = 1
})
