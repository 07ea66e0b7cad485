/** A chat workspace that may give commands: its signing secret, and whose key each person there acts with. */
import { z } from 'zod'
import { keySchema, nameSchema, textSchema } from './key.ts'
import { secretRefSchema } from './secret.ts'

/** Secrets that are good at once, so that one can be replaced. */
export const CHAT_SECRETS_MAX = 3
/** People of one chat. */
export const CHAT_LINKS_MAX = 1_000

const aliases = z
  .record(keySchema, keySchema)
  .refine(names => Object.keys(names).length <= 50, 'has more than 50 names')
  .meta({ description: 'Short names for environments, as in { "prod": "production" }.' })

const linkSchema = z.strictObject({ keyId: z.string().min(1).max(64), name: nameSchema }).meta({ id: 'ChatLink' })

export const chatSchema = z
  .strictObject({
    key: keySchema,
    kind: z.literal('slack'),
    secrets: z.array(secretRefSchema).max(CHAT_SECRETS_MAX),
    /** The project that commands are about. */
    project: keySchema,
    environments: aliases,
    /** People: the chat's user id to one of our admin keys, whose permissions they have. */
    links: z.record(z.string(), linkSchema),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Chat', description: 'A chat workspace that may give commands.' })
export type Chat = z.infer<typeof chatSchema>

const signingSecret = z.string().min(8, 'is too short to be a signing secret').max(512)

export const chatInputSchema = z
  .strictObject({
    key: keySchema,
    /** The signing secret of the Slack app. */
    secret: signingSecret,
    project: keySchema.optional(),
    environments: aliases.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'ChatInput' })

/** `secret`: one more, good beside those that are there; with `dropOthers` it alone. */
export const chatPatchSchema = z
  .strictObject({
    secret: signingSecret.optional(),
    dropOthers: z.boolean().optional(),
    project: keySchema.optional(),
    environments: aliases.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'ChatPatch' })

export const chatLinkInputSchema = z
  .strictObject({ keyId: z.string().min(1).max(64), name: nameSchema, comment: textSchema.optional() })
  .meta({ id: 'ChatLinkInput' })
