/** What an application is told of an outage, and when: connected, interrupted, stale, back. */
import { join } from 'node:path'
import t from 'tap'
import type { Sluice } from '../../../sdk/types.ts'
import { stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'

stayAlive(t)

const MINUTE_MS = 60_000

/** Everything that is told, in order, with what `status` says at that moment. */
function listen(client: Sluice): string[] {
  const heard: string[] = []
  const state = (): string => {
    const { revision, connected, stale } = client.status()
    return `at ${revision} ${connected ? 'connected' : 'apart'}${stale ? ' stale' : ''}`
  }
  client.on('ready', () => heard.push(`ready ${state()}`))
  client.on('change', keys => heard.push(`change ${[...keys].sort().join()} ${state()}`))
  client.on('stale', stale => heard.push(`stale ${stale} ${state()}`))
  return heard
}

t.test('a first start: every flag changes, then it is ready, and it was never stale', async t => {
  const server = await startModel(t, [flag('a'), flag('b')])
  const { client, pass } = openTimelapse(t, server.url)
  const heard = listen(client)
  t.match(client.status(), { revision: 0, epoch: '', connected: false, stale: false, rulesets: 0 })
  await pass(1_000)
  t.same(heard, ['change a,b at 2 connected', 'ready at 2 connected'])
  t.match(client.status(), { revision: 2, epoch: 'epoch-1', connected: true, stale: false, rulesets: 1 })
})

t.test('a short interruption is seen in status alone; a long one is stale, once, until the server confirms', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, clock, pass, passUntil, until, log } = openTimelapse(t, server.url)
  await pass(1_000)
  const heard = listen(client)
  const connectedSince = client.status().since

  clock.advance(5_000)
  server.cut()
  await until(() => !client.status().connected)
  t.match(client.status(), { connected: false, stale: false, since: clock.now() })
  t.ok(client.status().since > connectedSince)
  await passUntil(() => client.status().connected, MINUTE_MS)
  t.same(heard, [], 'back before anything was out of date')

  server.goDark(true)
  await until(() => !client.status().connected)
  const darkAt = clock.monotonic()
  await passUntil(() => client.status().stale, MINUTE_MS)
  t.ok(clock.monotonic() - darkAt <= 4_000, 'stale once the first poll has failed as well')
  const lines = log.length
  await pass(10 * MINUTE_MS)
  t.same(
    log.slice(lines).filter(line => !line.startsWith('debug')),
    [],
    'and the log says nothing over and over',
  )
  t.same(heard, ['stale true at 1 apart stale'], 'once, however long it lasts')
  const staleSince = client.status().since
  server.commit(flag('a', { enabled: false, version: 2 }), false)
  server.goDark(false)
  await passUntil(() => client.status().connected, MINUTE_MS)
  t.same(heard.slice(1), ['change a at 2 connected', 'stale false at 2 connected'], 'back: what changed first, then that it is current')
  t.ok(client.status().since > staleSince)
})

t.test('back without a change is told too, and a poll that is answered is enough', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, passUntil, until } = openTimelapse(t, server.url)
  await pass(1_000)
  const heard = listen(client)
  server.goDark(true)
  await until(() => !client.status().connected)
  await passUntil(() => client.status().stale, MINUTE_MS)
  server.refuseUpgrades(true)
  server.goDark(false)
  await passUntil(() => !client.status().stale, MINUTE_MS)
  t.same(heard, ['stale true at 1 apart stale', 'stale false at 1 apart'])
})

t.test('a start from the cache file is stale from the beginning; ready says whether that is over', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startModel(t, [flag('a')])
  const first = openTimelapse(t, server.url, { cache })
  await first.pass(1_000)
  await first.client.close()

  const reachable = openTimelapse(t, server.url, { cache })
  const heard = listen(reachable.client)
  t.match(reachable.client.status(), { revision: 1, connected: false, stale: true, rulesets: 0 })
  await reachable.pass(1_000)
  t.same(heard, ['stale false at 1 connected', 'ready at 1 connected'], 'nothing had changed')

  server.goDark(true)
  const dark = openTimelapse(t, server.url, { cache })
  const heardInTheDark = listen(dark.client)
  await dark.pass(MINUTE_MS)
  t.same(heardInTheDark, ['ready at 1 apart stale'], 'ready to work with the old values')
  server.commit(flag('b'), false)
  server.goDark(false)
  await dark.passUntil(() => dark.client.status().connected, MINUTE_MS)
  t.same(heardInTheDark.slice(1), ['change b at 2 connected', 'stale false at 2 connected'])
})
