/**
 * Random rulesets, contexts and changes, well-formed, from small pools: so that clauses often match, references often
 * meet, cycles often close and values of different types look alike.
 */
import type { Clause } from '../../schemas/clause.ts'
import type { Context } from '../../schemas/context.ts'
import type { Flag, Rollout, Serve } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { Delta } from '../../sdk/evaluator/prepare.ts'

export type Random = () => number

export const FLAG_KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'constructor'] as const
export const SEGMENT_KEYS = ['s', 't', 'u', 'v', 'toString'] as const

export interface Ruleset {
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
}

const POOLS = {
  /** What a document can list. Some differ only in type, in case or in their sign. */
  scalar: [
    'x',
    'y',
    'X',
    'é',
    'É',
    '',
    '1',
    '2',
    'true',
    'null',
    'ß',
    'İ',
    'i̇',
    '\ud83d\ude00',
    '\ud800',
    1,
    2,
    0,
    -0,
    -1,
    1.5,
    1e308,
    2 ** 53,
    true,
    false,
  ],
  text: ['x', 'xy', 'XY', 'yx', 'É', 'é', '', '1', 'İx', '\ud83d\ude00x'],
  number: [-1, 0, -0, 1, 1.5, 2, 100, -1e308, 1e308, 2 ** 53, 1_795_230_720_000],
  pattern: ['x', '^x', 'y$', '^[xy]+$', '^.$', 'x|1', '(xy)+', '\\d', '(?i)^XY$', ''],
  moment: [
    '2026-11-21T03:12:00Z',
    '2026-11-21T04:12:00+01:00',
    '2026-11-21t03:12:00.5z',
    '2024-02-29T00:00:00Z',
    '2016-12-31T23:59:60Z',
    '2017-01-01T00:00:00Z',
    '0000-01-01T00:00:00-23:59',
    1_795_230_720_000,
    0,
    -0,
    -1.5,
  ],
  version: [
    '1',
    '1.0',
    '1.0.0',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-2',
    '1.0.0-10',
    '2.0',
    '1.0.1+b',
    '10.0.0',
    '0-0',
  ],
  network: [
    '10.0.0.0/8',
    '10.1.2.3',
    '10.1.2.0/31',
    '0.0.0.0/0',
    '2001:db8::/32',
    '::1',
    '::/0',
    '2001:db8::8000:0:0:0/65',
    '::ffff:10.0.0.0/104',
    '::ffff:0:0/95',
    '::ffff:a01:203',
  ],
  /** What a context can hold under any name. */
  moments: [
    '2026-11-21T03:12:00Z',
    '2026-11-21T03:12:00z',
    '2026-11-21T03:12:00.5+00:00',
    '2016-12-31T23:59:60Z',
    '2026-11-21',
    '2026-11-21T03:12:00',
    '2026-02-29T00:00:00Z',
    1_795_230_720_001,
    -2,
    Infinity,
  ],
  versions: ['1.0.0', '1', '1.0.0-alpha.1', '1.0.0-beta', '1.0.0-10', '2.0.0+x', 'v1.0.0', '1.0.0 ', '01.0.0', '1.0.0-01', '10', '0'],
  addresses: [
    '10.1.2.3',
    '11.0.0.1',
    '::ffff:10.1.2.3',
    '::FFFF:a01:203',
    '2001:db8::1',
    '::1',
    '10.1.2.4',
    'x',
    '010.0.0.1',
    '2001:db8:0:0:8000::1',
    '::1%eth0',
    '10.1',
    '',
  ],
} as const

/** Names and pointers that mostly lead somewhere, and those that JavaScript's own objects would answer to. */
const NAMES = ['targetingKey', 'plan', 'n', '/account/id', '/tags/0', 'tags', 'v', 'ip', 'at'] as const
const ODD_NAMES = [
  'constructor',
  '__proto__',
  'toString',
  'length',
  '/constructor/name',
  '/__proto__/x',
  '/account',
  '/account/id/0',
  '/tags/00',
  '/tags/1/x',
  '/tags/-',
  '/tags/length',
  '/plan/0',
  '/a~1b/c~0d',
  '/a~01',
  'a/b',
  'a.b',
  '',
  '/',
  '/0',
  '0',
] as const

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)]!
}

export function below(random: Random, bound: number): number {
  return Math.floor(random() * bound)
}

function chance(random: Random, share: number): boolean {
  return random() < share
}

function several<T>(random: Random, min: number, max: number, make: (i: number) => T): T[] {
  const items: T[] = []
  for (let count = min + below(random, max - min + 1); items.length < count;) items.push(make(items.length))
  return items
}

function attribute(random: Random): string {
  return chance(random, 0.12) ? pick(random, ODD_NAMES) : pick(random, NAMES)
}

function scalars(random: Random): (string | number | boolean)[] {
  return chance(random, 0.05)
    ? [...several(random, 5, 40, i => `k${i}`), ...several(random, 0, 6, () => pick<string | number | boolean>(random, POOLS.scalar))]
    : several(random, 0, 4, () => pick<string | number | boolean>(random, POOLS.scalar))
}

const COMPARISONS = ['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual'] as const
const VERSIONS = ['semverEqual', 'semverLessThan', 'semverLessThanOrEqual', 'semverGreaterThan', 'semverGreaterThanOrEqual'] as const

export function clause(random: Random): Clause {
  const some = (items: readonly (string | number)[]): (string | number)[] => several(random, 1, 3, () => pick(random, items))
  const negated = chance(random, 0.3) ? { negate: true } : {}
  const folded = chance(random, 0.3) ? { ignoreCase: true } : {}
  const about = { attribute: attribute(random), ...negated }
  const draw = below(random, 20)
  if (draw < 7) return { ...about, op: 'in', values: scalars(random), ...folded }
  if (draw < 10) return { ...about, op: pick(random, ['startsWith', 'endsWith', 'contains'] as const), values: some(POOLS.text), ...folded }
  if (draw < 13) return { op: 'segment', values: several(random, 1, 2, () => pick<string>(random, [...SEGMENT_KEYS, 'gone'])), ...negated }
  switch (draw) {
    case 13:
      return { ...about, op: pick(random, COMPARISONS), values: some(POOLS.number) }
    case 14:
      return { ...about, op: 'between', values: [pick(random, POOLS.number), pick(random, POOLS.number)] }
    case 15:
      return { ...about, op: pick(random, ['before', 'after'] as const), values: some(POOLS.moment) }
    case 16:
      return { ...about, op: pick(random, VERSIONS), values: some(POOLS.version) }
    case 17:
      return { ...about, op: 'inCidr', values: some(POOLS.network) }
    case 18:
      // It may not be negated, and where it is all the same, that changes nothing.
      return { ...about, op: 'exists', values: [chance(random, 0.5)] }
    default:
      // An expression takes several times as long to prepare as all else together.
      return chance(random, 0.3)
        ? { ...about, op: 'matches', values: some(POOLS.pattern) }
        : { ...about, op: 'isPrime' as 'in', values: [7] }
  }
}

const clauses = (random: Random, max = 2): Clause[] => several(random, 0, max, () => clause(random))
const list = (random: Random) => ({
  ...(chance(random, 0.8) ? { attribute: attribute(random) } : {}),
  values: scalars(random),
})

const VARIATIONS = ['one', 'two', 'three'] as const
const variation = (random: Random): string => pick(random, VARIATIONS)
const seed = (random: Random): number => below(random, 2 ** 32)

function rollout(random: Random): Rollout {
  return {
    ...(chance(random, 0.7) ? { by: attribute(random) } : {}),
    ...(chance(random, 0.3) ? { seed: seed(random) } : {}),
    // Mostly less or more than there is: the last takes the remainder.
    weights: several(random, 1, 4, () => ({ variation: variation(random), weight: below(random, 60_001) })),
  }
}

function serve(random: Random): Serve {
  return chance(random, 0.35) ? { rollout: rollout(random) } : { variation: variation(random) }
}

const rule = (random: Random, i: number) => ({ id: `r${i}`, clauses: clauses(random), serve: serve(random) })

/** Rules that mostly begin with a list of the same attribute's values, as an allocation of accounts to plans does. */
function listRules(random: Random, count: number): Flag['rules'] {
  const shared = attribute(random)
  return Array.from({ length: count }, (_, i) => {
    if (chance(random, 0.03)) return rule(random, i)
    const first = chance(random, 0.1)
      ? clause(random)
      : {
          attribute: shared,
          op: 'in' as const,
          values: chance(random, 0.5) ? [`k${below(random, count)}`, ...scalars(random).slice(0, 1)] : scalars(random),
          ...(chance(random, 0.02) ? { negate: true } : {}),
          ...(chance(random, 0.02) ? { ignoreCase: true } : {}),
        }
    return { id: `r${i}`, clauses: [first, ...clauses(random, 1)], serve: serve(random) }
  })
}

/** Rules that mostly ask one attribute several things at once: ranges of numbers, lists, whether it is there. */
function rangeRules(random: Random, count: number): Flag['rules'] {
  const shared = chance(random, 0.7) ? 'n' : attribute(random)
  const about = (): Clause => {
    const negated = chance(random, 0.25) ? { negate: true } : {}
    const draw = below(random, 8)
    if (draw < 3)
      return {
        attribute: shared,
        op: pick(random, COMPARISONS),
        values: several(random, 1, 2, () => pick(random, POOLS.number)),
        ...negated,
      }
    if (draw < 5) return { attribute: shared, op: 'between', values: [pick(random, POOLS.number), pick(random, POOLS.number)], ...negated }
    if (draw < 7) return { attribute: shared, op: 'in', values: scalars(random), ...negated }
    return { attribute: shared, op: 'exists', values: [chance(random, 0.8)] }
  }
  return Array.from({ length: count }, (_, i) => ({
    id: `r${i}`,
    clauses: [...several(random, 0, 4, about), ...clauses(random, 1)].sort(() => random() - 0.5),
    serve: serve(random),
  }))
}

/** Rules of which hardly any matches, so that the last ones are reached. */
function lateRules(random: Random, count: number): Flag['rules'] {
  return Array.from({ length: count }, (_, i) => ({
    id: `r${i}`,
    clauses: [
      { attribute: attribute(random), op: 'in' as const, values: chance(random, 0.05) ? [`k${i}`, 'x'] : [`k${i}`] },
      ...clauses(random, 1),
    ],
    serve: serve(random),
  }))
}

function rules(random: Random): Flag['rules'] {
  const draw = random()
  if (draw < 0.55) return several(random, 0, 3, i => rule(random, i))
  if (draw < 0.72) return rangeRules(random, 1 + below(random, 8))
  if (draw < 0.85) return listRules(random, 1 + below(random, 8))
  if (draw < 0.95) return several(random, 3, 9, i => rule(random, i))
  const count = pick(random, [12, 30, 31, 32, 33, 40, 61, 62, 63, 64, 65, 70])
  const most = pick(random, [listRules, rangeRules, lateRules])(random, count)
  return [...most, { ...rule(random, count), clauses: clauses(random, 1) }]
}

function kill(random: Random, i: number): Flag['kills'][number] {
  return {
    id: `k_${i}`,
    variation: variation(random),
    clauses: chance(random, 0.1) ? [] : several(random, 1, 2, () => clause(random)),
    reason: 'r',
    actor: 'dana',
    at: '2026-11-21T03:12:00Z',
    until: null,
  }
}

const VALUES: readonly Flag['variations'][] = [
  [
    { key: 'one', value: 1 },
    { key: 'two', value: 2 },
    { key: 'three', value: 3 },
  ],
  [
    { key: 'three', value: { a: [3] } },
    { key: 'two', value: { b: null } },
    { key: 'one', value: [1] },
  ],
  [
    { key: 'two', value: false },
    { key: 'one', value: true },
    { key: 'three', value: false },
  ],
  [
    { key: 'one', value: '' },
    { key: 'three', value: 'three' },
    { key: 'two', value: 'two' },
  ],
]

export function flag(random: Random, key: string): Flag {
  const isPlain = chance(random, 0.15)
  return {
    key,
    kind: 'config',
    version: 1 + below(random, 9),
    seed: seed(random),
    variations: pick(random, VALUES),
    enabled: chance(random, 0.94),
    offVariation: variation(random),
    kills: isPlain || chance(random, 0.8) ? [] : several(random, 1, 3, i => kill(random, i)),
    prerequisites: isPlain || chance(random, 0.6) ? [] : several(random, 1, 2, () => prerequisite(random, key)),
    targets: isPlain || chance(random, 0.6) ? [] : targets(random),
    rules: isPlain ? [] : rules(random),
    fallthrough: isPlain ? { variation: variation(random) } : serve(random),
  }
}

function targets(random: Random): Flag['targets'] {
  if (chance(random, 0.95)) return several(random, 1, 3, () => ({ ...list(random), variation: variation(random) }))
  const shared = attribute(random)
  const unlikely = (i: number) => ({ attribute: shared, values: [`k${i}`], variation: variation(random) })
  return [...several(random, 28, 66, unlikely), { ...list(random), variation: variation(random) }]
}

/** Mostly of a later key, which makes chains and diamonds; now and then of any, which closes cycles. */
function prerequisite(random: Random, key: string): Flag['prerequisites'][number] {
  const later = FLAG_KEYS.slice(FLAG_KEYS.findIndex(other => other === key) + 1)
  const parent: string = later.length > 0 && chance(random, 0.85) ? pick(random, later) : pick(random, [...FLAG_KEYS, 'gone'])
  return { flag: parent, variations: several(random, 1, 4, () => variation(random)) }
}

export function segment(random: Random, key: string): Segment {
  return {
    key,
    version: 1,
    included: several(random, 0, 1, () => list(random)),
    excluded: several(random, 0, 1, () => list(random)),
    rules: several(random, 0, 2, i => ({ id: `r${i}`, clauses: clauses(random) })),
  }
}

/** A few of the keys; all of them now and then, so that references meet. */
export function ruleset(random: Random): Ruleset {
  const share = chance(random, 0.3) ? 0.9 : 0.4
  return {
    flags: FLAG_KEYS.filter(() => chance(random, share)).map(key => flag(random, key)),
    segments: SEGMENT_KEYS.filter(() => chance(random, share)).map(key => segment(random, key)),
  }
}

/** What a context can hold: JSON, and the numbers that JSON cannot hold. */
export function value(random: Random): unknown {
  const draw = below(random, 20)
  if (draw < 9) return pick<unknown>(random, POOLS.scalar)
  if (draw < 11) return `k${below(random, 70)}`
  if (draw < 13) return pick<unknown>(random, [...POOLS.text, ...POOLS.number])
  if (draw < 14) return pick<unknown>(random, [...POOLS.moments, ...POOLS.versions, ...POOLS.addresses])
  if (draw < 15) return pick<unknown>(random, [null, Number.NaN, Infinity, -Infinity, undefined])
  if (draw < 19) return several(random, 0, 3, () => (chance(random, 0.8) ? pick<unknown>(random, POOLS.scalar) : element(random)))
  return chance(random, 0.5) ? {} : { x: 'x', id: 'x', 0: 'x' }
}

function element(random: Random): unknown {
  return pick<unknown>(random, [null, undefined, ['x'], [], { x: 'x' }, '10.1.2.3', '1.0.0', '2026-11-21T03:12:00Z', Number.NaN, 'k1'])
}

/** Where contexts have something: the names of `NAMES`, and own properties with the names that objects inherit. */
const ATTRIBUTES: readonly [name: string, make: (random: Random) => unknown][] = [
  ['targetingKey', random => (chance(random, 0.9) ? pick(random, ['x', 'y', 'u-1', 'é', '', 'k7', 'k33']) : value(random))],
  ['plan', value],
  ['n', random => (chance(random, 0.5) ? pick<unknown>(random, POOLS.number) : value(random))],
  ['account', random => (chance(random, 0.7) ? { id: value(random) } : value(random))],
  ['tags', value],
  ['v', random => (chance(random, 0.6) ? pick<unknown>(random, POOLS.versions) : value(random))],
  ['ip', random => (chance(random, 0.6) ? pick<unknown>(random, POOLS.addresses) : value(random))],
  ['at', random => (chance(random, 0.6) ? pick<unknown>(random, POOLS.moments) : value(random))],
]
const ODD_ATTRIBUTES: typeof ATTRIBUTES = [
  ['constructor', random => (chance(random, 0.5) ? { name: value(random) } : value(random))],
  ['__proto__', random => (chance(random, 0.5) ? { x: value(random) } : value(random))],
  ['toString', value],
  ['length', value],
  ['a/b', random => (chance(random, 0.5) ? { 'c~d': value(random) } : value(random))],
  ['a~1', value],
  ['a.b', value],
  ['', value],
  ['0', value],
]

export function context(random: Random): Context {
  const share = chance(random, 0.2) ? 0.3 : 0.85
  const entries = ATTRIBUTES.filter(() => chance(random, share)).map(([name, make]) => [name, make(random)] as const)
  const odd = chance(random, 0.3)
    ? ODD_ATTRIBUTES.filter(() => chance(random, 0.5)).map(([name, make]) => [name, make(random)] as const)
    : []
  // `fromEntries` makes even `__proto__` a property of its own.
  return Object.fromEntries([...entries, ...odd]) as Context
}

export function delta(random: Random): Delta {
  const some = <T extends string>(keys: readonly T[], share: number): T[] => keys.filter(() => chance(random, share))
  return {
    flags: some(FLAG_KEYS, 0.2).map(key => flag(random, key)),
    segments: some(SEGMENT_KEYS, 0.15).map(key => segment(random, key)),
    removedFlags: some([...FLAG_KEYS, 'gone'], 0.12),
    removedSegments: some([...SEGMENT_KEYS, 'gone'], 0.08),
  }
}
