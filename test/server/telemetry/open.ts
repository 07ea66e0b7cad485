/** What the tests of telemetry share: counting over a real database, on a clock that is moved by hand. */
import type { Test } from 'tap'
import type { State } from '../../../server/log/types.ts'
import type { Asker } from '../../../server/services.ts'
import type { CountStorage } from '../../../server/storage/counts.ts'
import { openSqlite, type SqliteOptions } from '../../../server/storage/sqlite.ts'
import { openStorage } from '../../../server/storage/storage.ts'
import { openUsage, type UsageHandle } from '../../../server/telemetry/usage.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { type RecordingLogger, recordingLogger } from '../log/open.ts'

export const LOG = 'default/production'
export const SHOP: Asker = { service: 'shop', instance: 'shop-1', sdk: 'node/1' }

export interface Counting {
  readonly usage: UsageHandle
  readonly storage: CountStorage
  readonly clock: ManualClock
  readonly logger: RecordingLogger
  /** The flags that exist. */
  readonly flags: Set<string>
  /** Ends it as `kill -9` does: nothing is written any more. */
  die(): Promise<void>
  close(): Promise<void>
}

export interface CountingOptions {
  readonly clock?: ManualClock
  readonly flags?: Iterable<string>
  readonly sqlite?: SqliteOptions
  /** Stands between the counts and the database. */
  readonly between?: (storage: CountStorage) => CountStorage
  readonly config?: { readonly minuteCountsHours?: number; readonly hourCountsDays?: number }
}

export async function counting(t: Test, data: string, options: CountingOptions = {}): Promise<Counting> {
  const clock = options.clock ?? manualClock()
  const logger = recordingLogger()
  const flags = new Set(options.flags ?? ['checkout', 'search'])
  const log = { state: () => ({ documents: { flag: flags } }) as unknown as State }
  const database = await openStorage(openSqlite(data, options.sqlite))
  const storage = options.between?.(database.counts) ?? database.counts
  const config = { minuteCountsHours: 48, hourCountsDays: 400, ...options.config }
  const usage = await openUsage({ clock, logger, log, storage, config })
  let isOpen = true
  const end = async (gracefully: boolean): Promise<void> => {
    if (!isOpen) return
    isOpen = false
    if (gracefully) await usage.close()
    await database.close()
  }
  t.teardown(() => end(false))
  return { usage, storage, clock, logger, flags, die: () => end(false), close: () => end(true) }
}

/** A row of a report. */
export function row(flag: string, count: number, rest: { variation?: string | null; reason?: string; [more: string]: unknown } = {}) {
  return { flag, variation: 'on' as string | null, reason: 'FALLTHROUGH', count, ...rest }
}

export function report(...counts: ReturnType<typeof row>[]) {
  return { counts, dropped: 0, unknownOperators: [] }
}

/** An error as an SDK reports it. */
export function failed(flag: string, count: number, error: string, asked?: string) {
  return row(flag, count, { variation: null, reason: 'ERROR', error, ...(asked === undefined ? {} : { asked }) })
}
