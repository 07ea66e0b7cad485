/** A hold: who matches its clauses is held to a rate of its own. It is a rule in front of a `rate-limit` flag's others, and a variation it serves. */
import { z } from 'zod'
import { clausesSchema } from './clause.ts'
import { keySchema, textSchema } from './key.ts'
import { rateValueSchema } from './values.ts'

/** How the ids of hold rules begin, and the keys of the variations that are made for them. */
export const HOLD_PREFIX = 'limit-'

/**
 * What is asked for. Of the value, what is left out is as in the hold that stood, else as in what the fallthrough serves;
 * `keyBy` then by the attributes that the clauses list values of. The mode is `enforce` unless given.
 */
export const holdRequestSchema = z
  .strictObject({
    clauses: clausesSchema.min(1, 'is empty. Say who is held; for everyone, edit the variation that the fallthrough serves'),
    value: rateValueSchema,
    reason: textSchema.min(1, 'is empty. Say why: it is what the next person reads'),
    comment: textSchema.optional(),
  })
  .meta({ id: 'HoldRequest' })
export type HoldRequest = z.infer<typeof holdRequestSchema>

export const holdSchema = z
  .object({
    /** The id of its rule: the same for the same clauses, in whatever order. */
    id: keySchema,
    clauses: clausesSchema,
    variation: keySchema,
    value: rateValueSchema,
    reason: textSchema.nullable(),
  })
  .meta({ id: 'Hold', description: 'Who matches the clauses is held to the rate.' })
export type Hold = z.infer<typeof holdSchema>
