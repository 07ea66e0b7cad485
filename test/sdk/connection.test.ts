/** What the client decides, case by case: events in, actions out. */
import t from 'tap'
import { DEAD_LINK_MS } from '../../schemas/protocol.ts'
import {
  type Action,
  begin,
  CONNECT_TIMEOUT_MS,
  DRAIN_MAX_MS,
  type Event,
  GAP_MS,
  GREETING_TIMEOUT_MS,
  HEALTHY_MS,
  isStale,
  type Loss,
  next,
  NOTHING,
  type Place,
  POLL_AFTER_MS,
  type PollAnswer,
  RECONNECT_MAX_MS,
  SLOW_MAX_MS,
  SLOW_MIN_MS,
  type State,
  wakeAt,
} from '../../sdk/connection.ts'
import type { Downstream } from '../../sdk/messages.ts'

const POLL_MS = 30_000

const at = (epoch: string, revision: number, hash = ''): Place => ({ epoch, revision, hash })

/** A machine with its hands: time moves when told, every event is fed, what was done is kept. */
function machine(held: Place = NOTHING, random = 0) {
  let state: State = begin(held, POLL_MS, 0)
  let now = 0
  const feed = (event: Event): string[] => {
    const step = next(state, event, now, random)
    state = step.state
    return step.actions.filter(action => action.do !== 'note').map(describe)
  }
  const link = (): number => ('link' in state.stream ? state.stream.link : 0)
  const poll = (): number => (state.poll.phase === 'running' ? state.poll.poll : 0)
  return {
    get state() {
      return state
    },
    get now() {
      return now
    },
    pass(ms: number) {
      now += ms
    },
    tick: () => feed({ type: 'tick' }),
    /** Move to the moment the machine asked for. */
    wake() {
      now = Math.max(now, wakeAt(state) ?? now)
      return feed({ type: 'tick' })
    },
    opened: () => feed({ type: 'opened', link: link() }),
    hears: (message: Downstream | null) => feed({ type: 'message', link: link(), message }),
    lost: (why: Loss, retryAfterMs?: number) =>
      feed({ type: 'lost', link: link(), why, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }),
    polled: (answer: PollAnswer) => feed({ type: 'polled', poll: poll(), answer }),
    feed,
    /** Connected and up to date at `place`. */
    goLive(place: Place = at('e', 5)) {
      feed({ type: 'tick' })
      feed({ type: 'opened', link: link() })
      feed({ type: 'message', link: link(), message: { type: 'ruleset', ...place, flags: [], segments: [] } })
    },
    /** Milliseconds until the next attempt. */
    wait: () => (state.stream.phase === 'waiting' ? state.stream.until - now : NaN),
  }
}

function describe(action: Action): string {
  switch (action.do) {
    case 'hello':
      return `hello ${action.held.epoch}.${action.held.revision}`
    case 'applied':
      return `applied ${action.revision}${action.epoch === undefined ? '' : ` of ${action.epoch}`}`
    case 'apply':
      return `apply ${action.delta.from}-${action.delta.revision}`
    case 'replace':
      return `replace ${action.whole.epoch}.${action.whole.revision}`
    case 'poll':
      return `poll ${action.held.epoch}.${action.held.revision}`
    default:
      return action.do
  }
}

const change = (from: number, revision: number, epoch = 'e', type: 'change' | 'changes' = 'change'): Downstream => ({
  type,
  epoch,
  from,
  revision,
  flags: [],
  segments: [],
  removedFlags: [],
  removedSegments: [],
})
const ruleset = (epoch: string, revision: number, reset = false): Downstream => ({
  type: 'ruleset',
  epoch,
  revision,
  flags: [],
  segments: [],
  reset,
})
const whole = (epoch: string, revision: number): PollAnswer => ({ kind: 'whole', whole: { epoch, revision, flags: [], segments: [] } })

t.test('a first start connects at once, says hello and takes the ruleset', async t => {
  const m = machine()
  t.equal(wakeAt(m.state), 0)
  t.same(m.tick(), ['connect'])
  t.same(m.opened(), ['hello .0'])
  t.same(m.hears(ruleset('e', 7)), ['replace e.7', 'applied 7'])
  t.equal(m.state.stream.phase, 'live')
  t.equal(m.state.confirmed, true)
  t.equal(wakeAt(m.state), DEAD_LINK_MS)
})

t.test('what came from the cache file is stale until the server confirms it', async t => {
  const m = machine(at('e', 5))
  t.equal(isStale(m.state), true)
  m.tick()
  t.same(m.opened(), ['hello e.5'])
  t.same(m.hears({ type: 'current', epoch: 'e', revision: 5 }), ['applied 5'])
  t.equal(isStale(m.state), false)
})

t.test('messages, on a link that holds e.5', async t => {
  const again = ['drop']
  const cases: readonly (readonly [string, Downstream | null, readonly string[], Place])[] = [
    ['the next change', change(5, 6), ['apply 5-6', 'applied 6'], at('e', 6)],
    ['several changes at once', change(5, 9, 'e', 'changes'), ['apply 5-9', 'applied 9'], at('e', 9)],
    ['a repeated change', change(4, 5), [], at('e', 5)],
    ['an old change', change(1, 3), [], at('e', 5)],
    ['changes that start earlier and end later', change(3, 8, 'e', 'changes'), ['apply 3-8', 'applied 8'], at('e', 8)],
    ['a change after a gap', change(6, 7), again, at('e', 5)],
    ['a change of another epoch', change(5, 6, 'f'), again, at('e', 5)],
    ['a newer ruleset', ruleset('e', 9), ['replace e.9', 'applied 9'], at('e', 9)],
    ['the same ruleset', ruleset('e', 5), ['replace e.5', 'applied 5'], at('e', 5)],
    ['an older ruleset', ruleset('e', 4), [], at('e', 5)],
    ['an older ruleset that says so', ruleset('e', 4, true), ['replace e.4', 'applied 4'], at('e', 4)],
    ['a lower ruleset of a new epoch', ruleset('f', 2), ['replace f.2', 'applied 2 of f'], at('f', 2)],
    ['a beat', { type: 'beat', epoch: 'e', revision: 5 }, [], at('e', 5)],
    ['a beat from behind', { type: 'beat', epoch: 'e', revision: 4 }, [], at('e', 5)],
    ['current', { type: 'current', epoch: 'e', revision: 5 }, ['applied 5'], at('e', 5)],
    ['current at another revision', { type: 'current', epoch: 'e', revision: 6 }, again, at('e', 5)],
    ['current in another epoch', { type: 'current', epoch: 'f', revision: 5 }, again, at('e', 5)],
    ['an unknown type', { type: 'unknown' }, [], at('e', 5)],
    ['nonsense', null, again, at('e', 5)],
    ['drain', { type: 'drain', afterMs: 500, spreadMs: 0 }, ['drop'], at('e', 5)],
  ]
  for (const [name, message, actions, held] of cases) {
    const m = machine()
    m.goLive()
    t.same(m.hears(message), actions, name)
    t.same(m.state.held, held, `${name}: what is held`)
    t.equal(m.state.stream.phase, actions.includes('drop') ? 'waiting' : 'live', `${name}: the phase`)
  }
})

t.test('an empty environment may be called current', async t => {
  const m = machine()
  m.tick()
  m.opened()
  t.same(m.hears({ type: 'current', epoch: 'e', revision: 0 }), ['replace e.0', 'applied 0'])
})

t.test('what an old link still says is not listened to', async t => {
  const m = machine()
  m.goLive()
  m.lost('closed')
  m.wake()
  const { state } = m
  for (const event of [
    { type: 'message', link: 1, message: change(5, 6) },
    { type: 'lost', link: 1, why: 'closed' },
    { type: 'opened', link: 1 },
    { type: 'heard', link: 1 },
    { type: 'polled', poll: 99, answer: whole('e', 50) },
  ] satisfies Event[]) {
    t.same(m.feed(event), [])
    t.equal(m.state, state)
  }
})

t.test('a beat that names a revision which does not come is followed by asking again', async t => {
  const m = machine()
  m.goLive()
  m.hears({ type: 'beat', epoch: 'e', revision: 6 })
  t.equal(wakeAt(m.state), GAP_MS)
  m.pass(GAP_MS - 1)
  t.same(m.tick(), [])
  m.hears({ type: 'beat', epoch: 'e', revision: 7 })
  m.pass(1)
  t.same(m.tick(), ['drop'], 'a later beat does not start the wait anew')
  m.wake()
  t.same(m.opened(), ['hello e.5'])
  t.same(m.hears(change(5, 7, 'e', 'changes')), ['apply 5-7', 'applied 7'])
})

t.test('a beat whose change comes in time is no gap', async t => {
  const m = machine()
  m.goLive()
  m.hears({ type: 'beat', epoch: 'e', revision: 6 })
  m.hears(change(5, 6))
  m.pass(GAP_MS)
  t.same(m.tick(), [])
})

t.test('a beat of another epoch is followed by asking again', async t => {
  const m = machine()
  m.goLive()
  m.hears({ type: 'beat', epoch: 'f', revision: 5 })
  m.pass(GAP_MS)
  t.same(m.tick(), ['drop'])
})

t.test('a link on which nothing is heard is dead; bytes count as life', async t => {
  const m = machine()
  m.goLive()
  m.pass(DEAD_LINK_MS - 1)
  t.same(m.tick(), [])
  m.feed({ type: 'heard', link: 1 })
  m.pass(DEAD_LINK_MS - 1)
  t.same(m.tick(), [])
  m.pass(1)
  t.same(m.tick(), ['drop'])
})

t.test('connecting and the first answer are bounded', async t => {
  const m = machine()
  m.tick()
  m.pass(CONNECT_TIMEOUT_MS)
  t.ok(m.tick().includes('drop'), 'no connection')
  m.wake()
  m.opened()
  m.pass(DEAD_LINK_MS)
  t.ok(m.tick().includes('drop'), 'no answer')
  m.wake()
  m.opened()
  for (let waited = 0; waited < GREETING_TIMEOUT_MS; waited += 10_000) {
    t.equal(m.state.stream.phase, 'greeting')
    m.pass(10_000)
    m.hears({ type: 'beat', epoch: 'e', revision: 1 })
  }
  t.ok(m.tick().includes('drop'), 'beats alone are no answer')
})

t.test('waits double to 30 s and are jittered downwards by up to a half', async t => {
  for (const [random, share] of [
    [0, 1],
    [0.5, 0.75],
    [1, 0.5],
  ] as const) {
    const m = machine(NOTHING, random)
    const waits: number[] = []
    m.tick()
    for (let i = 0; i < 8; i++) {
      m.lost('unreachable')
      waits.push(m.wait())
      m.pass(m.wait())
      m.tick()
    }
    t.same(
      waits,
      [1, 2, 4, 8, 16, 30, 30, 30].map(seconds => seconds * 1_000 * share),
    )
  }
})

t.test('the waits start small again only after a healthy minute', async t => {
  const m = machine()
  for (let i = 0; i < 4; i++) {
    m.wake()
    while (m.state.stream.phase !== 'connecting') m.wake()
    m.lost('unreachable')
  }
  const waitAfter = (healthyMs: number): number => {
    while (m.state.stream.phase !== 'connecting') m.wake()
    m.opened()
    m.hears(ruleset('e', 5))
    m.pass(healthyMs)
    m.hears({ type: 'beat', epoch: 'e', revision: 5 })
    // What comes after the last word is not known to have been healthy: the machine may have slept.
    m.pass(HEALTHY_MS)
    m.lost('closed')
    return m.wait()
  }
  t.equal(waitAfter(HEALTHY_MS - 1), 16_000)
  t.equal(waitAfter(HEALTHY_MS), 1_000)
})

t.test('a refused upgrade is followed by a poll, which tells why', async t => {
  for (const [answer, wait, pollPhase] of [
    [{ kind: 'refused' }, SLOW_MAX_MS, 'off'],
    [{ kind: 'untrusted' }, SLOW_MAX_MS, 'off'],
    [{ kind: 'failed', problem: '' }, 1_000, 'waiting'],
    [{ kind: 'unchanged' }, 1_000, 'waiting'],
    [whole('e', 3), 1_000, 'waiting'],
  ] as const) {
    const m = machine()
    m.tick()
    t.same(m.lost('refused'), ['poll .0'])
    t.equal(m.state.tried, false, 'not known yet')
    m.polled(answer)
    t.equal(m.state.tried, true)
    t.equal(m.wait(), wait, answer.kind)
    t.equal(m.state.poll.phase, pollPhase, answer.kind)
  }
})

t.test('a refused key is tried again every few minutes, and forgotten when it is taken', async t => {
  const m = machine(NOTHING, 0.5)
  m.tick()
  m.lost('refused')
  m.polled({ kind: 'refused' })
  for (let i = 0; i < 5; i++) {
    t.equal(m.wait(), (SLOW_MIN_MS + SLOW_MAX_MS) / 2)
    t.same(m.wake(), ['connect'])
    t.same(m.lost('refused'), ['poll .0'])
    m.polled({ kind: 'refused' })
  }
  m.wake()
  m.opened()
  m.hears(ruleset('e', 1))
  m.pass(HEALTHY_MS)
  m.hears({ type: 'beat', epoch: 'e', revision: 1 })
  m.lost('closed')
  t.equal(m.wait(), 750, 'ordinary waits again')
})

t.test('a key that polling finds taken again shortens the long wait', async t => {
  const m = machine()
  m.tick()
  m.lost('refused')
  m.polled({ kind: 'refused' })
  m.wake()
  m.lost('refused')
  m.polled(whole('e', 4))
  t.equal(m.wait(), 1_000)
  t.equal(isStale(m.state), false)
})

t.test('an untrusted certificate is tried again every few minutes and not polled', async t => {
  const m = machine(at('e', 5))
  m.tick()
  t.same(m.lost('untrusted'), [])
  t.equal(m.wait(), SLOW_MAX_MS)
  t.equal(m.state.poll.phase, 'off')
  m.wake()
  m.lost('unreachable')
  t.ok(m.wait() <= RECONNECT_MAX_MS, 'a network error is no word about the certificate')
})

t.test('a server that is too busy is left alone for as long as it asks, and not polled at once', async t => {
  for (const [random, retryAfterMs, wait] of [
    [0, 5_000, 5_000],
    [0.5, 5_000, 5_500],
    [0.5, 100, 750],
    [0, 1e12, DRAIN_MAX_MS],
  ] as const) {
    const m = machine(NOTHING, random)
    m.tick()
    t.same(m.lost('refused', retryAfterMs), [], 'no poll')
    t.equal(m.wait(), wait)
    t.equal(m.state.tried, true)
  }
  const long = machine()
  for (let i = 0; i < 5; i++) {
    while (long.state.stream.phase !== 'connecting') long.wake()
    long.lost('refused', 2_000)
  }
  t.equal(long.wait(), 16_000, 'the ordinary wait, where that is longer')
  t.equal(long.state.poll.phase, 'running', 'polling goes on beside it')
})

t.test('a busy server says nothing about the key: the ordinary waits again', async t => {
  const m = machine()
  m.tick()
  m.lost('refused')
  m.polled({ kind: 'refused' })
  m.wake()
  m.lost('refused', 3_000)
  t.equal(m.wait(), 3_000)
  t.same(m.wake(), ['connect', 'poll .0'], 'and what the key is worth is asked anew')
})

t.test('a fleet that lost its server at one moment does not poll as one', async t => {
  const polls = [0, 0.25, 0.999].map(random => {
    const m = machine(NOTHING, random)
    m.goLive()
    m.lost('closed')
    return m.state.poll.phase === 'waiting' ? m.state.poll.until - m.now : NaN
  })
  t.same(polls, [POLL_AFTER_MS, POLL_AFTER_MS * 1.25, POLL_AFTER_MS * 1.999])
})

t.test('a poll that is told to come later does', async t => {
  const m = machine(at('e', 5), 0.5)
  m.tick()
  m.pass(POLL_AFTER_MS)
  m.tick()
  m.polled({ kind: 'failed', problem: '', retryAfterMs: 60_000 })
  t.same(m.state.poll, { phase: 'waiting', until: m.now + 60_500 })
})

t.test('another history of the same revision is noticed', async t => {
  const live = (): ReturnType<typeof machine> => {
    const m = machine(at('e', 5, 'x'))
    m.tick()
    t.same(m.opened(), ['hello e.5'])
    return m
  }
  const m = live()
  t.same(m.hears({ ...ruleset('e', 5, true), hash: 'y' } as Downstream), ['replace e.5', 'applied 5'])
  t.same(m.state.held, at('e', 5, 'y'))
  t.same(m.hears({ ...change(5, 6), hash: 'z' } as Downstream), ['apply 5-6', 'applied 6'])
  t.same(m.state.held, at('e', 6, 'z'))
  t.same(live().hears({ type: 'current', epoch: 'e', revision: 5, hash: 'y' }), ['drop'], 'current is not')
  t.same(live().hears({ type: 'current', epoch: 'e', revision: 5, hash: 'x' }), ['applied 5'])
  t.same(live().hears({ type: 'current', epoch: 'e', revision: 5 }), ['applied 5'], 'a server that does not say is believed')
})

t.test('an answer that takes less than what is held for current is none', async t => {
  const m = machine(at('e', 5))
  m.tick()
  m.opened()
  t.same(m.hears({ type: 'current', epoch: 'e', revision: 4 }), ['drop'])
  const live = machine()
  live.goLive(at('e', 4))
  live.hears(change(4, 5))
  t.same(live.hears({ type: 'current', epoch: 'e', revision: 4 }), [], 'but it may be said again')
})

t.test('what is held without a hash learns it from the server', async t => {
  const m = machine(at('e', 5))
  m.tick()
  m.opened()
  m.hears({ type: 'current', epoch: 'e', revision: 5, hash: 'x' })
  t.same(m.state.held, at('e', 5, 'x'))
})

t.test('drain is no failure: it comes back when told, spread at random and bounded', async t => {
  for (const [random, afterMs, spreadMs, wait] of [
    [0, 2_000, 10_000, 2_000],
    [0.5, 2_000, 10_000, 7_000],
    [0, 1e12, 1e12, DRAIN_MAX_MS],
  ] as const) {
    const m = machine(NOTHING, random)
    m.goLive()
    t.same(m.hears({ type: 'drain', afterMs, spreadMs }), ['drop'])
    t.equal(m.wait(), wait)
    t.equal(m.state.failures, 0)
    t.equal(isStale(m.state), false)
  }
})

t.test('without a stream it polls after a few seconds, then regularly, and the stream ends it', async t => {
  const m = machine()
  m.goLive()
  m.lost('closed')
  m.pass(POLL_AFTER_MS)
  t.same(m.tick(), ['connect', 'poll e.5'])
  m.lost('unreachable')
  m.polled({ kind: 'unchanged' })
  t.equal(isStale(m.state), false)
  t.same(m.state.poll, { phase: 'waiting', until: m.now + POLL_MS })
  m.pass(POLL_MS)
  t.same(m.tick(), ['connect', 'poll e.5'])
  const running = m.state.poll
  t.same(m.opened(), ['stop-polling', 'hello e.5'])
  t.same(m.feed({ type: 'polled', poll: running.phase === 'running' ? running.poll : 0, answer: whole('e', 9) }), [], 'a late answer')
  t.same(m.state.held, at('e', 5))
  m.pass(1)
  m.hears({ type: 'current', epoch: 'e', revision: 5 })
  t.equal(m.state.poll.phase, 'off')
})

function since(epoch: string, from: number, revision: number): PollAnswer {
  return { kind: 'changes', delta: { epoch, from, revision, flags: [], segments: [], removedFlags: [], removedSegments: [] } }
}

function lost(epoch: string, revision: number): PollAnswer {
  return { kind: 'whole', whole: { epoch, revision, flags: [], segments: [], reset: true } }
}

t.test('answers to a poll, holding e.5', async t => {
  for (const [name, answer, actions, stale] of [
    ['newer', whole('e', 6), ['replace e.6'], false],
    ['the same', whole('e', 5), [], false],
    ['older', whole('e', 4), [], true],
    ['another epoch', whole('f', 2), ['replace f.2'], false],
    ['older, because what is held was lost', lost('e', 4), ['replace e.4'], false],
    ['another history of the same', lost('e', 5), ['replace e.5'], false],
    ['what changed since', since('e', 5, 7), ['apply 5-7'], false],
    ['what changed since an earlier one', since('e', 3, 7), ['apply 3-7'], false],
    ['what changed since a later one', since('e', 6, 7), [], true],
    ['what changed in another epoch', since('f', 5, 7), [], true],
    ['unchanged', { kind: 'unchanged' }, [], false],
    ['failed', { kind: 'failed', problem: '' }, [], true],
    ['refused', { kind: 'refused' }, [], true],
  ] as const) {
    const m = machine(at('e', 5))
    m.tick()
    m.pass(POLL_AFTER_MS)
    t.same(m.tick(), ['poll e.5'], name)
    t.same(m.polled(answer), actions, name)
    t.equal(isStale(m.state), stale, name)
  }
})

t.test('a ruleset that could not be taken is asked for whole', async t => {
  const m = machine()
  m.goLive()
  t.same(m.feed({ type: 'unusable' }), ['drop'])
  m.wake()
  t.same(m.opened(), ['hello .0'])
})

t.test('closing drops the link and a running poll, and nothing happens after', async t => {
  const m = machine()
  m.tick()
  m.pass(POLL_AFTER_MS)
  m.tick()
  t.same(m.feed({ type: 'close' }), ['drop', 'stop-polling'])
  t.equal(wakeAt(m.state), null)
  t.same(m.feed({ type: 'opened', link: 1 }), [])
  t.same(m.tick(), [])
})

t.test('a change that comes before the first answer has overtaken a lost one', async t => {
  const first = machine(at('e', 5))
  first.tick()
  first.opened()
  t.same(first.hears(change(5, 6)), ['drop'], 'and may build on another history')
  t.same(first.state.held, at('e', 5))
  const again = machine()
  again.goLive()
  t.same(again.feed({ type: 'woke' }), ['hello e.5'])
  t.same(again.hears(change(5, 6)), ['apply 5-6', 'applied 6'], 'on a link that has been answered it was under way')
})

t.test('a receipt names the epoch where it is another than at first', async t => {
  const m = machine()
  m.goLive()
  t.same(m.hears(ruleset('f', 5)), ['replace f.5', 'applied 5 of f'])
  m.feed({ type: 'woke' })
  t.same(m.hears({ type: 'current', epoch: 'f', revision: 5 }), ['applied 5 of f'], 'also after another hello on the link')
  m.hears(ruleset('e', 7))
  t.same(m.hears(change(7, 8)), ['apply 7-8', 'applied 8'])
})
