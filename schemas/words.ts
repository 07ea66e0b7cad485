/** The words for what the log, clauses and outcomes hold, for all who tell people about them: the command line and the dashboard. Pure, without zod. */
import type { Action } from './change.ts'
import type { Clause } from './clause.ts'
import type { Rule, Serve } from './flag.ts'
import type { Scalar } from './json.ts'
import { WEIGHT_TOTAL } from './limits.ts'
import type { Operator } from './operator.ts'
import type { Outlook, Plan, PlanStep } from './plan.ts'
import type { TriggerDo, TriggerWhen } from './trigger.ts'
import type { RateValue } from './values.ts'
import type { ValveSetting } from './valveusage.ts'

/** What somebody did, before the keys of what they did it to. */
export const ACTION_WORDS: Readonly<Record<Action, string>> = {
  'flag.create': 'created flag',
  'flag.edit': 'edited',
  'flag.archive': 'archived',
  'flag.clone': 'cloned into',
  'flag.copy': 'copied settings to',
  'flag.kill': 'killed',
  'flag.lift': 'lifted the kill on',
  'flag.expire': 'ended the kill on',
  'flag.limit': 'changed who is limited by',
  'segment.create': 'created segment',
  'segment.edit': 'edited segment',
  'segment.archive': 'archived segment',
  'ruleset.import': 'imported',
  'change.revert': 'reverted',
  'project.create': 'created project',
  'project.edit': 'edited project',
  'project.delete': 'deleted project',
  'environment.create': 'created environment',
  'environment.edit': 'edited environment',
  'environment.delete': 'deleted environment',
  'key.create': 'created key',
  'key.revoke': 'revoked key',
  'valve.throttle': 'set the valve',
  'valve.move': 'moved the valve',
  'hook.create': 'created hook',
  'hook.edit': 'edited hook',
  'hook.delete': 'deleted hook',
  'trigger.create': 'created trigger',
  'trigger.edit': 'edited trigger',
  'trigger.delete': 'deleted trigger',
  'trigger.fire': 'fired on',
  'trigger.restore': 'restored',
  'notifier.create': 'created notifier',
  'notifier.edit': 'edited notifier',
  'notifier.delete': 'deleted notifier',
  'notifier.pause': 'paused notifier',
  'notifier.resume': 'resumed notifier',
  'chat.create': 'created chat',
  'chat.edit': 'edited chat',
  'chat.delete': 'deleted chat',
  'rollout.plan': 'planned the rollout of',
  'rollout.start': 'started the rollout of',
  'rollout.advance': 'advanced the rollout of',
  'rollout.approve': 'approved the rollout of',
  'rollout.hold': 'held the rollout of',
  'rollout.resume': 'resumed the rollout of',
  'rollout.revert': 'turned back the rollout of',
  'rollout.settle': 'finished turning back the rollout of',
  'rollout.complete': 'completed the rollout of',
  'rollout.cancel': 'cancelled the rollout of',
  'rollout.clear': 'cleared the rollout of',
  'schedule.create': 'scheduled a change of',
  'schedule.delete': 'unscheduled',
  'schedule.run': 'made the scheduled change of',
}

/** What a clause says between its attribute and its values. */
export const OPERATOR_WORDS: Readonly<
  Record<Exclude<Operator, 'exists' | 'segment' | 'between'>, readonly [plain: string, negated: string]>
> = {
  in: ['is', 'is not'],
  startsWith: ['starts with', 'does not start with'],
  endsWith: ['ends with', 'does not end with'],
  contains: ['contains', 'does not contain'],
  matches: ['matches', 'does not match'],
  lessThan: ['is less than', 'is not less than'],
  lessThanOrEqual: ['is at most', 'is not at most'],
  greaterThan: ['is greater than', 'is not greater than'],
  greaterThanOrEqual: ['is at least', 'is not at least'],
  before: ['is before', 'is not before'],
  after: ['is after', 'is not after'],
  semverEqual: ['is version', 'is not version'],
  semverLessThan: ['is a version below', 'is not a version below'],
  semverLessThanOrEqual: ['is a version up to', 'is not a version up to'],
  semverGreaterThan: ['is a version above', 'is not a version above'],
  semverGreaterThanOrEqual: ['is a version from', 'is not a version from'],
  inCidr: ['is in the network', 'is not in the network'],
}

/** `everyone`, or `contexts where /device/os is "android" and …`. */
export function affectedText(clauses: readonly Clause[]): string {
  return clauses.length === 0 ? 'everyone' : `contexts where ${clauses.map(clauseText).join(' and ')}`
}

/** Values named in words before they are only counted. */
const VALUES_SHOWN = 8

/** Texts stand in quotes and numbers without, because `17` and `"17"` are never the same to a clause. */
export function clauseText(clause: Clause): string {
  const attribute = clause.attribute ?? ''
  const negated = clause.negate === true
  const values = valuesText(clause.values)
  const tail = clause.ignoreCase === true ? ' (ignoring case)' : ''
  if (clause.op === 'segment') return `${negated ? 'not in' : 'in'} segment ${valuesText(clause.values, String)}`
  if (clause.op === 'exists') return `${attribute} is ${clause.values[0] === false ? 'missing' : 'present'}`
  if (clause.op === 'between') return `${attribute} is ${negated ? 'not ' : ''}between ${clause.values.map(String).join(' and ')}`
  const words = OPERATOR_WORDS[clause.op] as readonly [string, string] | undefined
  // A newer server may know operators that this program does not.
  return words === undefined ? `${attribute} ${clause.op} ${values}` : `${attribute} ${words[negated ? 1 : 0]} ${values}${tail}`
}

function valuesText(values: readonly Scalar[], text: (value: Scalar) => string = JSON.stringify): string {
  const shown = values.slice(0, VALUES_SHOWN).map(text)
  if (values.length > VALUES_SHOWN) return `${shown.join(', ')} or one of ${values.length - VALUES_SHOWN} more`
  const last = shown.pop()
  return shown.length === 0 ? (last ?? 'nothing') : `${shown.join(', ')} or ${last}`
}

/** `on`, or `on 25 %, off 75 % by /account/id`. */
export function serveText(serve: Serve): string {
  if ('variation' in serve) return serve.variation
  const shares = serve.rollout.weights.map(({ variation, weight }) => `${variation} ${percentText(weight)}`)
  return `${shares.join(', ')} by ${serve.rollout.by ?? 'targetingKey'}`
}

/** `/account/plan is "beta" → on`. */
export function ruleText(rule: Pick<Rule, 'clauses' | 'serve'>): string {
  return `${rule.clauses.length === 0 ? 'everyone' : rule.clauses.map(clauseText).join(' and ')} → ${serveText(rule.serve)}`
}

/** A weight as people say it: 25000 is `25 %`. */
export function percentText(weight: number): string {
  return `${Number(((weight * 100) / WEIGHT_TOTAL).toFixed(3))} %`
}

/** `0.8 s`, `12 ms`, `2 h 5 min`: two units at most. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))} s`
  const minutes = Math.round(ms / 60_000)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.round(hours / 24)} days`
}

/** `10 requests per second, at most 20 at once`, `nothing: rate 0`, `no limit`. */
export function rateText(value: RateValue): string {
  const tail = value.mode === 'shadow' ? ' (shadow: denies nobody, and counts whom it would have)' : ''
  if ('unlimited' in value) return `no limit${tail}`
  if (value.rate === 0) return `nothing: rate 0${tail}`
  const unit = value.unit ?? 'request'
  const cost = value.cost === undefined || value.cost === 1 ? '' : `, ${value.cost} for each that does not say`
  const burst = value.burst === undefined ? '' : `, at most ${value.burst} at once`
  return `${value.rate} ${unit}${value.rate === 1 ? '' : 's'} per ${value.per}${burst}${cost}${tail}`
}

/** What is counted apart: `each /account/id for itself`. */
export function countedText(value: RateValue): string {
  const keyBy = value.keyBy ?? ['targetingKey']
  return keyBy.length === 0 ? 'all of them together' : `each ${keyBy.join(' and ')} for itself`
}

/** `critical alerts of am where service is "checkout", firing for 2 min`. */
export function whenText(when: TriggerWhen): string {
  const labels = (when.labels ?? []).map(
    ({ label, values, negate }) =>
      `${label} is ${negate === true ? 'present, but not ' : ''}${values.map(value => JSON.stringify(value)).join(' or ')}`,
  )
  const many =
    when.atLeast === undefined
      ? ''
      : `, at least ${when.atLeast}${when.withinMs === undefined ? '' : ` that began within ${durationText(when.withinMs)} of one another`}`
  return [
    when.severity === undefined ? 'alerts' : `alerts of severity ${when.severity} or worse`,
    when.hooks === undefined ? ' of any hook' : ` of ${when.hooks.join(' or ')}`,
    labels.length === 0 ? '' : ` where ${labels.join(' and ')}`,
    when.status === 'resolved' ? ', when resolved' : '',
    many,
    when.forMs === undefined ? '' : `, firing for ${durationText(when.forMs)}`,
  ].join('')
}

/** `kill checkout, for contexts where /device/os is "android"`. */
export function doText(action: TriggerDo): string {
  switch (action.action) {
    case 'kill': {
      const what = action.tag === undefined ? (action.flags ?? []).join(', ') : `every flag with the tag ${action.tag}`
      const whom = (action.clauses ?? []).length === 0 ? '' : `, for ${affectedText(action.clauses ?? [])}`
      const ends = action.expiresAfterMs === undefined ? '' : `, for ${durationText(action.expiresAfterMs)}`
      return `kill ${what}${action.variation === undefined ? '' : ` to ${action.variation}`}${whom}${ends}`
    }
    case 'set-variation':
      return `set ${action.flag} to ${action.variation}`
    case 'set-percentage':
      return `lower ${action.variation} of ${action.flag} to ${action.percents.join(', ')} %`
    case 'throttle-valve':
      return `throttle the valve ${action.flag} to ${action.percents.join(', ')} %`
    case 'hold-rollout':
      return `hold the rollout of ${action.flag}`
    case 'notify':
      return 'tell'
  }
}

/** `on 25 % for 1 h, then an approval`. */
export function stepText(step: PlanStep): string {
  const asks = [
    step.minExposures > 0 ? `${step.minExposures} exposures` : '',
    step.gate === 'time' ? '' : step.gate === 'approval' ? 'an approval' : 'evidence',
    ...step.guards.map(guard => `guard ${guard.id}`),
  ].filter(text => text !== '')
  return `${step.variation} ${step.percent} %${step.holdMs > 0 ? ` for ${durationText(step.holdMs)}` : ''}${asks.length === 0 ? '' : `, with ${asks.join(', ')}`}`
}

/** `step 2 of 4: on 5 %`, or where it is not. */
export function placeText(plan: Plan): string {
  if (plan.step === null) return `before the first of ${plan.steps.length} steps`
  const step = plan.steps[plan.step]
  return `step ${plan.step + 1} of ${plan.steps.length}: ${step?.variation} ${step?.percent} %, the rest ${step?.control}`
}

/** `in 5 min: then 25 % of on`. */
export function outlookText({ inMs, text }: Outlook): string {
  return inMs === null ? text : `in ${durationText(inMs)}: ${text}`
}

/** A share of calls: 0.333 is `33 %`, and what is hardly anything is not 0. */
export function shareText(share: number): string {
  const percent = share * 100
  return percent > 0 && percent < 1 ? '<1 %' : `${Math.round(percent)} %`
}

/** What holds it where it is: `by itself`, `a kill`, `by hand: 50 %`. */
export function settingText({ by, percent, isAuto }: ValveSetting): string {
  if (by === 'kill') return 'a kill'
  if (by === 'off') return 'the flag is off'
  // Below what a trigger holds it to, a valve goes on moving by itself; what a person sets stands still.
  if (by === 'throttle') return isAuto ? `by a trigger: at most ${percent} %` : `by hand: ${percent} %`
  if (isAuto) return `by itself${percent < 100 ? `, at most ${percent} %` : ''}`
  return `as the flag is set: ${percent} %`
}
