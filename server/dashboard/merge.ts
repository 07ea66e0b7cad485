/** Edits of two people on one flag, piece by piece: what only one of them changed stands, what both changed is chosen. */
import type { Flag, Prerequisite, Rule } from '../../schemas/flag.ts'
import { linesOf } from './lines.ts'

export const SETTINGS = ['enabled', 'offVariation', 'prerequisites', 'targets', 'rules', 'fallthrough'] as const
export type Settings = Pick<Flag, (typeof SETTINGS)[number]>

export function settingsOf({ enabled, offVariation, prerequisites, targets, rules, fallthrough }: Settings): Settings {
  return { enabled, offVariation, prerequisites, targets, rules, fallthrough }
}

/** The fields of `after` that are others in `before`: what an edit sends. */
export function changedFields(before: Settings, after: Settings): Partial<Settings> {
  return Object.fromEntries(SETTINGS.filter(field => !isSame(before[field], after[field])).map(field => [field, after[field]]))
}

export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false
  const own = Object.entries(a).filter(([, value]) => value !== undefined)
  const other = Object.entries(b).filter(([, value]) => value !== undefined)
  return (
    own.length === other.length && own.every(([key, value]) => Object.hasOwn(b, key) && isSame(value, (b as Record<string, unknown>)[key]))
  )
}

export interface Piece {
  readonly place: string
  readonly title: string
  readonly by: 'you' | 'them' | 'both'
  readonly yours: readonly string[]
  readonly theirs: readonly string[]
}
export type Choices = Readonly<Record<string, 'yours' | 'theirs'>>

/** The pieces that somebody changed. */
export function piecesOf(base: Settings, yours: Settings, theirs: Settings): Piece[] {
  const pieces: Piece[] = []
  const look = (place: string, title: string, was: unknown, own: unknown, other: unknown, told: (value: never) => string[]): void => {
    const byYou = !isSame(was, own)
    const byThem = !isSame(was, other)
    if ((!byYou && !byThem) || (byYou && byThem && isSame(own, other))) return
    const tell = (value: unknown): string[] => (value === null ? ['(not there)'] : told(value as never))
    pieces.push({ place, title, by: byYou ? (byThem ? 'both' : 'you') : 'them', yours: tell(own), theirs: tell(other) })
  }
  const field = (name: 'enabled' | 'offVariation' | 'targets' | 'fallthrough', title: string): void =>
    look(name, title, base[name], yours[name], theirs[name], (value: never) => nonEmpty(linesOf({ [name]: value })))
  field('enabled', 'On or off')
  field('offVariation', 'Off variation')
  for (const flag of union(base.prerequisites, yours.prerequisites, theirs.prerequisites, prerequisiteName)) {
    const of = (settings: Settings): Prerequisite | null => settings.prerequisites.find(each => each.flag === flag) ?? null
    look(`prerequisites[${flag}]`, `Prerequisite ${flag}`, of(base), of(yours), of(theirs), (value: never) =>
      linesOf({ prerequisites: [value] }),
    )
  }
  field('targets', 'Targets')
  for (const id of union(base.rules, yours.rules, theirs.rules, ruleName)) {
    const of = (settings: Settings): Rule | null => settings.rules.find(rule => rule.id === id) ?? null
    look(`rules[${id}]`, `Rule ${of(yours)?.name ?? of(theirs)?.name ?? id}`, of(base), of(yours), of(theirs), (value: never) =>
      linesOf({ rules: [value] }),
    )
  }
  if (isMoved(base.rules, yours.rules) && isMoved(base.rules, theirs.rules) && isMoved(yours.rules, theirs.rules)) {
    pieces.push({
      place: 'rules[order]',
      title: 'Order of the rules',
      by: 'both',
      yours: yours.rules.map(ruleName),
      theirs: theirs.rules.map(ruleName),
    })
  }
  field('fallthrough', 'Otherwise')
  return pieces
}

/** @param choices for pieces that both changed; yours where none is made */
export function merged(base: Settings, yours: Settings, theirs: Settings, choices: Choices): Settings {
  const choose = <T>(place: string, was: T, own: T, other: T): T => {
    if (isSame(was, own)) return other
    if (isSame(was, other)) return own
    return choices[place] === 'theirs' ? other : own
  }
  const list = <T>(
    field: 'rules' | 'prerequisites',
    lists: readonly [readonly T[], readonly T[], readonly T[]],
    nameOf: (item: T) => string,
  ): T[] => {
    const [was, own, other] = lists
    const kept = new Map<string, T>()
    for (const name of union(was, own, other, nameOf)) {
      const of = (items: readonly T[]): T | null => items.find(item => nameOf(item) === name) ?? null
      const item = choose(`${field}[${name}]`, of(was), of(own), of(other))
      if (item !== null) kept.set(name, item)
    }
    const isOwnOrder = isMoved(was, own, nameOf) && !(isMoved(was, other, nameOf) && choices[`${field}[order]`] === 'theirs')
    const [first, second] = isOwnOrder ? [own, other] : [other, own]
    return woven(first.map(nameOf), second.map(nameOf), kept)
  }
  return {
    enabled: choose('enabled', base.enabled, yours.enabled, theirs.enabled),
    offVariation: choose('offVariation', base.offVariation, yours.offVariation, theirs.offVariation),
    prerequisites: list('prerequisites', [base.prerequisites, yours.prerequisites, theirs.prerequisites], prerequisiteName),
    targets: choose('targets', base.targets, yours.targets, theirs.targets),
    rules: list('rules', [base.rules, yours.rules, theirs.rules], ruleName),
    fallthrough: choose('fallthrough', base.fallthrough, yours.fallthrough, theirs.fallthrough),
  }
}

const ruleName = ({ id }: { readonly id: string }): string => id
const prerequisiteName = ({ flag }: { readonly flag: string }): string => flag

function union<T>(a: readonly T[], b: readonly T[], c: readonly T[], nameOf: (item: T) => string): Set<string> {
  return new Set([...a, ...b, ...c].map(nameOf))
}

/** Whether what is in both stands in another order. */
function isMoved<T>(a: readonly T[], b: readonly T[], nameOf: (item: T) => string = item => (item as { id: string }).id): boolean {
  const names = [a.map(nameOf), b.map(nameOf)] as const
  return !isSame(
    names[0].filter(name => names[1].includes(name)),
    names[1].filter(name => names[0].includes(name)),
  )
}

/** What is kept, in the first order; what only the second has comes behind what it followed there. */
function woven<T>(first: readonly string[], second: readonly string[], kept: ReadonlyMap<string, T>): T[] {
  const order = first.filter(name => kept.has(name))
  second.forEach((name, i) => {
    if (!kept.has(name) || order.includes(name)) return
    const before = second.slice(0, i).findLast(other => order.includes(other))
    order.splice(before === undefined ? 0 : order.indexOf(before) + 1, 0, name)
  })
  return order.map(name => kept.get(name)!)
}

function nonEmpty(lines: string[]): string[] {
  return lines.length === 0 ? ['(none)'] : lines
}
