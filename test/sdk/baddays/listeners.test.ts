/** Listeners and loggers that misbehave: the application is not taken down by its own, and nobody else misses anything. */
import t from 'tap'
import { open, stayAlive } from '../open.ts'
import { flag, KEY, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'
import { runProgram } from './child.ts'

stayAlive(t)

t.test('nothing that a listener or logger throws, now or later, ends the process', async t => {
  const server = await startModel(t, [flag('a')])
  const { code, stdout, stderr } = await runProgram(
    `
    process.on('unhandledRejection', error => console.log('UNHANDLED', error))
    process.on('uncaughtException', error => console.log('UNCAUGHT', error))
    const bad = [
      () => { throw new Error('thrown') },
      () => { throw Object.create(null) },
      () => { throw undefined },
      () => Promise.reject(new Error('rejected')),
      () => Promise.reject(Object.create(null)),
      () => ({ then (_, reject) { setImmediate(reject, new Error('of another kind')) } }),
      () => ({ then () { throw new Error('of a worse kind') } }),
      () => ({ get then () { throw new Error('of the worst kind') } }),
    ]
    for (const log of [...bad, undefined]) {
      const logger = log && { debug: log, info: log, warn: log, error: log }
      const flags = connect({ url, key, logger, cache: '/dev/null/none' })
      for (const listener of bad) for (const event of ['ready', 'change', 'stale']) flags.on(event, listener)
      let heard = 0
      flags.on('ready', () => heard++)
      flags.on('change', () => heard++)
      flags.on('nonsense', bad[0])
      flags.on('__proto__', bad[0])
      flags.on(Symbol('s'), bad[0])
      flags.on('ready', null)
      await flags.ready(60_000)
      console.log(heard, flags.value('a', {}, false))
      await flags.close()
    }
    await new Promise(resolve => setTimeout(resolve, 20))`,
    { url: server.url, key: KEY },
  )
  t.equal(code, 0, stderr)
  t.equal(stdout, '2 true\n'.repeat(9))
})

t.test('a listener may evaluate, listen, end others and close, in the middle of an event', async t => {
  const server = await startModel(t, [flag('a')])
  const client = open(t, server.url)
  const heard: string[] = []
  let endLast: () => void = () => undefined
  /** Each call adds one more: none of them is called for the same event. */
  const again = (): void => {
    heard.push('again')
    client.on('change', again)
  }
  client.on('change', again)
  client.on('change', keys => {
    heard.push(`value ${client.value('a', {}, false)} at ${client.status().revision}, changed ${keys.join()}`)
    t.type(client.explain('a', {}, false).steps, Array)
    void client.ready(0)
    endLast()
  })
  endLast = client.on('change', () => void heard.push('ended too late'))
  let closing: Promise<void> | undefined
  client.on('ready', () => (closing = client.close()))
  client.on('ready', () => void heard.push('ready'))
  await client.ready()
  await closing
  t.same(heard, ['again', 'value true at 1, changed a', 'ready'])
  t.equal(client.status().connected, false)
  t.equal(client.value('a', {}, false), true)
})

t.test('one function that listens twice is two listeners, and ending one twice ends one', async t => {
  const server = await startModel(t, [flag('a')])
  const { client, pass, until } = openTimelapse(t, server.url)
  let calls = 0
  const listener = (): void => void calls++
  const end = client.on('change', listener)
  client.on('change', listener)
  await pass(1_000)
  t.equal(calls, 2)
  end()
  end()
  server.commit(flag('b'))
  await until(() => client.status().revision === 2)
  t.equal(calls, 3)
})
