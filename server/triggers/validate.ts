/** What a schema cannot say about a trigger: names that must exist, steps that must fall, parts that do not go together. Pure. */
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Trigger, TriggerDo, TriggerWhen } from '../../schemas/trigger.ts'
import { nearest } from '../flags/find.ts'
import { clauseProblems } from '../flags/validate.ts'
import type { State } from '../log/types.ts'

/** Triggers of one environment. */
export const TRIGGERS_MAX = 500
const DETAILS_MAX = 50

/** Error: `INVALID_TRIGGER` with one detail per problem, at most 50. */
export function refuseProblems(state: State, trigger: Trigger): void {
  const problems = triggerProblems(state, trigger)
  const [first] = problems
  if (first === undefined) return
  const more = problems.length > 1 ? ` (${problems.length - 1} more in details)` : ''
  throw new SluiceError('INVALID_TRIGGER', `Trigger "${trigger.key}" in "${state.log}": ${first.path} ${first.message}${more}`, {
    details: problems.slice(0, DETAILS_MAX),
  })
}

/** Everything wrong with it in the environment as it stands, each with its place and its cure. */
export function triggerProblems(state: State, trigger: Trigger): ErrorDetail[] {
  return [...whenProblems(state, trigger.when), ...doProblems(state, trigger.do), ...togetherProblems(trigger)]
}

function whenProblems(state: State, when: TriggerWhen): ErrorDetail[] {
  const problems = (when.hooks ?? []).flatMap((hook, i) =>
    state.documents.hook.has(hook)
      ? []
      : [
          problem(
            `when.hooks[${i}]`,
            'unknown_hook',
            `names no hook of this environment: there is no "${hook}".${meant(hook, state.documents.hook.keys(), 'Make it first')}`,
          ),
        ],
  )
  if (when.withinMs !== undefined && (when.atLeast ?? 1) < 2) {
    problems.push(
      problem(
        'when.withinMs',
        'alone',
        'says how close to one another alerts must begin, and one alert is enough. Give atLeast of 2 or more, or leave it out.',
      ),
    )
  }
  if (when.status !== 'resolved') return problems
  for (const field of ['forMs', 'atLeast', 'withinMs'] as const) {
    if (when[field] !== undefined)
      problems.push(
        problem(`when.${field}`, 'not_with_resolved', 'goes with alerts that fire, and the status is resolved. Leave one of them out.'),
      )
  }
  return problems
}

function doProblems(state: State, action: TriggerDo): ErrorDetail[] {
  if (action.action === 'notify') return []
  if (action.action === 'kill') return killProblems(state, action)
  const flag = state.documents.flag.get(action.flag)
  if (flag === undefined) return [unknownFlag(state, action.flag, 'do.flag')]
  if (action.action === 'hold-rollout') return []
  if (action.action === 'throttle-valve') {
    const isValve = flag.kind === 'safety-valve'
    return [
      ...(isValve
        ? []
        : [
            problem(
              'do.flag',
              'kind',
              `is no valve: "${flag.key}" is a ${flag.kind} flag. Name a safety-valve, or use set-percentage or kill.`,
            ),
          ]),
      ...stepProblems(action.percents),
    ]
  }
  const problems = variationProblems(flag, action.variation, 'do.variation')
  if (flag.kind === 'safety-valve') problems.push(problem('do.flag', 'kind', `is a valve: "${flag.key}". Use throttle-valve, or kill.`))
  if (flag.kind === 'migration')
    problems.push(
      problem(
        'do.flag',
        'kind',
        `is a migration: "${flag.key}", whose stages have an order that an alert does not know. Use kill or hold-rollout.`,
      ),
    )
  if (action.action === 'set-percentage') {
    problems.push(...stepProblems(action.percents))
    if (action.variation === flag.offVariation) {
      problems.push(
        problem(
          'do.variation',
          'off_variation',
          `is the off variation of "${flag.key}": less of it would be more of the others. Name the variation that shall have less.`,
        ),
      )
    }
  }
  return problems
}

function killProblems(state: State, action: Extract<TriggerDo, { action: 'kill' }>): ErrorDetail[] {
  const { flags, tag, variation, clauses } = action
  const problems: ErrorDetail[] = []
  if ((flags === undefined) === (tag === undefined))
    problems.push(problem('do', 'flags_or_tag', 'must name either flags or a tag, and not both. Leave one of them out.'))
  const keys = new Set<string>()
  for (const [i, key] of (flags ?? []).entries()) {
    const flag = state.documents.flag.get(key)
    if (flag === undefined) problems.push(unknownFlag(state, key, `do.flags[${i}]`))
    else if (variation !== undefined) problems.push(...variationProblems(flag, variation, 'do.variation'))
    if (keys.has(key)) problems.push(problem(`do.flags[${i}]`, 'duplicate', `names "${key}" twice. Remove one.`))
    keys.add(key)
  }
  if (tag !== undefined) {
    const tagged = [...state.documents.flag.values()].filter(flag => flag.tags?.includes(tag) ?? false)
    const known = new Set([...state.documents.flag.values()].flatMap(flag => flag.tags ?? []))
    if (tagged.length === 0)
      problems.push(problem('do.tag', 'unknown_tag', `is the tag of no flag: "${tag}".${meant(tag, known, 'Tag a flag first')}`))
    if (tagged.length > 0 && variation !== undefined && !tagged.some(flag => flag.variations.some(each => each.key === variation)))
      problems.push(
        problem(
          'do.variation',
          'unknown_variation',
          `is a variation of no flag with the tag "${tag}": "${variation}". Name one that they have.`,
        ),
      )
  }
  return [...problems, ...clauseProblems(clauses ?? [], { segments: state.documents.segment }, 'do.')]
}

/** Parts of a trigger that contradict each other. */
function togetherProblems(trigger: Trigger): ErrorDetail[] {
  if (trigger.onResolve !== 'restore') return []
  const { action } = trigger.do
  if (action === 'hold-rollout')
    return [
      problem(
        'onResolve',
        'not_restored',
        'cannot be restore: whether a rollout goes on is for people to say. Leave it out, and resume the rollout yourself.',
      ),
    ]
  if (action === 'notify')
    return [problem('onResolve', 'not_restored', 'cannot be restore: there is nothing to put back after telling. Leave it out.')]
  if (trigger.when.status === 'resolved')
    return [problem('onResolve', 'not_restored', 'cannot be restore: the trigger fires when an alert is resolved. Leave it out.')]
  return []
}

function stepProblems(percents: readonly number[]): ErrorDetail[] {
  return percents.flatMap((percent, i) => {
    const before = percents[i - 1]
    if (before === undefined || percent < before) return []
    return [
      problem(
        `do.percents[${i}]`,
        'not_falling',
        `is ${percent} after ${before}: each step must be lower than the one before. Put them in falling order.`,
      ),
    ]
  })
}

function variationProblems(flag: Flag, variation: string, path: string): ErrorDetail[] {
  if (flag.variations.some(each => each.key === variation)) return []
  const names = flag.variations.map(each => `"${each.key}"`).join(', ')
  return [problem(path, 'unknown_variation', `is no variation of "${flag.key}": "${variation}". Name one of ${names}.`)]
}

function unknownFlag(state: State, key: string, path: string): ErrorDetail {
  return problem(
    path,
    'unknown_flag',
    `names no flag of this environment: there is no "${key}".${meant(key, state.documents.flag.keys(), 'Make it first')}`,
  )
}

function meant(key: string, known: Iterable<string>, otherwise: string): string {
  const best = nearest(key, known)
  return best === undefined ? ` ${otherwise}.` : ` Did you mean "${best}"?`
}

function problem(path: string, code: string, message: string): ErrorDetail {
  return { path, code, message }
}
