/** One numbered entry of the change log: who did what and why, what stood before and what stands after. */
import { z } from 'zod'
import { momentSchema, textSchema } from './key.ts'

/**
 * The kinds of documents a log holds. Per environment: flags and segments, which SDKs receive; and what the server keeps
 * beside them (ways in and out, triggers, where valves and rollouts stand, what is to happen at a time). The others in the server's own log.
 */
export const DOCUMENT_TYPES = [
  'flag',
  'segment',
  'hook',
  'trigger',
  'notifier',
  'valve',
  'plan',
  'schedule',
  'project',
  'environment',
  'key',
  'chat',
] as const
export type DocumentType = (typeof DOCUMENT_TYPES)[number]

export const ACTIONS = [
  'flag.create',
  'flag.edit',
  'flag.archive',
  'flag.clone',
  'flag.copy',
  'flag.kill',
  'flag.lift',
  'flag.expire',
  'flag.limit',
  'segment.create',
  'segment.edit',
  'segment.archive',
  'ruleset.import',
  'change.revert',
  'project.create',
  'project.edit',
  'project.delete',
  'environment.create',
  'environment.edit',
  'environment.delete',
  'key.create',
  'key.revoke',
  'valve.throttle',
  'valve.move',
  'hook.create',
  'hook.edit',
  'hook.delete',
  'trigger.create',
  'trigger.edit',
  'trigger.delete',
  'trigger.fire',
  'trigger.restore',
  'notifier.create',
  'notifier.edit',
  'notifier.delete',
  'notifier.pause',
  'notifier.resume',
  'chat.create',
  'chat.edit',
  'chat.delete',
  'rollout.plan',
  'rollout.start',
  'rollout.advance',
  'rollout.approve',
  'rollout.hold',
  'rollout.resume',
  'rollout.revert',
  'rollout.settle',
  'rollout.complete',
  'rollout.cancel',
  'rollout.clear',
  'schedule.create',
  'schedule.delete',
  'schedule.run',
] as const
export type Action = (typeof ACTIONS)[number]

/** One document's part in a change: `before` is null for a new one, `after` for a removed one. */
export const editSchema = z
  .object({ type: z.enum(DOCUMENT_TYPES), key: z.string(), before: z.json().nullable(), after: z.json().nullable() })
  .meta({ id: 'Edit' })

export const actorSchema = z
  .object({
    /** `key` for a person or tool with a key, `system` for the server itself (an expiry, a schedule). */
    kind: z.enum(['key', 'system']),
    id: z.string(),
    name: z.string(),
  })
  .meta({ id: 'Actor' })
export type Actor = z.infer<typeof actorSchema>

export const changeSchema = z
  .object({
    revision: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    at: momentSchema,
    actor: actorSchema,
    action: z.enum(ACTIONS),
    comment: textSchema.nullable(),
    edits: z.array(editSchema),
    /** The revision this one reverts, if it does. */
    reverts: z.number().int().nullable(),
    /** SHA-256 over the entry and the previous entry's hash, hexadecimal. */
    hash: z.string(),
    previousHash: z.string(),
  })
  .meta({ id: 'Change', description: 'One numbered entry of the change log.' })
export type Change = z.infer<typeof changeSchema>

/** An edit with its documents typed by the one who knows them. */
export interface Edit<T = unknown> {
  readonly type: DocumentType
  readonly key: string
  readonly before: T | null
  readonly after: T | null
}
