/** What the guards of a plan have seen, as answers and pictures show it. Pure. */
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Outlook, Plan, PlanEvidence } from '../../schemas/plan.ts'
import { moment } from '../clock.ts'
import { guardsAt, type Time } from './engine.ts'
import { type Evidence, guardView, leastClear, seenOf, trafficOf } from './evidence.ts'
import { isLast, stepWeight } from './serve.ts'
import { msToDetect, smallestHarm } from './statistics/detection.ts'
import { verdict } from './statistics/process.ts'
import { durationText } from './words.ts'

/** What counts as now in the figures that people read. */
const RECENT_MS = 300_000
/** Where a step has no time of its own, harm is looked for within this. */
const DETECT_MS = 600_000
/** What people ask first: would we notice twice as many errors? */
const RISK_ASKED = 2

export function evidenceView(plan: Plan, outlook: Outlook, evidence: Evidence | null, { inStepMs, now }: Time): PlanEvidence {
  const index = plan.step ?? 0
  const step = plan.steps[index]
  const weight = stepWeight(plan, index) / WEIGHT_TOTAL
  const base = {
    flag: plan.key,
    run: plan.run,
    state: plan.state,
    outlook,
    step: plan.step,
    steps: plan.steps.length,
    variation: step?.variation ?? '',
    control: step?.control ?? '',
    percent: plan.step === null ? 0 : weight * 100,
    inStepMs: Math.round(inStepMs),
    holdMs: step?.holdMs ?? 0,
    isLast: plan.step !== null && isLast(plan, index),
    alpha: plan.alpha,
  }
  if (evidence === null) {
    const line = Math.log(1 / plan.alpha)
    return {
      ...base,
      slices: 0,
      lastSliceAt: null,
      exposures: { rising: 0, control: 0 },
      recent: recent([], now),
      share: null,
      logE: 0,
      signalLogE: 0,
      line,
      logClear: null,
      clearLine: null,
      guards: [],
      detectable: null,
      series: [],
      text: 'nothing is watched yet',
    }
  }
  const said = verdict(evidence.statistics)
  const seen = seenOf(evidence, plan, now)
  return {
    ...base,
    slices: evidence.slices,
    lastSliceAt: evidence.slicedAt === null ? null : moment(evidence.slicedAt),
    exposures: evidence.exposures,
    recent: recent(evidence.points, now),
    share: {
      configured: weight,
      observed: said.share.observed,
      kind: said.share.kind,
      text: seen.skewed ?? (said.share.observed === null ? 'nobody reported yet, or other rules choose too' : 'as configured'),
    },
    logE: said.logE,
    signalLogE: said.signalLogE,
    line: said.logThreshold,
    logClear: said.guards.length === 0 ? null : leastClear(said),
    clearLine: said.logClear,
    guards: guardsAt(plan, step).map(guard => ({
      id: guard.id,
      type: guard.type,
      role: guard.role,
      dryRun: guard.dryRun === true,
      ...guardView(evidence, guard),
    })),
    detectable: detectable(plan, evidence, step?.holdMs ?? 0),
    series: evidence.points.map(([at, logE, logClear, rising, control, risingBad, controlBad]) => ({
      at: moment(at),
      logE,
      logClear,
      rising: { contexts: rising, bad: risingBad },
      control: { contexts: control, bad: controlBad },
    })),
    text: seen.text,
  }
}

function recent(points: Evidence['points'], now: number): PlanEvidence['recent'] {
  const sums = { rising: { contexts: 0, bad: 0 }, control: { contexts: 0, bad: 0 } }
  for (const [at, , , rising, control, risingBad, controlBad] of points) {
    if (at <= now - RECENT_MS) continue
    sums.rising.contexts += rising
    sums.rising.bad += risingBad
    sums.control.contexts += control
    sums.control.bad += controlBad
  }
  return { withinMs: RECENT_MS, ...sums }
}

/** With the traffic as it is: the smallest relative risk that the step's time is enough for, and how long twice the errors take. */
function detectable(plan: Plan, evidence: Evidence, holdMs: number): PlanEvidence['detectable'] {
  const traffic = trafficOf(evidence)
  if (traffic === null) return null
  const withinMs = holdMs > 0 ? holdMs : DETECT_MS
  const { alpha } = evidence.statistics
  const relativeRisk = smallestHarm(traffic, withinMs, alpha)
  const twiceMs = msToDetect(traffic, RISK_ASKED, alpha)
  const within = durationText(withinMs)
  const text =
    relativeRisk === null
      ? `no harm can be found within ${within}: too few outcomes`
      : `×${Number(relativeRisk.toPrecision(2))} can be found within ${within}${Number.isFinite(twiceMs) ? `; ×2 takes about ${durationText(twiceMs)}` : ''}`
  return {
    relativeRisk,
    withinMs,
    twiceMs: Number.isFinite(twiceMs) ? Math.round(twiceMs) : null,
    perSecond: traffic.perSecond,
    baseRate: traffic.baseRate,
    text,
  }
}
