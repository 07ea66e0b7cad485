/**
 * The client's state machine against a small model of the server, over a network that delays, cuts, repeats, loses and
 * swallows. All of it on one seeded course of time, so that a failure can be run again.
 */
import { BEAT_INTERVAL_MS } from '../../schemas/protocol.ts'
import {
  type Action,
  begin,
  type Event,
  isStale,
  JITTER,
  next,
  NOTHING,
  RECONNECT_MAX_MS,
  RECONNECT_MS,
  SLOW_MAX_MS,
  SLOW_MIN_MS,
  type State,
  wakeAt,
} from '../../sdk/connection.ts'
import type { Delta, Documents, Downstream, Whole } from '../../sdk/messages.ts'
import { randomFrom } from '../random.ts'

const POLL_MS = 30_000
const DAY_MS = 86_400_000
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f']

/** A document as the model keeps it: what it holds matters, not what it means. */
type Content = Map<string, number>
/** What the client must hold after taking a message, written down when the message was made. */
type Expecting<T> = T & { readonly content: string }

export interface Outcome {
  readonly taken: number
  readonly links: number
  readonly polls: number
}

/** Runs one seed. Throws with what went wrong. */
export function simulate(seed: number, steps: number): Outcome {
  const random = randomFrom(seed)
  const chance = (probability: number): boolean => random() < probability
  const between = (low: number, high: number): number => low + random() * (high - low)

  // Time: one queue, in order of the moment and then of arrival.
  let now = 0
  let order = 0
  let queue: { at: number; order: number; run: () => void }[] = []
  const later = (ms: number, run: () => void): void => void queue.push({ at: now + ms, order: order++, run })

  // The server: a log, its newest state, and who is connected.
  let epoch = 'e0'
  let revision = 0
  let content: Content = new Map()
  let history: { revision: number; key: string; before: Content }[] = []
  let values = 0
  let isUp = true
  let isKeyGood = true
  /** Changes were lost: nothing new is committed until the client has been told. */
  let isHeld = false
  const links = new Map<number, { isOpen: boolean; isLive: boolean; isSwallowing: boolean; arrivesAt: number }>()

  // The client: the machine, and what it has taken.
  let state: State = begin(NOTHING, POLL_MS, 0)
  let held: Content = new Map()
  let taken = 0
  let polls = 0
  let lastAttemptAt = -Infinity
  const attempts: number[] = []

  function fail(problem: string): never {
    throw new Error(`after ${Math.round(now)} ms: ${problem}; client ${JSON.stringify(state)}, server ${epoch}.${revision}`)
  }

  function feed(event: Event): void {
    const before = state
    const step = next(state, event, now, random())
    state = step.state
    for (const action of step.actions) perform(action)
    if (
      before.stream.phase !== 'waiting' &&
      state.stream.phase === 'waiting' &&
      state.failures > before.failures - 1 &&
      state.failures > 0
    ) {
      const wait = state.stream.until - now
      const isDrain = event.type === 'message' && event.message?.type === 'drain'
      const full = Math.min(RECONNECT_MAX_MS, RECONNECT_MS * 2 ** (state.failures - 1))
      const fits = (longest: number): boolean => wait >= longest * JITTER - 1e-6 && wait <= longest + 1e-6
      if (!isDrain && !(state.slow ? wait >= SLOW_MIN_MS - 1e-6 && wait <= SLOW_MAX_MS + 1e-6 : fits(full)))
        fail(`a wait of ${wait} ms after ${state.failures} failures`)
    }
  }

  function perform(action: Action): void {
    switch (action.do) {
      case 'connect':
        attempts.push(now)
        lastAttemptAt = now
        return connect(action.link)
      case 'hello':
        return upstream(action.link, () => greet(action.link, action.held.epoch, action.held.revision))
      case 'applied':
        return upstream(action.link, () => {
          if (links.get(action.link)?.isLive === true && action.revision === revision) isHeld = false
        })
      case 'drop':
        links.delete(action.link)
        return
      case 'apply':
        return take(action.delta.epoch, action.delta.revision, merged(held, action.delta), action.delta as Expecting<Delta>, false)
      case 'replace': {
        const whole = action.whole as Expecting<Whole> & { reset?: boolean }
        return take(whole.epoch, whole.revision, merged(new Map(), whole), whole, whole.reset === true)
      }
      case 'poll':
        polls++
        return poll(action.poll, action.held.epoch, action.held.revision)
      case 'stop-polling':
      case 'note':
        return
    }
  }

  let last = { epoch: '', revision: 0 }
  function take(itsEpoch: string, itsRevision: number, result: Content, message: { content: string }, isReset: boolean): void {
    if (itsEpoch === last.epoch && itsRevision < last.revision && !isReset) fail(`revision ${itsRevision} after ${last.revision}`)
    if (text(result) !== message.content) fail(`${itsEpoch}.${itsRevision} was taken as ${text(result)}, expected ${message.content}`)
    if (state.held.epoch !== itsEpoch || state.held.revision !== itsRevision) fail(`holds another place than ${itsEpoch}.${itsRevision}`)
    held = result
    last = { epoch: itsEpoch, revision: itsRevision }
    taken++
  }

  // The network.

  function connect(link: number): void {
    links.set(link, { isOpen: false, isLive: false, isSwallowing: chance(0.03), arrivesAt: 0 })
    later(between(1, chance(0.05) ? 15_000 : 500), () => {
      const one = links.get(link)
      if (one === undefined || one.isSwallowing) return
      if (!isUp || chance(0.05)) return lose(link, 'unreachable')
      if (!isKeyGood || chance(0.05)) return lose(link, 'refused')
      if (chance(0.01)) return lose(link, 'untrusted')
      one.isOpen = true
      feed({ type: 'opened', link })
    })
  }

  function lose(link: number, why: 'refused' | 'unreachable' | 'untrusted' | 'closed'): void {
    if (!links.delete(link)) return
    feed({ type: 'lost', link, why })
  }

  function upstream(link: number, run: () => void): void {
    later(between(1, 300), () => {
      if (isUp && links.get(link)?.isSwallowing === false) run()
    })
  }

  /** In order on each link, as TCP has it; whole or not at all. */
  function send(link: number, message: Downstream | null): void {
    const one = links.get(link)
    if (one?.isOpen !== true || one.isSwallowing) return
    one.arrivesAt = Math.max(one.arrivesAt, now + between(1, chance(0.05) ? 5_000 : 200))
    queue.push({
      at: one.arrivesAt,
      order: order++,
      run: () => {
        const still = links.get(link)
        if (still === undefined || still.isSwallowing) return
        feed({ type: 'message', link, message })
      },
    })
  }

  // The server.

  function greet(link: number, itsEpoch: string, itsRevision: number): void {
    const one = links.get(link)
    if (one === undefined) return
    one.isLive = true
    if (itsEpoch !== epoch) return send(link, wholeMessage(false))
    if (itsRevision === revision) return send(link, { type: 'current', epoch, revision })
    if (itsRevision > revision) return send(link, wholeMessage(true))
    const reachesBack = (history[0]?.revision ?? Infinity) <= itsRevision + 1
    send(link, reachesBack && chance(0.8) ? deltaMessage('changes', itsRevision) : wholeMessage(false))
  }

  function documents(): Documents {
    return { flags: [...content].map(([key, value]) => ({ key, value })) as unknown as Documents['flags'], segments: [] }
  }

  function wholeMessage(reset: boolean): Downstream {
    return { type: 'ruleset', epoch, revision, ...documents(), ...(reset ? { reset } : {}), content: text(content) } as Downstream
  }

  function deltaMessage(type: 'change' | 'changes', from: number): Downstream {
    const touched = new Set(history.filter(entry => entry.revision > from).map(entry => entry.key))
    const flags = [...touched].filter(key => content.has(key)).map(key => ({ key, value: content.get(key) }))
    const removedFlags = [...touched].filter(key => !content.has(key))
    return {
      type,
      epoch,
      from,
      revision,
      flags,
      segments: [],
      removedFlags,
      removedSegments: [],
      content: text(content),
    } as unknown as Downstream
  }

  function commit(): void {
    if (isHeld) return
    const key = KEYS[Math.floor(random() * KEYS.length)]!
    const value = content.has(key) && chance(0.3) ? null : ++values
    const before = content
    content = new Map(content)
    if (value === null) content.delete(key)
    else content.set(key, value)
    history = [...history, { revision: ++revision, key, before }].slice(-20)
    const message = deltaMessage('change', revision - 1)
    for (const [link, one] of links) {
      if (!one.isLive || chance(0.02)) continue
      send(link, message)
      if (chance(0.05)) send(link, message)
    }
  }

  function poll(id: number, itsEpoch: string, itsRevision: number): void {
    const answer = (run: Event): void => later(between(1, chance(0.1) ? 8_000 : 300), () => feed(run))
    later(between(1, 300), () => {
      if (!isUp || chance(0.05)) return answer({ type: 'polled', poll: id, answer: { kind: 'failed', problem: '' } })
      if (!isKeyGood) return answer({ type: 'polled', poll: id, answer: { kind: 'refused' } })
      if (itsEpoch === epoch && itsRevision === revision) return answer({ type: 'polled', poll: id, answer: { kind: 'unchanged' } })
      const reachesBack = itsEpoch === epoch && itsRevision < revision && (history[0]?.revision ?? Infinity) <= itsRevision + 1
      if (reachesBack && chance(0.7)) {
        const delta = deltaMessage('changes', itsRevision) as Delta & Downstream
        return answer({ type: 'polled', poll: id, answer: { kind: 'changes', delta } })
      }
      const whole = { epoch, revision, ...documents(), content: text(content) } as Whole
      answer({ type: 'polled', poll: id, answer: { kind: 'whole', whole } })
    })
  }

  function cutAll(): void {
    for (const link of [...links.keys()]) later(between(0, 300), () => lose(link, 'closed'))
  }

  const faults: readonly (readonly [number, () => void])[] = [
    [30, commit],
    [8, () => cutAll()],
    // A restart: everybody is cut, nothing is forgotten.
    [
      4,
      () => {
        isUp = false
        cutAll()
        later(between(100, 40_000), () => (isUp = true))
      },
    ],
    // A restored backup: a new epoch at an older state.
    [
      2,
      () => {
        cutAll()
        epoch = `e${order}`
        revision = Math.max(0, revision - Math.floor(between(0, 5)))
        content = new Map([...content].slice(0, 3))
        history = []
        isHeld = false
      },
    ],
    // Published but lost before it was stored: the same epoch goes back.
    [
      2,
      () => {
        if (revision === 0 || isHeld || history.length === 0) return
        for (const one of links.values()) one.isLive = false
        cutAll()
        const lost = history.at(-1)!
        revision = lost.revision - 1
        content = lost.before
        history = []
        isHeld = true
      },
    ],
    [3, () => links.forEach(one => (one.isSwallowing = true))],
    [2, () => links.forEach((_, link) => send(link, null))],
    [2, () => links.forEach((_, link) => send(link, { type: 'unknown' }))],
    [
      3,
      () =>
        links.forEach((one, link) => one.isLive && send(link, { type: 'drain', afterMs: between(0, 3_000), spreadMs: between(0, 9_000) })),
    ],
    [
      2,
      () => {
        isKeyGood = false
        later(between(1_000, 600_000), () => (isKeyGood = true))
        cutAll()
      },
    ],
  ]
  const weight = faults.reduce((sum, [share]) => sum + share, 0)

  function advance(ms: number): void {
    const end = now + ms
    for (let guard = 0; ; guard++) {
      if (guard > 1_000_000) fail('does not come to rest')
      const wake = wakeAt(state) ?? Infinity
      let first = queue[0]
      for (const one of queue) if (first === undefined || one.at < first.at || (one.at === first.at && one.order < first.order)) first = one
      const at = Math.min(first?.at ?? Infinity, wake)
      if (at > end) break
      now = Math.max(now, at)
      if (first !== undefined && first.at <= wake) {
        queue = queue.filter(one => one !== first)
        first.run()
      } else feed({ type: 'tick' })
    }
    now = end
  }

  function beat(): void {
    if (isUp) for (const [link, one] of links) if (one.isLive) send(link, { type: 'beat', epoch, revision })
    later(BEAT_INTERVAL_MS, beat)
  }

  beat()
  const dayAt = seed % 10 === 0 ? Math.floor(steps / 2) : -1
  for (let step = 0; step < steps; step++) {
    if (step === dayAt) refusedForADay()
    let pick = random() * weight
    for (const [share, fault] of faults) {
      pick -= share
      if (pick < 0) {
        fault()
        break
      }
    }
    advance(chance(0.1) ? between(0, 90_000) : between(0, 2_000))
  }

  function refusedForADay(): void {
    advance(700_000)
    isKeyGood = false
    cutAll()
    advance(SLOW_MAX_MS)
    const from = attempts.length
    queue = queue.filter(one => one.at < now + DAY_MS)
    advance(DAY_MS)
    const tries = attempts.slice(from)
    if (tries.length < DAY_MS / SLOW_MAX_MS / 1.2) fail(`gave up: ${tries.length} attempts in a day`)
    // The model refuses, but now and then the network fails too, and that is followed by ordinary waits until the next refusal.
    if (tries.length > (DAY_MS / SLOW_MIN_MS) * 1.5) fail(`${tries.length} attempts in a day of refusals`)
    isKeyGood = true
    beat()
  }

  // All is well again: the client must come to hold what the server has, by itself.
  isUp = true
  advance(700_000)
  isKeyGood = true
  advance(2 * SLOW_MAX_MS)
  for (let tries = 0; tries < 20 && state.stream.phase !== 'live'; tries++) advance(60_000)
  advance(2 * BEAT_INTERVAL_MS + 10_000)
  for (
    let tries = 0;
    tries < 60 && !(state.stream.phase === 'live' && state.held.revision === revision && state.held.epoch === epoch);
    tries++
  )
    advance(10_000)
  if (state.held.epoch !== epoch || state.held.revision !== revision) fail('did not converge')
  if (text(held) !== text(content)) fail(`converged to ${text(held)}, expected ${text(content)}`)
  if (isStale(state)) fail('still stale')
  if (now - lastAttemptAt > 10 * DAY_MS) fail('never tried')
  return { taken, links: attempts.length, polls }
}

function merged(content: Content, documents: Documents & Partial<Delta>): Content {
  const result = new Map(content)
  for (const flag of documents.flags as unknown as { key: string; value: number }[]) result.set(flag.key, flag.value)
  for (const key of documents.removedFlags ?? []) result.delete(key)
  return result
}

function text(content: Content): string {
  return JSON.stringify([...content].sort())
}
