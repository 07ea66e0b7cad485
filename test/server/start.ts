/** A real server for tests: in this process, on a free port of the loopback, with a SQLite file in the test's own folder. */
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { KeyKind } from '../../schemas/accesskey.ts'
import { buildSluice, type Sluice, type SluiceOptions } from '../../server/app.ts'
import { type Clock, systemClock } from '../../server/clock.ts'
import { type Config, readConfig } from '../../server/config.ts'
import type { Services } from '../../server/services.ts'
import type { HubHandle } from '../../server/stream/hub.ts'

/** Valid for the whole server with the role admin. */
export const ADMIN_KEY = 'admin-key-of-the-tests-1'
/** A server key of `default/development`. */
export const SERVER_KEY = 'server-key-of-the-tests-1'

export interface StartOptions {
  readonly clock?: Clock
  readonly config?: Partial<Config>
  /** A folder for the data; one below `t.testdir()` unless given. */
  readonly data?: string
  readonly logger?: SluiceOptions['logger']
  readonly log?: SluiceOptions['log']
  readonly egress?: SluiceOptions['egress']
  readonly triggers?: SluiceOptions['triggers']
  readonly extend?: SluiceOptions['extend']
}

export interface CallOptions {
  /** The key to send, the admin key unless given; null for none. */
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** What JSON.parse answers, so that a test reads `body.flag.key` without a cast at every step; a wrong step fails the test. */
export type Loose = ReturnType<typeof JSON.parse>

export interface Answer {
  readonly status: number
  /** Parsed when it is JSON, else the text; undefined when empty. */
  readonly body: Loose
  readonly headers: Headers
}

export interface TestServer {
  readonly url: string
  readonly adminKey: string
  /** For `default/development`. */
  readonly serverKey: string
  readonly data: string
  readonly services: Services
  readonly hub: HubHandle
  readonly app: FastifyInstance
  readonly sluice: Sluice
  /** A request over the network. A body that is a string is sent as it is, everything else as JSON. */
  readonly call: (method: string, path: string, body?: unknown, options?: CallOptions) => Promise<Answer>
  /** A new key, made over the API, for `default` and the environment unless told otherwise. */
  readonly makeKey: (
    kind: KeyKind,
    environment?: string,
    more?: Readonly<Record<string, unknown>>,
  ) => Promise<{ id: string; token: string }>
  close(): Promise<void>
  /** Closes and starts again on the same data and port, with other options if given. */
  restart(options?: StartOptions): Promise<void>
}

/** Closed by the end of the test. */
export async function startServer(t: Test, options: StartOptions = {}): Promise<TestServer> {
  const data = options.data ?? newFolder(t)
  const defaults = readConfig({ SLUICE_DATA: data, SLUICE_PORT: '0', SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_SERVER_KEY: SERVER_KEY })
  const start = async (port: number, given: StartOptions): Promise<{ sluice: Sluice; url: string }> => {
    const sluice = await buildSluice({
      config: { ...defaults, port, closeTimeoutMs: 5_000, ...given.config },
      clock: given.clock ?? systemClock,
      logger: given.logger ?? pino({ level: 'silent' }),
      ...(given.log === undefined ? {} : { log: given.log }),
      ...(given.egress === undefined ? {} : { egress: given.egress }),
      ...(given.triggers === undefined ? {} : { triggers: given.triggers }),
      ...(given.extend === undefined ? {} : { extend: given.extend }),
    })
    return { sluice, url: await sluice.listen() }
  }
  let running = await start(0, options)
  t.teardown(() => running.sluice.close())

  const server: TestServer = {
    get url() {
      return running.url
    },
    adminKey: ADMIN_KEY,
    serverKey: SERVER_KEY,
    data,
    get services() {
      return running.sluice.services
    },
    get hub() {
      return running.sluice.hub
    },
    get app() {
      return running.sluice.app
    },
    get sluice() {
      return running.sluice
    },
    async call(method, path, body, { key = ADMIN_KEY, headers = {} } = {}) {
      const response = await fetch(running.url + path, {
        method,
        redirect: 'manual',
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      return answerOf(response)
    },
    async makeKey(kind, environment = 'development', more = {}) {
      const where = kind === 'admin' ? {} : { project: 'default', environment }
      const { status, body } = await server.call('POST', '/api/v1/keys', { kind, name: `${kind} of a test`, ...where, ...more })
      if (status !== 201) throw new Error(`a key could not be made: ${status} ${JSON.stringify(body)}`)
      return { id: body.key.id, token: body.token }
    },
    close: () => running.sluice.close(),
    async restart(other = {}) {
      const { port } = new URL(running.url)
      await running.sluice.close()
      running = await start(Number(port), { ...options, ...other })
    },
  }
  return server
}

/** A test that starts two servers has two folders; `t.testdir()` called twice would empty the first. */
const folders = new WeakMap<Test, number>()
function newFolder(t: Test): string {
  const count = folders.get(t) ?? 0
  folders.set(t, count + 1)
  const parent = count === 0 ? t.testdir() : t.testdirName
  return `${parent}/data-${count + 1}`
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : isJson ? JSON.parse(text) : text }
}
