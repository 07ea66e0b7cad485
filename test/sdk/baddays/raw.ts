/** A server that sends bytes as it is told: what no library for servers would send. */
import { createHash } from 'node:crypto'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { PROTOCOL } from '../../../schemas/protocol.ts'

interface Teardown {
  teardown(run: () => unknown): void
}

export interface Script {
  /** After a good handshake. Without it every upgrade is answered 503. */
  stream?(socket: Socket, nth: number): void
  /** Any other request. Without it 503. */
  answer?(socket: Socket, head: string, nth: number): void
  /** Instead of the protocol that was asked for. */
  readonly protocol?: string
  /** Agree to compressed messages. */
  readonly compresses?: boolean
}

const REFUSED = answer(503, '')

export function answer(status: number, body: string, headers = ''): string {
  return `HTTP/1.1 ${status} Such\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}

/** What stands before a payload of so many bytes. */
export function frameHead(bytes: number, { opcode = 1, fin = true, compressed = false } = {}): Buffer {
  const first = (fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | opcode
  if (bytes < 126) return Buffer.from([first, bytes])
  const head = Buffer.alloc(bytes < 65_536 ? 4 : 10)
  head[0] = first
  head[1] = bytes < 65_536 ? 126 : 127
  if (bytes < 65_536) head.writeUInt16BE(bytes, 2)
  else head.writeBigUInt64BE(BigInt(bytes), 2)
  return head
}

/** A whole message. */
export function frame(payload: Buffer | string, kind: Parameters<typeof frameHead>[1] = {}): Buffer {
  const bytes = Buffer.from(payload)
  return Buffer.concat([frameHead(bytes.length, kind), bytes])
}

/** The message that makes a client live, with these flags. */
export function ruleset(flags: readonly unknown[], revision = 1): string {
  return JSON.stringify({ type: 'ruleset', epoch: 'e', revision, flags, segments: [] })
}

export async function startRaw(t: Teardown, script: Script) {
  const sockets = new Set<Socket>()
  const waiting = new Set<() => void>()
  let streams = 0
  let requests = 0
  const server = createServer(socket => {
    sockets.add(socket)
    let head = ''
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (bytes: Buffer) => {
      if (head.includes('\r\n\r\n')) return
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1]
      if (key === undefined) {
        requests++
        if (script.answer === undefined) socket.end(REFUSED)
        else script.answer(socket, head, requests)
      } else if (script.stream === undefined) socket.end(REFUSED)
      else {
        streams++
        const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n` +
            `sec-websocket-protocol: ${script.protocol ?? PROTOCOL}\r\n${script.compresses === true ? 'sec-websocket-extensions: permessage-deflate\r\n' : ''}\r\n`,
        )
        script.stream(socket, streams)
      }
      for (const check of waiting) check()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get streams() {
      return streams
    },
    get requests() {
      return requests
    },
    /** Resolves when the condition holds; it is looked at after every request. */
    until(condition: () => boolean): Promise<void> {
      return new Promise(resolve => {
        const check = (): void => {
          if (!condition()) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      })
    },
  }
}
