import { readFileSync } from 'node:fs'
import t from 'tap'
import { z } from 'zod'
import { PUBLISHED, type PublishedName, publishedSchema } from '../../schemas/published.ts'
import { FLAG, SEGMENT } from './documents.ts'

const names = Object.keys(PUBLISHED) as PublishedName[]

/** Every `$ref` of a document. */
function references(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([key, value]) => (key === '$ref' && typeof value === 'string' ? [value] : references(value)))
}

t.test('every published schema is draft 2020-12, named, and stands alone', async t => {
  for (const name of names) {
    const schema = publishedSchema(name)
    t.match(schema, { $schema: 'https://json-schema.org/draft/2020-12/schema', title: name }, name)
    const definitions = Object.keys(schema.$defs ?? {}).map(key => `#/$defs/${key}`)
    const missing = references(schema).filter(reference => !definitions.includes(reference))
    t.same(missing, [], `${name} refers to nothing outside itself`)
  }
})

t.test('the same schemas give the same documents', async t => {
  for (const name of names) t.equal(JSON.stringify(publishedSchema(name)), JSON.stringify(publishedSchema(name)), name)
})

t.test('what a shape requires is not changed without a decision', async t => {
  // Removing a field here, or requiring a new one, breaks documents that people keep in files.
  const required = (name: PublishedName) => {
    const schema = publishedSchema(name) as { $defs: Record<string, { required?: string[] }> }
    return (schema.$defs[name]?.required ?? []).toSorted()
  }
  t.same(required('FlagInput'), ['key', 'kind'])
  t.same(required('SegmentInput'), ['key'])
  t.same(required('RulesetInput'), ['flags'])
  t.same(required('KillRequest'), ['reason'])
  t.same(required('FlagPatch'), [])
  t.same(required('Clause'), ['op', 'values'])
  t.same(required('Rollout'), ['weights'])
})

t.test('a document that zod accepts is accepted by the published schema, and one it refuses for its form is refused', async t => {
  // Read back as a validator, so that the JSON Schema itself is what decides here.
  const check = (name: PublishedName, document: unknown) => z.fromJSONSchema(publishedSchema(name)).safeParse(document).success
  const cases: [PublishedName, unknown, boolean][] = [
    ['Flag', FLAG, true],
    ['Flag', { ...FLAG, colour: 'red' }, false],
    ['Flag', { ...FLAG, version: '1' }, false],
    ['Flag', { ...FLAG, kind: 'toggle' }, false],
    ['FlagInput', { key: 'a', kind: 'release' }, true],
    ['FlagInput', { key: 'a b', kind: 'release' }, false],
    ['Segment', SEGMENT, true],
    ['Segment', { ...SEGMENT, included: {} }, false],
    ['Ruleset', { flags: [FLAG], segments: [SEGMENT] }, true],
    ['Ruleset', { flags: [FLAG] }, false],
    ['RulesetInput', { flags: [FLAG] }, true],
    ['Context', { targetingKey: 'a', account: { id: 1, tags: ['x', null] } }, true],
    ['Context', { targetingKey: 7 }, false],
    ['Stage', 'dual-write', true],
    ['Stage', 'half', false],
    ['RateValue', { rate: 5, per: 'second' }, true],
    ['RateValue', { rate: -1, per: 'second' }, false],
  ]
  for (const [name, document, accepted] of cases) {
    t.equal(PUBLISHED[name].safeParse(document).success, accepted, `zod: ${name} ${JSON.stringify(document).slice(0, 60)}`)
    t.equal(check(name, document), accepted, `JSON Schema: ${name} ${JSON.stringify(document).slice(0, 60)}`)
  }
})

t.test('the folder says which shapes are published', async t => {
  const readme = readFileSync(new URL('../../../schemas/README.md', import.meta.url), 'utf8')
  for (const name of names) t.match(readme, `\`${name}\``, name)
})
