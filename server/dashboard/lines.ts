/** A flag told line by line, so that two states of it can stand side by side: every difference shows in some line. */
import type { Flag, Serve } from '../../schemas/flag.ts'
import type { Clause } from '../../schemas/clause.ts'
import { clauseText, percentText } from '../../schemas/words.ts'
import { attributeWords, operatorText } from './operators.ts'

/** As many as `clauseText` names. Longer lists have a line for each value, so that one more is one line more. */
const VALUES_IN_LINE = 8

/** What is not part of what people edit. */
const KEPT_BY_SERVER: readonly string[] = ['key', 'version']

export type Told = Partial<Flag>

export function linesOf(document: Told | null): string[] {
  if (document === null) return []
  const { enabled, offVariation, prerequisites, targets, rules, fallthrough, kills, variations, ...rest } = document
  const lines: string[] = []
  for (const [field, value] of Object.entries(rest)) {
    if (!KEPT_BY_SERVER.includes(field) && value !== undefined) lines.push(`${field}: ${plain(value)}`)
  }
  for (const { key, value, name, description } of variations ?? []) {
    lines.push(`variation ${key} = ${JSON.stringify(value)}${name === undefined ? '' : ` (${name})`}`)
    if (description !== undefined) lines.push(`    ${description}`)
  }
  for (const kill of kills ?? []) {
    lines.push(`kill ${kill.id}: ${kill.variation} for ${kill.clauses.length === 0 ? 'everyone' : 'those where'}`)
    lines.push(...clauseLines(kill.clauses), `    because: ${kill.reason}`)
    if (kill.until !== null) lines.push(`    until ${kill.until}`)
  }
  if (enabled !== undefined) lines.push(enabled ? 'on' : 'off')
  if (offVariation !== undefined) lines.push(`when off: ${offVariation}`)
  for (const { flag, variations: wanted } of prerequisites ?? []) lines.push(`needs ${flag} to be ${wanted.join(' or ')}`)
  for (const { attribute, values, variation } of targets ?? []) {
    lines.push(...clauseLines([{ attribute: attributeWords(attribute), op: 'in', values }], 'target: '), `    → ${variation}`)
  }
  for (const { id, name, description, clauses, serve } of rules ?? []) {
    lines.push(`rule ${id}${name === undefined ? '' : `: ${name}`}`)
    if (description !== undefined) lines.push(`    ${description}`)
    lines.push(...clauseLines(clauses), ...serveLines(serve, '    → '))
  }
  if (fallthrough !== undefined) lines.push(...serveLines(fallthrough, 'otherwise → '))
  return lines
}

/** Any other document. */
export function jsonLines(document: unknown): string[] {
  return document === null || document === undefined ? [] : JSON.stringify(document, null, 2).split('\n')
}

function clauseLines(clauses: readonly Clause[], before?: string): string[] {
  if (clauses.length === 0) return ['    for everyone']
  return clauses.flatMap((clause, i) => {
    const lead = before ?? (i === 0 ? '    if ' : '    and ')
    if (clause.values.length <= VALUES_IN_LINE) return [`${lead}${clauseText(clause)}`]
    const { attribute, op, values, negate, ignoreCase } = clause
    const head = `${op === 'segment' ? '' : `${attributeWords(attribute)} `}${operatorText(op, negate === true)}`
    return [
      `${lead}${head} one of${ignoreCase === true ? ' (ignoring case)' : ''}:`,
      ...values.map(value => `        ${JSON.stringify(value)}`),
    ]
  })
}

function serveLines(serve: Serve, lead: string): string[] {
  if ('variation' in serve) return [`${lead}${serve.variation}`]
  const { by, seed, weights } = serve.rollout
  return [
    `${lead}split by ${attributeWords(by)}${seed === undefined ? '' : `, seed ${seed}`}`,
    ...weights.map(({ variation, weight }) => `        ${percentText(weight)} ${variation}`),
  ]
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
