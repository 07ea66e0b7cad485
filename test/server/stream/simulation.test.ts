/**
 * Seeded schedules of changes, drops, slow reads, restarts, lost changes and restored backups, run through the session
 * and the history as the hub runs them, against a client that does what the protocol asks of it.
 */
import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { changeMessage, changesMessage, type Step, stepOf } from '../../../server/stream/messages.ts'
import { append, emptyRecent, fill, type Recent, stepsFrom } from '../../../server/stream/recent.ts'
import { openSession, type Readings, type Session, type SessionEvent, step } from '../../../server/stream/session.ts'
import { randomFrom } from '../../random.ts'

const SCHEDULES = 1_500
const STEPS = 250
const CLIENTS = 4
const KEYS = 6

interface Message {
  readonly type: string
  readonly epoch: string
  readonly revision: number
  readonly from: number
  readonly flags: readonly Flag[]
  readonly removedFlags: readonly string[]
  readonly reset?: boolean
}

class Client {
  epoch = ''
  revision = 0
  documents = new Map<string, number>()
  problem: string | null = null

  /** Applies a message all at once or not at all; says whether a receipt is due. */
  take(message: Message): boolean {
    if (message.type === 'current' || message.type === 'beat') return false
    if (message.type === 'ruleset') {
      if (message.epoch === this.epoch && message.revision < this.revision && message.reset !== true) {
        this.problem ??= `went back from ${this.revision} to ${message.revision}`
      }
      this.documents = new Map(message.flags.map(flag => [flag.key, flag.version]))
    } else {
      if (message.epoch !== this.epoch || message.from > this.revision) {
        this.problem ??= `gap: holds ${this.epoch}.${this.revision}, got ${message.epoch}.${message.from}-${message.revision}`
      }
      if (message.revision <= this.revision) return false
      for (const flag of message.flags) this.documents.set(flag.key, flag.version)
      for (const key of message.removedFlags) this.documents.delete(key)
    }
    this.epoch = message.epoch
    this.revision = message.revision
    return true
  }
}

class World {
  readonly random: () => number
  epoch = 'e1'
  now = 0
  changes: Change[] = []
  documents = new Map<string, Flag>()
  recent: Recent
  links: { session: Session; down: { text: string; bytes: number }[]; up: SessionEvent[] }[] = []
  clients = Array.from({ length: CLIENTS }, () => new Client())
  fills: (() => void)[] = []
  counted: Record<string, number> = {}

  constructor(seed: number) {
    this.random = randomFrom(seed)
    this.recent = emptyRecent(this.epoch, 0, '')
    this.clients.forEach((_, i) => this.connect(i))
  }

  readings(i: number): Readings {
    const buffered = this.links[i]?.down.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0
    return { now: this.now, buffered, recent: this.recent }
  }

  connect(i: number): void {
    const client = this.clients[i]
    if (client === undefined) return
    const said = { type: 'hello' as const, instance: `i${i}`, service: 's', sdk: 't', revision: client.revision, epoch: client.epoch }
    this.links[i] = { session: openSession(this.now, 0), down: [], up: [{ kind: 'hello', hello: said }] }
  }

  tell(i: number, event: SessionEvent, change: string | null): void {
    const link = this.links[i]
    if (link === undefined) return
    const send = (text: string): void => void link.down.push({ text, bytes: this.random() < 0.3 ? 300_000 : 100 })
    for (const action of step(link.session, event, this.readings(i))) {
      this.counted[action.kind] = (this.counted[action.kind] ?? 0) + 1
      if (action.kind === 'sendChange' && change !== null) send(change)
      if (action.kind === 'sendCurrent' || action.kind === 'sendBeat') {
        send(
          JSON.stringify({
            type: action.kind === 'sendBeat' ? 'beat' : 'current',
            epoch: this.recent.epoch,
            revision: this.recent.revision,
          }),
        )
      }
      if (action.kind === 'sendChanges') send(changesMessage(this.recent.epoch, stepsFrom(this.recent, action.from)))
      if (action.kind === 'sendRuleset') {
        const reset = action.isReset ? { reset: true } : {}
        send(
          JSON.stringify({
            type: 'ruleset',
            ...reset,
            epoch: this.epoch,
            revision: this.changes.length,
            flags: [...this.documents.values()],
          }),
        )
      }
      if (action.kind === 'fill') {
        const floor = this.recent.floor
        const recent = this.recent
        this.fills.push(() => {
          if (recent !== this.recent) return
          const older = this.changes.slice(Math.max(0, floor - 20), floor).map(stepOf)
          fill(
            recent,
            older.map(entry => ({ step: entry, bytes: 100 })),
          )
          for (let other = 0; other < CLIENTS; other++) this.tell(other, { kind: 'filled' }, null)
        })
      }
      if (action.kind === 'close' || action.kind === 'terminate') this.connect(i)
    }
  }

  commit(): void {
    const revision = this.changes.length + 1
    const key = `f${Math.floor(this.random() * KEYS)}`
    const isRemoval = this.documents.has(key) && this.random() < 0.3
    const after = isRemoval ? null : ({ key, version: revision } as unknown as Flag)
    if (after === null) this.documents.delete(key)
    else this.documents.set(key, after)
    const change = { revision, hash: '', previousHash: '', edits: [{ type: 'flag', key, before: null, after }] } as unknown as Change
    this.changes.push(change)
    const entry: Step = stepOf(change)
    append(this.recent, this.epoch, entry, 100)
    // A history as short as this one is outrun often.
    while (this.recent.kept.length > 8) {
      const oldest = this.recent.kept.shift()
      this.recent.floor = oldest?.step.revision ?? this.recent.floor
    }
    const text = changeMessage(this.epoch, entry, false)
    for (let i = 0; i < CLIENTS; i++) this.tell(i, { kind: 'published', epoch: this.epoch, from: entry.from, revision, hash: '' }, text)
  }

  deliver(i: number): void {
    const link = this.links[i]
    const client = this.clients[i]
    const next = link?.down.shift()
    if (link === undefined || client === undefined || next === undefined) return
    const message = JSON.parse(next.text) as Message
    if (client.take(message)) link.up.push({ kind: 'applied', revision: message.revision })
    if (link.down.length === 0) this.tell(i, { kind: 'drained' }, null)
  }

  hear(i: number): void {
    const event = this.links[i]?.up.shift()
    if (event !== undefined) this.tell(i, event, null)
  }

  /** The server comes back with nothing in memory; with `lost`, without its newest changes. */
  restart(lost: number, isRestored: boolean): void {
    if (lost > 0) {
      this.changes.length = Math.max(0, this.changes.length - lost)
      this.documents.clear()
      for (const change of this.changes) {
        for (const { key, after } of change.edits) {
          if (after === null) this.documents.delete(key)
          else this.documents.set(key, after as unknown as Flag)
        }
      }
    }
    if (isRestored) this.epoch = `${this.epoch}+`
    this.recent = emptyRecent(this.epoch, this.changes.length, '')
    this.fills = []
    this.clients.forEach((_, i) => this.connect(i))
    // A lost change whose number is taken by another before the SDK is back cannot be told apart by number; the log
    // has to start a new epoch when that may have happened. Here everyone is back first.
    if (lost > 0 && !isRestored) {
      for (let i = 0; i < CLIENTS; i++) {
        this.hear(i)
        this.deliver(i)
      }
    }
  }

  act(): void {
    this.now += this.random() * 300
    const i = Math.floor(this.random() * CLIENTS)
    const dice = this.random()
    if (dice < 0.3) this.commit()
    else if (dice < 0.6) this.deliver(i)
    else if (dice < 0.8) this.hear(i)
    else if (dice < 0.86) this.connect(i)
    else if (dice < 0.9) this.fills.shift()?.()
    else if (dice < 0.94) this.tell(i, { kind: 'beat' }, null)
    else if (dice < 0.98) this.tell(i, { kind: 'tick' }, null)
    else if (dice < 0.99) this.restart(0, false)
    else if (dice < 0.995) this.restart(3, true)
    else this.restart(Math.floor(this.random() * 3), false)
  }

  settle(): void {
    for (let round = 0; round < 60; round++) {
      for (const run of this.fills.splice(0)) run()
      for (let i = 0; i < CLIENTS; i++) {
        for (let n = 0; n < 20; n++) {
          this.hear(i)
          this.deliver(i)
        }
        this.tell(i, { kind: 'beat' }, null)
      }
    }
  }
}

t.test('whatever happens on the way, everyone ends with what the log has, and goes forward only', async t => {
  const counted: Record<string, number> = {}
  let problem: string | null = null
  for (let seed = 1; seed <= SCHEDULES && problem === null; seed++) {
    const world = new World(seed)
    for (let i = 0; i < STEPS; i++) world.act()
    world.settle()
    const expected = JSON.stringify([...world.documents].map(([key, flag]) => [key, flag.version]).sort())
    for (const [i, client] of world.clients.entries()) {
      const held = JSON.stringify([...client.documents].sort())
      if (client.problem !== null) problem = `seed ${seed}, client ${i}: ${client.problem}`
      else if (client.revision !== world.changes.length || client.epoch !== world.epoch || held !== expected) {
        problem = `seed ${seed}, client ${i}: ${client.epoch}.${client.revision} ${held}, expected ${world.epoch}.${world.changes.length} ${expected}`
      } else if (world.links[i]?.session.confirmed !== client.revision) problem = `seed ${seed}, client ${i}: not confirmed`
    }
    for (const [kind, count] of Object.entries(world.counted)) counted[kind] = (counted[kind] ?? 0) + count
  }
  t.equal(problem, null)
  for (const kind of ['sendChange', 'sendChanges', 'sendRuleset', 'sendCurrent', 'sendBeat', 'fill', 'confirm']) {
    t.ok((counted[kind] ?? 0) > 100, `the schedules have led to ${kind}`)
  }
})
