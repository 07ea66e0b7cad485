/** One order of a flag's fields, the same in every answer, export and log entry, so that documents compare and read well. */
import type { Flag } from '../../schemas/flag.ts'

const FIELDS = [
  'key',
  'kind',
  'name',
  'description',
  'owner',
  'tags',
  'runbook',
  'temporary',
  'clientVisible',
  'metadata',
  'variations',
  'seed',
  'version',
  'enabled',
  'offVariation',
  'prerequisites',
  'targets',
  'rules',
  'fallthrough',
  'kills',
] as const satisfies readonly (keyof Flag)[]

/** What a flag is: these fields belong to the project. */
export const DEFINITION_FIELDS = FIELDS.slice(1, FIELDS.indexOf('version')) as readonly (keyof Flag)[]
/** What a flag does: these belong to the environment. */
export const SETTINGS_FIELDS = FIELDS.slice(FIELDS.indexOf('version') + 1, -1) as readonly (keyof Flag)[]

/** The same flag with its fields in order; those that are undefined are left out. */
export function arranged(flag: Flag): Flag {
  return picked(flag, FIELDS) as unknown as Flag
}

/** Some fields of a flag, in their order. */
export function picked(flag: Flag, fields: readonly (keyof Flag)[]): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const field of fields) if (flag[field] !== undefined) result[field] = flag[field]
  return result
}
