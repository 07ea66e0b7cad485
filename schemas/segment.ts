/** A named group of contexts: included wins over excluded, excluded over rules. */
import { z } from 'zod'
import { attributeSchema, clausesSchema, valuesSchema } from './clause.ts'
import { keySchema, nameSchema, textSchema } from './key.ts'
import { RULES_MAX, TARGETS_MAX } from './limits.ts'

export const segmentListSchema = z.strictObject({ attribute: attributeSchema.optional(), values: valuesSchema }).meta({ id: 'SegmentList' })
export const segmentRuleSchema = z
  .strictObject({ id: keySchema, name: nameSchema.optional(), clauses: clausesSchema })
  .meta({ id: 'SegmentRule' })

const shape = {
  name: nameSchema.optional(),
  description: textSchema.optional(),
  included: z.array(segmentListSchema).max(TARGETS_MAX),
  excluded: z.array(segmentListSchema).max(TARGETS_MAX),
  rules: z.array(segmentRuleSchema).max(RULES_MAX),
}

export const segmentSchema = z
  .strictObject({ key: keySchema, version: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER), ...shape })
  .meta({ id: 'Segment', description: 'A named group of contexts.' })
export type Segment = z.infer<typeof segmentSchema>

/** A segment as people write it; what is left out is empty. */
export const segmentInputSchema = z
  .strictObject({
    key: keySchema,
    version: z.number().int().optional(),
    ...shape,
    included: shape.included.optional(),
    excluded: shape.excluded.optional(),
    rules: shape.rules.optional(),
  })
  .meta({ id: 'SegmentInput' })
export type SegmentInput = z.infer<typeof segmentInputSchema>

export const segmentPatchSchema = z
  .strictObject({
    name: nameSchema.nullish(),
    description: textSchema.nullish(),
    included: shape.included.optional(),
    excluded: shape.excluded.optional(),
    rules: shape.rules.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'SegmentPatch' })
export type SegmentPatch = z.infer<typeof segmentPatchSchema>
