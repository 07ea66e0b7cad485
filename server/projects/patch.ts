/** What projects and environments have in common to edit. */
import type { PlacePatch } from '../../schemas/project.ts'

/** The document with its name or description replaced; `null` removes the description. */
export function patchPlace<T extends { readonly name: string; readonly description?: string | undefined }>(place: T, patch: PlacePatch): T {
  const { description, ...rest } = place
  const next = patch.description === undefined ? description : patch.description
  return { ...rest, name: patch.name ?? place.name, ...(next === undefined || next === null ? {} : { description: next }) } as unknown as T
}
