/** What a monitoring tool said, in one form whatever the tool. */
import { z } from 'zod'
import { keySchema, momentSchema } from './key.ts'

export const ALERT_STATUSES = ['firing', 'resolved', 'info'] as const
export type AlertStatus = (typeof ALERT_STATUSES)[number]

/** From the worst. What a tool says in other words is mapped to the nearest. */
export const ALERT_SEVERITIES = ['critical', 'error', 'warning', 'info'] as const
export type AlertSeverity = (typeof ALERT_SEVERITIES)[number]

const labels = z.record(z.string().max(256), z.string().max(4_096))

export const alertSchema = z
  .object({
    /** Ours. */
    id: z.string(),
    /** The hook that it came in by. */
    hook: keySchema,
    /** What the tool calls this delivery, where it does. */
    externalId: z.string().nullable(),
    /** The same from firing to resolved. */
    dedupKey: z.string(),
    status: z.enum(ALERT_STATUSES),
    severity: z.enum(ALERT_SEVERITIES),
    title: z.string(),
    description: z.string(),
    labels,
    annotations: labels,
    /** As the tool says it; else when it arrived. */
    startsAt: momentSchema,
    endsAt: momentSchema.nullable(),
    receivedAt: momentSchema,
    links: z.array(z.string()),
  })
  .meta({ id: 'Alert', description: 'What a monitoring tool said, in one form whatever the tool.' })
export type Alert = z.infer<typeof alertSchema>
