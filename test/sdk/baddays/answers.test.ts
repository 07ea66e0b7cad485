/** A server, or what stands before it, that answers something else for hours: pages, redirects, refusals. Never given up. */
import t from 'tap'
import { stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { answer, frame, ruleset, startRaw } from './raw.ts'

stayAlive(t)

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const gaps = (times: readonly number[]): number[] => times.slice(1).map((time, i) => time - times[i]!)

t.test('a portal that answers 200 and a page to everything, until somebody signs in', async t => {
  const page = '<!doctype html><title>Welcome</title><p>Sign in to the network'
  const server = await startModel(t, [flag('a')])
  const { client, pass, passUntil } = openTimelapse(t, server.url, { pollIntervalMs: 10_000 })
  await pass(1_000)
  server.commit(flag('a', { enabled: false, version: 2 }), false)
  server.portal(page)
  server.cut()
  await pass(10 * MINUTE_MS)
  t.equal(client.value('a', {}, null), true, 'the last value stays')
  t.match(client.status(), { connected: false, stale: true, revision: 1 })
  server.portal(null)
  await passUntil(() => client.status().connected, MINUTE_MS)
  t.match(client.status(), { connected: true, stale: false, revision: 2 })
  t.equal(client.value('a', {}, null), false)
})

t.test('redirects are not followed, so that the key goes nowhere else', async t => {
  const elsewhere = await startModel(t, [flag('a')])
  const to = elsewhere.url.replace('ws:', 'http:')
  for (const status of [301, 302, 303, 307, 308]) {
    const server = await startRaw(t, {
      answer: (socket, head) => socket.end(answer(status, '', `location: ${to}${head.split(' ')[1] ?? ''}\r\n`)),
    })
    const { client, pass } = openTimelapse(t, server.url)
    await pass(MINUTE_MS)
    t.match(client.status(), { revision: 0 }, String(status))
    t.ok(server.requests > 1)
  }
  t.equal(elsewhere.polls + elsewhere.received.length, 0)
})

t.test('a key that is refused for a day is tried every few minutes, told once, and works within minutes once it is right', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, passUntil, attempts, polls, log } = openTimelapse(t, server.url)
  await pass(1_000)
  server.refuse(401)
  server.cut()
  await pass(24 * HOUR_MS, 10_000)
  t.equal(client.value('a', {}, null), true)
  t.match(client.status(), { connected: false, stale: true, revision: 1 })
  // The first few seconds aside, before a poll has told why.
  const slow = gaps(attempts.filter(time => time > MINUTE_MS))
  t.ok(
    Math.min(...slow) >= 2.5 * MINUTE_MS && Math.max(...slow) <= 5 * MINUTE_MS + 10_000,
    `${Math.min(...slow)} to ${Math.max(...slow)} ms`,
  )
  t.ok(attempts.length + polls.length < 2 * 24 * 24 + 20, `${attempts.length} attempts and ${polls.length} polls in a day`)
  t.equal(log.filter(line => line.startsWith('error')).length, 1)
  server.refuse(null)
  await passUntil(() => client.status().connected, 6 * MINUTE_MS)
  t.match(client.status(), { connected: true, stale: false })
})

t.test('429 and 503 are waited out; Retry-After is kept', async t => {
  for (const status of [429, 503]) {
    let isOver = false
    const server = await startRaw(t, {
      answer: socket => socket.end(isOver ? answer(200, ruleset([flag('a')])) : answer(status, '{}', 'retry-after: 240\r\n')),
    })
    const { client, pass, passUntil, polls } = openTimelapse(t, server.url, { pollIntervalMs: 1_000 })
    await pass(6 * MINUTE_MS)
    t.ok(polls.length === 2 && Math.min(...gaps(polls)) >= 240_000, `${status}: polled at ${polls.join()} ms`)
    isOver = true
    await passUntil(() => client.status().revision > 0, 5 * MINUTE_MS)
    t.equal(client.value('a', {}, null), true)
  }
})

t.test('what Retry-After asks is bounded, and what cannot be read as seconds is not obeyed', async t => {
  for (const [header, atMost] of [
    ['999999', 5 * MINUTE_MS],
    ['99999999999999999999', 2_000],
    ['-5', 2_000],
    ['Fri, 31 Dec 2199 23:59:59 GMT', 2_000],
    ['soon', 2_000],
  ] as const) {
    const server = await startRaw(t, { answer: socket => socket.end(answer(503, '', `retry-after: ${header}\r\n`)) })
    const { pass, polls } = openTimelapse(t, server.url, { pollIntervalMs: 1_000 })
    await pass(atMost + 30_000)
    t.ok(polls.length > 1 && Math.max(...gaps(polls)) <= atMost + 1_000, `${header}: ${Math.max(...gaps(polls))} ms`)
  }
})

t.test('every status and every way to break off an answer is tried again, for an hour, at a bounded rate', async t => {
  const answers = [400, 403, 404, 405, 408, 410, 418, 426, 429, 500, 501, 502, 504, 511].map(status => answer(status, 'no'))
  const broken = [
    '',
    'HTTP/1.1',
    'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"epoch',
    'SSH-2.0-OpenSSH_9.6\r\n',
    'HTTP/1.1 200 OK\r\n\r\n',
  ]
  const all = [...answers, ...broken]
  let isOver = false
  const server = await startRaw(t, {
    stream: (socket, nth) => {
      if (isOver) socket.write(frame(ruleset([flag('a')])))
      else if (nth % 3 === 0) socket.destroy()
      else socket.end(frame('', { opcode: 8 }))
    },
    answer: (socket, _head, nth) => socket.end(isOver ? answer(200, ruleset([flag('a')])) : (all[nth % all.length] ?? '')),
  })
  const { client, pass, passUntil, attempts } = openTimelapse(t, server.url, { pollIntervalMs: 30_000 })
  await pass(HOUR_MS)
  t.ok(server.requests > all.length)
  const late = gaps(attempts.filter(time => time > 10 * MINUTE_MS))
  t.ok(Math.min(...late) >= 15_000, `${Math.min(...late)} to ${Math.max(...late)} ms between attempts`)
  t.match(client.status(), { connected: false, revision: 0 })
  isOver = true
  await passUntil(() => client.status().connected, MINUTE_MS)
  t.match(client.status(), { connected: true, stale: false, revision: 1 })
})
