/** Where a context falls in a rollout: a promise to users for ever, pinned by golden vectors. */
import murmur from 'murmurhash'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'

/**
 * Place a key in one of `WEIGHT_TOTAL` buckets.
 * @param key   the attribute value the rollout buckets by
 * @param seed  the flag's stored seed, 32 bits, signed or not; changing it reshuffles every context
 * @returns     an integer in [0, 100_000); one bucket is 0.001 % of contexts
 *
 * MurmurHash3_x86_32 (Appleby) over the UTF-8 bytes of `key`.
 *
 * The package encodes every key to a byte array first, which is most of its time. Keys are almost always ASCII, whose
 * UTF-8 bytes are the character codes: those are hashed as they stand, the others by the package. A property test
 * holds the two equal.
 */
export function bucketOf(key: string, seed: number): number {
  const length = key.length
  const blocksEnd = length & ~3
  let hash = seed | 0
  let all = 0
  for (let i = 0; i < blocksEnd; i += 4) {
    const a = key.charCodeAt(i)
    const b = key.charCodeAt(i + 1)
    const c = key.charCodeAt(i + 2)
    const d = key.charCodeAt(i + 3)
    all |= a | b | c | d
    hash ^= scrambled(a | (b << 8) | (c << 16) | (d << 24))
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe654_6b64) | 0
  }
  let rest = 0
  for (let i = length - 1; i >= blocksEnd; i--) {
    const code = key.charCodeAt(i)
    all |= code
    rest = (rest << 8) | code
  }
  if (all > 0x7f) return scaled(murmur.v3(key, seed >>> 0))
  if (length !== blocksEnd) hash ^= scrambled(rest)
  hash ^= length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return scaled((hash ^ (hash >>> 16)) >>> 0)
}

/**
 * What a context is bucketed by, as text: strings as they are, integers as decimal digits. Anything else, the empty
 * string and an integer that a JSON number no longer tells from its neighbours is no value: null.
 */
export function bucketKeyOf(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : null
}

/** A 32-bit hash × 100,000 stays below 2^53, so double arithmetic is exact here. */
function scaled(hash: number): number {
  return Math.floor((hash * WEIGHT_TOTAL) / 2 ** 32)
}

function scrambled(block: number): number {
  const mixed = Math.imul(block, 0xcc9e_2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b87_3593)
}
