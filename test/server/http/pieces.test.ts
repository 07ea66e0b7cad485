import t from 'tap'
import { SluiceError } from '../../../schemas/errors.ts'
import { rulesetInputSchema } from '../../../schemas/ruleset.ts'
import { parsed, parsedInPieces } from '../../../server/http/parsed.ts'

const LISTS = { flags: 1_000, segments: 500 }

const flags = (count: number): Record<string, unknown>[] => Array.from({ length: count }, (_, i) => ({ key: `f${i}`, kind: 'release' }))
const segments = (count: number): Record<string, unknown>[] => Array.from({ length: count }, (_, i) => ({ key: `s${i}` }))

async function refusal(value: unknown): Promise<unknown> {
  try {
    await parsedInPieces(rulesetInputSchema, value, LISTS)
    return null
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return { code: error.code, message: error.message, details: error.details }
  }
}

function refusalWhole(value: unknown): unknown {
  try {
    parsed(rulesetInputSchema, value, 'body')
    return null
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return { code: error.code, message: error.message, details: error.details }
  }
}

t.test('a long body comes out as one that is parsed at once', async t => {
  for (const value of [
    { flags: flags(450) },
    { flags: flags(201), segments: segments(401) },
    { flags: flags(2) },
    { flags: [], segments: segments(300) },
  ])
    t.same(await parsedInPieces(rulesetInputSchema, value, LISTS), parsed(rulesetInputSchema, value, 'body'))
})

t.test('and is refused with the same words, each problem at its place in the whole', async t => {
  const wrong = (at: number, item: unknown): unknown => ({ flags: flags(450).map((flag, i) => (i === at ? item : flag)) })
  const values: Record<string, unknown> = {
    'a field that is missing': wrong(430, { key: 'x' }),
    'an unknown field': wrong(200, { key: 'x', kind: 'release', colour: 'red' }),
    'a union': wrong(399, { key: 'x', kind: 'release', fallthrough: { rollout: { weights: [] } } }),
    'no object': wrong(201, null),
    'half of a surrogate pair': wrong(333, { key: 'x', kind: 'release', name: '\ud800' }),
    'a key that is refused': wrong(401, JSON.parse('{ "key": "x", "__proto__": 1 }')),
    'all wrong': { flags: flags(450).map(() => ({})) },
    'a field of the body': { flags: flags(450), colour: 'red' },
    'a field of the body that is refused': Object.assign(JSON.parse('{ "__proto__": 1 }') as object, { flags: flags(450) }),
    'no list': { flags: {}, segments: segments(300) },
    nothing: {},
    'a list instead': flags(450),
    'a segment': { flags: flags(450), segments: [...segments(300), { key: 'x', rules: 1 }] },
  }
  for (const [name, value] of Object.entries(values)) {
    const expected = refusalWhole(value)
    t.not(expected, null, name)
    t.same(await refusal(value), expected, name)
  }
})
