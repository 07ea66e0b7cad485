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

const breakerSchema = z
  .strictObject({
    enabled: described(z.boolean(), 'false: nothing is cut by itself. Default: true.').optional(),
    windowMs: described(
      z.number().int().min(1_000).max(600_000),
      'How far back calls are looked at, by the breaker and by the throttle. At least twice timeoutMs and slowMs. Default: 30000.',
    ).optional(),
    buckets: described(
      z.number().int().min(2).max(120),
      'Steps in which the window moves on, of at least 50 ms each. Default: 15.',
    ).optional(),
    minCalls: described(
      z.number().int().min(1).max(1e6),
      'Fewer calls in the window, in one process, say nothing. Default: 50.',
    ).optional(),
    failureRate: described(z.number().gt(0).max(1), 'The share of failed calls that is too much. Default: 0.5.').optional(),
    slowMs: described(
      z.number().int().min(1).max(600_000),
      'A call that takes so long is slow. Without it nobody looks at how long calls take.',
    ).optional(),
    slowRate: described(z.number().gt(0).max(1), 'The share of slow calls that is too much. Default: 0.8.').optional(),
    timeoutMs: described(
      z.number().int().min(1).max(300_000),
      'How long `run` lets a call take unless the application says otherwise; what takes longer has failed. Default: no limit.',
    ).optional(),
    openMs: described(z.number().int().min(100).max(3_600_000), 'How long a cut lasts before it probes. Default: 10000.').optional(),
    maxOpenMs: described(
      z.number().int().min(100).max(3_600_000),
      'The longest a cut lasts, however often it was renewed. Default: 300000, or openMs when that is more.',
    ).optional(),
    backoff: described(z.number().min(1).max(10), 'How much longer each renewed cut lasts. Default: 2.').optional(),
    probes: described(
      z.number().int().min(1).max(1_000),
      'Calls of the whole fleet that try the dependency after a cut. Default: 5.',
    ).optional(),
    probeSuccess: described(z.number().gt(0).max(1), 'The share of probes that must go well. Default: 0.8.').optional(),
  })
  .meta({ id: 'ValveBreaker', description: 'When a valve cuts by itself, and how it comes back.' })

const adaptiveSchema = z
  .strictObject({
    enabled: described(z.boolean(), 'Whether the valve narrows by itself before it cuts. Default: true.'),
    K: described(
      z.number().min(1).max(10),
      'It lets through so many times what the dependency answers well: nearer to 1 protects more and comes back more slowly. Default: 2.',
    ).optional(),
    maxReject: described(z.number().min(0).max(1), 'The most it turns away. Default: 0.9.').optional(),
    minRps: described(
      z.number().min(0).max(1e6),
      'At fewer calls a second, in one process, nothing is turned away. Default: 5.',
    ).optional(),
    ramp: described(
      z.number().min(0).max(1),
      'Once the last 3 seconds were clean it opens by at least this share each second, whatever the window still remembers. Default: 0, it follows the window.',
    ).optional(),
  })
  .meta({ id: 'ValveThrottle', description: 'How a valve narrows by itself.' })

/**
 * A valve setting. Shares are 0 to 1, times milliseconds. Only `auto` moves by itself. What a schema cannot say is `server/flags/valve.ts`;
 * defaults are `sdk/evaluator/valve.ts`.
 */
export const valveValueSchema = z
  .strictObject({
    mode: described(
      z.enum(['auto', 'flow', 'throttle', 'cut']),
      'auto moves by itself, flow lets everything through, throttle the share `admit`, cut nothing.',
    ),
    admit: described(
      z.number().min(0).max(1),
      'With throttle the share of calls let through; with auto the most of them, below which it moves by itself. Default for auto: 1.',
    ).optional(),
    breaker: breakerSchema.optional(),
    adaptive: adaptiveSchema.optional(),
    fallback: described(z.string().max(128), 'What the application is to do instead, in a word of its own, such as `cached`.').optional(),
    stickyBy: described(
      attributeSchema,
      'The same contexts are turned away, by this attribute, as in a rollout. Default: each call is decided at random.',
    ).optional(),
    shadow: described(z.boolean(), 'true only counts what would have been turned away. Default: false.').optional(),
    fleetTrip: described(
      z.boolean(),
      'true cuts everywhere when the calls of all instances together are bad enough, and at least three instances say so. Default: false.',
    ).optional(),
  })
  .meta({ id: 'ValveValue', description: 'How a safety valve behaves: by itself, flowing, throttled or cut.' })
export type ValveValue = z.infer<typeof valveValueSchema>

/**
 * The variations of a valve that nobody wrote any for. `auto` protects a flaky dependency, `strict` holds it to little more than it takes,
 * `half` sheds half, `cut` is the kill switch.
 */
export const VALVE_PRESETS = {
  auto: { mode: 'auto' },
  strict: { mode: 'auto', adaptive: { enabled: true, K: 1.2, ramp: 0.05 } },
  flow: { mode: 'flow' },
  half: { mode: 'throttle', admit: 0.5 },
  cut: { mode: 'cut' },
} as const satisfies Record<string, ValveValue>

/** The stages of a migration, in order. */
export const STAGES = ['off', 'dual-write', 'shadow', 'live', 'ramp-down', 'complete'] as const
export const stageSchema = z.enum(STAGES).meta({ id: 'Stage' })
export type Stage = z.infer<typeof stageSchema>
