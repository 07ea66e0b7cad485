import fc from 'fast-check'
import t from 'tap'
import { ALERT_SEVERITIES, type Alert } from '../../../schemas/alert.ts'
import type { TriggerWhen } from '../../../schemas/trigger.ts'
import { conditionOf, selectionChecks, selects } from '../../../server/triggers/match.ts'
import { runs } from '../../runs.ts'
import { alertOf } from './alerts.ts'

const START = Date.parse('2026-11-21T03:00:00.000Z')

t.test('a missing label never matches, negated or not', async t => {
  const alert = alertOf({ at: START, labels: { service: 'checkout' } })
  for (const [match, expected] of [
    [{ label: 'service', values: ['checkout'] }, true],
    [{ label: 'service', values: ['search'] }, false],
    [{ label: 'service', values: ['search'], negate: true }, true],
    [{ label: 'service', values: ['search', 'checkout'], negate: true }, false],
    [{ label: 'region', values: ['eu'] }, false],
    [{ label: 'region', values: ['eu'], negate: true }, false],
    [{ label: 'constructor', values: ['x'], negate: true }, false],
  ] as const) {
    t.equal(selects({ labels: [{ ...match, values: [...match.values] }] }, alert), expected, JSON.stringify(match))
  }
})

const label = fc.constantFrom('service', 'team', 'region')
const value = fc.constantFrom('a', 'b', 'c')
const alertArbitrary: fc.Arbitrary<Alert> = fc
  .record({
    dedupKey: fc.constantFrom('1', '2', '3', '4', '5', '6'),
    hook: fc.constantFrom('am', 'dd'),
    severity: fc.constantFrom(...ALERT_SEVERITIES),
    labels: fc.dictionary(label, value, { maxKeys: 3 }),
    begunMs: fc.integer({ min: -100_000, max: 100_000 }),
    heardMs: fc.integer({ min: -100_000, max: 0 }),
  })
  .map(({ begunMs, heardMs, ...rest }) =>
    alertOf({ at: START, ...rest, startsAt: new Date(START + begunMs).toISOString(), receivedAt: new Date(START + heardMs).toISOString() }),
  )
const whenArbitrary: fc.Arbitrary<TriggerWhen> = fc.record(
  {
    hooks: fc.subarray(['am', 'dd', 'xx']),
    labels: fc.array(fc.record({ label, values: fc.array(value, { minLength: 1, maxLength: 2 }), negate: fc.boolean() }), { maxLength: 2 }),
    severity: fc.constantFrom(...ALERT_SEVERITIES),
    forMs: fc.integer({ min: 0, max: 60_000 }),
    atLeast: fc.integer({ min: 1, max: 3 }),
    withinMs: fc.integer({ min: 1_000, max: 60_000 }),
  },
  { requiredKeys: [] },
)

/** The same, as one would say it: some set of so many different alerts, all close together, all old enough. */
function slowHolds(when: TriggerWhen, firing: readonly Alert[], now: number): boolean {
  const latest = new Map(firing.map(alert => [`${alert.hook}/${alert.dedupKey}`, alert]))
  // Of one that is told twice, the last counts; and whether it is waited for is asked of each telling.
  const different = [...latest.keys()].flatMap(
    key => firing.findLast(alert => `${alert.hook}/${alert.dedupKey}` === key && slowSelects(when, alert)) ?? [],
  )
  const begun = different.map(alert => Math.min(Date.parse(alert.startsAt), Date.parse(alert.receivedAt)))
  const wanted = when.atLeast ?? 1
  for (let set = 0; set < 1 << begun.length; set++) {
    const chosen = begun.filter((_, i) => (set >> i) & 1)
    if (chosen.length !== wanted) continue
    if (Math.max(...chosen) - Math.min(...chosen) > (when.withinMs ?? Infinity)) continue
    if (chosen.every(since => now - since >= (when.forMs ?? 0))) return true
  }
  return false
}

function slowSelects({ hooks, labels, severity }: TriggerWhen, alert: Alert): boolean {
  if (hooks !== undefined && !hooks.some(hook => hook === alert.hook)) return false
  if (severity !== undefined && !ALERT_SEVERITIES.slice(0, ALERT_SEVERITIES.indexOf(severity) + 1).includes(alert.severity)) return false
  for (const { label, values, negate = false } of labels ?? []) {
    const found = Object.entries(alert.labels).find(([name]) => name === label)
    if (found === undefined) return false
    if (values.some(text => text === found[1]) === negate) return false
  }
  return true
}

t.test('matching equals a slow twin, and says when time alone will help', async t => {
  fc.assert(
    fc.property(whenArbitrary, fc.array(alertArbitrary, { maxLength: 7 }), (when, firing) => {
      const condition = conditionOf(when, firing, START)
      if (condition.holds !== slowHolds(when, firing, START)) return false
      for (const alert of firing) {
        const checks = selectionChecks(when, alert)
        if (checks.every(check => check.holds) !== selects(when, alert)) return false
        if (selects(when, alert) !== slowSelects(when, alert)) return false
      }
      if (condition.inMs === null) return condition.holds || !slowHolds(when, firing, START + 1_000_000)
      return slowHolds(when, firing, START + condition.inMs) && !slowHolds(when, firing, START + condition.inMs - 1)
    }),
    runs(2_000),
  )
  t.pass()
})
