/**
 * A websocket client that costs next to nothing, so that one process holds thousands and what is measured is the server:
 * a TCP socket, one read buffer for all of them, frames read in place. Text frames, pings and closes are all it knows.
 */
import { connect } from 'node:net'

const READ_BYTES = 64 * 1024
/** Bytes are handed over within the call that read them, so one buffer serves every socket of the process. */
const shared = Buffer.allocUnsafe(READ_BYTES)
const HEAD_END = Buffer.from('\r\n\r\n')
const [TEXT, CLOSE, PING, PONG] = [0x1, 0x8, 0x9, 0xa]

export interface WireOptions {
  readonly port: number
  readonly path?: string
  /** Further lines of the request, as in `authorization: Bearer …`. */
  readonly headers?: readonly string[]
}

export interface WireEvents {
  /** The upgrade was taken. */
  opened(): void
  message(text: string): void
  /** Once, at the end, unless `drop` came first. */
  lost(how: Lost): void
}

export interface Lost {
  /** Whether a connection was made, and whether it became a websocket. */
  readonly reached: boolean
  readonly opened: boolean
  /** Of the refusal; 0 when there was none. `retryAfterMs` is what it asked for. */
  readonly status: number
  readonly retryAfterMs: number
  /** Of the close frame; 0 when none came. */
  readonly code: number
}

export interface Wire {
  send(text: string): void
  /** Stop taking bytes off the socket. */
  pause(): void
  drop(): void
}

export function openWire({ port, path = '/', headers = [] }: WireOptions, events: WireEvents): Wire {
  let reached = false
  let opened = false
  let isOver = false
  let status = 0
  let retryAfterMs = 0
  let code = 0
  /** What came of a head or frame that is not whole yet; put together once, when as many bytes are there as its head says. */
  let kept: Buffer[] = []
  let keptBytes = 0
  let neededBytes = 0

  const socket = connect({
    host: '127.0.0.1',
    port,
    noDelay: true,
    onread: {
      buffer: shared,
      callback(length) {
        take(shared.subarray(0, length))
        return true
      },
    },
  })
  socket.on('error', () => undefined)
  socket.on('connect', () => {
    reached = true
    socket.write(requestOf(path, headers))
  })
  socket.on('close', () => {
    if (isOver) return
    isOver = true
    events.lost({ reached, opened, status, retryAfterMs, code })
  })

  function take(chunk: Buffer): void {
    if (keptBytes + chunk.length < neededBytes) return keep(chunk)
    let bytes = kept.length === 0 ? chunk : Buffer.concat([...kept, chunk])
    kept = []
    keptBytes = 0
    neededBytes = 0
    if (!opened) {
      const end = bytes.indexOf(HEAD_END)
      if (end === -1) return keep(bytes)
      status = Number(bytes.toString('latin1', 9, 12))
      if (status !== 101) {
        const [, seconds = '0'] = /\r\nretry-after: (\d+)\r\n/i.exec(bytes.toString('latin1', 0, end + 2)) ?? []
        retryAfterMs = Number(seconds) * 1_000
        return void socket.destroy()
      }
      status = 0
      opened = true
      events.opened()
      bytes = bytes.subarray(end + HEAD_END.length)
    }
    while (bytes.length >= 2 && !isOver) {
      const [length, header] = lengthOf(bytes)
      neededBytes = length === Infinity ? 0 : header + length
      if (bytes.length < header + length) break
      neededBytes = 0
      perform((bytes[0] ?? 0) & 0x0f, bytes.subarray(header, header + length))
      bytes = bytes.subarray(header + length)
    }
    if (bytes.length > 0) keep(bytes)
  }

  function keep(bytes: Buffer): void {
    // The shared buffer is written over by the next socket.
    kept.push(Buffer.from(bytes))
    keptBytes += bytes.length
  }

  function perform(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) events.message(payload.toString())
    else if (opcode === PING) socket.write(frame(PONG, Buffer.from(payload)))
    else if (opcode === CLOSE) {
      code = payload.length >= 2 ? payload.readUInt16BE(0) : 0
      socket.end(frame(CLOSE, Buffer.from(payload)))
    }
  }

  return {
    send: text => void socket.write(frame(TEXT, Buffer.from(text))),
    pause: () => void socket.pause(),
    drop() {
      isOver = true
      socket.destroy()
    },
  }
}

function requestOf(path: string, headers: readonly string[]): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    'host: 127.0.0.1',
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Of a server's frame, which is not masked; an incomplete header counts as a frame that is not whole. */
function lengthOf(bytes: Buffer): readonly [length: number, header: number] {
  const short = (bytes[1] ?? 0) & 0x7f
  if (short < 126) return [short, 2]
  if (short === 126) return bytes.length < 4 ? [Infinity, 4] : [bytes.readUInt16BE(2), 4]
  return bytes.length < 10 ? [Infinity, 10] : [Number(bytes.readBigUInt64BE(2)), 10]
}

/** Masked, as a client's frames are, with a mask of zeros. */
function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const head = length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.from([0x80 | opcode, 0xfe, length >> 8, length & 0xff])
  return Buffer.concat([head, Buffer.alloc(4), payload])
}
