/**
 * What does a large ruleset cost the application that holds it: memory for 10,000 flags, the time to prepare them or the
 * one that changed, and what an evaluation leaves to the garbage collector?
 *
 * Each answer comes from fresh processes of its own. Memory is the growth of the heap between two full collections, with
 * the client standing and nothing else kept. Preparing is measured cold, as an application meets it when it starts.
 * Allocation is the growth of the heap over a million calls in a young generation that holds them all, so that nothing is
 * collected in between: a collection there makes the bench fail.
 *
 *     npx tsc -b test && node dist/bench/memory.js
 */
import { type ChildProcess, fork } from 'node:child_process'
import { PerformanceObserver } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import type { Flag } from '../schemas/flag.ts'
import { applyDelta, prepare } from '../sdk/evaluator/prepare.ts'
import { environments, shapes } from './evaluate/shapes.ts'
import { flagOf } from './evaluate/sluice.ts'
import { startLocal } from './local.ts'
import { budget, machine, median, print, quantile, spread, table } from './report.ts'

const FLAGS = 10_000
const COUNT = FLAGS.toLocaleString('en')
const HEAP_MAX_MB = 60
const PREPARE_MAX_MS = 150
/** Processes per answer: a cold start happens once in each. */
const PROCESSES = 5
const CALLS = 1_000_000
/** Room for 64 bytes a call. */
const YOUNG_MIB = 64
/** A million calls may leave a few objects of the measurement itself. */
const BYTES_NOTHING = 0.05
const CHANGES = 2_001

/** What a process found out, by name. */
type Figures = Readonly<Record<string, number>>

const MEASURES: Readonly<Record<string, () => Figures | Promise<Figures>>> = { held, cold, changed, allocated }

const measure = MEASURES[process.argv[2] ?? '']
if (measure !== undefined) process.send?.(await measure())
else if (process.send === undefined || process.argv[2] === undefined) await main()
process.disconnect?.()

async function main(): Promise<void> {
  print(`${machine()}; each of ${PROCESSES} processes, median ± distance of the quartiles\n`)
  const holds = await figures('held')
  const prepares = await figures('cold')
  const changes = await figures('changed')
  // Takes the least of several attempts itself, and does not vary.
  const leaves = await figures('allocated', 1)
  print(
    table([
      [`${COUNT} flags`, ''],
      ['as JSON', `${spread(holds('json'))} MB`],
      ['heap of the client', `${spread(holds('heap'))} MB`],
      ['resident memory of the process', `${spread(holds('resident'))} MB`],
      ['from the message to the first value, cold', `${spread(holds('taken'))} ms`],
      ['prepare, cold', `${spread(prepares('first'))} ms`],
      ['prepare, cold, time of the processor', `${spread(prepares('own'))} ms`],
      ['prepare, the tenth time', `${spread(prepares('tenth'))} ms`],
    ]),
  )
  const kinds = ['a flag alone', 'a flag that three depend on', 'a flag with a prerequisite']
  print(`\nOne change among them, ${CHANGES.toLocaleString('en')} times:\n`)
  print(
    table([
      ['', 'prepared again', 'µs, median', 'µs, 99 %'],
      ...kinds.map(kind => [
        kind,
        String(median(changes(`${kind}: flags`))),
        spread(changes(`${kind}: µs`)),
        spread(changes(`${kind}: µs99`)),
      ]),
    ]),
  )
  print('\nBytes that one evaluation leaves behind:\n')
  const calls = shapes.flatMap(({ id, name, keys }) => (keys === null ? [] : [{ id, name }]))
  print(table([['', 'bytes'], ...calls.map(({ id, name }) => [name, median(leaves(id)).toFixed(3)])]))

  print('')
  const heap = median(holds('heap'))
  budget(`${COUNT} flags in the SDK`, `≤ ${HEAP_MAX_MB} MB`, `${heap.toFixed(1)} MB`, heap <= HEAP_MAX_MB)
  const first = median(prepares('first'))
  budget(`${COUNT} flags prepared`, `≤ ${PREPARE_MAX_MS} ms`, `${first.toFixed(0)} ms`, first <= PREPARE_MAX_MS)
  const again = kinds.map(kind => median(changes(`${kind}: flags`)))
  const most = Math.max(...kinds.map(kind => median(changes(`${kind}: µs`))))
  budget(
    'a change to one flag',
    'prepares that flag alone',
    `${Math.max(...again)} prepared, ${most.toFixed(0)} µs`,
    again.every(count => count === 1),
  )
  const bytes = Math.max(...calls.map(({ id }) => median(leaves(id))))
  budget('allocation per evaluation', 'none', `${bytes.toFixed(2)} bytes`, bytes < BYTES_NOTHING)
}

/** The figures of some processes, by name. */
async function figures(what: string, processes = PROCESSES): Promise<(name: string) => number[]> {
  const all: Figures[] = []
  for (let i = 0; i < processes; i++) all.push(await run(what))
  return name => all.map(figures => figures[name] ?? Number.NaN)
}

function run(what: string): Promise<Figures> {
  const execArgv = ['--expose-gc', `--min-semi-space-size=${YOUNG_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`]
  // How much room the young have is only set where it is counted: elsewhere it would change what is measured.
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [what], { execArgv: what === 'allocated' ? execArgv : ['--expose-gc'] })
  return new Promise((resolve, reject) => {
    child.once('message', (figures: Figures) => resolve(figures))
    child.once('exit', code => reject(new Error(`Measuring "${what}" ended with ${code} before it answered`)))
  })
}

// --- what runs in a process of its own

function flags(): Flag[] {
  return environments.large.slice(0, FLAGS).map(flagOf)
}

async function held(): Promise<Figures> {
  // The code is loaded and has run once, for what is counted is what the flags cost.
  await startLocal(flags().slice(0, 10))
  collect()
  const before = process.memoryUsage()
  const text = { length: JSON.stringify(flags()).length }
  collect()
  const start = performance.now()
  const { client } = await startLocal(flags())
  client.value('flag-1', { targetingKey: 'user-1' }, false)
  const taken = performance.now() - start
  collect()
  const after = process.memoryUsage()
  if (client.explain('flag-9999', {}, false).reason === 'ERROR') throw new Error('The client does not hold the flags')
  return { json: text.length / 1e6, heap: (after.heapUsed - before.heapUsed) / 1e6, resident: after.rss / 1e6, taken }
}

function cold(): Figures {
  const documents = { flags: flags(), segments: [] }
  const before = process.cpuUsage()
  const times = Array.from({ length: 10 }, () => {
    const start = performance.now()
    prepare(documents, 1)
    return { ms: performance.now() - start, own: process.cpuUsage(before) }
  })
  const own = ((times[0]?.own.user ?? 0) + (times[0]?.own.system ?? 0)) / 1_000
  return { first: times[0]?.ms ?? Number.NaN, own, tenth: times[9]?.ms ?? Number.NaN }
}

function changed(): Figures {
  const alone = flags()
  const [parent, ...children] = [flagOfKey('parent'), ...['a', 'b', 'c'].map(key => flagOfKey(`child-${key}`, 'parent'))]
  const all = prepare({ flags: [...alone, parent, ...children], segments: [] }, 1)
  const cases: Readonly<Record<string, (i: number) => Flag>> = {
    'a flag alone': i => alone[(i * 31) % alone.length]!,
    'a flag that three depend on': () => parent,
    'a flag with a prerequisite': i => children[i % children.length]!,
  }
  const figures: Record<string, number> = {}
  for (const [kind, next] of Object.entries(cases)) {
    const before = new Map(all.flags)
    const delta = (i: number) => ({ flags: [next(i)], segments: [], removedFlags: [], removedSegments: [] })
    applyDelta(all, delta(0), 2)
    figures[`${kind}: flags`] = [...all.flags].filter(([key, prepared]) => before.get(key) !== prepared).length
    const times = Array.from({ length: CHANGES }, (_, i) => {
      const start = performance.now()
      applyDelta(all, delta(i), i + 3)
      return (performance.now() - start) * 1_000
    })
    figures[`${kind}: µs`] = median(times)
    figures[`${kind}: µs99`] = quantile(times, 0.99)
  }
  return figures
}

function flagOfKey(key: string, needs?: string): Flag {
  return flagOf({ key, enabled: true, seed: 1, rules: [], others: true, ...(needs === undefined ? {} : { needs }) })
}

async function allocated(): Promise<Figures> {
  const clients = {
    small: (await startLocal(environments.small.map(flagOf))).client,
    large: (await startLocal(environments.large.map(flagOf))).client,
  }
  let collections = 0
  new PerformanceObserver(list => (collections += list.getEntries().length)).observe({ entryTypes: ['gc'] })
  const figures: Record<string, number> = {}
  for (const { id, environment, contexts, keys } of shapes) {
    if (keys === null) continue
    const client = clients[environment]
    const [someKeys, someContexts] = [keys.length - 1, contexts.length - 1]
    const run = (): void => {
      for (let i = 0; i < CALLS; i++) client.value(keys[i & someKeys]!, contexts[i & someContexts]!, false)
    }
    // Compiled, and every counter made: both happen once.
    for (let i = 0; i < 3; i++) run()
    const found: number[] = []
    for (let attempt = 0; attempt < 3; attempt++) {
      collect()
      await turn()
      collections = 0
      const before = process.memoryUsage().heapUsed
      run()
      const grown = process.memoryUsage().heapUsed - before
      await turn()
      // The observer hears of a collection in a later turn.
      if (collections > 0)
        throw new Error(`${id}: a collection ran while allocation was counted; the calls leave more than ${YOUNG_MIB} MiB`)
      found.push(grown / CALLS)
    }
    // Compilers and inspectors add to it, nothing takes away.
    figures[id] = Math.min(...found)
  }
  return figures
}

/** The turns in which observers hear and timers run. */
async function turn(): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, 20))
}

function collect(): void {
  if (globalThis.gc === undefined) throw new Error('Run with --expose-gc')
  globalThis.gc()
  globalThis.gc()
}
