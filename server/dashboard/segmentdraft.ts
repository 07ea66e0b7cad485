/** A segment while it is edited, and two people's edits of it put together: values of lists one by one, rules by their ids. */
import type { Scalar } from '../../schemas/json.ts'
import type { Segment } from '../../schemas/segment.ts'

/** What the lines of a list are: texts as they stand, numbers, or JSON scalars where they are mixed. */
export type Form = 'text' | 'number' | 'json'

export interface ListDraft {
  readonly attribute: string
  readonly form: Form
  /** A line for each value. */
  readonly lines: string
}

export interface SegmentDraft {
  readonly name: string
  readonly description: string
  readonly included: readonly ListDraft[]
  readonly excluded: readonly ListDraft[]
  readonly rules: Segment['rules']
}

export interface Parsed {
  readonly values: Scalar[]
  readonly duplicates: number
  /** The first line that is no value. */
  readonly wrong: string | null
}

export function draftOf({ name = '', description = '', included, excluded, rules }: Segment): SegmentDraft {
  return { name, description, included: included.map(listDraft), excluded: excluded.map(listDraft), rules }
}

export const NEW_LIST: ListDraft = { attribute: '', form: 'text', lines: '' }

function listDraft({ attribute = '', values }: Segment['included'][number]): ListDraft {
  const isPlain = (value: Scalar): boolean => typeof value === 'string' && value.trim() === value && value !== '' && !/[\r\n]/.test(value)
  const form = values.every(isPlain) ? 'text' : values.every(value => typeof value === 'number') ? 'number' : 'json'
  return { attribute, form, lines: linesOfValues(values, form) }
}

export function linesOfValues(values: readonly Scalar[], form: Form): string {
  return values.map(value => (form === 'json' ? JSON.stringify(value) : String(value))).join('\n')
}

export function parseList({ form, lines }: ListDraft): Parsed {
  const values = new Set<Scalar>()
  let count = 0
  let wrong: string | null = null
  lines.split('\n').forEach((line, i) => {
    const text = line.trim()
    if (text === '') return
    count++
    const value = parseLine(text, form)
    if (value === undefined)
      wrong ??= `Line ${i + 1}: “${text.slice(0, 60)}” is no ${form === 'number' ? 'number' : 'JSON text, number, true or false'}.`
    else values.add(value)
  })
  return { values: [...values], duplicates: wrong === null ? count - values.size : 0, wrong }
}

function parseLine(text: string, form: Form): Scalar | undefined {
  if (form === 'text') return text
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'number') return value
    return form === 'json' && (typeof value === 'string' || typeof value === 'boolean') ? value : undefined
  } catch {
    return undefined
  }
}

export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

type Lists = Segment['included']
export type Content = Pick<Segment, 'included' | 'excluded' | 'rules'> & {
  readonly name: string | null
  readonly description: string | null
}

/** As the API takes it: an empty name is none. */
export function contentOf(draft: SegmentDraft): Content {
  const lists = (drafts: readonly ListDraft[]): Lists =>
    drafts.map(list => ({ ...(list.attribute.trim() === '' ? {} : { attribute: list.attribute.trim() }), values: parseList(list).values }))
  return {
    name: draft.name.trim() === '' ? null : draft.name.trim(),
    description: draft.description.trim() === '' ? null : draft.description,
    included: lists(draft.included),
    excluded: lists(draft.excluded),
    rules: draft.rules,
  }
}

export function contentOfSegment({ name, description, included, excluded, rules }: Segment): Content {
  return { name: name ?? null, description: description ?? null, included, excluded, rules }
}

/** The fields of `after` that are others in `before`: what an edit sends. */
export function changedContent(before: Content, after: Content): Partial<Content> {
  return Object.fromEntries(Object.entries(after).filter(([field, value]) => !isSame(value, before[field as keyof Content])))
}

/** What both changed, each its own way: somebody must choose. */
export function conflictsOf(base: Content, yours: Content, theirs: Content): string[] {
  const both = (was: unknown, own: unknown, other: unknown): boolean => !isSame(was, own) && !isSame(was, other) && !isSame(own, other)
  const places: string[] = []
  for (const field of ['name', 'description'] as const) if (both(base[field], yours[field], theirs[field])) places.push(field)
  for (const id of ruleIds(base, yours, theirs))
    if (both(ruleOf(base, id), ruleOf(yours, id), ruleOf(theirs, id))) places.push(`rule ${id}`)
  return places
}

/** @param choices whose stands where both changed the same; yours where none is made */
export function merged(base: Content, yours: Content, theirs: Content, choices: Readonly<Record<string, 'yours' | 'theirs'>>): Content {
  const choose = <T>(where: string, was: T, own: T, other: T): T =>
    isSame(was, own) ? other : isSame(was, other) || choices[where] !== 'theirs' ? own : other
  const rules = [...ruleIds(theirs, yours, base)].flatMap(
    id => choose(`rule ${id}`, ruleOf(base, id), ruleOf(yours, id), ruleOf(theirs, id)) ?? [],
  )
  return {
    name: choose('name', base.name, yours.name, theirs.name),
    description: choose('description', base.description, yours.description, theirs.description),
    included: mergedLists(base.included, yours.included, theirs.included),
    excluded: mergedLists(base.excluded, yours.excluded, theirs.excluded),
    rules,
  }
}

/** Theirs, with what you added, without what you took away. */
function mergedLists(base: Lists, yours: Lists, theirs: Lists): Lists {
  const names = new Set([...theirs, ...yours].map(({ attribute }) => attribute))
  return [...names].flatMap(attribute => {
    const [was, own] = [valuesOf(base, attribute), valuesOf(yours, attribute)]
    const values = new Set([...valuesOf(theirs, attribute)].filter(value => own.has(value) || !was.has(value)))
    for (const value of own) if (!was.has(value)) values.add(value)
    // A list that somebody emptied on purpose stays, one that somebody removed goes.
    const isKept = values.size > 0 || [yours, theirs].every(lists => lists.some(list => list.attribute === attribute))
    return isKept ? [{ ...(attribute === undefined ? {} : { attribute }), values: [...values] }] : []
  })
}

function valuesOf(lists: Lists, attribute: string | undefined): Set<Scalar> {
  return new Set(lists.filter(list => list.attribute === attribute).flatMap(({ values }) => values))
}

function ruleIds(...contents: readonly Pick<Content, 'rules'>[]): Set<string> {
  return new Set(contents.flatMap(({ rules }) => rules.map(({ id }) => id)))
}

function ruleOf({ rules }: Pick<Content, 'rules'>, id: string): Segment['rules'][number] | null {
  return rules.find(rule => rule.id === id) ?? null
}
