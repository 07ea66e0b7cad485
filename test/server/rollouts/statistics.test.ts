/**
 * The statistics of rollouts, held to what they promise by rollouts that are drawn: harmless ones are turned back as rarely
 * as is said, whatever goes on around them, and harmful ones as soon. Seeded: the same draws every time. The figures of
 * many more runs are printed by `bench/rollouts.ts`.
 */
import fc from 'fast-check'
import t from 'tap'
import { logMean } from '../../../server/rollouts/statistics/eprocess.ts'
import { begin, revive, slice, step, verdict } from '../../../server/rollouts/statistics/process.ts'
import type { Arms, ShareGuard, StatisticsState, Stratum, Trials } from '../../../server/rollouts/statistics/types.ts'
import { randomFrom } from '../../random.ts'
import { runs } from '../../runs.ts'
import { DETECTIONS, detect, NULLS, quietly } from './scenarios.ts'
import { always, binomial, draw, HOUR, mostOf, ramp, type Scenario, stratumOf } from './simulation.ts'
import { twinOf } from './twin.ts'

const ERRORS: readonly ShareGuard[] = [{ key: 'errors', role: 'guardrail' }]
const arms = (treated: number, badTreated: number, control: number, badControl: number): Arms<Trials> => ({
  rising: { contexts: treated, bad: badTreated },
  control: { contexts: control, bad: badControl },
})
const fed = (state: StatisticsState, slices: readonly Arms<Trials>[], share: number | null = null): StatisticsState =>
  slices.reduce((before, each) => slice(before, [stratumOf(each)], share), state)
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

const anyTrials = fc
  .record({ contexts: fc.nat(60), share: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map(({ contexts, share }): Trials => ({ contexts, bad: Math.round(contexts * share ** 3) }))
const anyArms = fc.record({ rising: anyTrials, control: anyTrials })

t.test('the e-process is the exact product of its formulas, to a billionth', async () => {
  fc.assert(
    fc.property(fc.array(anyArms, { maxLength: 12 }), slices => {
      const { guards, logE } = verdict(fed(begin(ERRORS), slices))
      const first = logMean(fed(begin(ERRORS), slices).guards[0]!.logE)
      const exact = twinOf(slices, 1.5)
      for (const [name, mine, twin] of [
        ['E', logE, exact.logE],
        ['E of the guard', guards[0]!.logE, exact.logE],
        ['E from the beginning', first, exact.logFirst],
        ['A', guards[0]!.logA, exact.logA],
      ] as const) {
        if (!(Math.abs(mine - twin) <= 1e-9 * Math.max(1, Math.abs(twin)))) throw new Error(`${name} is ${mine}, exactly ${twin}`)
      }
    }),
    runs(60),
  )
})

t.test('of harmless rollouts no more than alpha are turned back, whatever the base rate, outages and the ramp do', async t => {
  const COUNT = 100
  for (const [name, scenario] of Object.entries(NULLS)) {
    const harmed = { hundredth: 0, tenth: 0 }
    let skewed = 0
    for (let run = 0; run < COUNT; run++) {
      const state = quietly(scenario, randomFrom(run + 1))
      if (state.highest.guardrail >= Math.log(100)) harmed.hundredth++
      if (state.highest.guardrail >= Math.log(10)) harmed.tenth++
      if (verdict(state).kind === 'skewed') skewed++
    }
    t.ok(harmed.hundredth <= mostOf(COUNT, 0.01), `${name}: ${harmed.hundredth} of ${COUNT} at alpha 0.01`)
    t.ok(harmed.tenth <= mostOf(COUNT, 0.1), `${name}: ${harmed.tenth} of ${COUNT} at alpha 0.1`)
    t.equal(skewed, 0, `${name}: none is called skewed`)
  }
})

t.test('harm is found within a quarter of the time that the simulated reference took', async t => {
  for (const { name, scenario, referenceS } of DETECTIONS) {
    const seconds = Array.from({ length: 101 }, (_, run) => detect(scenario, randomFrom(run + 1)))
    const middle = median(seconds)
    t.ok(Math.abs(middle - referenceS) <= referenceS / 4, `${name}: ${middle} s, reference ${referenceS} s`)
  }
})

t.test('harm that begins after a healthy hour is found nearly as soon as at the beginning', async t => {
  const scenario: Scenario = { perSecond: 100, share: always(0.1), base: always(0.01), risk: index => (index < HOUR ? 1 : 5) }
  const late = Array.from({ length: 21 }, (_, run) => {
    const random = randomFrom(run + 1)
    let state = begin(ERRORS)
    let first: number | null = null
    let mine: number | null = null
    for (let index = 0; mine === null || first === null; index++) {
      state = slice(state, [stratumOf(draw(scenario, index, random))], null)
      if (mine === null && verdict(state).kind === 'harm') mine = (index + 1 - HOUR) * 10
      if (first === null && logMean(state.guards[0]!.logE) >= Math.log(100)) first = (index + 1 - HOUR) * 10
    }
    return { mine, first }
  })
  const mine = median(late.map(each => each.mine))
  const first = median(late.map(each => each.first))
  t.ok(mine <= 80, `${mine} s`)
  t.ok(first >= 2 * mine, `with everything staked at the beginning ${first} s`)
})

t.test('several guards have one alpha together, however they depend on each other', async t => {
  const COUNT = 200
  const guards: ShareGuard[] = ['errors', 'slow', 'timeouts', 'crashes'].map(key => ({ key, role: 'guardrail' }))
  const scenario: Scenario = { perSecond: 20, share: ramp, base: always(0.05), risk: always(1) }
  const harmed = { alike: 0, opposed: 0 }
  for (let run = 0; run < COUNT; run++) {
    const random = randomFrom(run + 1)
    let alike = begin(guards)
    let opposed = begin(guards)
    for (let index = 0; index < 120; index++) {
      const drawn = draw(scenario, index * 3, random)
      const stratum = stratumOf(drawn)
      const others = {
        rising: { ...drawn.rising, bad: drawn.rising.contexts - drawn.rising.bad },
        control: { ...drawn.control, bad: drawn.control.contexts - drawn.control.bad },
      }
      alike = slice(alike, [{ ...stratum, trials: Object.fromEntries(guards.map(({ key }) => [key, drawn])) }], null)
      opposed = slice(
        opposed,
        [{ ...stratum, trials: Object.fromEntries(guards.map(({ key }, i) => [key, i % 2 === 0 ? drawn : others])) }],
        null,
      )
    }
    if (alike.highest.guardrail >= Math.log(10)) harmed.alike++
    if (opposed.highest.guardrail >= Math.log(10)) harmed.opposed++
  }
  for (const [name, count] of Object.entries(harmed)) t.ok(count <= mostOf(COUNT, 0.1), `${name}: ${count} of ${COUNT} at alpha 0.1`)
})

t.test('harm of the size that is to be ruled out is taken for none no more often than beta', async t => {
  const COUNT = 200
  for (const base of [0.01, 0.2]) {
    const scenario: Scenario = { perSecond: 50, share: always(0.25), base: always(base), risk: always(1.5) }
    let cleared = 0
    let clear = 0
    for (let run = 0; run < COUNT; run++) {
      const random = randomFrom(run + 1)
      let harmful = begin(ERRORS)
      let harmless = begin(ERRORS)
      let wasCleared = false
      let isClear = false
      for (let index = 0; index < 120; index++) {
        harmful = slice(harmful, [stratumOf(draw(scenario, index, random))], null)
        harmless = slice(harmless, [stratumOf(draw({ ...scenario, risk: always(1) }, index, random))], null)
        // The level is crossed, not merely stood at.
        wasCleared ||= harmful.guards[0]!.logA >= Math.log(20)
        isClear ||= harmless.guards[0]!.logA >= Math.log(20)
      }
      if (wasCleared) cleared++
      if (isClear) clear++
    }
    t.ok(cleared <= mostOf(COUNT, 0.05), `${base}: ${cleared} of ${COUNT} harmful ones`)
    t.ok(clear > 0.9 * COUNT, `${base}: ${clear} of ${COUNT} harmless ones`)
  }
})

t.test('the interval of the relative risk holds the truth at every look', async t => {
  const COUNT = 100
  for (const [base, risk] of [
    [0.01, 1],
    [0.01, 2.2],
    [0.2, 1],
    [0.2, 0.6],
    [0.05, 10],
  ] as const) {
    const scenario: Scenario = { perSecond: 50, share: ramp, base: always(base), risk: always(risk) }
    let missed = 0
    let width = 0
    for (let run = 0; run < COUNT; run++) {
      const random = randomFrom(run + 1)
      let state = begin(ERRORS)
      let hasMissed = false
      for (let index = 0; index < HOUR; index += 3) {
        state = slice(state, [stratumOf(draw(scenario, index, random))], null)
        if (index % 12 !== 0) continue
        const { low, high } = verdict(state).guards[0]!.relativeRisk
        hasMissed ||= low > risk || (high !== null && high < risk)
        width = (high ?? Infinity) / low
      }
      if (hasMissed) missed++
    }
    t.ok(missed <= mostOf(COUNT, 0.05), `base ${base}, risk ${risk}: missed in ${missed} of ${COUNT}`)
    t.ok(width < 3, `base ${base}, risk ${risk}: at the end the bounds are ${width.toFixed(2)} times apart`)
  }
})

t.test('arms that chance made uneven are never called skewed, and wrong shares and lost outcomes are', async t => {
  // The same accounts come back in every slice: chance has placed each of them once.
  for (let run = 0; run < 60; run++) {
    const random = randomFrom(run + 1)
    const accounts = run % 2 === 0 ? 40 : 400
    const treated = binomial(random, accounts, 0.1)
    let state = begin(ERRORS)
    for (let index = 0; index < HOUR; index++) {
      const seen = { rising: binomial(random, treated, 0.6), control: binomial(random, accounts - treated, 0.6) }
      state = slice(state, [{ trials: {}, seen }], 0.1)
    }
    const { share } = verdict(state)
    if (share.kind !== 'as-configured') t.fail(`${treated} of ${accounts} accounts: ${JSON.stringify(share)}`)
  }
  const after = (count: number, stratum: Stratum, healthy = 60): string => {
    let state = begin(ERRORS)
    for (let index = 0; index < healthy; index++) state = slice(state, [{ trials: {}, seen: { rising: 100, control: 900 } }], 0.1)
    for (let index = 0; index < count; index++) state = slice(state, [stratum], 0.1)
    const { kind, share } = verdict(state)
    return `${kind} ${share.kind}`
  }
  t.equal(after(0, { trials: {}, seen: { rising: 100, control: 900 } }), 'undecided as-configured')
  t.equal(after(6, { trials: {}, seen: { rising: 200, control: 800 } }), 'skewed too-many')
  t.equal(after(6, { trials: {}, seen: { rising: 15, control: 985 } }), 'skewed too-few')
  t.equal(after(6, { trials: {}, seen: { rising: 100, control: 900 }, succeeded: { rising: 5, control: 890 } }), 'skewed lost')
})

t.test('an arm that says nothing is no health', async t => {
  const healthy = fed(
    begin(ERRORS),
    Array.from({ length: 300 }, () => arms(500, 5, 500, 5)),
  )
  t.equal(verdict(healthy).kind, 'clear')
  const silent = fed(
    healthy,
    Array.from({ length: 6 }, () => arms(0, 0, 500, 5)),
  )
  t.match(verdict(silent), { kind: 'no-data', silent: ['rising'] })
  const dark = Array.from({ length: 6 }).reduce<StatisticsState>(before => slice(before, [], 0.5), healthy)
  t.match(verdict(dark), { kind: 'no-data', silent: ['rising', 'control'] })
  t.equal(verdict(fed(dark, [arms(500, 5, 500, 5)])).kind, 'clear', 'until it speaks again')
  t.equal(verdict(step(dark)).kind, 'undecided', 'a new step has its own time')
})

t.test('slices with one arm alone, or without a bad outcome, prove nothing', async t => {
  const before = fed(begin(ERRORS), [arms(100, 3, 900, 9)])
  const after = fed(before, [arms(0, 0, 900, 9), arms(100, 90, 0, 0), arms(100, 0, 900, 0), arms(0, 0, 0, 0)])
  t.same(after.guards[0]?.logE, before.guards[0]?.logE)
  t.equal(verdict(after).logE, verdict(before).logE)
})

t.test('services are compared within themselves', async t => {
  // One fails ten times as often as the other and has most of the rising variation; neither has harm.
  const strata = (): Stratum[] => [stratumOf(arms(90, 18, 10, 2)), stratumOf(arms(10, 0, 990, 20))]
  let apart = begin(ERRORS)
  let added = begin(ERRORS)
  for (let index = 0; index < 30; index++) {
    apart = slice(apart, strata(), null)
    added = slice(added, [stratumOf(arms(100, 18, 1_000, 22))], null)
  }
  t.not(verdict(apart).kind, 'harm')
  t.equal(verdict(added).kind, 'harm', 'added up they would be')
})

t.test('harm stays, evidence for advancing is that of the step, signals hold, dry runs only say', async t => {
  const guards: ShareGuard[] = [...ERRORS, { key: 'slow', role: 'signal' }, { key: 'other', role: 'dry-run' }]
  const with_ = (errors: Arms<Trials>, slow: Arms<Trials>, other: Arms<Trials>): Stratum => ({
    ...stratumOf(errors),
    trials: { errors, slow, other },
  })
  const [fine, bad] = [arms(500, 5, 500, 5), arms(500, 60, 500, 5)]
  const repeated = (state: StatisticsState, stratum: Stratum, count: number): StatisticsState =>
    Array.from({ length: count }).reduce<StatisticsState>(before => slice(before, [stratum], null), state)
  const dry = repeated(begin(guards), with_(fine, fine, bad), 300)
  t.match(verdict(dry), { kind: 'clear', guards: [{ isHarm: false }, { isHarm: false }, { key: 'other', role: 'dry-run', isHarm: true }] })
  t.equal(verdict(step(dry)).kind, 'undecided', 'the next step has to be cleared by itself')
  const held = repeated(dry, with_(fine, bad, fine), 10)
  t.equal(verdict(held).kind, 'signal')
  const harmed = repeated(held, with_(bad, fine, fine), 20)
  t.match(verdict(harmed), { kind: 'harm', guards: [{ key: 'errors', isHarm: true, p: Number }] })
  t.ok(verdict(harmed).guards[0]!.p < 0.01)
  t.equal(verdict(step(repeated(harmed, with_(fine, fine, fine), 3_000))).kind, 'harm', 'however healthy it looks later')
})

t.test('a share held against a number is harm when it is larger, and clear when it is not', async t => {
  const COUNT = 100
  const guards: ShareGuard[] = [{ key: 'mismatch', role: 'guardrail', maxShare: 0.01 }]
  const run = (rate: number, seed: number): StatisticsState => {
    const random = randomFrom(seed)
    let state = begin(guards)
    for (let index = 0; index < 200; index++) {
      const mismatch = { rising: { contexts: 200, bad: binomial(random, 200, rate) }, control: { contexts: 0, bad: 0 } }
      state = slice(state, [{ trials: { mismatch }, seen: { rising: 200, control: 200 } }], null)
    }
    return state
  }
  let harmed = 0
  for (let seed = 1; seed <= COUNT; seed++) if (run(0.01, seed).highest.guardrail >= Math.log(10)) harmed++
  t.ok(harmed <= mostOf(COUNT, 0.1), `${harmed} of ${COUNT} at alpha 0.1`)
  t.equal(verdict(run(0.03, 1)).kind, 'harm')
  t.equal(verdict(run(0.005, 1)).kind, 'clear')
})

t.test('the state goes through a restart as it is, and one of another version is not taken', async t => {
  const state = fed(begin(ERRORS), [arms(100, 3, 900, 9), arms(120, 2, 880, 7)], 0.1)
  const stored: unknown = JSON.parse(JSON.stringify(state))
  t.same(revive(stored), state)
  t.same(verdict(revive(stored)!), verdict(state))
  t.ok(JSON.stringify(state).length < 3_000, 'and is small')
  t.equal(revive({ ...state, version: 0 }), null)
  t.equal(revive(null), null)
  const frozen = JSON.stringify(state)
  slice(state, [stratumOf(arms(10, 1, 10, 1))], 0.1)
  step(state)
  t.equal(JSON.stringify(state), frozen, 'nothing is changed in place')
})
