import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { manualClock } from '../../clock.ts'
import type { Plan } from '../../../schemas/plan.ts'
import { openRollouts } from '../../../server/rollouts/rollouts.ts'
import { startSchedules } from '../../../server/schedules/schedules.ts'
import type { ToldAlert } from '../../../server/services.ts'
import { D, LOG, MINUTE_MS, P, scene } from './scene.ts'

t.test('two servers on one log take each step and make each scheduled change once', async t => {
  const { make, pass, plan, flag, server, clock, entries } = await scene(t)
  const { log, logger, alerts, outcomes, hub } = server.services
  const parts = { log, logger, alerts, hub, slices: outcomes, clock, valves: null, notices: null, measure: null }
  const second = await openRollouts({
    ...parts,
    storage: { all: async () => [], save: async () => undefined, remove: async () => undefined },
  })
  const schedules = startSchedules({ log, clock, logger })
  t.teardown(() => second.close())
  t.teardown(() => schedules.close())
  await make({ steps: [10, 20, 30, 40].map(percent => ({ percent, holdMs: MINUTE_MS })) })
  const at = new Date(clock.now() + 90_000).toISOString()
  await server.call('POST', `${D}/schedules`, {
    flag: 'new-ledger',
    at,
    do: { action: 'edit', patch: { targets: [{ values: ['vip'], variation: 'on' }] } },
  })
  for (let i = 0; i < 9; i++) await pass(30_000)
  t.equal(plan().state, 'completed')
  t.same(
    (await entries()).map(({ action }) => action),
    ['rollout.start', 'rollout.advance', 'rollout.advance', 'rollout.advance', 'rollout.complete'],
  )
  const all = await log.changes(LOG, { limit: 1_000, order: 'oldest' })
  t.equal(all.filter(({ action }) => action === 'schedule.run').length, 1)
  t.equal(flag().targets.length, 1)
})

t.test('an alert that matches turns back or holds, and one that may not act only holds', async t => {
  const rows: readonly [guard: object, mayAct: boolean, labels: Record<string, string>, state: Plan['state']][] = [
    [{ type: 'alert', severity: 'error' }, true, {}, 'reverted'],
    [{ type: 'alert', severity: 'error' }, false, {}, 'held'],
    [{ type: 'alert', role: 'signal' }, true, {}, 'held'],
    [{ type: 'alert', labels: [{ label: 'service', values: ['ledger'] }] }, true, { service: 'shop' }, 'running'],
    [{ type: 'alert', dryRun: true }, true, {}, 'running'],
  ]
  const { server, clock, make, act, plan, until } = await scene(t)
  const { log, logger, outcomes, hub } = server.services
  for (const [i, [guard, mayAct, labels, state]] of rows.entries()) {
    // The alerts of a tool, without the tool: what hooks tell is what is told here.
    let tell: (told: ToldAlert) => void | Promise<void> = () => undefined
    const rollouts = await openRollouts({
      ...{ log, logger, hub, slices: outcomes, clock, valves: null, notices: null, measure: null },
      alerts: {
        subscribe(listener) {
          tell = listener
          return () => undefined
        },
      },
      storage: { all: async () => [], save: async () => undefined, remove: async () => undefined },
    })
    t.equal((await make({ steps: [{ percent: 5 + i, holdMs: 60 * MINUTE_MS }, { percent: 100 }], guards: [guard] })).status, 201)
    const now = new Date(clock.now()).toISOString()
    await tell({
      log: LOG,
      mayAct,
      dryRun: false,
      alert: {
        id: 'a1',
        hook: 'prom',
        externalId: null,
        dedupKey: 'x',
        status: 'firing',
        severity: 'critical',
        title: 'ledger errors',
        description: '',
        labels,
        annotations: {},
        startsAt: now,
        endsAt: null,
        receivedAt: now,
        links: [],
      },
    })
    if (state === 'running') await pause(20)
    else await until(() => plan().state === state)
    t.equal(plan().state, state, JSON.stringify(guard))
    if (state === 'reverted') t.match(plan().reverted, { guard: 'alert', text: /alert "ledger errors" fires/ })
    await rollouts.close()
    await act(state === 'reverted' ? 'clear' : 'cancel')
  }
})

t.test('a scheduled change is made at its moment, late after a downtime, and stays in the list when it is refused', async t => {
  const { server, clock, pass, flag, until } = await scene(t)
  const schedule = (what: object, inMs: number, comment = 'x') =>
    server.call('POST', `${D}/schedules`, { flag: 'new-ledger', at: new Date(clock.now() + inMs).toISOString(), do: what, comment })
  const waiting = () => server.services.log.state(LOG).documents.schedule
  t.equal((await schedule({ action: 'edit', patch: { enabled: false } }, 5 * MINUTE_MS)).status, 201)
  await pass(5 * MINUTE_MS - 1)
  t.equal(flag().enabled, true)
  clock.jump(-MINUTE_MS)
  await pass(MINUTE_MS)
  t.equal(flag().enabled, true, 'its moment goes by the wall clock')
  await pass(1)
  await until(() => !flag().enabled)
  t.equal(waiting().size, 0)

  t.equal((await schedule({ action: 'edit', patch: { fallthrough: { variation: 'nothing' } } }, MINUTE_MS)).body.code, 'INVALID_FLAG')
  t.equal((await schedule({ action: 'lift' }, MINUTE_MS)).body.code, 'KILL_NOT_FOUND')
  t.equal((await schedule({ action: 'kill', kill: { reason: 'x' } }, -1)).body.code, 'INVALID_REQUEST')

  await schedule({ action: 'kill', kill: { reason: 'closed' } }, 10 * MINUTE_MS)
  await server.close()
  await server.restart({ clock: manualClock(clock.now() + 60 * MINUTE_MS) })
  await until(() => flag().kills.length === 1)
  const run = (await server.services.log.changes(LOG, { limit: 1, order: 'newest' }))[0]
  t.match(run, { action: 'schedule.run', comment: /50 min late/, edits: [{ type: 'flag' }, { type: 'schedule', after: null }] })

  const lift = await server.call('POST', `${D}/schedules`, { flag: 'new-ledger', at: '2026-12-01T00:00:00Z', do: { action: 'lift' } })
  t.equal(lift.body.schedule.do.kills.length, 1)
  t.equal((await server.call('DELETE', `${D}/schedules/${lift.body.schedule.key}`)).status, 200)
  t.equal((await server.call('DELETE', `${D}/schedules/${lift.body.schedule.key}`)).body.code, 'SCHEDULE_NOT_FOUND')
  t.equal((await server.call('GET', `${P}/environments/development/schedules`)).body.schedules.length, 0)
})
