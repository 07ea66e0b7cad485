/** A flipped bit anywhere in the files never makes the log serve something that was never written. */
import t from 'tap'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SluiceError } from '../../../schemas/errors.ts'
import type { Change } from '../../../schemas/change.ts'
import type { ChangeLog } from '../../../server/log/types.ts'
import { randomFrom } from '../../random.ts'
import { names, opened, removed, segment, write } from './open.ts'

const LOGS = ['shop/production', 'shop/staging', 'sluice/server']
const FLIPS_DATABASE = 160
const FLIPS_WAL = 70

/** What was written: every entry, and the state after each, by log and revision. */
type Written = Map<string, { changes: Change[]; states: string[] }>

async function writeSome(log: ChangeLog): Promise<Written> {
  const record: Written = new Map()
  for (const name of LOGS) record.set(name, { changes: [], states: [JSON.stringify({})] })
  for (let i = 0; i < 24; i++) {
    const name = LOGS[i % LOGS.length] ?? ''
    const edits = i % 8 === 7 ? [removed(`s${(i - 3) % 5}`)] : [segment(`s${i % 5}`, `value ${i} ${'x'.repeat((i * 97) % 700)}`)]
    const { change } = await log.commit(write(edits, { log: name, comment: `write ${i}` }))
    if (change === null) continue
    record.get(name)?.changes.push(change)
    record.get(name)?.states.push(JSON.stringify(names(log.state(name))))
  }
  return record
}

/** Open the folder and read everything; answers what was wrong, or null. Refusing is right; inventing is not. */
async function served(t: Parameters<typeof opened>[0], data: string, record: Written): Promise<{ wrong: string | null; outcome: string }> {
  let outcome = 'whole'
  const reading = async <T>(what: string, read: () => Promise<T>, isTrue: (answer: T) => boolean): Promise<string | null> => {
    try {
      const answer = await read()
      return isTrue(answer) ? null : `${what} is wrong: ${JSON.stringify(answer).slice(0, 200)}`
    } catch (error) {
      outcome = 'history refused'
      return error instanceof SluiceError && error.code === 'LOG_DAMAGED' ? null : `${what} failed with ${String(error)}`
    }
  }
  let log: ChangeLog
  try {
    const fresh = await opened(t, data)
    if (fresh.logger.lines.some(line => line.level === 'warn')) outcome = 'older, with a warning'
    log = fresh.log
  } catch (error) {
    return { outcome: 'refused', wrong: error instanceof SluiceError ? null : `opening failed with ${String(error)}` }
  }
  const wrongs: (string | null)[] = []
  for (const [name, { changes, states }] of record) {
    const now = JSON.stringify(names(log.state(name)))
    const isNewest = now === states.at(-1)
    if (!isNewest && !(outcome === 'older, with a warning' && states.includes(now))) wrongs.push(`the state of ${name}`)
    wrongs.push(
      await reading(
        `the history of ${name}`,
        () => log.changes(name, { limit: 100, order: 'oldest' }),
        answer =>
          JSON.stringify(answer) === JSON.stringify(changes.slice(0, answer.length)) && (!isNewest || answer.length === changes.length),
      ),
    )
    for (const revision of [0, 2, 5, changes.length]) {
      if (isNewest) {
        wrongs.push(
          await reading(
            `${name} at ${revision}`,
            async () => JSON.stringify(names(await log.stateAt(name, revision))),
            answer => answer === states[revision],
          ),
        )
      }
    }
  }
  await log.close()
  return { outcome, wrong: wrongs.find(wrong => wrong !== null) ?? null }
}

for (const [file, flips] of [
  ['sluice.db', FLIPS_DATABASE],
  ['sluice.db-wal', FLIPS_WAL],
] as const) {
  t.test(`${flips} flipped bits in ${file}: refused, or warned about, or harmless`, async t => {
    const folder = t.testdir()
    const source = join(folder, 'source')
    const { log } = await opened(t, source)
    const record = await writeSome(log)
    // Closed, everything is in the database; open, the newest is in the write-ahead log.
    if (file === 'sluice.db') await log.close()
    const whole = join(folder, 'whole')
    mkdirSync(whole)
    for (const name of ['sluice.db', 'sluice.db-wal', 'head.json']) {
      if (existsSync(join(source, name))) copyFileSync(join(source, name), join(whole, name))
    }
    t.ok(existsSync(join(whole, file)))
    const untouched = readFileSync(join(whole, file))
    const random = randomFrom(7)
    const outcomes: Record<string, number> = {}
    let counterexample: string | null = null
    for (let flip = 0; flip < flips && counterexample === null; flip++) {
      const data = join(folder, String(flip))
      mkdirSync(data)
      for (const name of ['sluice.db', 'sluice.db-wal', 'head.json']) {
        if (name !== file && existsSync(join(whole, name))) copyFileSync(join(whole, name), join(data, name))
      }
      const bytes = Buffer.from(untouched)
      const at = Math.floor(random() * bytes.length)
      const bit = Math.floor(random() * 8)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
      writeFileSync(join(data, file), bytes)
      const { outcome, wrong } = await served(t, data, record)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      if (wrong !== null) counterexample = `byte ${at}, bit ${bit}: ${wrong}`
    }
    t.equal(counterexample, null)
    t.comment(JSON.stringify(outcomes))
    t.ok((outcomes.refused ?? 0) + (outcomes['older, with a warning'] ?? 0) > 0, 'some flips are noticed')
  })
}
