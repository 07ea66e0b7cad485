/** The form of keys: `slc_<kind>_<id>_<secret>`. The id finds the key, the secret proves it; at rest there is only a hash of the whole. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { KEY_KINDS, type KeyKind } from '../../schemas/accesskey.ts'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 71 bits: found by accident never, and short enough to read out. */
const ID_LENGTH = 12
/** 256 bits of a cryptographic random source need 43 digits of base 62. */
const SECRET_BYTES = 32
const SECRET_LENGTH = 43

const PATTERN = /^slc_([a-z]{1,16})_([0-9A-Za-z]{8,32})_([0-9A-Za-z]{32,64})$/

export interface NewToken {
  readonly id: string
  /** Shown once, never kept. */
  readonly token: string
  /** What is kept: SHA-256 of the token, hexadecimal. */
  readonly hash: string
}

/** A new random key. */
export function makeToken(kind: KeyKind): NewToken {
  const id = randomDigits(ID_LENGTH)
  const token = `slc_${kind}_${id}_${base62(randomBytes(SECRET_BYTES)).padStart(SECRET_LENGTH, '0')}`
  return { id, token, hash: hashOf(token).toString('hex') }
}

/** What a token says of itself, or null for one that was not made here. */
export function readToken(token: string): { readonly kind: KeyKind; readonly id: string } | null {
  const match = PATTERN.exec(token)
  if (match === null) return null
  const kind = match[1] as KeyKind
  return KEY_KINDS.includes(kind) ? { kind, id: match[2] ?? '' } : null
}

/** SHA-256 of a token. The secret's 256 random bits make a slow hash needless. */
export function hashOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

/** Whether two hashes are equal, in a time that does not depend on where they differ. */
export function isSameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function randomDigits(length: number): string {
  let text = ''
  // Bytes above the largest multiple of 62 would favour the first digits.
  while (text.length < length)
    for (const byte of randomBytes(length)) if (byte < 248 && text.length < length) text += ALPHABET.charAt(byte % 62)
  return text
}

function base62(bytes: Buffer): string {
  let number = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (; number > 0n; number /= 62n) text = ALPHABET.charAt(Number(number % 62n)) + text
  return text
}
