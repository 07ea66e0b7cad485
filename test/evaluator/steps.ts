/** Whether the steps of an explanation tell the decision that was made: checked against the documents and the twin. */
import type { Clause } from '../../schemas/clause.ts'
import type { Context } from '../../schemas/context.ts'
import type { Flag, Rollout, Serve } from '../../schemas/flag.ts'
import type { ClauseStep, Step } from '../../sdk/evaluator/explain.ts'
import type { Ruleset } from './documents.ts'
import { bucketIn, clauseMatches, get, type Outcome, twin } from './twin.ts'

/**
 * @param told flags whose steps stand further up: each is decided and told once, however many have it as a prerequisite
 * @returns what is wrong with the steps, or null
 */
export function stepsProblem(
  ruleset: Ruleset,
  key: string,
  context: Context,
  expected: Outcome,
  steps: readonly Step[],
  told = new Set<string>(),
): string | null {
  const flag = ruleset.flags.find(flag => flag.key === key)
  if (flag === undefined) return steps.map(({ step }) => step).join() === 'error' ? null : 'a flag that does not exist has steps'
  const wanted = stepsOf(ruleset, flag, context, expected)
  if (wanted.length !== steps.length) return `${steps.length} steps rather than ${wanted.length}: ${steps.map(({ step }) => step).join()}`
  for (const [i, step] of steps.entries()) {
    const problem = stepProblem(ruleset, context, step, wanted[i]!, told)
    if (problem !== null) return `step ${i + 1}, ${step.step}: ${problem}`
  }
  return null
}

interface Wanted {
  readonly step: Step['step']
  readonly matched: boolean
  readonly id?: string
  readonly variation?: string | null | undefined
  readonly clauses?: readonly Clause[]
  readonly bucket?: number | null
}

/** What must have been looked at on the way to this outcome, in order. */
function stepsOf(ruleset: Ruleset, flag: Flag, context: Context, expected: Outcome): Wanted[] {
  const wanted: Wanted[] = []
  const matches = (clauses: readonly Clause[]): boolean => clauses.every(clause => clauseMatches(ruleset, clause, context))
  for (const { id, clauses, variation } of flag.kills) {
    const matched = matches(clauses)
    wanted.push({ step: 'kill', matched, id, clauses, variation })
    if (matched) return wanted
  }
  wanted.push({ step: 'enabled', matched: flag.enabled, variation: flag.enabled ? undefined : flag.offVariation })
  if (!flag.enabled) return wanted
  if (expected.reason === 'ERROR') return [...wanted, { step: 'error', matched: true }]
  for (const { flag: parent, variations } of flag.prerequisites) {
    const { reason, variation } = twin(ruleset, parent, context)
    const matched = ['TARGET_MATCH', 'RULE_MATCH', 'FALLTHROUGH'].includes(reason) && variations.includes(variation!)
    wanted.push({ step: 'prerequisite', matched, id: parent, variation })
    if (!matched) return wanted
  }
  for (const { attribute, values, variation } of flag.targets) {
    const matched = matches([{ attribute: attribute ?? 'targetingKey', op: 'in', values }])
    wanted.push({ step: 'target', matched, variation })
    if (matched) return wanted
  }
  for (const { id, clauses, serve } of flag.rules) {
    const matched = matches(clauses)
    wanted.push({ step: 'rule', matched, id, clauses, variation: 'variation' in serve ? serve.variation : undefined })
    if (matched) return [...wanted, ...rolled(serve, flag, context, expected)]
  }
  return [...wanted, { step: 'fallthrough', matched: true }, ...rolled(flag.fallthrough, flag, context, expected)]
}

function rolled(serve: Serve, flag: Flag, context: Context, { variation }: Outcome): Wanted[] {
  const rollout: Rollout | null = 'rollout' in serve ? serve.rollout : null
  if (rollout === null) return []
  const bucket = bucketIn(rollout, flag.seed, context)
  return [{ step: 'rollout', matched: bucket !== null, variation, bucket }]
}

function stepProblem(ruleset: Ruleset, context: Context, got: Step, wanted: Wanted, told: Set<string>): string | null {
  for (const field of ['step', 'matched', 'id', 'variation', 'bucket'] as const)
    if (got[field] !== wanted[field]) return `${field} is ${String(got[field])} rather than ${String(wanted[field])}`
  if (got.text === '') return 'says nothing'
  const failing = got.step === 'rule' && !got.matched ? (got.clauses?.length ?? 0) : null
  if (failing !== null && !got.text.includes(`clause ${failing} `)) return `"${got.text}" does not name clause ${failing}`
  if (got.step === 'prerequisite') {
    const isThere = ruleset.flags.some(({ key }) => key === got.id)
    if (!isThere || told.has(got.id!)) return got.steps?.length === 0 ? null : 'its steps are told again, or it has none'
    told.add(got.id!)
    // An error is the flag's own last step, not one of its prerequisite's.
    const expected = twin(ruleset, got.id!, context)
    const own = got.steps ?? []
    return stepsProblem(ruleset, got.id!, context, expected, expected.reason === 'ERROR' ? [...own, ERROR] : own, told)
  }
  return wanted.clauses === undefined ? null : clausesProblem(ruleset, context, got.clauses ?? [], wanted.clauses)
}

const ERROR: Step = { step: 'error', matched: true, text: 'in error' }

/** All that match, or those up to the first that does not. */
function clausesProblem(ruleset: Ruleset, context: Context, got: readonly ClauseStep[], clauses: readonly Clause[]): string | null {
  const failing = clauses.findIndex(clause => !clauseMatches(ruleset, clause, context))
  const count = failing === -1 ? clauses.length : failing + 1
  if (got.length !== count) return `${got.length} clauses rather than ${count}`
  for (const [i, step] of got.entries()) {
    const { attribute, op, values } = clauses[i]!
    if (step.matched !== (i !== failing) || step.op !== op || step.attribute !== attribute) return `clause ${i + 1} is told otherwise`
    if (step.values.length !== Math.min(20, values.length) || step.values.some((value, i) => !Object.is(value, values[i])))
      return `clause ${i + 1} has other values`
    const there = op === 'segment' ? null : (get(context, attribute ?? '') ?? null)
    // The operator that is not known looks at nothing.
    if (op !== ('isPrime' as string) && !Object.is(step.value ?? null, there)) return `clause ${i + 1} saw another value`
  }
  return null
}
