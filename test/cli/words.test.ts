import t from 'tap'
import { differences } from '../../cli/differences.ts'
import { durationMs, momentAhead, momentText, placeInLog } from '../../cli/moment.ts'
import { parseShares, rolloutOf } from '../../cli/rollout.ts'
import { commandText, stateOf, valueText } from '../../cli/words.ts'
import { OPERATORS } from '../../schemas/operator.ts'
import { affectedText, clauseText, durationText, serveText } from '../../schemas/words.ts'

const NOW = Date.parse('2026-11-21T03:12:00Z')

t.test('clauses are told in words, texts in quotes and numbers without', async t => {
  t.equal(affectedText([]), 'everyone')
  t.equal(
    affectedText([
      { attribute: '/device/os', op: 'in', values: ['android', 'ios'] },
      { attribute: 'id', op: 'in', values: [17], negate: true },
    ]),
    'contexts where /device/os is "android" or "ios" and id is not 17',
  )
  t.equal(clauseText({ op: 'segment', values: ['beta'], negate: true }), 'not in segment beta')
  t.equal(clauseText({ attribute: 'plan', op: 'exists', values: [false] }), 'plan is missing')
  t.equal(clauseText({ attribute: 'a', op: 'between', values: [1, 5] }), 'a is between 1 and 5')
  t.equal(clauseText({ attribute: 'a', op: 'in', values: ['B'], ignoreCase: true }), 'a is "B" (ignoring case)')
  t.match(clauseText({ attribute: 'a', op: 'in', values: Array.from({ length: 20 }, (_, i) => i) }), /one of 12 more/)
  t.equal(clauseText({ attribute: 'a', op: 'laterOperator' as never, values: ['x'] }), 'a laterOperator "x"')
  for (const op of OPERATORS) t.notMatch(clauseText({ attribute: 'a', op, values: ['x'] }), /undefined/, op)
})

t.test('what is served is told in shares', async t => {
  t.equal(serveText({ variation: 'on' }), 'on')
  const weights = [
    { variation: 'on', weight: 5_000 },
    { variation: 'off', weight: 95_000 },
  ]
  t.equal(serveText({ rollout: { by: '/account/id', weights } }), 'on 5 %, off 95 % by /account/id')
  t.equal(serveText({ rollout: { weights: [{ variation: 'on', weight: 1 }] } }), 'on 0.001 % by targetingKey')
})

t.test('the state names a kill before all else', async t => {
  const kill = { id: 'k', variation: 'off', clauses: [], reason: '', actor: '', at: '', until: null }
  t.equal(stateOf({ enabled: true, kills: [] }), 'on')
  t.equal(stateOf({ enabled: false, kills: [] }), 'off')
  t.equal(stateOf({ enabled: true, kills: [kill] }), 'killed')
  t.equal(stateOf({ enabled: true, kills: [{ ...kill, clauses: [{ attribute: 'a', op: 'in', values: [1] }] }] }), 'killed for some')
})

t.test('a printed command is quoted for a shell where it must be', async t => {
  t.equal(commandText(['sluice', 'lift', 'checkout', '--id', 'k_01']), 'sluice lift checkout --id k_01')
  t.equal(commandText(['-m', "it's $(rm) here"]), `-m 'it'\\''s $(rm) here'`)
  t.equal(valueText('x'.repeat(500)).length, 80)
})

t.test('durations and moments', async t => {
  t.same(['30m', '2h', '1h30m', '500ms', '1.5s', '0', '1d', '1w', '', 'm', '5', '-5m', '5 m'].map(durationMs), [
    1_800_000,
    7_200_000,
    5_400_000,
    500,
    1_500,
    0,
    86_400_000,
    604_800_000,
    null,
    null,
    null,
    null,
    null,
  ])
  t.equal(momentAhead('30m', '--until', NOW), '2026-11-21T03:42:00.000Z')
  t.equal(momentAhead('2026-11-21T05:12:00+01:00', '--until', NOW), '2026-11-21T04:12:00.000Z')
  for (const text of ['2026-11-21T03:11:00Z', '2026-11-21', 'soon', '0'])
    t.throws(() => momentAhead(text, '--until', NOW), { code: 'USAGE' }, text)
  t.same(placeInLog('9871', '--since', NOW), { revision: 9871 })
  t.same(placeInLog('r9871', '--since', NOW), { revision: 9871 })
  t.same(placeInLog('2h', '--since', NOW), { at: '2026-11-21T01:12:00.000Z' })
  t.throws(() => placeInLog('yesterday', '--since', NOW), { code: 'USAGE' })
  t.same([12, 812, 59_949, 90_000, 3_600_000, 7_500_000, 200_000_000].map(durationText), [
    '12 ms',
    '812 ms',
    '59.9 s',
    '2 min',
    '1 h',
    '2 h 5 min',
    '2 days',
  ])
  t.equal(momentText('2026-11-21T04:12:05.123+01:00'), '2026-11-21 03:12:05Z')
})

t.test('shares fill up with the off variation and keep the order, seed and attribute that stand', async t => {
  t.same(parseShares('on=25%'), [{ variation: 'on', weight: 25_000 }])
  t.same(parseShares('a=33.333, b=66.667%'), [
    { variation: 'a', weight: 33_333 },
    { variation: 'b', weight: 66_667 },
  ])
  for (const text of ['on', 'on=', 'on=101%', 'on=60,off=50', 'on=1,on=2', 'on=0.0001%', 'on=-1%'])
    t.throws(() => parseShares(text), { code: 'USAGE' }, text)
  const flag = { offVariation: 'off' }
  const first = rolloutOf(parseShares('on=5%'), flag, { variation: 'on' }, '/account/id')
  t.same(first, {
    rollout: {
      by: '/account/id',
      weights: [
        { variation: 'on', weight: 5_000 },
        { variation: 'off', weight: 95_000 },
      ],
    },
  })
  const seeded = { rollout: { ...first.rollout, seed: 7 } }
  t.same(rolloutOf(parseShares('on=25%'), flag, seeded, undefined).rollout, {
    by: '/account/id',
    seed: 7,
    weights: [
      { variation: 'on', weight: 25_000 },
      { variation: 'off', weight: 75_000 },
    ],
  })
  t.same(
    rolloutOf(parseShares('off=0,on=100%'), flag, seeded, undefined).rollout.weights.map(weight => weight.variation),
    ['on', 'off'],
    'a rollout that is whole keeps its order, so that shrinking it takes the last ones first',
  )
  t.same(rolloutOf(parseShares('on=100%'), flag, seeded, undefined).rollout.weights, [
    { variation: 'on', weight: 100_000 },
    { variation: 'off', weight: 0 },
  ])
  t.throws(() => rolloutOf(parseShares('on=50,off=20'), flag, null, undefined), { code: 'USAGE' })
})

t.test('differences are told by place, and list items by their id', async t => {
  t.same(differences({ version: 1, a: 1, b: { c: 2 } }, { version: 2, a: 1, b: { c: 3, d: 4 } }), [
    { path: 'b.c', before: 2, after: 3 },
    { path: 'b.d', before: undefined, after: 4 },
  ])
  const r1 = { id: 'r1', serve: { variation: 'on' } }
  const r2 = { id: 'r2', serve: { variation: 'off' } }
  t.same(differences({ rules: [r2] }, { rules: [r1, r2] }), [{ path: 'rules[r1]', before: undefined, after: r1 }])
  t.same(differences({ rules: [r1, r2] }, { rules: [r2, r1] }), [{ path: 'rules (order)', before: ['r1', 'r2'], after: ['r2', 'r1'] }])
  t.same(differences({ tags: ['a'] }, { tags: ['a', 'b'] }), [{ path: 'tags', before: ['a'], after: ['a', 'b'] }])
  t.same(differences({ a: [] }, { a: [] }), [])
})
