/** What a plan governs: one place of a flag, its outcome, and the outcome that each step gives it. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { Flag, Rollout, Serve } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Plan, PlanStep } from '../../schemas/plan.ts'
import { arranged } from '../flags/arrange.ts'

/** What stands at the place; null when its rule is gone. */
export function servedAt(flag: Flag, rule: string | null): Serve | null {
  if (rule === null) return flag.fallthrough
  return flag.rules.find(each => each.id === rule)?.serve ?? null
}

/** The flag with another outcome at the place; as it is, where the rule is gone. */
export function servingAt(flag: Flag, rule: string | null, serve: Serve): Flag {
  if (rule === null) return arranged({ ...flag, fallthrough: serve })
  return arranged({ ...flag, rules: flag.rules.map(each => (each.id === rule ? { ...each, serve } : each)) })
}

/** Whether the flag serves at the place what the plan had it serve. */
export function isAsPlanned(plan: Plan, flag: Flag): boolean {
  return plan.serving !== null && isDeepStrictEqual(servedAt(flag, plan.rule), plan.serving)
}

export function weightOf(percent: number): number {
  return Math.round((percent * WEIGHT_TOTAL) / 100)
}

/** The share of the variation in an outcome, in thousandths of a percent. */
export function shareOf(serve: Serve, variation: string): number {
  if ('variation' in serve) return serve.variation === variation ? WEIGHT_TOTAL : 0
  return serve.rollout.weights.reduce((sum, each) => sum + (each.variation === variation ? each.weight : 0), 0)
}

export function isLast(plan: Pick<Plan, 'steps'>, index: number): boolean {
  return index >= plan.steps.length - 1
}

/** The variation's weight while a step stands: while 100 % is watched a little stays with the control, to compare with. */
export function stepWeight(plan: Pick<Plan, 'steps' | 'holdback'>, index: number): number {
  const step = plan.steps[index]
  if (step === undefined) return 0
  const weight = weightOf(step.percent)
  return isLast(plan, index) && step.holdMs > 0 ? Math.min(weight, WEIGHT_TOTAL - weightOf(plan.holdback)) : weight
}

/**
 * The outcome while a step stands. Attribute, seed and the order of the weights stay those of the split that stood: weights fill
 * the buckets in order, so growing one share at the other's cost moves nobody out of it.
 */
export function stepServe(plan: Plan, index: number, before: Serve | null): Serve {
  const { variation, control } = plan.steps[index]!
  const weight = stepWeight(plan, index)
  const weights = [
    { variation, weight },
    { variation: control, weight: WEIGHT_TOTAL - weight },
  ]
  if (isControlFirst(before, variation, control)) weights.reverse()
  return { rollout: { ...splitOf(plan), weights } }
}

/** The outcome once the plan is complete. */
export function finalServe(plan: Plan, before: Serve | null): Serve {
  const { variation, control, percent } = plan.steps[plan.steps.length - 1]!
  const weight = weightOf(percent)
  if (weight === WEIGHT_TOTAL) return { variation }
  const weights = [
    { variation, weight },
    { variation: control, weight: WEIGHT_TOTAL - weight },
  ]
  if (isControlFirst(before, variation, control)) weights.reverse()
  return { rollout: { ...splitOf(plan), weights } }
}

function splitOf({ by, seed }: Plan): Pick<Rollout, 'by' | 'seed'> {
  return { ...(by === undefined ? {} : { by }), ...(seed === undefined ? {} : { seed }) }
}

function isControlFirst(before: Serve | null, variation: string, control: string): boolean {
  if (before === null || 'variation' in before) return false
  const order = before.rollout.weights.map(each => each.variation)
  return order.includes(variation) && order.includes(control) && order.indexOf(control) < order.indexOf(variation)
}

/**
 * Whether outcomes of the two variations can come from nowhere but the plan's split: only then is their share to be what
 * the step says. Targets, other rules and kills serve variations too, and so does a prerequisite that is not met.
 */
export function isAlone(plan: Plan, flag: Flag, step: PlanStep): boolean {
  if (plan.rule !== null || flag.targets.length > 0 || flag.kills.length > 0) return false
  if (flag.prerequisites.length > 0 && [step.variation, step.control].includes(flag.offVariation)) return false
  return flag.rules.every(({ serve }) => shareOf(serve, step.variation) === 0 && shareOf(serve, step.control) === 0)
}
