/** The evaluator's view of every environment: prepared at first use, then kept current by the log, flag by flag. */
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { applyDelta, type Delta, prepare, type Prepared } from '../../sdk/evaluator/prepare.ts'
import type { ChangeLog, Published, State } from '../log/types.ts'
import type { Rulesets } from '../services.ts'

/** Rulesets of former revisions kept for the next question about the same moment. */
const FORMER_KEPT = 8

export interface RulesetsHandle extends Rulesets {
  close(): void
}

export function openRulesets(log: Pick<ChangeLog, 'state' | 'stateAt' | 'subscribe'>): RulesetsHandle {
  const newest = new Map<string, Prepared>()
  const former = new Map<string, Prepared>()

  const unsubscribe = log.subscribe(({ log: name, change }: Published) => {
    const held = newest.get(name)
    // Nobody has evaluated there yet: the first one prepares all of it.
    if (held === undefined) return
    if (change.revision === held.revision + 1) newest.set(name, applyDelta(held, deltaOf(change), change.revision))
    else newest.delete(name)
  })

  return {
    current(name) {
      let prepared = newest.get(name)
      if (prepared === undefined) {
        prepared = prepareState(log.state(name))
        newest.set(name, prepared)
      }
      return prepared
    },
    async at(name, revision) {
      const key = `${name}@${revision}`
      let prepared = former.get(key)
      if (prepared === undefined) {
        prepared = prepareState(await log.stateAt(name, revision))
        for (const oldest of former.keys()) {
          if (former.size < FORMER_KEPT) break
          former.delete(oldest)
        }
        former.set(key, prepared)
      }
      return prepared
    },
    close: unsubscribe,
  }
}

function prepareState({ documents, revision }: State): Prepared {
  return prepare({ flags: [...documents.flag.values()], segments: [...documents.segment.values()] }, revision)
}

function deltaOf(change: Published['change']): Delta {
  const flags: Flag[] = []
  const segments: Segment[] = []
  const removedFlags: string[] = []
  const removedSegments: string[] = []
  for (const { type, key, after } of change.edits) {
    if (type === 'flag') {
      if (after === null) removedFlags.push(key)
      else flags.push(after as unknown as Flag)
    } else if (type === 'segment') {
      if (after === null) removedSegments.push(key)
      else segments.push(after as unknown as Segment)
    }
  }
  return { flags, segments, removedFlags, removedSegments }
}
