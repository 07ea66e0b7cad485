/** Random rulesets and contexts from small pools, so that clauses often match, references often meet and cycles often close. */
import fc from 'fast-check'
import type { Clause } from '../../schemas/clause.ts'
import type { Context } from '../../schemas/context.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'

export const FLAG_KEYS = ['a', 'b', 'c', 'd', 'e', 'f'] as const
export const SEGMENT_KEYS = ['s', 't', 'u', 'v'] as const

const POOLS = {
  scalar: ['x', 'y', 'X', 'é', '', 1, 2, 0, true, false],
  text: ['x', 'xy', 'XY', 'yx', 'É', 'é', ''],
  number: [-1, 0, 1, 1.5, 2, 100],
  pattern: ['x', '^x', 'y$', '^[xy]+$', '^.$', 'x|1', '(xy)+', '\\d'],
  moment: ['2026-11-21T03:12:00Z', '2026-11-21T04:12:00+01:00', '2026-11-21T03:12:00.5Z', '2024-02-29T00:00:00Z', 1_795_230_720_000, 0],
  version: ['1', '1.0', '1.0.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-2', '1.0.0-10', '2.0', '1.0.1+b', '10.0.0'],
  network: ['10.0.0.0/8', '10.1.2.3', '10.1.2.0/31', '0.0.0.0/0', '2001:db8::/32', '::1', '::/0', '2001:db8::8000:0:0:0/65'],
  address: ['10.1.2.3', '11.0.0.1', '::ffff:10.1.2.3', '2001:db8::1', '::1', '10.1.2.4', 'x', '010.0.0.1', '2001:db8:0:0:8000::1'],
} as const

const NAMES = ['targetingKey', 'plan', 'n', '/account/id', '/tags/0', 'tags', 'v', 'ip', 'at']
const name = fc.constantFrom(...NAMES)
const key = fc.constantFrom(...FLAG_KEYS, 'gone')
const variation = fc.constantFrom('one', 'two', 'three')
const some = <T>(items: readonly T[], max = 3): fc.Arbitrary<T[]> => fc.array(fc.constantFrom(...items), { minLength: 1, maxLength: max })
const maybe = { negate: fc.boolean() }

function clausesOf(
  ops: readonly string[],
  values: fc.Arbitrary<unknown[]>,
  extra: Record<string, fc.Arbitrary<unknown>> = maybe,
): fc.Arbitrary<Clause> {
  return fc.record({ attribute: name, op: fc.constantFrom(...ops), values, ...extra }) as unknown as fc.Arbitrary<Clause>
}

export const clause: fc.Arbitrary<Clause> = fc.oneof(
  {
    weight: 4,
    arbitrary: clausesOf(['in'], fc.array(fc.constantFrom(...POOLS.scalar), { maxLength: 4 }), { ...maybe, ignoreCase: fc.boolean() }),
  },
  { weight: 2, arbitrary: clausesOf(['startsWith', 'endsWith', 'contains'], some(POOLS.text), { ...maybe, ignoreCase: fc.boolean() }) },
  clausesOf(['matches'], some(POOLS.pattern)),
  clausesOf(['lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual'], some(POOLS.number)),
  clausesOf(['between'], fc.tuple(fc.constantFrom(...POOLS.number), fc.constantFrom(...POOLS.number)) as fc.Arbitrary<unknown[]>),
  clausesOf(['before', 'after'], some(POOLS.moment)),
  clausesOf(
    ['semverEqual', 'semverLessThan', 'semverLessThanOrEqual', 'semverGreaterThan', 'semverGreaterThanOrEqual'],
    some(POOLS.version),
  ),
  clausesOf(['inCidr'], some(POOLS.network)),
  clausesOf(
    ['exists'],
    fc.boolean().map(value => [value]),
    {},
  ),
  clausesOf(['isPrime'], some([7])),
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('segment' as const), values: some<string>([...SEGMENT_KEYS, 'gone'], 2), negate: fc.boolean() }),
  },
)

const clauses = fc.array(clause, { maxLength: 2 })
const scalars = fc.array(fc.constantFrom(...POOLS.scalar), { maxLength: 3 })
const list = fc.record({ attribute: name, values: scalars })
const seed = fc.integer({ min: 0, max: 0xffff_ffff })
const rollout = fc
  .record(
    {
      by: name,
      seed,
      weights: fc.array(fc.record({ variation, weight: fc.integer({ min: 0, max: 60_000 }) }), { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ['weights'] },
  )
  .map(rollout => ({ rollout }))
const serve = fc.oneof(
  variation.map(variation => ({ variation })),
  rollout,
)

/** Several rules that begin with a list of the same attribute's values: the evaluator keeps an index of such. */
const listRules = name.chain(attribute =>
  fc.array(
    fc.tuple(scalars, clauses, serve).map(([values, rest, serve]) => ({
      id: `l${values.length}-${rest.length}`,
      clauses: [{ attribute, op: 'in' as const, values }, ...rest],
      serve,
    })),
    { minLength: 4, maxLength: 6 },
  ),
)

export const flag = (own: fc.Arbitrary<string>): fc.Arbitrary<Flag> =>
  fc.record({
    key: own,
    kind: fc.constant('config' as const),
    version: fc.integer({ min: 1, max: 9 }),
    seed,
    variations: fc.constantFrom(
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
    ),
    enabled: fc.integer({ min: 0, max: 5 }).map(chance => chance > 0),
    offVariation: variation,
    kills: fc.oneof(
      { weight: 4, arbitrary: fc.constant<Flag['kills']>([]) },
      fc.array(
        fc.record({
          id: fc.constantFrom('k_1', 'k_2'),
          variation,
          clauses,
          reason: fc.constant('r'),
          actor: fc.constant('dana'),
          at: fc.constant('2026-11-21T03:12:00Z'),
          until: fc.constant(null),
        }),
        { maxLength: 2 },
      ),
    ),
    prerequisites: fc.oneof(
      { weight: 2, arbitrary: fc.constant<Flag['prerequisites']>([]) },
      fc.array(fc.record({ flag: key, variations: some<string>(['one', 'two', 'three'], 2) }), { maxLength: 2 }),
    ),
    targets: fc.oneof(
      { weight: 2, arbitrary: fc.constant<Flag['targets']>([]) },
      fc.array(fc.record({ attribute: name, values: scalars, variation }), { maxLength: 2 }),
    ),
    rules: fc.oneof(
      { weight: 3, arbitrary: fc.array(fc.record({ id: fc.constantFrom('r1', 'r2', 'r3'), clauses, serve }), { maxLength: 3 }) },
      listRules,
    ),
    fallthrough: serve,
  })

export const segment = (own: fc.Arbitrary<string>): fc.Arbitrary<Segment> =>
  fc.record({
    key: own,
    version: fc.constant(1),
    included: fc.array(list, { maxLength: 1 }),
    excluded: fc.array(list, { maxLength: 1 }),
    rules: fc.array(fc.record({ id: fc.constantFrom('r1', 'r2'), clauses }), { maxLength: 2 }),
  })

export const ruleset = fc.record({
  flags: fc
    .tuple(...FLAG_KEYS.map(key => fc.option(flag(fc.constant(key)), { freq: 8 })))
    .map(flags => flags.filter(flag => flag !== null)),
  segments: fc
    .tuple(...SEGMENT_KEYS.map(key => fc.option(segment(fc.constant(key)), { freq: 6 })))
    .map(items => items.filter(item => item !== null)),
})

const value = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...POOLS.scalar) },
  fc.constantFrom<unknown>(...POOLS.text, ...POOLS.number, ...POOLS.moment, ...POOLS.version, ...POOLS.address, null),
  fc.array(fc.constantFrom<unknown>(...POOLS.scalar, ...POOLS.version, null, ['x'], { x: 1 }), { maxLength: 3 }),
  fc.constant<unknown>({ x: 'x' }),
)

export const context: fc.Arbitrary<Context> = fc.record(
  {
    targetingKey: fc.constantFrom('x', 'y', 'u-1', 'é', ''),
    plan: value,
    n: fc.oneof(fc.constantFrom<unknown>(...POOLS.number), value),
    account: fc.oneof(fc.record({ id: value }), value),
    tags: value,
    v: fc.oneof(fc.constantFrom<unknown>(...POOLS.version), value),
    ip: fc.oneof(fc.constantFrom<unknown>(...POOLS.address), value),
    at: fc.oneof(fc.constantFrom<unknown>(...POOLS.moment), value),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Context>
