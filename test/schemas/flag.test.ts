import t from 'tap'
import { flagDefinitionPatchSchema, flagInputSchema, flagPatchSchema, flagSchema } from '../../schemas/flag.ts'
import {
  ATTRIBUTE_LENGTH_MAX,
  CLAUSES_MAX,
  KEY_LENGTH_MAX,
  KILLS_MAX,
  METADATA_MAX,
  NAME_LENGTH_MAX,
  PREREQUISITES_MAX,
  RULES_MAX,
  SEED_MAX,
  TAGS_MAX,
  TARGETS_MAX,
  TEXT_LENGTH_MAX,
  VALUE_LENGTH_MAX,
  VARIATIONS_MAX,
  WEIGHT_TOTAL,
} from '../../schemas/limits.ts'
import { FLAG } from './documents.ts'

const input = { key: 'a', kind: 'release' }
const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))
const clause = { attribute: 'plan', op: 'in', values: ['beta'] }
const rule = (i: number) => ({ id: `r${i}`, clauses: [], serve: { variation: 'on' } })

/** What is said of a flag input beside key and kind, whether it is taken, and the place that is named when not. */
const rows: [name: string, extra: object, place: string | null][] = [
  ['nothing more', {}, null],
  ['an exported document', FLAG, null],
  ['an unknown field', { colour: 'red' }, ''],
  ['no key', { key: undefined }, 'key'],
  ['an empty key', { key: '' }, 'key'],
  ['the longest key', { key: 'a'.repeat(KEY_LENGTH_MAX) }, null],
  ['a key one longer', { key: 'a'.repeat(KEY_LENGTH_MAX + 1) }, 'key'],
  ['a key with a slash', { key: 'a/b' }, 'key'],
  ['a key with a space', { key: 'a b' }, 'key'],
  ['a key that is not ASCII', { key: 'flåg' }, 'key'],
  ['a key starting with a dot', { key: '.a' }, 'key'],
  ['a key starting with a digit', { key: '1a' }, null],
  ['a key every object inherits', { key: 'constructor' }, 'key'],
  ['a key with a line break after it', { key: 'a\n' }, 'key'],
  ['an unknown kind', { kind: 'toggle' }, 'kind'],
  ['each kind', { kind: 'kill-switch' }, null],
  ['the longest name', { name: 'n'.repeat(NAME_LENGTH_MAX) }, null],
  ['a name one longer', { name: 'n'.repeat(NAME_LENGTH_MAX + 1) }, 'name'],
  ['a name with half a surrogate pair', { name: 'a\ud800' }, 'name'],
  ['a description too long', { description: 'd'.repeat(TEXT_LENGTH_MAX + 1) }, 'description'],
  ['the most tags', { tags: many(TAGS_MAX, i => `t${i}`) }, null],
  ['one tag more', { tags: many(TAGS_MAX + 1, i => `t${i}`) }, 'tags'],
  ['a tag that is no text', { tags: [1] }, 'tags.0'],
  ['a runbook that is no address', { runbook: 'see wiki' }, 'runbook'],
  ['flat metadata', { metadata: { a: 'x', b: 1, c: true } }, null],
  ['nested metadata', { metadata: { a: {} } }, 'metadata.a'],
  ['metadata that is null', { metadata: { a: null } }, 'metadata.a'],
  ['too much metadata', { metadata: Object.fromEntries(many(METADATA_MAX + 1, i => [`m${i}`, i])) }, 'metadata'],
  ['no variations in the list', { variations: [] }, 'variations'],
  ['the most variations', { variations: many(VARIATIONS_MAX, i => ({ key: `v${i}`, value: i })) }, null],
  ['one variation more', { variations: many(VARIATIONS_MAX + 1, i => ({ key: `v${i}`, value: i })) }, 'variations'],
  ['a variation without a value', { variations: [{ key: 'a' }] }, 'variations.0.value'],
  ['a variation that is not finite', { variations: [{ key: 'a', value: Number.POSITIVE_INFINITY }] }, 'variations.0.value'],
  ['a variation with an unknown field', { variations: [{ key: 'a', value: 1, weight: 1 }] }, 'variations.0'],
  ['the smallest seed', { seed: 0 }, null],
  ['the largest seed', { seed: SEED_MAX }, null],
  ['a seed one larger', { seed: SEED_MAX + 1 }, 'seed'],
  ['a negative seed', { seed: -1 }, 'seed'],
  ['a seed with a fraction', { seed: 1.5 }, 'seed'],
  ['enabled as a text', { enabled: 'true' }, 'enabled'],
  ['a prerequisite', { prerequisites: [{ flag: 'b', variations: ['on'] }] }, null],
  ['a prerequisite without variations', { prerequisites: [{ flag: 'b', variations: [] }] }, 'prerequisites.0.variations'],
  ['too many prerequisites', { prerequisites: many(PREREQUISITES_MAX + 1, i => ({ flag: `p${i}`, variations: ['on'] })) }, 'prerequisites'],
  ['a target without an attribute', { targets: [{ values: ['a'], variation: 'on' }] }, null],
  ['a target that lists null', { targets: [{ values: [null], variation: 'on' }] }, 'targets.0.values.0'],
  ['a target that lists an object', { targets: [{ values: [{}], variation: 'on' }] }, 'targets.0.values.0'],
  ['a target with a text too long', { targets: [{ values: ['v'.repeat(VALUE_LENGTH_MAX + 1)], variation: 'on' }] }, 'targets.0.values.0'],
  ['too many targets', { targets: many(TARGETS_MAX + 1, () => ({ values: [], variation: 'on' })) }, 'targets'],
  ['the most rules', { rules: many(RULES_MAX, rule) }, null],
  ['one rule more', { rules: many(RULES_MAX + 1, rule) }, 'rules'],
  ['a rule without an id', { rules: [{ clauses: [], serve: { variation: 'on' } }] }, 'rules.0.id'],
  ['a rule with the most clauses', { rules: [{ ...rule(1), clauses: many(CLAUSES_MAX, () => clause) }] }, null],
  ['a rule with one clause more', { rules: [{ ...rule(1), clauses: many(CLAUSES_MAX + 1, () => clause) }] }, 'rules.0.clauses'],
  ['an unknown operator', { rules: [{ ...rule(1), clauses: [{ ...clause, op: 'equals' }] }] }, 'rules.0.clauses.0.op'],
  ['a clause with an unknown field', { rules: [{ ...rule(1), clauses: [{ ...clause, negated: true }] }] }, 'rules.0.clauses.0'],
  ['a pointer', { rules: [{ ...rule(1), clauses: [{ ...clause, attribute: '/a/~0b/~1c' }] }] }, null],
  ['a pointer with a bare tilde', { rules: [{ ...rule(1), clauses: [{ ...clause, attribute: '/a~b' }] }] }, 'rules.0.clauses.0.attribute'],
  [
    'an attribute too long',
    { rules: [{ ...rule(1), clauses: [{ ...clause, attribute: 'a'.repeat(ATTRIBUTE_LENGTH_MAX + 1) }] }] },
    'rules.0.clauses.0.attribute',
  ],
  ['an empty attribute', { rules: [{ ...rule(1), clauses: [{ ...clause, attribute: '' }] }] }, 'rules.0.clauses.0.attribute'],
  ['a fallthrough that is empty', { fallthrough: {} }, 'fallthrough'],
  [
    'a fallthrough that is both',
    { fallthrough: { variation: 'on', rollout: { weights: [{ variation: 'on', weight: WEIGHT_TOTAL }] } } },
    'fallthrough',
  ],
  ['a weight above the total', { fallthrough: { rollout: { weights: [{ variation: 'on', weight: WEIGHT_TOTAL + 1 }] } } }, 'fallthrough'],
  ['a weight below nothing', { fallthrough: { rollout: { weights: [{ variation: 'on', weight: -1 }] } } }, 'fallthrough'],
  ['a weight with a fraction', { fallthrough: { rollout: { weights: [{ variation: 'on', weight: 0.5 }] } } }, 'fallthrough'],
  ['a rollout without weights', { fallthrough: { rollout: { weights: [] } } }, 'fallthrough'],
]

t.test('a flag as people write it', async t => {
  for (const [name, extra, place] of rows) {
    const result = flagInputSchema.safeParse({ ...input, ...extra })
    t.equal(result.success, place === null, name)
    if (!result.success && place !== null)
      t.ok(
        result.error.issues.some(issue => issue.path.join('.').startsWith(place)),
        `${name}: names ${place}`,
      )
  }
})

t.test('a stored flag has everything', async t => {
  t.ok(flagSchema.safeParse(FLAG).success)
  const optional = ['name', 'description', 'owner', 'tags', 'runbook', 'temporary', 'clientVisible', 'metadata']
  for (const field of Object.keys(FLAG)) {
    const { [field]: _, ...rest } = FLAG as unknown as Record<string, unknown>
    t.equal(flagSchema.safeParse(rest).success, optional.includes(field), `without ${field}`)
  }
  t.notOk(flagSchema.safeParse({ ...FLAG, version: 0 }).success, 'versions start at 1')
  t.notOk(flagSchema.safeParse({ ...FLAG, version: Number.MAX_SAFE_INTEGER + 1 }).success, 'versions are safe integers')
  const kill = FLAG.kills[0]
  t.notOk(flagSchema.safeParse({ ...FLAG, kills: many(KILLS_MAX + 1, () => kill) }).success, 'kills are bounded')
})

t.test('a patch of settings names settings only', async t => {
  t.ok(flagPatchSchema.safeParse({ enabled: true, comment: 'on' }).success)
  t.ok(flagPatchSchema.safeParse({}).success)
  for (const field of ['key', 'kind', 'version', 'variations', 'seed', 'kills', 'name', 'tags']) {
    t.notOk(flagPatchSchema.safeParse({ [field]: (FLAG as unknown as Record<string, unknown>)[field] }).success, field)
  }
})

t.test('a patch of the definition names the definition only, and null removes', async t => {
  t.ok(flagDefinitionPatchSchema.safeParse({ name: null, owner: null, tags: null, metadata: null, clientVisible: true }).success)
  t.notOk(flagDefinitionPatchSchema.safeParse({ kind: null }).success, 'a kind cannot be removed')
  t.notOk(flagDefinitionPatchSchema.safeParse({ variations: null }).success, 'variations cannot be removed')
  for (const field of ['key', 'version', 'enabled', 'rules', 'kills', 'fallthrough']) {
    t.notOk(flagDefinitionPatchSchema.safeParse({ [field]: (FLAG as unknown as Record<string, unknown>)[field] }).success, field)
  }
})
