/**
 * Question: is an acknowledged change ever lost, or a half state ever served, when the server is killed while it writes?
 * A process writes; it is killed with SIGKILL in the middle; the log is opened, checked and closed; again.
 *
 * npm run build && node dist/bench/crash.js [cycles = 200] [seed = 1]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { systemClock } from '../server/clock.ts'
import { openLog } from '../server/log/log.ts'
import type { ChangeLog } from '../server/log/types.ts'
import { recordingLogger } from '../test/server/log/open.ts'
import { PAIR, PAIR_KEY } from './crash-writer.ts'
import { budget } from './report.ts'
import { randomFrom } from '../test/random.ts'

/** The process is killed when it has said this many acknowledgements, at most. */
const ACKNOWLEDGED_MAX = 120
const CHANGES_PER_READ = 500

export interface CrashResult {
  readonly cycles: number
  readonly acknowledged: number
  /** Changes that were stored although the process died before it could say so. */
  readonly unacknowledged: number
  /** What is wrong, one line each; empty when all is well. */
  readonly problems: readonly string[]
}

/** @param data an empty folder; the log in it grows from cycle to cycle */
export async function crashCycles(data: string, cycles: number, seed: number): Promise<CrashResult> {
  const random = randomFrom(seed)
  const acknowledged = new Map<string, string>()
  const problems: string[] = []
  let stored = 0
  for (let cycle = 1; cycle <= cycles && problems.length === 0; cycle++) {
    const lines = await writeUntilKilled(data, Math.floor(random() * 2 ** 32), 1 + Math.floor(random() * ACKNOWLEDGED_MAX))
    for (const line of lines) {
      const [log, revision, hash] = line.split(' ')
      acknowledged.set(`${log} ${revision}`, hash ?? '')
    }
    const logger = recordingLogger()
    const log = await openLog({ data, clock: systemClock, logger })
    stored = 0
    for (const name of PAIR) {
      const checked = await check(log, name, acknowledged)
      stored += checked.entries
      problems.push(...checked.problems.map(problem => `cycle ${cycle}: ${problem}`))
    }
    const [left, right] = PAIR.map(name => log.state(name).documents.segment.get(PAIR_KEY)?.name)
    if (left !== right) problems.push(`cycle ${cycle}: half of a transaction`)
    // A torn last line of the journal was never acknowledged and may be spoken of; nothing else may.
    for (const { level, text } of logger.lines)
      if (level !== 'info' && !text.includes('not whole')) problems.push(`cycle ${cycle}: ${level}: ${text}`)
    await log.close()
  }
  return { cycles, acknowledged: acknowledged.size, unacknowledged: stored - acknowledged.size, problems }
}

async function writeUntilKilled(data: string, seed: number, acknowledgements: number): Promise<string[]> {
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [fileURLToPath(new URL('./crash-writer.js', import.meta.url)), data, String(seed)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  let text = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (part: string) => {
    text += part
    if (text.split('\n').length > acknowledgements) child.kill('SIGKILL')
  })
  try {
    const [, signal] = (await closed) as [number | null, string | null]
    if (signal !== 'SIGKILL') throw new Error(`The writer ended by itself (${signal ?? 'no signal'}).`)
  } finally {
    child.kill('SIGKILL')
  }
  // A last line without its end was not said.
  return text.split('\n').slice(0, -1)
}

/** Every acknowledged entry is there, the chain holds, and the state is what the entries add up to. */
async function check(
  log: ChangeLog,
  name: string,
  acknowledged: ReadonlyMap<string, string>,
): Promise<{ entries: number; problems: string[] }> {
  const problems: string[] = []
  const { brokenAt } = await log.verify(name)
  if (brokenAt !== null) problems.push(`${name}: the chain is broken at ${brokenAt}`)
  const found = new Map<string, string>()
  const replayed = new Map<string, unknown>()
  for (let reached = 0; ;) {
    const part = await log.changes(name, { afterRevision: reached, limit: CHANGES_PER_READ, order: 'oldest' })
    for (const change of part) {
      found.set(`${name} ${change.revision}`, change.hash)
      for (const { key, after } of change.edits) {
        if (after === null) replayed.delete(key)
        else replayed.set(key, after)
      }
      reached = change.revision
    }
    if (part.length < CHANGES_PER_READ) break
  }
  for (const [entry, hash] of acknowledged) {
    if (entry.startsWith(`${name} `) && found.get(entry) !== hash)
      problems.push(`${entry} was acknowledged and is ${found.has(entry) ? 'another one' : 'lost'}`)
  }
  const state = log.state(name)
  if (state.revision !== found.size) problems.push(`${name}: ${found.size} entries, but revision ${state.revision}`)
  if (!isDeepStrictEqual(new Map(state.documents.segment), replayed)) problems.push(`${name}: the state is not what its entries add up to`)
  return { entries: found.size, problems }
}

async function main(): Promise<void> {
  const cycles = Number(process.argv[2] ?? 200)
  const seed = Number(process.argv[3] ?? 1)
  const data = mkdtempSync(join(tmpdir(), 'sluice-crash-'))
  const start = performance.now()
  try {
    const result = await crashCycles(data, cycles, seed)
    for (const problem of result.problems) process.stdout.write(`${problem}\n`)
    process.stdout.write(
      `crash: ${result.cycles} × kill -9, seed ${seed}: ${result.acknowledged} acknowledged, ${result.problems.length === 0 ? '0 lost' : 'FAILED'}, ` +
        `${result.unacknowledged} stored without an answer, ${((performance.now() - start) / 1_000).toFixed(0)} s\n`,
    )
    const isMet = result.problems.length === 0
    budget(`acknowledged writes lost over ${cycles} kill -9`, '0', isMet ? '0' : (result.problems[0] ?? ''), isMet)
    if (!isMet) process.exitCode = 1
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()
