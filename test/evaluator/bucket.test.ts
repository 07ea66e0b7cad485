import { readFileSync } from 'node:fs'
import murmur from 'murmurhash'
import t from 'tap'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import { bucketKeyOf, bucketOf } from '../../sdk/evaluator/bucket.ts'
import { randomFrom } from '../random.ts'
import { runs } from '../runs.ts'
import { below, pick } from './documents.ts'

interface Golden {
  readonly seeds: readonly number[]
  readonly vectors: readonly (readonly [key: string, bucket: number])[]
}

type LongVector = readonly [text: string, times: number, seed: number, bucket: number]

function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../test/fixtures/bucketing/${name}.json`, import.meta.url), 'utf8'))
}
const golden = fixture('vectors') as Golden
const { vectors: long } = fixture('long') as { readonly vectors: readonly LongVector[] }

t.test('every golden vector falls in its bucket', async t => {
  t.equal(golden.vectors.length, 10_000)
  const wrong = golden.vectors.filter(([key, bucket], i) => bucketOf(key, golden.seeds[i % golden.seeds.length]!) !== bucket)
  t.strictSame(wrong.slice(0, 3), [])
})

t.test('the golden vectors hold every kind of key', async t => {
  const keys = golden.vectors.map(([key]) => key)
  const kinds: [string, number, (key: string) => boolean][] = [
    ['ascii', 5_000, key => /^[\0-\x7f]*$/.test(key)],
    ['latin-1', 700, key => /^[\0-\xff]*$/.test(key) && /[\x80-\xff]/.test(key)],
    ['beyond 16 bits', 1_000, key => /[\u{10000}-\u{10ffff}]/u.test(key)],
    ['half of a pair', 3, key => !key.isWellFormed()],
    ['of every length modulo 4', 10_000, key => [0, 1, 2, 3].includes(key.length % 4)],
  ]
  for (const [name, least, holds] of kinds) t.ok(keys.filter(holds).length >= least, name)
  t.equal(golden.seeds.length, 8)
  t.ok(long.some(([text, times]) => text.length * times > 256) && long.some(([text]) => !text.isWellFormed()), 'and long ones')
})

t.test('every golden vector of a long key falls in its bucket', async t => {
  t.equal(long.length, 288)
  const wrong = long.filter(([text, times, seed, bucket]) => bucketOf(text.repeat(times), seed) !== bucket)
  t.strictSame(wrong, [])
})

t.test('the reference vectors of MurmurHash3 x86-32 agree', async t => {
  // Published with the algorithm (SMHasher); by the package that every key beyond ASCII goes through.
  const known: [string, number, number][] = [
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ]
  for (const [key, seed, hash] of known) {
    t.equal(murmur.v3(key, seed), hash, `"${key}" in the package`)
    t.equal(bucketOf(key, seed), Math.floor((hash * WEIGHT_TOTAL) / 2 ** 32), `"${key}" in a bucket`)
  }
})

t.test('whatever a key is made of, and however long, its hash is the package’s', async t => {
  const random = randomFrom(20_261_121)
  const alphabets: Record<string, () => string> = {
    ascii: () => String.fromCharCode(below(random, 0x80)),
    'latin-1': () => String.fromCharCode(below(random, 0x100)),
    'ascii, seldom not': () => String.fromCharCode(below(random, 60) === 0 ? 0x80 + below(random, 0xff80) : below(random, 0x80)),
    'any code unit': () => String.fromCharCode(below(random, 0x1_0000)),
    astral: () => String.fromCodePoint(0x1_0000 + below(random, 0x10_0000)),
    'half of a pair': () => String.fromCharCode(0xd800 + below(random, 0x800)),
  }
  const { numRuns } = runs(4)
  for (const [name, letter] of Object.entries(alphabets)) {
    let wrong = 0
    for (let length = 0; length <= 300; length++) {
      for (let i = 0; i < numRuns; i++) {
        const key = Array.from({ length }, letter).join('')
        const seed = pick(random, [...golden.seeds, below(random, 2 ** 32)])
        if (bucketOf(key, seed) !== Math.floor((murmur.v3(key, seed) * WEIGHT_TOTAL) / 2 ** 32)) wrong++
      }
    }
    t.equal(wrong, 0, name)
  }
})

t.test('texts and integers have a bucket, all else has none', async t => {
  t.equal(bucketKeyOf('a'), 'a')
  t.equal(bucketKeyOf(17), '17')
  t.equal(bucketKeyOf(-0), '0')
  for (const value of ['', 1.5, 1e300, Number.NaN, Infinity, true, null, undefined, ['a'], {}, 5n])
    t.equal(bucketKeyOf(value), null, typeof value)
})
