/** From documents to what evaluation only looks up: done once when a ruleset arrives, document by document when it changes. */
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { CHAIN_READ_MAX, chainsOf, cycleText } from './cycles.ts'
import { failure, prepareFlag } from './flag.ts'
import type { Link, Linking, Links, Prepared, PreparedFlag, PreparedSegment } from './prepared.ts'
import { settle } from './prerequisites.ts'
import { prepareSegment } from './segment.ts'

export type { Prepared, PreparedFlag, PreparedSegment } from './prepared.ts'

/** Read leniently: any item may be malformed whatever its type says; then that one is an error and the others go on. */
export interface Documents {
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
}

/** What a change brings: the newest state of everything touched, as whole documents. */
export interface Delta {
  readonly flags: readonly unknown[]
  readonly segments: readonly unknown[]
  readonly removedFlags: readonly string[]
  readonly removedSegments: readonly string[]
}

/** The maps as the preparation itself may change them. */
interface Parts {
  readonly flags: Map<string, PreparedFlag>
  readonly segments: Map<string, PreparedSegment>
  readonly links: Links
}

const NOTHING: readonly never[] = []

/** Never throws. An item without a key is left out; of two with the same key the later one counts. */
export function prepare(documents: Documents, revision: number): Prepared {
  const parts: Parts = { flags: new Map(), segments: new Map(), links: { flags: new Map(), segments: new Map(), attributes: new Map() } }
  change(parts, { flags: documents.flags, segments: documents.segments, removedFlags: NOTHING, removedSegments: NOTHING })
  return { revision, ...parts }
}

/**
 * The same ruleset with a change: prepares only the documents that changed; what refers to them finds the new ones.
 * The old `Prepared` must not be used afterwards: its parts are taken over.
 */
export function applyDelta(prepared: Prepared, delta: Delta, revision: number): Prepared {
  // The maps are ours, made by `prepare`: read-only towards everyone else.
  const parts: Parts = { flags: prepared.flags as Parts['flags'], segments: prepared.segments as Parts['segments'], links: prepared.links }
  change(parts, delta)
  return { revision, ...parts }
}

/** Operators this evaluator does not know, each with the place that uses it: `flag <key>` or `segment <key>`. */
export function unknownOperators(prepared: Prepared): { op: string; where: string }[] {
  const found: { op: string; where: string }[] = []
  for (const flag of prepared.flags.values()) for (const op of flag.unknownOperators) found.push({ op, where: `flag ${flag.key}` })
  for (const segment of prepared.segments.values())
    for (const op of segment.unknownOperators) found.push({ op, where: `segment ${segment.key}` })
  return found
}

function change(parts: Parts, delta: Delta): void {
  const linking: Linking = {
    flagLink: key => linkOf(parts.links.flags, parts.flags, key),
    segmentLink: key => linkOf(parts.links.segments, parts.segments, key),
    attributes: parts.links.attributes,
  }
  let segmentsMayCycle = false
  for (const key of itemsOf(delta.removedSegments)) {
    segmentsMayCycle ||= (parts.segments.get(key as string)?.names.length ?? 0) > 0
    put(parts.segments, parts.links.segments, key as string, null)
  }
  for (const document of itemsOf(delta.segments)) {
    const key = keyOf(document)
    if (key === null) continue
    const segment = prepareSegment(key, document, linking)
    segmentsMayCycle ||= segment.names.length > 0 || (parts.segments.get(key)?.names.length ?? 0) > 0
    put(parts.segments, parts.links.segments, key, segment)
  }
  if (segmentsMayCycle) blockSegments(parts.segments)

  const touched: string[] = []
  let flagsMayCycle = false
  const putFlag = (key: string, flag: PreparedFlag | null): void => {
    const before = parts.flags.get(key) ?? null
    touched.push(key)
    put(parts.flags, parts.links.flags, key, flag)
    const [old, parents] = [parentsOf(before), parentsOf(flag)]
    if ((before?.blocked ?? null) === null && old.length === parents.length && old.every((parent, i) => parent === parents[i])) return
    flagsMayCycle = true
    for (const parent of old) parent.dependents.delete(key)
    for (const parent of parents) parent.dependents.add(key)
  }
  for (const key of itemsOf(delta.removedFlags)) putFlag(key as string, null)
  for (const document of itemsOf(delta.flags)) {
    const key = keyOf(document)
    if (key !== null) putFlag(key, prepareFlag(key, document, linking))
  }
  if (flagsMayCycle) blockFlags(parts.flags)
  settle(touched, parts.flags, parts.links.flags)
}

function parentsOf(flag: PreparedFlag | null): readonly Link<PreparedFlag>[] {
  return flag === null || flag.prerequisites.length === 0 ? NOTHING : flag.prerequisites.map(({ parent }) => parent)
}

/** A delta or ruleset whose lists are no lists is as good as an empty one: the stream must not take its host down. */
function itemsOf(list: unknown): readonly unknown[] {
  return Array.isArray(list) ? list : NOTHING
}

function keyOf(document: unknown): string | null {
  if (typeof document !== 'object' || document === null) return null
  const { key } = document as { readonly key?: unknown }
  return typeof key === 'string' ? key : null
}

function linkOf<T>(links: Map<string, Link<T>>, items: ReadonlyMap<string, T>, key: string): Link<T> {
  const known = links.get(key)
  if (known !== undefined) return known
  const link = { key, now: items.get(key) ?? null, dependents: new Set<string>() }
  links.set(key, link)
  return link
}

function put<T>(items: Map<string, T>, links: Map<string, Link<T>>, key: string, item: T | null): void {
  if (item === null) items.delete(key)
  else items.set(key, item)
  const link = links.get(key)
  if (link !== undefined) link.now = item
}

/** Only flags with prerequisites can be in a cycle, so the search is over those alone. */
function blockFlags(flags: ReadonlyMap<string, PreparedFlag>): void {
  const references = new Map<string, string[]>()
  for (const flag of flags.values()) {
    if (flag.prerequisites.length > 0)
      references.set(
        flag.key,
        flag.prerequisites.map(({ parent }) => parent.key),
      )
    else flag.blocked = null
  }
  const { cycles, lengths } = chainsOf(references)
  for (const key of references.keys()) {
    const flag = flags.get(key)
    if (flag === undefined) continue
    const cycle = cycles.get(key)
    if (cycle !== undefined) {
      flag.blocked = failure(
        key,
        flag.version,
        'PREREQUISITE_CYCLE',
        `its prerequisites form a cycle, ${cycleText(cycle)}. Remove one of them.`,
      )
    } else if ((lengths.get(key) ?? 0) > CHAIN_READ_MAX) {
      flag.blocked = failure(
        key,
        flag.version,
        'MALFORMED_FLAG',
        `its chain of prerequisites is longer than ${CHAIN_READ_MAX}. Shorten it.`,
      )
    } else {
      flag.blocked = null
    }
  }
}

function blockSegments(segments: ReadonlyMap<string, PreparedSegment>): void {
  const references = new Map<string, readonly string[]>()
  for (const segment of segments.values()) if (segment.names.length > 0) references.set(segment.key, segment.names)
  const { cycles, lengths } = chainsOf(references)
  for (const segment of segments.values()) {
    const cycle = cycles.get(segment.key)
    if (cycle !== undefined) segment.blocked = `contains itself: ${cycleText(cycle)}`
    else
      segment.blocked =
        (lengths.get(segment.key) ?? 0) > CHAIN_READ_MAX ? `stands above a chain of more than ${CHAIN_READ_MAX} segments` : null
  }
}
