/**
 * Events that applications track, summed in memory for `/metrics`: how often, and the sum of the values they came with.
 * Names come from outside, so how many are told apart is bounded.
 */
import type { Counts } from '../../schemas/stream.ts'

/** Names told apart per log. */
export const TRACKED_EVENTS_MAX = 1_000

export interface TrackedEvent {
  readonly event: string
  readonly count: number
  readonly value: number
}

export interface TrackedHandle {
  /** @returns how many events had no room */
  add(log: string, events: NonNullable<Counts['tracked']>): number
  of(log: string): readonly TrackedEvent[]
}

export function openTracked(): TrackedHandle {
  const logs = new Map<string, Map<string, TrackedEvent>>()
  return {
    add(log, events) {
      let dropped = 0
      const sums = logs.get(log) ?? new Map<string, TrackedEvent>()
      logs.set(log, sums)
      for (const { event, count, value } of events) {
        const before = sums.get(event)
        if (before === undefined && sums.size >= TRACKED_EVENTS_MAX) {
          dropped += count
          continue
        }
        sums.set(event, {
          event,
          count: Math.min((before?.count ?? 0) + count, Number.MAX_SAFE_INTEGER),
          value: Math.max(-Number.MAX_VALUE, Math.min((before?.value ?? 0) + value, Number.MAX_VALUE)),
        })
      }
      return dropped
    },
    of: log => [...(logs.get(log)?.values() ?? [])],
  }
}
