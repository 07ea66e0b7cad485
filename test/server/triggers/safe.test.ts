import fc from 'fast-check'
import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import type { Flag, Serve } from '../../../schemas/flag.ts'
import { evaluate } from '../../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../../sdk/evaluator/prepare.ts'
import type { Trigger, TriggerDo } from '../../../schemas/trigger.ts'
import { runs } from '../../runs.ts'
import { alertOf, LOG } from './alerts.ts'
import { openWorld } from './open.ts'

const ANDROID = [{ attribute: 'os', op: 'in' as const, values: ['android'] }]
const VARIATIONS = ['a', 'b', 'c']
/** Enough people for every bucket that a step moves, of two systems, and some whom a rollout cannot place. */
const CONTEXTS = Array.from({ length: 240 }, (_, i) => ({
  ...(i % 8 === 0 ? {} : { targetingKey: `p-${i}` }),
  os: i % 2 === 0 ? 'android' : 'ios',
}))

const variation = fc.constantFrom(...VARIATIONS)
const serve: fc.Arbitrary<Serve> = fc.oneof(
  variation.map(key => ({ variation: key })),
  fc
    .tuple(fc.shuffledSubarray(VARIATIONS, { minLength: 1 }), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }))
    .map(([keys, x, y]) => {
      const cuts = [0, ...[x, y].sort((a, b) => a - b).slice(0, keys.length - 1), 100]
      return { rollout: { weights: keys.map((key, i) => ({ variation: key, weight: (cuts[i + 1]! - cuts[i]!) * 1_000 })) } }
    }),
)
const percents = fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 3 }).map(list => list.sort((a, b) => b - a))
const action: fc.Arbitrary<TriggerDo> = fc.oneof(
  fc
    .record({ clauses: fc.constantFrom(undefined, ANDROID), variation: fc.constantFrom(undefined, 'a', 'b') })
    .map(({ clauses, variation: served }): TriggerDo => ({
      ...{ action: 'kill', flags: ['flag'] },
      ...(clauses === undefined ? {} : { clauses }),
      ...(served === undefined ? {} : { variation: served }),
    })),
  variation.map((key): TriggerDo => ({ action: 'set-variation', flag: 'flag', variation: key })),
  fc
    .tuple(fc.constantFrom('b', 'c'), percents)
    .map(([key, steps]): TriggerDo => ({ action: 'set-percentage', flag: 'flag', variation: key, percents: steps })),
)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('1', '2', '3').map(dedupKey => ({ kind: 'alert' as const, dedupKey })) },
  { weight: 2, arbitrary: fc.constantFrom('1', '2', '3').map(dedupKey => ({ kind: 'resolved' as const, dedupKey })) },
  { weight: 3, arbitrary: fc.constantFrom(1_000, 60_000, 600_000).map(ms => ({ kind: 'time' as const, ms })) },
  { weight: 2, arbitrary: serve.map(fallthrough => ({ kind: 'edit' as const, body: { fallthrough } })) },
  { weight: 1, arbitrary: fc.boolean().map(enabled => ({ kind: 'edit' as const, body: { enabled } })) },
  { weight: 1, arbitrary: fc.constantFrom([], ANDROID).map(clauses => ({ kind: 'kill' as const, clauses })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'lift' as const }) },
)

/** What everybody is served, by context. */
function served(flag: Flag): string[] {
  const prepared = prepare({ flags: [flag], segments: [] }, 1)
  return CONTEXTS.map(context => evaluate(prepared, 'flag', context).variation ?? 'none')
}

function wrong(what: string, change: Change): Error {
  return new Error(`${what}: ${JSON.stringify(change, null, 1)}`)
}

t.test('whatever alerts and people do, a trigger turns nobody up and touches no kill of a person', async t => {
  const world = await openWorld(t)
  await world.call('POST', '/flags', {
    ...{ key: 'flag', kind: 'config', enabled: true, offVariation: 'a', fallthrough: { variation: 'b' } },
    variations: VARIATIONS.map(key => ({ key, value: key })),
  })
  await world.call('POST', '/flags', { key: 'other', kind: 'kill-switch' })
  let round = 0
  let fired = 0
  await fc.assert(
    fc.asyncProperty(
      action,
      fc.constantFrom('nothing', 'restore'),
      fc.array(step, { minLength: 4, maxLength: 14 }),
      async (what, onResolve, steps) => {
        const key = `t-${round++}`
        await world.call('PATCH', '/flags/flag', { enabled: true, fallthrough: { variation: 'b' } })
        await world.call('DELETE', '/flags/flag/kills')
        const start = world.revision()
        try {
          await world.call('POST', '/triggers', { key, when: {}, do: what, onResolve, coolDownMs: 30_000, maxFiresPerHour: 3 })
          for (const each of steps) {
            const alert = alertOf({ at: world.clock.now(), dedupKey: 'dedupKey' in each ? each.dedupKey : '' })
            if (each.kind === 'alert') await world.alerts.tell([alert])
            if (each.kind === 'resolved') await world.alerts.tell([{ ...alert, status: 'resolved' }])
            if (each.kind === 'time') await world.advance(each.ms)
            if (each.kind === 'edit') await world.call('PATCH', '/flags/flag', each.body)
            if (each.kind === 'kill') await world.call('POST', '/flags/flag/kills', { reason: 'by hand', clauses: each.clauses })
            if (each.kind === 'lift') await world.call('DELETE', '/flags/flag/kills')
          }
        } finally {
          await world.call('DELETE', `/triggers/${key}`)
          await world.alerts.tell(['1', '2', '3'].map(dedupKey => alertOf({ at: world.clock.now(), dedupKey, status: 'resolved' })))
        }
        const changes = await world.server.services.log.changes(LOG, { afterRevision: start, order: 'oldest', limit: 1_000 })
        const fires: number[] = []
        for (const change of changes) {
          if (change.actor.name !== `trigger "${key}"`) continue
          const edit = change.edits.find(({ type }) => type === 'flag')
          const trigger = change.edits.find(({ type }) => type === 'trigger')?.after as unknown as Trigger | undefined
          if (change.action === 'trigger.fire') fires.push(Date.parse(trigger?.lastFiredAt ?? ''))
          if (edit === undefined) continue
          const before = edit.before as unknown as Flag
          const after = edit.after as unknown as Flag
          const own = (flag: Flag) => flag.kills.filter(kill => !kill.actor.startsWith('trigger'))
          if (JSON.stringify(own(before)) !== JSON.stringify(own(after))) throw wrong('a kill of a person', change)
          if (change.action !== 'trigger.fire') continue
          const [was, is] = [served(before), served(after)]
          for (const [i, variation] of was.entries()) {
            // Who was served the off variation still is, and a variation with a lower share gained nobody.
            if (variation === 'a' && is[i] !== 'a') throw wrong('turned up', change)
            if (what.action === 'set-percentage' && is[i] === what.variation && variation !== what.variation) throw wrong('gained', change)
          }
        }
        fired += fires.length
        if (
          fires.some(
            (at, i) => fires.filter(other => other > at - 3_600_000 && other <= at).length > 3 || (i > 0 && at - fires[i - 1]! < 30_000),
          )
        )
          throw new Error(`fired too often: ${fires.join()}`)
        return true
      },
    ),
    runs(25),
  )
  t.ok(fired > 20, `${fired} fires were looked at`)
})
