/**
 * What applications asked for in vain or could not understand: flags that do not exist, wrong types, operators that an
 * SDK does not know. Names come from outside, so each log keeps a bounded number, and the one not seen for longest gives
 * way: a flood of made-up names must not hide the slip that is made every second.
 */
import { type Problem, UNKNOWN_OPERATOR } from '../../schemas/usage.ts'
import { moment } from '../clock.ts'
import type { Asker } from '../services.ts'
import type { ProblemAddition, ProblemKey } from '../storage/counts.ts'
import type { ProblemRow } from '../storage/tables.ts'

/** Problems kept per log. */
export const PROBLEMS_MAX = 1_000
/** Longest text of a name, in characters. */
const NAME_MAX = 300

interface Entry {
  readonly key: ProblemKey
  instance: string
  sdk: string
  readonly firstSeen: number
  lastSeen: number
  count: number
  /** What of it is not in the database yet. */
  waiting: number
  isStored: boolean
}

export interface ProblemBook {
  /** @returns evaluations of a flag that does not exist, counted nowhere else, that had to give way */
  note(log: string, what: { code: string; subject: string; detail: string }, by: Asker, count: number, now: number): number
  /** Those of a log, most recent first. */
  list(log: string): readonly Problem[]
  load(row: ProblemRow): void
  /** What is to be stored; null for nothing. `stored` once it is. */
  batch(): { readonly additions: readonly ProblemAddition[]; readonly gone: readonly ProblemKey[]; stored(): void } | null
  /** Let at most `most` go that were not seen since. */
  forget(before: number, most: number): void
}

export function openProblems(): ProblemBook {
  /** By log, then by name; in the order they were last seen. */
  const logs = new Map<string, Map<string, Entry>>()
  const dirty = new Set<Entry>()
  /** In the database, and to be taken from there. No more than were ever stored at a time. */
  const gone = new Map<string, ProblemKey>()

  function remove(entries: Map<string, Entry>, name: string, entry: Entry): void {
    entries.delete(name)
    dirty.delete(entry)
    if (entry.isStored) gone.set(nameOf(entry.key), entry.key)
  }

  return {
    note(log, what, by, count, now) {
      const key = { log, code: what.code, subject: plain(what.subject), detail: plain(what.detail), service: plain(by.service) }
      const name = nameOf(key)
      const entries = entriesOf(logs, log)
      let evicted = 0
      let entry = entries.get(name)
      if (entry === undefined) {
        if (entries.size >= PROBLEMS_MAX) {
          for (const [oldest, gives] of entries) {
            remove(entries, oldest, gives)
            if (gives.key.code === 'FLAG_NOT_FOUND') evicted = gives.count
            break
          }
        }
        entry = { key, instance: '', sdk: '', firstSeen: now, lastSeen: now, count: 0, waiting: 0, isStored: false }
      } else {
        entries.delete(name)
      }
      entries.set(name, entry)
      entry.count = Math.min(entry.count + count, Number.MAX_SAFE_INTEGER)
      entry.waiting = Math.min(entry.waiting + count, Number.MAX_SAFE_INTEGER)
      entry.lastSeen = now
      entry.instance = plain(by.instance)
      entry.sdk = plain(by.sdk)
      dirty.add(entry)
      return evicted
    },
    list: log =>
      [...(logs.get(log)?.values() ?? [])].reverse().map(({ key: { code, subject, detail, service }, ...entry }) => ({
        ...{ code, subject, detail, service },
        ...{ instance: entry.instance, sdk: entry.sdk, count: entry.count },
        firstSeen: moment(entry.firstSeen),
        lastSeen: moment(entry.lastSeen),
      })),
    load({ log, code, subject, detail, service, ...row }) {
      const key = { log, code, subject, detail, service }
      entriesOf(logs, log).set(nameOf(key), { key, ...row, waiting: 0, isStored: true })
    },
    batch() {
      if (dirty.size === 0 && gone.size === 0) return null
      const entries = [...dirty]
      const counted = entries.map(entry => entry.waiting)
      const taken = [...gone]
      const additions = entries.map(({ key, waiting, firstSeen, lastSeen, instance, sdk }) => ({
        ...key,
        ...{ count: waiting, firstSeen, lastSeen, instance, sdk },
      }))
      return {
        additions,
        gone: taken.map(([, key]) => key),
        stored() {
          for (const [name] of taken) gone.delete(name)
          for (const [i, entry] of entries.entries()) {
            entry.isStored = true
            entry.waiting -= counted[i]!
            if (entry.waiting === 0) dirty.delete(entry)
            // It gave way while it was written.
            if (logs.get(entry.key.log)?.get(nameOf(entry.key)) !== entry) gone.set(nameOf(entry.key), entry.key)
          }
        },
      }
    },
    forget(before, most) {
      let left = most
      for (const entries of logs.values()) {
        for (const [name, entry] of entries) {
          if (left === 0 || entry.lastSeen >= before) break
          remove(entries, name, entry)
          left--
        }
      }
    },
  }
}

/** Whether a problem is about a flag: asked for, or using the operator. */
export function isAbout(problem: Problem, flag: string): boolean {
  return problem.code === UNKNOWN_OPERATOR ? problem.subject === `flag ${flag}` : problem.subject === flag
}

function entriesOf(logs: Map<string, Map<string, Entry>>, log: string): Map<string, Entry> {
  let entries = logs.get(log)
  if (entries === undefined) {
    entries = new Map()
    logs.set(log, entries)
  }
  return entries
}

function nameOf({ log, code, subject, detail, service }: ProblemKey): string {
  return JSON.stringify([log, code, subject, detail, service])
}

/** What every database can hold, so that one hostile name does not keep the others from being stored. */
export function plain(text: string): string {
  const short = text.length > NAME_MAX ? text.slice(0, NAME_MAX) : text
  return /^[\x20-\x7e]*$/.test(short) ? short : Buffer.from(short).toString().replaceAll('\0', '\ufffd')
}
