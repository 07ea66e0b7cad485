import t from 'tap'
import type { ErrorDetail } from '../../../schemas/errors.ts'
import { SluiceError } from '../../../schemas/errors.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { CHAIN_MAX, VALUE_BYTES_MAX } from '../../../schemas/limits.ts'
import { type Stage, STAGES, VALVE_PRESETS } from '../../../schemas/values.ts'
import type { PlannedEdit, State } from '../../../server/log/types.ts'
import { checkEdits } from '../../../server/rulesets/check.ts'
import { beta, flag, segment, staff, stateOf } from './state.ts'

/** The refusal of writing one flag into a state, or null when it is taken. */
function refusal(after: Flag, state: State = stateOf([])): SluiceError | null {
  return refusalOf([{ type: 'flag', key: after.key, after }], state)
}

function refusalOf(edits: readonly PlannedEdit[], state: State): SluiceError | null {
  try {
    checkEdits(state, edits)
    return null
  } catch (error) {
    if (error instanceof SluiceError) return error
    throw error
  }
}

/** `code at path`, one per problem. */
function places(error: SluiceError | null): string[] {
  return (error?.details ?? []).map((detail: ErrorDetail) => `${detail.code} at ${detail.path}`)
}

const onOff = [
  { key: 'on', value: true },
  { key: 'off', value: false },
]

t.test('a flag with everything a flag may have is taken', async t => {
  const state = stateOf([flag('parent')], [segment('staff')])
  const whole = flag('child', {
    tags: ['checkout'],
    metadata: { team: 'payments' },
    prerequisites: [{ flag: 'parent', variations: ['on'] }],
    targets: [
      { values: ['a', 1, true], variation: 'on' },
      { attribute: '/account/id', values: ['a'], variation: 'off' },
    ],
    rules: [
      { id: 'r1', clauses: [beta, staff], serve: { variation: 'on' } },
      {
        id: 'r2',
        clauses: [],
        serve: {
          rollout: {
            weights: [
              { variation: 'on', weight: 1 },
              { variation: 'off', weight: 99_999 },
            ],
          },
        },
      },
    ],
  })
  t.equal(refusal(whole, state), null)
})

t.test('each thing a schema cannot say is refused with its path', async t => {
  const weights = (on: number, off: number, second = 'off') => ({
    rollout: {
      weights: [
        { variation: 'on', weight: on },
        { variation: second, weight: off },
      ],
    },
  })
  const config = (...values: unknown[]): Partial<Flag> => ({
    kind: 'config',
    variations: values.map((value, i) => ({ key: `v${i}`, value: value as never })),
    offVariation: 'v0',
    fallthrough: { variation: 'v0' },
  })
  const valves = (value: unknown): Partial<Flag> => ({ ...config({ mode: 'cut' }, value), kind: 'safety-valve' })
  const presets = {
    variations: Object.entries(VALVE_PRESETS).map(([key, value]) => ({ key, value })),
    offVariation: 'cut',
    fallthrough: { variation: 'auto' },
  }
  const stages = (offVariation: Stage, served: Stage, more: Partial<Flag> = {}): Partial<Flag> => ({
    kind: 'migration',
    variations: STAGES.map(stage => ({ key: stage, value: stage })),
    offVariation,
    fallthrough: { variation: served },
    ...more,
  })
  const shares = (...weights: [variation: Stage, weight: number][]): Partial<Flag> => ({
    fallthrough: { rollout: { weights: weights.map(([variation, weight]) => ({ variation, weight })) } },
  })
  const unsafe = ['unsafe_off at offVariation']
  const rates = (...values: unknown[]): Partial<Flag> => ({ ...config(...values), kind: 'rate-limit' })
  const cases: [name: string, change: Partial<Flag>, expected: string[]][] = [
    ['a variation twice', { variations: [...onOff, { key: 'on', value: true }] }, ['duplicate at variations[2].key']],
    ['values of two types', config('a', 1), ['value_type at variations[1].value']],
    ['a value of null', config(null), ['value_type at variations[0].value']],
    ['an array and an object', config([1], { a: 1 }), []],
    ['a value that is too large', config('x'.repeat(VALUE_BYTES_MAX)), ['too_large at variations[0].value']],
    [
      'a value that is too deep',
      config(JSON.parse('['.repeat(21) + ']'.repeat(21))),
      [`too_deep at variations[0].value${'[0]'.repeat(20)}`],
    ],
    ['a kill-switch that is no boolean', { ...config('a'), kind: 'kill-switch' }, ['value_kind at variations[0].value']],
    ['a migration that is no stage', { ...config('sideways'), kind: 'migration' }, ['value_kind at variations[0].value']],
    ['a migration at its first stage', stages('off', 'off'), []],
    ['a migration that is read from the new side and may still turn back', stages('off', 'live'), []],
    ['a migration without its old side that would turn back to it', stages('off', 'complete'), unsafe],
    ['the same for a few', stages('dual-write', 'ramp-down', shares(['complete', 1_000], ['ramp-down', 99_000])), unsafe],
    ['the same for nobody', stages('off', 'live', shares(['complete', 0], ['live', 100_000])), []],
    ['the same for one account', stages('off', 'live', { targets: [{ values: ['a-17'], variation: 'complete' }] }), unsafe],
    ['a migration without its old side', stages('ramp-down', 'complete'), []],
    ['a migration that has not begun and would turn to the new side', stages('live', 'off'), unsafe],
    ['a rate without a unit of time', { ...config({ rate: 5 }), kind: 'rate-limit' }, ['invalid_value at variations[0].value.per']],
    [
      'a rate with a typo',
      { ...config({ rate: 5, per: 'second', brust: 2 }), kind: 'rate-limit' },
      ['unknown_field at variations[0].value.brust'],
    ],
    ['a rate', { ...config({ rate: 5, per: 'second' }, { rate: 0, per: 'second' }), kind: 'rate-limit' }, []],
    ['no limit', rates({ unlimited: true }, { unlimited: true, keyBy: ['/account/id'] }), []],
    ['no limit and a burst', rates({ unlimited: true, burst: 5 }), ['unknown_field at variations[0].value.burst']],
    ['a key that is no attribute', rates({ rate: 5, per: 'second', keyBy: ['/a~b'] }), ['custom at variations[0].value.keyBy[0]']],
    ['a key twice', rates({ rate: 5, per: 'second', keyBy: ['ip', 'ip'] }), ['duplicate at variations[0].value.keyBy[1]']],
    ['two units', rates({ rate: 5, per: 'second' }, { rate: 5, per: 'second', unit: 'byte' }), ['value_unit at variations[1].value.unit']],
    [
      'no limit of another unit',
      rates({ rate: 5, per: 'second', unit: 'byte' }, { unlimited: true }),
      ['value_unit at variations[1].value.unit'],
    ],
    ['the usual unit, written out', rates({ rate: 5, per: 'second', unit: 'request' }, { unlimited: true }), []],
    ['a burst that no request fits in', rates({ rate: 100, per: 'second', cost: 30 }), ['value_kind at variations[0].value.burst']],
    ['a burst of one request', rates({ rate: 100, per: 'second', cost: 30, burst: 30 }), []],
    ['a burst of an hour', rates({ rate: 10, per: 'second', burst: 36_000 }), []],
    ['a burst of more than an hour', rates({ rate: 10, per: 'second', burst: 36_001 }), ['value_kind at variations[0].value.burst']],
    ['a day at once', rates({ rate: 5, per: 'day', burst: 5 }), []],
    ['more than a day at once', rates({ rate: 5, per: 'day', burst: 6 }), ['value_kind at variations[0].value.burst']],
    ['a rate that never brings one', rates({ rate: 0.01, per: 'day' }), ['value_kind at variations[0].value.rate']],
    ['a cut, whatever its burst', rates({ rate: 0, per: 'day', burst: 6 }), []],
    ['a valve', valves({ mode: 'auto', breaker: { windowMs: 10_000, slowMs: 5_000, minCalls: 5 } }), []],
    ['the usual valve', { kind: 'safety-valve', ...presets }, []],
    [
      'a valve that lets through when it is off',
      { kind: 'safety-valve', ...presets, offVariation: 'half' },
      ['value_kind at offVariation'],
    ],
    ['a valve that cannot cut when it is off', { ...config({ mode: 'flow' }), kind: 'safety-valve' }, ['value_kind at offVariation']],
    [
      'a valve whose window is shorter than two slow calls',
      valves({ mode: 'auto', breaker: { windowMs: 10_000, slowMs: 5_001 } }),
      ['value_kind at variations[1].value.breaker.windowMs'],
    ],
    [
      'a valve whose window is shorter than two timeouts',
      valves({ mode: 'auto', breaker: { timeoutMs: 15_001 } }),
      ['value_kind at variations[1].value.breaker.windowMs'],
    ],
    ['a valve whose window is two timeouts', valves({ mode: 'auto', breaker: { timeoutMs: 15_000 } }), []],
    [
      'a valve whose calls time out before they are slow',
      valves({ mode: 'auto', breaker: { slowMs: 2_000, timeoutMs: 2_000 } }),
      ['value_kind at variations[1].value.breaker.slowMs'],
    ],
    [
      'a valve that does not say what is slow',
      valves({ mode: 'auto', breaker: { slowRate: 0.5 } }),
      ['value_kind at variations[1].value.breaker.slowMs'],
    ],
    [
      'a valve with buckets too short',
      valves({ mode: 'auto', breaker: { windowMs: 1_000, buckets: 21 } }),
      ['value_kind at variations[1].value.breaker.buckets'],
    ],
    ['a valve with buckets just long enough', valves({ mode: 'auto', breaker: { windowMs: 1_000, buckets: 20 } }), []],
    ['a valve that throttles to nothing said', valves({ mode: 'throttle' }), ['value_kind at variations[1].value.admit']],
    [
      'a valve that opens for longer than its longest',
      valves({ mode: 'auto', breaker: { openMs: 2_000, maxOpenMs: 1_000 } }),
      ['value_kind at variations[1].value.breaker.maxOpenMs'],
    ],
    [
      'a valve with more probes than calls that cut it',
      valves({ mode: 'auto', breaker: { minCalls: 10, probes: 11 } }),
      ['value_kind at variations[1].value.breaker.probes'],
    ],
    [
      'a valve whose probes need not go well',
      valves({ mode: 'auto', breaker: { probes: 5, probeSuccess: 0.1 } }),
      ['value_kind at variations[1].value.breaker.probeSuccess'],
    ],
    ['a valve that is no valve', valves({ mode: 'open' }), ['invalid_value at variations[1].value.mode']],
    ['no such off variation', { offVariation: 'of' }, ['unknown_variation at offVariation']],
    ['no such fallthrough', { fallthrough: { variation: 'onn' } }, ['unknown_variation at fallthrough.variation']],
    ['weights that do not add up', { fallthrough: weights(49_000, 50_000) }, ['weights at fallthrough.rollout.weights']],
    ['weights of a rule', { rules: [{ id: 'r', clauses: [], serve: weights(1, 1) }] }, ['weights at rules[0].serve.rollout.weights']],
    [
      'a weight for no variation',
      { fallthrough: weights(50_000, 50_000, 'maybe') },
      ['unknown_variation at fallthrough.rollout.weights[1].variation'],
    ],
    [
      'a variation weighed twice',
      { fallthrough: weights(50_000, 50_000, 'on') },
      ['duplicate at fallthrough.rollout.weights[1].variation'],
    ],
    [
      'a rule id twice',
      {
        rules: [
          { id: 'r', clauses: [], serve: { variation: 'on' } },
          { id: 'r', clauses: [], serve: { variation: 'off' } },
        ],
      },
      ['duplicate at rules[1].id'],
    ],
    [
      'a rule that serves nothing known',
      { rules: [{ id: 'r', clauses: [], serve: { variation: 'x' } }] },
      ['unknown_variation at rules[0].serve.variation'],
    ],
    [
      'an expression that is none',
      { rules: [{ id: 'r', clauses: [beta, { attribute: 'a', op: 'matches', values: ['('] }], serve: { variation: 'on' } }] },
      ['invalid_pattern at rules[0].clauses[1].values[0]'],
    ],
    [
      'an unknown segment',
      { rules: [{ id: 'r', clauses: [staff], serve: { variation: 'on' } }] },
      ['unknown_segment at rules[0].clauses[0].values[0]'],
    ],
    ['a target for no variation', { targets: [{ values: ['a'], variation: 'x' }] }, ['unknown_variation at targets[0].variation']],
    [
      'a value in two targets',
      {
        targets: [
          { values: ['a', 'b'], variation: 'on' },
          { attribute: 'targetingKey', values: ['c', 'b'], variation: 'off' },
        ],
      },
      ['duplicate at targets[1].values[1]'],
    ],
    [
      'a prerequisite that does not exist',
      { prerequisites: [{ flag: 'nobody', variations: ['on'] }] },
      ['unknown_flag at prerequisites[0].flag'],
    ],
    [
      'a variation the prerequisite lacks',
      { prerequisites: [{ flag: 'parent', variations: ['on', 'sideways'] }] },
      ['unknown_variation at prerequisites[0].variations[1]'],
    ],
    [
      'a prerequisite twice',
      {
        prerequisites: [
          { flag: 'parent', variations: ['on'] },
          { flag: 'parent', variations: ['off'] },
        ],
      },
      ['duplicate at prerequisites[1].flag'],
    ],
    [
      'several at once',
      { offVariation: 'x', fallthrough: weights(1, 1), targets: [{ values: [], variation: 'y' }] },
      ['unknown_variation at offVariation', 'unknown_variation at targets[0].variation', 'weights at fallthrough.rollout.weights'],
    ],
  ]
  for (const [name, change, expected] of cases) {
    const error = refusal({ ...flag('new-cart'), ...change }, stateOf([flag('parent')]))
    t.same(places(error), expected, name)
    if (error === null) continue
    t.equal(error.code, 'INVALID_FLAG', name)
    t.match(error.message, /^Flag "new-cart" in "default\/production": .*\.( \(\d+ more in details\))?$/, name)
    t.ok(
      error.details.every(detail => detail.message.length > 20 && /[.)]$/.test(detail.message)),
      `${name}: every detail says what to do`,
    )
  }
})

t.test('the message names flag, environment, place and cure', async t => {
  const broken = flag('new-cart', { fallthrough: { rollout: { weights: [{ variation: 'on', weight: 99_000 }] } } })
  t.equal(
    refusal(broken)?.message,
    'Flag "new-cart" in "default/production": rollout weights add up to 99000, expected 100000. Correct fallthrough.rollout.',
  )
})

t.test('a cycle of prerequisites is refused with its path', async t => {
  const needs = (key: string, parent: string): Flag => flag(key, { prerequisites: [{ flag: parent, variations: ['on'] }] })
  const self = refusal(needs('a', 'a'))
  t.match(self, { code: 'PREREQUISITE_CYCLE', message: /a → a\. / })
  const three = refusal(needs('a', 'c'), stateOf([flag('a'), needs('b', 'a'), needs('c', 'b')]))
  t.equal(three?.code, 'PREREQUISITE_CYCLE')
  t.match(three?.message, /(a → c → b → a|c → b → a → c|b → a → c → b)/)
  t.same(places(three), ['cycle at prerequisites'])
})

t.test('a cycle of segments is refused', async t => {
  const within = (key: string, other: string) => segment(key, { rules: [{ id: 'r', clauses: [{ op: 'segment', values: [other] }] }] })
  const error = refusalOf([{ type: 'segment', key: 'a', after: within('a', 'b') }], stateOf([], [segment('a'), within('b', 'a')]))
  t.equal(error?.code, 'SEGMENT_CYCLE')
  t.match(error?.message, /a → b → a|b → a → b/)
})

t.test('a chain may have so many links and no more', async t => {
  const chain = Array.from({ length: CHAIN_MAX + 1 }, (_, i) =>
    flag(`f${i}`, i === 0 ? {} : { prerequisites: [{ flag: `f${i - 1}`, variations: ['on'] }] }),
  )
  const last = chain.pop()!
  t.equal(refusal(last, stateOf(chain)), null)
  chain.push(last)
  const error = refusal(flag('one-more', { prerequisites: [{ flag: last.key, variations: ['on'] }] }), stateOf(chain))
  t.same(places(error), ['chain_too_long at prerequisites'])
})

t.test('what others lean on stays', async t => {
  const parent = flag('parent')
  const child = flag('child', {
    prerequisites: [{ flag: 'parent', variations: ['on'] }],
    rules: [{ id: 'r', clauses: [staff], serve: { variation: 'on' } }],
  })
  const state = stateOf([parent, child], [segment('staff'), segment('all', { rules: [{ id: 'r', clauses: [staff] }] })])

  const removed = refusalOf([{ type: 'flag', key: 'parent', after: null }], state)
  t.equal(removed?.code, 'FLAG_IN_USE')
  t.equal(removed?.message, 'Flag "parent" in "default/production": is a prerequisite of "child". Remove it there first.')
  const both: PlannedEdit[] = [
    { type: 'flag', key: 'parent', after: null },
    { type: 'flag', key: 'child', after: null },
  ]
  t.equal(refusalOf(both, state), null, 'both together may go')

  const renamed = flag('parent', { variations: [{ key: 'yes', value: true }, onOff[1]!], fallthrough: { variation: 'yes' } })
  const lost = refusal(renamed, state)
  t.equal(lost?.code, 'INVALID_FLAG')
  t.same(places(lost), ['variation_in_use at variations'])

  const gone = refusalOf([{ type: 'segment', key: 'staff', after: null }], state)
  t.equal(gone?.code, 'SEGMENT_IN_USE')
  t.same(places(gone), ['used_by_flag at ', 'used_by_segment at '])
})

t.test('a variation that a standing kill serves stays', async t => {
  const kill = { id: 'k_1', variation: 'off', clauses: [], reason: 'r', actor: 'a', at: '2026-01-01T00:00:00Z', until: null }
  const killed = { ...flag('a', { variations: [{ key: 'on', value: true }], offVariation: 'on' }), kills: [kill] }
  t.same(places(refusal(killed)), ['unknown_variation at variations'])
})

t.test('problems of several documents are placed where they stand in the request', async t => {
  const edits: PlannedEdit[] = [
    { type: 'segment', key: 's', after: segment('s', { rules: [{ id: 'r', clauses: [staff] }] }) },
    { type: 'flag', key: 'a', after: { ...flag('a'), offVariation: 'x' } },
  ]
  try {
    checkEdits(stateOf([]), edits, edit => `${edit.type}s[${edits.indexOf(edit)}]`)
    t.fail('it was taken')
  } catch (error) {
    t.match(error, { code: 'INVALID_FLAG', message: /^Flag "a" in "default\/production": offVariation names/ })
    t.same(places(error as SluiceError), [
      'unknown_segment at segments[0].rules[0].clauses[0].values[0]',
      'unknown_variation at flags[1].offVariation',
    ])
  }
})
