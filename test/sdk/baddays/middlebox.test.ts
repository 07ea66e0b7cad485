/** What stands between: a proxy that closes everything after a minute, one that loses bytes, and a laptop that slept. */
import t from 'tap'
import { stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { startProxy } from './proxy.ts'

stayAlive(t)

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const BEAT_MS = 5_000

type Model = Awaited<ReturnType<typeof startModel>>
type Timelapse = ReturnType<typeof openTimelapse>

/** Time passes with the server's beats in it. */
async function passWithBeats(server: Model, lapse: Timelapse, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= BEAT_MS) {
    if (lapse.client.status().connected) {
      const { messages } = lapse
      server.send({ type: 'beat', epoch: 'epoch-1', revision: server.revision })
      await lapse.until(() => lapse.messages > messages)
    }
    await lapse.pass(Math.min(BEAT_MS, left))
  }
}

t.test('a proxy that closes every connection after a minute costs a second a minute, for an hour, and no value', async t => {
  const server = await startModel(t, [flag('a')])
  const proxy = await startProxy(t, server.url)
  const lapse = openTimelapse(t, proxy.url)
  const { client, clock, attempts } = lapse
  const heard: boolean[] = []
  client.on('stale', stale => heard.push(stale))
  await lapse.passUntil(() => client.status().connected, MINUTE_MS)
  let downMs = 0
  for (let minute = 0; minute < 60; minute++) {
    await passWithBeats(server, lapse, MINUTE_MS - 5_000)
    server.commit(flag('a', { enabled: minute % 2 === 1, version: minute + 2 }), false)
    proxy.cut()
    await lapse.until(() => !client.status().connected)
    t.equal(client.value('a', {}, null), minute % 2 === 0, 'still the last value')
    const cutAt = clock.monotonic()
    await lapse.passUntil(() => client.status().connected, MINUTE_MS)
    downMs = Math.max(downMs, clock.monotonic() - cutAt)
    t.equal(client.value('a', {}, null), minute % 2 === 1, 'what was missed has come')
  }
  t.ok(downMs <= 2_000, `down for at most ${downMs} ms`)
  t.equal(attempts.length, 61)
  t.same(heard, [], 'never stale')
  t.equal(client.status().rulesets, 1, 'only changes since')
})

t.test('a link whose bytes vanish is noticed within 15 s and replaced', async t => {
  const server = await startModel(t, [flag('a')])
  const proxy = await startProxy(t, server.url)
  const lapse = openTimelapse(t, proxy.url)
  const { client, clock, log } = lapse
  await lapse.passUntil(() => client.status().connected, MINUTE_MS)
  await passWithBeats(server, lapse, MINUTE_MS)
  proxy.freeze(true)
  server.commit(flag('a', { enabled: false, version: 2 }))
  clock.advance(16_000)
  t.match(client.status(), { connected: false, revision: 1 })
  t.ok(log.some(line => line.includes('Nothing heard for 15 s')))
  t.equal(client.value('a', {}, null), true)
  proxy.freeze(false)
  proxy.cut()
  await lapse.passUntil(() => client.status().connected, MINUTE_MS)
  t.match(client.status(), { connected: true, stale: false, revision: 2 })
  t.equal(client.value('a', {}, null), false)
})

t.test('a link that dies while it is made is given up as well', async t => {
  const server = await startModel(t, [flag('a')])
  server.stayMute()
  const { client, clock, attempts } = openTimelapse(t, server.url)
  clock.advance(0)
  await server.until(() => server.received.length === 1)
  clock.advance(16_000)
  t.match(client.status(), { connected: false })
  clock.advance(2_000)
  t.equal(attempts.length, 2)
})

for (const [name, asleep] of [
  ['a laptop that slept for an hour while its clocks stood still but for the calendar', (lapse: Timelapse) => lapse.clock.jump(HOUR_MS)],
  ['a laptop that slept for an hour while all its clocks went on', (lapse: Timelapse) => lapse.clock.sleep(HOUR_MS)],
  ['a laptop that slept and whose calendar was set back by an hour', (lapse: Timelapse) => lapse.clock.jump(-HOUR_MS)],
] as const) {
  t.test(name, async t => {
    const server = await startModel(t, [flag('a')])
    const proxy = await startProxy(t, server.url)
    const lapse = openTimelapse(t, proxy.url)
    const { client, attempts } = lapse
    await lapse.passUntil(() => client.status().connected, MINUTE_MS)
    await passWithBeats(server, lapse, MINUTE_MS)
    // Meanwhile the server has forgotten the connection, and nobody could be told.
    proxy.freeze(true)
    server.cut()
    server.commit(flag('a', { enabled: false, version: 2 }), false)
    asleep(lapse)
    proxy.freeze(false)
    t.equal(client.value('a', {}, null), true)
    const before = attempts.length
    const woke = lapse.clock.monotonic()
    await lapse.passUntil(() => client.status().revision === 2, MINUTE_MS)
    t.ok(lapse.clock.monotonic() - woke <= 17_000, `current again after ${lapse.clock.monotonic() - woke} ms`)
    t.equal(attempts.length, before + 1)
    t.match(client.status(), { connected: true, stale: false, revision: 2 })
    t.equal(client.value('a', {}, null), false)
  })
}
