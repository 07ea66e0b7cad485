/** What a new environment begins with: the flags of its project. */
import type { Flag, FlagInput } from '../../schemas/flag.ts'
import { DEFINITION_FIELDS, picked } from '../flags/arrange.ts'
import { completeFlag } from '../flags/defaults.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { environmentsOf, findEnvironment } from './find.ts'

/**
 * The edits that bring the environment's log to its first state. A log that an environment of the same name has left
 * behind is taken up again, and loses what does not belong to the new one.
 * Error: `ENVIRONMENT_NOT_FOUND` for an unknown `copyFrom`.
 */
export function firstDocuments(services: Services, project: string, copyFrom: string | undefined, state: State): PlannedEdit[] {
  const source = copyFrom === undefined ? environmentsOf(services, project)[0] : findEnvironment(services, project, copyFrom)
  const documents = source === undefined ? null : services.log.state(source.key).documents
  const flags = [...(documents?.flag.values() ?? [])].map(flag => (copyFrom === undefined ? asNew(flag) : { ...flag, kills: [] }))
  const segments = copyFrom === undefined ? [] : [...(documents?.segment.values() ?? [])]

  const edits: PlannedEdit[] = []
  const wanted = { flag: new Set(flags.map(flag => flag.key)), segment: new Set(segments.map(segment => segment.key)) }
  for (const key of state.documents.flag.keys()) if (!wanted.flag.has(key)) edits.push({ type: 'flag', key, after: null })
  for (const key of state.documents.segment.keys()) if (!wanted.segment.has(key)) edits.push({ type: 'segment', key, after: null })
  for (const segment of segments) edits.push({ type: 'segment', key: segment.key, after: segment })
  for (const flag of flags) edits.push({ type: 'flag', key: flag.key, after: flag })
  return edits
}

/** What the flag is, with the settings that a new flag has. Its off variation cannot always be guessed, so that one is taken along. */
function asNew(flag: Flag): Flag {
  const definition = picked(flag, DEFINITION_FIELDS) as unknown as Omit<FlagInput, 'key'>
  const completed = completeFlag({ ...definition, key: flag.key, offVariation: flag.offVariation }, flag.seed)
  if (completed.flag === null) throw new Error(`the definition of flag "${flag.key}" is not complete`)
  return completed.flag
}
