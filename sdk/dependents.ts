/**
 * Which flags may yield something else after a change: those that changed, those that use a changed segment, directly
 * or through another segment, and those that have one of all these as a prerequisite, at any depth.
 */
import type { Flag } from '../schemas/flag.ts'
import type { Segment } from '../schemas/segment.ts'

/** The documents that a flag or segment names. */
interface References {
  readonly flags: readonly string[]
  readonly segments: readonly string[]
}

/** A document never changes: what it names is read once. */
const known = new WeakMap<object, References>()

/**
 * @param flags    all flags after the change
 * @param segments all segments after the change
 * @returns keys, each once; a removed flag's is among them
 */
export function affectedFlags(
  flags: ReadonlyMap<string, Flag>,
  segments: ReadonlyMap<string, Segment>,
  changedFlags: Iterable<string>,
  changedSegments: Iterable<string>,
): string[] {
  const affectedSegments = closure(changedSegments, usersOf(segments, 'segments'))
  const affected = new Set(changedFlags)
  if (affectedSegments.size > 0) {
    for (const [key, flag] of flags) {
      if (referencesOf(flag).segments.some(segment => affectedSegments.has(segment))) affected.add(key)
    }
  }
  return [...closure(affected, usersOf(flags, 'flags'))]
}

/** Everything that can be reached from `start`; cycles end by themselves. */
function closure(start: Iterable<string>, users: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set(start)
  // A set may grow while it is walked: what is added is visited too.
  for (const key of reached) for (const user of users.get(key) ?? []) reached.add(user)
  return reached
}

/** Turned round: for each document that is named, those that name it. */
function usersOf(documents: ReadonlyMap<string, object>, kind: keyof References): Map<string, string[]> {
  const users = new Map<string, string[]>()
  for (const [key, document] of documents) {
    for (const named of referencesOf(document)[kind]) {
      const list = users.get(named)
      if (list === undefined) users.set(named, [key])
      else list.push(key)
    }
  }
  return users
}

function referencesOf(document: object): References {
  let references = known.get(document)
  if (references === undefined) {
    references = readReferences(document as Readonly<Record<string, unknown>>)
    known.set(document, references)
  }
  return references
}

/** Reads a document that may be damaged: what is not as expected names nothing. */
function readReferences(document: Readonly<Record<string, unknown>>): References {
  const flags = items(document.prerequisites).map(prerequisite => prerequisite.flag)
  const segments = [...items(document.kills), ...items(document.rules)]
    .flatMap(rule => items(rule.clauses))
    .filter(clause => clause.op === 'segment')
    .flatMap(clause => (Array.isArray(clause.values) ? (clause.values as unknown[]) : []))
  return { flags: flags.filter(isText), segments: segments.filter(isText) }
}

function items(list: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(list)
    ? list.filter((item: unknown): item is Readonly<Record<string, unknown>> => typeof item === 'object' && item !== null)
    : []
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}
