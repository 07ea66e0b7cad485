/**
 * How long does one evaluation take: through the SDK's client, beside a function written by hand for that one flag, and
 * beside the SDKs of others (`npm ci --prefix bench/peers`)?
 *
 * Each contender lives in a process of its own and holds the same flags. Its answers are checked, all shapes are warmed
 * up, as in an application that has run for a while; then each is asked for rounds in turns, so that the machine's moods
 * hit all. Counted is the process's own time, garbage collection included. Ours counts every evaluation, as it does in an
 * application; the hand-written function gives the value alone; the others run with events and metrics switched off.
 *
 *     npx tsc -b test && node dist/bench/evaluate.js
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Answer, Ask } from './evaluate/child.ts'
import { type Shape, shapes } from './evaluate/shapes.ts'
import { budget, machine, median, print, spread, table } from './report.ts'

const ROUNDS = 25
const HAND_RATIO_MAX = 2
const LEAD_MIN = 5

const OURS = ['sluice', 'evaluator', 'by hand'] as const
const PEERS = ['flagd core', 'LaunchDarkly', 'Unleash', 'GrowthBook', 'Statsig'] as const
/** Measured and shown, without a budget. */
const WITHOUT_BUDGET = ['ten-failing', 'all']

type Name = (typeof OURS)[number] | (typeof PEERS)[number]

interface Runner {
  readonly name: Name
  readonly child: ChildProcess
  /** Null when it is not installed. */
  readonly version: string | null
  readonly cannot: Readonly<Record<string, string>>
  /** By shape, nanoseconds per call, one for each round. */
  readonly rounds: Map<string, number[]>
}

const children: ChildProcess[] = []
try {
  await main()
} finally {
  for (const child of children) child.kill('SIGKILL')
}

async function main(): Promise<void> {
  const runners: Runner[] = []
  // One after the other: ten thousand flags are being prepared.
  for (const name of [...OURS, ...PEERS]) runners.push(await start(name))
  for (const step of ['check', 'warm'] as const) {
    for (const runner of runners) for (const { id } of shapesOf(runner)) await ask(runner.child, { ask: step, shape: id })
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const shape of shapes) {
      for (const runner of turned(runners, round)) {
        if (!shapesOf(runner).includes(shape)) continue
        const answer = await ask(runner.child, { ask: 'round', shape: shape.id })
        if (answer.kind === 'round') runner.rounds.get(shape.id)?.push(answer.ns)
      }
    }
  }
  report(runners)
}

function report(runners: readonly Runner[]): void {
  print(`${machine()}; ${ROUNDS} rounds in turns\n`)
  print(table([['contender', 'what runs'], ...runners.map(({ name, version }) => [name, version ?? 'not installed'])]))
  print('\nNanoseconds of own time per call, median ± distance of the quartiles:\n')
  print(table([['', ...runners.map(({ name }) => name)], ...shapes.map(shape => [shape.name, ...runners.map(one => shown(one, shape))])]))
  print('\nRatios, median over the rounds; by hand: ours to it, the others: they to ours:\n')
  const [ours, , hand, ...peers] = runners as [Runner, Runner, Runner, ...Runner[]]
  const cell = (ratio: number): string => (Number.isNaN(ratio) ? '–' : ratio.toFixed(2))
  print(
    table([
      ['', 'ours to by hand', 'evaluator to by hand', ...peers.map(({ name }) => `${name} to ours`)],
      ...shapes.map(shape => [
        shape.name,
        cell(ratio(ours, hand, shape)),
        cell(ratio(runners[1]!, hand, shape)),
        ...peers.map(peer => cell(ratio(peer, ours, shape))),
      ]),
    ]),
  )
  print('')
  for (const shape of shapes) {
    if (WITHOUT_BUDGET.includes(shape.id)) continue
    const toHand = ratio(ours, hand, shape)
    budget(shape.name, `≤ ${HAND_RATIO_MAX} × by hand`, `${cell(toHand)} ×`, toHand <= HAND_RATIO_MAX)
    const leads = peers.map(peer => ({ name: peer.name, lead: ratio(peer, ours, shape) })).filter(({ lead }) => !Number.isNaN(lead))
    const fastest = leads.toSorted((a, b) => a.lead - b.lead)[0]
    const said = fastest === undefined ? 'no SDK is installed that can' : `${fastest.lead.toFixed(1)} × (${fastest.name})`
    budget(shape.name, `ahead of the fastest SDK by ≥ ${LEAD_MIN} ×`, said, fastest !== undefined && fastest.lead >= LEAD_MIN)
  }
}

/** The median of the rounds' own ratios; NaN where one of the two has none. */
function ratio(one: Runner, other: Runner, { id }: Shape): number {
  const below = other.rounds.get(id) ?? []
  return median((one.rounds.get(id) ?? []).flatMap((ns, round) => (below[round] === undefined ? [] : [ns / below[round]])))
}

function shown({ version, cannot, rounds }: Runner, { id }: Shape): string {
  if (version === null) return 'not installed'
  const reason = cannot[id]
  if (reason !== undefined) return `cannot: ${reason}`
  const ns = rounds.get(id) ?? []
  return spread(ns, median(ns) < 1_000 ? 1 : 0)
}

function shapesOf({ version, cannot }: Runner): Shape[] {
  return version === null ? [] : shapes.filter(({ id }) => cannot[id] === undefined)
}

function turned<T>(list: readonly T[], by: number): T[] {
  return list.map((_, i) => list[(i + by) % list.length]!)
}

async function start(name: Name): Promise<Runner> {
  const child = fork(fileURLToPath(new URL('./evaluate/child.js', import.meta.url)), [name])
  children.push(child)
  const answer = await ask(child, { ask: 'open' })
  const rounds = new Map(shapes.map(({ id }): [string, number[]] => [id, []]))
  if (answer.kind !== 'opened') return { name, child, version: null, cannot: {}, rounds }
  return { name, child, version: answer.version, cannot: answer.cannot, rounds }
}

function ask(child: ChildProcess, question: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      child.off('message', hear).off('exit', fail)
      settle()
    }
    const hear = (answer: Answer): void =>
      done(() => (answer.kind === 'failed' ? reject(new Error(`${child.spawnargs.at(-1)}: ${answer.problem}`)) : resolve(answer)))
    const fail = (code: number | null): void => done(() => reject(new Error(`${child.spawnargs.at(-1)} ended with ${code}`)))
    child.on('message', hear).on('exit', fail)
    child.send(question)
  })
}
