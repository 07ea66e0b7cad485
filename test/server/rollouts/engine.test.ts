import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Flag } from '../../../schemas/flag.ts'
import type { Plan, PlanInput, PlanStepInput } from '../../../schemas/plan.ts'
import { decide, NOTHING_SEEN, type Seen } from '../../../server/rollouts/engine.ts'
import { makePlan } from '../../../server/rollouts/make.ts'
import { isLast, servedAt } from '../../../server/rollouts/serve.ts'
import { advanced, completed, held, resumed, reverted, started } from '../../../server/rollouts/transitions.ts'
import { evaluate } from '../../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../../sdk/evaluator/prepare.ts'
import { runs } from '../../runs.ts'

const NOW = Date.parse('2026-11-21T03:00:00.000Z')

const flagWith = (parts: Partial<Flag>): Flag => ({
  key: 'new-ledger',
  kind: 'release',
  variations: [
    { key: 'on', value: true },
    { key: 'off', value: false },
  ],
  seed: 17,
  version: 1,
  enabled: true,
  offVariation: 'off',
  prerequisites: [],
  targets: [],
  rules: [{ id: 'r1', clauses: [{ attribute: 'plan', op: 'in', values: ['beta'] }], serve: { variation: 'off' } }],
  fallthrough: { variation: 'off' },
  kills: [],
  ...parts,
})

const stepInput = (gates: readonly ('time' | 'approval' | 'evidence')[]) =>
  fc.record({ holdMs: fc.integer({ min: 0, max: 10_000 }), minExposures: fc.constantFrom(0, 0, 0, 50), gate: fc.constantFrom(...gates) })

/** Plans of one to eight steps that grow. */
const inputs = (gates: readonly ('time' | 'approval' | 'evidence')[] = ['time', 'time', 'approval', 'evidence']) =>
  fc
    .record({
      steps: fc.array(stepInput(gates), { minLength: 1, maxLength: 8 }),
      guarded: fc.boolean(),
      rule: fc.constantFrom(null, 'r1'),
      by: fc.constantFrom(undefined, '/account/id'),
    })
    .map(({ steps, guarded, rule, by }): PlanInput => {
      const needs = guarded || steps.some(step => step.gate === 'evidence')
      return {
        steps: steps.map((step, i): PlanStepInput => ({ ...step, percent: Math.round(((i + 1) * 100_000) / steps.length) / 1_000 })),
        ...(rule === null ? {} : { rule }),
        ...(by === undefined ? {} : { by }),
        guards: needs ? [{ type: 'errorShare' }] : [],
      }
    })

function made(flag: Flag, input: PlanInput): Plan {
  const { plan, problems } = makePlan(flag, input, 'p_1')
  if (plan === null) throw new Error(JSON.stringify(problems))
  return plan
}

/** A run of a plan: what the world does in turn, and what came of it. */
interface Step {
  readonly ms: number
  readonly seen: Seen
  readonly approves: boolean
}

const seens: fc.Arbitrary<Seen> = fc.record({
  exposures: fc.constantFrom(0, 10, 100, 1_000),
  quietMs: fc.constantFrom(
    { rising: null, control: null },
    { rising: 0, control: 0 },
    { rising: 0, control: null },
    { rising: 600_000, control: 0 },
  ),
  fired: fc.constant([]),
  skewed: fc.constantFrom(null, null, null, 'skewed'),
  blind: fc.constantFrom(null, null, null, 'blind'),
  unsettled: fc.constantFrom(null, null, null, 'not looked at'),
  isClear: fc.boolean(),
  text: fc.constant(''),
})
const world = fc.array(fc.record({ ms: fc.integer({ min: 0, max: 20_000 }), seen: seens, approves: fc.boolean() }), { maxLength: 40 })

/** Carries a plan out as the service does, and tells of every step that was left. */
function carry(
  plan: Plan,
  flag: Flag,
  steps: readonly Step[],
  onLeave: (from: Plan, to: number, seen: Seen, inStepMs: number) => void,
): { plan: Plan; flag: Flag } {
  let now = NOW
  let since = NOW
  let current = { plan, flag }
  for (const { ms, seen, approves } of steps) {
    now += ms
    if (approves && current.plan.state === 'running' && current.plan.step !== null)
      current = { ...current, plan: { ...current.plan, approvals: [{ step: current.plan.step, by: 'dana', at: '' }] } }
    for (let i = 0; i < 20; i++) {
      const inStepMs = current.plan.state === 'held' ? current.plan.spentMs : current.plan.spentMs + now - since
      const { action } = decide(current.plan, current.flag, i === 0 ? seen : { ...NOTHING_SEEN }, { now, inStepMs })
      if (action.kind === 'nothing') break
      const from = current.plan
      if (action.kind === 'advance') {
        onLeave(from, action.to, i === 0 ? seen : NOTHING_SEEN, inStepMs)
        const next = advanced(from, current.flag, action.to, now, '')
        current = { plan: next.plan, flag: next.flag ?? current.flag }
        since = now
      } else if (action.kind === 'complete') {
        onLeave(from, from.steps.length, i === 0 ? seen : NOTHING_SEEN, inStepMs)
        const next = completed(from, current.flag, now, '')
        current = { plan: next.plan, flag: next.flag ?? current.flag }
      } else if (action.kind === 'hold') {
        current = { ...current, plan: held(from, { ...action, by: 'rollout', now, inStepMs }).plan }
      } else if (action.kind === 'resume') {
        const next = resumed(from, current.flag, now, '')
        current = { plan: next.plan, flag: next.flag ?? current.flag }
        since = now
      } else throw new Error(`unexpected ${action.kind}`)
    }
  }
  return current
}

/** What holds in every run: an assertion each would drown the others. */
function must(is: boolean, what: string): void {
  if (!is) throw new Error(`not so: ${what}`)
}

t.test(
  'no step is left before its time, without its approval, its exposures or its data, and none with a gate or guard is passed over',
  async () => {
    fc.assert(
      fc.property(inputs(), world, (input, steps) => {
        const flag = flagWith({})
        const first = started(made(flag, input), flag, NOW)
        carry(first.plan, first.flag!, steps, (from, to, seen, inStepMs) => {
          const index = from.step!
          const step = from.steps[index]!
          const early = step.gate === 'evidence' && seen.isClear
          must(inStepMs >= step.holdMs || early, 'its time')
          must(seen.exposures >= step.minExposures, 'its exposures')
          must(step.gate !== 'approval' || from.approvals.some(each => each.step === index), 'its approval')
          must(seen.skewed === null, 'its share')
          must(seen.blind === null && seen.unsettled === null, 'its limits')
          must(early || from.guards.length === 0 || seen.quietMs.rising !== null, 'its data')
          for (const passed of from.steps.slice(index + 1, to)) {
            must(passed.gate === 'time' && passed.minExposures === 0 && from.guards.length === 0, 'passed over')
          }
        })
      }),
      runs(300),
    )
  },
)

t.test('a turn back restores what stood exactly, from wherever the plan has come to, whatever else was edited meanwhile', async () => {
  fc.assert(
    fc.property(inputs(), world, fc.boolean(), fc.boolean(), (input, steps, enabled, isSplit) => {
      const split = {
        rollout: {
          seed: 4,
          by: '/account/id',
          weights: [
            { variation: 'off', weight: 99_500 },
            { variation: 'on', weight: 500 },
          ],
        },
      }
      const before = flagWith({ enabled, ...(isSplit && input.rule === undefined ? { fallthrough: split } : {}) })
      const first = started(made(before, { ...input, ...(isSplit && input.rule === undefined ? { by: '/account/id' } : {}) }), before, NOW)
      const { plan, flag } = carry(first.plan, first.flag!, steps, () => undefined)
      if (plan.state === 'completed') return
      const edited = { ...flag, targets: [{ values: ['vip'], variation: 'on' }] }
      const back = reverted(plan, edited, { by: 'dana', text: '', guard: null, numbers: null, now: NOW })
      assert.deepStrictEqual(back.flag, { ...before, targets: edited.targets })
    }),
    runs(200),
  )
})

t.test('whoever is moved stays moved: each step serves the variation to all whom the step before did', async () => {
  const contexts = Array.from({ length: 400 }, (_, i) => ({ targetingKey: `c-${i}`, account: { id: `a-${i % 97}` } }))
  fc.assert(
    fc.property(inputs(['time']), fc.boolean(), (input, isControlFirst) => {
      const weights = [
        { variation: 'on', weight: 500 },
        { variation: 'off', weight: 99_500 },
      ]
      const fallthrough = { rollout: { weights: isControlFirst ? weights.reverse() : weights } }
      const { rule: _rule, by: _by, ...rest } = input
      const flag = flagWith({ fallthrough })
      let current = started(made(flag, { ...rest, guards: [] }), flag, NOW)
      const reached = (document: Flag): Set<string> => {
        const prepared = prepare({ flags: [document], segments: [] }, 1)
        return new Set(
          contexts.filter(context => evaluate(prepared, 'new-ledger', context).value === true).map(context => context.targetingKey),
        )
      }
      let last = reached(flag)
      for (;;) {
        const now = reached(current.flag!)
        for (const key of last) must(now.has(key), key)
        last = now
        if (isLast(current.plan, current.plan.step!)) break
        current = advanced(current.plan, current.flag!, current.plan.step! + 1, NOW, '')
      }
    }),
    runs(40),
  )
})

t.test('asked again on what it has done, a plan does nothing more', async () => {
  fc.assert(
    fc.property(inputs(), world, (input, steps) => {
      const flag = flagWith({})
      const first = started(made(flag, input), flag, NOW)
      const { plan, flag: after } = carry(first.plan, first.flag!, steps, () => undefined)
      if (plan.state === 'completed') return
      assert.deepStrictEqual(servedAt(after, plan.rule), plan.serving)
      const { action } = decide(plan, after, { ...NOTHING_SEEN, exposures: 0 }, { now: NOW, inStepMs: 0 })
      const waits = plan.steps[plan.step!]!.holdMs > 0
      must(!waits || action.kind === 'nothing', 'nothing more')
    }),
    runs(200),
  )
})

t.test('what a person did is never undone: a plan whose place somebody edited is held and stays so', async () => {
  fc.assert(
    fc.property(inputs(), world, world, (input, before, after) => {
      const flag = flagWith({})
      const first = started(made(flag, input), flag, NOW)
      const { plan, flag: standing } = carry(first.plan, first.flag!, before, () => undefined)
      if (plan.state === 'completed') return
      const mine = {
        rollout: {
          weights: [
            { variation: 'on', weight: 777 },
            { variation: 'off', weight: 99_223 },
          ],
        },
      }
      const edited =
        plan.rule === null
          ? { ...standing, fallthrough: mine }
          : { ...standing, rules: standing.rules.map(rule => ({ ...rule, serve: mine })) }
      const left = carry(plan, edited, [{ ms: 0, seen: NOTHING_SEEN, approves: false }, ...after], () => must(false, 'it went on'))
      must(left.plan.state === 'held', 'it is held')
      assert.deepStrictEqual(servedAt(left.flag, plan.rule), mine)
    }),
    runs(150),
  )
})
