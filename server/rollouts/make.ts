/** From a plan as people write it to the document, or every problem found. Pure. */
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag, Serve } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Guard, GuardInput, Plan, PlanInput, PlanStep } from '../../schemas/plan.ts'
import { expanded } from './presets.ts'
import { servedAt, shareOf, weightOf } from './serve.ts'

const ALPHA = 0.01
const HOLDBACK_PERCENT = 2

export type Made =
  { readonly plan: Plan; readonly problems: readonly [] } | { readonly plan: null; readonly problems: readonly ErrorDetail[] }

/**
 * @param run names the run
 * @returns a plan that is pending or, with a moment, scheduled; whoever starts it now does so in the same write
 */
export function makePlan(flag: Flag, input: PlanInput, run: string): Made {
  const problems: ErrorDetail[] = []
  const problem = (path: string, code: string, message: string): void => void problems.push({ path, code, message })
  const whole = expanded(input)
  const rule = input.rule ?? null
  const serve = servedAt(flag, rule)
  if (serve === null) {
    const known = flag.rules.map(({ id }) => `"${id}"`)
    problem(
      'rule',
      'unknown_rule',
      `the flag has no rule "${rule}". ${known.length === 0 ? 'It has none.' : `There is ${known.slice(0, 20).join(', ')}.`}`,
    )
    return { plan: null, problems }
  }

  const variation = input.variation ?? input.steps?.[0]?.variation ?? usualVariation(flag, serve)
  if (variation === null) {
    problem('variation', 'missing', `is missing, and which of ${variationNames(flag)} shall grow cannot be guessed. Name it.`)
    return { plan: null, problems }
  }
  const control = input.control ?? usualControl(flag, serve, variation)
  for (const [path, key] of [
    ['variation', variation],
    ['control', control],
  ] as const) {
    if (!flag.variations.some(each => each.key === key))
      problem(path, 'unknown_variation', `the flag has no variation "${key}". Name one of ${variationNames(flag)}.`)
  }

  const standing = startProblems(flag, rule, { variation, control, by: input.by, seed: input.seed })
  problems.push(...standing)
  const grown = flag.enabled && standing.length === 0 ? shareOf(serve, variation) : 0
  // A preset goes on from where the variation is already.
  const inputs = input.preset === undefined ? whole.steps : whole.steps.filter(step => weightOf(step.percent) > grown)
  const steps = stepsOf(flag, inputs, { variation, control, bakeMs: whole.bakeMs, grown: grown === WEIGHT_TOTAL ? 0 : grown }, problem)
  const guards = guardsOf(whole.guards ?? [], new Set(), 'guards', problem)
  const names = new Set(guards.map(({ id }) => id))
  const guarded = steps.map((step, i) => ({
    ...step,
    guards: guardsOf(inputs[i]?.guards ?? [], new Set(names), `steps[${i}].guards`, problem),
  }))
  for (const [i, step] of guarded.entries()) {
    if (step.gate === 'evidence' && ![...guards, ...step.guards].some(isCompared))
      problem(
        `steps[${i}].gate`,
        'no_guard',
        'is evidence, and no guard compares errors or slow calls. Add a guard errorShare or slowShare.',
      )
  }
  if (problems.length > 0) return { plan: null, problems }

  const seed = input.seed ?? ('rollout' in serve ? serve.rollout.seed : undefined)
  const by = input.by ?? ('rollout' in serve ? serve.rollout.by : undefined)
  const plan: Plan = {
    key: flag.key,
    run,
    state: typeof input.startsAt === 'string' ? 'scheduled' : 'pending',
    ...(input.preset === undefined ? {} : { preset: input.preset }),
    rule,
    ...(by === undefined ? {} : { by }),
    ...(seed === undefined ? {} : { seed }),
    steps: guarded,
    guards,
    alpha: input.alpha ?? ALPHA,
    ...(input.owner === undefined ? {} : { owner: input.owner }),
    ...(input.description === undefined ? {} : { description: input.description }),
    holdback: input.holdback ?? HOLDBACK_PERCENT,
    startsAt: typeof input.startsAt === 'string' ? new Date(input.startsAt).toISOString() : null,
    startedAt: null,
    step: null,
    since: null,
    spentMs: 0,
    before: null,
    serving: null,
    kills: [],
    approvals: [],
    held: null,
    reverted: null,
    watchedSince: null,
    endedAt: null,
    version: 1,
  }
  return { plan, problems: [] }
}

/** Why a plan cannot take its first step on the flag as it stands: when it is made, and again when it starts. */
export function startProblems(
  flag: Flag,
  rule: string | null,
  { variation, control, by, seed }: { variation: string; control: string; by?: string | undefined; seed?: number | undefined },
): ErrorDetail[] {
  const problems: ErrorDetail[] = []
  const serve = servedAt(flag, rule)
  if (serve === null) return [{ path: 'rule', code: 'unknown_rule', message: `the flag has no rule "${rule}" any more.` }]
  if (variation === control)
    problems.push({ path: 'control', code: 'same', message: `is "${control}", which is the variation that grows. Name another.` })
  // A flag that is off serves nobody what stands here: any split can begin.
  if (!flag.enabled) return problems
  if ('variation' in serve) {
    if (serve.variation === variation)
      problems.push({
        path: 'variation',
        code: 'served_already',
        message: `"${variation}" is served to everyone already: there is nothing to roll out.`,
      })
    else if (serve.variation !== control)
      problems.push({
        path: 'control',
        code: 'not_served',
        message: `is "${control}", and "${serve.variation}" is served now: the first step would move everyone. Name that one.`,
      })
    return problems
  }
  const others = serve.rollout.weights.filter(each => each.weight > 0 && each.variation !== variation && each.variation !== control)
  if (others.length > 0) {
    const names = others.map(each => `"${each.variation}"`).join(', ')
    problems.push({
      path: 'control',
      code: 'other_variations',
      message: `the rollout that stands serves ${names} too, and a plan works between two variations. Take them out first.`,
    })
  }
  if (shareOf(serve, variation) === WEIGHT_TOTAL)
    problems.push({
      path: 'variation',
      code: 'served_already',
      message: `"${variation}" is served to everyone already: there is nothing to roll out.`,
    })
  const moved = (path: string, text: string): ErrorDetail => ({
    path,
    code: 'reshuffles',
    message: `${text}: everyone would be placed anew. Leave it out.`,
  })
  if (by !== undefined && by !== (serve.rollout.by ?? 'targetingKey'))
    problems.push(moved('by', `the rollout that stands goes by ${serve.rollout.by ?? 'targetingKey'}`))
  if (seed !== undefined && seed !== (serve.rollout.seed ?? flag.seed))
    problems.push(moved('seed', 'the rollout that stands has another seed'))
  return problems
}

/** Whether it compares the arms of a split. */
export function isCompared(guard: Guard): boolean {
  return guard.type === 'errorShare' || guard.type === 'slowShare'
}

/** Whether it is a test of a share: of the arms against each other, or of one against a number. */
export function isShare(guard: Guard): boolean {
  return isCompared(guard) || guard.type === 'mismatch'
}

function usualVariation(flag: Flag, serve: Serve): string | null {
  const can = (key: string): boolean => key !== flag.offVariation && flag.variations.some(each => each.key === key)
  if (can('on')) return 'on'
  if ('rollout' in serve) {
    const [grown, ...more] = serve.rollout.weights.filter(each => can(each.variation))
    if (grown !== undefined && more.length === 0) return grown.variation
  }
  const others = flag.variations.filter(each => each.key !== flag.offVariation)
  return others.length === 1 ? (others[0]?.key ?? null) : null
}

function usualControl(flag: Flag, serve: Serve, variation: string): string {
  if (!flag.enabled) return flag.offVariation
  if ('variation' in serve) return serve.variation === variation ? flag.offVariation : serve.variation
  return serve.rollout.weights.find(each => each.variation !== variation && each.weight > 0)?.variation ?? flag.offVariation
}

function variationNames(flag: Flag): string {
  return flag.variations.map(each => `"${each.key}"`).join(', ')
}

type Problem = (path: string, code: string, message: string) => void

function stepsOf(
  flag: Flag,
  inputs: readonly NonNullable<PlanInput['steps']>[number][],
  from: { variation: string; control: string; bakeMs: number | undefined; grown: number },
  problem: Problem,
): PlanStep[] {
  let { variation, control, grown } = from
  return inputs.map((input, i) => {
    const path = `steps[${i}]`
    const isLast = i === inputs.length - 1
    if (input.variation !== undefined && input.variation !== variation) {
      if (!flag.variations.some(each => each.key === input.variation))
        problem(
          `${path}.variation`,
          'unknown_variation',
          `the flag has no variation "${input.variation}". Name one of ${variationNames(flag)}.`,
        )
      if (i > 0 && grown < WEIGHT_TOTAL)
        problem(
          `${path}.variation`,
          'too_early',
          `is "${input.variation}" before "${variation}" has reached 100 %: contexts would go back. Let it reach 100 % first.`,
        )
      if (i > 0) control = variation
      if (i > 0) grown = 0
      variation = input.variation
    }
    const weight = weightOf(input.percent)
    if (weight <= grown) {
      const than = i === 0 ? `"${variation}" has ${grown / 1_000} % already` : `the step before has ${grown / 1_000} %`
      problem(`${path}.percent`, 'not_growing', `is ${input.percent} %, and ${than}. Steps grow.`)
    }
    grown = weight
    if (isLast && input.holdMs !== undefined && from.bakeMs !== undefined && input.holdMs !== from.bakeMs)
      problem(`${path}.holdMs`, 'twice', 'says how long the last step is watched, and so does bakeMs. Leave one of them out.')
    return {
      variation,
      control,
      percent: input.percent,
      holdMs: (isLast ? (input.holdMs ?? from.bakeMs) : input.holdMs) ?? 0,
      minExposures: input.minExposures ?? 0,
      gate: input.gate ?? 'time',
      guards: [],
    }
  })
}

/** @param names taken already; those found are added */
function guardsOf(inputs: readonly GuardInput[], names: Set<string>, path: string, problem: Problem): Guard[] {
  for (const { id } of inputs) if (id !== undefined) names.add(id)
  const given = new Set<string>()
  return inputs.map((input, i) => {
    if (input.id !== undefined && given.has(input.id))
      problem(`${path}[${i}].id`, 'taken', `"${input.id}" names two guards. Choose another.`)
    let id = input.id ?? input.type
    for (let n = 2; input.id === undefined && names.has(id); n++) id = `${input.type}-${n}`
    names.add(id)
    given.add(id)
    return { ...input, id, role: input.role ?? 'guardrail' }
  })
}
