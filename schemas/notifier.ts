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
