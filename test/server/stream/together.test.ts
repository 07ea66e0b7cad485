/**
 * Both ends as they are: the SDK's state machine and the server's sessions, over a network that delays, stalls and
 * cuts, while the log grows, the server restarts and a backup is restored. Virtual time, one seed per schedule.
 */
import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { BEAT_INTERVAL_MS } from '../../../schemas/stream.ts'
import { type Action, begin, type Event, isStale, next, NOTHING, type State, wakeAt } from '../../../sdk/connection.ts'
import { parseMessage } from '../../../sdk/messages.ts'
import {
  beatMessage,
  changeMessage,
  changesMessage,
  currentMessage,
  drainMessage,
  rulesetOpening,
  stepOf,
} from '../../../server/stream/messages.ts'
import { append, emptyRecent, fill, type Recent, stepsFrom } from '../../../server/stream/recent.ts'
import { openSession, type Session, type SessionEvent, step } from '../../../server/stream/session.ts'
import { randomFrom } from '../../random.ts'

const SEEDS = 150
const CLIENTS = 3
const CHAOS_MS = 200_000
const CALM_MS = 150_000
const KEYS = 5
/** How far back the storage is read after a restart; short, so that it is outrun often. */
const STORED = 6

interface Wire {
  readonly session: Session
  readonly client: number
  isOpen: boolean
  buffered: number
  /** Messages of a direction arrive in order. */
  downAt: number
  upAt: number
  stalledUntil: number
}

interface Outcome {
  problem: string | null
  readonly counted: Record<string, number>
}

function run(seed: number): Outcome {
  const random = randomFrom(seed)
  const counted: Record<string, number> = {}
  let problem: string | null = null
  const fail = (what: string): void => void (problem ??= `seed ${seed} at ${Math.round(now)} ms: ${what}`)

  let now = 0
  let order = 0
  let queue: { at: number; order: number; run: () => void }[] = []
  const later = (ms: number, run: () => void): void => void queue.push({ at: now + Math.max(0, ms), order: order++, run })

  // The server
  let epoch = 'e1'
  let isUp = true
  let changes: Change[] = []
  let documents = new Map<string, number>()
  let recent: Recent = emptyRecent(epoch, 0, '')
  const wires = new Map<string, Wire>()

  const flags = (): Flag[] => [...documents].map(([key, version]) => ({ key, version }) as unknown as Flag)
  const whole = (): object => ({ epoch, revision: changes.length, flags: flags(), segments: [] })

  function tell(name: string, event: SessionEvent, change: string | null = null): void {
    const wire = wires.get(name)
    if (wire === undefined) return
    const actions = step(wire.session, event, {
      now,
      buffered: wire.buffered,
      recent,
    })
    for (const action of actions) {
      counted[action.kind] = (counted[action.kind] ?? 0) + 1
      if (action.kind === 'sendChange' && change !== null) send(name, wire, change)
      if (action.kind === 'sendBeat') send(name, wire, beatMessage(recent.epoch, recent.revision))
      if (action.kind === 'sendCurrent') send(name, wire, currentMessage(recent.epoch, recent.revision, ''))
      if (action.kind === 'sendChanges') send(name, wire, changesMessage(recent.epoch, stepsFrom(recent, action.from)))
      if (action.kind === 'sendRuleset') send(name, wire, rulesetOpening(action.isReset) + JSON.stringify(whole()).slice(1))
      if (action.kind === 'ping') later(50 + Math.max(0, wire.stalledUntil - now), () => tell(name, { kind: 'heard' }))
      if (action.kind === 'fill') fillLater()
      if (action.kind === 'close' || action.kind === 'terminate') cut(name)
    }
  }

  function fillLater(): void {
    const [own, floor] = [recent, recent.floor]
    later(random() * 200, () => {
      if (own !== recent) return
      fill(
        recent,
        changes.slice(Math.max(0, floor - STORED), floor).map(change => ({ step: stepOf(change), bytes: 100 })),
      )
      for (const name of [...wires.keys()]) tell(name, { kind: 'filled' })
    })
  }

  function send(name: string, wire: Wire, text: string): void {
    // Some are as large as a ruleset can be, so that a stalled line falls behind.
    const bytes = random() < 0.2 ? 200_000 : 300
    wire.buffered += bytes
    wire.downAt = Math.max(wire.downAt, now + 5 + random() * 100, wire.stalledUntil)
    later(wire.downAt - now, () => {
      if (!wire.isOpen) return
      wire.buffered -= bytes
      feed(wire.client, { type: 'message', link: linkOf(name), message: parseMessage(text) })
      if (wire.buffered === 0) tell(name, { kind: 'drained' })
    })
  }

  function cut(name: string): void {
    const wire = wires.get(name)
    if (wire === undefined) return
    wire.isOpen = false
    wires.delete(name)
    later(random() * 50, () => feed(wire.client, { type: 'lost', link: linkOf(name), why: 'closed' }))
  }

  function commit(): void {
    const revision = changes.length + 1
    const key = `f${Math.floor(random() * KEYS)}`
    const after = documents.has(key) && random() < 0.25 ? null : revision
    if (after === null) documents.delete(key)
    else documents.set(key, after)
    const change = {
      revision,
      hash: '',
      previousHash: '',
      edits: [{ type: 'flag', key, before: null, after: after === null ? null : { key, version: after } }],
    } as unknown as Change
    changes.push(change)
    const entry = stepOf(change)
    append(recent, epoch, entry, 100)
    const text = changeMessage(epoch, entry, false)
    for (const name of [...wires.keys()]) tell(name, { kind: 'published', epoch, from: entry.from, revision, hash: '' }, text)
  }

  function restart(isRestored: boolean): void {
    isUp = false
    if (random() < 0.5) for (const [name, wire] of wires) send(name, wire, drainMessage(500, 2_000))
    for (const name of [...wires.keys()]) later(150, () => cut(name))
    later(200 + random() * 15_000, () => {
      if (isRestored) {
        changes = changes.slice(0, Math.max(0, changes.length - 3))
        documents = new Map()
        for (const { edits } of changes) {
          for (const { key, after } of edits) {
            if (after === null) documents.delete(key)
            else documents.set(key, (after as unknown as Flag).version)
          }
        }
        epoch = `e${Number(epoch.slice(1)) + 1}`
      }
      recent = emptyRecent(epoch, changes.length, '')
      isUp = true
    })
  }

  // The clients
  const clients = Array.from({ length: CLIENTS }, () => ({
    state: begin(NOTHING, 30_000, 0),
    held: new Map<string, number>(),
    wakeAt: Infinity,
  }))
  const linkOf = (name: string): number => Number(name.split(':')[1])

  function feed(i: number, event: Event): void {
    const client = clients[i]
    if (client === undefined) return
    const before: State = client.state
    const { state, actions } = next(before, event, now, random())
    client.state = state
    if (state.held.epoch === before.held.epoch && state.held.revision < before.held.revision) fail(`client ${i} went back`)
    for (const action of actions) perform(i, client.held, action)
    const at = wakeAt(client.state)
    if (at === null || at === client.wakeAt) return
    client.wakeAt = at
    later(at - now, () => {
      if (client.wakeAt !== at) return
      client.wakeAt = Infinity
      feed(i, { type: 'tick' })
    })
  }

  function perform(i: number, held: Map<string, number>, action: Action): void {
    if (action.do === 'connect') {
      const name = `${i}:${action.link}`
      later(20 + random() * 300, () => {
        if (!isUp) return feed(i, { type: 'lost', link: action.link, why: 'unreachable' })
        wires.set(name, { session: openSession(now, random()), client: i, isOpen: true, buffered: 0, downAt: 0, upAt: 0, stalledUntil: 0 })
        feed(i, { type: 'opened', link: action.link })
      })
    }
    if (action.do === 'drop') wires.delete(`${i}:${action.link}`)
    if (action.do === 'hello') {
      const { epoch, revision } = action.held
      say(`${i}:${action.link}`, { kind: 'hello', hello: { type: 'hello', instance: `i${i}`, service: 's', sdk: 't', epoch, revision } })
    }
    if (action.do === 'applied') say(`${i}:${action.link}`, { kind: 'applied', revision: action.revision })
    if (action.do === 'replace' || action.do === 'apply') {
      const message = action.do === 'replace' ? action.whole : action.delta
      if (action.do === 'replace') held.clear()
      for (const { key, version } of message.flags) held.set(key, version)
      if (action.do === 'apply') for (const key of action.delta.removedFlags) held.delete(key)
    }
    if (action.do === 'poll') {
      later(20 + random() * 500, () => {
        if (!isUp) return feed(i, { type: 'polled', poll: action.poll, answer: { kind: 'failed', problem: 'down' } })
        const isHeld = action.held.epoch === epoch && action.held.revision === changes.length
        const body = parseMessage(rulesetOpening(false) + JSON.stringify(whole()).slice(1))
        if (body?.type !== 'ruleset') return fail('a ruleset cannot be read')
        feed(i, { type: 'polled', poll: action.poll, answer: isHeld ? { kind: 'unchanged' } : { kind: 'whole', whole: body } })
      })
    }
  }

  function say(name: string, event: SessionEvent): void {
    const wire = wires.get(name)
    if (wire === undefined) return
    wire.upAt = Math.max(wire.upAt, now + 5 + random() * 50)
    later(wire.upAt - now, () => {
      if (wire.isOpen && wires.get(name) === wire) tell(name, event)
    })
  }

  // Time
  function disturb(): void {
    if (now < CHAOS_MS) later(random() * 2_000, disturb)
    else return
    const dice = random()
    const names = [...wires.keys()]
    const name = names[Math.floor(random() * names.length)]
    if (dice < 0.6) {
      if (isUp) commit()
    } else if (dice < 0.8 && name !== undefined) {
      const wire = wires.get(name)
      if (wire !== undefined) wire.stalledUntil = now + random() * 30_000
    } else if (dice < 0.95 && name !== undefined) cut(name)
    else if (isUp) restart(dice > 0.99)
  }
  function look(): void {
    later(1_000, look)
    const isBeat = Math.round(now / 1_000) % (BEAT_INTERVAL_MS / 1_000) === 0
    for (const name of [...wires.keys()]) {
      tell(name, { kind: 'tick' })
      if (isBeat) tell(name, { kind: 'beat' })
    }
  }
  for (let i = 0; i < CLIENTS; i++) feed(i, { type: 'tick' })
  later(0, look)
  disturb()
  while (now < CHAOS_MS + CALM_MS && problem === null) {
    let first = queue[0]
    for (const one of queue) if (first === undefined || one.at < first.at || (one.at === first.at && one.order < first.order)) first = one
    if (first === undefined) break
    const chosen = first
    queue = queue.filter(one => one !== chosen)
    now = chosen.at
    chosen.run()
  }

  const expected = JSON.stringify([...documents].sort())
  for (const [i, { state, held }] of clients.entries()) {
    if (JSON.stringify([...held].sort()) !== expected || state.held.epoch !== epoch || state.held.revision !== changes.length) {
      fail(`client ${i} ends with ${state.held.epoch}.${state.held.revision}, not ${epoch}.${changes.length}, or other documents`)
    } else if (state.stream.phase !== 'live' || isStale(state))
      fail(`client ${i} ends ${state.stream.phase}${isStale(state) ? ', stale' : ''}`)
    const name = [...wires.keys()].find(name => name.startsWith(`${i}:`))
    if (name === undefined || wires.get(name)?.session.confirmed !== changes.length) fail(`client ${i} has not confirmed`)
  }
  return { problem, counted }
}

t.test('SDK and server end with the same state, confirmed, whatever the network and the server did', async t => {
  const counted: Record<string, number> = {}
  let problem: string | null = null
  for (let seed = 1; seed <= SEEDS && problem === null; seed++) {
    const outcome = run(seed)
    problem = outcome.problem
    for (const [kind, count] of Object.entries(outcome.counted)) counted[kind] = (counted[kind] ?? 0) + count
  }
  t.equal(problem, null)
  for (const kind of ['sendChange', 'sendChanges', 'sendRuleset', 'sendBeat', 'sendCurrent', 'fill', 'confirm']) {
    t.ok((counted[kind] ?? 0) > 10, `the schedules have led to ${kind}`)
  }
})
