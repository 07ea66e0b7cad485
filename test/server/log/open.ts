/** What the tests of the log share: a log in a folder of its own, documents to write, and a storage that fails when told. */
import type { Test } from 'tap'
import type { Actor } from '../../../schemas/change.ts'
import type { Segment } from '../../../schemas/segment.ts'
import { type Logger, type LogOptions, openDatabase, openLog } from '../../../server/log/log.ts'
import type { ChangeLog, PlannedEdit, Write } from '../../../server/log/types.ts'
import type { Storage } from '../../../server/storage/storage.ts'
import { type ManualClock, manualClock } from '../../clock.ts'

export const LOG = 'shop/production'
export const DANA: Actor = { kind: 'key', id: 'k1', name: 'dana' }

export interface Opened {
  readonly log: ChangeLog
  readonly clock: ManualClock
  readonly logger: RecordingLogger
}

/** A log that is closed when the test ends. */
export async function opened(t: Test, data: string, options: Partial<LogOptions> = {}): Promise<Opened> {
  const clock = manualClock()
  const logger = recordingLogger()
  const log = await openLog({ data, clock, logger, ...options })
  t.teardown(() => log.close())
  return { log, clock, logger }
}

/** A segment is the smallest document: here its name is its content. */
export function segment(key: string, name: string): PlannedEdit {
  const after: Segment = { key, version: 1, name, included: [], excluded: [], rules: [] }
  return { type: 'segment', key, after }
}

export function removed(key: string): PlannedEdit {
  return { type: 'segment', key, after: null }
}

/** A write that sets these documents, whatever stands. */
export function write(edits: readonly PlannedEdit[], rest: Partial<Write> = {}): Write {
  return { log: LOG, actor: DANA, action: 'segment.edit', plan: () => edits, ...rest }
}

/** The names of a log's segments by key: the whole content of these tests' documents. */
export function names(state: { readonly documents: { readonly segment: ReadonlyMap<string, Segment> } }): Record<string, string> {
  return Object.fromEntries([...state.documents.segment].map(([key, document]) => [key, document.name ?? '']).sort())
}

export interface RecordingLogger extends Logger {
  readonly lines: { readonly level: string; readonly text: string }[]
  /** Whether a line of this level says this. */
  said(level: string, pattern: RegExp): boolean
}

export function recordingLogger(): RecordingLogger {
  const lines: { level: string; text: string }[] = []
  const record =
    (level: string) =>
    (...parts: unknown[]): void => {
      lines.push({ level, text: parts.filter(part => typeof part === 'string').join(' ') })
    }
  return {
    lines,
    said: (level, pattern) => lines.some(line => line.level === level && pattern.test(line.text)),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
  }
}

/** The real storage, with a switch: while `failure` is set every write fails with it. */
export interface FailingStorage {
  failure: Error | null
  readonly open: (folder: string) => Promise<Storage>
}

export function failingStorage(): FailingStorage {
  const control: FailingStorage = {
    failure: null,
    open: async folder => {
      const storage = await openDatabase(folder)
      const unlessFailing = async (run: () => Promise<void>): Promise<void> => {
        if (control.failure !== null) throw control.failure
        await run()
      }
      return {
        ...storage,
        append: appends => unlessFailing(() => storage.append(appends)),
        replaceHeads: heads => unlessFailing(() => storage.replaceHeads(heads)),
        probe: () => unlessFailing(() => storage.probe()),
      }
    },
  }
  return control
}
