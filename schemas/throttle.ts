/** A valve by hand: who matches its clauses is let through to a share, whatever the valve does by itself. A rule in front of a `safety-valve` flag's others, and a variation it serves. */
import { z } from 'zod'
import { clausesSchema } from './clause.ts'
import { keySchema, textSchema } from './key.ts'
import { valveValueSchema } from './values.ts'

/** How the ids of throttle rules begin, and the keys of the variations that are made for them. */
export const THROTTLE_PREFIX = 'valve-'

export const percentSchema = z
  .number()
  .min(0)
  .max(100)
  .meta({ description: 'Of the calls, how many are let through. 0 is a kill, 100 lets all through whatever the valve sees.' })

export const throttleRequestSchema = z
  .strictObject({
    percent: percentSchema,
    /** Without any: everyone. */
    clauses: clausesSchema.optional(),
    reason: textSchema.min(1, 'is empty. Say why: it is what the next person reads'),
    comment: textSchema.optional(),
  })
  .meta({ id: 'ThrottleRequest' })
export type ThrottleRequest = z.infer<typeof throttleRequestSchema>

export const throttleSchema = z
  .object({
    /** The id of its rule: the same for the same clauses, in whatever order. */
    id: keySchema,
    clauses: clausesSchema,
    variation: keySchema,
    value: valveValueSchema,
    percent: percentSchema,
    reason: textSchema.nullable(),
  })
  .meta({ id: 'Throttle', description: 'Of the calls of who matches the clauses, a share is let through until this is taken away.' })
export type Throttle = z.infer<typeof throttleSchema>
