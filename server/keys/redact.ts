/** What is shown of keys and of changes to them: never the hash, of which nobody but the key check has need. */
import type { AccessKey, KeyView } from '../../schemas/accesskey.ts'
import type { Change } from '../../schemas/change.ts'
import type { Access } from '../access/policy.ts'

export function viewOf(key: AccessKey): KeyView {
  return {
    id: key.key,
    kind: key.kind,
    name: key.name,
    grants: key.grants,
    project: key.project ?? null,
    environment: key.environment ?? null,
    createdAt: key.createdAt,
    createdBy: key.createdBy,
    expiresAt: key.expiresAt,
    configured: false,
  }
}

/** A key that configuration has set. */
export function configuredView(access: Access): KeyView {
  const { id, kind, name, project, environment } = access
  return {
    id,
    kind,
    name,
    grants: [...access.grants],
    project,
    environment,
    createdAt: null,
    createdBy: null,
    expiresAt: null,
    configured: true,
  }
}

/** The entry as it is answered; in the log it keeps its hashes, which its own hash covers. */
export function withoutHashes(change: Change): Change {
  const edits = change.edits.map(edit => (edit.type === 'key' ? { ...edit, before: shown(edit.before), after: shown(edit.after) } : edit))
  return { ...change, edits }
}

function shown<T>(document: T): T {
  if (typeof document !== 'object' || document === null || !('hash' in document)) return document
  const { hash: _hash, ...rest } = document
  return rest as T
}
