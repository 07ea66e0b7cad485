/**
 * Where valves stand in the fleet: instances report over the stream, the fleet's transitions are written as entries of the log,
 * and instances are told what they should know when they come and when it changes. What is decided is `book.ts` and `fleet.ts`.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Actor } from '../../schemas/change.ts'
import type { ValveRecord, ValvesReport, ValveStates } from '../../schemas/valve.ts'
import { type Clock, moment, type Timer } from '../clock.ts'
import { type ChangeLog, type PlannedEdit, SERVER_LOG } from '../log/types.ts'
import type { Valves } from '../services.ts'
import { Book, type Known, type Move, type StateRow } from './book.ts'
import { findFlag } from '../flags/find.ts'
import { findValve, release, setFor, throttle } from './throttle.ts'
import { moveText } from './words.ts'

/** How often it is looked where valves stand, while instances report. */
export const LOOK_MS = 1_000
/** Looked for so long after the last report: longer than anything here takes to run out. */
const IDLE_MS = 120_000
/** After an entry that could not be stored. */
const RETRY_MS = 10_000

export interface ValveLink {
  report(report: ValvesReport): void
  leave(): void
}

export interface ValvesHandle extends Valves {
  /** An instance has said hello. @param send tells it what the fleet knows */
  join(log: string, who: { readonly instance: string; readonly service: string }, send: (states: ValveStates) => void): ValveLink
  /** What is known of a valve, by variation; those alone that were reported since the start, or did not flow before it. */
  known(log: string, flag: string): readonly Known[]
  /** Of every log whose instances have used valves. */
  all(): Iterable<readonly [log: string, known: Iterable<Known>]>
  close(): void
}

interface Shelf {
  readonly book: Book
  readonly senders: Map<string, (states: ValveStates) => void>
  heardAt: number
  timer: Timer | null
  isWriting: boolean
  retryAt: number
}

export function openValves(options: { readonly clock: Clock; readonly logger: FastifyBaseLogger; readonly log: ChangeLog }): ValvesHandle {
  const { clock, logger, log } = options
  const shelves = new Map<string, Shelf>()
  const listeners = new Set<Parameters<Valves['subscribe']>[0]>()
  let isClosed = false

  const unsubscribe = log.subscribe(({ log: name, change }) => {
    if (name === SERVER_LOG) {
      for (const { type, key, after } of change.edits) if (type === 'environment' && after === null) drop(key)
      return
    }
    for (const { type, key, before, after } of change.edits) {
      if (type === 'flag' && after === null) void forget(name, key)
      if (type === 'valve' && after !== null) tellListeners(name, after as unknown as ValveRecord, before as unknown as ValveRecord | null)
    }
  })

  function shelfOf(name: string): Shelf {
    let shelf = shelves.get(name)
    if (shelf !== undefined) return shelf
    const now = clock.monotonic()
    const { documents } = log.state(name)
    const book = new Book(key => log.state(name).documents.flag.get(key))
    for (const record of documents.valve.values()) book.restore(record, Math.max(0, clock.now() - Date.parse(record.since)), now)
    shelf = { book, senders: new Map(), heardAt: now, timer: null, isWriting: false, retryAt: 0 }
    shelves.set(name, shelf)
    return shelf
  }

  function drop(name: string): void {
    shelves.get(name)?.timer?.cancel()
    shelves.delete(name)
  }

  function wake(name: string, shelf: Shelf): void {
    if (isClosed) return
    shelf.timer ??= clock.after(LOOK_MS, () => {
      shelf.timer = null
      look(name, shelf)
    })
  }

  function look(name: string, shelf: Shelf): void {
    const now = clock.monotonic()
    const { rows, moves } = shelf.book.look(now)
    if (rows.length > 0) {
      const states = statesOf(rows)
      for (const send of shelf.senders.values()) send(states)
    }
    if (moves.length > 0 && !shelf.isWriting && now >= shelf.retryAt) void write(name, shelf, moves)
    if (moves.length > 0 || now - shelf.heardAt < IDLE_MS) wake(name, shelf)
  }

  async function write(name: string, shelf: Shelf, moves: readonly Move[]): Promise<void> {
    shelf.isWriting = true
    for (const move of moves) {
      try {
        await commitMove(name, move)
        shelf.book.wrote(move.flag, move.variation, move.state, clock.monotonic())
      } catch (error) {
        if (isClosed) return
        shelf.retryAt = clock.monotonic() + RETRY_MS
        logger.error(
          { err: error, log: name, flag: move.flag },
          `a valve's move could not be stored; trying again in ${RETRY_MS / 1_000} s`,
        )
      }
    }
    shelf.isWriting = false
  }

  /** One document for a flag: of its variations, the one that moved last. */
  async function commitMove(name: string, move: Move): Promise<void> {
    const { flag, variation, state, admit, cause, numbers } = move
    const since = moment(clock.now())
    const after: ValveRecord = { key: flag, variation, state, admit, cause, since, numbers, version: 1 }
    await log.commit({
      log: name,
      actor: valveActor(flag),
      action: 'valve.move',
      comment: moveText(after),
      plan: ({ documents }) => (documents.flag.get(flag)?.kind === 'safety-valve' ? [{ type: 'valve', key: flag, after }] : []),
    })
  }

  async function forget(name: string, flag: string): Promise<void> {
    shelves.get(name)?.book.forget(flag)
    if (isClosed || !log.state(name).documents.valve.has(flag)) return
    const plan = (state: { readonly documents: { readonly flag: ReadonlyMap<string, unknown> } }): readonly PlannedEdit[] =>
      state.documents.flag.has(flag) ? [] : [{ type: 'valve', key: flag, after: null }]
    try {
      await log.commit({ log: name, actor: valveActor(flag), action: 'valve.move', comment: 'the flag was archived', plan })
    } catch (error) {
      if (!isClosed) logger.warn({ err: error, log: name, flag }, 'where a valve stood could not be removed; nobody asks for it')
    }
  }

  function tellListeners(name: string, record: ValveRecord, before: ValveRecord | null): void {
    for (const listener of listeners) {
      try {
        listener({ log: name, record, before })
      } catch (error) {
        logger.error({ err: error, log: name }, 'what follows the valves failed; it is told of the next move all the same')
      }
    }
  }

  return {
    join(name, { instance, service }, send) {
      const shelf = shelfOf(name)
      // Two processes with one name, or a connection that is not noticed to be dead.
      let link = instance
      for (let i = 2; shelf.senders.has(link); i++) link = `${instance} ${i}`
      shelf.senders.set(link, send)
      let isHere = true
      // After the answer to the hello: whoever learns of a valve first knows no such flag.
      queueMicrotask(() => {
        const rows = isHere ? shelf.book.notFlowing(clock.monotonic()) : []
        if (rows.length > 0) send(statesOf(rows))
      })
      return {
        report(report) {
          if (!isHere) return
          shelf.heardAt = clock.monotonic()
          shelf.book.report({ link, instance, service }, report.valves, shelf.heardAt)
          wake(name, shelf)
        },
        leave() {
          if (!isHere) return
          isHere = false
          shelf.senders.delete(link)
          shelf.book.leave(link, clock.monotonic())
        },
      }
    },
    known: (name, flag) => shelves.get(name)?.book.of(flag) ?? [],
    *all() {
      for (const [name, { book }] of shelves) yield [name, book.all()] as const
    },
    record: (name, flag) => log.state(name).documents.valve.get(flag) ?? null,
    standing: (name, flag) => setFor(findValve(name, findFlag(log.state(name), flag)), []).percent,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    throttle: async (name, flag, percent, by) => (await throttle({ log, clock }, name, flag, { percent, clauses: [] }, by)).commit,
    release: async (name, flag, by) => (await release({ log }, name, flag, null, by)).commit,
    close() {
      isClosed = true
      unsubscribe()
      for (const { timer } of shelves.values()) timer?.cancel()
      shelves.clear()
    },
  }
}

/** How the log names a valve that moved by itself. */
function valveActor(flag: string): Actor {
  return { kind: 'system', id: 'valve', name: `valve "${flag}"` }
}

function statesOf(rows: readonly StateRow[]): ValveStates {
  return { type: 'valve-states', valves: [...rows] }
}
