/**
 * Whether alerts are what a trigger waits for. Pure: the alerts that fire, and the time, are arguments. Each clause says for
 * itself whether it holds, so that a trigger can be tried and explained.
 */
import { ALERT_SEVERITIES, type Alert } from '../../schemas/alert.ts'
import type { TriggerWhen } from '../../schemas/trigger.ts'

/** One clause of a trigger and whether it holds. */
export interface Check {
  /** Its place in the trigger, as in `when.labels[1]`. */
  readonly clause: string
  readonly holds: boolean
  /** For people. */
  readonly text: string
}

/** Whether the alerts that fire, together, are enough. */
export interface Condition {
  readonly holds: boolean
  /** The alerts that `when` selects, by the moment they began, each once. */
  readonly alerts: readonly Alert[]
  /** The one that completed it: the newest of the first `atLeast`; null when it does not hold. */
  readonly by: Alert | null
  /** It holds after so long if nothing else happens; null when time alone does not help. */
  readonly inMs: number | null
}

/** Hook, labels and severity; not the status. */
export function selects(when: TriggerWhen, alert: Alert): boolean {
  return (
    (when.hooks === undefined || when.hooks.includes(alert.hook)) &&
    (when.severity === undefined || isAsBadAs(alert.severity, when.severity)) &&
    (when.labels === undefined || when.labels.every(match => labelHolds(match, alert)))
  )
}

/** The same, clause by clause. */
export function selectionChecks(when: TriggerWhen, alert: Alert): Check[] {
  const status = when.status ?? 'firing'
  const labels = (when.labels ?? []).map((match, i): Check => {
    const value = labelOf(alert, match.label)
    const listed = match.values.map(each => JSON.stringify(each)).join(' or ')
    const asked = `label ${match.label} ${match.negate === true ? 'is present, but not' : 'is'} ${listed}`
    return {
      clause: `when.labels[${i}]`,
      holds: labelHolds(match, alert),
      text: `${asked}: the alert ${value === null ? 'has no such label' : `has ${JSON.stringify(value)}`}`,
    }
  })
  return [
    {
      clause: 'when.hooks',
      holds: when.hooks === undefined || when.hooks.includes(alert.hook),
      text: when.hooks === undefined ? 'from any hook' : `from ${when.hooks.join(' or ')}: the alert came by ${alert.hook}`,
    },
    ...labels,
    {
      clause: 'when.severity',
      holds: when.severity === undefined || isAsBadAs(alert.severity, when.severity),
      text: when.severity === undefined ? 'of any severity' : `at least ${when.severity}: the alert is ${alert.severity}`,
    },
    { clause: 'when.status', holds: alert.status === status, text: `the alert is ${status}: it is ${alert.status}` },
  ]
}

/**
 * Of `atLeast` alerts that began within `withinMs` of one another, the newest has been firing for `forMs`.
 * @param firing all alerts that fire; those that `when` does not select do not count
 * @param now ms since 1970
 */
export function conditionOf(when: TriggerWhen, firing: readonly Alert[], now: number): Condition {
  const byIdentity = new Map<string, Alert>()
  for (const alert of firing) if (selects(when, alert)) byIdentity.set(identityOf(alert), alert)
  const alerts = [...byIdentity.values()].sort((a, b) => sinceOf(a) - sinceOf(b) || (a.id < b.id ? -1 : 1))
  const { forMs = 0, atLeast = 1, withinMs = Infinity } = when
  for (let i = atLeast - 1; i < alerts.length; i++) {
    const [first, last] = [alerts[i - atLeast + 1]!, alerts[i]!]
    if (sinceOf(last) - sinceOf(first) > withinMs) continue
    // They are in order, so the first that are close enough are also the first to have fired for long enough.
    const inMs = sinceOf(last) + forMs - now
    return inMs <= 0 ? { holds: true, alerts, by: last, inMs: null } : { holds: false, alerts, by: null, inMs }
  }
  return { holds: false, alerts, by: null, inMs: null }
}

/** The same from firing to resolved, and however often it is told. */
export function identityOf(alert: Alert): string {
  return `${alert.hook} ${alert.dedupKey}`
}

/** Since when it fires, in ms since 1970: as its tool says, but never later than it was heard of. */
export function sinceOf(alert: Alert): number {
  return Math.min(Date.parse(alert.startsAt), Date.parse(alert.receivedAt))
}

function isAsBadAs(severity: Alert['severity'], least: Alert['severity']): boolean {
  return ALERT_SEVERITIES.indexOf(severity) <= ALERT_SEVERITIES.indexOf(least)
}

function labelHolds(match: NonNullable<TriggerWhen['labels']>[number], alert: Alert): boolean {
  const value = labelOf(alert, match.label)
  return value !== null && match.values.includes(value) !== (match.negate === true)
}

function labelOf(alert: Alert, label: string): string | null {
  return Object.hasOwn(alert.labels, label) ? (alert.labels[label] ?? null) : null
}
