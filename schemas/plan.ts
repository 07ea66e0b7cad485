/** A rollout plan: ordered steps of one variation's share, what must be so before each is left, and what turns it back. */
import { z } from 'zod'
import { ALERT_SEVERITIES } from './alert.ts'
import { attributeSchema } from './clause.ts'
import { flagPatchSchema, seedSchema, serveSchema } from './flag.ts'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'
import { killRequestSchema } from './kill.ts'
import { labelMatchSchema } from './trigger.ts'

export const PLAN_STATES = ['pending', 'scheduled', 'running', 'held', 'reverting', 'reverted', 'completed', 'cancelled'] as const
export type PlanState = (typeof PLAN_STATES)[number]

/** What lets a step be left, beside its time and its exposures: nothing, what outcomes say, or a person. */
export const PLAN_GATES = ['time', 'evidence', 'approval'] as const
export type PlanGate = (typeof PLAN_GATES)[number]

export const PLAN_PRESETS = ['fast', 'standard', 'migration'] as const
export type PlanPreset = (typeof PLAN_PRESETS)[number]

/** A `guardrail` turns the plan back; a `signal` holds it. */
export const GUARD_ROLES = ['guardrail', 'signal'] as const
export type GuardRole = (typeof GUARD_ROLES)[number]

/** Why a plan is held. */
export const HOLD_CAUSES = ['person', 'trigger', 'guard', 'no-data', 'sample-ratio', 'edited', 'killed', 'off'] as const
export type HoldCause = (typeof HOLD_CAUSES)[number]

export const STEPS_MAX = 50
export const GUARDS_MAX = 10
/** Longest time on one step: 90 days. */
export const HOLD_MS_MAX = 7_776_000_000

const count = z.number().int().min(0)
const durationMs = count.max(HOLD_MS_MAX)
const percent = z
  .number()
  .min(0)
  .max(100)
  .refine(value => Math.abs(value * 1_000 - Math.round(value * 1_000)) < 1e-6, 'has more than three decimals')

/** @param fields what every guard has, as it is written or as it stands */
function guardsWith<F extends { id: z.ZodType; role: z.ZodType }>(fields: F) {
  const shared = {
    ...fields,
    /** Only says what it would do. */
    dryRun: z.boolean().optional(),
  }
  return z.discriminatedUnion('type', [
    // The first two compare the variation with its control in the same slices of time; a context counts once a slice.
    z.strictObject({ type: z.literal('errorShare'), ...shared }),
    z.strictObject({ type: z.literal('slowShare'), ...shared }),
    /** Of a migration's checks: the share of compared answers that differ. */
    z.strictObject({
      type: z.literal('mismatch'),
      ...shared,
      /** More than this share is harm. Default: 0.001. */
      maxShare: z.number().gt(0).lt(1).optional(),
    }),
    /** An alert that matches fires. */
    z.strictObject({
      type: z.literal('alert'),
      ...shared,
      hooks: z.array(keySchema).min(1).max(20).optional(),
      labels: z.array(labelMatchSchema).max(20).optional(),
      severity: z.enum(ALERT_SEVERITIES).optional(),
    }),
    /** A valve leaves `flowing`. */
    z.strictObject({ type: z.literal('valve'), ...shared, flag: keySchema }),
    /** A hard limit on what Prometheus answers: harm is an answer for which `op threshold` is so. */
    z.strictObject({
      type: z.literal('promql'),
      ...shared,
      /** The root of the Prometheus, as in `https://prometheus.example.com`. What is not public has to be in `SLUICE_EGRESS_ALLOW`. */
      address: z.url({ protocol: /^https?$/ }).max(1_000),
      /** Gives one number: a scalar, or a vector of one element. */
      query: z.string().min(1).max(4_000),
      op: z.enum(['>', '>=', '<', '<=']),
      threshold: z.number(),
      /** Default: 30 s. */
      intervalMs: z.number().int().min(5_000).max(3_600_000).optional(),
      /** Nothing is asked for so long after a step began. Default: 0. */
      initialDelayMs: durationMs.optional(),
      /** So many bad answers are borne in a step. Default: 0. */
      failureLimit: count.max(1_000).optional(),
      /** So many failed requests in a row are borne, then it holds. Default: 4. */
      consecutiveErrorLimit: count.max(1_000).optional(),
      /** What an answer without a value is. Default: hold. */
      onNoData: z.enum(['hold', 'ignore']).optional(),
    }),
  ])
}

/** As people write it. */
export const guardInputSchema = guardsWith({
  /** Unique within the plan. Unless given: the type, numbered where there are several. */
  id: keySchema.optional(),
  /** Default: guardrail. */
  role: z.enum(GUARD_ROLES).optional(),
}).meta({ id: 'GuardInput', description: 'What watches a rollout plan.' })
export type GuardInput = z.infer<typeof guardInputSchema>

/** As it stands in a plan. */
export const guardSchema = guardsWith({ id: keySchema, role: z.enum(GUARD_ROLES) }).meta({ id: 'Guard' })
export type Guard = z.infer<typeof guardSchema>
export type GuardType = Guard['type']

export const planStepInputSchema = z
  .strictObject({
    percent: percent.gt(0),
    /** The variation that grows from this step on, over the one before, which must have reached 100 %: the stages of a migration. */
    variation: keySchema.optional(),
    /** At least so long. On the last step that is `bakeMs`. Default: 0. */
    holdMs: durationMs.optional(),
    /** At least so many contexts with an outcome under the variation (a context counts once in 10 s). Default: 0. */
    minExposures: count.max(1e9).optional(),
    /** Default: time. */
    gate: z.enum(PLAN_GATES).optional(),
    /** While this step stands, beside those of the plan. */
    guards: z.array(guardInputSchema).max(GUARDS_MAX).optional(),
  })
  .meta({ id: 'PlanStepInput' })
export type PlanStepInput = z.infer<typeof planStepInputSchema>

/** What people send to make a plan. */
export const planInputSchema = z
  .strictObject({
    /** Steps that are well tried; exactly one of this and `steps`. */
    preset: z.enum(PLAN_PRESETS).optional(),
    steps: z.array(planStepInputSchema).min(1).max(STEPS_MAX).optional(),
    /** The id of the rule whose outcome it governs; the fallthrough unless given. */
    rule: keySchema.optional(),
    /** The one that grows. Default: `on`, where that is not the off variation. */
    variation: keySchema.optional(),
    /** The one it grows over. Default: what is served now, else the off variation. */
    control: keySchema.optional(),
    /** Default: that of the rollout that stands, else targetingKey. */
    by: attributeSchema.optional(),
    seed: seedSchema.optional(),
    /** Default: with a preset, errorShare as a guardrail; else none. */
    guards: z.array(guardInputSchema).max(GUARDS_MAX).optional(),
    /** The share of harmless rollouts that may be turned back by mistake, all guards together. Default: 0.01. */
    alpha: z.number().min(1e-6).max(0.2).optional(),
    owner: nameSchema.optional(),
    description: textSchema.optional(),
    /** Default: now. null: when a person resumes it. */
    startsAt: momentSchema.nullish(),
    /** How long the last step is watched before the plan is complete. Default: 0. */
    bakeMs: durationMs.optional(),
    /** What stays with the control while 100 % is watched, in percent: without a control nothing can be compared. Default: 2. */
    holdback: percent.max(50).optional(),
    comment: textSchema.optional(),
  })
  .refine(input => (input.preset === undefined) !== (input.steps === undefined), 'must have either a preset or steps, and not both')
  .meta({ id: 'PlanInput', description: 'A rollout plan as people write it.' })
export type PlanInput = z.infer<typeof planInputSchema>

/** What was seen, by name. */
const numbersSchema = z.record(z.string(), z.number().nullable())
export type Numbers = z.infer<typeof numbersSchema>

export const planStepSchema = z.looseObject({
  variation: keySchema,
  control: keySchema,
  percent: z.number(),
  holdMs: count,
  minExposures: count,
  gate: z.enum(PLAN_GATES),
  guards: z.array(guardSchema),
})
export type PlanStep = z.infer<typeof planStepSchema>

/** The document. What is served stands in the flag; here is what is meant, where it is, and what stood before. */
export const planSchema = z
  .looseObject({
    /** The flag's key: one plan at a time for a flag in an environment. */
    key: keySchema,
    /** Names this run: its evidence is its own. */
    run: z.string(),
    state: z.enum(PLAN_STATES),
    preset: z.enum(PLAN_PRESETS).optional(),
    /** The rule it governs; null for the fallthrough. */
    rule: keySchema.nullable(),
    by: attributeSchema.optional(),
    seed: seedSchema.optional(),
    steps: z.array(planStepSchema),
    guards: z.array(guardSchema),
    alpha: z.number(),
    owner: nameSchema.optional(),
    description: textSchema.optional(),
    holdback: z.number(),
    startsAt: momentSchema.nullable(),
    startedAt: momentSchema.nullable(),
    /** Which step stands, and since when; null before the first. */
    step: count.nullable(),
    since: momentSchema.nullable(),
    /** Of the step's time, what had passed before `since`: a plan that was held goes on where it was. */
    spentMs: count,
    /** What stood before the first step, which a revert puts back. */
    before: z.object({ serve: serveSchema, enabled: z.boolean() }).nullable(),
    /** What the plan has the flag serve there; null while it has it serve nothing. */
    serving: serveSchema.nullable(),
    /** The kills that stood when it was started or resumed: another one holds it. */
    kills: z.array(z.string()),
    /** Steps that a person let go on, by index. */
    approvals: z.array(z.object({ step: count, by: z.string(), at: momentSchema })),
    held: z
      .object({ at: momentSchema, cause: z.enum(HOLD_CAUSES), by: z.string(), text: z.string(), guard: z.string().nullable() })
      .nullable(),
    /** Of the last revert: why, and what was seen. */
    reverted: z
      .object({ at: momentSchema, by: z.string(), text: z.string(), guard: z.string().nullable(), numbers: numbersSchema.nullable() })
      .nullable(),
    /** Guards count what they see from here on: moved when a person resumes in spite of one, or when other variations are compared. */
    watchedSince: momentSchema.nullable(),
    endedAt: momentSchema.nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Plan', description: 'A rollout plan of one flag in one environment.' })
export type Plan = z.infer<typeof planSchema>

/** What happens next by itself, or what it waits for. */
export const outlookSchema = z
  .object({
    /** `nothing`: it has ended, or only a person moves it. */
    what: z.enum(['start', 'advance', 'complete', 'approval', 'exposures', 'evidence', 'data', 'resume', 'clear', 'nothing']),
    /** When, where that is known. */
    at: momentSchema.nullable(),
    inMs: count.nullable(),
    text: z.string(),
  })
  .meta({ id: 'PlanOutlook' })
export type Outlook = z.infer<typeof outlookSchema>

const trialsSchema = z.object({ contexts: count, bad: count })

/** What the guards of a plan have seen. Logarithms are natural ones; `rising` is the variation that grows. */
export const planEvidenceSchema = z
  .object({
    flag: keySchema,
    run: z.string(),
    state: z.enum(PLAN_STATES),
    outlook: outlookSchema,
    step: count.nullable(),
    steps: count,
    variation: z.string(),
    control: z.string(),
    /** Served now. */
    percent: z.number(),
    inStepMs: count,
    holdMs: count,
    isLast: z.boolean(),
    alpha: z.number(),
    slices: count,
    lastSliceAt: momentSchema.nullable(),
    /** Contexts with an outcome since the step began. */
    exposures: z.object({ rising: count, control: count }),
    /** Contexts that ended, and ended badly, in the last five minutes of this run. */
    recent: z.object({ withinMs: count, rising: trialsSchema, control: trialsSchema }),
    share: z
      .object({
        configured: z.number(),
        observed: z.number().nullable(),
        kind: z.enum(['as-configured', 'too-many', 'too-few', 'lost']),
        text: z.string(),
      })
      .nullable(),
    /** Of the guardrails together, of the signals together, and where they act. */
    logE: z.number(),
    signalLogE: z.number(),
    line: z.number(),
    /** Evidence that there is no harm, of the guard that has least of it, and where it lets a step be left. */
    logClear: z.number().nullable(),
    clearLine: z.number().nullable(),
    guards: z.array(
      z.object({
        id: z.string(),
        type: z.string(),
        role: z.enum(GUARD_ROLES),
        dryRun: z.boolean(),
        state: z.enum(['watching', 'fired', 'blind']),
        text: z.string(),
        logE: z.number().nullable(),
        logClear: z.number().nullable(),
        rising: trialsSchema.nullable(),
        control: trialsSchema.nullable(),
        /** Holds at every look, with 95 %. */
        relativeRisk: z.object({ estimate: z.number().nullable(), low: z.number(), high: z.number().nullable() }).nullable(),
        /** Of a hard limit (`promql`): the last answer, when it was looked at last, and what follows. */
        limit: z
          .object({
            /** Null before the first, and for an answer without data. */
            value: z.number().nullable(),
            op: z.string(),
            threshold: z.number(),
            at: momentSchema.nullable(),
            verdict: z.enum(['waiting', 'passing', 'holding', 'failed']),
            looks: count,
            failures: count,
            /** Why the last look gave no answer. */
            problem: z.string().nullable(),
          })
          .nullable(),
      }),
    ),
    /** With the traffic of the last five minutes. */
    detectable: z
      .object({
        /** The smallest that the step's time is enough for on average; null when none is. */
        relativeRisk: z.number().nullable(),
        withinMs: count,
        twiceMs: count.nullable(),
        perSecond: z.number(),
        baseRate: z.number(),
        text: z.string(),
      })
      .nullable(),
    series: z.array(z.object({ at: momentSchema, logE: z.number(), logClear: z.number(), rising: trialsSchema, control: trialsSchema })),
    text: z.string(),
  })
  .meta({ id: 'PlanEvidence' })
export type PlanEvidence = z.infer<typeof planEvidenceSchema>

/** One change that the server makes at a time: an edit, a kill or a lift. */
export const scheduleDoSchema = z
  .discriminatedUnion('action', [
    z.strictObject({ action: z.literal('edit'), patch: flagPatchSchema.omit({ comment: true }) }),
    z.strictObject({ action: z.literal('kill'), kill: killRequestSchema.omit({ comment: true }) }),
    /** The kills that stand now, or those named: never one that is made later. */
    z.strictObject({ action: z.literal('lift'), kills: z.array(z.string().max(64)).min(1).max(100).optional() }),
  ])
  .meta({ id: 'ScheduleDo' })
export type ScheduleDo = z.infer<typeof scheduleDoSchema>

export const scheduleInputSchema = z
  .strictObject({ flag: keySchema, at: momentSchema, do: scheduleDoSchema, comment: textSchema.optional() })
  .meta({ id: 'ScheduleInput' })
export type ScheduleInput = z.infer<typeof scheduleInputSchema>

export const scheduleSchema = z
  .looseObject({
    key: keySchema,
    flag: keySchema,
    at: momentSchema,
    do: scheduleDoSchema,
    comment: textSchema.nullable(),
    /** Who asked for it, and when. */
    by: z.object({ id: z.string(), name: z.string() }),
    createdAt: momentSchema,
    /** Why it could not be made when its moment came; it is not tried again. */
    failed: z.object({ at: momentSchema, code: z.string(), text: z.string() }).nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Schedule', description: 'One change that the server makes at a time.' })
export type Schedule = z.infer<typeof scheduleSchema>
