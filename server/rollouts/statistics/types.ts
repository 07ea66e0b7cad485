/**
 * What the statistics of a rollout are given, remember and say. Everything here is plain JSON: the state lives with the
 * plan and goes through a restart; one that was written by another version of this is begun anew (`revive`).
 *
 *     let state = begin(guards, { alpha: 0.01 })
 *     state = slice(state, strata, configuredShare)     after each slice of SLICE_MS, also an empty one
 *     const { kind } = verdict(state)                   what to do, with its numbers
 *     state = step(state)                               the plan took its next step: evidence for advancing begins anew
 *
 * All of `process.ts`, functions without side effects: the state given is never changed. A plan that several services
 * report outcomes of gives one stratum each. A slice in which the configured share fell should be left out: what is late
 * to end badly in it belongs to a share that was larger.
 */

/** Relative risks that harm is looked for at, each with the same stake. */
export const HARM_GRID = [1.25, 1.5, 2, 3, 5, 10] as const

export type GuardRole =
  /** Turns the plan back. */
  | 'guardrail'
  /** Holds it. */
  | 'signal'
  /** Is only shown. */
  | 'dry-run'

/** One share that is compared between the arms: of errors, of slow calls, of mismatches. */
export interface ShareGuard {
  /** Names it within the plan: the `key` of its trials in a stratum, and of its numbers in a verdict. */
  readonly key: string
  readonly role: GuardRole
  /** Its part of the stake among those of one role, above 0; 1 unless given. */
  readonly weight?: number
  /** Harm that advancing shall rule out, as a relative risk above 1: `1 + delta`. 1.5 unless given. */
  readonly ruleOut?: number
  /** Compare with this share, between 0 and 1, instead of the control, of which no trials are needed then. */
  readonly maxShare?: number
}

export interface Options {
  /** Most probability of turning back (and the same again of holding by signals) a rollout that does no harm, ever. 0.01 unless given. */
  readonly alpha?: number
  /** Most probability of taking harm of `ruleOut` or more for none. 0.05 unless given. */
  readonly beta?: number
  /** Slices without an outcome of one arm before that is said. 6 unless given. */
  readonly quietSlices?: number
}

/** Contexts of one arm that ended in a slice, and those of them that ended badly. Both counted once per context. */
export interface Trials {
  readonly contexts: number
  /** At most `contexts`. */
  readonly bad: number
}

/**
 * What is compared within itself: the outcomes of one service in one slice. Services have error rates of their own, and
 * arms that are added up over services differ though nothing is wrong.
 */
export interface Stratum {
  /** By key of the guard; a guard without trials learns nothing here. */
  readonly trials: Readonly<Record<string, Arms<Trials>>>
  /** Contexts seen at all, for the checks of share, volume and silence. */
  readonly seen: Arms<number>
  /** Those that ended well: a crash that takes the telemetry with it shows here. All of `seen` unless given. */
  readonly succeeded?: Arms<number>
  /**
   * So many of them at least are different ones: what the one instance saw that saw most. All of them unless given, which is
   * right only when no context reaches two instances.
   */
  readonly distinct?: number
}

export interface Arms<T> {
  /** The variation that is rolled out. */
  readonly rising: T
  /** What everyone else has. */
  readonly control: T
}

export const STATE_VERSION = 1

/** All logarithms are natural ones. */
export interface StatisticsState {
  readonly version: typeof STATE_VERSION
  readonly alpha: number
  readonly beta: number
  readonly quietSlices: number
  readonly slices: number
  readonly guards: readonly GuardState[]
  /** The highest log of the e-value of each role so far. */
  readonly highest: { readonly guardrail: number; readonly signal: number }
  readonly share: ShareState
  /** Slices since the last outcome of an arm. */
  readonly silent: Arms<number>
}

export interface GuardState {
  readonly key: string
  readonly role: GuardRole
  readonly weight: number
  readonly ruleOut: number
  readonly maxShare: number | null
  /** `log E_r` of the grid, since the beginning. */
  readonly logE: readonly number[]
  /** The same of what is staked in later slices; empty before the first. */
  readonly late: readonly number[]
  /** Slices in which something could be learnt. */
  readonly informative: number
  /** The log of its own e-value, and the highest so far. */
  readonly log: number
  readonly highest: number
  /** `log A`, since the step began. */
  readonly logA: number
  /** Log likelihood ratios against no difference, over `PROFILE` relative risks: what the interval is read from. */
  readonly profile: readonly number[]
  readonly trials: Arms<Trials>
}

/** Observed against configured share, since the step began. */
export interface ShareState {
  /** Slices in which anybody was seen. */
  readonly slices: number
  readonly logTooMany: readonly number[]
  readonly logTooFew: readonly number[]
  /** Too few of those that ended well. */
  readonly logLost: readonly number[]
  /** Most contexts of one slice: so many at least were placed by chance. */
  readonly contexts: number
  readonly seen: Arms<number>
  readonly succeeded: Arms<number>
  /** Sum over slices of contexts × configured share. */
  readonly expected: number
}

export type VerdictKind =
  /** Guardrails are sure: turn back. Stays so. */
  | 'harm'
  /** Signals are sure: hold. Stays so. */
  | 'signal'
  /** The arms do not have the shares they should: hold, and believe nothing else. */
  | 'skewed'
  /** An arm says nothing: never take it for health. */
  | 'no-data'
  /** Every guardrail has ruled out harm of `ruleOut`: advance. */
  | 'clear'
  /** Neither yet. With too few errors it stays so: go by time and exposures, and say so. */
  | 'undecided'

export interface Verdict {
  readonly kind: VerdictKind
  /** Of the guardrails together: harm at `logE >= logThreshold`. */
  readonly logE: number
  /** Of the signals together. */
  readonly signalLogE: number
  /** `ln(1/alpha)`. */
  readonly logThreshold: number
  /** `ln(1/beta)`: what `logA` of a guard has to reach. */
  readonly logClear: number
  readonly guards: readonly GuardNumbers[]
  readonly share: ShareNumbers
  /** Arms without an outcome for `quietSlices`. */
  readonly silent: readonly (keyof Arms<unknown>)[]
}

export interface GuardNumbers {
  readonly key: string
  readonly role: GuardRole
  readonly logE: number
  /** `min(1, 1 / highest e-value)`: a p-value that may be looked at whenever one likes. */
  readonly p: number
  /** Whether it alone would be sure. */
  readonly isHarm: boolean
  readonly logA: number
  readonly isClear: boolean
  readonly trials: Arms<Trials>
  /** Share of bad ones; null without contexts. */
  readonly rates: Arms<number | null>
  readonly relativeRisk: RelativeRisk
}

/** How many times as often the rising variation ends badly as the control (or as `maxShare` allows, as odds), and bounds that hold at every look together with `coverage`. */
export interface RelativeRisk {
  /** Null while nothing is known. */
  readonly estimate: number | null
  /** 0 for none. */
  readonly low: number
  /** Null for none. */
  readonly high: number | null
  readonly coverage: number
}

export interface ShareNumbers {
  /** Of contexts, over the step; null without. */
  readonly observed: number | null
  /** The configured share, averaged over the same contexts; null when it was never said. */
  readonly configured: number | null
  /** What chance alone may make of the configured share, with so few contexts. */
  readonly tolerated: { readonly low: number; readonly high: number } | null
  readonly logE: number
  readonly kind: 'as-configured' | 'too-many' | 'too-few' | 'lost'
}

/** What a step can find out: see `detection.ts`. */
export interface Traffic {
  /** Contexts of both arms per second, each counted once per slice. */
  readonly perSecond: number
  /** Of the rising variation, between 0 and 1. */
  readonly share: number
  /** Share of contexts that end badly without harm, between 0 and 1. */
  readonly baseRate: number
}

/** A plain limit on one number, looked at every `intervalMs`: see `hardlimit.ts`. */
export interface HardLimit {
  /** It is broken while `value op threshold`. */
  readonly op: '>' | '>=' | '<' | '<='
  readonly threshold: number
  /** Broken looks that are borne; one more fails. 0 unless given. */
  readonly failureLimit?: number
  /** Looks in a row that went wrong (the source did not answer) that are borne. 4 unless given. */
  readonly consecutiveErrorLimit?: number
  /** Nothing is looked at before; 0 unless given. */
  readonly initialDelayMs?: number
  /** 30 s unless given. */
  readonly intervalMs?: number
  /** What an answer without a number means. `hold` unless given. */
  readonly onNoData?: 'hold' | 'pass'
}

export type Look =
  | { readonly kind: 'value'; readonly value: number }
  /** The source answered, and there is nothing: also NaN. */
  | { readonly kind: 'no-data' }
  | { readonly kind: 'error'; readonly message: string }

export interface HardLimitState {
  readonly version: typeof STATE_VERSION
  /** When the step began, and the last look; ms since 1970. */
  readonly beganAt: number
  readonly lookedAt: number | null
  readonly looks: number
  readonly failures: number
  readonly consecutiveErrors: number
  /** The last answer, and what went wrong since; null for nothing. */
  readonly last: Exclude<Look, { readonly kind: 'error' }> | null
  readonly problem: string | null
}

export interface HardLimitVerdict {
  /** `failed` stays so. `holding`: no data, or the source does not answer: not healthy, and not harm. */
  readonly kind: 'waiting' | 'passing' | 'holding' | 'failed'
  /** One sentence with the numbers. */
  readonly why: string
}
