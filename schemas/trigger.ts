/** What happens when an alert says so: `when` → `do`. It never acts in the unsafe direction by itself. */
import { z } from 'zod'
import { ALERT_SEVERITIES } from './alert.ts'
import { clausesSchema } from './clause.ts'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'

/** Of alerts: a label has one of these texts, or (negated) none of them. A missing label never matches, negated or not. */
export const labelMatchSchema = z.strictObject({
  label: z.string().min(1).max(256),
  values: z.array(z.string().max(4_096)).min(1).max(100),
  negate: z.boolean().optional(),
})

export const triggerWhenSchema = z
  .strictObject({
    /** Keys of hooks; any unless given. */
    hooks: z.array(keySchema).max(20).optional(),
    /** All must match. */
    labels: z.array(labelMatchSchema).max(20).optional(),
    /** At least as bad as this. */
    severity: z.enum(ALERT_SEVERITIES).optional(),
    /** The edge it acts on. Default: firing. */
    status: z.enum(['firing', 'resolved']).optional(),
    /** Only once it has been firing for so long. */
    forMs: z.number().int().min(0).max(3_600_000).optional(),
    /** Only once so many different alerts are firing (k) … */
    atLeast: z.number().int().min(1).max(1_000).optional(),
    /** … that began within so long (m). */
    withinMs: z.number().int().min(1_000).max(86_400_000).optional(),
  })
  .meta({ id: 'TriggerWhen' })

export const triggerDoSchema = z
  .discriminatedUnion('action', [
    z.strictObject({
      action: z.literal('kill'),
      /** One of the two, as with `kill` itself. */
      flags: z.array(keySchema).min(1).max(100).optional(),
      tag: nameSchema.optional(),
      variation: keySchema.optional(),
      clauses: clausesSchema.optional(),
      /** The kill ends by itself after so long. */
      expiresAfterMs: z.number().int().min(60_000).max(2_592_000_000).optional(),
    }),
    /** Serve one variation to everyone who is not a target or matched by a rule. */
    z.strictObject({ action: z.literal('set-variation'), flag: keySchema, variation: keySchema }),
    /** The variation's share in the fallthrough's rollout, only ever downwards; more than one: a step at each fire. */
    z.strictObject({
      action: z.literal('set-percentage'),
      flag: keySchema,
      variation: keySchema,
      percents: z.array(z.number().min(0).max(100)).min(1).max(10),
    }),
    /** Admit so many percent, a step at each fire (`[50, 10, 0]`), 0 is a cut. */
    z.strictObject({ action: z.literal('throttle-valve'), flag: keySchema, percents: z.array(z.number().min(0).max(99)).min(1).max(10) }),
    z.strictObject({ action: z.literal('hold-rollout'), flag: keySchema }),
    /** Only tell. */
    z.strictObject({ action: z.literal('notify') }),
  ])
  .meta({ id: 'TriggerDo' })

export const triggerSchema = z
  .strictObject({
    key: keySchema,
    description: textSchema.optional(),
    enabled: z.boolean(),
    when: triggerWhenSchema,
    do: triggerDoSchema,
    /** After a fire nothing for so long. Default: 5 minutes. */
    coolDownMs: z.number().int().min(0).max(86_400_000).optional(),
    /** Default: 6. */
    maxFiresPerHour: z.number().int().min(1).max(1_000).optional(),
    /** `restore`: undo exactly what it did, once all its alerts are resolved and nobody has touched it since. Default: nothing. */
    onResolve: z.enum(['nothing', 'restore']).optional(),
    /** Says what it would do, and does nothing. */
    dryRun: z.boolean().optional(),
    /** What it did last; null when it never fired or was restored. The server keeps it. */
    tripped: z
      .object({
        at: momentSchema,
        alert: z.string(),
        title: z.string(),
        /** What was done, for people. */
        text: z.string(),
        /** The entry it made; null where there was nothing left to do. */
        revision: z.number().int().nullable(),
        /** Steps taken of `percents`. */
        step: z.number().int().min(0),
      })
      .nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Trigger', description: 'What happens when an alert says so.' })
export type Trigger = z.infer<typeof triggerSchema>
export type TriggerWhen = z.infer<typeof triggerWhenSchema>
export type TriggerDo = z.infer<typeof triggerDoSchema>
