/**
 * Turns the changes of every log into messages, each once: how far a log has been turned is stored with the messages of it, so that
 * a process that ends between a commit and its message makes it at the next start. A notifier hears what came after it was
 * made. Nothing here is waited for by a commit.
 */
import { createHash, randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AccessKey } from '../../schemas/accesskey.ts'
import type { Change } from '../../schemas/change.ts'
import type { Notifier } from '../../schemas/notifier.ts'
import { moment, type Timer } from '../clock.ts'
import { SERVER_LOG } from '../log/types.ts'
import type { Notice, Notices, Services } from '../services.ts'
import type { NewMessage, OutboxStorage } from '../storage/outbox.ts'
import type { Delivery } from './delivery.ts'
import { KINDS } from './kinds.ts'
import type { Part } from './kinds/kind.ts'
import { type Heard, isHeardBy, messageOf, messageOfNotice } from './message.ts'

/** Waiting for one notifier; what comes then is counted, and the count is told. */
export const WAITING_MAX = 1_000
/** Turned in one transaction. */
const CHANGES_AT_ONCE = 100
/** Changes kept in memory until they are turned; beyond it they are read from the log again. */
const PENDING_MAX = 1_000
const RETRY_MS = 5_000

export interface Following extends Notices {
  close(): Promise<void>
}

interface Follower {
  readonly log: string
  /** As they were at the cursor; null until they are known. */
  notifiers: Map<string, Notifier> | null
  cursor: number
  pending: Change[]
  /** There are changes before the pending ones. */
  isBehind: boolean
  running: Promise<void> | null
  timer: Timer | null
}

/** Errors: those of `Storage`. */
export async function openFollowing(
  { log: changes, clock, logger }: Pick<Services, 'log' | 'clock' | 'logger'>,
  storage: OutboxStorage,
  delivery: Pick<Delivery, 'wake' | 'restart'>,
): Promise<Following> {
  const followers = new Map<string, Follower>()
  let unsaid: NewMessage[] = []
  let saying: Promise<void> | null = null
  let sayTimer: Timer | null = null
  let isClosed = false

  const notifiersOf = (log: string): ReadonlyMap<string, Notifier> => changes.state(log).documents.notifier

  const rowsOf = (
    log: string,
    heard: Heard,
    notifiers: Iterable<Notifier>,
    idOf: (notifier: string, i: number) => string,
  ): NewMessage[] => {
    const rows: NewMessage[] = []
    for (const notifier of notifiers) {
      if (!notifier.enabled || !isHeardBy(heard, notifier)) continue
      const parts = KINDS[notifier.kind].parts(heard.message, notifier)
      for (const [i, part] of parts.entries())
        rows.push({ id: idOf(notifier.key, i), log, notifier: notifier.key, createdAt: clock.now(), body: JSON.stringify(part) })
    }
    return rows
  }

  /** What one change of an environment is to its notifiers. */
  const ownRows = (follower: Follower, notifiers: ReadonlyMap<string, Notifier>, change: Change): NewMessage[] => {
    const { log } = follower
    if (notifiers.size === 0) return []
    const { epoch, documents } = changes.state(log)
    const heard = messageOf(log, change, key => documents.flag.get(key))
    return rowsOf(log, heard, notifiers.values(), (notifier, i) => idOf(epoch, log, change.revision, notifier, i))
  }

  /** What a change of keys, projects and environments is to the notifiers of the environments that it concerns. */
  const serverRows = (change: Change): NewMessage[] =>
    changes.logs().flatMap(log => {
      if (log === SERVER_LOG || notifiersOf(log).size === 0 || !concerns(change, log)) return []
      const { message, ...heard } = messageOf(log, change, () => undefined)
      const told = { ...heard, message: { ...message, revision: null } }
      const { epoch } = changes.state(SERVER_LOG)
      return rowsOf(log, told, notifiersOf(log).values(), (notifier, i) =>
        idOf(epoch, `${SERVER_LOG} ${log}`, change.revision, notifier, i),
      )
    })

  /** The next changes to be turned, in order; empty when there are none. */
  const nextOf = async (follower: Follower): Promise<readonly Change[]> => {
    if (follower.isBehind) {
      const read = await changes.changes(follower.log, { afterRevision: follower.cursor, limit: CHANGES_AT_ONCE, order: 'oldest' })
      if (read.length < CHANGES_AT_ONCE) follower.isBehind = false
      if (read.length > 0) return read
    }
    follower.pending = follower.pending.filter(({ revision }) => revision > follower.cursor)
    return follower.pending.slice(0, CHANGES_AT_ONCE)
  }

  const follow = async (follower: Follower): Promise<void> => {
    const { log } = follower
    // The answer to the commit goes first.
    await nextTurn()
    follower.notifiers ??= new Map(follower.cursor === 0 ? [] : (await changes.stateAt(log, follower.cursor)).documents.notifier)
    const { notifiers } = follower
    for (;;) {
      const next = await nextOf(follower)
      if (next.length === 0 || isClosed) return
      const rows: NewMessage[] = []
      const moved = new Map<string, { isResumed: boolean }>()
      let gone: string[] = []
      let { cursor } = follower
      for (const change of next) {
        cursor = change.revision
        const edits = change.edits.filter(edit => edit.type === 'notifier')
        for (const { key, before, after } of edits) {
          const [earlier, later] = [before as Notifier | null, after as Notifier | null]
          if (later === null) {
            notifiers.delete(key)
            gone.push(key)
          } else {
            notifiers.set(key, later)
            moved.set(key, { isResumed: earlier !== null && earlier.paused !== null && later.paused === null })
          }
        }
        rows.push(...(log === SERVER_LOG ? serverRows(change) : ownRows(follower, notifiers, change)))
        // What waits for one that is gone must not wait for one that is made anew with its key.
        if (gone.length > 0) break
      }
      const isFollowed = notifiers.size > 0 || moved.size > 0 || gone.length > 0 || log === SERVER_LOG
      if (isFollowed) await storage.add(rows, { log, revision: cursor }, WAITING_MAX, leftOutMessage)
      for (const key of gone) await storage.forget(log, key)
      gone = []
      follower.cursor = cursor
      for (const [key, { isResumed }] of moved) {
        if (isResumed) await delivery.restart(log, key)
        else delivery.wake(log, key, false)
      }
      for (const place of new Set(rows.map(row => `${row.log} ${row.notifier}`))) {
        const [to = '', key = ''] = place.split(' ')
        delivery.wake(to, key, true)
      }
    }
  }

  const kick = (follower: Follower): void => {
    if (isClosed || follower.running !== null || follower.timer !== null) return
    follower.running = follow(follower)
      .then(() => {
        follower.running = null
        // What came after the last look.
        if (follower.isBehind || follower.pending.some(({ revision }) => revision > follower.cursor)) kick(follower)
      })
      .catch((error: unknown) => {
        follower.running = null
        if (isClosed) return
        // What was taken in before it failed is read and taken in again.
        follower.notifiers = null
        follower.isBehind = true
        logger.warn({ err: error, log: follower.log }, 'Messages about changes cannot be stored; trying again in 5 s')
        follower.timer = clock.after(RETRY_MS, () => {
          follower.timer = null
          kick(follower)
        })
      })
  }

  const followerOf = (log: string, cursor: number, notifiers: Map<string, Notifier> | null): Follower => {
    const follower = { log, notifiers, cursor, pending: [], isBehind: false, running: null, timer: null }
    followers.set(log, follower)
    return follower
  }

  const unsubscribe = changes.subscribe(({ log, change }) => {
    const follower = followers.get(log) ?? followerOf(log, change.revision - 1, new Map())
    if (follower.pending.length < PENDING_MAX) follower.pending.push(change)
    else {
      follower.pending = []
      follower.isBehind = true
    }
    kick(follower)
  })

  const say = async (): Promise<void> => {
    while (unsaid.length > 0) {
      const batch = unsaid.slice(0, CHANGES_AT_ONCE)
      await storage.add(batch, null, WAITING_MAX, leftOutMessage)
      unsaid = unsaid.slice(batch.length)
      for (const { log, notifier } of batch) delivery.wake(log, notifier, true)
    }
  }

  const kickSaying = (): void => {
    if (saying !== null || sayTimer !== null || isClosed) return
    saying = say()
      .catch((error: unknown) => {
        logger.warn({ err: error }, 'Notices cannot be stored; trying again in 5 s')
        if (isClosed) return
        sayTimer = clock.after(RETRY_MS, () => {
          sayTimer = null
          kickSaying()
        })
      })
      .finally(() => (saying = null))
  }

  try {
    const cursors = await storage.cursors()
    for (const log of changes.logs()) {
      const { revision, documents } = changes.state(log)
      const isFollowed = documents.notifier.size > 0
      const cursor = log === SERVER_LOG ? (cursors.get(log) ?? revision) : isFollowed ? (cursors.get(log) ?? 0) : revision
      const follower = followerOf(log, Math.min(cursor, revision), cursor < revision ? null : new Map(documents.notifier))
      follower.isBehind = follower.cursor < revision
      kick(follower)
    }
    for (const { log, notifier } of await storage.allWaiting()) {
      if (notifiersOf(log).has(notifier)) delivery.wake(log, notifier, false)
      else await storage.forget(log, notifier)
    }
  } catch (error) {
    unsubscribe()
    throw error
  }

  return {
    say(notice: Notice) {
      const { log } = notice
      const notifiers = notifiersOf(log)
      if (notifiers.size === 0) return
      const { documents } = changes.state(log)
      const heard = messageOfNotice(notice, moment(clock.now()), key => documents.flag.get(key))
      const rows = rowsOf(log, heard, notifiers.values(), () => `msg_${randomBytes(18).toString('base64url')}`)
      if (unsaid.length + rows.length > PENDING_MAX)
        logger.error({ log, title: notice.title }, 'A notice was left out: too many wait to be stored')
      else unsaid.push(...rows)
      kickSaying()
    },
    async close() {
      isClosed = true
      unsubscribe()
      sayTimer?.cancel()
      for (const { timer } of followers.values()) timer?.cancel()
      await Promise.all([saying ?? [], ...[...followers.values()].flatMap(({ running }) => running ?? [])])
    },
  }
}

/** The same for the same change, whenever it is turned into a message: a restored log is another one. */
function idOf(epoch: string, log: string, revision: number, notifier: string, i: number): string {
  const text = JSON.stringify([epoch, log, revision, notifier, i])
  return `msg_${createHash('sha256').update(text).digest('base64url').slice(0, 24)}`
}

/** Before the first that finds room again. */
export function leftOutMessage(next: NewMessage, leftOut: number): NewMessage {
  const { message, incident, component } = JSON.parse(next.body) as Part
  const many = leftOut === 1 ? '1 message was' : `${leftOut} messages were`
  const told: Part = {
    message: {
      ...message,
      type: 'notice.trouble',
      revision: null,
      actor: null,
      why: null,
      severity: 'warning',
      title: `${many} left out before this one`,
      lines: [`More than ${WAITING_MAX} were waiting for this notifier. What happened meanwhile is in the log: sluice history`],
      undo: null,
      flags: [],
      incidents: [],
      isArriving: false,
    },
    ...(incident === undefined
      ? {}
      : {
          incident: {
            ...incident,
            dedupKey: `${incident.dedupKey}/left-out`,
            isResolved: false,
            summary: `${many} left out`,
            severity: 'warning',
          },
        }),
    ...(component === undefined ? {} : { component }),
  }
  return { ...next, id: `${next.id}_left_out`, body: JSON.stringify(told) }
}

/** Whether a change of the server's own log concerns an environment: its keys, and itself. */
function concerns(change: Change, log: string): boolean {
  return change.edits.some(({ type, key, before, after }) => {
    if (type === 'environment') return key === log
    if (type === 'project') return log.startsWith(`${key}/`)
    if (type !== 'key') return false
    const { project, environment, grants } = (after ?? before) as unknown as AccessKey
    if (project !== undefined) return `${project}/${environment ?? ''}` === log
    return grants.some(
      grant =>
        (grant.project === undefined || log.startsWith(`${grant.project}/`)) &&
        (grant.environment === undefined || log.endsWith(`/${grant.environment}`)),
    )
  })
}
