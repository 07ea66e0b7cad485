/** A way out: who hears of changes, and of what. */
import { z } from 'zod'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'
import { secretRefSchema } from './secret.ts'

export const NOTIFIER_KINDS = ['webhook', 'slack', 'pagerduty-alerts', 'pagerduty-changes', 'statuspage'] as const
export type NotifierKind = (typeof NOTIFIER_KINDS)[number]

/** What can be heard of, coarse enough to choose from. */
export const NOTICE_TOPICS = ['kills', 'valves', 'rollouts', 'limits', 'triggers', 'flags', 'access', 'trouble'] as const
export type NoticeTopic = (typeof NOTICE_TOPICS)[number]

export const notifierSchema = z
  .strictObject({
    key: keySchema,
    kind: z.enum(NOTIFIER_KINDS),
    description: textSchema.optional(),
    enabled: z.boolean(),
    /** Default: all but `flags` and `access`. */
    topics: z.array(z.enum(NOTICE_TOPICS)).min(1).optional(),
    /** Only flags with one of these tags. */
    tags: z.array(nameSchema).max(20).optional(),
    /** Where to, for `webhook`; the others know it, or have it in their secret. */
    url: z.url().max(2_000).optional(),
    /** By name: `signing` (whsec_…), `url` (Slack), `routingKey` (PagerDuty), `apiKey` (Statuspage). */
    secrets: z.record(keySchema, secretRefSchema),
    /** Statuspage: which component stands for which flags. */
    statuspage: z
      .strictObject({
        page: z.string().max(64),
        components: z
          .array(z.strictObject({ flags: z.array(keySchema).min(1).max(100), component: z.string().max(64) }))
          .min(1)
          .max(100),
      })
      .optional(),
    /** Set by the server when it gave up, or by a person; what is to be sent waits. */
    paused: z.object({ at: momentSchema, why: z.string() }).nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Notifier', description: 'A way out: who hears of changes, and of what.' })
export type Notifier = z.infer<typeof notifierSchema>

const written = notifierSchema.pick({ description: true, topics: true, tags: true, url: true, statuspage: true })
const secretSchema = z.string().min(1).max(2_000)

/** As people make it: secrets as they are, to be kept and never shown again. */
export const notifierInputSchema = written
  .extend({
    key: keySchema,
    kind: z.enum(NOTIFIER_KINDS),
    /** Default: true. */
    enabled: z.boolean().optional(),
    /** Those of the kind; for `webhook` one is made, and shown once, unless given. */
    secrets: z.record(keySchema, secretSchema).optional(),
  })
  .meta({ id: 'NotifierInput' })
export type NotifierInput = z.infer<typeof notifierInputSchema>

/** The fields given are replaced, the others stay; `null` removes one that may be left out. */
export const notifierPatchSchema = z
  .strictObject({
    description: textSchema.nullable(),
    enabled: z.boolean(),
    topics: z.array(z.enum(NOTICE_TOPICS)).min(1).nullable(),
    tags: z.array(nameSchema).max(20).nullable(),
    url: z.url().max(2_000).nullable(),
    statuspage: written.shape.statuspage,
    secrets: z.record(keySchema, secretSchema.nullable()),
    /** `webhook`: a new signing secret is made, and shown once; the one before signs as well until it is removed. */
    rotate: z.boolean(),
  })
  .partial()
  .meta({ id: 'NotifierPatch' })
export type NotifierPatch = z.infer<typeof notifierPatchSchema>

/** How a notifier fares. */
export const notifierDeliverySchema = z
  .object({
    waiting: z.number().int(),
    /** Messages that found no room, ever. */
    leftOut: z.number().int(),
    /** Failed tries in a row of what is next. */
    failures: z.number().int(),
    /** What went wrong last; null once something was sent. */
    problem: z.string().nullable(),
    nextTryAt: momentSchema.nullable(),
    /** Since the start of the server. */
    sent: z.number().int(),
    failed: z.number().int(),
    refused: z.number().int(),
  })
  .meta({ id: 'NotifierDelivery' })
export type NotifierDelivery = z.infer<typeof notifierDeliverySchema>

/** One message of a notifier, and what became of it. */
export const sentMessageSchema = z
  .object({
    id: z.string(),
    at: momentSchema,
    type: z.string(),
    title: z.string(),
    /** All of what is said, as a webhook gets it; the other kinds put it into the words of their tool. */
    message: z.looseObject({}),
    revision: z.number().int().nullable(),
    /** `refused`: the tool will never take it. */
    state: z.enum(['waiting', 'sent', 'refused']),
    /** That failed. */
    tries: z.number().int(),
    lastAt: momentSchema.nullable(),
    lastStatus: z.number().int().nullable(),
    lastText: z.string().nullable(),
    /** Of one that waits. */
    nextAt: momentSchema.nullable(),
  })
  .meta({ id: 'SentMessage' })
export type SentMessage = z.infer<typeof sentMessageSchema>
