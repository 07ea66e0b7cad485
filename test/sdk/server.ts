/** A small server that speaks the stream's protocol and misbehaves on demand: what the real one rightly refuses to do. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { PROTOCOL } from '../../schemas/protocol.ts'

export const KEY = 'slc_server_k1_0123456789abcdef0123456789abcdef'

interface Teardown {
  teardown(run: () => void | Promise<void>): void
}

export interface Received {
  readonly type: string
  readonly [field: string]: unknown
}

/** Listens on any free port of the loopback. */
export async function startModel(t: Teardown, flags: readonly Flag[] = []) {
  let epoch = 'epoch-1'
  let revision = flags.length
  const documents = new Map(flags.map(flag => [flag.key, flag]))
  const segments = new Map<string, Segment>()
  const live = new Set<WebSocket>()
  const received: Received[] = []
  const telemetry: Received[] = []
  const waiting = new Set<() => void>()
  let polls = 0
  let refusal: number | null = null
  let refusesUpgrades = false
  let page: string | null = null
  let retryAfter: number | null = null
  let answers = true
  const history: { revision: number; flag: string }[] = []

  const heard = (): void => waiting.forEach(check => check())
  const isKnown = (authorization: string | undefined): boolean => authorization === `Bearer ${KEY}`
  const whole = () => ({ epoch, revision, flags: [...documents.values()], segments: [...segments.values()] })
  const delta = (type: string, from: number) => {
    const touched = new Set(history.filter(entry => entry.revision > from).map(entry => entry.flag))
    return {
      type,
      epoch,
      from,
      revision,
      flags: [...touched].flatMap(key => documents.get(key) ?? []),
      segments: [],
      removedFlags: [...touched].filter(key => !documents.has(key)),
      removedSegments: [],
    }
  }

  const knows = (held: URLSearchParams): boolean => held.get('epoch') === epoch && Number(held.get('revision')) < revision

  const http = createServer((request, response) => {
    if (page !== null) return void response.writeHead(200, { 'content-type': 'text/html' }).end(page)
    const refused = refusal ?? (isKnown(request.headers.authorization) ? null : 401)
    if (refused !== null) return void response.writeHead(refused, retryAfter === null ? {} : { 'retry-after': `${retryAfter}` }).end('{}')
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname === '/ruleset') {
      polls++
      heard()
      const etag = `"${epoch}.${revision}"`
      if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end()
      return void response
        .writeHead(200, { etag, 'content-type': 'application/json' })
        .end(JSON.stringify(knows(searchParams) ? delta('changes', Number(searchParams.get('revision'))) : whole()))
    }
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      telemetry.push(JSON.parse(body) as Received)
      heard()
      response.writeHead(200).end('{}')
    })
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => PROTOCOL })
  http.on('upgrade', (request, socket, head) => {
    socket.on('error', () => undefined)
    if (page !== null) return void socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${page.length}\r\nconnection: close\r\n\r\n${page}`)
    const refused = refusal ?? (refusesUpgrades ? 403 : isKnown(request.headers.authorization) ? null : 401)
    const later = retryAfter === null ? '' : `retry-after: ${retryAfter}\r\n`
    if (refused !== null) return void socket.end(`HTTP/1.1 ${refused} No\r\n${later}content-length: 0\r\nconnection: close\r\n\r\n`)
    sockets.handleUpgrade(request, socket, head, websocket => {
      websocket.on('error', () => undefined)
      websocket.on('close', () => {
        live.delete(websocket)
        heard()
      })
      websocket.on('message', data => {
        const message = JSON.parse((data as Buffer).toString()) as Received
        received.push(message)
        if (message.type === 'hello' && answers) greet(websocket, String(message.epoch), Number(message.revision))
        heard()
      })
    })
  })

  function greet(websocket: WebSocket, itsEpoch: string, itsRevision: number): void {
    live.add(websocket)
    if (itsEpoch !== epoch || itsRevision > revision) websocket.send(JSON.stringify({ type: 'ruleset', ...whole() }))
    else if (itsRevision === revision) websocket.send(JSON.stringify({ type: 'current', epoch, revision }))
    else websocket.send(JSON.stringify(delta('changes', itsRevision)))
  }

  let isDark = false
  http.on('connection', socket => {
    if (isDark) socket.destroy()
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    for (const socket of sockets.clients) socket.terminate()
    http.closeAllConnections()
    await new Promise(resolve => http.close(resolve))
  }
  t.teardown(close)

  return {
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`,
    received,
    telemetry,
    live,
    get revision() {
      return revision
    },
    get polls() {
      return polls
    },
    /** Answer every request with this status, and say after how many seconds to come back; null for none. */
    refuse(status: number | null, seconds: number | null = null) {
      refusal = status
      retryAfter = seconds
    },
    /** Answer everything with this page; null for none. */
    portal: (text: string | null) => void (page = text),
    refuseUpgrades: (isRefused: boolean) => void (refusesUpgrades = isRefused),
    /** Do not answer `hello`. */
    stayMute: () => void (answers = false),
    /** Pretend another life of the log. */
    restore(flags: readonly Flag[], itsRevision: number) {
      epoch = `${epoch}+`
      revision = itsRevision
      documents.clear()
      history.length = 0
      for (const flag of flags) documents.set(flag.key, flag)
    },
    /** As if gone, but keeping its port, which another test might take meanwhile. */
    goDark(dark: boolean) {
      isDark = dark
      if (!dark) return
      for (const socket of sockets.clients) socket.terminate()
      http.closeAllConnections()
    },
    /** One commit: the flag as it is now, or removed. */
    commit(flag: Flag | { readonly removed: string }, tell = true) {
      const from = revision++
      const key = 'removed' in flag ? flag.removed : flag.key
      if ('removed' in flag) documents.delete(key)
      else documents.set(key, flag)
      history.push({ revision, flag: key })
      if (tell) this.send(delta('change', from))
    },
    /** To every socket, as it is. */
    send(message: object | string) {
      for (const websocket of live) websocket.send(typeof message === 'string' ? message : JSON.stringify(message))
    },
    cut() {
      for (const websocket of live) websocket.terminate()
    },
    /** Resolves when the condition holds; it is looked at whenever something arrives. */
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
    close,
  }
}

/** A boolean flag that is on for everyone. */
export function flag(key: string, changes: Partial<Flag> = {}): Flag {
  return {
    key,
    kind: 'release',
    version: 1,
    seed: 1,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    enabled: true,
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { variation: 'on' },
    ...changes,
  }
}
