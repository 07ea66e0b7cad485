/**
 * The process that is killed: writes to a log as fast as it is acknowledged, and says on its standard output, one line
 * each, what was. Now and then its storage fails for a while, and only kills get through, by way of the journal.
 *
 * node dist/bench/crash-writer.js <data folder> <seed>
 */
import { writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { openLog } from '../server/log/log.ts'
import type { Commit, PlannedEdit, Write } from '../server/log/types.ts'
import { systemClock } from '../server/clock.ts'
import { failingStorage, removed, segment, write } from '../test/server/log/open.ts'
import { randomFrom } from '../test/random.ts'

/** Written together in one transaction, always with the same content: seen apart, a half state was served. */
export const PAIR = ['shop/left', 'shop/right'] as const
export const PAIR_KEY = 'both'

/** Writes that are under way at the same time. */
const WRITERS = 3
const KEYS = 12

async function main(data: string, seed: number): Promise<void> {
  const random = randomFrom(seed)
  const storage = failingStorage()
  const quiet = { info() {}, warn() {}, error() {} }
  const log = await openLog({ data, clock: systemClock, logger: quiet, openStorage: storage.open })
  const say = (commits: readonly Commit[]): void => {
    // Synchronous, so that what was said was acknowledged before, and what was acknowledged is said at once.
    for (const { log, change } of commits) if (change !== null) writeSync(1, `${log} ${change.revision} ${change.hash}\n`)
  }
  const loop = async (): Promise<never> => {
    for (;;) {
      storage.failure = random() < (storage.failure === null ? 0.02 : 0.7) ? new Error('disk I/O error') : null
      const writes = someWrites(random)
      try {
        say(await log.commitAll(storage.failure === null ? writes : writes.map(one => ({ ...one, evenIfStorageFails: true }))))
      } catch (error) {
        // Another writer's failing storage refused it: not acknowledged, so nothing to keep.
        if (storage.failure === null && !(error instanceof Error && 'code' in error)) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, loop))
}

function someWrites(random: () => number): Write[] {
  const content = `${Math.floor(random() * 1e9)} ${'x'.repeat(random() < 0.1 ? 20_000 : random() * 300)}`
  if (random() < 0.3) return PAIR.map(log => write([segment(PAIR_KEY, content)], { log }))
  const key = `s${Math.floor(random() * KEYS)}`
  const edits: PlannedEdit[] = [random() < 0.15 ? removed(key) : segment(key, content)]
  if (random() < 0.2) edits.push(segment('also', content))
  return [write(edits, { log: PAIR[Math.floor(random() * PAIR.length)] ?? PAIR[0] })]
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv[2] ?? '', Number(process.argv[3]))
