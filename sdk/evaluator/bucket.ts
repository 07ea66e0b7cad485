/** Where a context falls in a rollout: a promise to users for ever, pinned by golden vectors. */
import murmur from 'murmurhash'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'

/**
 * Place a key in one of `WEIGHT_TOTAL` buckets.
 * @param key   the attribute value the rollout buckets by
 * @param seed  the flag's stored seed, an unsigned 32-bit integer; changing it reshuffles every context
 * @returns     an integer in [0, 100_000); one bucket is 0.001 % of contexts
 *
 * MurmurHash3_x86_32 (Appleby) over the UTF-8 bytes of `key`.
 */
export function bucketOf(key: string, seed: number): number {
  // A 32-bit hash × 100,000 stays below 2^53, so double arithmetic is exact here.
  return Math.floor((murmur.v3(key, seed) * WEIGHT_TOTAL) / 2 ** 32)
}
