/** A listening server with the delivery side alone, on a real log, and the two kinds of clients that its tests need. */
import { type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import WebSocket from 'ws'
import type { AccessKey, KeyKind } from '../../../schemas/accesskey.ts'
import { SluiceError } from '../../../schemas/errors.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { Downstream } from '../../../schemas/stream.ts'
import { checkKey } from '../../../server/access/check.ts'
import { openKeyRing } from '../../../server/access/keyring.ts'
import { makeToken } from '../../../server/access/token.ts'
import { type Clock, systemClock } from '../../../server/clock.ts'
import { instanceRoutes } from '../../../server/instances/routes.ts'
import { openLending } from '../../../server/limits/lending.ts'
import { openLog } from '../../../server/log/log.ts'
import { type ChangeLog, type Commit, logOf, type PlannedEdit, SERVER_LOG } from '../../../server/log/types.ts'
import { openRulesets } from '../../../server/rulesets/prepared.ts'
import type { Services } from '../../../server/services.ts'
import { openOutcomes } from '../../../server/outcomes/outcomes.ts'
import { type HubHandle, openHub } from '../../../server/stream/hub.ts'
import { streamRoutes } from '../../../server/stream/routes.ts'
import { telemetryRoutes } from '../../../server/telemetry/routes.ts'
import { openUsage, type UsageHandle } from '../../../server/telemetry/usage.ts'
import { openValves } from '../../../server/valves/valves.ts'

/** What is needed of a test. */
interface Test {
  testdir(): string
  teardown(run: () => unknown): void
}

export const LOG = logOf('default', 'production')
const actor = { kind: 'system' as const, id: 'test', name: 'test' }

export interface BareServer {
  readonly app: FastifyInstance
  readonly port: number
  readonly log: ChangeLog
  readonly hub: HubHandle
  readonly usage: UsageHandle
  /** A server key of `default/production`. */
  readonly token: string
  /** Makes one more key; `environment` null for an admin key. */
  key(kind: KeyKind, environment?: string | null): Promise<{ id: string; token: string }>
  revoke(id: string): Promise<void>
  deleteEnvironment(environment: string): Promise<void>
  /** Writes flags as they are: what is delivered does not depend on what they say. */
  write(...flags: (string | Flag)[]): Promise<Commit>
  remove(flag: string): Promise<Commit>
  stop(): Promise<void>
}

export interface BareOptions {
  readonly data?: string
  readonly clock?: Clock
  readonly handshakesPerSecond?: number
}

/** A flag document of about so many bytes; the name tells two of them apart, for the log leaves out what changes nothing. */
export function flag(key: string, bytes = 10, name = ''): Flag {
  return {
    key,
    name,
    kind: 'config',
    version: 1,
    seed: 1,
    variations: [{ key: 'off', value: 'x'.repeat(bytes) }],
    enabled: true,
    offVariation: 'off',
    prerequisites: [],
    targets: [],
    rules: [],
    fallthrough: { variation: 'off' },
    kills: [],
  }
}

export async function startBare(t: Test, options: BareOptions = {}): Promise<BareServer> {
  const clock = options.clock ?? systemClock
  const app = Fastify({ logger: false, forceCloseConnections: true })
  const logger = app.log
  const log = await openLog({ data: options.data ?? t.testdir(), clock, logger })
  const keys = openKeyRing({
    log,
    clock,
    logger,
    config: { adminKey: undefined, serverKey: undefined },
    project: 'default',
    environment: 'production',
  })
  const config = {
    handshakesPerSecond: options.handshakesPerSecond ?? 1_000,
    closeTimeoutMs: 10_000,
    minuteCountsHours: 48,
    hourCountsDays: 400,
  }
  const usage = await openUsage({ clock, logger, log, storage: log.storage.counts, config })
  const outcomes = openOutcomes({ clock, logger, log })
  const lending = openLending({ clock, logger, log })
  const valves = openValves({ clock, logger, log })
  const hub = openHub({ clock, logger, log, keys, usage, outcomes, lending, valves, rulesets: openRulesets(log), config })
  const services = { clock, logger, log, keys, usage, outcomes, hub, config } as unknown as Services
  app.decorateRequest('access', null)
  app.addHook('onRequest', async request => checkKey(request, keys, { accessOf: () => null }))
  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof SluiceError) return reply.code(error.status).send(error.toJSON())
    return reply.code(500).send({ code: 'INTERNAL', message: String(error), details: [] })
  })
  streamRoutes(app, services, hub)
  instanceRoutes(app, services)
  telemetryRoutes(app, services, usage)
  hub.attach(app)

  const writeServer = async (edits: PlannedEdit[]): Promise<void> => {
    await log.commit({ log: SERVER_LOG, actor, action: 'environment.edit', plan: () => edits })
  }
  const key = async (kind: KeyKind, environment: string | null = 'production'): Promise<{ id: string; token: string }> => {
    const { id, token, hash } = makeToken(kind)
    const where = environment === null ? {} : { project: 'default', environment }
    const grants = kind === 'admin' ? [{ role: 'admin' as const }] : []
    const after: AccessKey = {
      key: id,
      kind,
      name: id,
      hash,
      grants,
      ...where,
      createdAt: '2026-11-21T03:00:00Z',
      createdBy: 'test',
      expiresAt: null,
      version: 1,
    }
    await writeServer([{ type: 'key', key: id, after }])
    return { id, token }
  }
  if (log.state(SERVER_LOG).revision === 0) {
    const environment = (name: string): PlannedEdit => ({
      type: 'environment',
      key: logOf('default', name),
      after: { key: logOf('default', name), project: 'default', environment: name, name, version: 1 },
    })
    await writeServer([
      { type: 'project', key: 'default', after: { key: 'default', name: 'default', version: 1 } },
      environment('production'),
      environment('staging'),
    ])
  }
  const { token } = await key('server')
  await app.listen({ port: 0, host: '127.0.0.1' })

  let stopped = false
  let written = 0
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await hub.close()
    await app.close()
    valves.close()
    keys.close()
    await usage.close()
    await log.close()
  }
  t.teardown(stop)
  const commit = (edits: readonly PlannedEdit[]): Promise<Commit> => log.commit({ log: LOG, actor, action: 'flag.edit', plan: () => edits })
  return {
    app,
    port: (app.server.address() as AddressInfo).port,
    log,
    hub,
    usage,
    token,
    key,
    revoke: id => writeServer([{ type: 'key', key: id, after: null }]),
    deleteEnvironment: environment => writeServer([{ type: 'environment', key: logOf('default', environment), after: null }]),
    write: (...flags) =>
      commit(
        flags
          .map(item => (typeof item === 'string' ? flag(item, 10, String(written++)) : item))
          .map(after => ({ type: 'flag', key: after.key, after })),
      ),
    remove: name => commit([{ type: 'flag', key: name, after: null }]),
    stop,
  }
}

/** A message as a test looks at it: every field any of them can have. */
export type Said = Downstream & {
  readonly revision: number
  readonly from?: number
  readonly hash?: string
  readonly flags?: readonly Flag[]
  readonly removedFlags?: readonly string[]
}

export interface Stream {
  readonly socket: WebSocket
  /** The next message, in order. Those of type `beat` are left out unless asked for. */
  next(): Promise<Said>
  say(message: unknown): void
  hello(revision?: number, epoch?: string, instance?: string, hash?: string): void
  readonly closed: Promise<{ code: number; reason: string }>
}

export interface StreamOptions {
  readonly token?: string
  readonly beats?: boolean
}

/** A stream as an SDK opens it. */
export async function openStream(t: Test, server: BareServer, options: StreamOptions = {}): Promise<Stream> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/stream`, ['sluice.v1'], {
    headers: { authorization: `Bearer ${options.token ?? server.token}` },
  })
  t.teardown(() => socket.terminate())
  const arrived: Said[] = []
  const waiting: ((said: Said) => void)[] = []
  socket.on('message', data => {
    const said = JSON.parse((data as Buffer).toString()) as Said
    if (said.type === 'beat' && options.beats !== true) return
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
    next: () => {
      const first = arrived.shift()
      return first === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(first)
    },
    say,
    hello: (revision = 0, epoch = '', instance = 'i1', hash = undefined) =>
      say({ type: 'hello', instance, service: 'shop', sdk: 'test/1', revision, epoch, hash }),
    closed,
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: { readonly code?: string; readonly message?: string }
}

/** An upgrade that is expected to be refused: what an HTTP client sees of it. */
export function refused(
  server: Pick<BareServer, 'port'>,
  headers: Record<string, string>,
  path = '/stream',
  method = 'GET',
): Promise<Answer> {
  const handshake = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'sluice.v1',
    ...headers,
  }
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path, method, headers: handshake })
    asked.on('error', reject)
    asked.on('upgrade', (_response, socket) => {
      socket.destroy()
      reject(new Error('the upgrade was not refused'))
    })
    asked.on('response', response => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) as Answer['body'] }),
      )
    })
    asked.end()
  })
}

/** A stream over a bare socket, which reads when told and sends any bytes. */
export async function openLine(t: Test, server: BareServer): Promise<Socket> {
  const line = connectTcp({ host: '127.0.0.1', port: server.port })
  t.teardown(() => line.destroy())
  line.on('error', () => undefined)
  await new Promise<void>(resolve => line.once('connect', resolve))
  line.pause()
  line.write(handshakeOf(server))
  return line
}

/** The request that opens a stream. */
export function handshakeOf(server: Pick<BareServer, 'token'>): string {
  const head = [
    'GET /stream HTTP/1.1',
    'host: 127.0.0.1',
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version: 13',
    'sec-websocket-protocol: sluice.v1',
    `authorization: Bearer ${server.token}`,
  ]
  return `${head.join('\r\n')}\r\n\r\n`
}

/** A masked client frame; the mask is zero, so that the payload stays readable. */
export function clientFrame(payload: string, first = 0x81): Buffer {
  const length = Buffer.byteLength(payload)
  if (length > 125) throw new Error('too long for a test frame')
  return Buffer.concat([Buffer.from([first, 0x80 | length, 0, 0, 0, 0]), Buffer.from(payload)])
}

/** Takes the text messages out of what a line has read, after the HTTP answer. Written apart from the server's framing. */
export function messagesIn(bytes: Buffer): Said[] {
  let at = bytes.indexOf('\r\n\r\n') + 4
  const messages: Said[] = []
  while (at + 2 <= bytes.length) {
    const opcode = bytes.readUInt8(at) & 0x0f
    let length = bytes.readUInt8(at + 1)
    let header = 2
    if (length === 126) [length, header] = [bytes.readUInt16BE(at + 2), 4]
    else if (length === 127) [length, header] = [bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6), 10]
    if (at + header + length > bytes.length) break
    if (opcode === 1) messages.push(JSON.parse(bytes.toString('utf8', at + header, at + header + length)) as Said)
    at += header + length
  }
  return messages
}
