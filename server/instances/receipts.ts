/**
 * Who is connected and what each has confirmed: the book behind "412 of 415 instances have revision 9871, in 0.8 s".
 * Told by the hub; holds no socket. Answering about the newest revisions costs one look at each connected instance.
 */
import type { Instance, Receipts } from '../../schemas/instance.ts'
import { type Clock, moment, type Timer } from '../clock.ts'

/** How many of the newest revisions keep the moment of publishing and their slowest receipt. */
export const TIMED_REVISIONS_MAX = 1_000
/** Missing instances named in an answer. */
export const MISSING_NAMED_MAX = 100
/** Callers that may wait for receipts of one log at a time; more are answered at once with what is known. */
export const WAITERS_MAX = 1_000

/** One connection that has said hello. Made and dropped by the hub, read and written here. */
export interface Member {
  readonly id: string
  readonly service: string
  readonly sdk: string
  /** Milliseconds since 1970. */
  readonly connectedAt: number
  /** The same on the clock that only runs forward. */
  readonly joinedAt: number
  revision: number
  confirmedAt: number | null
}

export interface ReceiptBook {
  /** A revision is about to be sent: its time runs from here. */
  published(log: string, revision: number): void
  joined(log: string, member: Member): void
  /** `revision` 0 takes back what was confirmed: it belonged to another epoch. */
  confirmed(log: string, member: Member, revision: number): void
  left(log: string, member: Member): void
  count(log: string): number
  instances(log: string): readonly Instance[]
  receipts(log: string, revision: number): Receipts
  arrived(log: string, revision: number, waitMs: number): Promise<Receipts>
  /** Answers everyone who still waits. */
  close(): void
}

interface Timing {
  readonly publishedAt: number
  slowestMs: number | null
  slowest: string | null
}

interface Waiter {
  readonly revision: number
  /** Listed instances that have not confirmed it yet. */
  readonly missing: Set<Member>
  answer(): void
}

interface LogBook {
  /** By instance id, the newest connection last: only that one is listed and counted. */
  readonly members: Map<string, Member[]>
  /** In order of revision, the oldest first. */
  readonly timings: Map<number, Timing>
  readonly waiters: Set<Waiter>
}

export function openReceipts(clock: Clock): ReceiptBook {
  const books = new Map<string, LogBook>()

  const bookOf = (log: string): LogBook => {
    let book = books.get(log)
    if (book === undefined) {
      book = { members: new Map(), timings: new Map(), waiters: new Set() }
      books.set(log, book)
    }
    return book
  }

  return {
    published(log, revision) {
      const { timings } = bookOf(log)
      // Published again (a new epoch, or stored after all): the first moment counts, unless it is of another life.
      timings.delete(revision)
      timings.set(revision, { publishedAt: clock.monotonic(), slowestMs: null, slowest: null })
      for (const oldest of timings.keys()) {
        if (timings.size <= TIMED_REVISIONS_MAX) break
        timings.delete(oldest)
      }
    },
    joined(log, member) {
      const book = bookOf(log)
      const same = book.members.get(member.id)
      if (same === undefined) {
        book.members.set(member.id, [member])
      } else {
        const replaced = same.at(-1)
        same.push(member)
        if (replaced !== undefined) strike(book, replaced)
      }
      expect(book, member)
    },
    confirmed(log, member, revision) {
      const book = bookOf(log)
      const before = member.revision
      member.revision = revision
      member.confirmedAt = revision === 0 ? null : clock.now()
      if (!isListed(book, member)) return
      if (revision > before) time(book, member, before, clock.monotonic())
      for (const waiter of book.waiters) {
        if (revision < waiter.revision) waiter.missing.add(member)
        else if (waiter.missing.delete(member) && waiter.missing.size === 0) waiter.answer()
      }
    },
    left(log, member) {
      const book = bookOf(log)
      const same = book.members.get(member.id)
      const place = same?.indexOf(member) ?? -1
      if (same === undefined || place < 0) return
      const wasListed = place === same.length - 1
      same.splice(place, 1)
      if (same.length === 0) book.members.delete(member.id)
      if (!wasListed) return
      const next = same.at(-1)
      if (next !== undefined) expect(book, next)
      strike(book, member)
    },
    count: log => books.get(log)?.members.size ?? 0,
    instances(log) {
      const listed: Instance[] = []
      for (const member of listedOf(books.get(log))) {
        const { id, service, sdk, connectedAt, revision, confirmedAt } = member
        listed.push({
          id,
          service,
          sdk,
          connectedAt: moment(connectedAt),
          revision,
          confirmedAt: confirmedAt === null ? null : moment(confirmedAt),
        })
      }
      return listed.sort((a, b) => (a.service === b.service ? compare(a.id, b.id) : compare(a.service, b.service)))
    },
    receipts: (log, revision) => receiptsOf(books.get(log), revision),
    arrived(log, revision, waitMs) {
      const book = bookOf(log)
      const missing = new Set<Member>()
      for (const member of listedOf(book)) if (member.revision < revision) missing.add(member)
      if (missing.size === 0 || waitMs <= 0 || book.waiters.size >= WAITERS_MAX) return Promise.resolve(receiptsOf(book, revision))
      return new Promise(resolve => {
        let timer: Timer | null = null
        const waiter: Waiter = {
          revision,
          missing,
          answer() {
            timer?.cancel()
            book.waiters.delete(waiter)
            resolve(receiptsOf(book, revision))
          },
        }
        book.waiters.add(waiter)
        timer = clock.after(waitMs, () => waiter.answer())
      })
    },
    close() {
      for (const book of books.values()) for (const waiter of book.waiters) waiter.answer()
    },
  }
}

function receiptsOf(book: LogBook | undefined, revision: number): Receipts {
  const timing = book?.timings.get(revision)
  const missing: Receipts['missing'] = []
  let instances = 0
  let confirmed = 0
  for (const member of listedOf(book)) {
    instances++
    if (member.revision >= revision) confirmed++
    else if (missing.length < MISSING_NAMED_MAX) missing.push({ id: member.id, service: member.service, revision: member.revision })
  }
  return { revision, instances, confirmed, slowestMs: timing?.slowestMs ?? null, slowest: timing?.slowest ?? null, missing }
}

/** The revisions a receipt newly confirms: whoever confirms last so far is the slowest so far. */
function time(book: LogBook, member: Member, before: number, now: number): void {
  // Nearly always one revision; after a catch-up fewer are timed than lie between.
  const count = member.revision - before
  if (count <= book.timings.size) {
    for (let revision = before + 1; revision <= member.revision; revision++) note(book.timings.get(revision), member, now)
    return
  }
  for (const [revision, timing] of book.timings) if (revision > before && revision <= member.revision) note(timing, member, now)
}

function note(timing: Timing | undefined, member: Member, now: number): void {
  // Whoever came after the publishing was not waited for.
  if (timing === undefined || timing.publishedAt < member.joinedAt) return
  timing.slowestMs = Math.round((now - timing.publishedAt) * 100) / 100
  timing.slowest = member.id
}

/** A member is listed from now on: who waits for a revision it does not have waits for it too. */
function expect(book: LogBook, member: Member): void {
  for (const waiter of book.waiters) if (member.revision < waiter.revision) waiter.missing.add(member)
}

/** A member is no longer listed: nobody waits for it. */
function strike(book: LogBook, member: Member): void {
  for (const waiter of book.waiters) if (waiter.missing.delete(member) && waiter.missing.size === 0) waiter.answer()
}

function isListed(book: LogBook, member: Member): boolean {
  return book.members.get(member.id)?.at(-1) === member
}

function* listedOf(book: LogBook | undefined): Generator<Member> {
  for (const same of book?.members.values() ?? []) {
    const newest = same.at(-1)
    if (newest !== undefined) yield newest
  }
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
