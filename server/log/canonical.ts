/** One text for one value, whatever the order of its keys: what every hash of the log is taken over. */
import { createHash } from 'node:crypto'

/** What the first entry of a log names as the hash before it. */
export const NO_HASH = '0'.repeat(64)

/**
 * JSON with the keys of every object in the order of their UTF-16 code units, without white space; what is undefined is left out.
 * The form is part of the promise that old hashes stay verifiable: it never changes.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const object = value as Record<string, unknown>
  let fields = ''
  for (const key of Object.keys(object).sort()) {
    const field = object[key]
    if (field !== undefined) fields += `${fields === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(field)}`
  }
  return `{${fields}}`
}

/** SHA-256, hexadecimal, of the value's canonical JSON. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex')
}
