/**
 * What importing a whole environment would make stand. Flags and segments that the document does not name are archived;
 * seeds stay where none is given; versions are the log's. It never lifts a kill: those that stand stay, and a document
 * that would drop a killed flag is refused.
 */
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { RulesetInput } from '../../schemas/ruleset.ts'
import { sameContent } from '../changes/content.ts'
import { refuseKilled } from '../flags/archive.ts'
import { arranged } from '../flags/arrange.ts'
import { completeFlag } from '../flags/defaults.ts'
import { Pace } from '../log/pace.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { completeSegment } from '../segments/validate.ts'
import { checkEdits } from './check.ts'
import { placed } from './draft.ts'

export interface Import {
  readonly edits: readonly PlannedEdit[]
  readonly flags: Summary
  readonly segments: Summary
  /** Kills in the document that do not stand here: they are not made by an import. */
  readonly ignoredKills: readonly { readonly flag: string; readonly id: string }[]
}

export interface Summary {
  readonly created: readonly string[]
  readonly changed: readonly string[]
  readonly archived: readonly string[]
  readonly unchanged: number
}

/**
 * @param seedOf a seed for a flag that is new and brings none; the same for the same key
 * Errors: `INVALID_REQUEST` (a key named twice), `INVALID_FLAG` and the others of `checkEdits` with paths as in
 * `flags[3].rules[0]`, `FLAG_KILLED`.
 */
export async function planImport(state: State, input: RulesetInput, seedOf: (key: string) => number): Promise<Import> {
  const pace = new Pace()
  refuseTwice(input)
  const places = new Map<string, string>()
  const problems: { key: string; details: ErrorDetail[] }[] = []
  const ignoredKills: { flag: string; id: string }[] = []
  const flags = new Map<string, Flag>()
  for (const [i, item] of input.flags.entries()) {
    if (pace.isDue()) await pace.rest()
    const before = state.documents.flag.get(item.key)
    const completed = completeFlag(item, before?.seed ?? seedOf(item.key))
    places.set(`flag ${item.key}`, `flags[${i}]`)
    if (completed.flag === null) {
      problems.push({ key: item.key, details: placed(completed.problems, `flags[${i}]`) })
      continue
    }
    const kills = before?.kills ?? []
    for (const kill of item.kills ?? [])
      if (!kills.some(standing => standing.id === kill.id)) ignoredKills.push({ flag: item.key, id: kill.id })
    flags.set(item.key, arranged({ ...completed.flag, version: before?.version ?? 1, kills }))
  }
  refuseIncomplete(state, problems)
  refuseKilled(
    state,
    [...state.documents.flag.values()].filter(flag => !flags.has(flag.key)),
  )
  const segments = new Map(
    (input.segments ?? []).map((item, i) => {
      places.set(`segment ${item.key}`, `segments[${i}]`)
      return [item.key, { ...completeSegment(item), version: state.documents.segment.get(item.key)?.version ?? 1 }] as const
    }),
  )
  const flagWork = await work(state.documents.flag, flags, pace)
  const segmentWork = await work(state.documents.segment, segments, pace)
  const edits: PlannedEdit[] = [
    ...segmentWork.edits.map(([key, after]): PlannedEdit => ({ type: 'segment', key, after })),
    ...flagWork.edits.map(([key, after]): PlannedEdit => ({ type: 'flag', key, after })),
  ]
  await pace.rest()
  checkEdits(state, edits, edit => places.get(`${edit.type} ${edit.key}`) ?? '')
  return { edits, flags: flagWork.summary, segments: segmentWork.summary, ignoredKills }
}

/** What must change so that exactly `wanted` stands. What is equal is left alone, and not checked again. */
async function work<T extends object>(
  standing: ReadonlyMap<string, T>,
  wanted: ReadonlyMap<string, T>,
  pace: Pace,
): Promise<{ edits: [string, T | null][]; summary: Summary }> {
  const created: string[] = []
  const changed: string[] = []
  const edits: [string, T | null][] = []
  for (const [key, after] of wanted) {
    if (pace.isDue()) await pace.rest()
    const before = standing.get(key)
    if (before !== undefined && sameContent(before, after)) continue
    ;(before === undefined ? created : changed).push(key)
    edits.push([key, after])
  }
  const archived = [...standing.keys()].filter(key => !wanted.has(key))
  for (const key of archived) edits.push([key, null])
  return { edits, summary: { created, changed, archived, unchanged: wanted.size - created.length - changed.length } }
}

function refuseTwice(input: RulesetInput): void {
  const details = [...repeated('flags', input.flags), ...repeated('segments', input.segments ?? [])]
  const [first] = details
  if (first === undefined) return
  throw new SluiceError('INVALID_REQUEST', `The body cannot be taken: ${first.path} ${first.message}.`, { details: details.slice(0, 50) })
}

function repeated(field: string, items: readonly { readonly key: string }[]): ErrorDetail[] {
  const first = new Map<string, number>()
  return items.flatMap(({ key }, i) => {
    const before = first.get(key)
    if (before === undefined) {
      first.set(key, i)
      return []
    }
    return [{ path: `${field}[${i}].key`, code: 'duplicate', message: `is "${key}", as ${field}[${before}] is. Remove one of them` }]
  })
}

function refuseIncomplete(state: State, problems: readonly { key: string; details: readonly ErrorDetail[] }[]): void {
  const [first] = problems
  if (first === undefined) return
  const details = problems.flatMap(problem => problem.details)
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  throw new SluiceError(
    'INVALID_FLAG',
    `Flag "${first.key}" in "${state.log}": ${first.details[0]?.path} ${first.details[0]?.message}${more}`,
    {
      details: details.slice(0, 50),
    },
  )
}
