/** Keys let programs and people in. Four kinds that cannot cross; admin keys carry a role per project and environment. */
import { z } from 'zod'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'
import { GRANTS_MAX } from './limits.ts'

export const KEY_KINDS = ['server', 'client', 'admin', 'hook'] as const
export type KeyKind = (typeof KEY_KINDS)[number]

/** Each role may do what the one before may: look; kill, lift and hold; edit; everything. */
export const ROLES = ['viewer', 'operator', 'editor', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** What a key gives: an admin key one or more grants, where a missing project or environment means all of them. */
export const grantSchema = z
  .strictObject({ role: z.enum(ROLES), project: keySchema.optional(), environment: keySchema.optional() })
  .meta({ id: 'Grant' })
export type Grant = z.infer<typeof grantSchema>

/** A key at rest: the secret only as SHA-256, so that a copy of the database opens nothing. */
export const accessKeySchema = z
  .strictObject({
    key: z.string(),
    kind: z.enum(KEY_KINDS),
    name: nameSchema,
    hash: z.string(),
    /** For admin keys. */
    grants: z.array(grantSchema).max(GRANTS_MAX),
    /** For server, client and hook keys: the one environment they are for. */
    project: keySchema.optional(),
    environment: keySchema.optional(),
    createdAt: momentSchema,
    createdBy: z.string(),
    expiresAt: momentSchema.nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'AccessKeyAtRest' })
export type AccessKey = z.infer<typeof accessKeySchema>

/** A key as people ask for it: `grants` for an admin key, `project` and `environment` for the others. */
export const keyInputSchema = z
  .strictObject({
    kind: z.enum(KEY_KINDS),
    name: nameSchema,
    grants: z.array(grantSchema).min(1).max(GRANTS_MAX).optional(),
    project: keySchema.optional(),
    environment: keySchema.optional(),
    expiresAt: momentSchema.nullish(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'KeyInput' })
export type KeyInput = z.infer<typeof keyInputSchema>

/** A key as it is listed: nothing in it lets anyone in. */
export const keyViewSchema = z
  .object({
    id: z.string(),
    kind: z.enum(KEY_KINDS),
    name: z.string(),
    grants: z.array(grantSchema),
    project: z.string().nullable(),
    environment: z.string().nullable(),
    createdAt: momentSchema.nullable(),
    createdBy: z.string().nullable(),
    expiresAt: momentSchema.nullable(),
    /** Set by `SLUICE_ADMIN_KEY` or `SLUICE_SERVER_KEY`: it ends when the variable does. */
    configured: z.boolean(),
  })
  .meta({ id: 'Key' })
export type KeyView = z.infer<typeof keyViewSchema>
