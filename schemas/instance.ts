/** A connected SDK instance, and the receipts that say where a revision has arrived. */
import { z } from 'zod'
import { momentSchema } from './key.ts'

export const instanceSchema = z
  .object({
    id: z.string(),
    service: z.string(),
    sdk: z.string(),
    connectedAt: momentSchema,
    /** The newest revision it has confirmed, 0 before the first. */
    revision: z.number().int(),
    confirmedAt: momentSchema.nullable(),
  })
  .meta({ id: 'Instance' })
export type Instance = z.infer<typeof instanceSchema>

/** Has revision R arrived? `missing` names at most 100 instances. */
export const receiptsSchema = z
  .object({
    revision: z.number().int(),
    instances: z.number().int(),
    confirmed: z.number().int(),
    /** Milliseconds from publishing to the last confirmation so far; null before the first or for an old revision. */
    slowestMs: z.number().nullable(),
    slowest: z.string().nullable(),
    missing: z.array(z.object({ id: z.string(), service: z.string(), revision: z.number().int() })),
  })
  .meta({ id: 'Receipts', description: 'How far a revision has arrived.' })
export type Receipts = z.infer<typeof receiptsSchema>
