/** A disk that is full, and places that may not be read or written: values are not touched, and the log says it. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { runProgram } from './child.ts'

stayAlive(t)

const PROGRAM = `
  // Whoever may do everything becomes somebody who may not, once the code is loaded.
  if (process.getuid() === 0) process.setuid(65534)
  for (const cache of caches) {
    const warnings = []
    const flags = connect({ url, key, cache, logger: { warn: message => warnings.push(message) } })
    await flags.ready(60_000)
    const values = ['a', 'b'].map(name => flags.value(name, {}, false))
    await flags.close()
    console.log(JSON.stringify({ values, warnings }))
  }`

t.test('a disk that is full while the file is written leaves the file before, and nothing beside it', async t => {
  const folder = t.testdir()
  const cache = join(folder, 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const writer = open(t, server.url, { cache })
  await writer.ready()
  await writer.close()
  const before = readFileSync(cache)
  server.commit(flag('b', { description: 'x'.repeat(100_000) }))
  // No file may grow beyond a few blocks: the system refuses the write half-way, as a full disk does.
  const { code, stdout, stderr } = await runProgram(
    PROGRAM.replace('process.getuid() === 0', 'false'),
    { url: server.url, key: KEY, caches: [cache] },
    'ulimit -f 16',
  )
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { values: [true, true], warnings: [/could not be written/] })
  t.strictSame(readFileSync(cache), before)
  t.same(readdirSync(folder), ['sluice.json'])
})

t.test('a file or folder that this user may not read or write is told and left', async t => {
  const folder = t.testdir({ secret: 'not yours', closed: {} })
  const server = await startModel(t, [flag('a'), flag('b')])
  chmodSync(join(folder, 'secret'), 0o000)
  chmodSync(join(folder, 'closed'), 0o555)
  chmodSync(folder, 0o555)
  try {
    const caches = [join(folder, 'secret'), join(folder, 'closed'), join(folder, 'closed', 'sluice.json'), join(folder, 'none', 'here')]
    const { code, stdout, stderr } = await runProgram(PROGRAM, { url: server.url, key: KEY, caches })
    t.equal(code, 0, stderr)
    const lines = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { values: unknown; warnings: string[] })
    t.equal(lines.length, caches.length)
    for (const { values, warnings } of lines) {
      t.same(values, [true, true])
      t.match(warnings.at(-1), /could not be written/)
    }
  } finally {
    chmodSync(folder, 0o755)
  }
  chmodSync(join(folder, 'secret'), 0o600)
  t.equal(readFileSync(join(folder, 'secret'), 'utf8'), 'not yours')
  t.same(readdirSync(join(folder, 'closed')), [])
})

t.test('a file that could not be written is told once, tried every minute, and written when there is room again', async t => {
  const folder = join(t.testdir(), 'later')
  const cache = join(folder, 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const { client, log, clock, pass } = openTimelapse(t, server.url, { cache })
  const warnings = (): number => log.filter(line => line.startsWith('warn: The cache file could not be written')).length
  await pass(1_000)
  t.equal(client.value('a', {}, false), true)
  /** The writing is the disk's own time, which no clock of ours moves. */
  const settled = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise(resolve => setImmediate(resolve))
  }
  clock.advance(1_000)
  await settled(() => warnings() === 1)
  // A second failure, which no log tells: it is over when the next try is set.
  const { waiting } = clock
  clock.advance(61_000)
  t.equal(clock.waiting, waiting - 1, 'it is being tried')
  await settled(() => clock.waiting === waiting)
  t.equal(warnings(), 1)
  mkdirSync(folder)
  writeFileSync(join(folder, 'other'), 'x')
  clock.advance(61_000)
  await settled(() => existsSync(cache))
  t.equal(warnings(), 1)
  rmSync(folder, { recursive: true })
})
