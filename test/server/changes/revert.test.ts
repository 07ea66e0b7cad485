import fc from 'fast-check'
import t from 'tap'
import { pino } from 'pino'
import type { Change } from '../../../schemas/change.ts'
import { SluiceError } from '../../../schemas/errors.ts'
import { planRevert } from '../../../server/changes/revert.ts'
import { patchSettings } from '../../../server/flags/defaults.ts'
import { laidOver, lifted } from '../../../server/kills/kill.ts'
import { openLog } from '../../../server/log/log.ts'
import type { ChangeLog, PlannedEdit, State } from '../../../server/log/types.ts'
import { checkEdits } from '../../../server/rulesets/check.ts'
import { manualClock } from '../../clock.ts'
import { flag, segment } from '../flags/state.ts'
import { runs } from '../../runs.ts'

const LOG = 'default/development'
const actor = { kind: 'system' as const, id: 'test', name: 'test' }
const KEYS = ['a', 'b', 'c', 'd']

type Step =
  | { kind: 'create' | 'archive' | 'flip' | 'off'; key: string }
  | { kind: 'rules' | 'segment'; key: string; n: number }
  | { kind: 'prerequisite'; key: string; parent: string }
  | { kind: 'many'; keys: string[] }

const key = fc.constantFrom(...KEYS)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('create' as const, 'archive' as const, 'flip' as const, 'off' as const), key }),
  fc.record({ kind: fc.constantFrom('rules' as const, 'segment' as const), key, n: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ kind: fc.constant('prerequisite' as const), key, parent: key }),
  fc.record({ kind: fc.constant('many' as const), keys: fc.uniqueArray(key, { minLength: 1 }) }),
)

/** What a step would make stand; it may well be refused. */
function planOf(step: Step, state: State): readonly PlannedEdit[] {
  const { flag: flags } = state.documents
  const patched = (key: string, patch: Parameters<typeof patchSettings>[1]): PlannedEdit[] => {
    const standing = flags.get(key)
    return standing === undefined ? [] : [{ type: 'flag', key, after: patchSettings(standing, patch) }]
  }
  switch (step.kind) {
    case 'create':
      return flags.has(step.key) ? [] : [{ type: 'flag', key: step.key, after: flag(step.key) }]
    case 'archive':
      return [{ type: 'flag', key: step.key, after: null }]
    case 'flip':
      return patched(step.key, { enabled: !(flags.get(step.key)?.enabled ?? false) })
    case 'off':
      return patched(step.key, { fallthrough: { variation: 'off' } })
    case 'rules':
      return patched(step.key, {
        rules: Array.from({ length: step.n }, (_, i) => ({
          id: `r${i}`,
          clauses: i === 0 ? [{ op: 'segment', values: ['a'] }] : [],
          serve: { variation: 'on' },
        })),
      })
    case 'segment':
      return [{ type: 'segment', key: step.key, after: step.n === 0 ? null : segment(step.key, { included: [{ values: [step.n] }] }) }]
    case 'prerequisite':
      return patched(step.key, { prerequisites: [{ flag: step.parent, variations: ['on'] }] })
    case 'many':
      return step.keys.flatMap(key => patched(key, { enabled: !(flags.get(key)?.enabled ?? false) }))
  }
}

/** Everything that stands, without the counted versions. */
function content(log: ChangeLog): string {
  const { flag: flags, segment: segments } = log.state(LOG).documents
  const sorted = (documents: ReadonlyMap<string, object>) =>
    [...documents].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, document]) => ({ ...document, version: 0 }))
  return JSON.stringify([sorted(flags), sorted(segments)])
}

async function tried(log: ChangeLog, action: Change['action'], plan: (state: State) => readonly PlannedEdit[]): Promise<Change | null> {
  try {
    return (await log.commit({ log: LOG, actor, action, plan })).change
  } catch (error) {
    if (error instanceof SluiceError) return null
    throw error
  }
}

t.test('any sequence of edits, reverted from the last to the first, leaves what stood before it', async t => {
  const log = await openLog({ data: t.testdir(), clock: manualClock(), logger: pino({ level: 'silent' }) })
  t.teardown(() => log.close())
  // Each course starts from what the one before left, which is what it started from.
  await tried(log, 'flag.create', () => KEYS.slice(0, 3).map((key): PlannedEdit => ({ type: 'flag', key, after: flag(key) })))
  await tried(log, 'segment.create', () => [{ type: 'segment', key: 'a', after: segment('a') }])
  let reverted = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async steps => {
      const before = content(log)
      const made: Change[] = []
      for (const next of steps) {
        const change = await tried(log, 'flag.edit', state => checkEdits(state, planOf(next, state)))
        if (change !== null) made.push(change)
      }
      for (const change of made.reverse()) {
        await log.commit({
          log: LOG,
          actor,
          action: 'change.revert',
          reverts: change.revision,
          plan: state => planRevert(state, change, [], false),
        })
        reverted++
      }
      return content(log) === before
    }),
    runs(60),
  )
  t.ok(reverted > 100, `${reverted} reverts were written`)
  t.equal((await log.verify(LOG)).brokenAt, null)
})

t.test('kills that come and go in between neither stop a revert nor are touched by it', async t => {
  const log = await openLog({ data: t.testdir(), clock: manualClock(), logger: pino({ level: 'silent' }) })
  t.teardown(() => log.close())
  await tried(log, 'flag.create', () => [{ type: 'flag', key: 'a', after: flag('a') }])
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('edit', 'kill', 'lift'), { minLength: 1, maxLength: 10 }), async steps => {
      const made: Change[] = []
      for (const next of steps) {
        const change = await tried(log, next === 'edit' ? 'flag.edit' : next === 'kill' ? 'flag.kill' : 'flag.lift', state => {
          const standing = state.documents.flag.get('a')!
          if (next === 'edit') return [{ type: 'flag', key: 'a', after: { ...standing, enabled: !standing.enabled } }]
          if (next === 'kill')
            return [{ type: 'flag', key: 'a', after: laidOver(state, standing, { reason: 'x' }, { actor: 'x', now: 0 }).flag }]
          return [{ type: 'flag', key: 'a', after: lifted(standing, () => true) }]
        })
        if (next === 'edit' && change !== null) made.push(change)
      }
      const kills = JSON.stringify(log.state(LOG).documents.flag.get('a')?.kills)
      for (const change of made.reverse()) {
        await log.commit({ log: LOG, actor, action: 'change.revert', plan: state => planRevert(state, change, [], false) })
      }
      const after = log.state(LOG).documents.flag.get('a')
      return after?.enabled === false && JSON.stringify(after.kills) === kills
    }),
    runs(40),
  )
})
