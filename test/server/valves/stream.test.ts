/** Valves over the real stream: what instances say reaches people and the log, and what the fleet knows reaches instances. */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import type { Change } from '../../../schemas/change.ts'
import type { ValveRow, ValveStates } from '../../../schemas/valve.ts'
import type { ValveUsage } from '../../../schemas/valveusage.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { startServer, type TestServer } from '../start.ts'

const PROJECT = '/api/v1/projects/default'
const ENVIRONMENT = `${PROJECT}/environments/development`
const FLAG = 'payments-vendor'

interface Instance {
  report(rows: readonly Partial<ValveRow>[]): void
  /** The next `valve-states` that came or comes. */
  told(): Promise<ValveStates>
  readonly socket: WebSocket
}

async function open(t: Test, server: TestServer, instance: string, service = 'shop'): Promise<Instance> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/stream`, ['sluice.v1'], {
    headers: { authorization: `Bearer ${server.serverKey}` },
  })
  t.teardown(() => socket.terminate())
  const arrived: ValveStates[] = []
  const waiting: ((states: ValveStates) => void)[] = []
  const answered = new Promise<void>(resolve => {
    socket.on('message', data => {
      const said = JSON.parse((data as Buffer).toString()) as { type: string }
      if (said.type === 'ruleset' || said.type === 'current') resolve()
      if (said.type !== 'valve-states') return
      const next = waiting.shift()
      if (next === undefined) arrived.push(said as ValveStates)
      else next(said as ValveStates)
    })
  })
  await once(socket, 'open')
  socket.send(JSON.stringify({ type: 'hello', instance, service, sdk: 'test/1', revision: 0, epoch: '' }))
  await answered
  return {
    socket,
    report: rows =>
      socket.send(
        JSON.stringify({
          type: 'valves',
          valves: rows.map(row => ({
            flag: FLAG,
            variation: 'auto',
            state: 'flowing',
            admit: 1,
            calls: 0,
            failures: 0,
            slow: 0,
            rejected: 0,
            ...row,
          })),
        }),
      ),
    told: () => {
      const first = arrived.shift()
      return first === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(first)
    },
  }
}

async function makeValve(server: TestServer, value: object): Promise<void> {
  const variations = [
    { key: 'auto', value: { mode: 'auto', ...value } },
    { key: 'cut', value: { mode: 'cut' } },
  ]
  const created = await server.call('POST', `${PROJECT}/flags`, { key: FLAG, kind: 'safety-valve', variations })
  if (created.status >= 300) throw new Error(JSON.stringify(created.body))
}

interface Answer {
  readonly valve: ValveUsage
  readonly instances: readonly { readonly instance: string; readonly state: string }[]
}

const read = async (server: TestServer): Promise<Answer> => (await server.call('GET', `${ENVIRONMENT}/valves/${FLAG}`)).body as Answer

/** Moves the clock until what the API says holds: what was sent needs a moment to arrive. */
async function until(server: TestServer, clock: ManualClock, holds: (answer: Answer) => boolean): Promise<Answer> {
  for (;;) {
    const answer = await read(server)
    if (holds(answer)) return answer
    clock.advance(20)
    await new Promise(resolve => setImmediate(resolve))
  }
}

const moves = async (server: TestServer): Promise<readonly Change[]> =>
  ((await server.call('GET', `${ENVIRONMENT}/changes?flag=${FLAG}&limit=500`)).body as { changes: Change[] }).changes.filter(
    ({ action }) => action === 'valve.move',
  )

t.test('transitions of the fleet are entries with their numbers; instances are told, and a restart goes on with them', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await makeValve(server, {})
  const [a, b] = [await open(t, server, 'a'), await open(t, server, 'b', 'billing')]
  const heard: string[] = []
  t.teardown(server.services.valves.subscribe(({ record, before }) => heard.push(`${before?.state ?? 'none'} ${record.state}`)))
  a.report([{ state: 'cut', admit: 0, calls: 60, failures: 40, slow: 3, rejected: 12, cause: 'failures', retryMs: 9_000, trips: 1 }])
  b.report([{ calls: 20 }])
  const cut = await until(server, clock, ({ valve }) => valve.state === 'cut')
  for (const instance of [a, b])
    t.match(await instance.told(), { valves: [{ flag: FLAG, variation: 'auto', state: 'cut', admit: 0.5, trips: 1 }] })
  t.match(cut.valve, {
    setting: { by: 'flag', isAuto: true },
    fleet: [
      {
        instances: { all: 2, cut: 1, flowing: 1 },
        spans: { minute: { calls: 80, failures: 40, slow: 3, rejected: 12 }, hour: { calls: 80 } },
        services: [{ service: 'shop' }, { service: 'billing' }],
      },
    ],
  })
  t.match(cut.instances, [
    { instance: 'a', state: 'cut', service: 'shop', minute: { calls: 60 } },
    { instance: 'b', state: 'flowing' },
  ])
  const written = await until(server, clock, ({ valve }) => valve.record !== null)
  t.match(written.valve.record, {
    state: 'cut',
    cause: 'failures',
    numbers: { instances: 2, inState: 1, calls: 80, failures: 40, rejected: 12 },
  })
  const [entry, ...others] = await moves(server)
  t.same(others, [], 'one entry')
  t.match(entry, {
    actor: { kind: 'system', id: 'valve', name: `valve "${FLAG}"` },
    comment: /^cut: too many calls failed \(50 % of 80 calls/,
  })
  t.same(heard, ['none cut'])

  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  const labels = `project="default",environment="development",flag="${FLAG}",variation="auto"`
  for (const line of [
    `sluice_valve_calls_total{${labels}} 80`,
    `sluice_valve_failures_total{${labels}} 40`,
    `sluice_valve_rejected_total{${labels}} 12`,
    `sluice_valve_state{${labels},state="cut"} 1`,
    `sluice_valve_state{${labels},state="flowing"} 0`,
    `sluice_valve_instances{${labels},state="cut"} 1`,
    `sluice_valve_admitted_share{${labels}} 0.5`,
  ])
    t.ok(metrics.includes(`${line}\n`), line)
  const status = await server.call('GET', '/api/v1/status')
  const development = (status.body.environments as { environment: string; valves: unknown[] }[]).find(
    each => each.environment === 'development',
  )
  t.match(development?.valves, [{ flag: FLAG, state: 'cut', admit: 0.5, by: 'flag' }])

  await server.restart({ clock })
  const back = await open(t, server, 'c')
  t.match(await back.told(), { valves: [{ flag: FLAG, state: 'cut' }] }, 'who comes first is told what stood')
  t.equal((await read(server)).valve.state, 'cut')
  t.equal((await moves(server)).length, 1, 'and nothing is written for the restart')
})

t.test('three instances that agree cut the whole fleet', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await makeValve(server, { fleetTrip: true, breaker: { minCalls: 30 } })
  const instances = await Promise.all(['a', 'b', 'c', 'd'].map(name => open(t, server, name)))
  for (const instance of instances.slice(0, 3)) instance.report([{ calls: 20, failures: 19 }])
  const cut = await until(server, clock, ({ valve }) => valve.state === 'cut')
  t.ok(cut.valve.fleet[0]!.orderUntil !== null)
  for (const instance of instances) t.match(await instance.told(), { valves: [{ state: 'cut', isOrder: true, trips: 1, admit: 0 }] })
})

t.test('an archived valve leaves nothing behind', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  await makeValve(server, {})
  const a = await open(t, server, 'a')
  a.report([{ state: 'cut', admit: 0 }])
  await until(server, clock, ({ valve }) => valve.record !== null)
  t.equal((await server.call('DELETE', `${ENVIRONMENT}/flags/${FLAG}?force=true`)).status, 200)
  while (server.services.log.state('default/development').documents.valve.size > 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(server.services.valves.record('default/development', FLAG), null)
})

t.test('who reports far too often is sent away', async t => {
  const server = await startServer(t, { clock: manualClock() })
  const a = await open(t, server, 'a')
  const closed = once(a.socket, 'close')
  for (let i = 0; i < 30; i++) a.report([])
  t.equal((await closed)[0], 1008)
  const b = await open(t, server, 'b')
  const broken = once(b.socket, 'close')
  b.report([{ calls: -1 }])
  t.equal((await broken)[0], 1008)
})
