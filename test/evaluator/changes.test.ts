import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import type { Context } from '../../schemas/context.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import { applyDelta, type Delta, prepare, type Prepared, unknownOperators } from '../../sdk/evaluator/prepare.ts'
import { differs, disagreement, frozen, KEYS, told } from './agreement.ts'
import { below, context, delta, flag, pick, type Ruleset, ruleset } from './documents.ts'
import { isAlone, tryCases } from './tried.ts'
import { twin } from './twin.ts'

t.setTimeout(300_000)

/** A ruleset that changes step by step, as it must stand after each. */
function statesOf(ruleset: Ruleset, deltas: readonly Delta[]): Ruleset[] {
  const states: Ruleset[] = []
  const flags = new Map(ruleset.flags.map(flag => [flag.key, flag]))
  const segments = new Map(ruleset.segments.map(segment => [segment.key, segment]))
  for (const delta of deltas) {
    for (const key of delta.removedFlags) flags.delete(key)
    for (const key of delta.removedSegments) segments.delete(key)
    for (const flag of delta.flags as Ruleset['flags']) flags.set(flag.key, flag)
    for (const segment of delta.segments as Ruleset['segments']) segments.set(segment.key, segment)
    states.push({ flags: [...flags.values()], segments: [...segments.values()] })
  }
  return states
}

t.test('a ruleset with changes applied equals the new ruleset prepared, and the twin', async t => {
  let appeared = 0
  let vanished = 0
  tryCases(
    2_500,
    random =>
      frozen({
        ruleset: ruleset(random),
        deltas: Array.from({ length: 1 + below(random, 8) }, () => delta(random)),
        contexts: Array.from({ length: 3 }, () => context(random)),
        // Not evaluated before each change: nothing may hang on what an evaluation left behind.
        isQuiet: below(random, 2) === 0,
      }),
    ({ ruleset, deltas, contexts, isQuiet }) => {
      let prepared = prepare(ruleset, 1)
      let wasCycle = new Set<string>()
      for (const [i, state] of statesOf(ruleset, deltas).entries()) {
        if (!isQuiet) for (const context of contexts) for (const key of KEYS) evaluate(prepared, key, context)
        prepared = applyDelta(prepared, deltas[i]!, i + 2)
        if (prepared.revision !== i + 2) return `revision ${prepared.revision} after change ${i + 1}`
        const anew = prepare(state, i + 2)
        const isCycle = new Set<string>()
        for (const [j, context] of contexts.entries()) {
          for (const key of KEYS) {
            const result = evaluate(prepared, key, context)
            const expected = j === 0 ? twin(state, key, context) : evaluate(anew, key, context)
            if (differs(result, expected)) return `after change ${i + 1}: ${told(key, result, expected)}`
            if (result.error === 'PREREQUISITE_CYCLE') isCycle.add(key)
          }
        }
        for (const key of isCycle) if (!wasCycle.has(key)) appeared++
        for (const key of wasCycle) if (!isCycle.has(key)) vanished++
        wasCycle = isCycle
        if (!isDeepStrictEqual(sortedText(unknownOperators(prepared)), sortedText(unknownOperators(anew)))) return 'unknown operators'
      }
      return null
    },
  )
  t.ok((appeared > 300 && vanished > 300) || isAlone, `${appeared} times a flag came into a cycle, ${vanished} times one came out`)
})

function sortedText(items: readonly object[]): string[] {
  return items.map(item => JSON.stringify(item)).sort()
}

t.test('a parent that becomes static, or stops being so, is seen by all that need it', async t => {
  // A diamond on a chain: only the last one changes, between what no context can change and what hangs on it.
  const random = () => 0
  const base = { ...flag(random, 'a'), kills: [], targets: [], rules: [], prerequisites: [], enabled: true, offVariation: 'two' }
  const needs = (key: string, ...flags: string[]) => ({
    ...base,
    key,
    fallthrough: { variation: 'one' },
    prerequisites: flags.map(flag => ({ flag, variations: ['one'] })),
  })
  const above = [needs('a', 'b', 'c'), needs('b', 'd'), needs('c', 'd'), needs('d', 'e')]
  const rule = { id: 'r', clauses: [{ attribute: 'plan', op: 'in' as const, values: ['x'] }], serve: { variation: 'one' } }
  const killed = { id: 'k', variation: 'one', clauses: [], reason: 'r', actor: 'dana', at: '2026-11-21T03:12:00Z', until: null }
  const states = [
    { ...base, key: 'e', fallthrough: { variation: 'one' } },
    { ...base, key: 'e', fallthrough: { variation: 'two' } },
    { ...base, key: 'e', fallthrough: { variation: 'two' }, rules: [rule] },
    { ...base, key: 'e', enabled: false, offVariation: 'one' },
    { ...base, key: 'e', fallthrough: { variation: 'one' }, kills: [killed] },
    { ...base, key: 'e', fallthrough: { variation: 'one' }, prerequisites: [{ flag: 'a', variations: ['one'] }] },
    { ...base, key: 'e', fallthrough: { rollout: { weights: [{ variation: 'one', weight: 100_000 }] } } },
    null,
  ]
  const contexts: Context[] = [{ targetingKey: 'u', plan: 'x' }, { targetingKey: 'u', plan: 'y' }, {}]
  const problems: string[] = []
  for (const before of states) {
    for (const after of states) {
      const start = { flags: before === null ? above : [...above, before], segments: [] }
      const end = { flags: after === null ? above : [...above, after], segments: [] }
      const delta = { flags: after === null ? [] : [after], segments: [], removedFlags: after === null ? ['e'] : [], removedSegments: [] }
      const prepared = prepare(start, 1)
      for (const context of contexts) for (const key of KEYS) evaluate(prepared, key, context)
      const changed = applyDelta(prepared, delta, 2)
      for (const context of contexts)
        for (const key of KEYS) {
          const problem = disagreement(changed, end, key, context, twin(end, key, context))
          if (problem !== null) problems.push(`${states.indexOf(before)} to ${states.indexOf(after)}: ${problem}`)
        }
    }
  }
  t.same(problems, [])
})

t.test('evaluations do not influence each other, whatever is evaluated in between or within', async t => {
  let within = 0
  tryCases(
    1_500,
    random =>
      frozen({
        rulesets: [ruleset(random), ruleset(random)] as const,
        contexts: Array.from({ length: 4 }, () => context(random)),
        order: Array.from({ length: 60 }, () => [below(random, 2), pick(random, KEYS), below(random, 4), below(random, 3)] as const),
      }),
    ({ rulesets, contexts, order }) => {
      const prepared = rulesets.map(ruleset => prepare(ruleset, 1))
      for (const [which, key, at, manner] of order) {
        const context = contexts[at]!
        const expected = twin(rulesets[which]!, key, context)
        // As it is; or while it is read, other flags are evaluated for others; or it is explained.
        const asked = manner === 1 ? disturbing(context, () => (within++, disturb(prepared, contexts))) : context
        const result = manner === 2 ? explain(prepared[which]!, key, asked) : evaluate(prepared[which]!, key, asked)
        if (differs(result, expected)) return told(`${key}, in manner ${manner}`, result, expected)
      }
      return null
    },
  )
  t.ok(within > 10_000 || isAlone, `${within} attributes were read while others were evaluated`)
})

/** The same context, but every attribute is a getter that does something first. */
function disturbing(context: Context, first: () => void): Context {
  const same = {}
  for (const [name, value] of Object.entries(context)) {
    const get = (): unknown => {
      first()
      return value
    }
    Object.defineProperty(same, name, { get, enumerable: true })
  }
  return same
}

let turn = 0
function disturb(prepared: readonly Prepared[], contexts: readonly Context[]): void {
  turn++
  const [one, key, context] = [prepared[turn % prepared.length]!, KEYS[turn % KEYS.length]!, contexts[turn % contexts.length]!]
  if (turn % 5 === 0) explain(one, key, context)
  else evaluate(one, key, context)
}
