/** Documents and states for tests of what is pure: no log, no server. */
import type { Flag, FlagInput } from '../../../schemas/flag.ts'
import type { Segment, SegmentInput } from '../../../schemas/segment.ts'
import { completeFlag } from '../../../server/flags/defaults.ts'
import { emptyMaps } from '../../../server/log/memory.ts'
import type { State } from '../../../server/log/types.ts'
import { completeSegment } from '../../../server/segments/validate.ts'

/** A release flag with on and off, unless told otherwise. */
export function flag(key: string, more: Partial<FlagInput> & Pick<Partial<Flag>, 'kills'> = {}): Flag {
  const completed = completeFlag({ key, kind: 'release', ...more }, 1)
  if (completed.flag === null) throw new Error(JSON.stringify(completed.problems))
  return { ...completed.flag, kills: more.kills ?? [] }
}

export function segment(key: string, more: Partial<SegmentInput> = {}): Segment {
  return completeSegment({ key, ...more })
}

export function stateOf(flags: readonly Flag[], segments: readonly Segment[] = [], log = 'default/production'): State {
  return {
    log,
    epoch: 'e',
    revision: 1,
    documents: {
      ...emptyMaps(),
      flag: new Map(flags.map(item => [item.key, item])),
      segment: new Map(segments.map(item => [item.key, item])),
    },
  }
}

/** The clause `plan in ["beta"]`. */
export const beta = { attribute: 'plan', op: 'in' as const, values: ['beta'] }
/** The clause `segment ["staff"]`. */
export const staff = { op: 'segment' as const, values: ['staff'] }
