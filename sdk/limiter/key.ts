/** The text that tells one counter from another. */
import { LEASE_KEY_LENGTH_MAX } from '../../schemas/protocol.ts'
import type { Context } from '../../schemas/context.ts'
import { type Attribute, readRaw } from '../evaluator/attribute.ts'
import { bucketKeyOf, bucketOf } from '../evaluator/bucket.ts'

/** Hashes that stand for the end of a key that is too long: two, so that it takes intent to make two keys one. */
const SEEDS = [0x5eed_0001, 0x5eed_0002]
const LONGEST = LEASE_KEY_LENGTH_MAX - 16

/** One attribute: its text as it is, an integer as decimal digits, the empty text for what is missing. */
export function keyOf(attribute: Attribute, context: Context): string {
  const value = readRaw(attribute, context)
  const key = typeof value === 'string' ? value : (bucketKeyOf(value) ?? '')
  return key.length > LEASE_KEY_LENGTH_MAX ? shortened(key) : key
}

/** Several, in order, as in `a-17|POST`; a `|` or `\` within one is escaped by `\`. None: the empty text. */
export function joinedKeyOf(attributes: readonly Attribute[], context: Context): string {
  let joined = ''
  for (let i = 0; i < attributes.length; i++) {
    const text = keyOf(attributes[i]!, context)
    const part = text.includes('|') || text.includes('\\') ? text.replace(/[|\\]/g, '\\$&') : text
    joined = i === 0 ? part : `${joined}|${part}`
  }
  return joined.length > LEASE_KEY_LENGTH_MAX ? shortened(joined) : joined
}

function shortened(key: string): string {
  return `${key.slice(0, LONGEST)}#${SEEDS.map(seed => bucketOf(key, seed).toString().padStart(5, '0')).join('')}`
}
