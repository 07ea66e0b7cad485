/** Who uses a limit, as the API answers. */
import { z } from 'zod'
import { momentSchema } from './key.ts'

const tokens = z.number().min(0)
const spans = z.object({ minute: tokens, hour: tokens })

export const counterUsageSchema = z
  .object({
    variation: z.string(),
    /** The values of `keyBy`; empty for contexts without one. */
    key: z.string(),
    admitted: spans,
    /** With `mode: shadow`: what would have been. */
    denied: spans,
    /** Tokens that can be had now; null where nothing is limited. */
    remaining: z.number().nullable(),
    /** Lent to instances and not spent. */
    outstanding: tokens,
    overAdmissionMax: tokens.nullable(),
    /** Of the last minute: admitted ÷ what the rate allows. */
    usedShare: tokens.nullable(),
  })
  .meta({ id: 'CounterUsage', description: 'One key of a limit, in tokens of the last minute and hour.' })
export type CounterUsage = z.infer<typeof counterUsageSchema>

export const limitUsageSchema = z
  .object({
    flag: z.string(),
    /** Keys that are counted, of which `keys` are the busiest. */
    counters: z.number().int().min(0),
    keys: z.array(counterUsageSchema),
    /** Over all keys. */
    admitted: spans,
    denied: spans,
    instances: z.number().int().min(0),
    /** Instances that are out of reach and may live on their safe shares. */
    silent: z.number().int().min(0),
    /** After a restart: until then no tokens are lent. */
    learningUntil: momentSchema.nullable(),
  })
  .meta({ id: 'LimitUsage', description: 'Who uses a limit.' })
export type LimitUsage = z.infer<typeof limitUsageSchema>
