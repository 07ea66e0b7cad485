/** Clauses and outcomes in words, as the command line says them (`cli/words.ts`): the words themselves stand in `schemas/words.ts`. Pure. */
import type { Clause } from '../../schemas/clause.ts'
import type { Serve } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import { OPERATOR_WORDS } from '../../schemas/words.ts'

/** Values and keys named before they are only counted. */
const SHOWN = 8

/** `everyone`, or `contexts where /device/os is "android" and …`. */
export function affectedText(clauses: readonly Clause[]): string {
  return clauses.length === 0 ? 'everyone' : `contexts where ${clauses.map(clauseText).join(' and ')}`
}

function clauseText({ attribute = '', op, values, negate = false, ignoreCase = false }: Clause): string {
  if (op === 'segment') return `${negate ? 'not in' : 'in'} segment ${listText(values.map(String), 'or')}`
  if (op === 'exists') return `${attribute} is ${values[0] === false ? 'missing' : 'present'}`
  if (op === 'between') return `${attribute} is ${negate ? 'not ' : ''}between ${values.map(String).join(' and ')}`
  const quoted = values.map(value => JSON.stringify(value))
  return `${attribute} ${OPERATOR_WORDS[op][negate ? 1 : 0]} ${listText(quoted, 'or')}${ignoreCase ? ' (ignoring case)' : ''}`
}

/** `a, b and c`, `a, b, … and 12 more`. */
export function listText(items: readonly string[], word: 'and' | 'or' = 'and'): string {
  if (items.length > SHOWN) return `${items.slice(0, SHOWN).join(', ')} ${word} ${items.length - SHOWN} more`
  const last = items[items.length - 1] ?? 'nothing'
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} ${word} ${last}`
}

/** `on`, or `on 25 %, off 75 %`. */
export function serveText(serve: Serve): string {
  if ('variation' in serve) return serve.variation
  return serve.rollout.weights.map(({ variation, weight }) => `${variation} ${percentText(weight / WEIGHT_TOTAL)}`).join(', ')
}

/** Of a share: 0.25 is `25 %`. */
export function percentText(share: number): string {
  return `${Number((share * 100).toFixed(3))} %`
}

/** `1 flag`, `3 flags`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** `2026-11-21 03:12 UTC`. */
export function momentText(moment: string): string {
  return `${new Date(moment).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** At most so many characters, never half of one. */
export function cutText(text: string, length: number): string {
  const characters = text.length <= length ? null : [...text]
  return characters === null || characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}

/** A command to copy: every word quoted for a shell where it needs it. */
export function commandText(words: readonly string[]): string {
  return words.map(word => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}
