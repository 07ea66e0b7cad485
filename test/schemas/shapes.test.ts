import t from 'tap'
import type { z } from 'zod'
import { contextSchema } from '../../schemas/context.ts'
import { unfit } from '../../schemas/json.ts'
import { killRequestSchema } from '../../schemas/kill.ts'
import { ARRAY_MAX, ATTRIBUTES_MAX, DEPTH_MAX, TEXT_LENGTH_MAX, VALUE_LENGTH_MAX } from '../../schemas/limits.ts'
import { rulesetInputSchema } from '../../schemas/ruleset.ts'
import { segmentInputSchema, segmentPatchSchema, segmentSchema } from '../../schemas/segment.ts'
import { downstreamSchema, upstreamSchema } from '../../schemas/stream.ts'
import { rateValueSchema, STAGES, stageSchema, valveValueSchema } from '../../schemas/values.ts'
import { SEGMENT } from './documents.ts'

/** `levels` objects within each other. */
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) })

function table(name: string, schema: z.ZodType, accepted: unknown[], refused: unknown[]): void {
  t.test(name, async t => {
    for (const value of accepted) t.ok(schema.safeParse(value).success, `takes ${String(JSON.stringify(value)).slice(0, 80)}`)
    for (const value of refused) t.notOk(schema.safeParse(value).success, `refuses ${String(JSON.stringify(value)).slice(0, 80)}`)
  })
}

table(
  'a context',
  contextSchema,
  [
    {},
    { targetingKey: '' },
    { targetingKey: 'a', plan: null, n: 1.5, tags: ['x'], account: { id: 'a' } },
    nested(DEPTH_MAX),
    { text: 'v'.repeat(VALUE_LENGTH_MAX) },
    { list: Array(ARRAY_MAX).fill(1) },
    Object.fromEntries(Array.from({ length: ATTRIBUTES_MAX }, (_, i) => [`a${i}`, i])),
  ],
  [
    null,
    [],
    'a',
    { targetingKey: 7 },
    { targetingKey: null },
    nested(DEPTH_MAX + 1),
    { text: 'v'.repeat(VALUE_LENGTH_MAX + 1) },
    { list: Array(ARRAY_MAX + 1).fill(1) },
    Object.fromEntries(Array.from({ length: ATTRIBUTES_MAX + 1 }, (_, i) => [`a${i}`, i])),
    { account: { constructor: 1 } },
    { n: Number.NaN },
    { n: Number.NEGATIVE_INFINITY },
    { text: '\udc00' },
  ],
)

table(
  'a kill as people ask for it',
  killRequestSchema,
  [
    { reason: 'double charges' },
    { reason: 'r', variation: 'off', until: '2026-11-21T03:12:00Z', clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }] },
    { reason: 'r', until: null, incident: 'inc-7', comment: 'c' },
    { reason: 'r', until: '2026-11-21T03:12:00+02:00' },
  ],
  [
    {},
    { reason: '' },
    { reason: 7 },
    { reason: 'r'.repeat(TEXT_LENGTH_MAX + 1) },
    { reason: 'r', until: 'tomorrow' },
    { reason: 'r', until: '2026-11-21T03:12:00' },
    { reason: 'r', until: 1_700_000_000_000 },
    { reason: 'r', id: 'k_01' },
    { reason: 'r', clauses: {} },
    { reason: 'r', variation: 'o n' },
  ],
)

table(
  'a stored segment',
  segmentSchema,
  [SEGMENT],
  [
    { ...SEGMENT, version: 0 },
    { ...SEGMENT, extra: 1 },
    { key: 'a', version: 1 },
  ],
)
table(
  'a segment as people write it',
  segmentInputSchema,
  [SEGMENT, { key: 'a' }, { key: 'a', included: [] }],
  [{}, { key: 'a b' }, { key: 'a', included: ['x'] }, { key: 'a', rules: [{ clauses: [] }] }, { key: 'a', included: [{ values: [null] }] }],
)
table('a patch of a segment', segmentPatchSchema, [{}, { name: null }, { rules: [] }], [{ key: 'b' }, { version: 2 }, { included: null }])

table(
  'an import',
  rulesetInputSchema,
  [{ flags: [] }, { flags: [{ key: 'a', kind: 'release' }], segments: [{ key: 's' }] }],
  [{}, { segments: [] }, { flags: {} }, { flags: [{}] }, { flags: [], project: 'default' }],
)

table(
  'a rate',
  rateValueSchema,
  [
    { rate: 0, per: 'second' },
    {
      rate: 0.5,
      per: 'day',
      burst: 10,
      unit: 'requests',
      cost: 2,
      concurrency: 4,
      mode: 'shadow',
      onPartition: 'open',
      keyBy: ['/account/id'],
    },
    { unlimited: true },
    { unlimited: true, keyBy: [], concurrency: 20 },
  ],
  [
    {},
    { unlimited: false },
    { unlimited: true, rate: 5, per: 'second' },
    { rate: 1, per: 'second', cost: 0 },
    { rate: 1, per: 'second', unit: '"' },
    { rate: 1, per: 'second', keyBy: ['/a~b'] },
    { rate: 1 },
    { rate: -1, per: 'second' },
    { rate: 1, per: 'week' },
    { rate: 1, per: 'second', burst: 0 },
    { rate: 1, per: 'second', extra: 1 },
    5,
    { rate: Number.NaN, per: 'second' },
  ],
)
table(
  'a valve setting',
  valveValueSchema,
  [
    { mode: 'auto' },
    { mode: 'throttle', admit: 0.5 },
    { mode: 'cut', fallback: 'cached' },
    { mode: 'auto', breaker: { enabled: false, timeoutMs: 2_000 }, adaptive: { enabled: true, ramp: 0.05 }, fleetTrip: true, shadow: true },
    { mode: 'auto', breaker: { failureRate: 0.5, openMs: 5_000 }, adaptive: { enabled: true, K: 2 } },
  ],
  [
    {},
    { mode: 'open' },
    { mode: 'throttle', admit: 1.1 },
    { mode: 'auto', breaker: { failureRate: 0 } },
    { mode: 'auto', breaker: { unknown: 1 } },
    { mode: 'auto', adaptive: {} },
  ],
)
table('a stage of a migration', stageSchema, [...STAGES], ['on', '', 'Off', 1, null])

t.test('what programs read is lenient', async t => {
  const hello = { type: 'hello', instance: 'i', service: 's', sdk: '1', revision: 0, epoch: '', newField: true }
  t.ok(upstreamSchema.safeParse(hello).success, 'an unknown field of a newer SDK')
  t.ok(downstreamSchema.safeParse({ type: 'beat', epoch: 'e', revision: 1, newField: true }).success, 'an unknown field of a newer server')
  t.notOk(upstreamSchema.safeParse({ ...hello, revision: -1 }).success, 'a revision below zero')
  t.notOk(upstreamSchema.safeParse({ ...hello, revision: 2 ** 53 }).success, 'a revision that is not safe')
  t.notOk(upstreamSchema.safeParse({ type: 'shout' }).success, 'an unknown type')
})

t.test('unfit looks at everything and names the place', async t => {
  const rows: [unknown, string | null, string][] = [
    [{ a: [1, 'x', null, true] }, null, ''],
    [{ a: { b: [0, Number.NaN] } }, 'not_finite', 'a.b[1]'],
    [{ a: undefined }, 'not_json', 'a'],
    [{ a: () => 1 }, 'not_json', 'a'],
    [{ a: 1n }, 'not_json', 'a'],
    [JSON.parse('{"a":{"__proto__":1}}'), 'key_refused', 'a.__proto__'],
    [{ a: 'x\ud83d' }, 'lone_surrogate', 'a'],
    [nested(DEPTH_MAX + 1), 'too_deep', Array(DEPTH_MAX).fill('a').join('.')],
    [JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)), 'too_deep', '[0]'.repeat(DEPTH_MAX)],
  ]
  for (const [value, code, path] of rows) {
    const problem = unfit(value)
    t.equal(problem?.code ?? null, code)
    if (code !== null) t.equal(problem?.path, path)
  }
})
