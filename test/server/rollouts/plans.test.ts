import t from 'tap'
import { SLICE_MS } from '../../../schemas/protocol.ts'
import { manualClock } from '../../clock.ts'
import { LOG, MINUTE_MS, scene, shareOn } from './scene.ts'

const STEPS = [{ percent: 1, holdMs: 5 * MINUTE_MS }, { percent: 25, holdMs: 10 * MINUTE_MS }, { percent: 100 }]

t.test('a plan takes its steps when their time has come, each in one entry with the flag', async t => {
  const { make, pass, plan, flag, entries } = await scene(t)
  const made = await make({ steps: STEPS, bakeMs: MINUTE_MS, comment: 'the new ledger' })
  t.equal(made.status, 201)
  t.match(made.body, {
    plan: { state: 'running', step: 0 },
    outlook: { what: 'advance', inMs: 5 * MINUTE_MS },
    flag: { key: 'new-ledger' },
  })
  t.equal(shareOn(flag()), 1)
  await pass(5 * MINUTE_MS - 1)
  t.equal(plan().step, 0)
  await pass(1)
  t.equal(shareOn(flag()), 25)
  await pass(10 * MINUTE_MS)
  t.equal(shareOn(flag()), 98, 'a little stays with the control while the last step is watched')
  await pass(MINUTE_MS)
  t.match(plan(), { state: 'completed' })
  t.same(flag().fallthrough, { variation: 'on' })
  t.same(
    (await entries()).map(({ action, edits }) => [action, edits.map(edit => edit.type)]),
    [
      ['rollout.start', ['flag', 'plan']],
      ['rollout.advance', ['flag', 'plan']],
      ['rollout.advance', ['flag', 'plan']],
      ['rollout.complete', ['flag', 'plan']],
    ],
  )
  t.match((await entries())[1], { actor: { kind: 'system', id: 'rollout' }, comment: /on 1 % → on 25 %, after 5 min/ })
})

t.test('a wall clock that jumps ends no step early and keeps none for ever', async t => {
  const { make, pass, plan, clock } = await scene(t)
  await make({ steps: STEPS })
  clock.jump(24 * 60 * MINUTE_MS)
  await pass(MINUTE_MS)
  t.equal(plan().step, 0)
  clock.jump(-48 * 60 * MINUTE_MS)
  await pass(4 * MINUTE_MS - 1)
  t.equal(plan().step, 0)
  await pass(1)
  t.equal(plan().step, 1)
})

t.test('steps missed while the server was down are one entry, which stops at an approval', async t => {
  const { make, pass, plan, flag, server, entries, until, act } = await scene(t)
  await make({
    steps: [
      { percent: 1, holdMs: MINUTE_MS },
      { percent: 5, holdMs: MINUTE_MS },
      { percent: 10, holdMs: MINUTE_MS },
      { percent: 25, holdMs: MINUTE_MS, gate: 'approval' },
      { percent: 50, holdMs: MINUTE_MS },
      { percent: 100 },
    ],
  })
  await server.close()
  const clock = manualClock(Date.parse('2026-11-21T09:00:00.000Z'))
  await server.restart({ clock })
  await until(() => plan().step !== 0)
  t.match(plan(), { state: 'running', step: 3 })
  t.equal(shareOn(flag()), 25)
  t.equal((await entries()).filter(({ action }) => action === 'rollout.advance').length, 1)
  t.match((await entries()).at(-1)?.comment, /2 steps missed meanwhile folded/)
  clock.advance(60 * MINUTE_MS)
  await pass(0)
  t.equal(plan().step, 3, 'nobody has approved it')
  t.match((await act('approve')).body.plan.approvals, [{ step: 3 }])
  await until(() => plan().step === 4)
})

t.test('guards turn back what does harm: what stood stands exactly, it is locked, and the entry says what was seen', async t => {
  const { make, slices, report, plan, flag, entries, act, until, server } = await scene(t)
  const before = flag()
  await make({ steps: [{ percent: 10, holdMs: 60 * MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }] })
  await slices(12, () => {
    report('on', 100, 10)
    report('off', 900, 9)
  })
  await until(() => plan().state === 'reverted')
  t.same({ ...flag(), version: 0 }, { ...before, version: 0 })
  const revert = (await entries()).find(({ action }) => action === 'rollout.revert')
  t.match(revert, {
    actor: { kind: 'system', id: 'rollout' },
    comment: /errorShare: failed .* of .* contexts with it, .* without, .* times as often \(between .*e-value/,
  })
  t.match(plan().reverted, { guard: 'errorShare', numbers: { risingBad: Number, relativeRiskLow: Number } })
  t.same(
    (await entries()).map(({ action }) => action),
    ['rollout.start', 'rollout.revert', 'rollout.settle'],
  )

  t.equal((await make({ preset: 'fast' })).body.code, 'PLAN_LOCKED')
  t.equal((await act('resume')).body.code, 'PLAN_LOCKED')
  t.equal((await act('clear')).status, 200)
  const again = await act('resume')
  t.match(again.body.plan, { state: 'running', step: 0 })
  t.equal(flag().seed, before.seed)
  t.equal(await server.services.rollouts.revert(LOG, 'nothing', { actor: { kind: 'system', id: 'trigger', name: 'x' }, comment: '' }), null)
})

t.test('what guards have seen goes through a restart', async t => {
  const { make, slices, report, plan, server, until } = await scene(t)
  await make({ steps: [{ percent: 10, holdMs: 60 * MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }] })
  await slices(3, () => {
    report('on', 100, 4)
    report('off', 900, 18)
  })
  const read = async () => (await server.call('GET', '/api/v1/projects/default/environments/development/rollouts/new-ledger/evidence')).body
  const before = await read()
  t.equal(before.slices, 3)
  t.ok(before.logE > 0)
  t.ok(before.line > before.logE)
  t.match(before, { guards: [{ id: 'errorShare', state: 'watching' }], share: { kind: 'as-configured' }, detectable: { text: /×/ } })
  await server.restart()
  const after = await read()
  t.equal(after.logE, before.logE)
  t.same(after.series, before.series)
  await slices(20, () => {
    report('on', 100, 8)
    report('off', 900, 18)
  })
  await until(() => plan().state === 'reverted')
})

t.test('a step with a guard stands for its time watched: what passed while the server was down does not count', async t => {
  const { make, slices, report, plan, server, quiet } = await scene(t)
  const speak = () => {
    report('on', 100, 1)
    report('off', 900, 9)
  }
  await make({ steps: [{ percent: 10, holdMs: 2 * MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }], bakeMs: MINUTE_MS })
  await slices(6, speak)
  const clock = manualClock(Date.parse('2026-11-21T09:00:00.000Z'))
  await server.restart({ clock })
  const pass = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      speak()
      clock.advance(SLICE_MS)
      await quiet()
    }
  }
  await pass(5)
  t.match(plan(), { state: 'running', step: 0 }, 'a minute before, and less than one after')
  await pass(2)
  t.match(plan(), { state: 'running', step: 1 })
  // The step is young: nothing of it is stored yet.
  const later = manualClock(Date.parse('2026-11-21T15:00:00.000Z'))
  await server.restart({ clock: later })
  await quiet()
  t.match(plan(), { state: 'running', step: 1 }, 'and it is not held for want of data that could not come')
})

t.test('a step whose guard hears nothing is held when its time has come, and goes on by itself when there is data', async t => {
  const { make, slices, report, plan, entries } = await scene(t)
  await make({ steps: [{ percent: 10, holdMs: 2 * MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }], bakeMs: MINUTE_MS })
  await slices(13, () => undefined)
  t.match(plan(), { state: 'held', step: 0, held: { cause: 'no-data' } })
  await slices(2, () => {
    report('on', 10, 0)
    report('off', 90, 1)
  })
  t.match(plan(), { state: 'running', step: 0 })
  await slices(12, () => {
    report('on', 10, 0)
    report('off', 90, 1)
  })
  t.match(plan(), { state: 'running', step: 1 })
  t.same(
    (await entries()).map(({ action }) => action),
    ['rollout.start', 'rollout.hold', 'rollout.resume', 'rollout.advance'],
  )
})

t.test('a step that stands shorter than a slice waits for the first outcomes, and is not held', async t => {
  const { make, slices, report, plan, entries } = await scene(t)
  const guards = [{ type: 'errorShare' }]
  const made = await make({ steps: [{ percent: 10 }, { percent: 50, holdMs: MINUTE_MS }, { percent: 100 }], guards })
  t.match(made.body, { plan: { state: 'running', step: 0 }, outlook: { what: 'data' } })
  for (let n = 0; n < 30 && plan().state !== 'completed'; n++) {
    await slices(1, () => {
      const share = 'rollout' in (plan().serving ?? {}) ? (plan().steps[plan().step ?? 0]?.percent ?? 0) : 100
      report('on', 10 * share, share / 10)
      report('off', 10 * (100 - share), (100 - share) / 10)
    })
  }
  t.same(
    (await entries()).map(({ action }) => action),
    ['rollout.start', 'rollout.advance', 'rollout.advance', 'rollout.complete'],
  )
})

t.test('of a migration what callers got counts, and the side that answered is not counted once more', async t => {
  const { make, slices, report, server } = await scene(t)
  await make({ steps: [{ percent: 10, holdMs: 60 * MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }] })
  await slices(3, () => {
    for (const side of [undefined, 'old', 'new']) {
      report('on', 100, 1, side)
      report('off', 900, 9, side)
    }
  })
  const { body } = await server.call('GET', '/api/v1/projects/default/environments/development/rollouts/new-ledger/evidence')
  t.match(body.guards[0], { rising: { contexts: 300, bad: 3 }, control: { contexts: 2_700, bad: 27 } })
})

t.test('a share that is not what was set holds, and never advances', async t => {
  const { make, slices, report, plan } = await scene(t)
  await make({ steps: [{ percent: 10, holdMs: MINUTE_MS }, { percent: 100 }], guards: [{ type: 'errorShare' }] })
  await slices(8, () => {
    report('on', 300, 3)
    report('off', 700, 7)
  })
  t.match(plan(), { state: 'held', held: { cause: 'sample-ratio', text: /should/ } })
})

t.test('evidence that there is no harm lets a step be left before its time', async t => {
  const { make, slices, report, plan, entries } = await scene(t)
  await make({
    steps: [{ percent: 50, holdMs: 60 * MINUTE_MS, gate: 'evidence' }, { percent: 100 }],
    guards: [{ type: 'errorShare' }],
    bakeMs: MINUTE_MS,
  })
  await slices(40, () => {
    report('on', 500, 10)
    report('off', 500, 10)
  })
  t.equal(plan().step, 1)
  t.match((await entries())[1]?.comment, /evidence rules out harm/)
})

t.test('where errors are too few, time and exposures let it go on, and the entry says so', async t => {
  const { make, slices, report, plan, entries } = await scene(t)
  await make({
    steps: [{ percent: 50, holdMs: 2 * MINUTE_MS, gate: 'evidence', minExposures: 200 }, { percent: 100 }],
    guards: [{ type: 'errorShare' }],
    bakeMs: MINUTE_MS,
  })
  await slices(13, () => {
    report('on', 10, 0)
    report('off', 10, 0)
  })
  t.equal(plan().step, 0, 'too few exposures')
  await slices(10, () => {
    report('on', 10, 0)
    report('off', 10, 0)
  })
  t.equal(plan().step, 1)
  t.match((await entries())[1]?.comment, /too few errors to rule out harm/)
})

t.test('a kill, an edit of what it governs and switching off hold the plan, other edits do not', async t => {
  const { make, plan, flag, server, act, pass, until } = await scene(t)
  const path = '/api/v1/projects/default/environments/development/flags/new-ledger'
  await make({ steps: STEPS })
  await server.call('PATCH', path, { targets: [{ values: ['vip'], variation: 'off' }] })
  await pass(0)
  t.equal(plan().state, 'running')

  const killed = await server.call('POST', `${path}/kills`, { reason: 'double charges' })
  await until(() => plan().state === 'held')
  t.match(plan().held, { cause: 'killed', text: /double charges/ })
  t.equal((await act('resume')).body.code, 'PLAN_STATE')
  await server.call('DELETE', `${path}/kills/${killed.body.kill.id}`)
  t.match((await act('resume')).body.plan.state, 'running')

  await server.call('PATCH', path, { fallthrough: { variation: 'off' } })
  await until(() => plan().state === 'held')
  t.equal(plan().held?.cause, 'edited')
  await pass(60 * MINUTE_MS)
  t.same(flag().fallthrough, { variation: 'off' }, 'it stays as somebody left it')
  t.equal((await act('revert')).body.code, 'PLAN_CONFLICT')
  t.match((await act('cancel', { comment: 'done by hand' })).body.plan.state, 'cancelled')
  t.same(flag().fallthrough, { variation: 'off' })

  t.equal((await make({ steps: STEPS })).status, 201)
  await server.call('PATCH', path, { enabled: false })
  await until(() => plan().state === 'held')
  t.equal(plan().held?.cause, 'off')
  t.equal((await act('revert')).status, 200)
  t.equal(flag().enabled, false)
})

t.test('a flag that is off is switched on by the first step, and off again by a revert', async t => {
  const { server, plan, until } = await scene(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'fresh', kind: 'release' })
  const path = '/api/v1/projects/default/environments/development'
  const before = (await server.call('GET', `${path}/flags/fresh`)).body
  t.equal((await server.call('POST', `${path}/rollouts/fresh`, { preset: 'fast' })).status, 201)
  t.match((await server.call('GET', `${path}/flags/fresh`)).body, {
    enabled: true,
    fallthrough: {
      rollout: {
        weights: [
          { variation: 'on', weight: 1_000 },
          { variation: 'off', weight: 99_000 },
        ],
      },
    },
  })
  t.equal((await server.call('POST', `${path}/rollouts/fresh/revert`)).status, 200)
  const after = (await server.call('GET', `${path}/flags/fresh`)).body
  t.same({ ...after, version: 0 }, { ...before, version: 0 })
  t.equal(plan(), undefined)
  await until(() => server.services.log.state(LOG).documents.plan.get('fresh')?.state === 'reverted')
})

t.test('a plan that cannot be is refused with every place', async t => {
  const { make, server, plan } = await scene(t)
  const codes = async (input: object): Promise<unknown> =>
    (await make(input)).body.details.map((each: { path: string; code: string }) => `${each.path} ${each.code}`)
  t.same(await codes({ steps: [{ percent: 5 }, { percent: 5 }] }), ['steps[1].percent not_growing'])
  t.same(await codes({ steps: [{ percent: 5 }], variation: 'nothing' }), ['variation unknown_variation'])
  t.same(await codes({ steps: [{ percent: 5 }], rule: 'r9' }), ['rule unknown_rule'])
  t.same(await codes({ steps: [{ percent: 5, gate: 'evidence' }] }), ['steps[0].gate no_guard'])
  t.same(await codes({ steps: [{ percent: 5 }], variation: 'off' }), ['control same', 'variation served_already'])
  t.equal((await make({ preset: 'fast', steps: [{ percent: 1 }] })).body.code, 'INVALID_REQUEST')
  t.match(
    (await server.call('POST', '/api/v1/projects/default/environments/development/rollouts/new-ledger?dryRun=true', { preset: 'standard' }))
      .body,
    {
      dryRun: true,
      plan: { steps: { length: 6 } },
    },
  )
  t.equal(plan(), undefined)
})
