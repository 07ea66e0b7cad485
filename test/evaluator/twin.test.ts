import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import type { Evaluation } from '../../sdk/evaluator/evaluation.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import { applyDelta, prepare, type Prepared } from '../../sdk/evaluator/prepare.ts'
import { context, FLAG_KEYS, flag, ruleset, segment, SEGMENT_KEYS } from './arbitrary.ts'
import { runs } from '../runs.ts'
import { twin } from './twin.ts'

function frozenAllTheWay(value: unknown): boolean {
  return typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozenAllTheWay))
}

function withoutText({ type, message, ...rest }: Evaluation): object {
  void type
  void message
  return rest
}

function answers(prepared: Prepared, contexts: readonly Parameters<typeof evaluate>[2][]): Evaluation[] {
  return contexts.flatMap(context => [...FLAG_KEYS, 'gone'].map(key => evaluate(prepared, key, context)))
}

t.test('evaluate equals its slow twin', async t => {
  const reached = new Map<string, number>()
  fc.assert(
    fc.property(ruleset, fc.array(context, { minLength: 3, maxLength: 3 }), (ruleset, contexts) => {
      const before = JSON.stringify({ ruleset, contexts })
      const prepared = prepare(ruleset, 1)
      for (const context of contexts) {
        for (const key of [...FLAG_KEYS, 'gone']) {
          const result = evaluate(prepared, key, context)
          const expected = twin(ruleset, key, context)
          if (!isDeepStrictEqual(withoutText(result), expected)) {
            throw new Error(`${key}: got ${JSON.stringify(result)}, expected ${JSON.stringify(expected)} for ${JSON.stringify(context)}`)
          }
          if (!frozenAllTheWay(result)) throw new Error(`${key}: can be changed`)
          const { flag: _, revision: __, steps, ...explained } = explain(prepared, key, context)
          if (!isDeepStrictEqual(explained, { ...result })) throw new Error(`${key}: explained otherwise`)
          if (steps.length === 0) throw new Error(`${key}: explained by nothing`)
          const outcome =
            expected.error ?? (expected.unbucketed === true ? 'unbucketed' : expected.rollout === true ? 'rollout' : expected.reason)
          reached.set(outcome, (reached.get(outcome) ?? 0) + 1)
        }
      }
      if (JSON.stringify({ ruleset, contexts }) !== before) throw new Error('an input was changed')
    }),
    runs(1_500),
  )
  // The random rulesets are worth something only if every way out is taken often.
  for (const outcome of [
    'KILLED',
    'OFF',
    'PREREQUISITE_FAILED',
    'TARGET_MATCH',
    'RULE_MATCH',
    'FALLTHROUGH',
    'FLAG_NOT_FOUND',
    'PREREQUISITE_CYCLE',
    'rollout',
    'unbucketed',
  ]) {
    t.ok((reached.get(outcome) ?? 0) > 50, `${outcome}: ${reached.get(outcome) ?? 0} times`)
  }
})

t.test('a ruleset with changes applied equals the new ruleset prepared', async t => {
  const oneFlag = fc.constantFrom(...FLAG_KEYS).chain(key => flag(fc.constant(key)))
  const oneSegment = fc.constantFrom(...SEGMENT_KEYS).chain(key => segment(fc.constant(key)))
  const delta = fc.record({
    flags: fc.uniqueArray(oneFlag, { maxLength: 2, selector: flag => flag.key }),
    segments: fc.uniqueArray(oneSegment, { maxLength: 2, selector: segment => segment.key }),
    removedFlags: fc.uniqueArray(fc.constantFrom<string>(...FLAG_KEYS, 'gone'), { maxLength: 1 }),
    removedSegments: fc.uniqueArray(fc.constantFrom<string>(...SEGMENT_KEYS), { maxLength: 1 }),
  })
  fc.assert(
    fc.property(
      ruleset,
      fc.array(delta, { minLength: 1, maxLength: 4 }),
      fc.array(context, { minLength: 2, maxLength: 2 }),
      (ruleset, deltas, contexts) => {
        const flags = new Map(ruleset.flags.map(flag => [flag.key, flag]))
        const segments = new Map(ruleset.segments.map(segment => [segment.key, segment]))
        let prepared = prepare(ruleset, 1)
        deltas.forEach((delta, i) => {
          answers(prepared, contexts)
          prepared = applyDelta(prepared, delta, i + 2)
          for (const key of delta.removedFlags) flags.delete(key)
          for (const key of delta.removedSegments) segments.delete(key)
          for (const flag of delta.flags) flags.set(flag.key, flag)
          for (const segment of delta.segments) segments.set(segment.key, segment)
          const anew = prepare({ flags: [...flags.values()], segments: [...segments.values()] }, i + 2)
          if (prepared.revision !== i + 2) throw new Error('revision')
          if (!isDeepStrictEqual(answers(prepared, contexts), answers(anew, contexts))) throw new Error('differs')
        })
      },
    ),
    runs(500),
  )
  t.pass('held')
})

t.test('the same input gives the same result, whatever was evaluated in between', async t => {
  fc.assert(
    fc.property(ruleset, context, context, (ruleset, one, two) => {
      const prepared = prepare(ruleset, 1)
      const first = answers(prepared, [one])
      answers(prepared, [two])
      const again = answers(prepared, [one])
      // The very same objects: results are built once.
      return first.every((result, i) => result === again[i])
    }),
    runs(300),
  )
  t.pass('held')
})
