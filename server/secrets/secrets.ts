/**
 * Secrets that the server must be able to use: to verify a signature, to sign, to send. They are sealed with AES-256-GCM by
 * a key in a file beside the database, so that a copy of the database alone opens nothing; no answer, entry or log line
 * ever holds one.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SluiceError } from '../../schemas/errors.ts'
import type { SecretRef } from '../../schemas/secret.ts'
import { type Clock, moment } from '../clock.ts'
import type { SecretStorage } from '../storage/secrets.ts'

export const SECRET_KEY_FILE = 'secrets.key'
const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Shorter ones have no hint: it would be a part of them worth having. */
const HINTED_LENGTH_MIN = 16
const HINT_LENGTH = 4

export interface Secrets {
  /** Keep a secret. The answer is what documents hold in its place. Errors: `STORAGE_FULL`, `STORAGE_UNAVAILABLE`. */
  keep(text: string): Promise<SecretRef>
  /** Null for one that is gone, or that this server's key does not open: a database restored without its key file. */
  read(id: string): Promise<string | null>
  /** Of several that are good at once, those that can be read. */
  readAll(refs: readonly SecretRef[]): Promise<string[]>
  forget(refs: readonly SecretRef[]): Promise<void>
  /** A text that only this server reads, handed out instead of kept: whoever brings it back may be asked what it says. */
  seal(purpose: string, text: string): string
  /** Null for what this server has not sealed for this purpose. */
  unseal(purpose: string, sealed: string): string | null
}

/** Error: `STORAGE_UNAVAILABLE` when the key file can be neither read nor made. */
export function openSecrets(options: { readonly data: string; readonly storage: SecretStorage; readonly clock: Clock }): Secrets {
  const { data, storage, clock } = options
  const key = keyIn(join(data, SECRET_KEY_FILE))
  /** Deliveries ask for the same few again and again. */
  const known = new Map<string, string>()

  const read = async (id: string): Promise<string | null> => {
    const held = known.get(id)
    if (held !== undefined) return held
    const sealed = await storage.sealed(id)
    const text = sealed === null ? null : opened(key, id, sealed)
    if (text !== null) known.set(id, text)
    return text
  }

  return {
    async keep(text) {
      const id = `s_${randomBytes(9).toString('hex')}`
      const now = clock.now()
      await storage.add({ id, sealed: sealedBy(key, id, text), createdAt: now })
      known.set(id, text)
      return { id, hint: text.length < HINTED_LENGTH_MIN ? '' : text.slice(-HINT_LENGTH), createdAt: moment(now) }
    },
    read,
    async readAll(refs) {
      const texts = await Promise.all(refs.map(ref => read(ref.id)))
      return texts.filter(text => text !== null)
    },
    async forget(refs) {
      for (const { id } of refs) known.delete(id)
      await storage.remove(refs.map(({ id }) => id))
    },
    seal: (purpose, text) => sealedBy(key, purpose, text),
    unseal: (purpose, sealed) => opened(key, purpose, sealed),
  }
}

function keyIn(file: string): Buffer {
  try {
    return keyRead(file) ?? keyMade(file)
  } catch (cause) {
    const message = `The key of the secrets, ${file}, can be neither read nor made: ${String(cause)}. Make the folder writable, or put the file back.`
    throw new SluiceError('STORAGE_UNAVAILABLE', message, { cause })
  }
}

function keyRead(file: string): Buffer | null {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const key = Buffer.from(text.trim(), 'hex')
  if (key.length !== KEY_BYTES) throw new Error('it does not hold 64 hexadecimal digits')
  return key
}

function keyMade(file: string): Buffer {
  const key = randomBytes(KEY_BYTES)
  writeFileSync(file, `${key.toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  return key
}

/** What it is for is sealed with it, so that a row moved to another id does not open. */
function sealedBy(key: Buffer, id: string, text: string): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(Buffer.from(id))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
}

function opened(key: Buffer, id: string, sealed: string): string | null {
  const bytes = Buffer.from(sealed, 'base64')
  const body = bytes.subarray(NONCE_BYTES + TAG_BYTES)
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(id))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
  } catch {
    return null
  }
}
