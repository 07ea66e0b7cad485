import fc from 'fast-check'
import t from 'tap'
import { appliedSchema } from '../../../schemas/stream.ts'
import { parseUpstream } from '../../../server/stream/upstream.ts'
import { runs } from '../../runs.ts'

const parsed = (text: string) => parseUpstream(Buffer.from(text), false)

/** What the schema makes of a text: the slow, obvious way. */
function slowly(text: string): number | null {
  try {
    const result = appliedSchema.safeParse(JSON.parse(text))
    return result.success ? result.data.revision : null
  } catch {
    return null
  }
}

t.test('a receipt read in place is what the schema makes of it', async t => {
  const near = fc.oneof(
    fc.maxSafeNat().map(String),
    fc.stringMatching(/^[-0-9.eE+ ]{0,18}$/),
    fc.constantFrom(
      '',
      '00',
      '01',
      '-1',
      '-0',
      '1.0',
      '1e3',
      '9007199254740991',
      '9007199254740992',
      '999999999999999',
      '99999999999999999',
      'null',
    ),
  )
  const text = fc
    .tuple(
      fc.constantFrom('{"type":"applied","revision":', '{"type":"applied", "revision":', '{"revision":'),
      near,
      fc.constantFrom('}', '} ', '', ',"more":1}', '}}'),
    )
    .map(parts => parts.join(''))
  fc.assert(
    fc.property(text, one => {
      const event = parsed(one)
      const expected = slowly(one)
      if (expected === null) return event.kind !== 'applied'
      return event.kind === 'applied' && Object.is(event.revision, expected)
    }),
    runs(5_000),
  )
  t.match(parsed(JSON.stringify({ type: 'applied', revision: 12 })), { kind: 'applied', revision: 12 })
  t.match(parsed('{"type":"applied","revision":-1}'), { kind: 'malformed' })
})
