/** What differs between two documents, place by place. Items of a list that have an `id` or `key` are told apart by it, so that an inserted rule is one difference and not many. */
import type { Serve } from '../schemas/flag.ts'
import type { Json } from '../schemas/json.ts'

/** `before` or `after` is undefined where there was or is nothing. */
export interface Difference {
  readonly path: string
  readonly before: Json | undefined
  readonly after: Json | undefined
}

/** Kept by the server and shown elsewhere: a difference in them says nothing. */
const LEFT_OUT: ReadonlySet<string> = new Set(['version'])

export function differences(before: unknown, after: unknown): Difference[] {
  const found: Difference[] = []
  compare(before as Json | undefined, after as Json | undefined, '', found)
  return found
}

function compare(before: Json | undefined, after: Json | undefined, path: string, found: Difference[]): void {
  if (before === after) return
  if (isServe(before) && isServe(after)) {
    if (JSON.stringify(before) !== JSON.stringify(after)) found.push({ path, before, after })
    return
  }
  if (isList(before) && isList(after)) return compareLists(before, after, path, found)
  if (isMap(before) && isMap(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (path === '' && LEFT_OUT.has(key)) continue
      compare(own(before, key), own(after, key), path === '' ? key : `${path}.${key}`, found)
    }
    return
  }
  found.push({ path, before, after })
}

function compareLists(before: readonly Json[], after: readonly Json[], path: string, found: Difference[]): void {
  const names = [before.map(nameOf), after.map(nameOf)]
  if (names.some(list => list.includes(null) || new Set(list).size !== list.length)) {
    if (JSON.stringify(before) !== JSON.stringify(after)) found.push({ path, before, after })
    return
  }
  const [earlier = [], later = []] = names
  for (const name of new Set([...earlier, ...later])) {
    compare(before[earlier.indexOf(name)], after[later.indexOf(name)], `${path}[${name}]`, found)
  }
  const kept = (list: readonly (string | null)[], other: readonly (string | null)[]) => list.filter(name => other.includes(name)).join('\n')
  if (kept(earlier, later) !== kept(later, earlier)) found.push({ path: `${path} (order)`, before: earlier, after: later })
}

/** An outcome is told as a whole: half of a rollout says nothing. */
export function isServe(value: unknown): value is Serve {
  if (typeof value !== 'object' || value === null) return false
  const [key, ...more] = Object.keys(value)
  return more.length === 0 && (key === 'variation' || key === 'rollout')
}

function nameOf(item: Json): string | null {
  if (!isMap(item)) return null
  for (const name of ['id', 'key', 'flag']) {
    const value = own(item, name)
    if (typeof value === 'string') return value
  }
  // A target, or the list of a segment.
  if (Array.isArray(own(item, 'values')))
    return [own(item, 'attribute') ?? 'targetingKey', own(item, 'variation')].filter(part => typeof part === 'string').join(' → ')
  return null
}

function own(map: Readonly<Record<string, Json>>, key: string): Json | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

function isMap(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
