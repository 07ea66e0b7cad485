/**
 * Decides from the outcomes of a rollout whether it harms, is clear of harm, or cannot be judged: every slice is a bet that
 * goes on from the last one. The bets and their reasons are in `eprocess.ts` and `share.ts`; here they are put together
 * under one alpha. Pure: what a verdict leads to is the engine's.
 */
import { logMean, logStep, logSum, shareOf, staked, stakedLog } from './eprocess.ts'
import { addToProfile, PROFILE, relativeRisk } from './interval.ts'
import { addShare, EVEN, shareNumbers } from './share.ts'
import {
  type Arms,
  type GuardNumbers,
  type GuardRole,
  type GuardState,
  HARM_GRID,
  type Options,
  type ShareGuard,
  STATE_VERSION,
  type StatisticsState,
  type Stratum,
  type Trials,
  type Verdict,
  type VerdictKind,
} from './types.ts'

const ALPHA = 0.01
const BETA = 0.05
const QUIET_SLICES = 6
const RULE_OUT = 1.5
/** Of the interval of a relative risk. */
const COVERAGE = 0.95
/**
 * Part of the stake that is kept for harm which begins later. A bet from the beginning alone loses with every healthy slice,
 * and has to win that back first: after a healthy hour, harm of five times the errors would go on ten times as long.
 */
export const LATE_STAKE = 0.1

const NOTHING: Arms<Trials> = { rising: { contexts: 0, bad: 0 }, control: { contexts: 0, bad: 0 } }

/** Begin a plan. A plan that goes on after a person has looked begins anew. */
export function begin(guards: readonly ShareGuard[], options: Options = {}): StatisticsState {
  return {
    version: STATE_VERSION,
    alpha: options.alpha ?? ALPHA,
    beta: options.beta ?? BETA,
    quietSlices: options.quietSlices ?? QUIET_SLICES,
    slices: 0,
    guards: guards.map((guard): GuardState => ({
      key: guard.key,
      role: guard.role,
      weight: guard.weight ?? 1,
      ruleOut: guard.ruleOut ?? RULE_OUT,
      maxShare: guard.maxShare ?? null,
      logE: HARM_GRID.map(() => 0),
      late: [],
      informative: 0,
      log: 0,
      highest: 0,
      logA: 0,
      profile: PROFILE.map(() => 0),
      trials: NOTHING,
    })),
    highest: { guardrail: 0, signal: 0 },
    share: EVEN,
    silent: { rising: 0, control: 0 },
  }
}

/** A stored state as it was, or null for one that this version cannot go on with. */
export function revive(stored: unknown): StatisticsState | null {
  const isOurs = typeof stored === 'object' && stored !== null && (stored as { version?: unknown }).version === STATE_VERSION
  return isOurs ? (stored as StatisticsState) : null
}

/**
 * A slice has ended.
 * @param strata          its outcomes by service; none for a slice in which nobody reported
 * @param configuredShare of the rising variation all through the slice, from 0 to 1; null when it moved, or when other rules
 *                        than the rollout choose variations too, so that nothing is to be expected of it
 */
export function slice(state: StatisticsState, strata: readonly Stratum[], configuredShare: number | null): StatisticsState {
  const seen = (arm: keyof Arms<unknown>): boolean => strata.some(stratum => stratum.seen[arm] > 0)
  const guards = state.guards.map(guard => strata.reduce(addTrials, guard))
  return {
    ...state,
    slices: state.slices + 1,
    guards,
    highest: {
      guardrail: Math.max(state.highest.guardrail, together(guards, 'guardrail')),
      signal: Math.max(state.highest.signal, together(guards, 'signal')),
    },
    share:
      configuredShare === null || configuredShare <= 0 || configuredShare >= 1 ? state.share : addLargest(state, strata, configuredShare),
    silent: {
      rising: seen('rising') ? 0 : state.silent.rising + 1,
      control: seen('control') ? 0 : state.silent.control + 1,
    },
  }
}

/** The plan has taken a step: what shall let it take the next has to be seen in this one. Evidence of harm stays. */
export function step(state: StatisticsState): StatisticsState {
  return {
    ...state,
    guards: state.guards.map(guard => ({ ...guard, logA: 0 })),
    share: EVEN,
    silent: { rising: 0, control: 0 },
  }
}

export function verdict(state: StatisticsState): Verdict {
  const logThreshold = -Math.log(state.alpha)
  const logClear = -Math.log(state.beta)
  const guards = state.guards.map(guard => numbersOf(guard, logThreshold, logClear))
  const share = shareNumbers(state.share, logThreshold)
  const silent = (['rising', 'control'] as const).filter(arm => state.silent[arm] >= state.quietSlices)
  const guardrails = guards.filter(({ role }) => role === 'guardrail')
  return {
    kind: kindOf(),
    logE: together(state.guards, 'guardrail'),
    signalLogE: together(state.guards, 'signal'),
    logThreshold,
    logClear,
    guards,
    share,
    silent,
  }

  function kindOf(): VerdictKind {
    // Sure once is sure: the bound is on the highest that it ever was.
    if (state.highest.guardrail >= logThreshold) return 'harm'
    if (state.highest.signal >= logThreshold) return 'signal'
    if (share.kind !== 'as-configured') return 'skewed'
    if (silent.length > 0) return 'no-data'
    // Each has to be ruled out at beta: then all are, at beta.
    return guardrails.length > 0 && guardrails.every(({ isClear }) => isClear) ? 'clear' : 'undecided'
  }
}

function addTrials(guard: GuardState, { trials }: Stratum): GuardState {
  const arms = Object.hasOwn(trials, guard.key) ? trials[guard.key] : undefined
  if (arms === undefined) return guard
  const { rising, control } = arms
  const sums: Arms<Trials> = { rising: sumOf(guard.trials.rising, rising), control: sumOf(guard.trials.control, control) }
  // Bad ones among all, held against a share: the same bet as the rising variation's among the bad ones, held against its share.
  const { maxShare } = guard
  const w = maxShare ?? shareOf(rising, control)
  const mine = maxShare === null ? rising.bad : Math.min(rising.bad, rising.contexts)
  const all = maxShare === null ? rising.bad + control.bad : rising.contexts
  if (w === null || all === 0) return { ...guard, trials: sums }
  const ratios = HARM_GRID.map(r => logStep(r, w, mine, all))
  const add = (log: number, i: number): number => log + ratios[i]!
  const informative = guard.informative + 1
  const logE = guard.logE.map(add)
  const late = staked(guard.late, informative, HARM_GRID.length).map(add)
  const log = logOf(logE, late, informative)
  return {
    ...guard,
    logE,
    late,
    informative,
    log,
    highest: Math.max(guard.highest, log),
    logA: guard.logA - logStep(guard.ruleOut, w, mine, all),
    profile: addToProfile(guard.profile, w, mine, all),
    trials: sums,
  }
}

/** The log of a guard's e-value: what was staked at the beginning, later, and not yet. */
function logOf(logE: readonly number[], late: readonly number[], informative: number): number {
  const atFirst = Math.log(1 - LATE_STAKE) + logMean(logE)
  const later = Math.log(LATE_STAKE) + stakedLog(late, informative)
  return logSum([atFirst, later])
}

/** Of the guards of one role. An average of e-values is one, however they depend on each other; the largest of them is not. */
function together(guards: readonly GuardState[], role: GuardRole): number {
  const those = guards.filter(guard => guard.role === role)
  if (those.length === 0) return 0
  const all = those.reduce((sum, { weight }) => sum + weight, 0)
  return logSum(those.map(guard => Math.log(guard.weight / all) + guard.log))
}

function numbersOf(guard: GuardState, logThreshold: number, logClear: number): GuardNumbers {
  const { key, role, logA, trials } = guard
  const rate = ({ contexts, bad }: Trials): number | null => (contexts === 0 ? null : bad / contexts)
  return {
    key,
    role,
    logE: guard.log,
    p: Math.min(1, Math.exp(-guard.highest)),
    isHarm: guard.highest >= logThreshold,
    logA,
    isClear: logA >= logClear,
    trials,
    rates: { rising: rate(trials.rising), control: rate(trials.control) },
    relativeRisk: relativeRisk(guard.profile, guard.informative, COVERAGE),
  }
}

function addLargest(state: StatisticsState, strata: readonly Stratum[], share: number): StatisticsState['share'] {
  let largest: Stratum | null = null
  for (const stratum of strata) if (largest === null || sizeOf(stratum) > sizeOf(largest)) largest = stratum
  return largest === null ? state.share : addShare(state.share, largest, share)
}

function sizeOf({ seen }: Stratum): number {
  return seen.rising + seen.control
}

function sumOf(a: Trials, b: Trials): Trials {
  return { contexts: a.contexts + b.contexts, bad: a.bad + b.bad }
}
