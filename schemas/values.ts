/** The values of `rate-limit`, `safety-valve` and `migration` flags: a rate, a valve setting, a stage. */
import { z } from 'zod'
import { attributeSchema } from './clause.ts'

/** Milliseconds of the units a rate can be `per`. */
export const RATE_UNITS_MS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const

/** Largest rate, of whatever unit of time. */
const RATE_MAX = 1e9

const described = <T extends z.ZodType>(schema: T, description: string) => schema.meta({ description })

/** What every limit may say, whether it counts or not. */
const limitShape = {
  unit: described(
    z
      .string()
      .max(64)
      .regex(/^[A-Za-z][A-Za-z0-9 ._/-]*$/, 'must begin with a letter and hold letters, digits, blanks and . _ / - alone'),
    'What is counted, the same for all variations of a flag. Default: request.',
  ).optional(),
  cost: described(z.number().gt(0).max(1e6), 'What a request takes that does not say. Default: 1.').optional(),
  concurrency: described(
    z.number().int().min(1).max(1e6),
    'Most at once per counter, in each process, for who calls acquire. Default: any number.',
  ).optional(),
  mode: described(
    z.enum(['enforce', 'shadow']),
    'shadow counts whom it would have denied, and denies nobody. Default: enforce.',
  ).optional(),
  onPartition: described(
    z.enum(['safe-share', 'last-share', 'open', 'closed']),
    'What an application does that cannot reach the server: keep to its even share of the rate, to the share it used last, allow all, or deny all. Default: safe-share.',
  ).optional(),
  keyBy: described(
    z.array(attributeSchema).max(8),
    'Attributes whose values are counted apart, whichever rule chose the variation; [] is one counter for everybody. Default: ["targetingKey"].',
  ).optional(),
}

/** A rate that is counted: `rate` units per second, minute, hour or day. */
export const countedRateSchema = z
  .strictObject({
    rate: described(z.number().min(0).max(RATE_MAX), 'Units that `per` brings. 0 cuts: everything is denied.'),
    per: z.enum(['second', 'minute', 'hour', 'day']),
    burst: described(
      z.number().int().min(1).max(RATE_MAX),
      'Most units at once, after a rest. Default: a quarter of what a second brings, at least 1.',
    ).optional(),
    ...limitShape,
  })
  .meta({ id: 'CountedRate', description: 'So many units per second, minute, hour or day.' })
export type CountedRate = z.infer<typeof countedRateSchema>

/** No rate: nothing is denied, usage is summed up all the same. */
export const unlimitedSchema = z
  .strictObject({ unlimited: z.literal(true), ...limitShape })
  .meta({ id: 'Unlimited', description: 'No rate. Usage is summed up all the same.' })
export type Unlimited = z.infer<typeof unlimitedSchema>

/**
 * The value of a `rate-limit` flag's variation: a rate, or none. Rules choose the variation, `keyBy` says what is counted
 * apart. What a schema cannot say (a burst that fits the rate, one unit for all variations) is `server/flags/validate.ts`.
 */
export const rateValueSchema = z
  .union([countedRateSchema, unlimitedSchema])
  .meta({ id: 'RateValue', description: 'A rate: so many units per second, minute, hour or day, or { "unlimited": true }.' })
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
