/** A project has environments; each is a separate set of settings for the same flags. */
import { z } from 'zod'
import { keySchema, nameSchema, textSchema } from './key.ts'

export const projectSchema = z
  .strictObject({ key: keySchema, name: nameSchema, description: textSchema.optional(), version: z.number().int().min(1) })
  .meta({ id: 'Project' })
export type Project = z.infer<typeof projectSchema>

/** A project as people make it; its name is its key unless given. */
export const projectInputSchema = z
  .strictObject({ key: keySchema, name: nameSchema.optional(), description: textSchema.optional(), comment: textSchema.optional() })
  .meta({ id: 'ProjectInput' })
export type ProjectInput = z.infer<typeof projectInputSchema>

/** A partial edit of a project or an environment. `null` removes the description. */
export const placePatchSchema = z
  .strictObject({ name: nameSchema.optional(), description: textSchema.nullish(), comment: textSchema.optional() })
  .meta({ id: 'PlacePatch', description: 'The fields to replace; the others stay.' })
export type PlacePatch = z.infer<typeof placePatchSchema>

export const environmentSchema = z
  .strictObject({
    /** `project/environment`: environments of two projects may share a key. */
    key: z.string(),
    project: keySchema,
    environment: keySchema,
    name: nameSchema,
    description: textSchema.optional(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Environment' })
export type Environment = z.infer<typeof environmentSchema>

/** An environment as people make it. Its flags are those of the project, off; or as they stand in `copyFrom`, without its kills. */
export const environmentInputSchema = z
  .strictObject({
    key: keySchema,
    name: nameSchema.optional(),
    description: textSchema.optional(),
    copyFrom: keySchema.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'EnvironmentInput' })
export type EnvironmentInput = z.infer<typeof environmentInputSchema>
