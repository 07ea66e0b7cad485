/** close() at any moment: it ends, within its bound, and leaves no socket, no timer and no process behind. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { runProgram } from './child.ts'
import { startProxy } from './proxy.ts'
import { answer, frame, frameHead, ruleset, startRaw } from './raw.ts'

stayAlive(t)

/** What the SDK promises for `close`, and something for a busy machine. */
const CLOSE_MS = 2_000 + 1_000

t.test('no timer and no socket is left, referenced or not, at whatever moment it is closed, and the process ends', async t => {
  const server = await startModel(t, [flag('a')])
  const polled = await startModel(t, [flag('a')])
  polled.refuseUpgrades(true)
  const behind = await startProxy(t, server.url)
  behind.freeze(true)
  const half = await startRaw(t, {
    stream: socket => {
      socket.write(frameHead(1_000_000))
      socket.write('{"type":"ruleset","epoch":"e","revision":1,"flags":[')
    },
    answer: socket => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{"epoch"')
    },
  })
  const halfPoll = await startRaw(t, {
    answer: socket => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{"epoch"')
    },
  })
  const refused = 'ws://127.0.0.1:1'
  const urls = { live: server.url, polled: polled.url, hole: behind.url, half: half.url, halfPoll: halfPoll.url, refused }
  const { code, stdout, stderr, lingeredMs } = await runProgram(
    `
    import { createHook } from 'node:async_hooks'
    const kinds = new Set(['Timeout', 'Immediate', 'TCPWRAP', 'TCPCONNECTWRAP', 'TLSWRAP', 'GETADDRINFOREQWRAP', 'HTTPCLIENTREQUEST', 'FILEHANDLE'])
    const left = new Map()
    let isWatching = true
    createHook({
      init (id, kind) { if (isWatching && kinds.has(kind)) left.set(id, kind) },
      destroy (id) { left.delete(id) },
    }).enable()
    const turn = () => new Promise(resolve => setImmediate(resolve))
    const turns = async count => { while (count-- > 0) await turn() }
    const resources = () => process.getActiveResourcesInfo().filter(name => !/Pipe|TTY|Immediate/.test(name)).sort().join()
    await turns(3)
    const before = resources()
    const start = (name, more) => connect({ url: urls[name], key, logger: {}, cache: name === 'live' ? cache : undefined, ...more })
    const moments = {
      'at once': async flags => flags,
      'on the way': async flags => turns(3),
      'later on the way': async flags => turns(30),
      'after a while': async flags => flags.ready(50),
      'while ready waits': async flags => { void flags.ready(60_000) },
    }
    for (const name of Object.keys(urls)) {
      for (const [moment, reach] of Object.entries(moments)) {
        const flags = start(name)
        await reach(flags)
        flags.value('a', {}, false)
        const began = performance.now()
        const closing = flags.close()
        if (flags.close() !== closing) console.log('not the same promise', name, moment)
        await closing
        await flags.close()
        const took = performance.now() - began
        if (took > most) console.log(name, moment, 'took', took)
        flags.value('a', {}, false)
        flags.explain('a', {}, false)
        flags.on('change', () => {})
        await flags.ready(60_000)
        if (flags.status().connected) console.log('still connected', name, moment)
        await turns(3)
        if (resources() !== before) console.log(name, moment, 'left', resources())
      }
    }
    for (const wait of [1, 5, 25]) {
      // In the middle of writing the cache file.
      const flags = start('live')
      await flags.ready(60_000)
      await turns(wait)
      await Promise.all([flags.close(), flags.close()])
    }
    isWatching = false
    // undici ticks once more, after a second, when nothing is open any more.
    for (let i = 0; i < 30 && left.size > 0; i++) {
      // A file's handle says that it is gone when it is collected.
      gc()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    console.log('left:', [...left.values()].join())`,
    { urls, key: KEY, cache: join(t.testdir(), 'sluice.json'), most: CLOSE_MS },
  )
  t.equal(code, 0, stderr)
  t.equal(stdout, 'left: \n')
  t.equal(stderr, '')
  t.ok(lingeredMs < 1_000, `ended ${Math.round(lingeredMs)} ms after its last word`)
})

t.test('what was sent last arrives, though the program exits at once', async t => {
  const rows = 900
  const server = await startModel(t, [flag('a')])
  const { code, stderr } = await runProgram(
    `
    const flags = connect({ url, key })
    await flags.ready(60_000)
    for (let i = 0; i < rows; i++) flags.value('a-rather-long-name-of-a-flag-that-is-not-there-' + i, {}, false)
    await flags.close()
    process.exit(0)`,
    { url: server.url, key: KEY, rows },
  )
  t.equal(code, 0, stderr)
  const arrived = (): number =>
    server.received.filter(message => message.type === 'counts').reduce((sum, { counts }) => sum + (counts as unknown[]).length, 0)
  await server.until(() => arrived() === rows)

  // More than any buffer on the way holds, so that it is still in the process when it closes.
  const bytes = 32 * 1024 * 1024
  let taken = 0
  let told: () => void = () => undefined
  const isOver = new Promise<void>(resolve => (told = resolve))
  const slow = await startRaw(t, {
    stream: socket => {
      socket.on('data', (part: Buffer) => (taken += part.length))
      socket.on('close', told)
    },
  })
  const ended = await runProgram(
    `
    const { networkTransport } = await import(transport)
    const alive = setInterval(() => {}, 60_000)
    const network = networkTransport(url.replace('ws:', 'http:'), key)
    const link = network.open({
      async opened () {
        link.send('x'.repeat(bytes))
        await network.close()
        process.exit(0)
      },
    })`,
    { url: slow.url, key: KEY, bytes, transport: new URL('../../../sdk/transport.js', import.meta.url).href },
  )
  t.equal(ended.code, 0, ended.stderr)
  await isOver
  t.ok(taken >= bytes, `${taken} of ${bytes} bytes`)
})

t.test('a close while the last counts cannot leave is bounded', async t => {
  const server = await startModel(t, [flag('a')])
  const proxy = await startProxy(t, server.url)
  const client = open(t, proxy.url)
  await client.ready()
  proxy.stall()
  for (let i = 0; i < 5_000; i++) client.value(`not-there-${i}`, {}, false)
  const started = performance.now()
  await client.close()
  t.ok(performance.now() - started < CLOSE_MS, `${Math.round(performance.now() - started)} ms`)
})

t.test('close writes the file of the last change', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const server = await startRaw(t, {
    stream: socket => {
      socket.write(frame(ruleset([flag('a')], 1)))
      socket.write(frame(ruleset([flag('a')], 2)))
      socket.write(frame(ruleset([flag('a')], 3)))
    },
    answer: socket => socket.end(answer(503, '')),
  })
  const client = open(t, server.url, { cache })
  await new Promise<void>(resolve => {
    const check = (): void => {
      if (client.status().revision === 3) resolve()
      else setImmediate(check)
    }
    check()
  })
  await client.close()
  t.match(JSON.parse(readFileSync(cache, 'utf8')), { revision: 3 })
})

t.test('two clients in one process know nothing of each other', async t => {
  const one = await startModel(t, [flag('a')])
  const other = await startModel(t, [flag('a', { enabled: false }), flag('b')])
  const first = open(t, one.url)
  const second = open(t, other.url)
  const third = open(t, one.url)
  await Promise.all([first.ready(), second.ready(), third.ready()])
  t.same([first.value('a', {}, null), second.value('a', {}, null), third.value('a', {}, null)], [true, false, true])
  t.equal(first.value('b', {}, null), null)
  let heard = 0
  third.on('change', () => heard++)
  await first.close()
  one.commit(flag('c'))
  await one.until(() => one.received.some(message => message.type === 'applied' && message.revision === 2))
  t.equal(third.value('c', {}, null), true)
  t.equal(first.value('c', {}, null), null)
  t.equal(heard, 1)
  t.match([first.status().connected, second.status().connected, third.status().connected], [false, true, true])
})
