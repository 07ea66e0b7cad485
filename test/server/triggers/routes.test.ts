import t from 'tap'
import { alertOf } from './alerts.ts'
import { openWorld, PRODUCTION, type World } from './open.ts'

const KILL = { key: 'checkout-5xx', when: { hooks: ['am'] }, do: { action: 'kill', flags: ['checkout'] } }

async function begin(t: Parameters<typeof openWorld>[0]): Promise<World> {
  const world = await openWorld(t)
  await world.call('POST', '/flags', { key: 'checkout', kind: 'kill-switch', tags: ['payments'] })
  await world.call('POST', '/flags', { key: 'vendor', kind: 'safety-valve', ...VALVE })
  await world.call('POST', '/flags', {
    ...{ key: 'move', kind: 'migration', offVariation: 'old', fallthrough: { variation: 'old' } },
    variations: [
      { key: 'old', value: 'off' },
      { key: 'new', value: 'complete' },
    ],
  })
  return world
}
const VALVE = {
  variations: [
    { key: 'auto', value: { mode: 'auto' } },
    { key: 'cut', value: { mode: 'cut' } },
  ],
  offVariation: 'cut',
  fallthrough: { variation: 'auto' },
}

t.test('a trigger is made, shown, edited and removed', async t => {
  const world = await begin(t)
  const made = await world.call('POST', '/triggers?comment=at%20night', KILL)
  t.match(made, {
    trigger: { ...KILL, enabled: true, tripped: null, version: 1 },
    warnings: [],
    change: { action: 'trigger.create', comment: 'at night' },
  })
  t.match(await world.call('GET', '/triggers'), { triggers: [{ key: 'checkout-5xx', standing: [], undo: null, problems: [] }] })
  const edited = await world.call('PATCH', '/triggers/checkout-5xx', { description: 'pages too', coolDownMs: 1_000 })
  t.match(edited, { trigger: { description: 'pages too', coolDownMs: 1_000, version: 2 } })
  const back = await world.call('PATCH', '/triggers/checkout-5xx', { coolDownMs: null })
  t.notOk('coolDownMs' in back.trigger)
  t.equal(
    (await world.server.call('PATCH', `${PRODUCTION}/triggers/checkout-5xx`, {}, { headers: { 'if-match': '"1"' } })).body.code,
    'VERSION_CONFLICT',
  )
  t.equal((await world.server.call('POST', `${PRODUCTION}/triggers`, KILL)).body.code, 'ALREADY_EXISTS')
  t.equal((await world.call('POST', '/triggers?dryRun=true', { ...KILL, key: 'other' })).dryRun, true)
  await world.call('DELETE', '/triggers/checkout-5xx')
  t.equal((await world.server.call('GET', `${PRODUCTION}/triggers/checkout-5xx`)).body.code, 'TRIGGER_NOT_FOUND')
})

t.test('a trigger that could not work is refused, with the place', async t => {
  const world = await begin(t)
  const percents = [50, 10, 0]
  const cases = [
    [{ when: { hooks: ['am', 'ma'] } }, 'when.hooks[1]', 'unknown_hook'],
    [{ when: { withinMs: 1_000 } }, 'when.withinMs', 'alone'],
    [{ when: { status: 'resolved', forMs: 1_000 } }, 'when.forMs', 'not_with_resolved'],
    [{ do: { action: 'kill', flags: ['checkuot'] } }, 'do.flags[0]', 'unknown_flag'],
    [{ do: { action: 'kill', flags: ['checkout'], tag: 'payments' } }, 'do', 'flags_or_tag'],
    [{ do: { action: 'kill' } }, 'do', 'flags_or_tag'],
    [{ do: { action: 'kill', tag: 'payment' } }, 'do.tag', 'unknown_tag'],
    [{ do: { action: 'kill', flags: ['checkout'], variation: 'none' } }, 'do.variation', 'unknown_variation'],
    [{ do: { action: 'kill', flags: ['checkout'], clauses: [{ op: 'segment', values: ['nobody'] }] } }, 'do.clauses[0].values[0]', null],
    [{ do: { action: 'set-variation', flag: 'vendor', variation: 'cut' } }, 'do.flag', 'kind'],
    [{ do: { action: 'set-variation', flag: 'move', variation: 'old' } }, 'do.flag', 'kind'],
    [{ do: { action: 'set-percentage', flag: 'checkout', variation: 'off', percents } }, 'do.variation', 'off_variation'],
    [{ do: { action: 'set-percentage', flag: 'checkout', variation: 'on', percents: [10, 50] } }, 'do.percents[1]', 'not_falling'],
    [{ do: { action: 'throttle-valve', flag: 'checkout', percents } }, 'do.flag', 'kind'],
    [{ do: { action: 'throttle-valve', flag: 'vendor', percents: [10, 10] } }, 'do.percents[1]', 'not_falling'],
    [{ do: { action: 'hold-rollout', flag: 'checkout' }, onResolve: 'restore' }, 'onResolve', 'not_restored'],
    [{ do: { action: 'notify' }, onResolve: 'restore' }, 'onResolve', 'not_restored'],
    [{ when: { status: 'resolved' }, onResolve: 'restore' }, 'onResolve', 'not_restored'],
  ] as const
  for (const [part, path, code] of cases) {
    const { status, body } = await world.server.call('POST', `${PRODUCTION}/triggers`, { ...KILL, ...part })
    t.match({ status, code: body.code }, { status: 422, code: 'INVALID_TRIGGER' }, JSON.stringify(part))
    t.match(body.details, [{ path, ...(code === null ? {} : { code }) }], JSON.stringify(body.details))
  }
  t.strictSame((await world.call('GET', '/triggers')).triggers, [])
})

t.test('an operator may put back and a viewer may try, but only an editor writes', async t => {
  const world = await begin(t)
  await world.call('POST', '/triggers', KILL)
  const key = async (role: string) => (await world.server.makeKey('admin', 'production', { grants: [{ role, project: 'default' }] })).token
  const [viewer, operator, editor] = [await key('viewer'), await key('operator'), await key('editor')]
  const status = async (method: string, path: string, token: string, body?: unknown) =>
    (await world.server.call(method, `${PRODUCTION}/triggers${path}`, body, { key: token })).status
  t.equal(await status('POST', '/checkout-5xx/try', viewer, {}), 200)
  t.equal(await status('POST', '/checkout-5xx/restore', viewer), 403)
  t.equal(await status('POST', '/checkout-5xx/restore', operator), 200)
  t.equal(await status('PATCH', '/checkout-5xx', operator, { enabled: false }), 403)
  t.equal(await status('PATCH', '/checkout-5xx', editor, { enabled: false }), 200)
})

t.test('a trial says clause by clause whether it would act, and changes nothing', async t => {
  const world = await begin(t)
  await world.call('POST', '/triggers', {
    ...KILL,
    when: { hooks: ['am'], labels: [{ label: 'service', values: ['checkout'] }], severity: 'error', forMs: 60_000 },
  })
  const before = world.revision()
  const fits = {
    hook: 'am',
    severity: 'critical',
    labels: { service: 'checkout' },
    startsAt: new Date(world.clock.now() - 60_000).toISOString(),
  }
  const attempt = (sample: object) => world.call('POST', '/triggers/checkout-5xx/try', sample)
  t.match(await attempt(fits), { wouldAct: true, text: /killed checkout/ })
  const failing = async (sample: object) => {
    const { wouldAct, checks } = await attempt({ ...fits, ...sample })
    t.equal(wouldAct, false)
    return checks.filter((check: { holds: boolean }) => !check.holds).map((check: { clause: string }) => check.clause)
  }
  t.strictSame(await failing({ labels: { service: 'search' } }), ['when.labels[0]'])
  t.strictSame(await failing({ severity: 'warning' }), ['when.severity'])
  t.strictSame(await failing({ status: 'resolved' }), ['when.status'])
  t.strictSame(await failing({ startsAt: new Date(world.clock.now() - 59_000).toISOString() }), ['when.forMs'])
  t.strictSame(await failing({ hook: 'weak' }), ['when.hooks', 'hook'])
  await world.call('PATCH', '/triggers/checkout-5xx', { enabled: false, dryRun: true })
  t.strictSame(await failing({}), ['enabled', 'dryRun'])
  await world.call('PATCH', '/triggers/checkout-5xx', { enabled: true, dryRun: null })
  t.equal(world.revision(), before + 2)
  t.strictSame(world.notices, [])
  t.strictSame(world.flag('checkout').kills, [])

  await world.alerts.tell([alertOf({ at: world.clock.now() })])
  await world.advance(60_000)
  t.strictSame(await failing({}), ['coolDownMs', 'do'], 'it has just fired')
})

t.test('a hook that may not act is named when the trigger is written', async t => {
  const world = await begin(t)
  const { warnings } = await world.call('POST', '/triggers', { ...KILL, when: { hooks: ['am', 'weak'] } })
  t.match(warnings, [{ path: 'when.hooks[1]', code: 'hook_may_not_act' }])
})
