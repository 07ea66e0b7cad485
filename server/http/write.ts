/** What every write has in common: who and why, the version it expects, and how its answer begins. */
import type { Actor, Change, DocumentType } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Commit, DocumentOf } from '../log/types.ts'

export interface WriteFields {
  readonly actor: Actor
  readonly comment: string | null
  readonly dryRun: boolean
}

/** Actor, comment (the body's before the query's) and dry run of a call. */
export function writeFields(call: {
  readonly actor: Actor
  readonly query: { readonly dryRun?: 'true' | 'false' | undefined; readonly comment?: string | undefined }
  readonly body?: unknown
}): WriteFields {
  const body = call.body
  const own = typeof body === 'object' && body !== null && 'comment' in body && typeof body.comment === 'string' ? body.comment : undefined
  return { actor: call.actor, comment: own ?? call.query.comment ?? null, dryRun: call.query.dryRun === 'true' }
}

/** How the answer to a write begins. */
export interface Written {
  readonly revision: number
  readonly change: Change | null
  readonly dryRun?: true
  readonly volatile?: true
}

export function written(commit: Commit, fields: Pick<WriteFields, 'dryRun'>): Written {
  return {
    revision: commit.revision,
    change: commit.change,
    ...(fields.dryRun ? { dryRun: true as const } : {}),
    ...(commit.volatile ? { volatile: true as const } : {}),
  }
}

/** The document as a commit leaves it, for a dry run as it would leave it; `otherwise` when the commit did not touch it. */
export function leftBy<T extends DocumentType>(commit: Commit, type: T, key: string, otherwise: DocumentOf[T]): DocumentOf[T] {
  const edit = commit.change?.edits.find(candidate => candidate.type === type && candidate.key === key)
  return edit === undefined || edit.after === null ? otherwise : (edit.after as unknown as DocumentOf[T])
}

/**
 * @param subject how the message begins, as in `Flag "new-cart" in "default/production"`
 * Error: `VERSION_CONFLICT` when `If-Match` names another version than the current one, with the current one in details.
 */
export function checkVersion(subject: string, current: number, ifMatch: number | null): void {
  if (ifMatch === null || ifMatch === current) return
  throw new SluiceError(
    'VERSION_CONFLICT',
    `${subject}: is at version ${current}, and If-Match expected ${ifMatch}. Read it again and repeat the edit.`,
    {
      details: [{ path: 'if-match', code: 'version', message: `the current version is ${current}` }],
    },
  )
}
