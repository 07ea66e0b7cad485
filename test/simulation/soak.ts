/**
 * What tests do for seconds, for hours: `npm run soak -- --seeds 1000000 --from 1 --minutes 60`. It says where it stands,
 * stops at the first failure with the command that shows it, and goes on from any seed.
 *
 *   --part simulation   worlds of SDKs and a server, one per seed (this unless told otherwise)
 *   --part properties   every test with seeded properties, each with many times its runs and a new seed
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { replayCommand, simulate } from './simulate.ts'

const TESTS = fileURLToPath(new URL('..', import.meta.url))
/** Seeds that a worker is given at a time. */
const BLOCK = 20
const PROGRESS_MS = 10_000
/** What a test with seeded properties imports. */
const SEEDED = /\/(runs|tried)\.js["']/

interface Block {
  readonly from: number
  readonly count: number
  readonly steps: number
}

interface Done {
  readonly failed: { readonly seed: number; readonly problem: string } | null
}

async function work({ from, count, steps }: Block): Promise<Done> {
  for (let seed = from; seed < from + count; seed++) {
    const { problem } = await simulate({ seed, steps })
    if (problem !== null) return { failed: { seed, problem } }
  }
  return { failed: null }
}

/** @returns whether all is well */
async function soakSimulation(from: number, seeds: number, steps: number, until: number): Promise<boolean> {
  const started = Date.now()
  let next = from
  let done = 0
  const failures: NonNullable<Done['failed']>[] = []
  let told = started
  const give = (): Block | null => {
    if (next >= from + seeds || Date.now() >= until || failures.length > 0) return null
    const block = { from: next, count: Math.min(BLOCK, from + seeds - next), steps }
    next += block.count
    return block
  }
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url))
      let block = give()
      const go = (): void => void (block === null ? worker.terminate().then(() => resolve(), reject) : worker.postMessage(block))
      worker.on('error', reject)
      worker.on('message', ({ failed }: Done) => {
        if (failed === null) done += block?.count ?? 0
        else failures.push(failed)
        if (Date.now() - told >= PROGRESS_MS) {
          told = Date.now()
          console.log(`${done} worlds, ${((done * 1_000) / (told - started)).toFixed(1)} a second, ${minutes(until - told)} left`)
        }
        block = give()
        go()
      })
      go()
    })
  await Promise.all(Array.from({ length: availableParallelism() }, one))
  for (const { seed, problem } of failures) console.log(`seed ${seed}: ${problem}\n  ${replayCommand(seed, steps)}`)
  if (failures.length === 0) console.log(`${done} worlds of ${steps} steps, no failure. To go on: npm run soak -- --from ${next}`)
  return failures.length === 0
}

function soakProperties(factor: number, until: number): boolean {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.js') && SEEDED.test(readFileSync(join(TESTS, file), 'utf8')))
    .sort()
  if (files.length === 0) throw new Error(`No test below ${TESTS} has seeded properties. Build them first.`)
  for (let round = 1; Date.now() < until; round++) {
    for (const file of files) {
      if (Date.now() >= until) break
      const path = join(TESTS, file)
      console.log(`round ${round}: ${file}, ${factor} times its runs`)
      const env = { ...process.env, SLUICE_PROPERTY_RUNS: String(factor), TAP_TIMEOUT: '0' }
      const { status, stdout } = spawnSync(process.execPath, [path], { env, encoding: 'utf8', maxBuffer: 1 << 28 })
      if (status === 0) continue
      // The counterexample, with its seed and path, stands in what the test says.
      console.log(`${stdout}\n${file} failed`)
      return false
    }
  }
  return true
}

function minutes(ms: number): string {
  return `${Math.max(0, Math.ceil(ms / 60_000))} min`
}

if (isMainThread) {
  const { values } = parseArgs({
    options: {
      part: { type: 'string', default: 'simulation' },
      from: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1000000' },
      steps: { type: 'string', default: '1000' },
      minutes: { type: 'string', default: '60' },
      factor: { type: 'string', default: '50' },
    },
  })
  const until = Date.now() + Number(values.minutes) * 60_000
  const isWell =
    values.part === 'properties'
      ? soakProperties(Number(values.factor), until)
      : await soakSimulation(Number(values.from), Number(values.seeds), Number(values.steps), until)
  process.exitCode = isWell ? 0 : 1
} else {
  parentPort?.on('message', (block: Block) => void work(block).then(done => parentPort?.postMessage(done)))
}
