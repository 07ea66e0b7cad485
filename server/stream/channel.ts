/**
 * One log that SDKs ask for, and the bytes that its sockets share: a message for many is serialised and framed once, at
 * its first use, and forgotten with the next change.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { ChangeLog } from '../log/types.ts'
import { textFrame } from './frame.ts'
import { beatMessage, changeMessage, changesMessage, currentMessage, rulesetBody, shortHash, type Step, stepOf } from './messages.ts'
import { append, emptyRecent, fill, follow, type Recent, RECENT_STEPS_MAX, stepsFrom } from './recent.ts'

/** Catch-up messages kept for the next SDK that missed the same. */
const CATCH_UPS_KEPT = 50

export interface Channel<Peer> {
  readonly log: string
  /** SDKs. */
  readonly peers: Set<Peer>
  /** Clients, which share less: each is sent what its own context gets. */
  readonly clients: Set<Peer>
  readonly recent: Recent
  isFilling: boolean
  /** Valid for the revision at hand. */
  ruleset: Ruleset | null
  current: Buffer | null
  beat: Buffer | null
  readonly catchUps: Map<number, Buffer>
}

export interface Ruleset {
  readonly etag: string
  readonly body: Buffer
}

export function openChannel<Peer>(log: Pick<ChangeLog, 'state'>, name: string): Channel<Peer> {
  const { epoch, revision, hash = '' } = log.state(name)
  return {
    log: name,
    peers: new Set(),
    clients: new Set(),
    recent: emptyRecent(epoch, revision, shortHash(hash)),
    isFilling: false,
    ruleset: null,
    current: null,
    beat: null,
    catchUps: new Map(),
  }
}

/** One more entry of the log. @returns the frame that tells it to everyone who holds the revision before */
export function take(channel: Channel<unknown>, epoch: string, entry: Step, isVolatile: boolean): Buffer {
  const frame = textFrame(changeMessage(epoch, entry, isVolatile))
  append(channel.recent, epoch, entry, frame.length)
  forgetShared(channel)
  return frame
}

/** A log may move without an entry: a revision that was lost is passed over, a new epoch begins. @returns whether it did */
export function followLog(channel: Channel<unknown>, log: Pick<ChangeLog, 'state'>): boolean {
  const { epoch, revision, hash = '' } = log.state(channel.log)
  const hasMoved = follow(channel.recent, epoch, revision, shortHash(hash))
  if (hasMoved) forgetShared(channel)
  return hasMoved
}

export function currentFrame(channel: Channel<unknown>): Buffer {
  const { epoch, revision, hash } = channel.recent
  return (channel.current ??= textFrame(currentMessage(epoch, revision, hash)))
}

export function beatFrame(channel: Channel<unknown>): Buffer {
  return (channel.beat ??= textFrame(beatMessage(channel.recent.epoch, channel.recent.revision)))
}

/** Everything since a revision as one message. The revision is within the recent history. */
export function catchUpFrame(channel: Channel<unknown>, from: number): Buffer {
  let frame = channel.catchUps.get(from)
  if (frame === undefined) {
    frame = textFrame(changesMessage(channel.recent.epoch, stepsFrom(channel.recent, from)))
    if (channel.catchUps.size < CATCH_UPS_KEPT) channel.catchUps.set(from, frame)
  }
  return frame
}

export function rulesetOf(channel: Channel<unknown>, log: Pick<ChangeLog, 'state'>): Ruleset {
  if (channel.ruleset === null) {
    const state = log.state(channel.log)
    channel.ruleset = { etag: `"${state.epoch}.${state.revision}.${shortHash(state.hash ?? '')}"`, body: rulesetBody(state) }
  }
  return channel.ruleset
}

/**
 * Once per start and log: what SDKs missed while the server was down is read for all of them together. When it cannot
 * be read, those who wait get the whole ruleset, and the next one who needs it asks again.
 * @param filled called when it is over, for those who wait
 */
export async function fillRecent(
  channel: Channel<unknown>,
  log: Pick<ChangeLog, 'changes'>,
  logger: FastifyBaseLogger,
  filled: () => void,
): Promise<void> {
  if (channel.isFilling) return
  channel.isFilling = true
  const { floor } = channel.recent
  const query = {
    afterRevision: Math.max(0, floor - RECENT_STEPS_MAX),
    toRevision: floor,
    limit: RECENT_STEPS_MAX,
    order: 'oldest',
  } as const
  let isStored = true
  try {
    const changes = await log.changes(channel.log, query)
    const { epoch } = channel.recent
    fill(
      channel.recent,
      changes.map(stepOf).map(entry => ({ step: entry, bytes: Buffer.byteLength(changeMessage(epoch, entry, false)) })),
    )
  } catch (error) {
    logger.warn({ err: error, log: channel.log }, 'older changes cannot be read; SDKs that missed some get the whole ruleset')
    channel.recent.isFilled = true
    isStored = false
  }
  channel.isFilling = false
  filled()
  if (!isStored) channel.recent.isFilled = false
}

function forgetShared(channel: Channel<unknown>): void {
  channel.ruleset = null
  channel.current = null
  channel.beat = null
  channel.catchUps.clear()
}
