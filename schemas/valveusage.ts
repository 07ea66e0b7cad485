/** Where valves stand and what passes through them, as the API answers. */
import { z } from 'zod'
import { keySchema, momentSchema } from './key.ts'
import { killSchema } from './kill.ts'
import { percentSchema, throttleSchema } from './throttle.ts'
import { VALVE_CAUSES, VALVE_STATES, valveRecordSchema } from './valve.ts'

const count = z.number().min(0)
const share = z.number().min(0).max(1)
const state = z.enum(VALVE_STATES)

/** Calls that were let through and how they ended, and those that were not; `shadowed` would not have been. */
const sums = z.object({ calls: count, failures: count, slow: count, rejected: count, shadowed: count })
const spans = z.object({ tenSeconds: sums, minute: sums, hour: sums })

/** What people and triggers have set, which stands above what the valve does by itself. */
export const valveSettingSchema = z
  .object({
    /** `flag`: nothing but the flag as it is written. */
    by: z.enum(['kill', 'off', 'throttle', 'flag']),
    /** The most that is let through. */
    percent: percentSchema,
    /** It moves by itself below that. */
    isAuto: z.boolean(),
  })
  .meta({ id: 'ValveSetting', description: 'How a valve is set for everyone who is not set apart.' })
export type ValveSetting = z.infer<typeof valveSettingSchema>

/** Ten seconds of all variations together. */
export const valveTrailSchema = sums.extend({ at: momentSchema }).meta({ id: 'ValveTrail' })
export type ValveTrail = z.infer<typeof valveTrailSchema>

/** One variation, as the fleet has reported it. */
export const valveFleetSchema = z
  .object({
    variation: z.string(),
    state,
    /** The share of calls that instances let through, on average. */
    admit: share,
    cause: z.enum(VALVE_CAUSES),
    since: momentSchema,
    /** Until then the fleet is cut as one. */
    orderUntil: momentSchema.nullable(),
    /** How many instances that use it stand where. */
    instances: z.object({ all: count, flowing: count, throttled: count, cut: count, probing: count }),
    spans,
    services: z.array(z.object({ service: z.string(), spans })),
  })
  .meta({ id: 'ValveFleet', description: 'One variation of a valve, pooled over the instances.' })
export type ValveFleet = z.infer<typeof valveFleetSchema>

export const valveUsageSchema = z
  .object({
    flag: keySchema,
    /** Where it stands for everyone who is not set apart: by its setting, or in `auto` by itself. */
    state,
    admit: share,
    setting: valveSettingSchema,
    throttles: z.array(throttleSchema),
    kills: z.array(killSchema),
    /** The last move of the fleet that is in the log; null when it never moved. */
    record: valveRecordSchema.nullable(),
    fleet: z.array(valveFleetSchema),
  })
  .meta({ id: 'ValveUsage', description: 'Where a valve stands and what passes through it.' })
export type ValveUsage = z.infer<typeof valveUsageSchema>

export const valveInstanceSchema = z
  .object({
    instance: z.string(),
    service: z.string(),
    variation: z.string(),
    state,
    admit: share,
    cause: z.enum(VALVE_CAUSES).nullable(),
    trips: count,
    /** Until it probes, when it is cut by itself. */
    retryMs: count,
    /** Its link is gone, and it counts for a while as it last stood. */
    isGone: z.boolean(),
    minute: sums,
  })
  .meta({ id: 'ValveInstance', description: 'Where one instance stands with a valve.' })
export type ValveInstance = z.infer<typeof valveInstanceSchema>
