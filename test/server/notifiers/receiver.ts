/** A real place that notifiers send to: it remembers what came and answers as it is told. */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Loose } from '../start.ts'

/** What receivers need the server to allow. */
export const EGRESS_ALLOW = ['127.0.0.0/8']

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** The body as it came. */
  readonly text: string
  /** The same, parsed. */
  readonly body: Loose
}

/** A status alone, or with more; null hangs. */
export type ReceiverAnswer = number | null | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }

export interface Receiver {
  readonly url: string
  /** All that came so far. */
  readonly received: readonly Received[]
  /** How the next ones are answered: the first answer for the first, the last for all after it. */
  answer(...answers: ReceiverAnswer[]): void
  /** Resolves with the request of this number, counted from 1, once it has come. */
  nth(number: number): Promise<Received>
}

export async function startReceiver(t: { teardown(run: () => unknown): void }): Promise<Receiver> {
  const received: Received[] = []
  const waiters = new Set<() => void>()
  let answers: ReceiverAnswer[] = [200]
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const text = Buffer.concat(pieces).toString()
      const { method = '', url = '', headers } = request
      received.push({ method, path: url, headers, text, body: text === '' ? undefined : JSON.parse(text) })
      const [answer = 200, ...more] = answers
      if (more.length > 0) answers = more
      if (answer !== null) {
        const { status, headers = {}, body = '' } = typeof answer === 'number' ? { status: answer } : answer
        response.writeHead(status, headers).end(body)
      }
      for (const waiter of waiters) waiter()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    answer(...next) {
      answers = next
    },
    nth(number) {
      return new Promise(resolve => {
        const look = (): void => {
          const found = received[number - 1]
          if (found === undefined) return
          waiters.delete(look)
          resolve(found)
        }
        waiters.add(look)
        look()
      })
    },
  }
}
