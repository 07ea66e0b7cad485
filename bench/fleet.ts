/**
 * A fleet of SDKs in one process: each is the SDK's own state machine (`sdk/connection.ts`) with its real waits, polls
 * and receipts, over a socket that costs next to nothing (`wire.ts`). What a whole SDK has besides, evaluating and
 * counting, is left out: ten thousand of those do not fit in one machine.
 */
import { type ClientRequest, request } from 'node:http'
import { PROTOCOL } from '../schemas/protocol.ts'
import {
  type Action,
  begin,
  type Event,
  type Loss,
  next,
  NOTHING,
  type Place,
  type PollAnswer,
  type State,
  wakeAt,
} from '../sdk/connection.ts'
import { isDelta, isWhole, parseMessage } from '../sdk/messages.ts'
import { monotonic } from './processes.ts'
import { type Lost, openWire, type Wire } from './wire.ts'

/** As the SDK has it unless told otherwise. */
const POLL_INTERVAL_MS = 30_000

export interface FleetOptions {
  readonly port: number
  readonly key: string
  readonly clients: number
  /** Instance ids are counted from here. */
  readonly first?: number
  /** Numbers in [0, 1). */
  readonly random: () => number
  /** The first attempts are spread over so long. */
  readonly spreadMs?: number
}

export interface FleetCounts {
  /** Clients whose stream is answered. */
  readonly live: number
  /** The lowest revision that any of all clients holds. */
  readonly lowest: number
  readonly attempts: number
  readonly accepted: number
  /** By status; 0 when the server was not reached. */
  readonly refused: Readonly<Record<number, number>>
  readonly polls: number
  /** Of polls answered with 5xx. */
  readonly pollFailures: number
}

/** How a change reached those that were live when it was looked for. */
export interface Outcome {
  readonly live: number
  /** Of these: whose stream was lost before it came. */
  readonly left: number
  /** How long after the look it came, in ms, for each that has it. */
  readonly ms: Float64Array
}

export interface Fleet {
  counts(): FleetCounts
  /** Look for a revision from now on, with everyone who is live now. One at a time. */
  watch(revision: number): void
  /** What has come of it so far. */
  outcome(): Outcome
  close(): void
}

interface Client {
  readonly instance: string
  state: State
  wire: Wire | null
  poll: ClientRequest | null
  timer: NodeJS.Timeout | null
  timerAt: number
  isWatched: boolean
}

export function openFleet(options: FleetOptions): Fleet {
  const { port, key, random, first = 0, spreadMs = 0 } = options
  const headers = [`authorization: Bearer ${key}`, `sec-websocket-protocol: ${PROTOCOL}`]
  const counted = { attempts: 0, accepted: 0, polls: 0, pollFailures: 0 }
  const refused: Record<number, number> = {}
  let isClosed = false

  let watched = Infinity
  let watchedAt = 0
  let live = 0
  let left = 0
  let arrivals = new Float64Array(0)
  let arrived = 0

  const clients = Array.from({ length: options.clients }, (_, i): Client => {
    const state = begin(NOTHING, POLL_INTERVAL_MS, monotonic() + random() * spreadMs)
    const client = { instance: `i${first + i}`, state, wire: null, poll: null, timer: null, timerAt: Infinity, isWatched: false }
    arm(client)
    return client
  })

  function handle(client: Client, event: Event): void {
    if (isClosed) return
    const step = next(client.state, event, monotonic(), random())
    client.state = step.state
    for (const action of step.actions) perform(client, action)
    if (client.isWatched) look(client)
    arm(client)
  }

  function perform(client: Client, action: Action): void {
    switch (action.do) {
      case 'connect':
        return connect(client, action.link)
      case 'hello': {
        const { epoch, revision, hash } = action.held
        const known = hash === '' ? {} : { hash }
        const hello = { type: 'hello', instance: client.instance, service: 'fleet', sdk: 'fleet/1', revision, epoch, ...known }
        return client.wire?.send(JSON.stringify(hello))
      }
      case 'applied':
        return client.wire?.send(`{"type":"applied","revision":${action.revision}}`)
      case 'drop':
        client.wire?.drop()
        client.wire = null
        return
      case 'poll':
        return poll(client, action.poll, action.held)
      case 'stop-polling':
        client.poll?.destroy()
        return
      case 'apply':
      case 'replace':
      case 'note':
    }
  }

  function connect(client: Client, link: number): void {
    counted.attempts++
    client.wire = openWire(
      { port, path: '/stream', headers },
      {
        opened() {
          counted.accepted++
          handle(client, { type: 'opened', link })
        },
        message: text => handle(client, { type: 'message', link, message: parseMessage(text) }),
        lost(how) {
          if (!how.opened) refused[how.status] = (refused[how.status] ?? 0) + 1
          client.wire = null
          handle(client, { type: 'lost', link, why: lossOf(how), retryAfterMs: how.retryAfterMs })
        },
      },
    )
  }

  function poll(client: Client, number: number, held: Place): void {
    counted.polls++
    const answered = (answer: PollAnswer): void => {
      client.poll = null
      handle(client, { type: 'polled', poll: number, answer })
    }
    client.poll = pollRuleset(port, key, held, answered, () => counted.pollFailures++)
  }

  function look(client: Client): void {
    const { stream, held } = client.state
    if (held.revision >= watched) arrivals[arrived++] = monotonic() - watchedAt
    else if (stream.phase === 'live') return
    else left++
    client.isWatched = false
  }

  /** One timer each, set anew only when something is due sooner: most messages merely put off what is due. */
  function arm(client: Client): void {
    const at = wakeAt(client.state) ?? Infinity
    if (at >= client.timerAt) return
    if (client.timer !== null) clearTimeout(client.timer)
    client.timerAt = at
    client.timer = setTimeout(
      () => {
        client.timer = null
        client.timerAt = Infinity
        if ((wakeAt(client.state) ?? Infinity) <= monotonic()) handle(client, { type: 'tick' })
        else arm(client)
      },
      Math.max(0, Math.ceil(at - monotonic())),
    )
  }

  return {
    counts() {
      let [standing, lowest] = [0, Infinity]
      for (const { state } of clients) {
        if (state.stream.phase === 'live') standing++
        lowest = Math.min(lowest, state.held.revision)
      }
      return { live: standing, lowest, ...counted, refused: { ...refused } }
    },
    watch(revision) {
      watched = revision
      watchedAt = monotonic()
      live = 0
      left = 0
      arrived = 0
      for (const client of clients) {
        client.isWatched = client.state.stream.phase === 'live'
        if (client.isWatched) live++
      }
      arrivals = new Float64Array(live)
    },
    outcome: () => ({ live, left, ms: arrivals.slice(0, arrived) }),
    close() {
      isClosed = true
      for (const { wire, poll: asked, timer } of clients) {
        if (timer !== null) clearTimeout(timer)
        wire?.drop()
        asked?.destroy()
      }
    },
  }
}

function lossOf({ reached, opened }: Lost): Loss {
  if (opened) return 'closed'
  return reached ? 'refused' : 'unreachable'
}

/** `GET /ruleset` as the SDK asks it. */
function pollRuleset(port: number, key: string, held: Place, answered: (answer: PollAnswer) => void, failed: () => void): ClientRequest {
  const { epoch, revision, hash } = held
  const known = hash === '' ? '' : `&hash=${encodeURIComponent(hash)}`
  const basis = epoch === '' ? '' : `?epoch=${encodeURIComponent(epoch)}&revision=${revision}${known}`
  const condition = epoch === '' ? {} : { 'if-none-match': `"${[epoch, revision, ...(hash === '' ? [] : [hash])].join('.')}"` }
  const asked = request({
    host: '127.0.0.1',
    port,
    path: `/ruleset${basis}`,
    agent: false,
    headers: { authorization: `Bearer ${key}`, ...condition },
  })
  asked.once('error', error => answered({ kind: 'failed', problem: error.message }))
  asked.once('response', response => {
    const { statusCode = 0 } = response
    const chunks: Buffer[] = []
    response.on('error', () => undefined)
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('end', () => {
      if (statusCode >= 500) failed()
      answered(answerOf(statusCode, response.headers['retry-after'], Buffer.concat(chunks)))
    })
  })
  asked.end()
  return asked
}

function answerOf(status: number, retryAfter: string | undefined, bytes: Buffer): PollAnswer {
  if (status === 304) return { kind: 'unchanged' }
  if (status === 401 || status === 403) return { kind: 'refused' }
  if (status !== 200) return { kind: 'failed', problem: `the server answered ${status}`, retryAfterMs: Number(retryAfter ?? 0) * 1_000 }
  const body: unknown = JSON.parse(bytes.toString())
  if (isDelta(body)) return { kind: 'changes', delta: body }
  return isWhole(body) ? { kind: 'whole', whole: body } : { kind: 'failed', problem: 'the answer is no ruleset' }
}
