/** A project has environments; each is a separate set of settings for the same flags. */
import { z } from 'zod'
import { keySchema, nameSchema, textSchema } from './key.ts'

export const projectSchema = z
  .strictObject({ key: keySchema, name: nameSchema, description: textSchema.optional(), version: z.number().int().min(1) })
  .meta({ id: 'Project' })
export type Project = z.infer<typeof projectSchema>

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
