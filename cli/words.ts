/** Flags, clauses and kills in words: what a person reads at 3 a.m. Pure. */
import type { Clause } from '../schemas/clause.ts'
import type { Flag, FlagKind, Rule, Serve } from '../schemas/flag.ts'
import type { Json, Scalar } from '../schemas/json.ts'
import { WEIGHT_TOTAL } from '../schemas/limits.ts'
import { OPERATOR_WORDS } from '../schemas/words.ts'

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
  // A newer server may know operators that this CLI does not.
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

/** Whether and how the flag answers: `on`, `off`, or `KILLED` (for everyone) and `on, killed for some`. */
export function stateOf(flag: Pick<Flag, 'enabled' | 'kills'>): 'on' | 'off' | 'killed' | 'killed for some' {
  if (flag.kills.some(kill => kill.clauses.length === 0)) return 'killed'
  if (flag.kills.length > 0) return 'killed for some'
  return flag.enabled ? 'on' : 'off'
}

/** A variation with its value where that says more: `off (false)`. */
export function variationText(flag: Pick<Flag, 'variations'> | null, key: string): string {
  const variation = flag?.variations.find(each => each.key === key)
  return variation === undefined ? key : `${key} (${valueText(variation.value)})`
}

const VALUE_LENGTH_SHOWN = 80

/** A value as one line of JSON, cut when it is long. */
export function valueText(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length <= VALUE_LENGTH_SHOWN ? text : `${text.slice(0, VALUE_LENGTH_SHOWN - 1)}…`
}

/** `1 flag`, `3 flags`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** A command to copy: every word quoted for a shell where it needs it. */
export function commandText(words: readonly string[]): string {
  return words.map(word => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}

/** The kinds of flags, as `schemas/flag.ts` lists them; written again because that file brings zod, which a command line need not wait for. */
export const FLAG_KINDS: readonly FlagKind[] = ['release', 'kill-switch', 'config', 'rate-limit', 'safety-valve', 'migration']
