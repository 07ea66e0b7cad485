/** A secret that the server must be able to use (to verify a signature, to sign, to send): kept sealed, never shown again. */
import { z } from 'zod'
import { momentSchema } from './key.ts'

export const secretRefSchema = z
  .strictObject({
    id: z.string().max(64),
    /** Its last characters, so that people tell two apart; empty for a short one. */
    hint: z.string().max(8),
    createdAt: momentSchema,
  })
  .meta({ id: 'SecretRef' })
export type SecretRef = z.infer<typeof secretRefSchema>
