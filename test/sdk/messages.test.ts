/** The SDK's own reading of the stream takes and refuses what the schema takes and refuses. */
import t from 'tap'
import { downstreamSchema } from '../../schemas/stream.ts'
import { isDelta, isWhole, parseMessage, readRuleset } from '../../sdk/messages.ts'

const delta = { epoch: 'e', from: 1, revision: 2, flags: [{ key: 'a', more: 1 }], segments: [], removedFlags: ['b'], removedSegments: [] }
const messages: readonly Record<string, unknown>[] = [
  { type: 'current', epoch: 'e', revision: 1, hash: 'a1' },
  { type: 'beat', epoch: 'e', revision: 0 },
  { type: 'changes', ...delta, hash: 'a1' },
  { type: 'change', ...delta, volatile: true },
  { type: 'ruleset', epoch: 'e', revision: 1, hash: 'a1', flags: [], segments: [{ key: 's' }], reset: true },
  { type: 'drain', afterMs: 0, spreadMs: 1.5 },
]
const values: readonly unknown[] = [
  null,
  'text',
  '',
  0,
  -1,
  1.5,
  2 ** 53,
  true,
  [],
  {},
  [null],
  ['x'],
  [1],
  [{}],
  [{ key: 'a' }],
  [{ key: 5 }],
  [{ key: 'a' }, {}],
]

t.test('every message, with every field left out or replaced', async t => {
  const wrong: string[] = []
  let accepted = 0
  const check = (message: unknown): void => {
    const byHand = parseMessage(JSON.stringify(message)) !== null
    if (byHand) accepted++
    if (byHand !== downstreamSchema.safeParse(message).success) wrong.push(`${JSON.stringify(message)}: ${byHand ? 'taken' : 'refused'}`)
  }
  for (const message of messages) {
    check(message)
    check({ ...message, fieldOfTomorrow: 1 })
    for (const field of Object.keys(message)) {
      // What the SDK does not look at may be anything: `volatile` and `reset` are read as absent unless they are true.
      if (field === 'type' || field === 'volatile' || field === 'reset') continue
      const { [field]: _, ...without } = message
      check(without)
      for (const value of values) check({ ...message, [field]: value })
    }
  }
  t.same(wrong, [])
  t.ok(accepted > messages.length * 2)
})

t.test('what is no message is refused; a type of tomorrow is not', async t => {
  for (const text of ['', '{', 'null', '5', '"text"', '[]', '{}', '{"type":5}', `${'['.repeat(100_000)}${']'.repeat(100_000)}`]) {
    t.equal(parseMessage(text), null, text.slice(0, 20))
  }
  t.same(parseMessage('{"type":"of tomorrow","revision":-1}'), { type: 'unknown' })
  t.same(parseMessage('{"type":"__proto__"}'), { type: 'unknown' })
})

t.test('a ruleset and a delta are told apart', async t => {
  t.equal(isWhole({ epoch: 'e', revision: 1, flags: [], segments: [] }), true)
  t.equal(isDelta({ epoch: 'e', revision: 1, flags: [], segments: [] }), false)
  t.equal(isDelta(delta), true)
  for (const value of [null, 5, [], 'text', { epoch: 'e' }]) t.notOk(isWhole(value) || isDelta(value))
})

t.test('a damaged delta is never taken for a whole ruleset', async t => {
  t.match(readRuleset(delta), { delta })
  t.match(readRuleset({ epoch: 'e', revision: 1, flags: [], segments: [], more: 1 }), { whole: { revision: 1 } })
  for (const field of ['from', 'removedFlags', 'removedSegments']) {
    const { [field]: _, ...without } = delta as Record<string, unknown>
    t.equal(readRuleset(without), null, field)
    t.equal(readRuleset({ ...delta, [field]: null }), null, field)
  }
})
