import fc from 'fast-check'
import t from 'tap'
import { contextSchema } from '../../../schemas/context.ts'
import { ARRAY_MAX, ATTRIBUTES_MAX, DEPTH_MAX, VALUE_LENGTH_MAX } from '../../../schemas/limits.ts'
import { parsed } from '../../../server/http/parsed.ts'
import { contextProblem, isPlain } from '../../../server/ofrep/context.ts'
import { runs } from '../../runs.ts'

const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) })
const attributes = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, i]))

/** What every other route would say of the same context. */
function schemaTakes(context: unknown): boolean {
  try {
    parsed(contextSchema, context, 'context')
    return true
  } catch {
    return false
  }
}

t.test('the hand-written check takes what the schema takes', async t => {
  const contexts: unknown[] = [
    {},
    { targetingKey: '' },
    { targetingKey: 'a', plan: null, n: -1.5, tags: ['x', ['y']], account: { id: 'a' }, beta: false },
    { targetingKey: null },
    { targetingKey: 7 },
    { targetingKey: {} },
    null,
    [],
    'context',
    7,
    true,
    nested(DEPTH_MAX),
    nested(DEPTH_MAX + 1),
    JSON.parse(`{"a":${'['.repeat(DEPTH_MAX - 1)}${']'.repeat(DEPTH_MAX - 1)}}`),
    JSON.parse(`{"a":${'['.repeat(DEPTH_MAX)}${']'.repeat(DEPTH_MAX)}}`),
    JSON.parse(`{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`),
    { text: 'v'.repeat(VALUE_LENGTH_MAX) },
    { text: 'v'.repeat(VALUE_LENGTH_MAX + 1) },
    { targetingKey: 'v'.repeat(VALUE_LENGTH_MAX + 1) },
    { list: Array(ARRAY_MAX).fill(1) },
    { list: Array(ARRAY_MAX + 1).fill(1) },
    attributes(ATTRIBUTES_MAX),
    attributes(ATTRIBUTES_MAX + 1),
    JSON.parse('{"__proto__":{"admin":true}}'),
    JSON.parse('{"a":{"__proto__":1}}'),
    { constructor: 1 },
    { a: { prototype: 1 } },
    JSON.parse('{"n":1e999}'),
    JSON.parse('{"a":{"n":[-1e999]}}'),
    { text: 'a\ud800' },
    { 'a\udc00': 1 },
    { a: { 'b\udc00': 1 } },
    { a: ['\ud800'] },
    { 'targetingKey ': 7, '': 1, '/account/id': 'x' },
  ]
  for (const [i, context] of contexts.entries()) {
    t.equal(isPlain(context), schemaTakes(context), `context ${i} of the list`)
    t.equal(contextProblem(context) === null, schemaTakes(context), `context ${i} of the list`)
  }
})

t.test('and of any JSON at all', async t => {
  const counterexample = fc.check(
    fc.property(fc.jsonValue({ maxDepth: 5 }), context => isPlain(context) === schemaTakes(context)),
    runs(2_000),
  )
  t.notOk(counterexample.failed, JSON.stringify(counterexample.counterexample))
})
