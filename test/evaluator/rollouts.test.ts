/** What rollouts promise to people who move traffic: who moves when shares change, and that shares are fair and independent. */
import t from 'tap'
import type { Flag, Rollout } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import { bucketOf } from '../../sdk/evaluator/bucket.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../sdk/evaluator/prepare.ts'
import { randomFrom } from '../random.ts'
import { below, pick, type Random } from './documents.ts'
import { isAlone, tryCases } from './tried.ts'

t.setTimeout(300_000)

type Shares = readonly (readonly [variation: string, weight: number])[]

/** The values of the variations are their names; more of them than a rollout uses. */
function flagOf(shares: Shares, seed: number, over: Partial<Flag> & { readonly own?: number } = {}): Flag {
  const { own, ...rest } = over
  const rollout: Rollout = {
    ...(own === undefined ? {} : { seed: own }),
    weights: shares.map(([variation, weight]) => ({ variation, weight })),
  }
  return {
    key: 'f',
    kind: 'config',
    version: 1,
    seed,
    variations: ['off', 'a', 'b', 'c', 'd', 'e', 'renamed'].map(key => ({ key, value: key })),
    enabled: true,
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { rollout },
    ...rest,
  }
}

/** The variation that each key gets. */
function servedBy(flag: Flag, keys: readonly string[]): string[] {
  const prepared = prepare({ flags: [flag], segments: [] }, 1)
  return keys.map(key => evaluate(prepared, 'f', { targetingKey: key }).variation!)
}

const NAMES = ['a', 'b', 'c', 'd', 'e'] as const

/** Shares that add up, some of them empty, some bounds exactly at or beside a key's own bucket. */
function sharesFor(random: Random, buckets: readonly number[]): Shares {
  const count = 2 + below(random, 4)
  const bounds = Array.from({ length: count - 1 }, () =>
    below(random, 3) === 0
      ? pick(random, buckets) + below(random, 2)
      : below(random, 4) === 0
        ? pick(random, [0, WEIGHT_TOTAL])
        : below(random, WEIGHT_TOTAL + 1),
  ).sort((a, b) => a - b)
  return [...bounds, WEIGHT_TOTAL].map((bound, i) => [NAMES[i]!, bound - (bounds[i - 1] ?? 0)] as const)
}

/** Some weight of one share goes to another. */
function moved(shares: Shares, from: number, to: number, weight: number): Shares {
  return shares.map(([name, own], i) => [name, own - (i === from ? weight : 0) + (i === to ? weight : 0)] as const)
}

t.test('moving weight between two shares moves nobody else, and of those two only who has to', async t => {
  let grown = 0
  let shrunk = 0
  tryCases(
    25_000,
    random => {
      const seed = below(random, 2 ** 32)
      const keys = Array.from({ length: 4 }, () => `u-${below(random, 1e9)}`)
      const shares = sharesFor(
        random,
        keys.map(key => bucketOf(key, seed)),
      )
      const [from, to] = [below(random, shares.length), below(random, shares.length)]
      const weight = below(random, 2) === 0 ? shares[from]![1] : below(random, shares[from]![1] + 1)
      return { seed, keys, shares, from, to, weight }
    },
    ({ seed, keys, shares, from, to, weight }) => {
      const after = moved(shares, from, to, weight)
      const [was, is] = [servedBy(flagOf(shares, seed), keys), servedBy(flagOf(after, seed), keys)]
      const [low, high] = [Math.min(from, to), Math.max(from, to)]
      for (const [i, key] of keys.entries()) {
        const [bucket, before, now] = [bucketOf(key, seed), NAMES.indexOf(was[i] as 'a'), NAMES.indexOf(is[i] as 'a')]
        const told = `${key} in bucket ${bucket}: ${was[i]} to ${is[i]}`
        // Who is where, from the shares alone.
        if (before !== place(shares, bucket) || now !== place(after, bucket)) return `${told}, which the shares do not say`
        if ((before < low || before > high) && now !== before) return `${told}, outside of what changed`
        // Between two neighbours nobody leaves the one that grows.
        if (high - low === 1 && before === to && now !== before) return `${told}, out of the share that grew`
        if (to === 0 && before === 0 && now !== 0) return `${told}, out of the first share, which grew`
        if (from === 0 && before === 0 && now !== 0 && bucket < after[0]![1]) return `${told}, though not among the last`
        if (now === 0 && before !== 0) grown++
        if (before === 0 && now !== 0) shrunk++
      }
      return null
    },
  )
  t.ok((grown > 3_000 && shrunk > 3_000) || isAlone, `${grown} came into the first share, ${shrunk} went out`)
})

function place(shares: Shares, bucket: number): number {
  let end = 0
  return shares.findIndex(([, weight]) => bucket < (end += weight))
}

t.test('growing the first share step by step only adds people, and shrinking it takes the last in out first', async t => {
  const steps = [0, 1, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 75_000, 99_999, 100_000]
  for (const seed of [1, 2984379123, 0xffff_ffff]) {
    const keys = Array.from({ length: 3_000 }, (_, i) => `account-${i}`)
    const inside = steps.map(weight =>
      servedBy(
        flagOf(
          [
            ['a', weight],
            ['b', WEIGHT_TOTAL - weight],
          ],
          seed,
        ),
        keys,
      ).map(name => name === 'a'),
    )
    const cameIn = keys.map((_, i) => inside.findIndex(step => step[i]!))
    t.notOk(inside[0]!.includes(true), 'at no weight nobody is in')
    t.notOk(inside.at(-1)!.includes(false), 'at all of it everyone is')
    // Whoever came in at a step is in at every later one: so going back takes them out in the opposite order.
    t.ok(keys.every((_, i) => inside.every((step, at) => step[i] === at >= cameIn[i]!)))
  }
})

t.test('renaming a variation, and the order in which variations are listed, move nobody', async t => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `user-${i}`)
  const shares: Shares = [
    ['a', 20_000],
    ['b', 30_000],
    ['c', 50_000],
  ]
  const before = servedBy(flagOf(shares, 7), keys)
  const listed = flagOf(shares, 7)
  t.strictSame(servedBy({ ...listed, variations: [...listed.variations].reverse() }, keys), before, 'listed the other way round')
  const renamed = servedBy(
    flagOf(
      [
        ['a', 20_000],
        ['renamed', 30_000],
        ['c', 50_000],
      ],
      7,
    ),
    keys,
  )
  t.strictSame(
    renamed.map(name => (name === 'renamed' ? 'b' : name)),
    before,
    'renamed',
  )
  t.strictSame(servedBy(flagOf([...shares.slice(0, 2), ['d', 0], ...shares.slice(2)], 7), keys), before, 'a share of nothing')
  t.strictSame(servedBy(flagOf([['a', 10_000], ['a', 10_000], ...shares.slice(1)], 7), keys), before, 'one share in two parts')
})

t.test('reordering and inserting shares moves exactly the share of people that it must', async t => {
  const keys = Array.from({ length: 100_000 }, (_, i) => `user-${i}`)
  const seed = 2984379123
  const shares: Shares = [
    ['a', 20_000],
    ['b', 30_000],
    ['c', 50_000],
  ]
  const before = servedBy(flagOf(shares, seed), keys)
  const cases: [string, Shares, number][] = [
    // The share of buckets that have another variation afterwards.
    [
      'the first two swapped',
      [
        ['b', 30_000],
        ['a', 20_000],
        ['c', 50_000],
      ],
      0.4,
    ],
    [
      'the first and the last swapped',
      [
        ['c', 50_000],
        ['b', 30_000],
        ['a', 20_000],
      ],
      1,
    ],
    [
      'a new last one, from the last',
      [
        ['a', 20_000],
        ['b', 30_000],
        ['c', 40_000],
        ['d', 10_000],
      ],
      0.1,
    ],
    [
      'a new first one, from the last',
      [
        ['d', 10_000],
        ['a', 20_000],
        ['b', 30_000],
        ['c', 40_000],
      ],
      0.3,
    ],
    [
      'a new one in the middle, from the first',
      [
        ['a', 10_000],
        ['d', 10_000],
        ['b', 30_000],
        ['c', 50_000],
      ],
      0.1,
    ],
    [
      'the middle one gone, to the last',
      [
        ['a', 20_000],
        ['c', 80_000],
      ],
      0.3,
    ],
  ]
  for (const [name, after, share] of cases) {
    let buckets = 0
    for (let bucket = 0; bucket < WEIGHT_TOTAL; bucket++)
      if (shares[place(shares, bucket)]![0] !== after[place(after, bucket)]![0]) buckets++
    t.equal(buckets / WEIGHT_TOTAL, share, `${name}: ${share} of the buckets`)
    const is = servedBy(flagOf(after, seed), keys)
    const count = keys.filter((_, i) => is[i] !== before[i]).length
    // Five standard deviations.
    const tolerance = 5 * Math.sqrt(keys.length * share * (1 - share))
    t.ok(Math.abs(count - keys.length * share) <= tolerance, `${name}: ${count} people`)
  }
})

t.test('shares are as large as they say, and buckets are evenly filled', async t => {
  const random = randomFrom(20_261_121)
  const seeds = [0, 1, 2984379123, 0xffff_ffff, ...Array.from({ length: 16 }, () => below(random, 2 ** 32))]
  const makers: ((i: number) => string)[] = [i => `user-${i}`, i => String(i), i => `${i}@example.com`, i => `é-${i}`]
  const keys = makers.map(make => Array.from({ length: 100_000 }, (_, i) => make(i)))
  for (const [i, seed] of seeds.entries()) {
    const counts = new Array<number>(100).fill(0)
    for (const key of keys[i % keys.length]!) counts[Math.floor(bucketOf(key, seed) / 1_000)]!++
    const chi = counts.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0)
    // The 0.999 quantile of χ² with 99 degrees of freedom.
    t.ok(chi < 148.2, `seed ${seed}, keys like ${keys[i % keys.length]![0]}: ${chi.toFixed(1)}`)
  }
  const names = servedBy(
    flagOf(
      [
        ['a', 1_000],
        ['b', 24_000],
        ['c', 75_000],
      ],
      2984379123,
    ),
    keys[0]!,
  )
  for (const [name, share] of [
    ['a', 0.01],
    ['b', 0.24],
    ['c', 0.75],
  ] as const) {
    const count = names.filter(other => other === name).length
    t.ok(Math.abs(count - 100_000 * share) < 5 * Math.sqrt(100_000 * share * (1 - share)), `${name}: ${count}`)
  }
})

t.test('two flags move people independently of each other, unless they share a seed', async t => {
  const random = randomFrom(20_261_121)
  const keys = Array.from({ length: 100_000 }, (_, i) => `user-${i}`)
  const pairs: [number, number][] = [
    [0, 1],
    [1, 2],
    [0, 0xffff_ffff],
    [0x7fff_ffff, 0x8000_0000],
    [2984379123, 2984379124],
    [2984379123, 2984379122],
    ...Array.from({ length: 6 }, (): [number, number] => [below(random, 2 ** 32), below(random, 2 ** 32)]),
  ]
  for (const [one, two] of pairs) {
    for (const weight of [50_000, 10_000]) {
      const phi = correlation(insideOf(keys, weight, one), insideOf(keys, weight, two))
      // 3.3 standard deviations of 1/√100,000.
      t.ok(Math.abs(phi) < 0.0105, `seeds ${one} and ${two}, ${weight / 1_000} %: ${phi.toFixed(4)}`)
    }
  }
  t.equal(correlation(insideOf(keys, 50_000, 1, 7), insideOf(keys, 50_000, 2, 7)), 1, 'with a seed of the rollout: the same people')
  const [few, more] = [insideOf(keys, 10_000, 1, 7), insideOf(keys, 50_000, 2, 7)]
  t.ok(
    few.every((isIn, i) => !isIn || more[i]!),
    'the smaller share is within the larger',
  )
})

function insideOf(keys: readonly string[], weight: number, seed: number, own?: number): boolean[] {
  const flag = flagOf(
    [
      ['a', weight],
      ['b', WEIGHT_TOTAL - weight],
    ],
    seed,
    own === undefined ? {} : { own },
  )
  return servedBy(flag, keys).map(name => name === 'a')
}

/** φ of two yes-or-no outcomes. */
function correlation(one: readonly boolean[], two: readonly boolean[]): number {
  const count = (holds: (i: number) => boolean): number => one.reduce((sum, _, i) => sum + (holds(i) ? 1 : 0), 0)
  const [both, first, second, total] = [count(i => one[i]! && two[i]!), count(i => one[i]!), count(i => two[i]!), one.length]
  return (both * total - first * second) / Math.sqrt(first * second * (total - first) * (total - second))
}
