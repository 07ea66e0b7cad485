/** A TCP proxy that does to connections what middleboxes do. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

interface Teardown {
  teardown(run: () => unknown): void
}

/** Listens on a free port of the loopback and carries everything to `target`, a URL. */
export async function startProxy(t: Teardown, target: string) {
  const { hostname, port } = new URL(target)
  const pairs = new Set<readonly [Socket, Socket]>()
  let isFrozen = false
  let taken = 0
  const server = createServer(inner => {
    taken++
    const outer = connect(Number(port), hostname)
    const pair = [inner, outer] as const
    pairs.add(pair)
    for (const [from, to] of [pair, [outer, inner] as const]) {
      from.on('error', () => undefined)
      from.on('data', (bytes: Buffer) => {
        if (!isFrozen) to.write(bytes)
      })
      from.on('close', () => {
        if (!isFrozen) to.destroy()
        if (inner.destroyed && outer.destroyed) pairs.delete(pair)
      })
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
  }
  t.teardown(() => {
    cut()
    server.close()
  })
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Connections taken so far. */
    get taken() {
      return taken
    },
    /** Close every connection, at both ends. */
    cut,
    /** Read nothing more, so that what is sent fills every buffer on the way. */
    stall: () => {
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    /** From now on bytes vanish, in both directions, and neither end learns of the other's. */
    freeze: (frozen: boolean) => void (isFrozen = frozen),
  }
}
