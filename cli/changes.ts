/** Entries of the change log as people read them: one line each, or whole. */
import type { Change } from '../schemas/change.ts'
import type { Rule, Target } from '../schemas/flag.ts'
import type { Kill } from '../schemas/kill.ts'
import type { Json } from '../schemas/json.ts'
import { ACTION_WORDS, affectedText, clauseText, ruleText, serveText } from '../schemas/words.ts'
import { differences, isServe } from './differences.ts'
import { momentText } from './moment.ts'
import type { Output } from './output.ts'
import { countText, valueText } from './words.ts'

/** Documents named in a line before they are only counted. */
const KEYS_SHOWN = 6

/** `r12  2026-11-21 03:12:05Z  dana  killed checkout for contexts where /device/os is "android"  "double charges"`. */
export function changeLine(change: Change, output: Output): string {
  const { colors } = output
  const verb = (ACTION_WORDS as Readonly<Record<string, string>>)[change.action] ?? change.action
  const action = change.action === 'flag.kill' ? colors.red(verb) : change.action === 'flag.lift' ? colors.green(verb) : verb
  const reverted = change.reverts === null ? '' : ` r${change.reverts} of`
  const why = change.comment === null || change.comment === '' ? '' : `  ${JSON.stringify(change.comment)}`
  return `${colors.bold(`r${change.revision}`)}  ${momentText(change.at)}  ${change.actor.name}  ${action}${reverted} ${touchedText(change)}${coveredText(change)}${why}`
}

/** The keys of what a change touched. */
export function touchedText(change: Pick<Change, 'edits'>): string {
  const keys = change.edits.map(edit => edit.key)
  if (keys.length === 0) return 'nothing'
  if (keys.length <= KEYS_SHOWN) return keys.join(', ')
  return `${keys.slice(0, KEYS_SHOWN).join(', ')} and ${countText(keys.length - KEYS_SHOWN, 'more document').replace('more documents', 'more')}`
}

/** Whom the kills cover that a change laid on or took away; nothing where that is everyone. */
function coveredText(change: Change): string {
  if (!KILL_ACTIONS.has(change.action)) return ''
  const covered = new Set<string>()
  for (const { before, after } of change.edits) {
    const [earlier, later] = [killsOf(before), killsOf(after)]
    const moved = [...later.filter(kill => !hasKill(earlier, kill)), ...earlier.filter(kill => !hasKill(later, kill))]
    for (const kill of moved) covered.add(affectedText(kill.clauses))
  }
  return covered.size === 0 || (covered.size === 1 && covered.has(affectedText([]))) ? '' : ` for ${[...covered].join('; ')}`
}

const KILL_ACTIONS: ReadonlySet<string> = new Set(['flag.kill', 'flag.lift', 'flag.expire'])

function killsOf(document: unknown): readonly Kill[] {
  if (typeof document !== 'object' || document === null || !('kills' in document) || !Array.isArray(document.kills)) return []
  return document.kills.filter(isKill)
}

function hasKill(kills: readonly Kill[], kill: Kill): boolean {
  return kills.some(each => each.id === kill.id)
}

/** Differences shown per document; an import of a thousand flags is not read line by line. */
const DIFFERENCES_SHOWN = 40

/** A change whole: its line, then each document place by place. */
export function changeLines(change: Change, output: Output): string[] {
  return [changeLine(change, output), ...change.edits.flatMap(edit => editLines(edit, change.edits.length > 1, output))]
}

/** @param titled whether to name the document where only places of it differ */
export function editLines(edit: Change['edits'][number], titled: boolean, output: Output): string[] {
  if (edit.before === null || edit.after === null) return [`    ${editTitle(edit)}`]
  const lines = differenceLines(differences(edit.before, edit.after), output)
  return titled ? [`    ${editTitle(edit)}`, ...lines.map(line => `  ${line}`)] : lines
}

function editTitle(edit: Change['edits'][number]): string {
  if (edit.before === null) return `${edit.type} ${edit.key} is new`
  return edit.after === null ? `${edit.type} ${edit.key} is removed` : `${edit.type} ${edit.key}`
}

export function differenceLines(list: readonly { path: string; before?: unknown; after?: unknown }[], output: Output): string[] {
  const { colors } = output
  const lines = list.slice(0, DIFFERENCES_SHOWN).map(({ path, before, after }) => {
    const earlier = before === undefined || before === null ? null : colors.red(placeText(before))
    const later = after === undefined || after === null ? null : colors.green(placeText(after))
    if (path === '') return `    ${earlier === null ? 'is new' : later === null ? 'is removed' : 'is another'}`
    if (earlier === null) return `    + ${path}: ${later ?? 'null'}`
    return later === null ? `    - ${path}: ${earlier}` : `    ~ ${path}: ${earlier} → ${later}`
  })
  if (list.length > DIFFERENCES_SHOWN) lines.push(`    … and ${list.length - DIFFERENCES_SHOWN} more places`)
  return lines
}

/** What stands at a place: outcomes and rules in words, all else as JSON. */
function placeText(value: unknown): string {
  if (isServe(value)) return serveText(value)
  if (isRule(value)) return ruleText(value)
  if (isKill(value)) return killText(value)
  if (isTarget(value)) return clauseText({ op: 'in', values: value.values }).trim()
  return valueText(value as Json)
}

/** `off to everyone until 2026-11-21 05:00:00Z, "double charges"`. */
function killText(kill: Kill): string {
  const until = kill.until === null ? '' : ` until ${momentText(kill.until)}`
  return `${kill.variation} to ${affectedText(kill.clauses)}${until}, ${JSON.stringify(kill.reason)}`
}

function isKill(value: unknown): value is Kill {
  return (
    typeof value === 'object' &&
    value !== null &&
    'reason' in value &&
    'until' in value &&
    'clauses' in value &&
    Array.isArray(value.clauses)
  )
}

function isRule(value: unknown): value is Rule {
  return (
    typeof value === 'object' &&
    value !== null &&
    'clauses' in value &&
    Array.isArray(value.clauses) &&
    'serve' in value &&
    isServe(value.serve)
  )
}

function isTarget(value: unknown): value is Target {
  return (
    typeof value === 'object' &&
    value !== null &&
    'values' in value &&
    Array.isArray(value.values) &&
    'variation' in value &&
    !('op' in value)
  )
}
