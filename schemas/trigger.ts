/** What happens when an alert says so: `when` → `do`. It never acts in the unsafe direction by itself. */
import { z } from 'zod'
import { ALERT_SEVERITIES, ALERT_STATUSES } from './alert.ts'
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

/** Longest text that a banner or a comment quotes of an alert, in characters. */
export const ALERT_TITLE_MAX = 200
/** Entries of one tripping that it remembers, the newest: a step each. */
export const TRIPPED_REVISIONS_MAX = 20

export const trippedSchema = z
  .strictObject({
    at: momentSchema,
    /** The id of the alert, the hook that it came in by, and what it says. */
    alert: z.string(),
    hook: z.string(),
    title: z.string().max(ALERT_TITLE_MAX),
    /** Where the tool shows it, if it said so. */
    link: z.string().max(2_048).nullable(),
    /** What was done, for people. */
    text: textSchema,
    /** The entries it made since it tripped, oldest first. */
    revisions: z.array(z.number().int().min(1)).min(1).max(TRIPPED_REVISIONS_MAX),
    /** Steps taken of `percents`; 0 for what has none. */
    step: z.number().int().min(0),
    /** Where it acts on one flag: the flag's version as it left it. */
    version: z.number().int().min(1).optional(),
  })
  .meta({ id: 'Tripped', description: 'What a trigger did last, as long as nobody has put it back.' })
export type Tripped = z.infer<typeof trippedSchema>

/** What people write of a trigger. */
const writtenShape = {
  description: textSchema.optional(),
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
}

export const triggerSchema = z
  .strictObject({
    key: keySchema,
    enabled: z.boolean(),
    ...writtenShape,
    /** The server keeps it: what it did last; null when it never fired, or when that was put back. */
    tripped: trippedSchema.nullable(),
    /** The server keeps it: alerts that began to fire before are dealt with. */
    lastFiredAt: momentSchema.nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Trigger', description: 'What happens when an alert says so.' })
export type Trigger = z.infer<typeof triggerSchema>
export type TriggerWhen = z.infer<typeof triggerWhenSchema>
export type TriggerDo = z.infer<typeof triggerDoSchema>

export const triggerInputSchema = z
  .strictObject({ key: keySchema, enabled: z.boolean().optional(), ...writtenShape })
  .meta({ id: 'TriggerInput', description: 'A trigger as people write it; enabled unless said otherwise.' })
export type TriggerInput = z.infer<typeof triggerInputSchema>

/** `null` takes an optional field away. */
export const triggerPatchSchema = z
  .strictObject({
    enabled: z.boolean().optional(),
    description: writtenShape.description.nullable(),
    when: triggerWhenSchema.optional(),
    do: triggerDoSchema.optional(),
    coolDownMs: writtenShape.coolDownMs.nullable(),
    maxFiresPerHour: writtenShape.maxFiresPerHour.nullable(),
    onResolve: writtenShape.onResolve.nullable(),
    dryRun: writtenShape.dryRun.nullable(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'TriggerPatch', description: 'The fields to replace; the others stay.' })
export type TriggerPatch = z.infer<typeof triggerPatchSchema>

/** An alert as people try a trigger on it: what is left out is firing since now, an error, without labels. */
export const alertSampleSchema = z
  .strictObject({
    hook: keySchema.optional(),
    status: z.enum(ALERT_STATUSES).optional(),
    severity: z.enum(ALERT_SEVERITIES).optional(),
    title: z.string().max(4_096).optional(),
    labels: z.record(z.string().min(1).max(256), z.string().max(4_096)).optional(),
    startsAt: momentSchema.optional(),
  })
  .meta({ id: 'AlertSample' })
export type AlertSample = z.infer<typeof alertSampleSchema>
