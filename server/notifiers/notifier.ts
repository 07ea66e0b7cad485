/** What makes a notifier whole: what its kind needs and takes, and that it may be sent to. */
import { randomBytes } from 'node:crypto'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Notifier, NotifierInput, NotifierPatch } from '../../schemas/notifier.ts'
import type { SecretRef } from '../../schemas/secret.ts'
import type { Egress } from '../egress/egress.ts'
import type { State } from '../log/types.ts'
import { KINDS } from './kinds.ts'
import { SIGNING, SIGNING_PREFIX, SIGNING_PREVIOUS } from './kinds/webhook.ts'

/** Standard Webhooks asks for 24 to 64 bytes. */
const SIGNING_BYTES = 32
const SIGNING_BYTES_MIN = 24
const SIGNING_BYTES_MAX = 64
/** What a header or a JSON text of another tool carries as it is. */
const PLAIN_SECRET = /^[\x21-\x7e]{1,256}$/

/** The notifier as it is to stand, with the secrets that are still to be kept. */
export interface Draft {
  readonly notifier: Notifier
  /** By name, as they were given or made. */
  readonly secrets: Readonly<Record<string, string>>
  /** A signing secret that was made here, to be shown once. */
  readonly made: string | null
}

/** Errors: `INVALID_NOTIFIER`. */
export function draftOf({ secrets: given = {}, enabled = true, ...fields }: NotifierInput): Draft {
  const isMade = fields.kind === 'webhook' && given[SIGNING] === undefined
  const made = isMade ? signingSecret() : null
  const secrets = { ...given, ...(made === null ? {} : { [SIGNING]: made }) }
  return { notifier: { ...fields, enabled, secrets: {}, paused: null, version: 1 }, secrets, made }
}

/** Errors: `INVALID_NOTIFIER`. */
export function draftOfPatch(notifier: Notifier, patch: NotifierPatch): Draft {
  const { secrets: given = {}, rotate = false, ...fields } = patch
  const refs: Record<string, SecretRef> = { ...notifier.secrets }
  const secrets: Record<string, string> = {}
  const made = rotate ? signingSecret() : null
  if (rotate) {
    if (notifier.kind !== 'webhook')
      throw invalid(notifier.key, [{ path: 'rotate', code: 'not_taken', message: 'is for webhooks. Give the new secret in secrets' }])
    const current = refs[SIGNING]
    if (current !== undefined) refs[SIGNING_PREVIOUS] = current
  }
  for (const [name, text] of Object.entries({ ...given, ...(made === null ? {} : { [SIGNING]: made }) })) {
    delete refs[name]
    if (text !== null) secrets[name] = text
  }
  const merged: Record<string, unknown> = { ...notifier, ...fields, secrets: refs }
  for (const [name, value] of Object.entries(merged)) if (value === null && name !== 'paused') delete merged[name]
  return { notifier: merged as unknown as Notifier, secrets, made }
}

function signingSecret(): string {
  return SIGNING_PREFIX + randomBytes(SIGNING_BYTES).toString('base64')
}

/** Everything that can be said without the log. Errors: `INVALID_NOTIFIER`, `EGRESS_REFUSED`. */
export async function checkDraft(draft: Draft, egress: Egress): Promise<void> {
  const { notifier, secrets } = draft
  const problems = problemsOf(draft, egress)
  if (problems.length > 0) throw invalid(notifier.key, problems)
  if (notifier.url !== undefined) await egress.check(notifier.url)
  if (notifier.kind === 'slack' && secrets.url !== undefined) await egress.check(secrets.url)
}

function problemsOf({ notifier, secrets }: Draft, egress: Egress): ErrorDetail[] {
  const { kind: name, url, statuspage } = notifier
  const kind = KINDS[name]
  const problems: ErrorDetail[] = []
  const problem = (path: string, code: string, message: string): void => void problems.push({ path, code, message })
  for (const secret of kind.secretsNeeded) {
    if (secrets[secret] === undefined && notifier.secrets[secret] === undefined)
      problem(`secrets.${secret}`, 'missing', `is missing, and ${name} cannot do without it`)
  }
  for (const [secret, text] of Object.entries(secrets)) {
    const wrong = kind.secretsTaken.includes(secret)
      ? secretProblem(secret, text)
      : `is not taken by ${name}, which takes ${kind.secretsTaken.join(' and ')}`
    if (wrong !== null) problem(`secrets.${secret}`, 'invalid', wrong)
  }
  if (name === 'webhook' && url === undefined) problem('url', 'missing', 'is missing: where a webhook is sent to')
  if (name === 'slack' && url !== undefined)
    problem('url', 'not_taken', 'is not taken by slack: its URL is a secret. Give it in secrets.url')
  if (kind.bases !== null && url !== undefined && !kind.bases.includes(url.replace(/\/+$/, '')) && !isListed(egress, url))
    problem('url', 'not_taken', `must be left out, or one of ${kind.bases.join(', ')}`)
  if (name === 'statuspage' && statuspage === undefined)
    problem('statuspage', 'missing', 'is missing: the page, and which component stands for which flags')
  if (name !== 'statuspage' && statuspage !== undefined) problem('statuspage', 'not_taken', `is not taken by ${name}`)
  return problems
}

function isListed(egress: Egress, url: string): boolean {
  try {
    return egress.isListed(url)
  } catch {
    return false
  }
}

/** What is wrong with a secret, without repeating it. */
function secretProblem(name: string, text: string): string | null {
  if (name === SIGNING || name === SIGNING_PREVIOUS) {
    const encoded = text.startsWith(SIGNING_PREFIX) ? text.slice(SIGNING_PREFIX.length) : ''
    const bytes = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64').length : 0
    return bytes >= SIGNING_BYTES_MIN && bytes <= SIGNING_BYTES_MAX
      ? null
      : `must be ${SIGNING_PREFIX} and ${SIGNING_BYTES_MIN} to ${SIGNING_BYTES_MAX} bytes in base64`
  }
  if (name === 'url') return null
  return PLAIN_SECRET.test(text) ? null : 'must be letters, digits and signs of ASCII without spaces, at most 256'
}

/** What is said inside the write's turn. Error: `INVALID_NOTIFIER`. */
export function checkFlags(state: State, notifier: Notifier): void {
  const { components = [] } = notifier.statuspage ?? {}
  const problems = components.flatMap(({ flags }, i) =>
    flags.flatMap((flag, j) =>
      state.documents.flag.has(flag)
        ? []
        : [{ path: `statuspage.components[${i}].flags[${j}]`, code: 'unknown_flag', message: `there is no flag "${flag}"` }],
    ),
  )
  if (problems.length > 0) throw invalid(notifier.key, problems.slice(0, 50))
}

/** Error: `NOTIFIER_NOT_FOUND`. */
export function findNotifier(state: State, key: string): Notifier {
  const found = state.documents.notifier.get(key)
  if (found !== undefined) return found
  const known = [...state.documents.notifier.keys()].sort()
  const listed = known.length === 0 ? 'There is none yet.' : `There is ${known.slice(0, 20).join(', ')}.`
  throw new SluiceError('NOTIFIER_NOT_FOUND', `No notifier "${key}" in "${state.log}". ${listed}`)
}

function invalid(key: string, details: readonly ErrorDetail[]): SluiceError {
  const [first] = details
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  return new SluiceError('INVALID_NOTIFIER', `Notifier "${key}": ${first?.path} ${first?.message}${more}.`, { details })
}
