/**
 * Which keys are valid now. Keys made through the API are documents of the server's log, found by their id; those set
 * by configuration live in memory alone, so that changing the variable ends the former one.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { AccessKey } from '../../schemas/accesskey.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Config } from '../config.ts'
import { type ChangeLog, type Published, SERVER_LOG } from '../log/types.ts'
import type { KeyRing } from '../services.ts'
import type { Access } from './policy.ts'
import { hashOf, isSameHash, readToken } from './token.ts'

/** The ids of the keys that configuration sets. They hold a character that no made id has. */
export const CONFIGURED_ADMIN = 'configured-admin'
export const CONFIGURED_SERVER = 'configured-server'

/** The longest text that is looked at as a key. */
const TOKEN_LENGTH_MAX = 512
/** Of a key's hash: enough to tell keys apart, too little to guess by. */
const STAMP_BYTES = 8
/** Keys remembered as right; above it all are forgotten and hashed once more. */
const RECENT_MAX = 1_000

export interface KeyRingOptions {
  readonly log: Pick<ChangeLog, 'state' | 'subscribe'>
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly config: Pick<Config, 'adminKey' | 'serverKey'>
  /** The environment of the configured server key. */
  readonly project: string
  readonly environment: string
}

export interface KeyRingHandle extends KeyRing {
  /** The keys that configuration sets. */
  readonly configured: readonly Access[]
  /** A key that is good now, for who acts with its permissions without holding it; null for none such. */
  byId(id: string): Access | null
  /** Tells two keys of one id apart, as configuration makes them; null for a key that is not good now. */
  stampOf(id: string): string | null
  close(): void
}

interface Known {
  readonly hash: Buffer
  readonly access: Access
  /** ms since 1970, or Infinity. */
  readonly expiresAt: number
}

interface Recent {
  /** The document it was checked against; null for a key of the configuration. */
  readonly key: AccessKey | null
  readonly known: Known
}

export function openKeyRing(options: KeyRingOptions): KeyRingHandle {
  const { log, clock, logger } = options
  const configured = configuredKeys(options)
  // What is derived from a document is kept as long as the document itself.
  const derived = new WeakMap<AccessKey, Known>()
  // Keys that were right a moment ago, so that a busy key is not hashed for every request. Never a wrong one: what is
  // remembered is bounded by what exists. A revoked or replaced key is no longer the document it was remembered with.
  const recent = new Map<string, Recent>()
  const listeners = new Set<(id: string) => void>()
  let timer: Timer | null = null

  function knownOf(key: AccessKey): Known {
    let known = derived.get(key)
    if (known === undefined) {
      known = { hash: Buffer.from(key.hash, 'hex'), access: accessOf(key), expiresAt: expiryOf(key) }
      derived.set(key, known)
    }
    return known
  }

  function remember(token: string, entry: Recent): void {
    if (recent.size >= RECENT_MAX) recent.clear()
    recent.set(token, entry)
  }

  /** Whether a key that was right a moment ago still is. */
  function stands({ key, known }: Recent): boolean {
    if (known.expiresAt !== Infinity && known.expiresAt <= clock.now()) return false
    return key === null || log.state(SERVER_LOG).documents.key.get(key.key) === key
  }

  function tellRevoked(id: string): void {
    for (const listener of listeners) {
      try {
        listener(id)
      } catch (error) {
        logger.error({ err: error, key: id }, 'a listener for revoked keys failed; the others are told')
      }
    }
  }

  /** Wake when the next key expires, and say so. Those that had expired by `since` have been told already. */
  function watchExpiry(since: number): void {
    timer?.cancel()
    timer = null
    const now = clock.now()
    let next = Infinity
    for (const key of log.state(SERVER_LOG).documents.key.values()) {
      const at = expiryOf(key)
      if (at > since && at <= now) tellRevoked(key.key)
      else if (at > now) next = Math.min(next, at)
    }
    if (next !== Infinity) timer = clock.after(next - now, () => watchExpiry(now))
  }

  const unsubscribe = log.subscribe(({ log: name, change }: Published) => {
    if (name !== SERVER_LOG) return
    for (const edit of change.edits) if (edit.type === 'key' && edit.after === null) tellRevoked(edit.key)
    if (change.edits.some(edit => edit.type === 'key')) watchExpiry(clock.now())
  })
  watchExpiry(clock.now())

  function goodKey(id: string): Known | null {
    const set = configured.find(known => known.access.id === id)
    if (set !== undefined) return set
    const key = log.state(SERVER_LOG).documents.key.get(id)
    return key === undefined || expiryOf(key) <= clock.now() ? null : knownOf(key)
  }

  return {
    configured: configured.map(known => known.access),
    byId: id => goodKey(id)?.access ?? null,
    stampOf: id => goodKey(id)?.hash.toString('hex', 0, STAMP_BYTES) ?? null,
    authenticate(token) {
      if (token.length > TOKEN_LENGTH_MAX) throw invalid()
      const before = recent.get(token)
      if (before !== undefined && stands(before)) return before.known.access
      const documents = log.state(SERVER_LOG).documents.key
      const hash = hashOf(token)
      for (const known of configured) {
        if (!isSameHash(known.hash, hash)) continue
        remember(token, { key: null, known })
        return known.access
      }
      const said = readToken(token)
      const key = said === null ? undefined : documents.get(said.id)
      if (key === undefined) throw invalid()
      const known = knownOf(key)
      if (!isSameHash(known.hash, hash)) throw invalid()
      if (known.expiresAt <= clock.now()) {
        throw new SluiceError('KEY_EXPIRED', `Key "${key.name}" expired at ${key.expiresAt ?? ''}. Ask for a new one.`)
      }
      remember(token, { key, known })
      return known.access
    },
    onRevoked(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close() {
      unsubscribe()
      timer?.cancel()
      listeners.clear()
    },
  }
}

/** The caller that a key stands for. */
export function accessOf(key: AccessKey): Access {
  return {
    id: key.key,
    kind: key.kind,
    name: key.name,
    grants: key.grants,
    project: key.project ?? null,
    environment: key.environment ?? null,
  }
}

function expiryOf(key: AccessKey): number {
  return key.expiresAt === null ? Infinity : Date.parse(key.expiresAt)
}

function configuredKeys({ config, project, environment }: KeyRingOptions): Known[] {
  const keys: Known[] = []
  const add = (token: string, access: Access): void => void keys.push({ hash: hashOf(token), access, expiresAt: Infinity })
  if (config.adminKey !== undefined) {
    const grants = [{ role: 'admin' as const }]
    add(config.adminKey, { id: CONFIGURED_ADMIN, kind: 'admin', name: 'SLUICE_ADMIN_KEY', grants, project: null, environment: null })
  }
  if (config.serverKey !== undefined) {
    add(config.serverKey, { id: CONFIGURED_SERVER, kind: 'server', name: 'SLUICE_SERVER_KEY', grants: [], project, environment })
  }
  return keys
}

function invalid(): SluiceError {
  return new SluiceError(
    'KEY_INVALID',
    'This key is not known here: it is mistyped, was revoked, or belongs to another server. Check it, or make a new one.',
  )
}
