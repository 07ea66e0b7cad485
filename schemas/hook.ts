/** A way in for a monitoring tool: what it is, how a delivery proves that it is genuine, and what alerts from it may do. */
import { z } from 'zod'
import { keySchema, nameSchema, textSchema } from './key.ts'
import { secretRefSchema } from './secret.ts'

export const HOOK_SOURCES = [
  'alertmanager',
  'grafana',
  'datadog',
  'pagerduty',
  'sentry',
  'honeycomb',
  'newrelic',
  'cloudwatch-sns',
  'standard-webhooks',
  'generic',
] as const
export type HookSource = (typeof HOOK_SOURCES)[number]

/** How deliveries prove that they are genuine: the source's own signature, a secret in a header, or the unguessable path alone. */
export const HOOK_AUTHS = ['signature', 'header', 'path'] as const
export type HookAuth = (typeof HOOK_AUTHS)[number]

/** For `generic`: where in the body each field of an alert is. JSON Pointers (RFC 6901); texts in `constant` stand for all deliveries. */
export const hookMappingSchema = z
  .strictObject({
    /** To the array of alerts, where one body holds many. The other pointers start at each of its elements. */
    each: z.string().max(256).optional(),
    dedupKey: z.string().max(256),
    status: z.string().max(256),
    /** What the body's status means, by its text. What is not listed is `info`. */
    firing: z.array(z.string().max(128)).min(1).max(20),
    resolved: z.array(z.string().max(128)).max(20),
    severity: z.string().max(256).optional(),
    title: z.string().max(256).optional(),
    description: z.string().max(256).optional(),
    startsAt: z.string().max(256).optional(),
    link: z.string().max(256).optional(),
    /** Label name to pointer; one to an object takes all its texts. */
    labels: z.record(keySchema, z.string().max(256)).optional(),
  })
  .meta({ id: 'HookMapping' })
export type HookMapping = z.infer<typeof hookMappingSchema>

export const hookSchema = z
  .strictObject({
    key: keySchema,
    source: z.enum(HOOK_SOURCES),
    name: nameSchema.optional(),
    description: textSchema.optional(),
    enabled: z.boolean(),
    auth: z.enum(HOOK_AUTHS),
    /** The header that carries the secret or the signature, where it is not the source's usual one. */
    header: nameSchema.optional(),
    /** All of them are good at once, so that one can be replaced. */
    secrets: z.array(secretRefSchema).max(5),
    /** In the URL, `/hooks/:path`: 128 random bits. A secret only with `auth: path`. */
    path: z.string().max(64),
    /** Alerts from it are recorded, and triggers say what they would do. */
    dryRun: z.boolean(),
    /** A hook with `auth: path` may make triggers hold and tell, unless an admin says that it may act. */
    mayAct: z.boolean(),
    mapping: hookMappingSchema.optional(),
    /** `cloudwatch-sns`: the one topic that is listened to. */
    topicArn: z.string().max(256).optional(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Hook', description: 'A way in for a monitoring tool.' })
export type Hook = z.infer<typeof hookSchema>
