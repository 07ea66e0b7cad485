/**
 * The messages of the stream, subprotocol `sluice.v1`, one JSON object per text frame. Programs read them, so they are
 * lenient: an unknown field or type is ignored.
 */
import { z } from 'zod'

export const PROTOCOL = 'sluice.v1'
/** Largest frame the server accepts from an SDK, in bytes. */
export const UPSTREAM_BYTES_MAX = 64 * 1024
/** How often the server says which revision it has. */
export const BEAT_INTERVAL_MS = 5_000
/** An SDK that has heard nothing for so long takes the link for dead. */
export const DEAD_LINK_MS = 15_000
/** How long a connection may stay without its hello. */
export const HELLO_WITHIN_MS = 10_000

/** Why the server closes a socket. After each an SDK comes back as after any loss, but see `KEY`. */
export const CLOSE_CODES = {
  /** A message that breaks the protocol, too many of them, or an environment that was deleted. */
  PROTOCOL: 1008,
  /** A message larger than `UPSTREAM_BYTES_MAX`. */
  TOO_LARGE: 1009,
  /** The server restarts: come back as the `drain` before it said. */
  RESTART: 1012,
  /** This socket could not keep up: come back later. */
  TRY_LATER: 1013,
  /** The key was revoked or has expired: coming back with it is refused with 401. */
  KEY: 4401,
} as const

const revision = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const documents = z.array(z.looseObject({ key: z.string() }))

/** What one or more commits changed, as whole documents: the newest state of everything touched. */
const delta = {
  /** Names the log's life: a restored backup starts a new one. */
  epoch: z.string(),
  /** The revision to hold before applying this. */
  from: revision,
  revision,
  flags: documents,
  segments: documents,
  removedFlags: z.array(z.string()),
  removedSegments: z.array(z.string()),
}

export const helloSchema = z.looseObject({
  type: z.literal('hello'),
  instance: z.string().min(1).max(128),
  service: z.string().max(128),
  sdk: z.string().max(64),
  /** What the SDK holds: 0 and '' for nothing. */
  revision,
  epoch: z.string().max(64),
})
export const appliedSchema = z.looseObject({ type: z.literal('applied'), revision })

/** Evaluations since the last report, summed. `variation` is null for an error. */
export const countsSchema = z.looseObject({
  type: z.literal('counts'),
  /** Evaluations that no longer fitted and were only counted. */
  dropped: z.number().int().min(0),
  counts: z
    .array(
      z.looseObject({
        flag: z.string().max(256),
        variation: z.string().max(128).nullable(),
        reason: z.string().max(64),
        count: z.number().int().min(1),
        unbucketed: z.number().int().min(0).optional(),
      }),
    )
    .max(1_000),
  /** Operators that this SDK does not know, with the flags or segments that use them. */
  unknownOperators: z.array(z.looseObject({ op: z.string().max(64), where: z.string().max(300) })).max(100),
})

export const upstreamSchema = z.discriminatedUnion('type', [helloSchema, appliedSchema, countsSchema])
export type Upstream = z.infer<typeof upstreamSchema>
export type Hello = z.infer<typeof helloSchema>
export type Counts = z.infer<typeof countsSchema>

export const downstreamSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('current'), epoch: z.string(), revision }),
  z.looseObject({ type: z.literal('changes'), ...delta }),
  z.looseObject({ type: z.literal('change'), ...delta, volatile: z.boolean().optional() }),
  z.looseObject({
    type: z.literal('ruleset'),
    epoch: z.string(),
    revision,
    flags: documents,
    segments: documents,
    /**
     * The SDK said hello with a later revision of this epoch than the log has (it held changes that were lost before
     * they were stored). It must take this ruleset although its revision is lower.
     */
    reset: z.boolean().optional(),
  }),
  z.looseObject({ type: z.literal('beat'), epoch: z.string(), revision }),
  z.looseObject({ type: z.literal('drain'), afterMs: z.number().min(0), spreadMs: z.number().min(0) }),
])
export type Downstream = z.infer<typeof downstreamSchema>
