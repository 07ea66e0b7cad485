/** A client's stream as a page opens it, the key among the subprotocols; what it was told is kept as the page would keep it. */
import WebSocket from 'ws'
import type { ClientDownstream } from '../../../schemas/clientstream.ts'

interface Test {
  teardown(run: () => unknown): void
}

/** A message as a test looks at it: every field any of them can have. */
export type ClientSaid = ClientDownstream & {
  readonly revision: number
  readonly epoch: string
  readonly from?: number
  readonly contextId?: number
  readonly reset?: boolean
  readonly flags?: readonly Item[]
  readonly removed?: readonly string[]
}

export interface Item {
  readonly key: string
  readonly value?: unknown
  readonly variant?: string
  readonly reason?: string
  readonly errorCode?: string
  readonly errorDetails?: string
  readonly metadata?: Readonly<Record<string, unknown>>
}

export interface ClientStream {
  readonly socket: WebSocket
  /** All flags as they were last told. */
  readonly held: Map<string, Item>
  /** The next message, in order, without beats. */
  next(): Promise<ClientSaid>
  say(message: unknown): void
  hello(context?: unknown, more?: Readonly<Record<string, unknown>>): void
  readonly closed: Promise<{ code: number; reason: string }>
}

/** @param url the server's, `http://…` */
export async function openClient(t: Test, url: string, key: string): Promise<ClientStream> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/stream/client`, ['sluice.client.v1', `key.${key}`])
  t.teardown(() => socket.terminate())
  const arrived: ClientSaid[] = []
  const waiting: ((said: ClientSaid) => void)[] = []
  const held = new Map<string, Item>()
  socket.on('message', data => {
    const said = JSON.parse((data as Buffer).toString()) as ClientSaid
    if (said.type === 'beat') return
    if (said.type === 'evaluations') held.clear()
    for (const item of said.flags ?? []) held.set(item.key, item)
    for (const gone of said.removed ?? []) held.delete(gone)
    const first = waiting.shift()
    if (first === undefined) arrived.push(said)
    else first(said)
  })
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => undefined)
  const say = (message: unknown): void =>
    socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message))
  return {
    socket,
    held,
    next: () => {
      const first = arrived.shift()
      return first === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(first)
    },
    say,
    hello: (context = {}, more = {}) => say({ type: 'hello', sdk: 'test/1', contextId: 1, context, revision: 0, epoch: '', ...more }),
    closed,
  }
}
