import { inspect, isDeepStrictEqual } from 'node:util'
import t from 'tap'
import type { Clause } from '../../schemas/clause.ts'
import type { Context } from '../../schemas/context.ts'
import type { Flag } from '../../schemas/flag.ts'
import { REASONS, VALUE_TYPES } from '../../schemas/reason.ts'
import type { Segment } from '../../schemas/segment.ts'
import { evaluate, evaluateAs } from '../../sdk/evaluator/evaluate.ts'
import type { Evaluation } from '../../sdk/evaluator/evaluation.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import { applyDelta, type Delta, type Documents, prepare, unknownOperators } from '../../sdk/evaluator/prepare.ts'
import { randomFrom } from '../random.ts'
import { differs, KEYS, told } from './agreement.ts'
import { below, context, pick, ruleset, type Ruleset, SEGMENT_KEYS, value } from './documents.ts'
import { damage, damaged, type Damaged, disguised, hostileContext, writes } from './hostile.ts'
import { isAlone, tryCases } from './tried.ts'
import { twin } from './twin.ts'

t.setTimeout(300_000)

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

/** Keys that damage may bring in. */
const STRAY = ['x', 'gone', '__proto__', '', '/a~2', '\ud800']
const ALL_KEYS = [...new Set([...KEYS, ...STRAY])]

/** The flags of which no part, at any depth, was damaged or could mean a document that was. */
function soundFlags(ruleset: Ruleset, { where, flags, segments }: Damaged): string[] {
  if (where.has('flags') || where.has('segments')) return []
  const documents = new Map<string, { where: string; references: string[] }>()
  const segmentsOf = (rules: readonly { readonly clauses: readonly Clause[] }[]): string[] =>
    rules.flatMap(({ clauses }) =>
      clauses.filter(({ op }) => op === 'segment').flatMap(({ values }) => values.map(key => `segment ${key}`)),
    )
  ruleset.segments.forEach(({ key, rules }, i) =>
    documents.set(`segment ${key}`, { where: `segments.${i}`, references: segmentsOf(rules) }),
  )
  ruleset.flags.forEach(({ key, kills, rules, prerequisites }, i) => {
    const references = [...segmentsOf(kills), ...segmentsOf(rules), ...prerequisites.map(({ flag }) => `flag ${flag}`)]
    documents.set(`flag ${key}`, { where: `flags.${i}`, references })
  })
  // A damaged document may have taken the key of another, or one that nobody had.
  const names = [...namesOf('flag', flags), ...namesOf('segment', segments)]
  const isSound = (name: string, seen: Set<string>): boolean => {
    if (seen.has(name)) return true
    seen.add(name)
    const document = documents.get(name)
    if (document === undefined) return !names.includes(name)
    const isAlone = names.filter(other => other === name).length === 1
    return isAlone && !where.has(document.where) && document.references.every(other => isSound(other, seen))
  }
  return ruleset.flags.map(({ key }) => key).filter(key => isSound(`flag ${key}`, new Set()))
}

function namesOf(what: string, list: unknown): string[] {
  return Array.isArray(list) ? list.map((item: { key?: unknown } | null | undefined) => `${what} ${String(item?.key)}`) : []
}

t.test('damaged rulesets and hostile contexts, a million evaluations, and none throws', async t => {
  let evaluations = 0
  let sound = 0
  let failed = 0
  tryCases(
    8_000,
    random => ({
      ruleset: ruleset(random),
      damages: Array.from({ length: below(random, 5) }, () => damage(random)),
      plain: Array.from({ length: 2 }, () => context(random)),
      // Contexts that are no data are made when they are tried, from a seed.
      seed: below(random, 2 ** 32),
    }),
    ({ ruleset, damages, plain, seed }) => {
      const random = randomFrom(seed)
      writes.count = 0
      const broken = damaged(ruleset, damages)
      const documents = { flags: broken.flags, segments: broken.segments }
      const before = seed % 4 === 0 ? structuredClone(documents) : documents
      let prepared = prepare(documents as Documents, 1)
      unknownOperators(prepared)
      const ask = (key: string, context: Context): string | null => {
        evaluations++
        const result = evaluate(prepared, key, context)
        if (result.error === 'MALFORMED_FLAG') failed++
        if (!REASONS.includes(result.reason) || (result.reason === 'ERROR') !== (result.error !== undefined))
          return `${key}: ${inspect(result)}`
        return (result.variation === null) === (result.error !== undefined) ? null : `${key}: ${inspect(result)}`
      }
      const hostile = Array.from({ length: 8 }, (_, i) => hostileContext(random, i % 2 === 0))
      for (const [i, context] of [...plain, ...hostile].entries()) {
        for (const key of ALL_KEYS) {
          const problem = ask(key, context)
          if (problem !== null) return problem
        }
        const key = pick(random, ALL_KEYS)
        const explained = explain(prepared, key, context)
        const result = evaluate(prepared, key, context)
        if (i % 2 === 0 && differs(explained, result)) return `explained otherwise: ${told(key, explained, result)} for ${inspect(context)}`
        evaluateAs(prepared, key, context, pick(random, VALUE_TYPES))
      }
      if (before !== documents && !isDeepStrictEqual(documents, before)) return 'a document was changed'
      if (writes.count > 0) return `${writes.count} writes to a context`

      // What is whole goes on, and all of it does when the documents are mended.
      const wrong = soundFlags(ruleset, broken).find(key => {
        sound++
        return plain.some(context => differs(evaluate(prepared, key, disguised(random, context)), twin(ruleset, key, context)))
      })
      if (wrong !== undefined) return `${wrong} is whole, but differs`
      prepared = applyDelta(prepared, { ...ruleset, removedFlags: ALL_KEYS, removedSegments: [...SEGMENT_KEYS, ...ALL_KEYS] }, 2)
      const other = KEYS.find(key => plain.some(context => differs(evaluate(prepared, key, context), twin(ruleset, key, context))))
      return other === undefined ? null : `${other} is mended, but differs`
    },
  )
  t.ok(evaluations >= 1_000_000 || isAlone, `${evaluations} evaluations`)
  t.ok(failed > 20_000 || isAlone, `${failed} of a malformed flag`)
  t.ok(sound > 10_000 || isAlone, `${sound} flags that were whole`)
})

t.test('the same data in another dress gives the same', async t => {
  tryCases(
    2_000,
    random => ({ ruleset: ruleset(random), context: context(random), seed: below(random, 2 ** 32) }),
    ({ ruleset, context, seed }) => {
      writes.count = 0
      const prepared = prepare(ruleset, 1)
      const dressed = disguised(randomFrom(seed), context)
      for (const key of KEYS) {
        const [result, expected] = [evaluate(prepared, key, dressed), twin(ruleset, key, context)]
        if (differs(result, expected)) return told(key, result, expected)
        if (differs(explain(prepared, key, dressed), expected)) return `${key}: explained otherwise`
      }
      return writes.count > 0 ? `${writes.count} writes to a context` : null
    },
  )
  t.pass('held')
})

t.test('a polluted prototype changes nothing', async t => {
  const attributes = ['a', 'plan', 'n', 'tags', 'account', 'targetingKey', 'v', 'ip', 'at', '/account/id', '0', 'id', 'x', 'length']
  const fields = [
    'enabled',
    'values',
    'op',
    'attribute',
    'negate',
    'kills',
    'rollout',
    'variation',
    'get',
    'set',
    'value',
    'writable',
    'then',
  ]
  const names = [...attributes, ...fields].filter(name => !(name in Object.prototype))
  tryCases(
    // Everything the engine has learnt about objects is void after each.
    100,
    random => ({
      ruleset: ruleset(random),
      contexts: Array.from({ length: 10 }, () => context(random)),
      pollution: value(random),
      seed: below(random, 2 ** 32),
    }),
    ({ ruleset, contexts, pollution, seed }) => {
      const prepared = prepare(ruleset, 1)
      const hostile = hostileContext(randomFrom(seed), true)
      const results: Evaluation[] = []
      try {
        for (const name of names) (Object.prototype as Record<string, unknown>)[name] = pollution
        for (const context of contexts) for (const key of KEYS) results.push(evaluate(prepared, key, context))
        for (const key of KEYS) explain(prepared, key, hostile)
        prepare(ruleset, 2)
      } finally {
        for (const name of names) Reflect.deleteProperty(Object.prototype, name)
      }
      for (const [i, context] of contexts.entries()) {
        for (const [j, key] of KEYS.entries()) {
          const [result, expected] = [results[i * KEYS.length + j]!, twin(ruleset, key, context)]
          if (differs(result, expected)) return told(key, result, expected)
        }
      }
      return null
    },
  )
  t.pass('held')
})

t.test('a flag that cannot be understood says which it is, which version, and where it is wrong', async t => {
  const broken: [object, RegExp][] = [
    [{ key: 'f', version: 3 }, /"f".*variations/],
    [{ ...on, version: 3, enabled: 'yes' }, /"f".*enabled/],
    [{ ...on, version: 3, offVariation: 'gone' }, /"f".*offVariation/],
    [{ ...on, version: 3, rules: [{ id: 'r', clauses: [{ op: 'in', attribute: 'a', values: [null] }] }] }, /"f".*rules\[0\]/],
    [{ ...on, version: 3, fallthrough: { variation: 'gone' } }, /"f".*fallthrough/],
  ]
  for (const [flag, message] of broken)
    t.match(evaluate(prepare(documents([flag]), 1), 'f', {}), { error: 'MALFORMED_FLAG', flagVersion: 3, message })
})

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

t.test('an array ends before an element that throws, whoever looks', async t => {
  const throwing = (...before: string[]): unknown[] => {
    const list: unknown[] = [...before, 'y', 'x']
    return Object.defineProperty(list, before.length, {
      get() {
        throw new Error('no')
      },
    })
  }
  for (const op of ['startsWith', 'in'] as const) {
    const rule = (negate: boolean) => ({
      id: 'r',
      clauses: [{ attribute: 'a', op, values: ['x'], negate }],
      serve: { variation: 'off' },
    })
    const prepared = prepare(
      documents([
        { ...on, rules: [rule(false)] },
        { ...on, key: 'negated', rules: [rule(true)] },
      ]),
      1,
    )
    for (const decide of [evaluate, explain]) {
      const reasons = (a: unknown[]): string[] => ['f', 'negated'].map(key => decide(prepared, key, { a } as unknown as Context).reason)
      t.strictSame(reasons(throwing('x')), ['RULE_MATCH', 'FALLTHROUGH'], `${op}: found before it`)
      t.strictSame(reasons(throwing('z')), ['FALLTHROUGH', 'RULE_MATCH'], `${op}: not found before it`)
    }
  }
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

  const changing = {
    a: 1,
    get b() {
      applyDelta(prepared, { flags: [{ ...on, version: 2 }], segments: [], removedFlags: [], removedSegments: [] }, 2)
      return 1
    },
  }
  t.match(evaluate(prepared, 'f', changing), { reason: 'RULE_MATCH', flagVersion: 1 }, 'a change meanwhile is the next evaluation’s')
  t.match(evaluate(prepared, 'f', { a: 1, b: 1 }), { reason: 'FALLTHROUGH', flagVersion: 2 })
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
