/** Hooks as people write them, completed; and what a schema cannot say about them. */
import { randomBytes } from 'node:crypto'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Hook, HookInput, HookMapping, HookPatch } from '../../schemas/hook.ts'
import { standardSecretProblem } from './signatures.ts'
import { GRAFANA_TIMESTAMP_HEADER, SOURCES } from './sources.ts'

/** 128 bits: found by accident never. */
const PATH_BYTES = 16
const SECRET_BYTES = 32

/** The whole document from what people write, without a secret yet. Errors: `INVALID_HOOK`. */
export function completeHook(input: HookInput): Hook {
  const source = SOURCES[input.source]
  const auth = input.auth ?? source.auths[0]!
  const timestampHeader =
    input.timestampHeader === undefined && input.source === 'grafana' && auth === 'signature'
      ? GRAFANA_TIMESTAMP_HEADER
      : input.timestampHeader
  return checked(
    arranged({
      key: input.key,
      source: input.source,
      name: input.name,
      description: input.description,
      enabled: input.enabled ?? true,
      auth,
      header: input.header,
      timestampHeader: timestampHeader ?? undefined,
      secrets: [],
      path: randomBytes(PATH_BYTES).toString('base64url'),
      dryRun: input.dryRun ?? false,
      mayAct: input.mayAct ?? false,
      mapping: input.mapping,
      topicArn: input.topicArn,
      version: 1,
    }),
  )
}

/** The hook with some fields replaced; `null` removes an optional one. Errors: `INVALID_HOOK`. */
export function patchHook(hook: Hook, patch: HookPatch): Hook {
  const result: Record<string, unknown> = { ...hook }
  for (const [field, value] of Object.entries(patch)) {
    if (field === 'comment') continue
    if (value === null) delete result[field]
    else if (value !== undefined) result[field] = value
  }
  return checked(arranged(result))
}

/** A secret that is made here: for tools that have none of their own. */
export function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

/** Whether a secret is made here when none is given. SNS signs with a certificate, and has none. */
export function needsSecret(hook: Hook): 'ours' | 'theirs' | 'none' {
  if (hook.source === 'cloudwatch-sns') return 'none'
  return hook.auth === 'signature' && SOURCES[hook.source].makesSecret ? 'theirs' : 'ours'
}

/** Errors: `INVALID_HOOK` for a secret that the hook could not use. */
export function checkSecret(hook: Hook, secret: string): void {
  if (hook.source === 'cloudwatch-sns') throw invalid(hook, 'secret', 'is not used: SNS signs with a certificate of Amazon. Leave it out')
  // It becomes a part of the URL, where a weak one is tried out.
  if (hook.auth === 'path') throw invalid(hook, 'secret', 'is made here for auth "path", as it is a part of the URL. Leave it out')
  if (hook.source !== 'standard-webhooks' || hook.auth !== 'signature') return
  const problem = standardSecretProblem(secret)
  if (problem !== null) throw invalid(hook, 'secret', problem)
}

const FIELDS = [
  'key',
  'source',
  'name',
  'description',
  'enabled',
  'auth',
  'header',
  'timestampHeader',
  'secrets',
  'path',
  'dryRun',
  'mayAct',
  'mapping',
  'topicArn',
  'version',
] as const satisfies readonly (keyof Hook)[]

function arranged(hook: Readonly<Record<string, unknown>>): Hook {
  return Object.fromEntries(FIELDS.flatMap(field => (hook[field] === undefined ? [] : [[field, hook[field]]]))) as unknown as Hook
}

function checked(hook: Hook): Hook {
  const source = SOURCES[hook.source]
  if (!source.auths.includes(hook.auth))
    throw invalid(hook, 'auth', `is "${hook.auth}", and ${hook.source} can prove itself by ${source.auths.join(', ')}`)
  if (hook.mapping !== undefined && hook.source !== 'generic' && hook.source !== 'standard-webhooks')
    throw invalid(hook, 'mapping', `is for generic and standard-webhooks: how ${hook.source} is read is known. Leave it out`)
  if (hook.source === 'cloudwatch-sns' && !/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}$/.test(hook.topicArn ?? ''))
    throw invalid(hook, 'topicArn', 'must name the one topic that is listened to, as in arn:aws:sns:eu-west-1:123456789012:alarms')
  if (hook.source !== 'cloudwatch-sns' && hook.topicArn !== undefined)
    throw invalid(hook, 'topicArn', 'is for cloudwatch-sns. Leave it out')
  if (hook.timestampHeader !== undefined && (hook.source !== 'grafana' || hook.auth !== 'signature'))
    throw invalid(hook, 'timestampHeader', 'is for signatures of grafana. Leave it out')
  if (hook.mapping !== undefined) checkMapping(hook, hook.mapping)
  return hook
}

function checkMapping(hook: Hook, mapping: HookMapping): void {
  const pointers: (readonly [string, string | undefined])[] = [
    ...(['each', 'dedupKey', 'status', 'severity', 'title', 'description', 'startsAt', 'link'] as const).map(
      field => [field, mapping[field]] as const,
    ),
    ...Object.entries(mapping.labels ?? {}).map(([name, pointer]) => [`labels.${name}`, pointer] as const),
  ]
  for (const [field, pointer] of pointers) {
    if (pointer !== undefined && !/^(?:\/(?:[^~]|~[01])*)?$/.test(pointer))
      throw invalid(hook, `mapping.${field}`, `is ${JSON.stringify(pointer)}, expected a JSON Pointer as in /alert/state`)
  }
}

function invalid(hook: Pick<Hook, 'key'>, path: string, message: string): SluiceError {
  const detail: ErrorDetail = { path, code: 'invalid', message }
  return new SluiceError('INVALID_HOOK', `Hook "${hook.key}": ${path} ${message}.`, { details: [detail] })
}
