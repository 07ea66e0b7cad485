import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { prepare, unknownOperators } from '../../sdk/evaluator/prepare.ts'
import { differs, disagreement, frozen, KEYS, told } from './agreement.ts'
import { below, context, ruleset } from './documents.ts'
import { isAlone, tryCases } from './tried.ts'
import { twin } from './twin.ts'

t.setTimeout(300_000)

const WAYS = [
  'KILLED',
  'OFF',
  'PREREQUISITE_FAILED',
  'TARGET_MATCH',
  'RULE_MATCH',
  'FALLTHROUGH',
  'PREREQUISITE_CYCLE',
  'rollout',
  'unbucketed',
  'rule beyond 32',
  'rule beyond 64',
] as const

t.test('evaluate, evaluateAs and explain equal their slow twin', async t => {
  const reached = new Map<string, number>()
  const reach = (what: string): void => void reached.set(what, (reached.get(what) ?? 0) + 1)
  let pairs = 0
  tryCases(
    12_500,
    random => {
      const item = { ruleset: ruleset(random), contexts: Array.from({ length: 8 }, () => context(random)), explained: below(random, 8) }
      return below(random, 4) === 0 ? frozen(item) : item
    },
    ({ ruleset, contexts, explained }) => {
      const prepared = prepare(ruleset, 1)
      for (const [i, context] of contexts.entries()) {
        pairs++
        for (const key of ruleset.flags.map(({ key }) => key)) {
          const expected = twin(ruleset, key, context)
          if (i === explained) {
            const problem = disagreement(prepared, ruleset, key, context, expected)
            if (problem !== null) return problem
          } else {
            const result = evaluate(prepared, key, context)
            if (differs(result, expected)) return told(key, result, expected)
          }
          reach(expected.error ?? (expected.unbucketed === true ? 'unbucketed' : expected.rollout === true ? 'rollout' : expected.reason))
          const rule = Number(expected.ruleId?.slice(1) ?? -1)
          if (rule > 32) reach(rule > 64 ? 'rule beyond 64' : 'rule beyond 32')
        }
      }
      return null
    },
  )
  t.ok(pairs >= 100_000 || isAlone, `${pairs} rulesets and contexts`)
  // The random rulesets are worth something only if every way out is taken often.
  for (const way of WAYS) t.ok((reached.get(way) ?? 0) >= 250 || isAlone, `${way}: ${reached.get(way) ?? 0} times`)
})

t.test('what nobody knows is not found, and unknown operators are reported with their place', async t => {
  tryCases(
    500,
    random => frozen({ ruleset: ruleset(random), context: context(random) }),
    ({ ruleset, context }) => {
      const prepared = prepare(ruleset, 1)
      for (const key of KEYS) {
        if (ruleset.flags.some(flag => flag.key === key)) continue
        const problem = disagreement(prepared, ruleset, key, context, twin(ruleset, key, context))
        if (problem !== null) return problem
      }
      const uses = (what: string, documents: readonly { readonly key: string }[]): string[] =>
        documents.filter(document => JSON.stringify(document).includes('"isPrime"')).map(({ key }) => `${what} ${key}`)
      const wanted = [...uses('flag', ruleset.flags), ...uses('segment', ruleset.segments)]
      const reported = unknownOperators(prepared).map(({ op, where }) => (op === 'isPrime' ? where : op))
      return isDeepStrictEqual(reported.sort(), wanted.sort()) ? null : `${reported.join()} rather than ${wanted.join()}`
    },
  )
  t.pass('held')
})
