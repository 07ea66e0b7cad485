import t from 'tap'
import { evaluateAs, typeOfValue } from '../../sdk/evaluator/evaluate.ts'
import { explain } from '../../sdk/evaluator/explain.ts'
import { openFeatureReason } from '../../sdk/evaluator/openfeature.ts'
import { type Documents, prepare } from '../../sdk/evaluator/prepare.ts'
import { type EvaluationCase, evaluationCases } from './cases.ts'

/** The parts of a result that a case speaks about. */
function outcome(result: object): object {
  const { value, variation, reason, ruleId, killId, prerequisite, error, unbucketed } = result as Record<string, unknown>
  return { value, variation, reason, ruleId, killId, prerequisite, error, unbucketed }
}

function typeAskedFor({ type, default: fallback }: EvaluationCase): ReturnType<typeof typeOfValue> {
  return type ?? (fallback === undefined ? null : typeOfValue(fallback))
}

for (const group of evaluationCases()) {
  t.test(`${group.file}: ${group.name}`, async t => {
    const before = JSON.stringify(group)
    const prepared = prepare(group.ruleset as Documents, 7)
    for (const item of group.cases) {
      const context = item.context
      const result = evaluateAs(prepared, item.flag, context, typeAskedFor(item))
      t.strictSame(outcome(result), outcome(item.expect), item.name)
      if (item.expect.openFeature !== undefined)
        t.equal(openFeatureReason(result), item.expect.openFeature, `${item.name}, in OpenFeature's words`)
      if (result.error === 'TYPE_MISMATCH') continue
      t.strictSame(outcome(explain(prepared, item.flag, context)), outcome(result), `${item.name}, explained`)
    }
    t.equal(JSON.stringify(group), before, 'nothing was changed')
  })
}
