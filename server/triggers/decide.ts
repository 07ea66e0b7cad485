/**
 * Whether a trigger fires now, waits, or rests until something new happens. Pure. What firing then does, and whether there
 * is anything left to do, is `effect.ts`.
 */
import type { Alert } from '../../schemas/alert.ts'
import type { Trigger } from '../../schemas/trigger.ts'
import { conditionOf, selects } from './match.ts'

export const COOL_DOWN_MS = 300_000
export const FIRES_PER_HOUR = 6
const HOUR_MS = 3_600_000

/** What a trigger has done, moments in ms since 1970. */
export interface Past {
  /** When it fired last; null for never. */
  readonly lastAt: number | null
  /** Alerts heard of until then are dealt with; null for none. */
  readonly dealtUntil: number | null
  /** Its fires within the last hour, oldest first; older ones do not matter. */
  readonly fires: readonly number[]
}

export interface Situation {
  /** The alerts that fire. */
  readonly firing: readonly Alert[]
  /** Edges told since it was looked at last. */
  readonly edges: readonly Alert[]
  readonly past: Past
  /** It has steps left, and what its last one left stands untouched: it goes on for as long as the same alerts fire. */
  readonly goesOn: boolean
  readonly now: number
}

export type Decision =
  | { readonly kind: 'fire'; readonly by: Alert; readonly alerts: readonly Alert[] }
  /** Look again after so long. */
  | { readonly kind: 'wait'; readonly ms: number; readonly why: string }
  | { readonly kind: 'rest'; readonly why: string }

export function decide(trigger: Trigger, situation: Situation): Decision {
  const { past, now } = situation
  if (!trigger.enabled) return { kind: 'rest', why: 'it is disabled' }
  const found = trigger.when.status === 'resolved' ? resolvedNow(trigger, situation) : firingNow(trigger, situation)
  if (found.kind !== 'fire') return found
  const coolMs = past.lastAt === null ? 0 : past.lastAt + (trigger.coolDownMs ?? COOL_DOWN_MS) - now
  if (coolMs > 0) return { kind: 'wait', ms: coolMs, why: 'it cools down since it fired last' }
  const within = past.fires.filter(at => at > now - HOUR_MS)
  const most = trigger.maxFiresPerHour ?? FIRES_PER_HOUR
  // The one that has to leave the hour before another may come.
  const oldest = within[within.length - most]
  if (oldest !== undefined) {
    return { kind: 'wait', ms: oldest + HOUR_MS - now, why: `it has fired ${within.length} times within the hour, and may ${most} times` }
  }
  return found
}

function firingNow({ when }: Trigger, { firing, past, goesOn, now }: Situation): Decision {
  const condition = conditionOf(when, firing, now)
  if (!condition.holds || condition.by === null) {
    if (condition.inMs !== null) return { kind: 'wait', ms: condition.inMs, why: 'its alerts have not been firing for long enough' }
    return { kind: 'rest', why: condition.alerts.length === 0 ? 'no alert that it waits for fires' : 'too few alerts fire together' }
  }
  const { dealtUntil } = past
  const fresh = dealtUntil === null ? condition.by : condition.alerts.findLast(alert => Date.parse(alert.receivedAt) > dealtUntil)
  if (fresh === undefined && !goesOn) return { kind: 'rest', why: 'it has fired for these alerts already' }
  return { kind: 'fire', by: fresh ?? condition.by, alerts: condition.alerts }
}

function resolvedNow({ when }: Trigger, { edges }: Situation): Decision {
  const alerts = edges.filter(alert => alert.status === 'resolved' && selects(when, alert))
  const by = alerts.at(-1)
  return by === undefined ? { kind: 'rest', why: 'no alert that it waits for was resolved just now' } : { kind: 'fire', by, alerts }
}
