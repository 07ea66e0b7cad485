import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import murmur from 'murmurhash'
import t from 'tap'
import type { Flag } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import { bucketKeyOf, bucketOf } from '../../sdk/evaluator/bucket.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../sdk/evaluator/prepare.ts'
import { runs } from '../runs.ts'

interface Golden {
  readonly seeds: readonly number[]
  readonly vectors: readonly (readonly [key: string, bucket: number])[]
}

const golden = JSON.parse(readFileSync(new URL('../../../test/fixtures/bucketing/vectors.json', import.meta.url), 'utf8')) as Golden
const seed = fc.integer({ min: 0, max: 0xffff_ffff })

t.test('every golden vector falls in its bucket', async t => {
  t.equal(golden.vectors.length, 10_000)
  const wrong = golden.vectors.filter(([key, bucket], i) => bucketOf(key, golden.seeds[i % golden.seeds.length]!) !== bucket)
  t.strictSame(wrong.slice(0, 3), [])
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

t.test('our own hash of ASCII is the package’s hash', async t => {
  const key = fc.oneof(
    fc.string({ unit: 'binary-ascii', maxLength: 64 }),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 12 }),
  )
  fc.assert(
    fc.property(key, seed, (key, seed) => bucketOf(key, seed) === Math.floor((murmur.v3(key, seed) * WEIGHT_TOTAL) / 2 ** 32)),
    runs(2_000),
  )
  t.pass('held')
})

t.test('texts and integers have a bucket, all else has none', async t => {
  t.equal(bucketKeyOf('a'), 'a')
  t.equal(bucketKeyOf(17), '17')
  t.equal(bucketKeyOf(-0), '0')
  for (const value of ['', 1.5, 1e300, Number.NaN, Infinity, true, null, undefined, ['a'], {}, 5n])
    t.equal(bucketKeyOf(value), null, typeof value)
})

function rolloutFlag(weights: readonly number[], seed: number): Flag {
  const variations = weights.map((_, i) => ({ key: `v${i}`, value: i }))
  const rollout = { weights: weights.map((weight, i) => ({ variation: `v${i}`, weight })) }
  return {
    key: 'f',
    kind: 'config',
    version: 1,
    seed,
    variations,
    enabled: true,
    offVariation: 'v0',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { rollout },
  }
}

t.test('growing the first share only adds people, and shrinking it takes the last in first out', async t => {
  const share = fc.integer({ min: 0, max: WEIGHT_TOTAL })
  fc.assert(
    fc.property(share, share, seed, fc.array(fc.string({ minLength: 1 }), { minLength: 20, maxLength: 60 }), (one, two, seed, keys) => {
      const [small, large] = [Math.min(one, two), Math.max(one, two)]
      const before = prepare({ flags: [rolloutFlag([small, WEIGHT_TOTAL - small], seed)], segments: [] }, 1)
      const after = prepare({ flags: [rolloutFlag([large, WEIGHT_TOTAL - large], seed)], segments: [] }, 2)
      return keys.every(key => {
        const isIn = evaluate(before, 'f', { targetingKey: key }).value === 0
        const isStillIn = evaluate(after, 'f', { targetingKey: key }).value === 0
        // In before is in after; and who came in lies above all who were in.
        const bucket = bucketOf(key, seed)
        return (!isIn || isStillIn) && isIn === bucket < small && isStillIn === bucket < large
      })
    }),
    runs(200),
  )
  t.pass('held')
})

t.test('shares are as large as they say', async t => {
  const prepared = prepare({ flags: [rolloutFlag([1_000, 24_000, 75_000], 2984379123)], segments: [] }, 1)
  const counts = [0, 0, 0]
  for (let i = 0; i < 100_000; i++) {
    const index = evaluate(prepared, 'f', { targetingKey: `account-${i}` }).value as number
    counts[index] = counts[index]! + 1
  }
  // Five standard deviations of a binomial of 100,000: fixed keys, so this holds or fails for ever.
  t.ok(Math.abs(counts[0]! - 1_000) < 160, String(counts))
  t.ok(Math.abs(counts[1]! - 24_000) < 680, String(counts))
})
