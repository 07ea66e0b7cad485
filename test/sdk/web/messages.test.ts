/** The web SDK's own reading of its stream takes and refuses what the schema takes and refuses. */
import t from 'tap'
import { clientDownstreamSchema } from '../../../schemas/clientstream.ts'
import { evaluatedOf, itemsOf, parseBulk, parseMessage } from '../../../sdk/web/messages.ts'

const success = { key: 'a', value: { b: [1] }, variant: 'on', reason: 'SPLIT', metadata: { reason: 'FALLTHROUGH', flagVersion: 3 } }
const failure = { key: 'a', errorCode: 'GENERAL', errorDetails: 'because', metadata: { reason: 'ERROR' } }
const messages: readonly Record<string, unknown>[] = [
  { type: 'current', contextId: 1, epoch: 'e', revision: 1, hash: 'a1' },
  { type: 'evaluations', contextId: 2, epoch: 'e', revision: 1, hash: 'a1', flags: [success, failure], reset: true },
  { type: 'changed', epoch: 'e', from: 1, revision: 2, hash: 'a1', flags: [success], removed: ['b'] },
  { type: 'beat', epoch: 'e', revision: 0 },
  { type: 'drain', afterMs: 0, spreadMs: 1.5 },
]
const values: readonly unknown[] = [
  null,
  'text',
  '',
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
  [success],
  [success, {}],
]

t.test('every message, with every field left out or replaced', async t => {
  const wrong: string[] = []
  const check = (message: Record<string, unknown>): void => {
    const byHand = parseMessage(JSON.stringify(message)).message !== null
    const bySchema = clientDownstreamSchema.safeParse(message).success
    if (byHand !== bySchema) wrong.push(`${JSON.stringify(message)}: ${byHand ? 'taken' : 'refused'}`)
  }
  for (const message of messages) {
    check(message)
    check({ ...message, fieldOfTomorrow: 1 })
    for (const field of Object.keys(message)) {
      // What is not as it should be in these is read as if it were not there; and any number may name a context.
      if (['type', 'reset', 'hash', 'contextId'].includes(field)) continue
      const { [field]: _, ...without } = message
      check(without)
      for (const value of values) check({ ...message, [field]: value })
    }
  }
  t.same(wrong, [])
  t.equal(parseMessage('{"type":"of tomorrow"}').message?.type, 'unknown')
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"type":5}',
    '{"type":"current","epoch":"e","revision":1}',
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  ])
    t.equal(parseMessage(text).message, null, text.slice(0, 50))
})

t.test('an answer to a poll needs its place, and items that are flags', async t => {
  const bulk = { flags: [success], metadata: { revision: 4, epoch: 'e' } }
  const whole = parseBulk(JSON.stringify(bulk))
  t.match(whole, { epoch: 'e', revision: 4 })
  t.same(itemsOf(whole!), [success])
  for (const wrong of [
    {},
    { flags: [success] },
    { ...bulk, metadata: { revision: 4 } },
    { ...bulk, flags: [{ key: 'a', value: 1 }] },
    { ...bulk, flags: {} },
  ])
    t.equal(parseBulk(JSON.stringify(wrong)), null)
})

t.test('a flag is what it would be to an application, but for what a page is not told', async t => {
  const own = { team: 'open', tier: 1 }
  const { item: _, ...evaluated } = evaluatedOf(
    { ...success, metadata: { ...success.metadata, ...own, unbucketed: true, revision: 5 } },
    'object',
  )
  t.same(evaluated, {
    value: { b: [1] },
    variation: 'on',
    reason: 'FALLTHROUGH',
    rollout: true,
    unbucketed: true,
    flagVersion: 3,
    metadata: own,
    type: 'object',
    count: 0,
  })
  t.throws(() => ((evaluated.value as { b: unknown[] }).b[0] = 2), TypeError)
  t.match(evaluatedOf({ ...failure, metadata: { reason: 'ERROR', error: 'PREREQUISITE_CYCLE' } }, null), {
    value: undefined,
    variation: null,
    reason: 'ERROR',
    error: 'PREREQUISITE_CYCLE',
    message: 'because',
  })
})
