/** What differs between two states of a document, place by place, as people read it. */
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../../schemas/json.ts'

export interface Difference {
  /** As in `rules[ios].serve.variation`: things in a list are named by their id or key, and by their position without one. Empty for the whole. */
  readonly path: string
  /** Null where nothing stood. */
  readonly before: Json
  readonly after: Json
}

/** What names a thing in a list, the first that all of them have and that is different in each. */
const NAMES = ['id', 'key', 'flag', 'variation'] as const

/**
 * The places that differ, in the order they stand in `before`, then those that are new.
 * Things in a list are matched by name, so that a rule put in front does not make every rule behind it differ; when
 * they only stand in another order, that is one difference at `<path>[order]`, with their names.
 */
export function differences(before: Json, after: Json): readonly Difference[] {
  const found: Difference[] = []
  compare('', before, after, found)
  return found
}

function compare(path: string, before: Json | undefined, after: Json | undefined, found: Difference[]): void {
  if (isDeepStrictEqual(before, after)) return
  if (isObject(before) && isObject(after)) {
    for (const key of union(Object.keys(before), Object.keys(after)))
      compare(path === '' ? key : `${path}.${key}`, own(before, key), own(after, key), found)
  } else if (isList(before) && isList(after) && [...before, ...after].every(isObject)) {
    compareLists(path, before as readonly JsonObject[], after as readonly JsonObject[], found)
  } else {
    found.push({ path, before: before ?? null, after: after ?? null })
  }
}

function compareLists(path: string, before: readonly JsonObject[], after: readonly JsonObject[], found: Difference[]): void {
  const name = NAMES.find(candidate => isName(candidate, before) && isName(candidate, after))
  if (name === undefined) {
    for (let i = 0; i < Math.max(before.length, after.length); i++) compare(`${path}[${i}]`, before[i], after[i], found)
    return
  }
  const here = byName(name, before)
  const there = byName(name, after)
  for (const key of union([...here.keys()], [...there.keys()])) compare(`${path}[${key}]`, here.get(key), there.get(key), found)
  const order = [...here.keys()].filter(key => there.has(key))
  const orderAfter = [...there.keys()].filter(key => here.has(key))
  if (!isDeepStrictEqual(order, orderAfter)) found.push({ path: `${path}[order]`, before: order, after: orderAfter })
}

type JsonObject = Readonly<Record<string, Json>>

function byName(name: string, items: readonly JsonObject[]): Map<string, JsonObject> {
  const named = new Map<string, JsonObject>()
  for (const item of items) {
    const text = item[name]
    if (typeof text === 'string') named.set(text, item)
  }
  return named
}

/** Whether every item has a text of its own under this name. */
function isName(name: string, items: readonly JsonObject[]): boolean {
  const names = items.map(item => own(item, name))
  return names.every(text => typeof text === 'string') && new Set(names).size === items.length
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function own(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

function union(here: readonly string[], there: readonly string[]): Iterable<string> {
  return new Set([...here, ...there])
}
