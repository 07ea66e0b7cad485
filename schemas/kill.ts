/** A kill lies over a flag and leaves its rules as they were; lifting it restores exactly what stood. */
import { z } from 'zod'
import { clausesSchema } from './clause.ts'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'
import { FLAGS_MAX } from './limits.ts'

export const killSchema = z
  .strictObject({
    id: z.string(),
    variation: keySchema,
    clauses: clausesSchema,
    reason: textSchema,
    actor: z.string(),
    at: momentSchema,
    until: momentSchema.nullable(),
    incident: nameSchema.optional(),
  })
  .meta({ id: 'Kill', description: 'An override: without clauses it covers everyone; it ends by itself at `until`.' })
export type Kill = z.infer<typeof killSchema>

/** What is asked for: everything but what the server fills in. `variation` is the off variation unless given. */
export const killRequestSchema = z
  .strictObject({
    variation: keySchema.optional(),
    clauses: clausesSchema.optional(),
    until: momentSchema.nullish(),
    reason: textSchema.min(1, 'is empty. Say why: it is what the next person reads'),
    incident: nameSchema.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'KillRequest' })
export type KillRequest = z.infer<typeof killRequestSchema>

/** Many flags in one commit: those with a tag, or those listed. Exactly one of the two. */
export const killManySchema = killRequestSchema
  .extend({ tag: nameSchema.optional(), flags: z.array(keySchema).min(1).max(FLAGS_MAX).optional() })
  .refine(request => (request.tag === undefined) !== (request.flags === undefined), 'must name either a tag or flags, and not both')
  .meta({ id: 'KillMany' })
export type KillMany = z.infer<typeof killManySchema>
