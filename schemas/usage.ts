/** How flags are used: evaluations over time, by outcome, and what applications asked for in vain. */
import { z } from 'zod'
import { momentSchema } from './key.ts'

const count = z.number().int().min(0)

/** The code of a problem that is no evaluation error: an operator that an SDK does not know. */
export const UNKNOWN_OPERATOR = 'UNKNOWN_OPERATOR'

export const problemSchema = z
  .object({
    /** `FLAG_NOT_FOUND`, `TYPE_MISMATCH`, `MALFORMED_FLAG`, `PREREQUISITE_CYCLE`, `UNKNOWN_OPERATOR`, or `OTHER`. */
    code: z.string(),
    /** The flag's key as it was asked for; for an operator the place that uses it, as in `flag checkout` or `segment beta`. */
    subject: z.string(),
    /** For a wrong type the type asked for, for an operator its name; else empty. */
    detail: z.string(),
    /** The service that reported it, empty when it has no name; for OFREP the name of the key. */
    service: z.string(),
    /** The instance that reported it last, and what it runs on. */
    instance: z.string(),
    sdk: z.string(),
    /** Evaluations; for an operator, reports. */
    count,
    firstSeen: momentSchema,
    lastSeen: momentSchema,
  })
  .meta({ id: 'Problem', description: 'What applications asked for in vain, or could not understand.' })
export type Problem = z.infer<typeof problemSchema>

export const usageSchema = z
  .object({
    /** Evaluations within the last hour and the last 24 hours; `lastDay` is null while the history cannot be read. */
    lastHour: count,
    lastDay: count.nullable(),
    /** Null for never. */
    firstSeen: momentSchema.nullable(),
    lastSeen: momentSchema.nullable(),
    /** Who asked, most recent first; at most ten. */
    services: z.array(z.object({ service: z.string(), lastSeen: momentSchema })),
    /** Of the last 24 hours: by variation, errors by code, and those of a rollout that had nothing to bucket by. */
    variations: z.record(z.string(), count),
    errors: z.record(z.string(), count),
    unbucketed: count,
  })
  .meta({ id: 'Usage', description: 'How a flag is used in an environment.' })
export type Usage = z.infer<typeof usageSchema>

export const seriesSchema = z
  .object({
    /** Null for an error. */
    variation: z.string().nullable(),
    reason: z.string(),
    /** Which `ERROR` it was, else null. */
    error: z.string().nullable(),
    /** A rollout that had nothing to bucket by. */
    unbucketed: z.boolean(),
    total: count,
    /** One per step, the first at `since`. */
    counts: z.array(count),
  })
  .meta({ id: 'EvaluationSeries', description: 'Evaluations that came out alike, over time.' })
export type EvaluationSeries = z.infer<typeof seriesSchema>
