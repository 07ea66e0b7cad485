/** A chat workspace that may give commands: its signing secret, and whose key each person there acts with. */
import { z } from 'zod'
import { keySchema, nameSchema } from './key.ts'
import { secretRefSchema } from './secret.ts'

export const chatSchema = z
  .strictObject({
    key: keySchema,
    kind: z.literal('slack'),
    secrets: z.array(secretRefSchema).max(5),
    /** The project and environments that short names stand for. */
    project: keySchema,
    environments: z.record(nameSchema, keySchema),
    /** People: the chat's user id to the id of an admin key of ours, whose permissions they have. */
    links: z.record(nameSchema, z.strictObject({ keyId: z.string().max(64), name: nameSchema })),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Chat' })
export type Chat = z.infer<typeof chatSchema>
