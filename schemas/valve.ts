/** What instances say of their valves on the stream, what they are told, and what the fleet's state is. */
import { z } from 'zod'
import { momentSchema } from './key.ts'
import { VALVES_MAX } from './protocol.ts'

/** In words of a valve. A breaker's: closed, closed but shedding, open, half-open. */
export const VALVE_STATES = ['flowing', 'throttled', 'cut', 'probing'] as const
export type ValveState = (typeof VALVE_STATES)[number]

const count = z.number().int().min(0)
const key = z.string().max(256)
const share = z.number().min(0).max(1)

/** Why a valve moved. `setting`: a person's or trigger's; the others are its own doing. `probes`: they went well; `ramp`: it opens step by step. */
export const VALVE_CAUSES = [
  'setting',
  'failures',
  'slow',
  'overload',
  'waited',
  'probes',
  'probe-failed',
  'ramp',
  'fleet',
  'restored',
] as const
export type ValveCause = (typeof VALVE_CAUSES)[number]

/** Up: at most one a second from an instance, with the valves that were used or moved since the last. */
export const valvesSchema = z.looseObject({
  type: z.literal('valves'),
  valves: z
    .array(
      z.looseObject({
        flag: key,
        variation: key,
        state: z.enum(VALVE_STATES),
        /** The share of calls it lets through now. */
        admit: share,
        cause: z.enum(VALVE_CAUSES).optional(),
        /** Since the last report: calls that were let through, and of them how they ended; those that were not. */
        calls: count,
        failures: count,
        slow: count,
        rejected: count,
        /** Would have been rejected, with `shadow`. */
        shadowed: count.optional(),
        /** Until it probes, when it is cut by itself. */
        retryMs: count.optional(),
        /** How often in a row it was cut by itself: what its waiting grew by. */
        trips: count.optional(),
      }),
    )
    .max(VALVES_MAX),
})
export type ValvesReport = z.infer<typeof valvesSchema>
export type ValveRow = ValvesReport['valves'][number]

/**
 * Down: what the fleet knows of valves that are not flowing, after a hello and when it changes. An instance that has no state of
 * its own yet starts from it; `cut` with `isOrder` is a fleet trip, which it follows.
 */
export const valveStatesSchema = z.looseObject({
  type: z.literal('valve-states'),
  valves: z
    .array(
      z.looseObject({
        flag: key,
        variation: key,
        state: z.enum(VALVE_STATES),
        admit: share,
        retryMs: count.optional(),
        trips: count.optional(),
        isOrder: z.boolean().optional(),
      }),
    )
    .max(VALVES_MAX),
})
export type ValveStates = z.infer<typeof valveStatesSchema>

/** The document of a valve in its environment's log: the fleet's state after its last transition, with the numbers that led to it. */
export const valveRecordSchema = z
  .strictObject({
    /** The flag's. */
    key,
    variation: key,
    state: z.enum(VALVE_STATES),
    admit: share,
    cause: z.enum(VALVE_CAUSES),
    since: momentSchema,
    numbers: z.strictObject({
      /** Instances that report this valve, and those of them in this state. */
      instances: count,
      inState: count,
      /** Of the window before the transition, pooled. */
      windowMs: count,
      calls: count,
      failures: count,
      slow: count,
      rejected: count,
    }),
    version: z.number().int().min(1),
  })
  .meta({ id: 'ValveRecord', description: 'Where a valve stands in the fleet, and the numbers that led to it.' })
export type ValveRecord = z.infer<typeof valveRecordSchema>
