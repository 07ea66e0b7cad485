/** What the dashboard is told as it happens: that something changed, not what; it asks the API for that. */
import { z } from 'zod'
import { actorSchema, ACTIONS, DOCUMENT_TYPES } from './change.ts'

export const LIVE_PATH = '/live'
/** Documents of one change that are named. */
export const LIVE_EDITS_MAX = 50

const place = { project: z.string(), environment: z.string() }

export const liveMessageSchema = z
  .discriminatedUnion('type', [
    /** First, and after each reconnect: whatever the page holds may be old. */
    z.object({ type: z.literal('welcome'), version: z.string() }),
    z.object({
      type: z.literal('change'),
      ...place,
      revision: z.number().int(),
      at: z.string(),
      actor: actorSchema,
      action: z.enum(ACTIONS),
      comment: z.string().nullable(),
      edits: z.array(z.object({ type: z.enum(DOCUMENT_TYPES), key: z.string() })),
      /** Of all edits; `edits` names the first ones. */
      editCount: z.number().int(),
      volatile: z.boolean(),
    }),
    /** Projects, environments or keys changed. */
    z.object({ type: z.literal('places') }),
    /** Of an environment: how many instances are connected, and how many of them have its newest revision. At most one a second. */
    z.object({ type: z.literal('fleet'), ...place, revision: z.number().int(), instances: z.number().int(), confirmed: z.number().int() }),
  ])
  .meta({ id: 'LiveMessage', description: 'What the dashboard is told as it happens.' })
export type LiveMessage = z.infer<typeof liveMessageSchema>
