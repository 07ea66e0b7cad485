/** A rollout plan: ordered steps of one variation's share, what must be so before each, and what turns it back. */
import { z } from 'zod'
import { keySchema, momentSchema, nameSchema, textSchema } from './key.ts'

export const PLAN_STATES = ['pending', 'scheduled', 'running', 'held', 'reverting', 'reverted', 'completed', 'cancelled'] as const
export type PlanState = (typeof PLAN_STATES)[number]

export const planSchema = z
  .looseObject({
    /** The flag's key: one plan at a time for a flag in an environment. */
    key: keySchema,
    state: z.enum(PLAN_STATES),
    owner: nameSchema.optional(),
    description: textSchema.optional(),
    startsAt: momentSchema.nullable(),
    version: z.number().int().min(1),
  })
  .meta({ id: 'Plan', description: 'A rollout plan of one flag in one environment.' })
export type Plan = z.infer<typeof planSchema>

/** One change that the server makes at a time. */
export const scheduleSchema = z
  .looseObject({ key: keySchema, flag: keySchema, at: momentSchema, version: z.number().int().min(1) })
  .meta({ id: 'Schedule', description: 'One change that the server makes at a time.' })
export type Schedule = z.infer<typeof scheduleSchema>
