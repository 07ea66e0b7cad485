/** A cache file that is anything but a good one: the client starts with defaults, says why, and replaces it. */
import { createHmac } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startClient } from '../../../sdk/client.ts'
import { readOptions } from '../../../sdk/options.ts'
import { networkTransport } from '../../../sdk/transport.ts'
import { manualClock } from '../../clock.ts'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'

stayAlive(t)

/** A client that has read its file and not yet gone to the network. */
function begin(cache: string, url: string) {
  const warnings: string[] = []
  const options = { url, key: KEY, cache, logger: { warn: (message: string) => void warnings.push(message) } }
  const surroundings = { clock: manualClock(), random: () => 0, transport: networkTransport }
  return { client: startClient(readOptions(options, 'i'), surroundings), warnings }
}

t.test('a file that is torn at any byte, or has a bit flipped at every 97th, gives defaults and a line in the log', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a'), flag('b')])
  const writer = open(t, server.url, { cache })
  await writer.ready()
  await writer.close()
  const good = readFileSync(cache)
  const whole = begin(cache, server.url)
  t.equal(whole.client.value('a', {}, false), true, 'the file itself is good')
  await whole.client.close()

  const wrong: string[] = []
  const check = (damage: string, bytes: Buffer): void => {
    writeFileSync(cache, bytes)
    const { client, warnings } = begin(cache, server.url)
    if (client.value('a', {}, null) !== null || warnings.length !== 1 || client.status().revision !== 0) wrong.push(damage)
  }
  for (let length = 0; length < good.length; length++) check(`torn at ${length}`, good.subarray(0, length))
  for (let i = 0; i < good.length; i += 97) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(good)
      flipped[i]! ^= 1 << bit
      check(`bit ${bit} of byte ${i}`, flipped)
    }
  }
  t.same(wrong, [])
})

t.test('a file of another environment, server or format is not believed, and is replaced', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const writer = open(t, server.url, { cache })
  await writer.ready()
  await writer.close()
  const good = readFileSync(cache, 'utf8')
  const content = JSON.parse(good) as Record<string, unknown>
  /** As a holder of the key would sign it. */
  const signed = (change: object, key: string): string => {
    const { checksum: _, ...rest } = { ...content, ...change } as Record<string, unknown>
    const body = JSON.stringify(rest).slice(0, -1)
    return `${body},"checksum":"${createHmac('sha256', `sluice-cache:${key}`).update(body).digest('hex')}"}`
  }
  t.equal(signed({}, KEY), good, 'the signature of this test is right')
  const lie = { flags: [flag('a', { enabled: false })] }
  for (const [name, text] of [
    ['another environment', signed({ ...lie, key: 'k2' }, 'slc_server_k2_0123456789abcdef0123456789abcdef')],
    ['another server', signed({ ...lie, source: '0123456789abcdef' }, KEY)],
    ['a future format', signed({ ...lie, format: 2 }, KEY)],
    ['no revision', signed({ ...lie, revision: 'seven' }, KEY)],
    ['a ruleset without a signature', JSON.stringify({ ...content, ...lie, checksum: undefined })],
    ['a page', '<!doctype html><title>Not found</title>'],
  ] as const) {
    writeFileSync(cache, text)
    const { client, warnings } = begin(cache, server.url)
    t.equal(client.value('a', {}, null), null, name)
    t.match(warnings, [/is ignored/], name)
    await client.close()
    t.equal(readFileSync(cache, 'utf8'), text, 'what was not replaced by something better stays')
    const reader = open(t, server.url, { cache })
    await reader.ready()
    t.equal(reader.value('a', {}, false), true)
    await reader.close()
    t.equal(readFileSync(cache, 'utf8'), good, `${name} is replaced once the server has answered`)
  }
})

t.test('what is no file is neither read nor written over', async t => {
  const folder = t.testdir()
  const server = await startModel(t, [flag('a')])
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const device = join(folder, 'device')
  symlinkSync('/dev/zero', device)
  const nested = join(folder, 'folder')
  mkdirSync(nested)
  const inFolder = open(t, server.url, { cache: nested })
  await inFolder.ready()
  await inFolder.close()
  const name = readdirSync(nested)[0] ?? ''
  t.match(name, /^sluice-.*\.json$/, 'a folder holds a file of ours')
  // And in the place of that file a folder.
  const taken = join(folder, 'taken')
  mkdirSync(join(taken, name), { recursive: true })
  for (const cache of [pipe, device, taken]) {
    const { client, warnings } = begin(cache, server.url)
    t.match(warnings, [/is ignored: it is no file/], cache)
    await client.close()
    const told: string[] = []
    const reader = open(t, server.url, { cache, logger: { warn: message => void told.push(message) } })
    await reader.ready()
    t.equal(reader.value('a', {}, false), true)
    await reader.close()
    t.match(told, [/is ignored/, /could not be written/])
  }
  t.ok(statSync(pipe).isFIFO())
  t.ok(statSync(device).isCharacterDevice())
  t.ok(statSync(join(taken, name)).isDirectory())
  t.same(readdirSync(folder).sort(), ['device', 'folder', 'pipe', 'taken'], 'nothing is left beside')
})

t.test('what a writer left that was killed on the way is taken away by the next, not what is being written', async t => {
  const folder = t.testdir()
  const cache = join(folder, 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const old = `${cache}.4711.0123abcd.tmp`
  const fresh = `${cache}.4712.0123abcd.tmp`
  const foreign = join(folder, 'other.json.4711.0123abcd.tmp')
  for (const file of [old, fresh, foreign]) writeFileSync(file, 'half')
  const before = Date.now() / 1_000 - 3_600
  for (const file of [old, foreign]) utimesSync(file, before, before)
  const client = open(t, server.url, { cache })
  await client.ready()
  await client.close()
  t.notOk(existsSync(old))
  t.ok(existsSync(fresh))
  t.ok(existsSync(foreign))
})

t.test('two clients of one file write it in turns, whole', async t => {
  const folder = t.testdir()
  const cache = join(folder, 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const clients = [1, 2, 3, 4].map(() => open(t, server.url, { cache }))
  await Promise.all(clients.map(client => client.ready()))
  await Promise.all(clients.map(client => client.close()))
  t.same(readdirSync(folder), ['sluice.json'])
  copyFileSync(cache, join(folder, 'copy.json'))
  const { client, warnings } = begin(cache, server.url)
  t.same(warnings, [])
  t.equal(client.value('a', {}, false), true)
  await client.close()
})
