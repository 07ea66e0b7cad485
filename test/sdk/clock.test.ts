/** The machine's clock as the SDK uses it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '../../sdk/clock.ts'

t.test('after the process was held up, what waits in a socket is read before a timer runs', async t => {
  let told: (socket: Socket) => void = () => undefined
  const accepted = new Promise<Socket>(resolve => (told = resolve))
  const server = createServer(socket => told(socket))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const peer = await accepted
  const order: string[] = []
  client.on('data', () => order.push('data'))
  await new Promise<void>(resolve => {
    setTimeout(() => order.push('a plain timer'), 1)
    systemClock.after(1, () => {
      order.push('a timer of the clock')
      resolve()
    })
    peer.write('a beat')
    const end = performance.now() + 20
    while (performance.now() < end);
    // Something must keep the process alive: neither timer of the clock does.
    setTimeout(() => undefined, 1_000).unref()
  })
  t.same(order, ['a plain timer', 'data', 'a timer of the clock'])
})

t.test('a timer that is cancelled does not run, not even between its moment and its turn', async t => {
  let ran = 0
  systemClock.after(1, () => ran++).cancel()
  const late = systemClock.after(1, () => ran++)
  await new Promise<void>(resolve =>
    setTimeout(() => {
      late.cancel()
      setImmediate(() => setImmediate(resolve))
    }, 1),
  )
  await new Promise(resolve => setTimeout(resolve, 5))
  t.equal(ran, 0)
})
