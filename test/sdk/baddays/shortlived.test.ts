/** A program that lives for a moment: connects, evaluates, ends. Its counts arrive, it waits for nothing, and it leaves a cache for the next. */
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { startServer } from '../../server/start.ts'
import { runProgram } from './child.ts'

stayAlive(t)
t.setTimeout(120_000)

const PROGRAM = `
  const flags = connect({ url, key, cache, service: 'script' })
  if (waits) await flags.ready(60_000)
  let on = 0
  for (let i = 0; i < 100; i++) if (flags.value('a', { targetingKey: String(i) }, false)) on++
  console.log(on)
  await flags.close()
`

t.test('a script counts in the server, with and without waiting, and ends by itself', async t => {
  const server = await startServer(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'a', kind: 'release', enabled: true })
  await server.call('PATCH', '/api/v1/projects/default/environments/development/flags/a', { enabled: true })
  t.equal(server.services.usage.lastHour('default/development', 'a'), 0)
  const cache = join(t.testdirName, 'sluice.json')
  const counted = async (expected: number): Promise<void> => {
    while (server.services.usage.lastHour('default/development', 'a') < expected) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    t.equal(server.services.usage.lastHour('default/development', 'a'), expected)
  }
  for (const [run, waits] of [true, false].entries()) {
    const { code, stdout, stderr, lingeredMs } = await runProgram(PROGRAM, { url: server.url, key: server.serverKey, cache, waits })
    t.same([code, stdout, stderr], [0, '100\n', ''], waits ? 'after ready' : 'at once, from the cache file')
    t.ok(lingeredMs < 5_000, `${Math.round(lingeredMs)} ms`)
    await counted((run + 1) * 100)
  }
})

t.test('a worker thread has a client of its own, ends by itself, and can be ended', async t => {
  const server = await startModel(t, [flag('a')])
  const sdk = new URL('../../../sdk/index.js', import.meta.url).href
  const code = (then: string): string => `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.sdk).then(async ({ connect }) => {
      const flags = connect({ ...workerData.options, logger: {} })
      await flags.ready(60_000)
      parentPort.postMessage(flags.value('a', {}, false))
      ${then}
    })`
  const here = open(t, server.url)
  await here.ready()
  for (const [name, then] of [
    ['closed', 'await flags.close()'],
    ['left', ''],
    ['ended', 'parentPort.on("message", () => {})'],
  ] as const) {
    const worker = new Worker(code(then), { eval: true, workerData: { sdk, options: { url: server.url, key: KEY } } })
    const [value] = (await once(worker, 'message')) as [unknown]
    t.equal(value, true, name)
    if (name === 'ended') await worker.terminate()
    else t.same(await once(worker, 'exit'), [0], name)
  }
  t.match(here.status(), { connected: true })
  const instances = server.received.filter(message => message.type === 'hello').map(message => message.instance)
  t.equal(new Set(instances).size, 4, 'each by its own name')
})
