/** A way in for a monitoring tool: what it is, how a delivery proves that it is genuine, and what alerts from it may do. */
import { z } from 'zod'
import { ALERT_STATUSES, alertSchema } from './alert.ts'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'
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

const headerSchema = z.string().regex(/^[A-Za-z0-9-]{1,100}$/, 'must be the name of a header: letters, digits and -')

export const hookSchema = z
  .strictObject({
    key: keySchema,
    source: z.enum(HOOK_SOURCES),
    name: nameSchema.optional(),
    description: textSchema.optional(),
    enabled: z.boolean(),
    auth: z.enum(HOOK_AUTHS),
    /** The header that carries the secret or the signature, where it is not the source's usual one. */
    header: headerSchema.optional(),
    /** `grafana`: the header with the moment that is signed along. Without it a delivery is genuine however old it is. */
    timestampHeader: headerSchema.optional(),
    /** All of them are good at once, so that one can be replaced. */
    secrets: z.array(secretRefSchema).max(5),
    /** In the URL, `/hooks/:path`: 128 random bits. With `auth: path` a point and a secret follow it, which is kept like the others. */
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

/** The shortest secret that people may give: it guards what an alert may do. */
export const HOOK_SECRET_LENGTH_MIN = 16
/** Without a control character: most of them travel in a header. */
export const hookSecretSchema = z
  .string()
  .min(HOOK_SECRET_LENGTH_MIN, `must have at least ${HOOK_SECRET_LENGTH_MIN} characters`)
  .max(1_024)
  .regex(/^[\x21-\x7e]+$/, 'must be letters, digits and signs of ASCII, without blanks')

const { key, source, name, description, enabled, auth, header, timestampHeader, dryRun, mayAct, mapping, topicArn } = hookSchema.shape

/** A hook as people write it; what is left out is the source's usual. */
export const hookInputSchema = z
  .strictObject({
    key,
    source,
    name,
    description,
    enabled: enabled.optional(),
    auth: auth.optional(),
    header,
    timestampHeader: timestampHeader.nullable(),
    dryRun: dryRun.optional(),
    mayAct: mayAct.optional(),
    mapping,
    topicArn,
    /** Theirs, where the tool makes one; else one is made here and answered once. */
    secret: hookSecretSchema.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'HookInput' })
export type HookInput = z.infer<typeof hookInputSchema>

export const hookPatchSchema = z
  .strictObject({
    name: name.nullable(),
    description: description.nullable(),
    enabled: enabled.optional(),
    auth: auth.optional(),
    header: header.nullable(),
    timestampHeader: timestampHeader.nullable(),
    dryRun: dryRun.optional(),
    mayAct: mayAct.optional(),
    mapping: mapping.nullable(),
    topicArn: topicArn.nullable(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'HookPatch' })
export type HookPatch = z.infer<typeof hookPatchSchema>

/** What became of a delivery. All but the first three changed nothing, and neither did the second and third. */
export const HOOK_VERDICTS = [
  'accepted',
  /** All of it was known. */
  'duplicate',
  /** Overtaken: what it says was over before it came. */
  'late',
  'bad-signature',
  /** Genuine, and from another time than now. */
  'stale',
  'malformed',
  'unknown-hook',
  'disabled',
  'over-limit',
  /** Genuine, and this server could not keep it: the tool was told to send it again. */
  'not-stored',
] as const
export type HookVerdict = (typeof HOOK_VERDICTS)[number]

export const hookDeliverySchema = z
  .object({
    id: z.string(),
    /** Null where no hook has the path. */
    hook: keySchema.nullable(),
    at: momentSchema,
    verdict: z.enum(HOOK_VERDICTS),
    /** Why, and what could not be read of it; empty when there is nothing to say. */
    reason: z.string(),
    bytes: z.number().int(),
    /** The address of the connection: a proxy's, where one is in between. */
    remote: z.string(),
    headers: z.record(z.string(), z.string()),
    /** The beginning of the body. */
    payload: z.string(),
    alerts: z.array(
      z.object({
        /** Null for one that was not new. */
        id: z.string().nullable(),
        dedupKey: z.string(),
        status: z.enum(ALERT_STATUSES),
        title: z.string(),
        outcome: z.enum(['new', 'duplicate', 'late']),
      }),
    ),
    /** Refused ones with the same verdict before it that were not kept, as there were too many. */
    skipped: z.number().int(),
  })
  .meta({ id: 'HookDelivery', description: 'One request to a hook, and what became of it.' })
export type HookDelivery = z.infer<typeof hookDeliverySchema>

/** An alert as a delivery says it: before it has an id, and a moment where the tool says none. */
export const hookReadingSchema = alertSchema
  .omit({ id: true, hook: true, externalId: true, receivedAt: true })
  .extend({ startsAt: momentSchema.nullable() })
  .meta({ id: 'HookReading' })
