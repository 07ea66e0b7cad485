import fc from 'fast-check'
import t from 'tap'
import type { Context } from '../../schemas/context.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { evaluate, evaluateAs } from '../../sdk/evaluator/evaluate.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import { applyDelta, type Delta, type Documents, prepare, unknownOperators } from '../../sdk/evaluator/prepare.ts'
import { context, FLAG_KEYS, ruleset } from './arbitrary.ts'
import { runs } from '../runs.ts'

const on: Flag = {
  key: 'f',
  kind: 'release',
  version: 1,
  seed: 1,
  variations: [
    { key: 'on', value: true },
    { key: 'off', value: false },
  ],
  enabled: true,
  offVariation: 'off',
  kills: [],
  prerequisites: [],
  targets: [],
  rules: [],
  fallthrough: { variation: 'on' },
}

function documents(flags: readonly unknown[], segments: readonly unknown[] = []): Documents {
  return { flags: flags as readonly Flag[], segments: segments as readonly Segment[] }
}

t.test('a ruleset damaged anywhere never throws, and what is whole goes on', async t => {
  const junk = fc.oneof(
    fc.constantFrom<unknown>(null, undefined, 0, -1, 1e308, '', 'x', true, [], {}, [null], [[]], { key: 'a' }, '__proto__'),
    fc.jsonValue({ maxDepth: 3 }),
    fc.constant<unknown>(JSON.parse('{"__proto__":{"key":"x","enabled":true}}')),
  )
  fc.assert(
    fc.property(ruleset, context, fc.array(fc.tuple(fc.nat(), junk), { minLength: 1, maxLength: 4 }), (ruleset, context, damage) => {
      const damaged = JSON.parse(JSON.stringify(ruleset)) as object
      for (const [at, value] of damage) replace(damaged, at, value)
      const { flags, segments } = damaged as { flags: unknown[]; segments: unknown[] }
      const prepared = prepare({ ...documents(flags, segments) }, 1)
      for (const key of [...FLAG_KEYS, '__proto__', 'x', '']) {
        evaluate(prepared, key, context)
        explain(prepared, key, context)
      }
      unknownOperators(prepared)
      const sound = applyDelta(prepared, { flags: [{ ...on, key: 'sound' }], segments: [], removedFlags: [], removedSegments: [] }, 2)
      return evaluate(sound, 'sound', context).value === true
    }),
    runs(300),
  )
  t.pass('held')
})

/** Put a value in the n-th place of a document, counted over all places. */
function replace(root: object, n: number, value: unknown): void {
  const places: [object, string][] = []
  const stack: object[] = [root]
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    for (const [key, child] of Object.entries(item)) {
      places.push([item, key])
      if (typeof child === 'object' && child !== null) stack.push(child as object)
    }
  }
  const [parent, key] = places[n % places.length] ?? [root, 'flags']
  Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true })
}

t.test('a delta of nonsense is applied without a word', async t => {
  const prepared = prepare(documents([on]), 1)
  const nonsense = [
    { flags: null, segments: 'x', removedFlags: 5, removedSegments: undefined },
    {
      flags: [null, [], 5, { key: null }, { key: '__proto__' }],
      segments: [null, { key: 5 }, { key: 's', rules: 7 }],
      removedFlags: [null, {}],
      removedSegments: [[]],
    },
    {},
  ]
  for (const delta of nonsense) applyDelta(prepared, delta as unknown as Delta, 2)
  t.equal(evaluate(prepared, 'f', {}).value, true)
  t.match(evaluate(prepared, '__proto__', {}), { error: 'MALFORMED_FLAG' })
  t.match(evaluate(prepare({} as unknown as Documents, 1), 'f', {}), { error: 'FLAG_NOT_FOUND' })
})

t.test('any context whatever gives an answer', async t => {
  const names = [
    'a',
    '/a/b',
    '/a/0',
    'targetingKey',
    'constructor',
    '__proto__',
    '/__proto__/polluted',
    '/constructor/name',
    'hasOwnProperty',
  ]
  const rules = names.map((attribute, i) => ({
    id: `r${i}`,
    clauses: [{ attribute, op: 'in' as const, values: ['hit'] }],
    serve: { variation: 'off' },
  }))
  const prepared = prepare(
    documents([{ ...on, rules, fallthrough: { rollout: { by: '/a/b', weights: [{ variation: 'on', weight: 100_000 }] } } }]),
    1,
  )
  const throwing = {
    get a(): never {
      throw new Error('no')
    },
    get targetingKey(): never {
      throw new Error('no')
    },
  }
  const { proxy: revoked, revoke } = Proxy.revocable({}, {})
  revoke()
  const trap = new Proxy(
    {},
    {
      getOwnPropertyDescriptor() {
        throw new Error('no')
      },
      get() {
        throw new Error('no')
      },
    },
  )
  const cyclic: Record<string, unknown> = {}
  cyclic.a = cyclic
  let deep: unknown = 'hit'
  for (let i = 0; i < 100_000; i++) deep = { b: deep }
  const elements = ['x']
  Object.defineProperty(elements, 0, {
    get() {
      throw new Error('no')
    },
  })
  const odd: unknown[] = [
    null,
    undefined,
    0,
    'text',
    true,
    5n,
    Symbol('x'),
    () => 'x',
    [],
    ['hit'],
    new Map([['a', 'hit']]),
    new Date(Number.NaN),
    throwing,
    revoked,
    trap,
    cyclic,
    { a: deep },
    { a: elements },
    { a: { b: elements } },
    { a: Symbol('x'), targetingKey: 5n },
    { a: revoked },
    { a: [revoked] },
    Object.create(null),
    Object.create({ a: 'hit', targetingKey: 'hit' }),
    JSON.parse('{"a":{"__proto__":{"polluted":"x"}}}'),
  ]
  for (const context of odd) {
    const result = evaluate(prepared, 'f', context as Context)
    t.ok(result.value === false || result.value === true || result.error !== undefined, typeof context)
    t.equal(explain(prepared, 'f', context as Context).variation, result.variation, 'explained')
    t.match(evaluateAs(prepared, 'f', context as Context, 'string'), { reason: 'ERROR' })
  }
  t.match(evaluate(prepared, 'f', { ['__proto__']: 'hit' }), { ruleId: 'r5' }, 'an own __proto__ is an attribute like any other')
  t.match(evaluate(prepared, 'f', Object.create({ a: 'hit' }) as Context), { reason: 'FALLTHROUGH' }, 'an inherited one is none')
  for (const key of [undefined, null, 5, {}, Symbol('x')]) t.match(evaluate(prepared, key as string, {}), { error: 'FLAG_NOT_FOUND' })
})

t.test('a context that evaluates while it is evaluated disturbs nothing', async t => {
  const rule = {
    id: 'r',
    clauses: ['a', 'b', 'a'].map(attribute => ({ attribute, op: 'in' as const, values: [1] })),
    serve: { variation: 'off' },
  }
  const prepared = prepare(documents([{ ...on, rules: [rule] }]), 1)
  const context = {
    a: 1,
    get b() {
      evaluate(prepared, 'f', { a: 2, b: 2 })
      return 1
    },
  }
  t.equal(evaluate(prepared, 'f', context).reason, 'RULE_MATCH')
})

t.test('chains far longer than may be written end in an error, not in an overflow', async t => {
  const chain = (length: number): unknown[] =>
    Array.from({ length: length + 1 }, (_, i) => ({
      ...on,
      key: `f${i}`,
      prerequisites: i === length ? [] : [{ flag: `f${i + 1}`, variations: ['on'] }],
    }))
  t.equal(evaluate(prepare(documents(chain(500)), 1), 'f0', {}).value, true, '500 are followed')
  const long = prepare(documents(chain(20_000)), 1)
  t.match(evaluate(long, 'f0', {}), { error: 'MALFORMED_FLAG' })
  t.equal(evaluate(long, 'f19600', {}).value, true, 'its lower end goes on')

  const segments = (length: number): unknown[] =>
    Array.from({ length: length + 1 }, (_, i) => ({
      key: `s${i}`,
      included: [],
      excluded: [],
      rules: [{ id: 'r', clauses: i === length ? [] : [{ op: 'segment', values: [`s${i + 1}`] }] }],
    }))
  const inFirst = { ...on, rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['s0'] }], serve: { variation: 'off' } }] }
  t.equal(evaluate(prepare(documents([inFirst], segments(500)), 1), 'f', {}).reason, 'RULE_MATCH')
  t.equal(evaluate(prepare(documents([inFirst], segments(5_000)), 1), 'f', {}).reason, 'FALLTHROUGH')
  t.equal(
    evaluate(prepare(documents([...chain(500), { ...on, key: 'f500', rules: inFirst.rules }], segments(500)), 1), 'f0', {}).reason,
    'PREREQUISITE_FAILED',
    'both at once',
  )
})

t.test('segments shared at every level are decided once', async t => {
  const segments = Array.from({ length: 60 }, (_, i) =>
    ['a', 'b'].map(side => ({
      key: `${side}${i}`,
      rules: [{ id: 'r', clauses: [{ op: 'segment', values: [`a${i + 1}`, `b${i + 1}`] }] }],
    })),
  ).flat()
  const flag = { ...on, rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['a0'] }], serve: { variation: 'off' } }] }
  // Without that, 2^60 visits: the test would not end.
  t.equal(evaluate(prepare(documents([flag], segments), 1), 'f', {}).reason, 'FALLTHROUGH')
})

t.test('unknown operators are reported with the place that uses them', async t => {
  const clauses = [{ attribute: 'a', op: 'isPrime', values: [7] }]
  const prepared = prepare(
    documents([{ ...on, rules: [{ id: 'r', clauses, serve: { variation: 'on' } }] }], [{ key: 's', rules: [{ id: 'r', clauses }] }]),
    1,
  )
  t.strictSame(unknownOperators(prepared), [
    { op: 'isPrime', where: 'flag f' },
    { op: 'isPrime', where: 'segment s' },
  ])
})

t.test('a value handed out cannot be changed, nor can it change with its document', async t => {
  const document = JSON.parse('{"a":[1],"__proto__":{"b":2}}') as { a: number[] }
  const variations = [
    { key: 'on', value: document },
    { key: 'off', value: {} },
  ]
  const prepared = prepare(documents([{ ...on, variations }]), 1)
  const value = evaluate(prepared, 'f', {}).value as unknown as { a: number[] }
  t.throws(() => value.a.push(2), TypeError)
  document.a.push(2)
  t.equal(JSON.stringify(value), '{"a":[1],"__proto__":{"b":2}}')
  t.equal(Object.getPrototypeOf(value), Object.prototype)
  t.notOk(Object.isFrozen(document), 'the document is left as it was')
})
