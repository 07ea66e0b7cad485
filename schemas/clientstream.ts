/**
 * The messages of the stream for client keys (`/stream/client`, subprotocol `sluice.client.v1`), one JSON object per text
 * frame. A client says who is asking, the server evaluates, and says again what changes: values, never rules. Lenient, as
 * all that programs read.
 */
import { z } from 'zod'
import { contextSchema } from './context.ts'
import { COUNTS_MAX, TRACKED_MAX } from './protocol.ts'

const revision = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
/** Tells two histories of one revision apart, as on the stream of SDKs. */
const hash = z.string().max(64).optional()
/** The client's number for its context, said back with the answer, so that an answer to a former one is told apart. */
const contextId = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

/** The first message, and said again with every other context. */
export const clientHelloSchema = z.looseObject({
  type: z.literal('hello'),
  sdk: z.string().max(64),
  contextId,
  context: contextSchema,
  /** What the client holds for this context: 0 and '' for nothing. */
  revision,
  epoch: z.string().max(64),
  hash,
})
/** Evaluations in the page since the last report, summed. Those of flags that the key may not see are left out. */
export const clientCountsSchema = z.looseObject({
  type: z.literal('counts'),
  counts: z
    .array(
      z.looseObject({
        flag: z.string().max(256),
        variation: z.string().max(128).nullable(),
        reason: z.string().max(64),
        count: z.number().int().min(1),
      }),
    )
    .max(COUNTS_MAX),
  /** Events of the page's own: how often, and the sum of the values they came with. */
  tracked: z
    .array(z.looseObject({ event: z.string().min(1).max(128), count: z.number().int().min(1), value: z.number() }))
    .max(TRACKED_MAX)
    .optional(),
})
export const clientUpstreamSchema = z.discriminatedUnion('type', [clientHelloSchema, clientCountsSchema])
export type ClientHello = z.infer<typeof clientHelloSchema>
export type ClientCounts = z.infer<typeof clientCountsSchema>

/** One flag as OFREP answers it, but for the revision, which is said once per message. */
export const clientItemSchema = z.union([
  z.looseObject({
    key: z.string(),
    value: z.json(),
    /** The variation's key. */
    variant: z.string(),
    /** OpenFeature's word; ours is `metadata.reason`. */
    reason: z.string(),
    metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  }),
  z.looseObject({
    key: z.string(),
    errorCode: z.string(),
    errorDetails: z.string(),
    metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  }),
])

export const clientDownstreamSchema = z.discriminatedUnion('type', [
  /** What the client holds is what the server has. */
  z.looseObject({ type: z.literal('current'), contextId, epoch: z.string(), revision, hash }),
  z.looseObject({
    type: z.literal('evaluations'),
    contextId,
    epoch: z.string(),
    revision,
    hash,
    flags: z.array(clientItemSchema),
    /** What the client held was lost here: it must take this although its revision is no higher. */
    reset: z.boolean().optional(),
  }),
  /** After a commit: what of it concerns this context, perhaps nothing. */
  z.looseObject({
    type: z.literal('changed'),
    epoch: z.string(),
    from: revision,
    revision,
    hash,
    flags: z.array(clientItemSchema),
    /** Flags that are gone, or not for this key any more. */
    removed: z.array(z.string()),
  }),
  z.looseObject({ type: z.literal('beat'), epoch: z.string(), revision }),
  z.looseObject({ type: z.literal('drain'), afterMs: z.number().min(0), spreadMs: z.number().min(0) }),
])
export type ClientDownstream = z.infer<typeof clientDownstreamSchema>
