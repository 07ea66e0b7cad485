import t from 'tap'
import fc from 'fast-check'
import type { Json } from '../../../schemas/json.ts'
import { differences } from '../../../server/log/diff.ts'
import { runs } from '../../runs.ts'

const rule = (id: string, variation: string): Json => ({ id, clauses: [], serve: { variation } })

const CASES: { name: string; before: Json; after: Json; expected: unknown }[] = [
  { name: 'equal documents', before: { a: [1, { b: 2 }] }, after: { a: [1, { b: 2 }] }, expected: [] },
  { name: 'the order of keys is no difference', before: { a: 1, b: 2 }, after: { b: 2, a: 1 }, expected: [] },
  {
    name: 'a field',
    before: { a: 1, b: { c: true } },
    after: { a: 1, b: { c: false } },
    expected: [{ path: 'b.c', before: true, after: false }],
  },
  { name: 'a new field', before: {}, after: { owner: 'dana' }, expected: [{ path: 'owner', before: null, after: 'dana' }] },
  { name: 'a document that is new', before: null, after: { key: 'x' }, expected: [{ path: '', before: null, after: { key: 'x' } }] },
  { name: 'an inherited name', before: {}, after: { constructor: 1 }, expected: [{ path: 'constructor', before: null, after: 1 }] },
  {
    name: 'a rule in front of the others',
    before: { rules: [rule('a', 'on')] },
    after: { rules: [rule('ios', 'off'), rule('a', 'on')] },
    expected: [{ path: 'rules[ios]', before: null, after: rule('ios', 'off') }],
  },
  {
    name: 'a rule altered and one removed',
    before: { rules: [rule('a', 'on'), rule('b', 'on')] },
    after: { rules: [rule('b', 'off')] },
    expected: [
      { path: 'rules[a]', before: rule('a', 'on'), after: null },
      { path: 'rules[b].serve.variation', before: 'on', after: 'off' },
    ],
  },
  {
    name: 'rules in another order',
    before: { rules: [rule('a', 'on'), rule('b', 'on')] },
    after: { rules: [rule('b', 'on'), rule('a', 'on')] },
    expected: [{ path: 'rules[order]', before: ['a', 'b'], after: ['b', 'a'] }],
  },
  {
    name: 'weights by their variation',
    before: {
      weights: [
        { variation: 'on', weight: 1_000 },
        { variation: 'off', weight: 99_000 },
      ],
    },
    after: {
      weights: [
        { variation: 'on', weight: 5_000 },
        { variation: 'off', weight: 95_000 },
      ],
    },
    expected: [
      { path: 'weights[on].weight', before: 1_000, after: 5_000 },
      { path: 'weights[off].weight', before: 99_000, after: 95_000 },
    ],
  },
  {
    name: 'clauses, which have no name, by position',
    before: [{ op: 'in', values: ['a'] }],
    after: [{ op: 'in', values: ['a', 'b'] }],
    expected: [{ path: '[0].values', before: ['a'], after: ['a', 'b'] }],
  },
]

t.test('differences names each place', async t => {
  for (const { name, before, after, expected } of CASES) t.same(differences(before, after), expected, name)
})

t.test('there is no difference exactly when the documents are equal', async t => {
  const json = fc.jsonValue() as fc.Arbitrary<Json>
  fc.assert(
    fc.property(json, value => differences(value, structuredClone(value)).length === 0),
    runs(100),
  )
  fc.assert(
    fc.property(json, json, (a, b) => (differences(a, b).length === 0) === (differences(b, a).length === 0)),
    runs(100),
  )
  t.pass('for any JSON')
})
