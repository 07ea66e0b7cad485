/** How what was done under each variation of a flag ended, over the last hour. */
import { z } from 'zod'
import { momentSchema } from './key.ts'

const count = z.number().int().min(0)

const sums = {
  /** Contexts, once each in a slice on each instance; those that failed and that were slow, once each in five minutes. */
  contexts: count,
  errors: count,
  slow: count,
  /** Every call. */
  allCalls: count,
  allErrors: count,
  allSlow: count,
  /** Of all calls; null without one. */
  meanMs: z.number().nullable(),
}

export const outcomeSeriesSchema = z
  .object({
    variation: z.string(),
    /** What ended: '' for a report of the application's own, `old` and `new` sides of a migration, `mismatch` of its checks. */
    side: z.string(),
    ...sums,
    /** The slices in which there was one, the first one first. */
    slices: z.array(z.object({ at: momentSchema, ...sums })),
  })
  .meta({ id: 'OutcomeSeries', description: 'How what was done under one variation ended, over time.' })
export type OutcomeSeries = z.infer<typeof outcomeSeriesSchema>
