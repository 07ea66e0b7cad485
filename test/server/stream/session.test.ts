import fc from 'fast-check'
import t from 'tap'
import type { Hello } from '../../../schemas/stream.ts'
import {
  BEHIND_BYTES,
  BEHIND_MS,
  LEASES_MAX,
  MESSAGES_MAX,
  MESSAGES_WINDOW_MS,
  openSession,
  PING_INTERVAL_MS,
  type Readings,
  type Session,
  type SessionEvent,
  SILENT_MS,
  step,
} from '../../../server/stream/session.ts'
import type { Recent } from '../../../server/stream/recent.ts'
import { parseUpstream } from '../../../server/stream/upstream.ts'
import { runs } from '../../runs.ts'

/** A log whose entry at each revision has the hash `h<revision>`. */
const readings = ({ now = 0, buffered = 0, ...changed }: Partial<Omit<Readings, 'recent'> & Recent> = {}): Readings => {
  const { epoch = 'e1', revision = 10, floor = 5, isFilled = true } = changed
  const kept = Array.from({ length: revision - floor }, (_, i) => {
    const from = floor + i
    return { step: { from, fromHash: `h${from}`, revision: from + 1, hash: `h${from + 1}`, touched: [] }, bytes: 10 }
  })
  return { now, buffered, recent: { epoch, revision, hash: `h${revision}`, floor, isFilled, kept, bytes: 10 * kept.length } }
}
const hello = (revision: number, epoch = 'e1', hash?: string): Extract<SessionEvent, { kind: 'hello' }> => {
  const said: Hello = {
    type: 'hello',
    instance: 'i1',
    service: 'shop',
    sdk: 'test/1',
    revision,
    epoch,
    ...(hash === undefined ? {} : { hash }),
  }
  return { kind: 'hello', hello: said }
}
const published = (revision: number, epoch = 'e1'): SessionEvent => {
  return { kind: 'published', epoch, from: revision - 1, revision, hash: `h${revision}` }
}
const kinds = (session: Session, event: SessionEvent, changed: Parameters<typeof readings>[0] = {}): string =>
  step(session, event, readings(changed))
    .map(action => {
      if (action.kind === 'sendChanges') return `changes from ${action.from}`
      if (action.kind === 'sendRuleset') return action.isReset ? 'reset ruleset' : 'ruleset'
      if (action.kind === 'join') return `join ${action.held}`
      if (action.kind === 'confirm') return `confirm ${action.revision}`
      if (action.kind === 'close') return `close ${action.why}`
      return action.kind
    })
    .join(', ')
const live = (revision = 10): Session => {
  const session = openSession(0, 0)
  step(session, hello(revision), readings({ revision }))
  return session
}

t.test('a hello is answered with the least that brings the SDK up to date', async t => {
  const cases: [name: string, hello: SessionEvent, log: Parameters<typeof readings>[0], expected: string][] = [
    ['it has what the log has', hello(10), {}, 'join 10, sendCurrent'],
    ['both are empty', hello(0), { revision: 0, floor: 0 }, 'join 0, sendCurrent'],
    ['it missed a few', hello(8), {}, 'join 8, changes from 8'],
    ['it missed all that is kept', hello(5), {}, 'join 5, changes from 5'],
    ['it missed more than is kept', hello(4), {}, 'join 4, ruleset'],
    ['it missed more than is kept, and the storage was not asked yet', hello(4), { isFilled: false }, 'join 4, fill'],
    ['it holds nothing', hello(0, ''), {}, 'join 0, confirm 0, ruleset'],
    ['it holds another life of the log', hello(10, 'e0'), {}, 'join 0, confirm 0, ruleset'],
    ['it holds a later revision of another life', hello(99, 'e0'), {}, 'join 0, confirm 0, ruleset'],
    ['it holds what the log has lost', hello(12), {}, 'join 0, confirm 0, reset ruleset'],
    ['it holds this history', hello(10, 'e1', 'h10'), {}, 'join 10, sendCurrent'],
    ['it missed a few of this history', hello(8, 'e1', 'h8'), {}, 'join 8, changes from 8'],
    ['it holds a lost change whose number another has', hello(10, 'e1', 'x'), {}, 'join 0, confirm 0, reset ruleset'],
    ['it holds a lost change, and others came after its number', hello(8, 'e1', 'x'), {}, 'join 0, confirm 0, reset ruleset'],
    ['it holds a lost change from before the history', hello(4, 'e1', 'x'), {}, 'join 0, ruleset'],
    ['it holds a lost change, and the storage was not asked yet', hello(4, 'e1', 'x'), { isFilled: false }, 'join 0, fill'],
  ]
  for (const [name, event, log, expected] of cases) t.equal(kinds(openSession(0, 0), event, log), expected, name)
})

t.test('older changes from the storage are waited for', async t => {
  const session = openSession(0, 0)
  t.equal(kinds(session, hello(2), { isFilled: false }), 'join 2, fill')
  t.equal(kinds(session, published(11), { revision: 11, isFilled: false }), '', 'changes in the meantime are part of the answer')
  t.equal(kinds(session, { kind: 'filled' }, { revision: 11, floor: 0 }), 'changes from 2')
  t.equal(kinds(session, published(12), { revision: 12, floor: 0 }), 'sendChange')
  const lost = openSession(0, 0)
  t.equal(kinds(lost, hello(2, 'e1', 'x'), { isFilled: false }), 'join 0, fill')
  t.equal(kinds(lost, { kind: 'filled' }, { floor: 0 }), 'confirm 0, reset ruleset', 'only now it is known that it was lost')
})

t.test('when the storage has them no more, or cannot be read, the ruleset comes', async t => {
  const session = openSession(0, 0)
  step(session, hello(2), readings({ isFilled: false }))
  t.equal(kinds(session, { kind: 'filled' }, { floor: 4 }), 'ruleset')
})

t.test('changes are sent one by one, none twice', async t => {
  const session = live()
  t.equal(kinds(session, published(11), { revision: 11 }), 'sendChange')
  t.equal(kinds(session, published(11), { revision: 11 }), '', 'told again')
  t.equal(kinds(session, published(12), { revision: 12 }), 'sendChange')
})

t.test('a gap and a new life of the log are noticed', async t => {
  t.equal(kinds(live(), published(13), { revision: 13 }), 'changes from 10')
  t.equal(kinds(live(), published(3, 'e2'), { revision: 3, epoch: 'e2', floor: 2 }), 'confirm 0, ruleset')
})

t.test('a socket that does not read is owed one message', async t => {
  const session = live()
  t.equal(kinds(session, published(11), { revision: 11, buffered: BEHIND_BYTES + 1 }), '')
  t.equal(session.phase, 'behind')
  t.equal(kinds(session, published(12), { revision: 12, buffered: BEHIND_BYTES + 1 }), '')
  t.equal(kinds(session, { kind: 'beat' }, { revision: 12, buffered: BEHIND_BYTES + 1 }), '', 'nor is it sent beats')
  t.equal(kinds(session, { kind: 'drained' }, { revision: 12 }), 'changes from 10')
  t.equal(kinds(session, published(13), { revision: 13 }), 'sendChange')
})

t.test('a socket that fell behind for longer than the history reaches gets the ruleset', async t => {
  const session = live()
  step(session, published(11), readings({ revision: 11, buffered: BEHIND_BYTES + 1 }))
  t.equal(kinds(session, { kind: 'drained' }, { revision: 5_000, floor: 4_000 }), 'ruleset')
})

t.test('a socket that fell behind and missed nothing is sent nothing, unless it has asked', async t => {
  const quiet = live()
  step(quiet, { kind: 'beat' }, readings({ buffered: BEHIND_BYTES + 1 }))
  t.equal(kinds(quiet, { kind: 'drained' }), '')
  const asking = live()
  t.equal(kinds(asking, hello(10), { buffered: BEHIND_BYTES + 1 }), 'join 10')
  t.equal(kinds(asking, { kind: 'drained' }), 'sendCurrent')
})

t.test('a socket that stays behind is closed, later if it has much to read', async t => {
  const behind = (buffered: number): Session => {
    const session = live()
    step(session, published(11), readings({ revision: 11, buffered }))
    session.heardAt = 1e9
    session.pingAt = 1e9
    return session
  }
  t.equal(kinds(behind(300_000), { kind: 'tick' }, { now: BEHIND_MS, buffered: 300_000 }), '')
  t.equal(kinds(behind(300_000), { kind: 'tick' }, { now: BEHIND_MS + 1_200, buffered: 300_000 }), 'close slow')
  t.equal(kinds(behind(64e6), { kind: 'tick' }, { now: 200_000, buffered: 64e6 }), '')
  t.equal(kinds(behind(64e6), { kind: 'tick' }, { now: 300_000, buffered: 64e6 }), 'close slow')
})

t.test('a second hello on an open stream is answered anew', async t => {
  const session = live()
  t.equal(kinds(session, hello(9)), 'join 9, changes from 9')
  t.equal(kinds(session, hello(10)), 'join 10, sendCurrent')
})

t.test('a receipt counts when it confirms something new that was sent', async t => {
  const session = live()
  step(session, published(11), readings({ revision: 11 }))
  step(session, published(12), readings({ revision: 12 }))
  t.equal(kinds(session, { kind: 'applied', revision: 11 }, { revision: 12 }), 'confirm 11')
  t.equal(kinds(session, { kind: 'applied', revision: 11 }, { revision: 12 }), '', 'again')
  t.equal(kinds(session, { kind: 'applied', revision: 13 }, { revision: 12 }), '', 'never sent')
  t.equal(kinds(session, { kind: 'applied', revision: 12 }, { revision: 12 }), 'confirm 12')
})

t.test('a receipt under way when the log begins a new epoch is not taken for one of that epoch', async t => {
  const session = live()
  const newLife = { epoch: 'e2', revision: 10 }
  t.equal(kinds(session, { kind: 'beat' }, newLife), 'confirm 0, ruleset')
  t.equal(kinds(session, { kind: 'applied', revision: 10 }, newLife), '', 'of which epoch it does not say')
  t.equal(kinds(session, { kind: 'applied', revision: 10, epoch: 'e1' }, newLife), '')
  t.equal(kinds(session, { kind: 'applied', revision: 10, epoch: 'e2' }, newLife), 'confirm 10')
  const asked = live()
  t.equal(kinds(asked, hello(10), newLife), 'join 0, confirm 0, ruleset')
  t.equal(kinds(asked, { kind: 'applied', revision: 10 }, newLife), '', 'a hello that comes again does not make it plain')
})

t.test('receipts are not counted as messages, useless ones are', async t => {
  const session = live(0)
  let closed = ''
  for (let revision = 1; revision <= 1_000; revision++) {
    step(session, published(revision), readings({ revision }))
    closed += kinds(session, { kind: 'applied', revision }, { revision }).replace(/confirm \d+/, '')
  }
  t.equal(closed, '', 'a thousand receipts in no time are fine')
  for (let i = 0; i < MESSAGES_MAX - 1; i++) step(session, { kind: 'applied', revision: 1 }, readings({ revision: 1_000 }))
  t.equal(kinds(session, { kind: 'applied', revision: 1 }, { revision: 1_000 }), 'close protocol')
})

t.test('too many messages close the stream, many over time do not', async t => {
  const flood = live()
  for (let i = 0; i < MESSAGES_MAX - 1; i++) t.equal(kinds(flood, { kind: 'unknown' }), '')
  t.equal(kinds(flood, { kind: 'unknown' }), 'close protocol')
  t.equal(kinds(flood, published(11), { revision: 11 }), '', 'and nothing is sent any more')

  const steady = live()
  const every = MESSAGES_WINDOW_MS / MESSAGES_MAX + 1
  let said = ''
  for (let i = 1; i < 100; i++) said += kinds(steady, { kind: 'unknown' }, { now: i * every })
  t.equal(said, '')
})

t.test('leases have a rate of their own: as many as an SDK sends are taken, a flood closes the stream', async t => {
  const lease: SessionEvent = { kind: 'lease', lease: { type: 'lease', keys: [] } }
  t.equal(kinds(openSession(0, 0), lease), 'close protocol', 'before hello')
  const flood = live()
  for (let i = 0; i < LEASES_MAX; i++) if (kinds(flood, lease) !== 'lend') t.fail(`lease ${i} is not taken`)
  t.equal(kinds(flood, { kind: 'unknown' }), '', 'other messages are not counted with them')
  t.equal(kinds(flood, lease), 'close protocol')
  const steady = live()
  for (let i = 1; i < 1_000; i++) if (kinds(steady, lease, { now: i * 50 }) !== 'lend') t.fail(`lease ${i} is not taken`)
  const parse = (text: string) => parseUpstream(Buffer.from(text), false).kind
  t.equal(
    parse('{"type":"lease","keys":[{"slot":1,"flag":"f","variation":"v","key":"k","held":0,"spent":1,"denied":0,"want":5}]}'),
    'lease',
  )
  t.equal(parse('{"type":"lease","keys":[{"slot":-1,"held":0,"spent":1,"denied":0,"want":5}]}'), 'malformed')
  t.equal(parse('{"type":"lease"}'), 'malformed')
})

t.test('what breaks the protocol closes the stream', async t => {
  const counts = { type: 'counts' as const, dropped: 0, counts: [], unknownOperators: [] }
  const first: SessionEvent[] = [{ kind: 'counts', counts }, { kind: 'unknown' }, { kind: 'applied', revision: 1 }]
  for (const event of first) t.equal(kinds(openSession(0, 0), event), 'close protocol', `${event.kind} before hello`)
  t.equal(kinds(live(), { kind: 'malformed', reason: 'x' }), 'close protocol')
  t.equal(kinds(live(), { kind: 'counts', counts }), 'count')
})

t.test('time closes what stays silent', async t => {
  const mute = openSession(0, 0.5)
  mute.pingAt = 1e9
  t.equal(kinds(mute, { kind: 'tick' }, { now: 10_000 }), '')
  t.equal(kinds(mute, { kind: 'tick' }, { now: 10_001 }), 'close protocol', 'no hello')

  const dead = live()
  dead.pingAt = 1e9
  t.equal(kinds(dead, { kind: 'tick' }, { now: SILENT_MS }), '')
  t.equal(kinds(dead, { kind: 'tick' }, { now: SILENT_MS + 1 }), 'terminate')

  const alive = live()
  alive.pingAt = 1e9
  step(alive, { kind: 'heard' }, readings({ now: 30_000 }))
  t.equal(kinds(alive, { kind: 'tick' }, { now: SILENT_MS + 1 }), '')
})

t.test('pings go out in time and not in step', async t => {
  const pings = (jitter: number): number[] => {
    const session = openSession(0, jitter)
    step(session, hello(10), readings())
    const at: number[] = []
    for (let now = 0; now <= 60_000; now += 1_000) {
      if (kinds(session, { kind: 'tick' }, { now }) === 'ping') at.push(now)
      step(session, { kind: 'heard' }, readings({ now }))
    }
    return at
  }
  t.not(pings(0.1)[0], pings(0.9)[0])
  for (const jitter of [0, 0.3, 0.99]) {
    const at = pings(jitter)
    t.ok(at.length >= 3, `${at.length} pings in a minute`)
    t.ok(at.slice(1).every((now, i) => now - (at[i] ?? 0) <= PING_INTERVAL_MS + 1_000))
  }
})

t.test('a beat goes to who is up to date and mends who is not', async t => {
  t.equal(kinds(live(), { kind: 'beat' }), 'sendBeat')
  t.equal(kinds(live(), { kind: 'beat' }, { revision: 11 }), 'changes from 10')
  t.equal(kinds(openSession(0, 0), { kind: 'beat' }), '')
})

t.test('whatever an SDK sends is understood or closes the stream; it never throws, and after a close nothing follows', async t => {
  const nearly = fc.record(
    {
      type: fc.constantFrom('hello', 'applied', 'counts', 'other', '__proto__'),
      instance: fc.oneof(fc.string(), fc.anything()),
      service: fc.string(),
      sdk: fc.string(),
      epoch: fc.oneof(fc.constant('e1'), fc.string()),
      revision: fc.oneof(fc.nat(20), fc.double(), fc.constant(Number.MAX_SAFE_INTEGER), fc.anything()),
      dropped: fc.oneof(fc.nat(), fc.integer()),
      counts: fc.array(fc.record({ flag: fc.string(), variation: fc.option(fc.string()), reason: fc.string(), count: fc.integer() })),
      unknownOperators: fc.array(fc.record({ op: fc.string(), where: fc.string() })),
    },
    { requiredKeys: ['type'] },
  )
  const text = fc.oneof(
    nearly.map(value => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  )
  const bytes = fc.oneof(
    text.map(value => Buffer.from(value)),
    fc.uint8Array().map(value => Buffer.from(value)),
  )
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 30 }), fc.boolean(), (messages, isGreeted) => {
      const session = isGreeted ? live() : openSession(0, 0)
      let isClosed = false
      for (const message of messages) {
        const actions = step(session, parseUpstream(message, false), readings())
        if (isClosed && actions.length > 0) return false
        isClosed ||= actions.some(action => action.kind === 'close')
        // A close frame takes 123 bytes of reason.
        if (actions.some(action => action.kind === 'close' && Buffer.byteLength(action.reason) > 123)) return false
      }
      return true
    }),
    runs(500),
  )
  t.pass('500 courses of messages')
})
