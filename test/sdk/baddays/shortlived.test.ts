/** A program that lives for a moment: connects, evaluates, ends. Its counts arrive, it waits for nothing, and it leaves a cache for the next. */
import { join } from 'node:path'
import t from 'tap'
import { stayAlive } from '../open.ts'
import { startServer } from '../../server/start.ts'
import { runProgram } from './child.ts'

stayAlive(t)
t.setTimeout(120_000)

const PROGRAM = `
  const flags = connect({ url, key, cache, service: 'script' })
  if (waits) await flags.ready()
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
  for (const [run, waits] of [true, true, false, false].entries()) {
    const { code, stdout, stderr, lingeredMs } = await runProgram(PROGRAM, { url: server.url, key: server.serverKey, cache, waits })
    t.same([code, stdout, stderr], [0, '100\n', ''], waits ? 'after ready' : 'at once, from the cache file')
    t.ok(lingeredMs < 2_500, `${Math.round(lingeredMs)} ms`)
    await counted((run + 1) * 100)
  }
})
