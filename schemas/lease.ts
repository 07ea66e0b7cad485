/**
 * How tokens of limits that many instances share are lent to them, on the stream: an SDK says what it spent and would
 * like (`lease`), the server what it may spend (`grant`). A counter is (flag, variation, key).
 */
import { z } from 'zod'
import { LEASE_KEY_LENGTH_MAX, LEASE_KEYS_MAX, LEASE_TOKENS_MAX } from './protocol.ts'

const tokens = z.number().int().min(0).max(LEASE_TOKENS_MAX)
/** The SDK's own number for a counter, on this connection. */
const slot = z.number().int().min(0).max(0xffff_ffff)

export const leaseSchema = z.looseObject({
  type: z.literal('lease'),
  /** With the first frame on a connection: the instances it was last told of, so that a new server expects them. */
  instances: z.number().int().min(1).max(1e6).optional(),
  /** The instance ends: what it gives back here is all it held. */
  bye: z.boolean().optional(),
  keys: z
    .array(
      z.looseObject({
        slot,
        /** What the slot is called: with its first row on a connection, and after `gone`. */
        flag: z.string().max(256).optional(),
        variation: z.string().max(256).optional(),
        key: z.string().max(LEASE_KEY_LENGTH_MAX).optional(),
        /** Granted tokens that are left, those spent without a grant apart. */
        held: tokens,
        /** Admitted since the last row of this counter, in tokens. */
        spent: tokens,
        /** Of `spent`: without a grant, as a seed or a safe share. Absent: 0. */
        local: tokens.optional(),
        /** Denied since the last row, in tokens; with `mode: shadow` what would have been. */
        denied: tokens,
        /** Granted tokens given back, for they ran out of time unspent. Absent: 0. */
        returned: tokens.optional(),
        /** Tokens it would like on top of `held`; 0 for a report only. */
        want: tokens,
        /** Fewer than so many are of no use: what one request costs. Absent: 1. */
        least: tokens.optional(),
      }),
    )
    .max(LEASE_KEYS_MAX),
})
export type Lease = z.infer<typeof leaseSchema>
export type LeaseRow = Lease['keys'][number]

export const grantSchema = z.looseObject({
  type: z.literal('grant'),
  /** Instances of the environment that may be using its limits. */
  instances: z.number().int().min(1),
  /** The server has just started and lends nothing yet: until the next frame instances keep to their own shares. */
  learning: z.boolean().optional(),
  keys: z
    .array(
      z.looseObject({
        slot,
        /** To be added; 0 for none now. */
        tokens,
        /** How long they are good for. */
        ttlMs: z.number().int().min(0),
        /** The server does not know this slot, or no longer: what it is called is to be said again. */
        gone: z.boolean().optional(),
      }),
    )
    .max(LEASE_KEYS_MAX),
})
export type Grant = z.infer<typeof grantSchema>
export type GrantRow = Grant['keys'][number]
