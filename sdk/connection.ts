/**
 * Decides everything about staying current: when to connect, what to make of a message, when to give a link up, when
 * to poll. Pure: what happened goes in, what to do comes out; time and chance are arguments, so that thousands of
 * seeded schedules run through it in a second. Doing it is left to `client.ts`.
 */
import { DEAD_LINK_MS } from '../schemas/protocol.ts'
import type { Delta, Downstream, Whole } from './messages.ts'

/** The first wait after a failure; each further one doubles it. */
export const RECONNECT_MS = 1_000
export const RECONNECT_MAX_MS = 30_000
/**
 * A link must have been live for so long before the waits start small again: one that comes and goes keeps its long
 * ones. As long as the longest wait, and well below the minute after which many proxies close whatever they carry.
 */
export const HEALTHY_MS = 30_000
/**
 * The wait after a refused key or an untrusted certificate is between these. Never for ever: a key revoked by mistake must
 * not need a restart of a fleet. With the attempt itself it stays below five minutes.
 */
export const SLOW_MIN_MS = 150_000
export const SLOW_MAX_MS = 285_000
/** A wait is shortened by up to this share, at random, so that a fleet does not come back in step. */
export const JITTER = 0.5
/** How long connecting may take, TLS and upgrade included. */
export const CONNECT_TIMEOUT_MS = 10_000
/** How long the first answer may take, however slowly it trickles: 64 MiB at 4 Mbit/s. */
export const GREETING_TIMEOUT_MS = 120_000
/** A revision that a beat named and that has not come so much later was lost on the way. */
export const GAP_MS = 3_000
/** How long the stream is down before polling starts, and at most as long again at random: most interruptions are shorter. */
export const POLL_AFTER_MS = 3_000
/** Longest wait that `drain` or `Retry-After` can ask for, and longest spread. */
export const DRAIN_MAX_MS = 300_000

const UNTRUSTED = "The server's certificate is not trusted, or it does not speak TLS. Trying again every few minutes"

/** What a client holds: a log's life, a revision in it, and which history of it, `''` where the server did not say. Nothing is `''` and 0. */
export interface Place {
  readonly epoch: string
  readonly revision: number
  readonly hash: string
}

export const NOTHING: Place = { epoch: '', revision: 0, hash: '' }

export function placeOf({ epoch, revision, hash = '' }: Pick<Whole, 'epoch' | 'revision' | 'hash'>): Place {
  return { epoch, revision, hash }
}

export interface State {
  readonly pollIntervalMs: number
  readonly held: Place
  /** Whether the server has said that what is held is what it has, and nothing since speaks against it. */
  readonly confirmed: boolean
  /** Whether the outcome of the first attempt is known. */
  readonly tried: boolean
  readonly stream: Stream
  readonly poll: Poll
  /** Whether the last poll was answered, so that there is someone to send counts to. */
  readonly pollWorked: boolean
  /** Until when the server asked not to be polled. */
  readonly pollNotBefore: number
  /** Failures in a row. */
  readonly failures: number
  /** The key or the certificate was refused: attempts are minutes apart. */
  readonly slow: boolean
  /** Numbers the links and polls, so that a late word from an old one is told apart. */
  readonly count: number
}

export type Stream =
  | { readonly phase: 'waiting'; readonly until: number }
  | { readonly phase: 'connecting'; readonly link: number; readonly giveUpAt: number }
  /** Open, `hello` sent, not answered yet. */
  | {
      readonly phase: 'greeting'
      readonly link: number
      readonly heardAt: number
      readonly giveUpAt: number
      /** Of the link's first answer, null before it. */
      readonly epoch: string | null
    }
  | {
      readonly phase: 'live'
      readonly link: number
      readonly heardAt: number
      readonly since: number
      /** Of the link's first answer. */
      readonly epoch: string
      readonly resyncAt: number | null
    }
  | { readonly phase: 'closed' }

export type Poll =
  { readonly phase: 'off' } | { readonly phase: 'waiting'; readonly until: number } | { readonly phase: 'running'; readonly poll: number }

export type Event =
  | { readonly type: 'tick' }
  | { readonly type: 'opened'; readonly link: number }
  /** Bytes arrived, though no whole message. */
  | { readonly type: 'heard'; readonly link: number }
  /** `null` is what could not be read. */
  | { readonly type: 'message'; readonly link: number; readonly message: Downstream | null }
  /** `retryAfterMs`: the server refused the upgrade for now, and said for how long. */
  | { readonly type: 'lost'; readonly link: number; readonly why: Loss; readonly retryAfterMs?: number | undefined }
  | { readonly type: 'polled'; readonly poll: number; readonly answer: PollAnswer }
  /** What was to be applied could not be: nothing is held any more that a delta could build on. */
  | { readonly type: 'unusable' }
  /** Something else is asked for from now on, as when a page's context changes: this is held of it, and the rest is asked for. */
  | { readonly type: 'renew'; readonly held: Place }
  /** The machine slept, or its network came back: what was decided before is not waited out. */
  | { readonly type: 'woke' }
  | { readonly type: 'close' }

/**
 * Why a link is gone: the server was reached and did not take the upgrade (which alone does not say why: a poll will);
 * it was not reached; its certificate is not trusted; or it had been open.
 */
export type Loss = 'refused' | 'unreachable' | 'untrusted' | 'closed'

export type PollAnswer =
  | { readonly kind: 'whole'; readonly whole: Whole }
  /** What changed since the revision that the poll named. */
  | { readonly kind: 'changes'; readonly delta: Delta }
  | { readonly kind: 'unchanged' }
  /** 401 or 403. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'untrusted' }
  | {
      readonly kind: 'failed'
      readonly problem: string
      /** How long the server asked to be left alone. */
      readonly retryAfterMs?: number
    }

export type Action =
  | { readonly do: 'connect'; readonly link: number }
  | { readonly do: 'hello'; readonly link: number; readonly held: Place }
  /** `epoch` where it is another than at the beginning of the link. */
  | { readonly do: 'applied'; readonly link: number; readonly revision: number; readonly epoch?: string | undefined }
  | { readonly do: 'drop'; readonly link: number }
  | { readonly do: 'apply'; readonly delta: Delta }
  | { readonly do: 'replace'; readonly whole: Whole }
  | { readonly do: 'poll'; readonly poll: number; readonly held: Place }
  | { readonly do: 'stop-polling'; readonly poll: number }
  | { readonly do: 'note'; readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly text: string }

export interface Step {
  readonly state: State
  readonly actions: readonly Action[]
}

/** Where a client starts: about to connect, with what its cache file held. */
export function begin(held: Place, pollIntervalMs: number, now: number): State {
  return {
    pollIntervalMs,
    held,
    confirmed: false,
    tried: false,
    stream: { phase: 'waiting', until: now },
    poll: { phase: 'waiting', until: now + POLL_AFTER_MS },
    pollWorked: false,
    pollNotBefore: now,
    failures: 0,
    slow: false,
    count: 0,
  }
}

/** Whether what is held may be out of date. */
export function isStale(state: State): boolean {
  return state.held.epoch !== '' && !state.confirmed
}

/** When a `tick` is due, or null for never. */
export function wakeAt(state: State): number | null {
  const { stream, poll } = state
  if (stream.phase === 'closed') return null
  const pollAt = poll.phase === 'waiting' && mayPoll(stream) ? poll.until : Infinity
  if (stream.phase === 'waiting') return Math.min(stream.until, pollAt)
  if (stream.phase === 'connecting') return Math.min(stream.giveUpAt, pollAt)
  if (stream.phase === 'greeting') return Math.min(stream.heardAt + DEAD_LINK_MS, stream.giveUpAt)
  return Math.min(stream.heardAt + DEAD_LINK_MS, stream.resyncAt ?? Infinity)
}

/**
 * @param now    milliseconds of a clock that only runs forward
 * @param random a number in [0, 1), new for every step
 */
export function next(state: State, event: Event, now: number, random: number): Step {
  const { stream } = state
  if (stream.phase === 'closed') return { state, actions: [] }
  switch (event.type) {
    case 'tick':
      return tick(state, now, random)
    case 'opened':
      return stream.phase === 'connecting' && stream.link === event.link ? greet(state, event.link, now) : stay(state)
    case 'heard':
      return isOpen(stream) && stream.link === event.link ? stay({ ...state, stream: { ...stream, heardAt: now } }) : stay(state)
    case 'message':
      if (!isOpen(stream) || stream.link !== event.link) return stay(state)
      return take({ ...state, stream: { ...stream, heardAt: now } }, event.link, event.message, now, random)
    case 'lost':
      return stream.phase !== 'waiting' && stream.link === event.link
        ? fail(state, event.why, now, random, false, event.retryAfterMs)
        : stay(state)
    case 'polled':
      return state.poll.phase === 'running' && state.poll.poll === event.poll ? polled(state, event.answer, now, random) : stay(state)
    case 'unusable': {
      // Whatever a poll that runs brings was asked for on another basis.
      const emptied: State = { ...state, held: NOTHING, confirmed: false, poll: pausePoll(state, now) }
      const step = stream.phase === 'waiting' ? stay(emptied) : fail(emptied, 'closed', now, random, true)
      return { state: step.state, actions: [...stopPolling(state.poll), ...step.actions] }
    }
    case 'renew':
      return renew({ ...state, held: event.held, confirmed: false, tried: false }, now)
    case 'woke':
      return woke(state, now, random)
    case 'close':
      return {
        state: { ...state, stream: { phase: 'closed' }, poll: { phase: 'off' } },
        actions: [...(stream.phase === 'waiting' ? [] : [{ do: 'drop', link: stream.link } as const]), ...stopPolling(state.poll)],
      }
  }
}

function tick(state: State, now: number, random: number): Step {
  const { stream } = state
  if (stream.phase === 'waiting' && now >= stream.until) {
    const link = state.count + 1
    const connecting: State = { ...state, count: link, stream: { phase: 'connecting', link, giveUpAt: now + CONNECT_TIMEOUT_MS } }
    return chain({ state: connecting, actions: [{ do: 'connect', link }] }, then => startPoll(then, now))
  }
  if (stream.phase === 'connecting' && now >= stream.giveUpAt) return fail(state, 'unreachable', now, random, true)
  if (stream.phase === 'greeting' && now >= Math.min(stream.heardAt + DEAD_LINK_MS, stream.giveUpAt))
    return fail(state, 'closed', now, random, true)
  if (stream.phase === 'live') {
    if (now >= stream.heardAt + DEAD_LINK_MS) {
      return noted(
        fail(state, 'closed', now, random, true),
        'warn',
        `Nothing heard for ${DEAD_LINK_MS / 1_000} s: the link counts as dead, connecting anew`,
      )
    }
    if (stream.resyncAt !== null && now >= stream.resyncAt) {
      return noted(
        fail(state, 'closed', now, random, true),
        'warn',
        `A change after revision ${state.held.revision} did not arrive: asking again`,
      )
    }
  }
  return startPoll(state, now)
}

function greet(state: State, link: number, now: number): Step {
  // A poll's answer after `hello` would move what is held from under the server's answer: from here on the stream alone speaks.
  return {
    state: {
      ...state,
      stream: { phase: 'greeting', link, heardAt: now, giveUpAt: now + GREETING_TIMEOUT_MS, epoch: null },
      poll: pausePoll(state, now),
    },
    actions: [...stopPolling(state.poll), { do: 'hello', link, held: state.held }],
  }
}

function take(state: State, link: number, message: Downstream | null, now: number, random: number): Step {
  if (message === null) {
    return noted(
      fail(state, 'closed', now, random, true),
      'warn',
      'The stream sent what cannot be understood: connecting anew, keeping what is held',
    )
  }
  const { held } = state
  switch (message.type) {
    case 'grant':
    case 'valve-states':
    case 'unknown':
      return stay(state)
    case 'drain':
      return drain(state, link, message.afterMs, message.spreadMs, now, random)
    case 'beat':
      return isLive(state) ? stay(compare(state, placeOf(message), now)) : stay(state)
    case 'current': {
      // Revision 0 is empty by definition: whoever holds nothing has it.
      if (held.epoch === '' && message.revision === 0) {
        return take(state, link, { ...message, type: 'ruleset', flags: [], segments: [] }, now, random)
      }
      const place = placeOf(message)
      // Said again, when more has come since.
      if (isLive(state) && place.epoch === held.epoch && place.revision < held.revision) return stay(state)
      if (place.epoch !== held.epoch || place.revision !== held.revision || isOther(place.hash, held.hash)) {
        return noted(
          fail(state, 'closed', now, random, true),
          'warn',
          `The server takes revision ${message.revision} for current, held is ${held.revision}: asking again`,
        )
      }
      // What is held may come from a server or a cache file that did not say which history it is.
      const known = held.hash === '' ? { ...state, held: place } : state
      const settled = compare(live(known, link, held.epoch, now), place, now)
      return { state: settled, actions: [receipt(settled, link)] }
    }
    case 'changes':
    case 'change': {
      const place = placeOf(message)
      const isOtherHistory = place.revision === held.revision && isOther(place.hash, held.hash)
      // The first answer is never a `change`: one that comes first has overtaken it, and may build on what is not held.
      const isAnswerMissing = message.type === 'change' && state.stream.phase === 'greeting' && state.stream.epoch === null
      if (message.epoch !== held.epoch || message.from > held.revision || isOtherHistory || isAnswerMissing) {
        return noted(
          fail(state, 'closed', now, random, true),
          'warn',
          `A change from revision ${message.from} does not follow ${held.revision}: asking again`,
        )
      }
      // Known already: a repeated message.
      if (message.revision <= held.revision) return stay(compare(live(state, link, held.epoch, now), place, now))
      // One that starts earlier than what is held may be taken: it carries the newest state of all it touches.
      const applied = compare({ ...live(state, link, place.epoch, now), held: place }, place, now)
      return { state: applied, actions: [{ do: 'apply', delta: message }, receipt(applied, link)] }
    }
    case 'ruleset': {
      const place = placeOf(message)
      // Within an epoch an older state never replaces a newer one, unless the server says that the newer one is lost; a new
      // epoch is a restored backup, and right even if lower.
      if (message.reset !== true && place.epoch === held.epoch && place.revision < held.revision)
        return stay(compare(live(state, link, held.epoch, now), place, now))
      const replaced = compare({ ...live(state, link, place.epoch, now), held: place }, place, now)
      return { state: replaced, actions: [{ do: 'replace', whole: message }, receipt(replaced, link)] }
    }
  }
}

/** What the server says it has, beside what is held. Behind us (a replica catching up) is no reason to do anything, nor a confirmation. */
function compare(state: State, server: Place, now: number): State {
  if (!isLive(state)) return state
  const { stream } = state
  if (server.epoch === state.held.epoch) {
    if (server.revision === state.held.revision && !isOther(server.hash, state.held.hash))
      return { ...state, confirmed: true, stream: { ...stream, resyncAt: null } }
    if (server.revision < state.held.revision) return { ...state, stream: { ...stream, resyncAt: null } }
  }
  return { ...state, stream: { ...stream, resyncAt: stream.resyncAt ?? now + GAP_MS } }
}

function receipt({ stream, held }: State, link: number): Action {
  const epoch = stream.phase === 'live' && stream.epoch !== held.epoch ? held.epoch : undefined
  return { do: 'applied', link, revision: held.revision, epoch }
}

/** The server has answered: the stream is what counts. */
function live(state: State, link: number, epoch: string, now: number): State {
  if (isLive(state)) return state
  const first = state.stream.phase === 'greeting' ? state.stream.epoch : null
  return {
    ...state,
    tried: true,
    slow: false,
    stream: { phase: 'live', link, heardAt: now, since: now, epoch: first ?? epoch, resyncAt: null },
    poll: { phase: 'off' },
  }
}

/** The server asks for a break. No failure: the next wait is what it says, spread at random. */
function drain(state: State, link: number, afterMs: number, spreadMs: number, now: number, random: number): Step {
  const until = now + Math.min(afterMs, DRAIN_MAX_MS) + random * Math.min(spreadMs, DRAIN_MAX_MS)
  const failures = wasHealthy(state) ? 0 : state.failures
  return {
    state: { ...state, failures, stream: { phase: 'waiting', until }, poll: { phase: 'waiting', until: until + POLL_AFTER_MS } },
    actions: [
      { do: 'drop', link },
      { do: 'note', level: 'info', text: `The server drains: connecting again in ${Math.round(until - now)} ms` },
    ],
  }
}

/** A link is over, or never was: wait, longer each time, and poll in the meantime. */
function fail(state: State, why: Loss, now: number, random: number, drop: boolean, retryAfterMs = 0): Step {
  const { stream } = state
  if (stream.phase === 'waiting' || stream.phase === 'closed') return stay(state)
  const askedMs = Math.min(retryAfterMs, DRAIN_MAX_MS)
  const untrusted = why === 'untrusted'
  // A network error or a server too busy to look says nothing about the key: the ordinary waits again. A refused upgrade
  // keeps what the last poll found out.
  const slow = untrusted || (why === 'refused' && state.slow && askedMs === 0)
  const failures = wasHealthy(state) ? 0 : state.failures
  const ordinary = slow ? slowWait(random) : jittered(Math.min(RECONNECT_MAX_MS, RECONNECT_MS * 2 ** Math.min(failures, 30)), random)
  const wait = Math.max(ordinary, spread(askedMs, random))
  const waiting: State = {
    ...state,
    slow,
    failures: failures + 1,
    tried: state.tried || why !== 'refused' || askedMs > 0,
    confirmed: state.confirmed && !untrusted,
    stream: { phase: 'waiting', until: now + wait },
    // A poll that runs goes on: it may bring what the stream did not.
    poll: slow && why !== 'refused' ? { phase: 'off' } : nextPoll(state, why, askedMs, now, random),
  }
  const actions: Action[] = []
  if (drop) actions.push({ do: 'drop', link: stream.link })
  if (slow && why !== 'refused') actions.push(...stopPolling(state.poll))
  if (untrusted && !state.slow) actions.push({ do: 'note', level: 'error', text: UNTRUSTED })
  else actions.push({ do: 'note', level: 'debug', text: `The stream is down (${why}): connecting again in ${Math.round(wait)} ms` })
  return chain({ state: waiting, actions }, then => startPoll(then, now))
}

function polled(state: State, answer: PollAnswer, now: number, random: number): Step {
  const interval = state.pollIntervalMs * (1 - 0.1 * random)
  const again: State = { ...state, tried: true, poll: { phase: 'waiting', until: now + interval } }
  if (answer.kind === 'failed') {
    const pollNotBefore = now + spread(Math.min(answer.retryAfterMs ?? 0, DRAIN_MAX_MS), random)
    const poll: Poll = { phase: 'waiting', until: Math.max(pollNotBefore, now + interval) }
    return stay({ ...again, poll, pollNotBefore, pollWorked: false, confirmed: false, slow: false })
  }
  if (answer.kind === 'refused' || answer.kind === 'untrusted') {
    const until = now + slowWait(random)
    const stream: Stream =
      state.stream.phase === 'waiting' ? { phase: 'waiting', until: Math.max(until, state.stream.until) } : state.stream
    const text = answer.kind === 'refused' ? 'The server refused the key. Check it; trying again every few minutes' : UNTRUSTED
    return {
      state: { ...state, tried: true, slow: true, pollWorked: false, confirmed: false, stream, poll: { phase: 'off' } },
      actions: state.slow ? [] : [{ do: 'note', level: 'error', text }],
    }
  }
  const { stream } = state
  // The key is taken again: no reason to wait out the minutes.
  const sooner = now + jittered(RECONNECT_MS, random)
  const worked: State = {
    ...again,
    pollWorked: true,
    slow: false,
    stream: state.slow && stream.phase === 'waiting' ? { phase: 'waiting', until: Math.min(stream.until, sooner) } : stream,
  }
  if (answer.kind === 'unchanged') return stay({ ...worked, confirmed: true })
  const { held } = state
  if (answer.kind === 'changes') {
    const { delta } = answer
    // Asked for another basis than is held now: the next poll names the right one.
    if (delta.epoch !== held.epoch || delta.from > held.revision || delta.revision <= held.revision) return stay(worked)
    return {
      state: { ...worked, confirmed: true, held: placeOf(delta) },
      actions: [{ do: 'apply', delta }],
    }
  }
  const { whole } = answer
  if (whole.reset !== true && whole.epoch === held.epoch && whole.revision <= held.revision) {
    const isHeld = whole.revision === held.revision && !isOther(placeOf(whole).hash, held.hash)
    return stay({ ...worked, confirmed: worked.confirmed || isHeld })
  }
  return {
    state: { ...worked, confirmed: true, held: placeOf(whole) },
    actions: [{ do: 'replace', whole }],
  }
}

/** Asks for what is not held yet: on the open link, or by a poll where polls are what works. */
function renew(state: State, now: number): Step {
  const { stream, poll } = state
  if (isOpen(stream)) return greetAgain(state, stream, GREETING_TIMEOUT_MS, now)
  if (poll.phase !== 'running' && !state.pollWorked) return stay(state)
  const waiting: State = { ...state, poll: { phase: 'waiting', until: Math.max(now, state.pollNotBefore) } }
  return chain({ state: waiting, actions: stopPolling(poll) }, then => startPoll(then, now))
}

/** A link that outlived the sleep answers at once, and one that did not is not waited for. */
function woke(state: State, now: number, random: number): Step {
  const { stream, poll } = state
  if (stream.phase === 'live') return greetAgain(state, stream, GAP_MS, now)
  // Not sooner than after a first failure, and nothing that the server asked for is cut short.
  if (stream.phase !== 'waiting' || state.slow || state.failures === 0) return stay(state)
  const soon = now + jittered(RECONNECT_MS, random)
  const until = Math.min(stream.until, soon)
  const isPolling = poll.phase === 'waiting' && state.pollWorked
  return stay({
    ...state,
    stream: { phase: 'waiting', until },
    poll: isPolling ? { phase: 'waiting', until: Math.min(poll.until, Math.max(soon, state.pollNotBefore)) } : poll,
  })
}

/** Says hello on a link that is open already. */
function greetAgain(state: State, { link, heardAt, epoch }: Open, patienceMs: number, now: number): Step {
  const failures = wasHealthy(state) ? 0 : state.failures
  return {
    state: { ...state, failures, stream: { phase: 'greeting', link, heardAt, giveUpAt: now + patienceMs, epoch } },
    actions: [{ do: 'hello', link, held: state.held }],
  }
}

function startPoll(state: State, now: number): Step {
  if (state.poll.phase !== 'waiting' || now < state.poll.until || !mayPoll(state.stream)) return stay(state)
  const poll = state.count + 1
  return { state: { ...state, count: poll, poll: { phase: 'running', poll } }, actions: [{ do: 'poll', poll, held: state.held }] }
}

/**
 * When to poll after a failure. One that reached the server is followed by a poll at once, which tells a refused key from
 * a refused upgrade; but not at a server that asked for a pause.
 */
function nextPoll(state: State, why: Loss, askedMs: number, now: number, random: number): Poll {
  const { poll } = state
  if (poll.phase === 'running') return poll
  if (why === 'refused' && askedMs === 0 && (state.slow || !state.pollWorked))
    return { phase: 'waiting', until: Math.max(now, state.pollNotBefore) }
  // A fleet that lost its server at one moment does not poll as one.
  const until = poll.phase === 'waiting' ? poll.until : now + POLL_AFTER_MS * (1 + random)
  return { phase: 'waiting', until: Math.max(until, now + askedMs) }
}

function pausePoll(state: State, now: number): Poll {
  return state.poll.phase === 'waiting' ? state.poll : { phase: 'waiting', until: now + POLL_AFTER_MS }
}

function stopPolling(poll: Poll): readonly Action[] {
  return poll.phase === 'running' ? [{ do: 'stop-polling', poll: poll.poll }] : []
}

function mayPoll(stream: Stream): boolean {
  return stream.phase === 'waiting' || stream.phase === 'connecting'
}

function wasHealthy({ stream }: State): boolean {
  return stream.phase === 'live' && stream.heardAt - stream.since >= HEALTHY_MS
}

/** Whether two hashes are known and not the same. */
function isOther(one: string, other: string): boolean {
  return one !== '' && other !== '' && one !== other
}

function jittered(ms: number, random: number): number {
  return ms * (1 - JITTER * random)
}

function slowWait(random: number): number {
  return SLOW_MAX_MS - (SLOW_MAX_MS - SLOW_MIN_MS) * random
}

/** A pause that was asked of many at once is kept by each a little differently. */
function spread(askedMs: number, random: number): number {
  return askedMs === 0 ? 0 : askedMs + RECONNECT_MS * random
}

type Open = Extract<Stream, { phase: 'greeting' | 'live' }>

function isOpen(stream: Stream): stream is Open {
  return stream.phase === 'greeting' || stream.phase === 'live'
}

function isLive(state: State): state is State & { stream: Extract<Stream, { phase: 'live' }> } {
  return state.stream.phase === 'live'
}

function stay(state: State): Step {
  return { state, actions: [] }
}

function chain(step: Step, more: (state: State) => Step): Step {
  const { state, actions } = more(step.state)
  return { state, actions: [...step.actions, ...actions] }
}

function noted(step: Step, level: 'warn', text: string): Step {
  return { state: step.state, actions: [...step.actions, { do: 'note', level, text }] }
}
