/**
 * The messages of the stream, subprotocol `sluice.v1`, one JSON object per text frame. Programs read them, so they are
 * lenient: an unknown field or type is ignored.
 */
import { z } from 'zod'
import { COUNTS_MAX, MARK_VALUES, MARKS_MAX, OUTCOMES_MAX, TRACKED_MAX, UNKNOWN_OPERATORS_MAX } from './protocol.ts'

export { BEAT_INTERVAL_MS, CLOSE_CODES, DEAD_LINK_MS, HELLO_WITHIN_MS, PROTOCOL, UPSTREAM_BYTES_MAX } from './protocol.ts'

const revision = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
/**
 * Tells two histories of one revision apart: the first 16 digits of the hash of the log's entry. Whoever does not know it
 * leaves it out, and is then taken at its word.
 */
const hash = z.string().max(64).optional()
const marks = z
  .array(
    z
      .number()
      .int()
      .min(0)
      .max(MARK_VALUES - 1),
  )
  .max(MARKS_MAX)
  .optional()
const documents = z.array(z.looseObject({ key: z.string() }))

/** What one or more commits changed, as whole documents: the newest state of everything touched. */
const delta = {
  /** Names the log's life: a restored backup starts a new one. */
  epoch: z.string(),
  /** The revision to hold before applying this. */
  from: revision,
  revision,
  hash,
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
  hash,
})
/** `epoch`: said when it is another than at the beginning of the connection, so that a receipt under way is not taken for one of the new epoch. */
export const appliedSchema = z.looseObject({ type: z.literal('applied'), revision, epoch: z.string().max(64).optional() })

/**
 * Evaluations since the last report, summed: on the stream, and as the body of `POST /telemetry` from SDKs that poll.
 * What is optional is not said by older SDKs.
 */
export const countsSchema = z.looseObject({
  type: z.literal('counts'),
  /** Evaluations and tracked events that no longer fitted and were only counted. */
  dropped: z.number().int().min(0),
  counts: z
    .array(
      z.looseObject({
        flag: z.string().max(256),
        /** Null for an error. */
        variation: z.string().max(128).nullable(),
        reason: z.string().max(64),
        /** Which `ERROR` it was. */
        error: z.string().max(64).optional(),
        /** With `TYPE_MISMATCH`: the type that was asked for. */
        asked: z.string().max(64).optional(),
        count: z.number().int().min(1),
        unbucketed: z.number().int().min(0).optional(),
      }),
    )
    .max(COUNTS_MAX),
  /** Operators that this SDK does not know, with the flags or segments that use them. */
  unknownOperators: z.array(z.looseObject({ op: z.string().max(64), where: z.string().max(300) })).max(UNKNOWN_OPERATORS_MAX),
  /** Who reports, where no hello has said it: with `POST /telemetry`. */
  service: z.string().max(128).optional(),
  instance: z.string().max(128).optional(),
  sdk: z.string().max(64).optional(),
  /** Events of the application's own: how often, and the sum of the values they came with. */
  tracked: z
    .array(z.looseObject({ event: z.string().min(1).max(128), count: z.number().int().min(1), value: z.number() }))
    .max(TRACKED_MAX)
    .optional(),
  /**
   * How what was done under a variation ended, since the last report. `calls`, `errors` and `slow` count a context at most once
   * in a slice of `SLICE_MS`, as statistics must; those with `all` count every call.
   */
  outcomes: z
    .array(
      z.looseObject({
        flag: z.string().max(256),
        variation: z.string().max(128),
        /** What ended: '' for a report of the application's own, `old` and `new` sides of a migration, `mismatch` of its checks. */
        side: z.string().max(32).optional(),
        contexts: z.number().int().min(0),
        errors: z.number().int().min(0),
        slow: z.number().int().min(0),
        /**
         * Sixteen bits of a hash of those that failed and that were slow, so that it is seen when they are always the same ones:
         * many contexts share each. As many as fit; the others count for themselves.
         */
        failed: marks,
        slowed: marks,
        allCalls: z.number().int().min(0),
        allErrors: z.number().int().min(0),
        allSlow: z.number().int().min(0),
        /** Of all calls with a duration. */
        totalMs: z.number().min(0),
      }),
    )
    .max(OUTCOMES_MAX)
    .optional(),
})

export const upstreamSchema = z.discriminatedUnion('type', [helloSchema, appliedSchema, countsSchema])
export type Upstream = z.infer<typeof upstreamSchema>
export type Hello = z.infer<typeof helloSchema>
export type Counts = z.infer<typeof countsSchema>

export const downstreamSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('current'), epoch: z.string(), revision, hash }),
  z.looseObject({ type: z.literal('changes'), ...delta }),
  z.looseObject({ type: z.literal('change'), ...delta, volatile: z.boolean().optional() }),
  z.looseObject({
    type: z.literal('ruleset'),
    epoch: z.string(),
    revision,
    hash,
    flags: documents,
    segments: documents,
    /**
     * The SDK said hello with what the log does not have: a later revision of this epoch, or another history of one
     * (it held changes that were lost before they were stored). It must take this ruleset although its revision is no higher.
     */
    reset: z.boolean().optional(),
  }),
  z.looseObject({ type: z.literal('beat'), epoch: z.string(), revision }),
  z.looseObject({ type: z.literal('drain'), afterMs: z.number().min(0), spreadMs: z.number().min(0) }),
])
export type Downstream = z.infer<typeof downstreamSchema>
