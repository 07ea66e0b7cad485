/** What a trigger would do about an alert that is only thought of, clause by clause; nothing is changed and nobody is told. */
import { randomUUID } from 'node:crypto'
import type { Alert } from '../../schemas/alert.ts'
import type { AlertSample, Trigger } from '../../schemas/trigger.ts'
import { durationText } from '../../schemas/words.ts'
import { moment } from '../clock.ts'
import { COOL_DOWN_MS, decide, FIRES_PER_HOUR } from './decide.ts'
import { type Check, conditionOf, selectionChecks, selects, sinceOf } from './match.ts'
import { isGentle, type TriggersHandle } from './triggers.ts'

export interface Trial {
  /** Whether it would change something now, or tell where telling is what it does. */
  readonly wouldAct: boolean
  /** What it would do, or why not. */
  readonly text: string
  readonly checks: readonly Check[]
}

/** @param now ms since 1970 */
export function tryTrigger(triggers: TriggersHandle, log: string, trigger: Trigger, sample: AlertSample, now: number): Trial {
  const alert = alertOf(sample, trigger, now)
  const situation = triggers.situation(log, trigger, [alert])
  // A resolved alert ends what fires; it does not fire beside it.
  const firing = alert.status === 'firing' ? [alert, ...situation.firing] : situation.firing
  const isWaitedFor = selects(trigger.when, alert) && alert.status === (trigger.when.status ?? 'firing')
  const decision = decide(trigger, { ...situation, firing, edges: [alert] })
  const trust = triggers.trust(log, alert.hook)
  const effect = effectText(triggers, log, trigger, alert)
  const checks: Check[] = [
    { clause: 'enabled', holds: trigger.enabled, text: trigger.enabled ? 'it is enabled' : 'it is disabled' },
    ...selectionChecks(trigger.when, alert),
    ...amountChecks(trigger, firing, alert, now),
    ...pastChecks(trigger, situation.past, now),
    {
      clause: 'hook',
      holds: (trust.mayAct || isGentle(trigger)) && !trust.dryRun,
      text: trust.dryRun
        ? `the hook ${alert.hook} runs dry`
        : trust.mayAct
          ? `alerts of the hook ${alert.hook} may act`
          : isGentle(trigger)
            ? `alerts of the hook ${alert.hook} may hold and tell, and that is all it does`
            : `alerts of the hook ${alert.hook} may only hold and tell`,
    },
    { clause: 'dryRun', holds: trigger.dryRun !== true, text: trigger.dryRun === true ? 'it runs dry' : 'it does not run dry' },
    { clause: 'do', holds: effect.isSome, text: effect.text },
  ]
  const wouldAct = isWaitedFor && decision.kind === 'fire' && checks.every(check => check.holds)
  if (wouldAct) return { wouldAct, text: effect.text, checks }
  const first = checks.find(check => !check.holds)
  return { wouldAct, text: first?.text ?? (decision.kind === 'fire' ? 'the alert is not one that it waits for' : decision.why), checks }
}

function alertOf(sample: AlertSample, trigger: Trigger, now: number): Alert {
  const at = moment(now)
  return {
    id: 'sample',
    hook: sample.hook ?? trigger.when.hooks?.[0] ?? 'sample',
    externalId: null,
    dedupKey: randomUUID(),
    status: sample.status ?? 'firing',
    severity: sample.severity ?? 'error',
    title: sample.title ?? 'a sample',
    description: '',
    labels: sample.labels ?? {},
    annotations: {},
    startsAt: sample.startsAt ?? at,
    endsAt: null,
    receivedAt: at,
    links: [],
  }
}

function amountChecks(trigger: Trigger, firing: readonly Alert[], alert: Alert, now: number): Check[] {
  const { when } = trigger
  if (when.status === 'resolved') return []
  const checks: Check[] = []
  if (when.forMs !== undefined) {
    const forMs = Math.max(0, now - sinceOf(alert))
    checks.push({
      clause: 'when.forMs',
      holds: forMs >= when.forMs,
      text: `firing for ${durationText(when.forMs)}: the alert has been for ${durationText(forMs)}`,
    })
  }
  if (when.atLeast !== undefined) {
    const { alerts } = conditionOf(when, firing, now)
    const { holds } = conditionOf({ ...when, forMs: 0 }, firing, now)
    const within = when.withinMs === undefined ? '' : ` that began within ${durationText(when.withinMs)} of one another`
    checks.push({
      clause: 'when.atLeast',
      holds,
      text: `${when.atLeast} alerts${within}: ${alerts.length} fire, this one included`,
    })
  }
  return checks
}

function pastChecks(trigger: Trigger, past: { readonly lastAt: number | null; readonly fires: readonly number[] }, now: number): Check[] {
  const coolDownMs = trigger.coolDownMs ?? COOL_DOWN_MS
  const leftMs = past.lastAt === null ? 0 : Math.max(0, past.lastAt + coolDownMs - now)
  const most = trigger.maxFiresPerHour ?? FIRES_PER_HOUR
  const fires = past.fires.filter(at => at > now - 3_600_000).length
  return [
    {
      clause: 'coolDownMs',
      holds: leftMs === 0,
      text: leftMs === 0 ? 'it does not cool down' : `it cools down for another ${durationText(leftMs)}`,
    },
    { clause: 'maxFiresPerHour', holds: fires < most, text: `it has fired ${fires} times within the hour, and may ${most} times` },
  ]
}

function effectText(triggers: TriggersHandle, log: string, trigger: Trigger, alert: Alert): { isSome: boolean; text: string } {
  try {
    const effect = triggers.effect(log, trigger, alert)
    if (effect.kind === 'nothing') return { isSome: false, text: `there is nothing left to do: ${effect.why}` }
    return { isSome: true, text: effect.kind === 'tell' ? 'it would tell' : `it would have ${effect.text}` }
  } catch (error) {
    return { isSome: false, text: `it would fail: ${error instanceof Error ? error.message : String(error)}` }
  }
}
