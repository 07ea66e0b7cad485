/** The cache file: whatever is wrong with it, it is ignored; what is taken from it is whole. */
import { createHmac } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cacheFile } from '../../sdk/cache.ts'
import type { Whole } from '../../sdk/messages.ts'
import { flag } from './server.ts'

const URL_BASE = 'http://localhost:7400'
const KEY = 'slc_server_k1_0123456789abcdef0123456789abcdef'
const whole: Whole = { epoch: 'e1', revision: 7, hash: 'a1b2', flags: [flag('grün'), flag('b', { version: 3 })], segments: [] }

t.test('what is saved is loaded again', async t => {
  const path = join(t.testdir(), 'sluice.json')
  const cache = cacheFile(path, URL_BASE, KEY)
  t.same(cache.load(), { whole: null, problem: null }, 'no file is no problem')
  await cache.save(whole)
  t.same(cache.load().whole, whole)
  await cache.save({ epoch: 'e2', revision: 1, flags: [], segments: [] })
  t.same(cache.load().whole, { epoch: 'e2', revision: 1, flags: [], segments: [] })
})

t.test('a large ruleset is written in slices and read as one', async t => {
  const cache = cacheFile(join(t.testdir(), 'sluice.json'), URL_BASE, KEY)
  const large = { ...whole, flags: Array.from({ length: 1_001 }, (_, i) => flag(`flag-${i}`)) }
  await cache.save(large)
  t.same(cache.load().whole, large)
})

t.test('the file is JSON, for its owner alone, without the key, and nothing is left beside it', async t => {
  const folder = t.testdir()
  await cacheFile(join(folder, 'sluice.json'), URL_BASE, KEY).save(whole)
  const text = readFileSync(join(folder, 'sluice.json'), 'utf8')
  const content = JSON.parse(text) as Record<string, unknown>
  t.match(content, { format: 1, key: 'k1', epoch: 'e1', revision: 7 })
  t.notOk(text.includes('0123456789abcdef0123456789abcdef'))
  t.equal(statSync(join(folder, 'sluice.json')).mode & 0o777, 0o600)
  t.same(readdirSync(folder), ['sluice.json'])
})

t.test('an existing folder holds one file per server and key', async t => {
  const folder = t.testdir()
  await cacheFile(folder, URL_BASE, KEY).save(whole)
  await cacheFile(folder, URL_BASE, 'another-key-of-24-characters').save({ ...whole, revision: 8 })
  await cacheFile(folder, 'http://elsewhere', KEY).save({ ...whole, revision: 9 })
  t.equal(readdirSync(folder).length, 3)
  t.equal(cacheFile(folder, URL_BASE, KEY).load().whole?.revision, 7)
})

t.test('a file that is torn at any byte is ignored', async t => {
  const path = join(t.testdir(), 'sluice.json')
  const cache = cacheFile(path, URL_BASE, KEY)
  await cache.save(whole)
  const bytes = readFileSync(path)
  const wrong: number[] = []
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length))
    const loaded = cache.load()
    if (loaded.whole !== null || loaded.problem === null) wrong.push(length)
  }
  t.same(wrong, [])
})

t.test('a file with a bit flipped in any byte is ignored', async t => {
  const path = join(t.testdir(), 'sluice.json')
  const cache = cacheFile(path, URL_BASE, KEY)
  await cache.save({ ...whole, flags: [flag('a')] })
  const bytes = readFileSync(path)
  const wrong: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    // Every bit is met, though not in every byte.
    const flipped = Buffer.from(bytes)
    flipped[i]! ^= 1 << (i % 8)
    writeFileSync(path, flipped)
    if (cache.load().whole !== null) wrong.push(i)
  }
  t.same(wrong, [])
})

t.test('what is not ours is ignored, and the reason told', async t => {
  const path = join(t.testdir(), 'sluice.json')
  const cache = cacheFile(path, URL_BASE, KEY)
  /** A file as a holder of the key would sign it. */
  const signed = (content: object): string => {
    const body = JSON.stringify(content).slice(0, -1)
    return `${body},"checksum":"${createHmac('sha256', `sluice-cache:${KEY}`).update(body).digest('hex')}"}`
  }
  await cache.save(whole)
  const { checksum, ...content } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  t.type(checksum, 'string')
  writeFileSync(path, signed(content))
  t.same(cache.load().whole, whole, 'the signature of this test is right')
  for (const [name, text, problem] of [
    ['an empty file', '', /torn/],
    ['another file', '{"name":"something else"}', /torn/],
    ['a future format', signed({ ...content, format: 2 }), /format/],
    ['another server', signed({ ...content, source: 'x' }), /another server/],
    ['no ruleset', signed({ ...content, flags: 5 }), /no ruleset/],
    ['a flag without a key', signed({ ...content, flags: [{}] }), /no ruleset/],
    ['a broken revision', signed({ ...content, revision: -1 }), /no ruleset/],
  ] as const) {
    writeFileSync(path, text)
    const loaded = cache.load()
    t.equal(loaded.whole, null, name)
    t.match('problem' in loaded ? loaded.problem : '', problem, name)
  }
  await cacheFile(path, URL_BASE, 'another-key-of-24-characters').save(whole)
  t.match(cache.load(), { whole: null, problem: /another key/ })
})

t.test('a place that cannot be written or read is told, not thrown at the start', async t => {
  const folder = t.testdir({ file: 'x' })
  await t.rejects(cacheFile(join(folder, 'none', 'sluice.json'), URL_BASE, KEY).save(whole))
  t.match(cacheFile(join(folder, 'file', 'below'), URL_BASE, KEY).load(), { whole: null, problem: /ignored/ })
})
