/**
 * Who may open a stream. Decided on the HTTP upgrade, before there is a websocket, so that whoever is refused gets a
 * status and the usual JSON error. Cheap checks come first: a flood is turned away before it costs a key look-up.
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ErrorCode, SluiceError } from '../../schemas/errors.ts'
import { CLIENT_KEY_PREFIX, CLIENT_PATH, CLIENT_PROTOCOL, PROTOCOL } from '../../schemas/protocol.ts'
import { keyOf } from '../access/check.ts'
import { type Access, authorise, kinds, type Policy } from '../access/policy.ts'
import { logOf, SERVER_LOG } from '../log/types.ts'
import type { ChangeLog } from '../log/types.ts'
import type { KeyRing } from '../services.ts'
import { APPOINTMENT_MAX_MS } from './appointments.ts'

/** Who may open a stream: decided on the plain request by the route, on the upgrade here. */
export const streamPolicy = kinds('server')
/** Who may open the one for clients: keys that are public, in the pages of browsers. */
export const clientPolicy = kinds('client')

/** Sockets of one process. Above it new ones are asked to come later, before memory runs out for all. */
export const SOCKETS_MAX = 50_000
/** Those of client keys among them: anyone has such a key, and must not keep out the applications. */
export const CLIENT_SOCKETS_MAX = 30_000
/** Sockets of one key: a program that opens streams in a loop must not crowd out the others. */
export const SOCKETS_PER_KEY_MAX = 20_000
/** `Retry-After` of who is refused for want of room is between these, in seconds, so that a crowd does not come back as one. */
const RETRY_AFTER_MIN = 1
const RETRY_AFTER_MAX = 5

export interface Gate {
  readonly keys: Pick<KeyRing, 'authenticate'>
  readonly log: Pick<ChangeLog, 'state'>
  isDraining(): boolean
  /** Whether the rate of handshakes admits one more; applications go before clients. */
  admit(isClient: boolean): boolean
  /** In how many ms there is room for who was not admitted. */
  appointment(): number
  sockets(): number
  clientSockets(): number
  socketsOf(key: string): number
}

/** A refused handshake: what the caller sees, and after how many seconds to come back, if that helps. */
export interface Refusal {
  readonly error: SluiceError
  readonly retryAfter: number | null
}

/** What a whole fleet may be told at once, made once: an error and its answer cost more than the rest of a refusal. */
const LATER = {
  draining: laterRefusals('NOT_READY', 'This server is about to stop.'),
  full: laterRefusals('NOT_READY', 'This server takes no more streams at the moment.'),
  tooFast: laterRefusals('NOT_READY', 'This server takes no more streams at the moment.', APPOINTMENT_MAX_MS / 1_000),
  keyFull: laterRefusals('TOO_MANY_REQUESTS', `This key has ${SOCKETS_PER_KEY_MAX} streams open.`),
}
const answers = new WeakMap<Refusal, Buffer>()

/** Who is let in. */
export interface Admission {
  readonly access: Access
  readonly log: string
  /** Gets evaluations, not rules. */
  readonly isClient: boolean
}

/** The two ways in. They differ in who may come, in where the key is, and in what is spoken. */
interface Door {
  readonly isClient: boolean
  readonly protocol: string
  readonly policy: Policy
  /** How the key is sent, for who sent none. */
  readonly hint: string
  keyIn(request: IncomingMessage): string | null
}

const DOORS: Readonly<Record<string, Door>> = {
  '/stream': {
    isClient: false,
    protocol: PROTOCOL,
    policy: streamPolicy,
    hint: 'Send one as "Authorization: Bearer slc_server_…".',
    // The header alone: no query, which ends up in log files, and no X-API-Key, which belongs to the HTTP API.
    keyIn: request => keyOf({ authorization: request.headers.authorization }),
  },
  [CLIENT_PATH]: {
    isClient: true,
    protocol: CLIENT_PROTOCOL,
    policy: clientPolicy,
    hint: `Offer it as a second subprotocol, "${CLIENT_KEY_PREFIX}slc_client_…".`,
    keyIn: request => {
      const offered = protocolsOf(request).find(name => name.startsWith(CLIENT_KEY_PREFIX))
      return offered === undefined ? null : offered.slice(CLIENT_KEY_PREFIX.length)
    },
  },
}

/** What is spoken behind the door that a request has come to; the answer of a handshake names it. */
export function protocolOf(request: IncomingMessage): string {
  return doorAt(splitUrl(request.url ?? '')[0])?.protocol ?? PROTOCOL
}

/**
 * @param random in [0, 1), for `Retry-After`
 * Errors: `ROUTE_NOT_FOUND`, `UPGRADE_REQUIRED` (not a websocket of ours), `NOT_READY`, `INVALID_REQUEST`,
 * `KEY_MISSING`, `KEY_INVALID`, `KEY_EXPIRED`, `FORBIDDEN`, `ENVIRONMENT_NOT_FOUND`, `TOO_MANY_REQUESTS`.
 */
export function judge(request: IncomingMessage, gate: Gate, random: number): Admission | Refusal {
  const later = (refusals: readonly Refusal[], share = random): Refusal => refusals[Math.floor(share * refusals.length)]!
  const refuse = (code: ErrorCode, message: string): Refusal => ({ error: new SluiceError(code, message), retryAfter: null })

  const [path, query] = splitUrl(request.url ?? '')
  const door = doorAt(path)
  if (door === undefined)
    return refuse('ROUTE_NOT_FOUND', `There is no websocket here. The stream is at /stream, for client keys at ${CLIENT_PATH}.`)
  if (request.method !== 'GET' || request.headers.upgrade?.toLowerCase() !== 'websocket') {
    return refuse('UPGRADE_REQUIRED', 'The header Upgrade must be "websocket" and the method GET.')
  }
  const { isClient, protocol } = door
  if (gate.isDraining()) return later(LATER.draining)
  if (gate.sockets() >= SOCKETS_MAX || (isClient && gate.clientSockets() >= CLIENT_SOCKETS_MAX)) return later(LATER.full)
  // The one among so many that stands at the moment of its appointment.
  if (!gate.admit(isClient)) return later(LATER.tooFast, Math.min(0.999, gate.appointment() / APPOINTMENT_MAX_MS))

  try {
    const token = door.keyIn(request)
    if (token === null) {
      const warning = query === '' ? '' : ' A key in the query is not taken: it would end up in log files.'
      return refuse('KEY_MISSING', `No key was sent. ${door.hint}${warning}`)
    }
    if (query !== '')
      return refuse('INVALID_REQUEST', 'The stream takes nothing in the query. What an SDK has to say it says in its hello.')
    if (!protocolsOf(request).includes(protocol))
      return refuse('UPGRADE_REQUIRED', `The stream speaks "${protocol}". Offer it in Sec-WebSocket-Protocol.`)

    const access = gate.keys.authenticate(token)
    authorise(door.policy, access, {})
    const log = logOfKey(gate.log, access)
    if (gate.socketsOf(access.id) >= SOCKETS_PER_KEY_MAX) return later(LATER.keyFull)
    return { access, log, isClient }
  } catch (error) {
    if (error instanceof SluiceError) return { error, retryAfter: null }
    throw error
  }
}

/**
 * The log of the one environment that a server or client key is for.
 * Error: `ENVIRONMENT_NOT_FOUND`, which names no other environment: the key may not know of them.
 */
export function logOfKey(log: Pick<ChangeLog, 'state'>, access: Access): string {
  const name = logOf(access.project ?? '', access.environment ?? '')
  if (log.state(SERVER_LOG).documents.environment.has(name)) return name
  throw new SluiceError('ENVIRONMENT_NOT_FOUND', `The environment of key "${access.name}" does not exist any more.`)
}

/** One for each wait there is. */
function laterRefusals(code: ErrorCode, message: string, most = RETRY_AFTER_MAX): readonly Refusal[] {
  return Array.from({ length: most - RETRY_AFTER_MIN + 1 }, (_, i) => {
    const retryAfter = RETRY_AFTER_MIN + i
    return { error: new SluiceError(code, `${message} Come back in ${retryAfter} s.`), retryAfter }
  })
}

/** Answers the upgrade with a plain HTTP error and ends the connection. */
export function answerRefusal(socket: Duplex, refusal: Refusal): void {
  let answer = answers.get(refusal)
  if (answer === undefined) {
    answer = answerOf(refusal)
    answers.set(refusal, answer)
  }
  socket.once('finish', () => socket.destroy())
  socket.end(answer)
}

function answerOf({ error, retryAfter }: Refusal): Buffer {
  const body = JSON.stringify(error)
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  if (retryAfter !== null) head.push(`retry-after: ${retryAfter}`)
  if (error.status === 401) head.push('www-authenticate: Bearer')
  if (error.status === 426) head.push('upgrade: websocket')
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
}

function doorAt(path: string): Door | undefined {
  return Object.hasOwn(DOORS, path) ? DOORS[path] : undefined
}

function splitUrl(url: string): readonly [path: string, query: string] {
  const at = url.indexOf('?')
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
}

function protocolsOf(request: IncomingMessage): readonly string[] {
  return (request.headers['sec-websocket-protocol'] ?? '').split(',').map(name => name.trim())
}
