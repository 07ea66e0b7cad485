/** Valves of a real client, on a real server that speaks the stream. Nobody sleeps: what is waited for is told or received. */
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Flag } from '../../../schemas/flag.ts'
import { PROBE_KEY } from '../../../schemas/protocol.ts'
import { valvesSchema } from '../../../schemas/valve.ts'
import { ValveCutError } from '../../../sdk/index.ts'
import type { Options, Sluice, ValveEvent } from '../../../sdk/types.ts'
import { open, stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'

/** Times that no machine is too slow for: a cut stays one while a test looks at it. */
const BREAKER = { windowMs: 60_000, minCalls: 5, openMs: 60_000, probes: 2 }
const AUTO = { mode: 'auto', breaker: BREAKER, adaptive: { enabled: false }, fallback: 'cached' }
/** For those that wait for the end of a cut. */
const SHORT = { ...AUTO, breaker: { ...BREAKER, openMs: 100, maxOpenMs: 3_600_000 } }

function valveFlag(auto: object = AUTO, changes: Partial<Flag> = {}): Flag {
  return flag('vendor', {
    kind: 'safety-valve',
    variations: [
      { key: 'auto', value: auto as never },
      { key: 'half', value: { mode: 'throttle', admit: 0.5, stickyBy: '/account/id' } },
      { key: 'cut', value: { mode: 'cut' } },
    ],
    offVariation: 'cut',
    fallthrough: { variation: 'auto' },
    ...changes,
  })
}

interface Teardown {
  teardown(run: () => unknown): void
}

async function scene(t: Teardown, its: Flag = valveFlag(), options: Partial<Options> = {}) {
  const server = await startModel(t, [its])
  stayAlive(t)
  const client = open(t, server.url, options)
  await client.ready()
  await server.until(() => server.live.size === 1)
  const events: ValveEvent[] = []
  client.on('valve', event => events.push(event))
  return { server, client, events, valve: client.valve('vendor') }
}

const broken = (): Promise<never> => Promise.reject(new Error('the vendor is down'))

async function breakIt(client: Sluice): Promise<void> {
  for (let i = 0; i < 5; i++)
    await client
      .valve('vendor')
      .run({}, broken)
      .catch(() => undefined)
}

/** Resolves once the valve has moved so. */
function moved(client: Sluice, to: ValveEvent['to']): Promise<ValveEvent> {
  return new Promise(resolve => {
    const end = client.on('valve', event => {
      if (event.to !== to) return
      end()
      resolve(event)
    })
  })
}

t.test('a call is made, and its answer or error is passed on as it is', async t => {
  const { valve } = await scene(t)
  t.equal(await valve.run({}, () => 5), 5)
  t.equal(await valve.run({}, async () => Promise.resolve(6)), 6)
  const thrown = new Error('mine')
  await t.rejects(
    valve.run({}, () => {
      throw thrown
    }),
    thrown,
  )
  await t.rejects(
    valve.run({}, () => Promise.reject(thrown)),
    thrown,
  )
  t.match(valve.state(), { state: 'flowing', admit: 1, cause: null, variation: 'auto', retryAfterMs: 0 })
})

t.test('a sick dependency is cut, with what to do instead or an error that says when to come back', async t => {
  const { client, valve, events } = await scene(t)
  await breakIt(client)
  t.match(events, [{ flag: 'vendor', variation: 'auto', from: 'flowing', to: 'cut', cause: 'failures', admit: 0, calls: 5, failures: 5 }])
  let calls = 0
  const call = (): number => ++calls
  t.equal(await valve.run({}, call, () => -1), -1)
  t.equal(
    await valve.run<number | string>({}, call, { fallback: async ({ instead }): Promise<string> => Promise.resolve(instead) }),
    'cached',
  )
  const error = await valve.run({}, call).then(
    () => null,
    (problem: unknown) => problem,
  )
  t.ok(error instanceof ValveCutError)
  t.match(error, { code: 'VALVE_CUT', flag: 'vendor', state: 'cut', instead: 'cached' })
  t.ok((error as ValveCutError).retryAfterMs > 0 && (error as ValveCutError).retryAfterMs <= 60_000)
  t.equal(calls, 0)
  await t.rejects(
    valve.run({}, call, () => Promise.reject(new Error('nor this'))),
    /nor this/,
  )
})

t.test("the caller's own errors do not cut; the application may know better", async t => {
  const { valve, events } = await scene(t)
  const failing = async (error: unknown): Promise<void> => {
    for (let i = 0; i < 20; i++) await valve.run({}, () => Promise.reject(error as Error)).catch(() => undefined)
  }
  await failing(Object.assign(new Error('not found'), { status: 404 }))
  await failing(Object.assign(new Error('bad request'), { response: { status: 400 } }))
  await failing(new DOMException('the caller left', 'AbortError'))
  t.same(events, [])
  for (let i = 0; i < 20; i++)
    await valve.run({}, () => Promise.reject(new Error('known')), { classify: () => 'ignore' }).catch(() => undefined)
  t.same(events, [])
  // An answer that was not thrown.
  for (let i = 0; i < 5; i++) await valve.run({}, () => ({ ok: false, status: 503 }))
  t.match(events, [{ to: 'cut', failures: 5 }])
})

t.test('a classifier that throws is told to the logger, and the call counts as usual', async t => {
  const told: string[] = []
  const { valve, events } = await scene(t, valveFlag(), { logger: { error: text => told.push(text) } })
  const classify = (): never => {
    throw new Error('oh')
  }
  for (let i = 0; i < 5; i++) await t.rejects(valve.run({}, broken, { classify }), /the vendor is down/)
  t.match(events, [{ to: 'cut' }])
  t.match(told[0], /classify of a call through the valve "vendor" failed: oh/)
})

t.test('a call that takes too long is told so by its signal, fails, and counts as failed', async t => {
  const { valve, events } = await scene(t, valveFlag({ ...AUTO, breaker: { ...BREAKER, minCalls: 1, timeoutMs: 20 } }))
  let signal: AbortSignal | null = null
  const hanging = (its: AbortSignal): Promise<never> => {
    signal = its
    return new Promise(() => undefined)
  }
  await t.rejects(valve.run({}, hanging), { name: 'TimeoutError' })
  t.ok(signal!.aborted)
  t.match(events, [{ to: 'cut', failures: 1 }])

  const patient = await scene(t)
  await t.rejects(patient.valve.run({}, hanging, { timeoutMs: 20 }), { name: 'TimeoutError' })
  // Whoever listens to the signal may throw what it likes: nobody waits for it any more.
  const listening = (its: AbortSignal): Promise<never> =>
    new Promise((_, reject) => its.addEventListener('abort', () => reject(new Error('aborted'))))
  await t.rejects(patient.valve.run({}, listening, { timeoutMs: 20 }), { name: 'TimeoutError' })
})

t.test('what cannot be decided flows, and is told once', async t => {
  const told: string[] = []
  const { client } = await scene(t, flag('plain'), { logger: { warn: text => told.push(text) } })
  for (let i = 0; i < 3; i++) {
    t.equal(await client.valve('nobody').run({}, () => 1), 1)
    t.equal(await client.valve('plain').run({}, () => 2), 2)
  }
  t.match(client.valve('plain').enter({}), { admitted: true, reason: 'ERROR' })
  t.match(client.valve('plain').state(), { state: 'flowing', variation: null })
  t.equal(told.length, 2)
  t.match(
    told.join(),
    /The valve "nobody" lets everything through.*The valve "plain" lets everything through: its value is no valve setting/s,
  )
})

t.test('tickets say how a call ended, once', async t => {
  const { valve, events } = await scene(t, valveFlag({ ...AUTO, breaker: { ...BREAKER, slowMs: 100 } }))
  valve.enter({}).done('success', 99)
  for (let i = 0; i < 4; i++) {
    const ticket = valve.enter({})
    t.match(ticket, { admitted: true, reason: 'FLOWING', retryAfterMs: 0 })
    ticket.done('success', 100)
    ticket.done('failure')
  }
  t.match(events, [{ to: 'cut', cause: 'slow', slow: 4, failures: 0, calls: 5 }])
  const refused = valve.enter({})
  t.match(refused, { admitted: false, reason: 'CUT' })
  refused.done('failure')
})

t.test('a rule can narrow one account, and the same of its calls are turned away each time', async t => {
  const rules = [
    { id: 'noisy', clauses: [{ attribute: '/account/plan', op: 'in' as const, values: ['noisy'] }], serve: { variation: 'half' } },
  ]
  const { valve } = await scene(t, valveFlag(AUTO, { rules }))
  const ask = (id: string, plan: string): boolean => {
    const ticket = valve.enter({ account: { id, plan } })
    ticket.done()
    return ticket.admitted
  }
  const ids = Array.from({ length: 1_000 }, (_, i) => `a-${i}`)
  const first = ids.filter(id => ask(id, 'noisy'))
  t.ok(Math.abs(first.length - 500) < 60, `${first.length} of 1,000`)
  t.same(
    ids.filter(id => ask(id, 'noisy')),
    first,
  )
  t.ok(ids.every(id => ask(id, 'quiet')))
})

t.test('what a person cuts is cut at once, and the state of the automatic setting is its own', async t => {
  const { client, server, valve, events } = await scene(t)
  server.commit(valveFlag(AUTO, { enabled: false, version: 2 }))
  await new Promise<void>(resolve => {
    const end = client.on('change', () => {
      end()
      resolve()
    })
  })
  t.match(valve.enter({}), { admitted: false, reason: 'CUT' })
  t.match(valve.state(), { state: 'cut', cause: 'setting', variation: 'cut' })
  t.same(events, [], 'another variation is no transition')
})

t.test('a valve reports once a second what it was used for, and that it moved', async t => {
  const { client, server, valve } = await scene(t)
  await valve.run({}, () => 1)
  await breakIt(client)
  await valve.run(
    {},
    () => 1,
    () => 2,
  )
  const reports = () => server.received.filter(({ type }) => type === 'valves')
  await server.until(() => reports().some(report => JSON.stringify(report).includes('"cut"')))
  for (const report of reports()) t.ok(valvesSchema.safeParse(report).success)
  const rows = reports().flatMap(report => report.valves as Record<string, number | string>[])
  const sum = (name: string): number => rows.reduce((total, row) => total + Number(row[name]), 0)
  // The fourth of the failures was enough.
  t.same([sum('calls'), sum('failures'), sum('rejected')], [5, 4, 2])
  t.match(rows.at(-1), { flag: 'vendor', variation: 'auto', state: 'cut', admit: 0, trips: 1 })
})

t.test('how calls ended is reported for the flag as well, where a rollout chose the setting', async t => {
  const weights = [
    { variation: 'auto', weight: 100_000 },
    { variation: 'half', weight: 0 },
  ]
  const { client, server, valve } = await scene(t, valveFlag(AUTO, { fallthrough: { rollout: { weights } } }))
  await valve.run({ targetingKey: 'a' }, () => 1)
  await valve.run({ targetingKey: 'b' }, broken).catch(() => undefined)
  await client.close()
  const rows = () => server.received.filter(({ type }) => type === 'counts').flatMap(report => (report.outcomes ?? []) as object[])
  await server.until(() => rows().length > 0)
  t.match(rows(), [{ flag: 'vendor', variation: 'auto', contexts: 2, errors: 1, allCalls: 2, allErrors: 1 }])
})

t.test('another setting of the flag begins where the one that served stands, so that a change floods nothing', async t => {
  const rules = [{ id: 'r1', clauses: [{ attribute: 'held', op: 'in' as const, values: [true] }], serve: { variation: 'held' } }]
  const variations = [...valveFlag().variations, { key: 'held', value: { ...AUTO, admit: 0.5 } as never }]
  const { client, valve, events } = await scene(t, valveFlag(AUTO, { rules, variations }))
  await breakIt(client)
  t.match(valve.enter({ held: true }), { admitted: false, reason: 'CUT' })
  t.match(events, [
    { variation: 'auto', to: 'cut', cause: 'failures' },
    { variation: 'held', to: 'cut', cause: 'restored' },
  ])
})

t.test('probes are asked of the server by a lease, and there are no more than it grants', async t => {
  const { client, server, valve } = await scene(t, valveFlag(SHORT))
  server.send({ type: 'grant', instances: 1, keys: [] })
  await breakIt(client)
  const leases = () => server.received.filter(({ type }) => type === 'lease').flatMap(lease => lease.keys as Record<string, unknown>[])
  // Looked at again and again: nobody knows when its open time is over but the valve.
  while (valve.enter({}).reason !== 'PROBING') await turn()
  await server.until(() => leases().some(({ key, want }) => key === PROBE_KEY && Number(want) > 0))
  const { slot } = leases().find(({ key }) => key === PROBE_KEY)!
  t.equal(valve.enter({}).reason, 'PROBING', 'nothing is granted yet')
  let probes = 0
  const back = moved(client, 'throttled')
  const probe = (): void => {
    const ticket = valve.enter({})
    if (ticket.reason === 'PROBE') probes++
    ticket.done()
  }
  let granted = 0
  while (valve.state().state === 'probing') {
    if (granted === probes) {
      granted++
      server.send({ type: 'grant', instances: 1, keys: [{ slot, tokens: 1, ttlMs: 60_000 }] })
    }
    for (let i = 0; i < 20; i++) probe()
    t.ok(probes <= granted, `${probes} of ${granted}`)
    await turn()
  }
  t.match(await back, { cause: 'probes', from: 'probing' })
  t.equal(probes, 2, 'as many as the setting asks of a fleet of one')
})

t.test('without a server a valve gives itself one probe', async t => {
  const { client, server, valve } = await scene(t, valveFlag(SHORT))
  await breakIt(client)
  server.goDark(true)
  while (client.status().connected) await turn()
  while (valve.enter({}).reason === 'CUT') await turn()
  let probes = valve.state().state === 'probing' ? 0 : 1
  while (valve.state().state === 'probing') {
    const ticket = valve.enter({})
    if (ticket.reason === 'PROBE') probes++
    ticket.done('failure')
    await turn()
  }
  t.equal(probes, 1)
  t.equal(valve.state().cause, 'probe-failed')
})

t.test('an instance that starts begins where the fleet stands, so that a restart storm floods nobody', async t => {
  const { server, valve, client } = await scene(t)
  server.send({ type: 'valve-states', valves: [{ flag: 'vendor', variation: 'auto', state: 'cut', admit: 0, retryMs: 60_000, trips: 2 }] })
  server.commit(flag('other'))
  await new Promise<void>(resolve => {
    const end = client.on('change', () => {
      end()
      resolve()
    })
  })
  t.match(valve.enter({}), { admitted: false, reason: 'CUT' })
  t.match(valve.state(), { state: 'cut', cause: 'restored' })
})

t.test('an order of the fleet cuts a valve that flows, and broken frames change nothing', async t => {
  const { server, valve, client } = await scene(t)
  for (let i = 0; i < 10; i++) await valve.run({}, () => 1)
  for (const valves of [null, 5, [null], [{ flag: 'vendor' }], [{ flag: 'vendor', variation: 'auto', state: 'open' }]])
    server.send({ type: 'valve-states', valves })
  const cut = moved(client, 'cut')
  server.send({
    type: 'valve-states',
    valves: [{ flag: 'vendor', variation: 'auto', state: 'cut', admit: 0, retryMs: 60_000, trips: 1, isOrder: true }],
  })
  t.match(await cut, { cause: 'fleet', from: 'flowing' })
})

t.test('with shadow everything is let through and what would not have been is counted', async t => {
  const { client, server, valve, events } = await scene(t, valveFlag({ ...AUTO, shadow: true }))
  await breakIt(client)
  t.match(events, [{ to: 'cut', shadow: true }])
  t.match(valve.enter({}), { admitted: true, reason: 'SHADOW' })
  const rows = () =>
    server.received.filter(({ type }) => type === 'valves').flatMap(report => report.valves as { shadowed?: number; state: string }[])
  await server.until(() => rows().some(({ shadowed }) => (shadowed ?? 0) > 0))
  t.ok(
    rows().every(({ state }) => state === 'flowing'),
    'it lets everything through, and says so',
  )
})
