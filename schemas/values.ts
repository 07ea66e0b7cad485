/** The values of `rate-limit`, `safety-valve` and `migration` flags: a rate, a valve setting, a stage. */
import { z } from 'zod'
import { attributeSchema } from './clause.ts'

/** Milliseconds of the units a rate can be `per`. */
export const RATE_UNITS_MS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const

/** A rate. `rate: 0` cuts; `burst` is the most that can be taken at once. `keyBy` says what is counted apart, whoever chose the variation. */
export const rateValueSchema = z
  .strictObject({
    rate: z.number().min(0).max(1e9),
    per: z.enum(['second', 'minute', 'hour', 'day']),
    burst: z.number().int().min(1).max(1e9).optional(),
    unit: z.string().min(1).max(64).optional(),
    cost: z.number().min(0).max(1e6).optional(),
    concurrency: z.number().int().min(1).max(1e6).optional(),
    mode: z.enum(['enforce', 'shadow']).optional(),
    onPartition: z.enum(['safe-share', 'last-share', 'open', 'closed']).optional(),
    keyBy: z.array(attributeSchema).max(8).optional(),
  })
  .meta({ id: 'RateValue', description: 'A rate: so many units per second, minute, hour or day.' })
export type RateValue = z.infer<typeof rateValueSchema>

/** A valve setting. Shares are 0 to 1, times milliseconds. */
export const valveValueSchema = z
  .strictObject({
    mode: z.enum(['auto', 'flow', 'throttle', 'cut']),
    admit: z.number().min(0).max(1).optional(),
    breaker: z
      .strictObject({
        windowMs: z.number().int().min(1_000).max(600_000).optional(),
        buckets: z.number().int().min(2).max(120).optional(),
        minCalls: z.number().int().min(1).max(1e6).optional(),
        failureRate: z.number().gt(0).max(1).optional(),
        slowMs: z.number().int().min(1).max(600_000).optional(),
        slowRate: z.number().gt(0).max(1).optional(),
        openMs: z.number().int().min(100).max(3_600_000).optional(),
        maxOpenMs: z.number().int().min(100).max(3_600_000).optional(),
        backoff: z.number().min(1).max(10).optional(),
        probes: z.number().int().min(1).max(1_000).optional(),
        probeSuccess: z.number().gt(0).max(1).optional(),
      })
      .optional(),
    adaptive: z
      .strictObject({
        enabled: z.boolean(),
        K: z.number().min(1).max(10).optional(),
        maxReject: z.number().min(0).max(1).optional(),
        minRps: z.number().min(0).max(1e6).optional(),
      })
      .optional(),
    fallback: z.string().max(128).optional(),
    stickyBy: attributeSchema.optional(),
    shadow: z.boolean().optional(),
  })
  .meta({ id: 'ValveValue', description: 'How a safety valve behaves: by itself, flowing, throttled or cut.' })
export type ValveValue = z.infer<typeof valveValueSchema>

/** The stages of a migration, in order. */
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const
export const stageSchema = z.enum(STAGES).meta({ id: 'Stage' })
export type Stage = z.infer<typeof stageSchema>
