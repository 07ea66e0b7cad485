import t, { type Test } from 'tap'
import type { Kill } from '../../../schemas/kill.ts'
import { alertOf, LOG } from './alerts.ts'
import { openWorld, type World } from './open.ts'

const ANDROID = [{ attribute: '/device/os', op: 'in', values: ['android'] }]
const KILL = {
  key: 'checkout-5xx',
  when: { hooks: ['am'], labels: [{ label: 'service', values: ['checkout'] }], severity: 'error' },
  do: { action: 'kill', flags: ['checkout'], clauses: ANDROID },
}
const STEPS = {
  key: 'ledger-slow',
  when: { hooks: ['am'] },
  do: { action: 'set-percentage', flag: 'ledger', variation: 'on', percents: [50, 10, 0] },
  coolDownMs: 60_000,
}

async function begin(t: Test, ...triggers: readonly object[]): Promise<World> {
  const world = await openWorld(t)
  await world.call('POST', '/flags', { key: 'checkout', kind: 'kill-switch', tags: ['payments'] })
  await world.call('POST', '/flags', { key: 'ledger', kind: 'release', enabled: true, fallthrough: { variation: 'on' } })
  for (const trigger of triggers) await world.call('POST', '/triggers', trigger)
  return world
}

/** An alert as it stands now. */
const now = (world: World, fields: Parameters<typeof alertOf>[0] | object = {}) => alertOf({ at: world.clock.now(), ...fields })
const resolved = (world: World, fields: object = {}) => now(world, { status: 'resolved', ...fields })
const shareOn = (world: World): number => {
  const { fallthrough } = world.flag('ledger')
  if ('variation' in fallthrough) return fallthrough.variation === 'on' ? 100_000 : 0
  return fallthrough.rollout.weights.find(({ variation }) => variation === 'on')?.weight ?? 0
}

t.test('an alert kills the flag for whom the trigger says, in one entry that names both', async t => {
  const world = await begin(t, KILL)
  const before = world.revision()
  await world.alerts.tell([now(world)])
  const flag = world.flag('checkout')
  t.match(flag.kills, [{ variation: 'off', clauses: ANDROID, actor: 'trigger "checkout-5xx"', until: null }])
  t.match(flag.kills[0]?.reason, /alert "High 5xx rate" \(critical\) from am/)
  t.strictSame(await world.actions(before), ['trigger.fire'])
  const change = await world.server.services.log.change(LOG, before + 1)
  t.strictSame(change.edits.map(edit => `${edit.type} ${edit.key}`).sort(), ['flag checkout', 'trigger checkout-5xx'])
  t.match(change.comment, /killed checkout for the contexts .*checkout-5xx.*High 5xx rate.*https:\/\/graphs\.example\.com/)
  t.strictSame(change.actor, { kind: 'system', id: 'trigger', name: 'trigger "checkout-5xx"' })
  const shown = await world.call('GET', '/triggers/checkout-5xx')
  t.match(shown, {
    standing: ['checkout'],
    undo: 'sluice triggers restore checkout-5xx -e production',
    tripped: { revisions: [before + 1] },
  })
})

t.test('an alert that is not meant changes nothing', async t => {
  const world = await begin(t, KILL)
  const before = world.revision()
  await world.alerts.tell([
    now(world, { dedupKey: 'label', labels: { service: 'search' } }),
    now(world, { dedupKey: 'none', labels: {} }),
    now(world, { dedupKey: 'severity', severity: 'warning' }),
    now(world, { dedupKey: 'hook', hook: 'other' }),
    now(world, { dedupKey: 'info', status: 'info' }),
    now(world, { dedupKey: 'resolved', status: 'resolved' }),
  ])
  t.equal(world.revision(), before)
  t.strictSame(world.notices, [])
})

t.test('a storm of a thousand alerts is one entry, and counted', async t => {
  const world = await begin(t, KILL)
  const before = world.revision()
  const storm = Array.from({ length: 1_000 }, (_, i) => now(world, { dedupKey: String(i) }))
  for (let i = 0; i < storm.length; i += 100) {
    await world.alerts.tell(storm.slice(i, i + 100))
    await world.advance(6_000)
  }
  await world.advance(3_600_000)
  t.strictSame(await world.actions(before), ['trigger.fire'])
  t.strictSame(world.notices, [], 'the entry is what people hear of')
  const { activity } = await world.call('GET', '/triggers/checkout-5xx')
  t.equal(activity.alerts, 1_000)
  t.equal(activity.outcomes.acted, 1)
  t.ok(activity.outcomes.coalesced >= 999, String(activity.outcomes.coalesced))
})

t.test('nothing is put back when the alert is resolved, unless the trigger says so', async t => {
  const world = await begin(t, KILL)
  await world.alerts.tell([now(world)])
  const after = world.revision()
  await world.alerts.tell([resolved(world)])
  await world.advance(3_600_000)
  t.equal(world.revision(), after)
  t.equal(world.flag('checkout').kills.length, 1)
})

t.test('with restore, exactly what stood is back once all its alerts are resolved', async t => {
  const world = await begin(t, { ...KILL, onResolve: 'restore' })
  const person = await world.call('POST', '/flags/checkout/kills', {
    reason: 'by hand',
    clauses: [{ attribute: 'plan', op: 'in', values: ['free'] }],
  })
  const before = world.flag('checkout')
  await world.alerts.tell([now(world), now(world, { dedupKey: 'two' })])
  t.equal(world.flag('checkout').kills.length, 2)
  await world.alerts.tell([resolved(world)])
  t.equal(world.flag('checkout').kills.length, 2, 'one still fires')
  const fired = world.revision()
  await world.alerts.tell([resolved(world, { dedupKey: 'two' })])
  t.strictSame({ ...world.flag('checkout'), version: 0 }, { ...before, version: 0 })
  t.strictSame(
    world.flag('checkout').kills.map((kill: Kill) => kill.id),
    [person.kill.id],
    'the kill of a person stands',
  )
  t.strictSame(await world.actions(fired), ['trigger.restore'])
  t.equal(world.trigger('checkout-5xx').tripped, null)
})

t.test('a flag that somebody has touched since is not put back, and people are told why', async t => {
  const world = await begin(t, { ...KILL, onResolve: 'restore' })
  await world.alerts.tell([now(world)])
  await world.call('PATCH', '/flags/checkout', {
    fallthrough: { variation: 'on' },
    rules: [{ id: 'r', clauses: ANDROID, serve: { variation: 'on' } }],
  })
  const touched = world.flag('checkout')
  await world.alerts.tell([resolved(world)])
  t.strictSame(world.flag('checkout'), touched)
  t.equal(world.notices.length, 1)
  t.match(world.notices[0], { topic: 'triggers', text: /checkout: it was changed since, to version 3/ })
  await world.advance(3_600_000)
  t.equal(world.notices.length, 1, 'once')
})

t.test('when a person has lifted its kill, there is nothing to put back and no banner', async t => {
  const world = await begin(t, { ...KILL, onResolve: 'restore' })
  await world.alerts.tell([now(world)])
  await world.call('DELETE', '/flags/checkout/kills')
  t.strictSame((await world.call('GET', '/triggers?tripped=true')).triggers, [])
  await world.advance(3_600_000)
  t.strictSame(world.flag('checkout').kills, [], 'the same alert does not kill it again')
  await world.alerts.tell([resolved(world)])
  t.strictSame(world.notices, [])
  t.equal(world.trigger('checkout-5xx').tripped, null)
  await world.alerts.tell([now(world, { dedupKey: 'new' })])
  t.equal(world.flag('checkout').kills.length, 1, 'a new one does')
})

t.test('steps go down while the alert goes on, each after the cool-down, and never up', async t => {
  const world = await begin(t, { ...STEPS, onResolve: 'restore' })
  await world.alerts.tell([now(world)])
  t.equal(shareOn(world), 50_000)
  await world.advance(59_000)
  t.equal(shareOn(world), 50_000)
  await world.advance(1_000)
  t.equal(shareOn(world), 10_000)
  await world.advance(60_000)
  t.equal(shareOn(world), 0)
  const last = world.revision()
  await world.advance(3_600_000)
  t.equal(world.revision(), last, 'there is no further step')
  t.equal(world.trigger('ledger-slow').tripped?.step, 3)
  await world.alerts.tell([resolved(world)])
  t.strictSame(world.flag('ledger').fallthrough, { variation: 'on' }, 'all three steps at once')
})

t.test('a step that lowers nothing is left out', async t => {
  const world = await begin(t)
  await world.call('PATCH', '/flags/ledger', {
    fallthrough: {
      rollout: {
        weights: [
          { variation: 'on', weight: 30_000 },
          { variation: 'off', weight: 70_000 },
        ],
      },
    },
  })
  await world.call('POST', '/triggers', STEPS)
  await world.alerts.tell([now(world)])
  t.equal(shareOn(world), 10_000)
})

t.test('who touches the flag between two steps stops them', async t => {
  const world = await begin(t, STEPS)
  await world.alerts.tell([now(world)])
  await world.call('PATCH', '/flags/ledger', { fallthrough: { variation: 'on' } })
  await world.advance(600_000)
  t.equal(shareOn(world), 100_000, 'the same alert does not go on')
  await world.alerts.tell([now(world, { dedupKey: 'new' })])
  t.equal(shareOn(world), 50_000, 'a new one does, from the start')
})

t.test('it fires at most so many times within an hour, also after a restart', async t => {
  const world = await begin(t, { ...KILL, coolDownMs: 0, maxFiresPerHour: 2 })
  for (const i of [1, 2, 3, 4]) {
    await world.alerts.tell([now(world, { dedupKey: String(i) })])
    t.equal(world.flag('checkout').kills.length, i <= 2 ? 1 : 0, `alert ${i}`)
    await world.call('DELETE', '/flags/checkout/kills')
    await world.advance(60_000)
  }
  await world.server.restart()
  await world.triggers().settled()
  await world.alerts.tell([now(world, { dedupKey: '5' })])
  t.strictSame(world.flag('checkout').kills, [])
  await world.advance(3_600_000)
  t.equal(world.flag('checkout').kills.length, 1, 'an hour later it does, while they fire')
})

t.test('an alert must fire for so long, and a restart does not begin anew', async t => {
  const world = await begin(t, { ...KILL, when: { forMs: 300_000 } })
  await world.alerts.tell([now(world)])
  await world.advance(200_000)
  t.strictSame(world.flag('checkout').kills, [])
  await world.server.restart()
  await world.triggers().settled()
  await world.advance(99_000)
  t.strictSame(world.flag('checkout').kills, [])
  await world.advance(1_000)
  t.equal(world.flag('checkout').kills.length, 1)
})

t.test('one that is resolved in time does nothing', async t => {
  const world = await begin(t, { ...KILL, when: { forMs: 300_000 } })
  await world.alerts.tell([now(world)])
  await world.advance(200_000)
  await world.alerts.tell([resolved(world)])
  await world.advance(600_000)
  t.strictSame(world.flag('checkout').kills, [])
})

t.test('so many alerts within so long', async t => {
  const world = await begin(t, { ...KILL, when: { atLeast: 3, withinMs: 60_000 } })
  await world.alerts.tell([now(world, { dedupKey: '1' })])
  await world.advance(50_000)
  await world.alerts.tell([now(world, { dedupKey: '2' }), now(world, { dedupKey: '2' })])
  t.strictSame(world.flag('checkout').kills, [])
  await world.advance(30_000)
  await world.alerts.tell([now(world, { dedupKey: '3' })])
  t.strictSame(world.flag('checkout').kills, [], 'the first began 80 s before')
  await world.alerts.tell([now(world, { dedupKey: '4' })])
  t.equal(world.flag('checkout').kills.length, 1)
})

t.test('an alert of a hook that may not act changes nothing, and people are told what it would have done', async t => {
  const world = await begin(t, { ...KILL, when: {} })
  const before = world.revision()
  await world.alerts.tell([now(world, { hook: 'weak' })], { mayAct: false })
  await world.alerts.tell([now(world, { hook: 'weak', dedupKey: 'two' })], { mayAct: false })
  t.equal(world.revision(), before)
  t.equal(world.notices.length, 1)
  t.match(world.notices[0], { title: /changed nothing: the hook weak may not act/, text: /would have killed checkout/ })
  await world.alerts.tell([now(world, { dedupKey: 'strong' })])
  t.equal(world.flag('checkout').kills.length, 1, 'one that may is not kept from it')
})

t.test('dry, of the trigger or of the hook, it only says what it would do', async t => {
  const world = await begin(t, { ...KILL, dryRun: true })
  const before = world.revision()
  await world.alerts.tell([now(world)])
  await world.alerts.tell([now(world, { dedupKey: 'two' })])
  t.equal(world.revision(), before)
  t.equal(world.notices.length, 1)
  t.match(world.notices[0]?.title, /it runs dry/)
  await world.call('PATCH', '/triggers/checkout-5xx', { dryRun: null })
  await world.triggers().settled()
  t.equal(world.flag('checkout').kills.length, 1, 'and acts once it is meant')

  const other = await begin(t, KILL)
  await other.alerts.tell([now(other)], { dryRun: true })
  t.strictSame(other.flag('checkout').kills, [])
  t.equal(other.notices.length, 1)
})

t.test('where a person has killed the flag already, one entry says that nothing was left to do', async t => {
  const world = await begin(t, KILL)
  await world.call('POST', '/flags/checkout/kills', { reason: 'by hand' })
  const killed = world.flag('checkout')
  const before = world.revision()
  for (let i = 0; i < 20; i++) {
    await world.alerts.tell([now(world, { dedupKey: String(i) })])
    await world.advance(300_000)
  }
  t.strictSame(world.flag('checkout'), killed)
  t.strictSame(await world.actions(before), ['trigger.fire'])
  const { comment } = await world.server.services.log.change(LOG, before + 1)
  t.match(comment, /nothing left to do \(checkout is killed already/)
  t.strictSame((await world.call('GET', '/triggers?tripped=true')).triggers, [], 'what stands is not its doing')
})

t.test('by tag, every flag that has it is killed in one entry, and ends as it says', async t => {
  const world = await begin(t)
  await world.call('POST', '/flags', { key: 'invoices', kind: 'kill-switch', tags: ['payments'] })
  await world.call('POST', '/triggers', { ...KILL, do: { action: 'kill', tag: 'payments', expiresAfterMs: 600_000 } })
  const before = world.revision()
  await world.alerts.tell([now(world)])
  t.strictSame(await world.actions(before), ['trigger.fire'])
  t.ok(['checkout', 'invoices'].every(key => world.flag(key).kills[0]?.until === new Date(world.clock.now() + 600_000).toISOString()))
  await world.advance(400_000)
  await world.alerts.tell([now(world, { dedupKey: 'two' })])
  t.equal(world.flag('checkout').kills.length, 1, 'prolonged, not piled up')
  t.equal(world.flag('checkout').kills[0]?.until, new Date(world.clock.now() + 600_000).toISOString())
})

t.test('a variation is set for those who are not served the off variation, and for nobody else', async t => {
  const world = await begin(t)
  await world.call('POST', '/flags', {
    ...{ key: 'search', kind: 'config', enabled: true, offVariation: 'none', fallthrough: { variation: 'full' } },
    variations: [
      { key: 'none', value: '0' },
      { key: 'full', value: '1' },
      { key: 'small', value: '2' },
    ],
  })
  await world.call('POST', '/triggers', {
    key: 'small',
    when: {},
    do: { action: 'set-variation', flag: 'search', variation: 'small' },
    coolDownMs: 0,
    maxFiresPerHour: 100,
  })
  const cases = [
    [[['full', 100_000]], [['small', 100_000]]],
    [
      [
        ['none', 40_000],
        ['full', 60_000],
      ],
      [
        ['none', 40_000],
        ['small', 60_000],
      ],
    ],
    [
      [
        ['full', 60_000],
        ['none', 40_000],
      ],
      [
        ['small', 60_000],
        ['none', 40_000],
      ],
    ],
    [
      [
        ['full', 30_000],
        ['none', 40_000],
        ['small', 30_000],
      ],
      [
        ['none', 70_000],
        ['small', 30_000],
      ],
    ],
    [[['none', 100_000]], [['none', 100_000]]],
  ] as const
  for (const [i, [before, after]] of cases.entries()) {
    const weights = (pairs: readonly (readonly [string, number])[]) => pairs.map(([variation, weight]) => ({ variation, weight }))
    await world.call('PATCH', '/flags/search', { fallthrough: { rollout: { weights: weights(before) } } })
    await world.alerts.tell([now(world, { dedupKey: String(i) })])
    t.strictSame(world.flag('search').fallthrough, { rollout: { weights: weights(after) } })
    await world.advance(1_000)
  }
  await world.call('PATCH', '/flags/search', { fallthrough: { variation: 'none' } })
  await world.alerts.tell([now(world, { dedupKey: 'off' })])
  t.strictSame(world.flag('search').fallthrough, { variation: 'none' })
})

t.test('one that only tells writes no entry, and tells once per cool-down', async t => {
  const world = await begin(t, { key: 'tell', when: {}, do: { action: 'notify' } })
  const before = world.revision()
  await world.alerts.tell([now(world)])
  await world.advance(1_000)
  await world.alerts.tell([now(world, { dedupKey: 'two' })])
  t.equal(world.notices.length, 1)
  t.match(world.notices[0], { topic: 'triggers', severity: 'critical', title: /High 5xx rate/, text: /graphs\.example\.com/ })
  await world.advance(300_000)
  t.equal(world.notices.length, 2, 'what came meanwhile and goes on')
  t.equal(world.revision(), before)
  await world.server.restart()
  await world.triggers().settled()
  t.equal(world.notices.length, 2, 'a restart does not tell again')
})

t.test('a person may put back what it did, and the same alert does not trip it again', async t => {
  const world = await begin(t, KILL)
  await world.alerts.tell([now(world)])
  const answer = await world.call('POST', '/triggers/checkout-5xx/restore', {})
  t.match(answer, { restored: ['checkout'], left: [], change: { action: 'trigger.restore' } })
  t.strictSame(world.flag('checkout').kills, [])
  await world.server.restart()
  await world.advance(3_600_000)
  t.strictSame(world.flag('checkout').kills, [])
})

t.test('a trigger that is made while its alert fires acts at once; one that is disabled does not', async t => {
  const world = await begin(t)
  await world.alerts.tell([now(world)])
  await world.call('POST', '/triggers', { ...KILL, enabled: false })
  await world.triggers().settled()
  t.strictSame(world.flag('checkout').kills, [])
  await world.call('PATCH', '/triggers/checkout-5xx', { enabled: true })
  await world.triggers().settled()
  t.equal(world.flag('checkout').kills.length, 1)
})

t.test('a trigger on recovery acts on the edge to resolved alone', async t => {
  const world = await begin(t, { ...KILL, when: { status: 'resolved' } })
  await world.alerts.tell([now(world)])
  t.strictSame(world.flag('checkout').kills, [])
  await world.alerts.tell([resolved(world)])
  t.equal(world.flag('checkout').kills.length, 1)
})

t.test('one that fails says so once, and acts when it can', async t => {
  const world = await begin(t, KILL)
  await world.call('PATCH', '/triggers/checkout-5xx', { enabled: false })
  await world.server.call('DELETE', '/api/v1/projects/default/flags/checkout?force=true')
  await world.server.call('PATCH', '/api/v1/projects/default/environments/production/triggers/checkout-5xx', { enabled: true })
  // Written as by an older server, which did not look.
  await world.server.services.log.commit({
    log: LOG,
    actor: { kind: 'system', id: 'test', name: 'test' },
    action: 'trigger.edit',
    plan: () => [{ type: 'trigger', key: 'checkout-5xx', after: { ...world.trigger('checkout-5xx'), enabled: true } }],
  })
  await world.alerts.tell([now(world)])
  t.match(world.notices, [{ topic: 'trouble', text: /No flag "checkout"/ }])
  t.match((await world.call('GET', '/triggers/checkout-5xx')).problems, [{ path: 'do.flags[0]', code: 'unknown_flag' }])
  await world.call('POST', '/flags', { key: 'checkout', kind: 'kill-switch' })
  await world.advance(10_000)
  t.equal(world.flag('checkout').kills.length, 1)
  t.equal(world.notices.length, 1)
})

t.test('what a trigger does to a valve or a rollout is one entry with what it remembers', async t => {
  const world = await begin(t)
  await world.call('POST', '/flags', { key: 'vendor', kind: 'safety-valve', enabled: true })
  await world.call('PATCH', '/flags/ledger', { fallthrough: { variation: 'off' } })
  await world.call('POST', '/rollouts/ledger', { variation: 'on', steps: [{ percent: 10, holdMs: 3_600_000 }, { percent: 100 }] })
  const throttle = { action: 'throttle-valve', flag: 'vendor', percents: [50, 0] }
  await world.call('POST', '/triggers', { key: 'valve', when: {}, do: throttle })
  await world.call('POST', '/triggers', { key: 'hold', when: {}, do: { action: 'hold-rollout', flag: 'ledger' } })
  const before = world.revision()
  // A hook that may not act may hold all the same.
  await world.alerts.tell([now(world, { hook: 'weak', dedupKey: 'weak' })], { mayAct: false })
  t.strictSame(await world.actions(before), ['rollout.hold'])
  await world.alerts.tell([now(world)])
  t.strictSame(await world.actions(before), ['rollout.hold', 'valve.throttle'])
  t.strictSame(world.trigger('hold').tripped?.revisions, [before + 1])
  t.match(world.trigger('valve').tripped, { revisions: [before + 2], step: 1, version: world.flag('vendor').version })
  const standing = (): number => world.server.services.valves.standing(LOG, 'vendor')
  t.equal(standing(), 50)
  // The next alert after the cool-down takes the next step, and the last one is a kill.
  await world.advance(300_000)
  await world.alerts.tell([now(world, { dedupKey: 'again' })])
  t.equal(standing(), 0)
  t.match(world.flag('vendor').kills, [{ variation: 'cut', actor: 'trigger "valve"' }])
})
