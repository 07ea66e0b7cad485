/**
 * The check every write of flags and segments passes, inside its turn: each document written is right in the
 * environment as it would stand, and so is each one that depends on it. Kills and lifts do not come here: they must
 * not fail because the rest of a flag no longer passes.
 */
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import { CHAIN_MAX, FLAGS_MAX, RULESET_BYTES_MAX, SEGMENTS_MAX } from '../../schemas/limits.ts'
import type { Segment } from '../../schemas/segment.ts'
import { chainsOf } from '../../sdk/evaluator/cycles.ts'
import { flagProblems } from '../flags/validate.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { refuseBuiltIn } from '../limits/builtin.ts'
import { segmentProblems } from '../segments/validate.ts'
import { bytesOf, type Draft, draftOf, placed } from './draft.ts'

/** At most so many problems in one answer. */
const DETAILS_MAX = 50
/** At most so many names in one message. */
const NAMES_MAX = 10

/** Where a document stands in the request, as in `flags[3]`; empty when the request is the document. */
export type PlaceOf = (edit: PlannedEdit) => string

/**
 * @param edits what shall stand; only flags and segments
 * @returns the same edits
 * Errors: `FLAG_IN_USE`, `SEGMENT_IN_USE` (a removed document that others name), `INVALID_FLAG`, `INVALID_SEGMENT`,
 * `PREREQUISITE_CYCLE`, `SEGMENT_CYCLE`, `LIMIT_EXCEEDED`, each with one detail per problem, at most 50.
 */
export function checkEdits(state: State, edits: readonly PlannedEdit[], placeOf: PlaceOf = () => ''): readonly PlannedEdit[] {
  refuseBuiltIn(state, edits)
  const draft = draftOf(state, edits)
  refuseRemovalsInUse(state, draft, edits)
  refuseProblems(state, draft, edits, placeOf)
  refuseChains(state, draft, edits, placeOf)
  refuseExcess(state, draft, edits)
  return edits
}

/** The flags that have one of these as a prerequisite, directly or through others; sorted, without these themselves. */
export function downstreamOf(flags: ReadonlyMap<string, Flag>, keys: readonly string[]): string[] {
  // One bare pass: every kill asks, in an environment of any size.
  const children = new Map<string, string[]>()
  for (const { key, prerequisites } of flags.values()) {
    if (prerequisites.length === 0) continue
    for (const { flag: parent } of prerequisites) {
      const known = children.get(parent)
      if (known === undefined) children.set(parent, [key])
      else known.push(key)
    }
  }
  const found = new Set(keys)
  for (const key of found) for (const child of children.get(key) ?? []) found.add(child)
  for (const key of keys) found.delete(key)
  return [...found].sort()
}

/** The segments that a segment's rules name. */
export function segmentsWithin(segment: Segment): string[] {
  return segment.rules.flatMap(rule => segmentsNamed(rule.clauses))
}

/** Every segment that a flag's rules or kills name. */
function segmentsOfFlag(flag: Flag): string[] {
  return [...flag.rules, ...flag.kills].flatMap(part => segmentsNamed(part.clauses))
}

function segmentsNamed(clauses: Flag['rules'][number]['clauses']): string[] {
  return clauses.flatMap(clause => (clause.op === 'segment' ? clause.values.filter(value => typeof value === 'string') : []))
}

function refuseRemovalsInUse(state: State, draft: Draft, edits: readonly PlannedEdit[]): void {
  const removedFlags = edits.filter(edit => edit.type === 'flag' && edit.after === null && state.documents.flag.has(edit.key))
  if (removedFlags.length > 0) {
    const users = usersBy(draft.flags.values(), flag => flag.prerequisites.map(prerequisite => prerequisite.flag))
    for (const { key } of removedFlags) {
      const children = users.get(key)
      if (children === undefined) continue
      throw new SluiceError(
        'FLAG_IN_USE',
        `Flag "${key}" in "${state.log}": is a prerequisite of ${named(children)}. Remove it there first.`,
        {
          details: children
            .slice(0, DETAILS_MAX)
            .map(child => ({ path: '', code: 'prerequisite_of', message: `is a prerequisite of "${child}"` })),
        },
      )
    }
  }
  const removedSegments = edits.filter(edit => edit.type === 'segment' && edit.after === null && state.documents.segment.has(edit.key))
  if (removedSegments.length === 0) return
  const byFlag = usersBy(draft.flags.values(), segmentsOfFlag)
  const bySegment = usersBy(draft.segments.values(), segmentsWithin)
  for (const { key } of removedSegments) {
    const flags = byFlag.get(key) ?? []
    const segments = bySegment.get(key) ?? []
    if (flags.length + segments.length === 0) continue
    const users = [flags.length > 0 ? `flag ${named(flags)}` : '', segments.length > 0 ? `segment ${named(segments)}` : ''].filter(
      text => text !== '',
    )
    throw new SluiceError(
      'SEGMENT_IN_USE',
      `Segment "${key}" in "${state.log}": is used by ${users.join(' and ')}. Remove it there first.`,
      {
        details: [
          ...flags.map(flag => ({ path: '', code: 'used_by_flag', message: `is used by flag "${flag}"` })),
          ...segments.map(segment => ({ path: '', code: 'used_by_segment', message: `is used by segment "${segment}"` })),
        ].slice(0, DETAILS_MAX),
      },
    )
  }
}

/** For each key that documents name, the documents that name it, sorted. */
function usersBy<T extends { readonly key: string }>(
  documents: Iterable<T>,
  namesOf: (document: T) => readonly string[],
): Map<string, string[]> {
  const users = new Map<string, string[]>()
  for (const document of documents) {
    const names = namesOf(document)
    // Most documents name nothing: in a large environment a set for each would cost more than all the rest.
    if (names.length === 0) continue
    for (const name of new Set(names)) {
      const known = users.get(name)
      if (known === undefined) users.set(name, [document.key])
      else known.push(document.key)
    }
  }
  for (const keys of users.values()) keys.sort()
  return users
}

function refuseProblems(state: State, draft: Draft, edits: readonly PlannedEdit[], placeOf: PlaceOf): void {
  const details: ErrorDetail[] = []
  const written = new Set(edits.filter(edit => edit.type === 'flag').map(edit => edit.key))
  let first: { subject: string; message: string; isFlag: boolean } | undefined
  for (const edit of edits) {
    if (edit.after === null || details.length >= DETAILS_MAX) continue
    let problems: ErrorDetail[]
    if (edit.type === 'flag') problems = [...flagProblems(edit.after, draft), ...lostVariations(state, draft, written, edit.after)]
    else if (edit.type === 'segment') problems = segmentProblems(edit.after, draft)
    else continue
    const [problem] = problems
    if (problem === undefined) continue
    const place = placeOf(edit)
    // Flags come first: a request with both kinds of problems is an invalid flag.
    if (first === undefined || (!first.isFlag && edit.type === 'flag')) {
      first = {
        subject: `${edit.type === 'flag' ? 'Flag' : 'Segment'} "${edit.key}" in "${state.log}"`,
        message: problem.message,
        isFlag: edit.type === 'flag',
      }
    }
    details.push(...placed(problems, place))
  }
  if (first === undefined) return
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  throw new SluiceError(first.isFlag ? 'INVALID_FLAG' : 'INVALID_SEGMENT', `${first.subject}: ${first.message}${more}`, {
    details: details.slice(0, DETAILS_MAX),
  })
}

/** Variations that this write takes away although another flag's prerequisite still asks for them. */
function lostVariations(state: State, draft: Draft, written: ReadonlySet<string>, after: Flag): ErrorDetail[] {
  const before = state.documents.flag.get(after.key)
  if (before === undefined || before.variations === after.variations) return []
  const lost = before.variations.map(variation => variation.key).filter(key => !after.variations.some(variation => variation.key === key))
  if (lost.length === 0) return []
  const problems: ErrorDetail[] = []
  for (const child of draft.flags.values()) {
    // A child written in the same request is checked as itself, where its own path can be named.
    if (written.has(child.key)) continue
    for (const prerequisite of child.prerequisites) {
      if (prerequisite.flag !== after.key) continue
      for (const variation of prerequisite.variations.filter(key => lost.includes(key))) {
        const message = `variation "${variation}" is still asked for by the prerequisite of "${child.key}". Keep it, or change "${child.key}" first.`
        problems.push({ path: 'variations', code: 'variation_in_use', message })
      }
    }
  }
  return problems
}

function refuseChains(state: State, draft: Draft, edits: readonly PlannedEdit[], placeOf: PlaceOf): void {
  // What stood had no cycle, so a new one goes through a document whose links were written now.
  if (
    edits.some(edit => edit.type === 'flag' && edit.after !== null && hasNewPrerequisites(state.documents.flag.get(edit.key), edit.after))
  ) {
    const links = new Map<string, string[]>()
    for (const flag of draft.flags.values())
      if (flag.prerequisites.length > 0)
        links.set(
          flag.key,
          flag.prerequisites.map(prerequisite => prerequisite.flag),
        )
    refuseChain('flag', state, links, edits, placeOf)
  }
  if (edits.some(edit => edit.type === 'segment' && edit.after !== null && segmentsWithin(edit.after).length > 0)) {
    const links = [...draft.segments.values()].map(segment => [segment.key, segmentsWithin(segment)] as const)
    refuseChain('segment', state, new Map(links), edits, placeOf)
  }
}

function hasNewPrerequisites(before: Flag | undefined, after: Flag): boolean {
  return after.prerequisites.some(({ flag }) => !(before?.prerequisites.some(known => known.flag === flag) ?? false))
}

function refuseChain(
  type: 'flag' | 'segment',
  state: State,
  links: ReadonlyMap<string, readonly string[]>,
  edits: readonly PlannedEdit[],
  placeOf: PlaceOf,
): void {
  const { cycles, lengths } = chainsOf(links)
  const subject = (key: string): string => `${type === 'flag' ? 'Flag' : 'Segment'} "${key}" in "${state.log}"`
  const detail = (keys: readonly string[], code: string, message: string): ErrorDetail[] => {
    const edit = edits.find(candidate => candidate.type === type && keys.includes(candidate.key))
    return placed([{ path: type === 'flag' ? 'prerequisites' : 'rules', code, message }], edit === undefined ? '' : placeOf(edit))
  }
  const [cycle] = cycles.values()
  if (cycle !== undefined) {
    const message = `${type === 'flag' ? 'prerequisites' : 'segments'} form a cycle: ${cycle.join(' → ')}. Remove one of these links.`
    throw new SluiceError(type === 'flag' ? 'PREREQUISITE_CYCLE' : 'SEGMENT_CYCLE', `${subject(cycle[0] ?? '')}: ${message}`, {
      details: detail(cycle, 'cycle', message),
    })
  }
  const tooLong = [...lengths].find(([, length]) => length > CHAIN_MAX)
  if (tooLong === undefined) return
  const [key, length] = tooLong
  const noun = type === 'flag' ? 'prerequisites' : 'segments within segments'
  const message = `the chain of ${noun} below it has ${length} links, more than ${CHAIN_MAX}. Shorten it.`
  throw new SluiceError(type === 'flag' ? 'INVALID_FLAG' : 'INVALID_SEGMENT', `${subject(key)}: ${message}`, {
    details: detail([key], 'chain_too_long', message),
  })
}

function refuseExcess(state: State, draft: Draft, edits: readonly PlannedEdit[]): void {
  const refuse = (code: string, what: string, got: number, most: number, cure: string): never => {
    throw new SluiceError('LIMIT_EXCEEDED', `Environment "${state.log}" would hold ${got} ${what}, more than ${most}. ${cure}`, {
      details: [{ path: '', code, message: `would be ${got} ${what}, at most ${most} are possible` }],
    })
  }
  if (draft.flags.size > FLAGS_MAX) refuse('too_many_flags', 'flags', draft.flags.size, FLAGS_MAX, 'Archive flags nobody needs.')
  if (draft.segments.size > SEGMENTS_MAX)
    refuse('too_many_segments', 'segments', draft.segments.size, SEGMENTS_MAX, 'Archive segments nobody needs.')
  const bytes = bytesAfter(state, draft, edits)
  if (bytes > RULESET_BYTES_MAX)
    refuse('too_large', 'bytes of flags and segments', bytes, RULESET_BYTES_MAX, 'Archive what nobody needs, or shorten long lists.')
}

/** The bytes of all flags and segments as they would stand. */
function bytesAfter(state: State, draft: Draft, edits: readonly PlannedEdit[]): number {
  let bytes = state.bytes
  if (bytes === undefined) {
    bytes = 0
    for (const document of [...draft.flags.values(), ...draft.segments.values()]) bytes += bytesOf(document)
    return bytes
  }
  for (const { type, key, after } of edits) {
    const before = state.documents[type].get(key)
    bytes += (after === null ? 0 : bytesOf(after)) - (before === undefined ? 0 : bytesOf(before))
  }
  return bytes
}

/** `"a", "b" and 3 more`. */
export function named(keys: readonly string[]): string {
  const shown = keys
    .slice(0, NAMES_MAX)
    .map(key => `"${key}"`)
    .join(', ')
  return keys.length > NAMES_MAX ? `${shown} and ${keys.length - NAMES_MAX} more` : shown
}
