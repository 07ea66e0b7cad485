/** The words for what the log, clauses and outcomes hold, for all who tell people about them: the command line and the dashboard. Pure, without zod. */
import type { Action } from './change.ts'
import type { Clause } from './clause.ts'
import type { Rule, Serve } from './flag.ts'
import type { Scalar } from './json.ts'
import { WEIGHT_TOTAL } from './limits.ts'
import type { Operator } from './operator.ts'

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
