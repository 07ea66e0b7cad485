/**
 * What the guards of one run of a plan have seen: plain JSON that goes through a restart. Pure; the tests of harm are those of
 * `statistics/`, here outcomes become their trials and what they say becomes what the engine decides by.
 */
import type { Flag } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Guard, Numbers, Plan, PlanEvidence, PlanStep } from '../../schemas/plan.ts'
import { SLICE_MS } from '../../schemas/protocol.ts'
import { moment } from '../clock.ts'
import { type Fired, guardsAt, type Seen } from './engine.ts'
import { isShare } from './make.ts'
import { isAlone, stepWeight } from './serve.ts'
import { beginLimit, limitVerdict, looked, nextLook } from './statistics/hardlimit.ts'
import { begin, revive, slice, step as stepped, verdict } from './statistics/process.ts'
import {
  type Arms,
  type GuardNumbers,
  type HardLimit,
  type HardLimitState,
  type Look,
  type StatisticsState,
  type Stratum,
  type Traffic,
  type Trials,
  type Verdict,
} from './statistics/types.ts'
import { countText, shareText } from './words.ts'

const VERSION = 1
/** Points of the picture that are kept; of the older half every other one goes when there are more. */
export const POINTS_MAX = 240
/** Slices that the traffic is averaged over. */
const TRAFFIC_SLICES = 30
const MISMATCH_SHARE = 0.001
/** A look at a hard limit that is later than this is missed; an answer takes 15 s at most. */
const LATE_MS = 20_000
/** After a step the shares of what is reported are mixed for so long: instances hear of it, and report what was, at different times. */
const MIXED_MS = 3 * SLICE_MS

/** One slice in the picture: when it ended, the evidence after it, and what was in it. */
export type Point = readonly [
  at: number,
  logE: number,
  logClear: number,
  rising: number,
  control: number,
  risingBad: number,
  controlBad: number,
]

/** Outcomes of one variation, side and service in a slice. */
export interface SliceSum {
  readonly variation: string
  readonly side: string
  readonly service: string
  readonly contexts: number
  readonly errors: number
  readonly slow: number
  /** Of the one instance that saw most. */
  readonly largest: number
}

/** The outcomes of the plan's flag in a slice that has ended; moments in ms since 1970. */
export interface FlagSlice {
  readonly startedAt: number
  readonly endedAt: number
  readonly sums: readonly SliceSum[]
}

export interface Evidence {
  readonly version: typeof VERSION
  readonly run: string
  readonly watchedSince: string
  readonly step: number
  readonly since: string
  readonly statistics: StatisticsState
  readonly limits: Readonly<Record<string, HardLimitState>>
  /** Alerts and valves that spoke. */
  readonly tripped: Readonly<Record<string, { readonly text: string; readonly mayRevert: boolean }>>
  readonly slices: number
  /** When the last slice ended, ms since 1970. */
  readonly slicedAt: number | null
  /** Time since the step began, or went on, in which nobody watched: while the server was down. */
  readonly missedMs: number
  readonly exposures: Arms<number>
  /** Slices since the last outcome in this step; null before the first. */
  readonly quiet: Arms<number | null>
  /** Of the last slices, the oldest first: contexts, and bad ones, of both arms. */
  readonly traffic: readonly (readonly [rising: number, control: number, controlBad: number])[]
  /** Guards that only say, and have. */
  readonly said: readonly string[]
  readonly points: readonly Point[]
}

/** Nothing seen yet of the step that stands. */
export function beginEvidence(plan: Plan, now: number): Evidence {
  const pairs = new Set(plan.steps.map(({ variation, control }) => JSON.stringify([variation, control]))).size
  const guards = allGuards(plan)
  return {
    version: VERSION,
    run: plan.run,
    watchedSince: plan.watchedSince ?? '',
    step: plan.step ?? 0,
    since: plan.since ?? '',
    // Each pair of variations is a question of its own: all of them together may be wrong so often.
    statistics: begin(
      guards.filter(isShare).map(guard => ({
        key: guard.id,
        role: guard.dryRun === true ? 'dry-run' : guard.role,
        ...(guard.type === 'mismatch' ? { maxShare: guard.maxShare ?? MISMATCH_SHARE } : {}),
      })),
      { alpha: plan.alpha / pairs },
    ),
    limits: limitsOf(plan, now),
    tripped: {},
    slices: 0,
    slicedAt: null,
    missedMs: unwatchedMs(plan, now),
    exposures: { rising: 0, control: 0 },
    quiet: { rising: null, control: null },
    traffic: [],
    said: [],
    points: [],
  }
}

/** As it was stored, or null for what another run or version wrote. Since the last slice nobody has watched. */
export function revivedEvidence(stored: unknown, plan: Plan, now: number): Evidence | null {
  const evidence = stored as Evidence | null
  if (typeof evidence !== 'object' || evidence === null || evidence.version !== VERSION || evidence.run !== plan.run) return null
  if (revive(evidence.statistics) === null) return null
  if (evidence.slicedAt === null) return evidence
  return { ...evidence, slicedAt: now, missedMs: evidence.missedMs + Math.max(0, now - evidence.slicedAt) }
}

/** What fits the plan as it stands: begun anew when other things are watched, gone on with in another step. */
export function followed(evidence: Evidence | null, plan: Plan, now: number): Evidence {
  if (evidence === null || evidence.run !== plan.run || evidence.watchedSince !== (plan.watchedSince ?? '')) {
    const fresh = beginEvidence(plan, now)
    return evidence?.run === plan.run ? { ...fresh, points: evidence.points } : fresh
  }
  if (evidence.step === plan.step && evidence.since === (plan.since ?? '')) return evidence
  // A plan that was held and goes on where it was keeps what its step has seen.
  const isSame = evidence.step === plan.step && plan.spentMs > 0
  if (isSame) return { ...evidence, since: plan.since ?? '', missedMs: unwatchedMs(plan, now) }
  return {
    ...evidence,
    step: plan.step ?? 0,
    since: plan.since ?? '',
    statistics: stepped(evidence.statistics),
    limits: limitsOf(plan, now),
    missedMs: unwatchedMs(plan, now),
    exposures: { rising: 0, control: 0 },
    quiet: { rising: null, control: null },
    traffic: [],
  }
}

/** Of a step that is looked at for the first time: nothing, unless it was taken before the server went down. */
function unwatchedMs(plan: Plan, now: number): number {
  return plan.since === null ? 0 : Math.max(0, now - Date.parse(plan.since))
}

/** A slice has ended in which the step stood from its beginning to its end. */
export function withSlice(evidence: Evidence, plan: Plan, flag: Flag, closed: FlagSlice): Evidence {
  const step = plan.steps[evidence.step]
  if (step === undefined) return evidence
  const gap = evidence.slicedAt === null ? 0 : Math.max(0, closed.startedAt - evidence.slicedAt)
  const missedMs = evidence.missedMs + gap
  // What was reported in it may belong to the step before.
  if (closed.startedAt < Date.parse(evidence.since)) return { ...evidence, slicedAt: closed.endedAt, missedMs }

  const { sums } = closed
  const strata = strataOf(sums, plan, step)
  const weight = stepWeight(plan, evidence.step)
  const isMixed = closed.startedAt < Date.parse(evidence.since) + MIXED_MS
  const configured = isMixed || !isAlone(plan, flag, step) ? null : weight / WEIGHT_TOTAL
  const statistics = slice(evidence.statistics, strata, configured)
  const seen = total(strata, stratum => stratum.seen)
  const succeeded = total(strata, stratum => stratum.succeeded ?? stratum.seen)
  const bad = { rising: seen.rising - succeeded.rising, control: seen.control - succeeded.control }
  const next: Evidence = {
    ...evidence,
    statistics,
    slices: evidence.slices + 1,
    slicedAt: closed.endedAt,
    missedMs,
    exposures: { rising: evidence.exposures.rising + seen.rising, control: evidence.exposures.control + seen.control },
    quiet: { rising: quieter(evidence.quiet.rising, seen.rising), control: quieter(evidence.quiet.control, seen.control) },
    traffic: [...evidence.traffic, [seen.rising, seen.control, bad.control] as const].slice(-TRAFFIC_SLICES),
  }
  const now = verdict(statistics)
  const points = [
    ...evidence.points,
    [closed.endedAt, rounded(now.logE), rounded(leastClear(now)), seen.rising, seen.control, bad.rising, bad.control] as const,
  ]
  return { ...next, points: thinned(points) }
}

/** Evidence that there is no harm, of the guardrail that has least of it. */
export function leastClear({ guards }: Verdict): number {
  const guardrails = guards.filter(({ role }) => role === 'guardrail')
  return guardrails.length === 0 ? 0 : Math.min(...guardrails.map(guard => guard.logA))
}

export function withTrip(evidence: Evidence, guard: Guard, text: string, mayRevert: boolean): Evidence {
  if (Object.hasOwn(evidence.tripped, guard.id)) return evidence
  return { ...evidence, tripped: { ...evidence.tripped, [guard.id]: { text, mayRevert } } }
}

export function withLook(evidence: Evidence, guard: Guard, look: Look, now: number): Evidence {
  const state = evidence.limits[guard.id]
  if (guard.type !== 'promql' || state === undefined) return evidence
  return { ...evidence, limits: { ...evidence.limits, [guard.id]: looked(hardLimitOf(guard), state, look, now) } }
}

/** The hard limits that are to be looked at by now. */
export function dueLooks(evidence: Evidence, plan: Plan, now: number): (Guard & { type: 'promql' })[] {
  return limitsAt(evidence, plan).flatMap(([guard, state]) => {
    // A moment that is still to come was written by a wall clock that has been set back since.
    const isAhead = (state.lookedAt ?? state.beganAt) > now
    return isAhead || nextLook(hardLimitOf(guard), state) <= now ? [guard] : []
  })
}

/** In how many ms the next look at a hard limit is due; null without one. */
export function nextLookInMs(evidence: Evidence, plan: Plan, now: number): number | null {
  const due = limitsAt(evidence, plan).map(([guard, state]) => nextLook(hardLimitOf(guard), state))
  return due.length === 0 ? null : Math.max(0, Math.min(...due) - now)
}

/** The hard limits of the step that stands, with what is known of each. */
function limitsAt(evidence: Evidence, plan: Plan): (readonly [Guard & { type: 'promql' }, HardLimitState])[] {
  return guardsAt(plan, plan.steps[evidence.step]).flatMap(guard => {
    const state = evidence.limits[guard.id]
    return guard.type === 'promql' && state !== undefined ? [[guard, state] as const] : []
  })
}

/** What the engine decides by. */
export function seenOf(evidence: Evidence, plan: Plan, now: number): Seen {
  const said = verdict(evidence.statistics)
  const watching = guardsAt(plan, plan.steps[evidence.step])
  const fired = [...surely(evidence, said, watching, allGuards(plan)), ...watching.flatMap(guard => spoken(evidence, guard))]
  const limits = limitsAt(evidence, plan).filter(([guard]) => guard.dryRun !== true)
  const compared = said.guards.filter(({ key }) =>
    watching.some(guard => guard.id === key && guard.role === 'guardrail' && guard.dryRun !== true),
  )
  return {
    exposures: evidence.exposures.rising,
    quietMs: { rising: quietMs(evidence.quiet.rising), control: quietMs(evidence.quiet.control) },
    fired,
    skewed: skewText(said),
    blind: firstText(limits, isBlind),
    unsettled: firstText(limits, (limit, state) => isUnsettled(limit, state, now)),
    isClear: compared.length > 0 && compared.every(guard => guard.isClear) && said.share.kind === 'as-configured',
    text: summary(evidence, said),
  }
}

/** The traffic of the last minutes; null before there was any. */
export function trafficOf(evidence: Evidence): Traffic | null {
  const sums = evidence.traffic.reduce(
    ([t, c, b], [rising, control, bad]) => [t + rising, c + control, b + bad] as [number, number, number],
    [0, 0, 0],
  )
  const [rising, control, bad] = sums as [number, number, number]
  const all = rising + control
  if (rising === 0 || control === 0) return null
  // Without a failure yet, the rate is at most about one in what was seen.
  return { perSecond: (all * 1_000) / (evidence.traffic.length * SLICE_MS), share: rising / all, baseRate: Math.max(bad, 1) / control }
}

/** One guard in numbers, for people. */
export interface GuardView {
  readonly logE: number | null
  readonly logClear: number | null
  readonly rising: Trials | null
  readonly control: Trials | null
  readonly relativeRisk: { readonly estimate: number | null; readonly low: number; readonly high: number | null } | null
  readonly limit: PlanEvidence['guards'][number]['limit']
  readonly state: 'watching' | 'fired' | 'blind'
  readonly text: string
}

export function guardView(evidence: Evidence, guard: Guard): GuardView {
  const nothing = { logE: null, logClear: null, rising: null, control: null, relativeRisk: null, limit: null }
  if (isShare(guard)) {
    const numbers = verdict(evidence.statistics).guards.find(each => each.key === guard.id)
    if (numbers === undefined) return { ...nothing, state: 'watching', text: `${guard.id}: nothing seen yet` }
    const { logE, logA, trials, relativeRisk } = numbers
    return {
      logE,
      logClear: logA,
      ...trials,
      limit: null,
      relativeRisk: { estimate: relativeRisk.estimate, low: relativeRisk.low, high: relativeRisk.high },
      state: numbers.isHarm ? 'fired' : 'watching',
      text: comparedText(guard, trials, relativeRisk, logE),
    }
  }
  if (guard.type === 'promql') {
    const state = evidence.limits[guard.id]
    if (state === undefined) return { ...nothing, state: 'watching', text: `${guard.id}: not looked at yet` }
    const limit = hardLimitOf(guard)
    const said = limitVerdict(limit, state)
    return {
      ...nothing,
      limit: {
        value: state.last?.kind === 'value' ? state.last.value : null,
        op: guard.op,
        threshold: guard.threshold,
        at: state.lookedAt === null ? null : moment(state.lookedAt),
        verdict: said.kind,
        looks: state.looks,
        failures: state.failures,
        problem: state.problem,
      },
      state: said.kind === 'failed' ? 'fired' : isBlind(limit, state) ? 'blind' : 'watching',
      text: `${guard.id}: ${said.why}`,
    }
  }
  const trip = evidence.tripped[guard.id]
  return {
    ...nothing,
    state: trip === undefined ? 'watching' : 'fired',
    text: `${guard.id}: ${trip?.text ?? (guard.type === 'valve' ? `valve ${guard.flag} flows` : 'no alert that matches')}`,
  }
}

/** All guards of a plan, those of other steps included: they share one error rate from the beginning. */
function allGuards(plan: Plan): readonly Guard[] {
  return [...plan.guards, ...plan.steps.flatMap(step => step.guards)]
}

function limitsOf(plan: Plan, now: number): Record<string, HardLimitState> {
  const step = plan.steps[plan.step ?? 0]
  return Object.fromEntries(guardsAt(plan, step).flatMap(guard => (guard.type === 'promql' ? [[guard.id, beginLimit(now)]] : [])))
}

function hardLimitOf(guard: Guard & { type: 'promql' }): HardLimit {
  const { op, threshold, failureLimit, consecutiveErrorLimit, initialDelayMs, intervalMs = 30_000, onNoData } = guard
  return {
    op,
    threshold,
    intervalMs,
    ...(failureLimit === undefined ? {} : { failureLimit }),
    ...(consecutiveErrorLimit === undefined ? {} : { consecutiveErrorLimit }),
    ...(initialDelayMs === undefined ? {} : { initialDelayMs }),
    onNoData: onNoData === 'ignore' ? 'pass' : 'hold',
  }
}

/** The outcomes of each service; of a migration what callers got: that the side which answered got the same is no further outcome. */
function strataOf(sums: readonly SliceSum[], plan: Plan, step: PlanStep): Stratum[] {
  const services = new Map<string, { rising: SliceSum[]; control: SliceSum[]; checks: SliceSum[] }>()
  for (const sum of sums) {
    const arm = sum.variation === step.variation ? 'rising' : sum.variation === step.control ? 'control' : null
    if (arm === null) continue
    const arms = services.get(sum.service) ?? { rising: [], control: [], checks: [] }
    services.set(sum.service, arms)
    if (sum.side === 'mismatch' && arm === 'rising') arms.checks.push(sum)
    else if (sum.side === '') arms[arm].push(sum)
  }
  const watching = guardsAt(plan, step).filter(isShare)
  return [...services.values()].map(arms => {
    const add = (arm: keyof typeof arms, field: 'contexts' | 'errors' | 'slow' | 'largest'): number =>
      arms[arm].reduce((sum, each) => sum + each[field], 0)
    const trials = (field: 'errors' | 'slow'): Arms<Trials> => ({
      rising: { contexts: add('rising', 'contexts'), bad: add('rising', field) },
      control: { contexts: add('control', 'contexts'), bad: add('control', field) },
    })
    const seen = { rising: add('rising', 'contexts'), control: add('control', 'contexts') }
    const checked = { rising: { contexts: add('checks', 'contexts'), bad: add('checks', 'errors') }, control: { contexts: 0, bad: 0 } }
    return {
      trials: Object.fromEntries(
        watching.map(guard => [guard.id, guard.type === 'mismatch' ? checked : trials(guard.type === 'slowShare' ? 'slow' : 'errors')]),
      ),
      seen,
      succeeded: { rising: seen.rising - add('rising', 'errors'), control: seen.control - add('control', 'errors') },
      distinct: add('rising', 'largest') + add('control', 'largest'),
    }
  })
}

/** The tests that are sure: of each role together, named by the one that is surest; and those that only say so. */
function surely(evidence: Evidence, said: Verdict, watching: readonly Guard[], all: readonly Guard[]): Fired[] {
  const fired: Fired[] = []
  for (const role of ['guardrail', 'signal'] as const) {
    // The highest that it ever was: sure once is sure.
    if (evidence.statistics.highest[role] < said.logThreshold) continue
    const [surest] = said.guards.filter(guard => guard.role === role).toSorted((a, b) => b.logE - a.logE)
    const guard = all.find(({ id }) => id === surest?.key)
    if (surest !== undefined && guard !== undefined) fired.push(firedBy(evidence, said, guard, surest))
  }
  for (const guard of watching) {
    const numbers = guard.dryRun === true ? said.guards.find(({ key, isHarm }) => key === guard.id && isHarm) : undefined
    if (numbers !== undefined) fired.push(firedBy(evidence, said, guard, numbers))
  }
  return fired
}

function firedBy(evidence: Evidence, said: Verdict, guard: Guard, { logE, trials, relativeRisk }: GuardNumbers): Fired {
  const numbers: Numbers = {
    eValue: rounded(Math.exp(Math.min(logE, 700))),
    logE: rounded(logE),
    line: rounded(said.logThreshold),
    slices: evidence.slices,
    risingContexts: trials.rising.contexts,
    risingBad: trials.rising.bad,
    controlContexts: trials.control.contexts,
    controlBad: trials.control.bad,
    relativeRisk: relativeRisk.estimate,
    relativeRiskLow: relativeRisk.low,
    relativeRiskHigh: relativeRisk.high,
    coverage: relativeRisk.coverage,
  }
  return { guard, text: comparedText(guard, trials, relativeRisk, logE), numbers }
}

function spoken(evidence: Evidence, guard: Guard): Fired[] {
  const trip = evidence.tripped[guard.id]
  if (trip !== undefined)
    return [{ guard: trip.mayRevert ? guard : { ...guard, role: 'signal' }, text: `${guard.id}: ${trip.text}`, numbers: {} }]
  const limit = guard.type === 'promql' ? evidence.limits[guard.id] : undefined
  if (guard.type !== 'promql' || limit === undefined) return []
  const said = limitVerdict(hardLimitOf(guard), limit)
  if (said.kind !== 'failed') return []
  const last = limit.last?.kind === 'value' ? limit.last.value : null
  return [
    {
      guard,
      text: `${guard.id}: ${said.why}`,
      numbers: { value: last, threshold: guard.threshold, looks: limit.looks, failures: limit.failures },
    },
  ]
}

/** What is said of the first limit that is so. */
function firstText(
  limits: readonly (readonly [Guard & { type: 'promql' }, HardLimitState])[],
  is: (limit: HardLimit, state: HardLimitState) => boolean,
): string | null {
  const [guard, state] = limits.find(each => is(hardLimitOf(each[0]), each[1])) ?? []
  return guard === undefined || state === undefined ? null : `${guard.id}: ${limitVerdict(hardLimitOf(guard), state).why}`
}

/** The source says nothing, or not any more. */
function isBlind(limit: HardLimit, state: HardLimitState): boolean {
  return limitVerdict(limit, state).kind === 'holding' && !isBorne(state)
}

/** Not looked at yet; broken, and borne once more; or a look is missing, since the server was down or the source is slow to answer. */
function isUnsettled(limit: HardLimit, state: HardLimitState, now: number): boolean {
  const { kind } = limitVerdict(limit, state)
  return kind === 'waiting' || (kind === 'holding' && isBorne(state)) || nextLook(limit, state) + LATE_MS < now
}

function isBorne({ last, consecutiveErrors }: HardLimitState): boolean {
  return last?.kind === 'value' && consecutiveErrors === 0
}

function comparedText(
  guard: Guard,
  { rising, control }: Arms<Trials>,
  risk: { readonly estimate: number | null; readonly low: number; readonly high: number | null },
  logE: number,
): string {
  if (guard.type === 'mismatch') {
    const { contexts, bad } = rising
    const share = shareText(contexts === 0 ? null : bad / contexts)
    return `${guard.id}: ${share} of ${countText(contexts, 'comparison')} differ, ${shareText(guard.maxShare ?? MISMATCH_SHARE)} are borne; e-value ${eText(logE)}`
  }
  if (rising.contexts + control.contexts === 0) return `${guard.id}: no outcome yet`
  const what = guard.type === 'slowShare' ? 'slow' : 'failed'
  const arm = (trials: Trials): string =>
    `${shareText(trials.contexts === 0 ? null : trials.bad / trials.contexts)} of ${countText(trials.contexts, 'context')}`
  const times =
    risk.estimate === null
      ? ''
      : `, ${factor(risk.estimate)} times as often (between ${factor(risk.low)} and ${risk.high === null ? 'any number' : factor(risk.high)})`
  return `${guard.id}: ${what} ${arm(rising)} with it, ${arm(control)} without${times}; e-value ${eText(logE)}`
}

function skewText({ share }: Verdict): string | null {
  if (share.kind === 'as-configured') return null
  const seen = `${shareText(share.observed)} of outcomes came from it, ${shareText(share.configured)} should`
  if (share.kind === 'lost') return `outcomes that ended well are missing: ${seen}`
  return `its share is not what was set: ${seen}. Something else chooses too, or outcomes get lost`
}

function summary(evidence: Evidence, said: Verdict): string {
  const seen = evidence.exposures.rising
  const [first] = said.guards
  if (first === undefined) return seen === 0 ? '' : countText(seen, 'exposure')
  return `${countText(seen, 'exposure')}, e-value ${eText(said.logE)} of ${eText(said.logThreshold)}`
}

function total(strata: readonly Stratum[], of: (stratum: Stratum) => Arms<number>): { rising: number; control: number } {
  return strata.reduce((sum, stratum) => ({ rising: sum.rising + of(stratum).rising, control: sum.control + of(stratum).control }), {
    rising: 0,
    control: 0,
  })
}

function quieter(before: number | null, seen: number): number | null {
  if (seen > 0) return 0
  return before === null ? null : before + 1
}

function quietMs(slices: number | null): number | null {
  return slices === null ? null : slices * SLICE_MS
}

function thinned(points: readonly Point[]): readonly Point[] {
  if (points.length <= POINTS_MAX) return points
  const half = Math.floor(points.length / 2)
  return points.filter((_, i) => i >= half || i % 2 === 0)
}

function rounded(value: number): number {
  return Number(value.toPrecision(5))
}

function factor(value: number): string {
  return String(Number(value.toPrecision(2)))
}

/** An e-value from its log: `0.42`, `214`, `3e+12`. */
function eText(log: number): string {
  return String(Number(Math.exp(Math.min(log, 700)).toPrecision(2)))
}
