/** What the routes answer, as far as the commands read it. The nouns are those of `schemas`. */
import type { Grant, KeyKind } from '../schemas/accesskey.ts'
import type { Change } from '../schemas/change.ts'
import type { ErrorDetail } from '../schemas/errors.ts'
import type { Flag } from '../schemas/flag.ts'
import type { Kill } from '../schemas/kill.ts'
import type { PlanState } from '../schemas/plan.ts'
import type { Segment } from '../schemas/segment.ts'
import type { ValveState } from '../schemas/valve.ts'
import type { EvaluationSeries, Problem, Usage } from '../schemas/usage.ts'

/** Every write in one environment: the revision that now stands and the entry written, null when nothing changed. */
export interface Written {
  readonly revision: number
  readonly change: Change | null
  readonly dryRun?: boolean
  /** Published but not yet stored: the storage is ill. */
  readonly volatile?: boolean
}

/** A write in several environments at once. */
export interface WrittenEverywhere {
  readonly revisions: Readonly<Record<string, number>>
  readonly changes: Readonly<Record<string, Change | null>>
  readonly dryRun?: boolean
  readonly warnings?: readonly ErrorDetail[]
}

export interface FlagWritten extends Written {
  readonly flag: Flag
}

export interface Killed extends Written {
  readonly kill: Kill
  readonly flag: string
  readonly existing: boolean
  readonly affected: Affected
}

/** What else a kill turns off, and how often each flag was evaluated in the last hour; an older server does not say. */
export interface Affected {
  readonly downstream: readonly string[]
  readonly lastHour?: Readonly<Record<string, number>>
}

export interface KilledMany extends Written {
  readonly kills: readonly { readonly flag: string; readonly kill: Kill; readonly existing: boolean }[]
  /** Flags that could not be killed so; the others were not kept waiting. */
  readonly skipped: readonly { readonly flag: string; readonly code: string; readonly message: string }[]
  readonly affected: Affected
}

export interface Lifted extends Written {
  readonly lifted: readonly string[]
}

/** A kill that stands, with the flag it lies over. */
export type StandingKill = Kill & { readonly flag: string }

export interface Kills {
  readonly revision: number
  readonly kills: readonly StandingKill[]
}

export interface FlagOverview {
  readonly key: string
  readonly kind: string
  readonly name?: string
  readonly tags?: readonly string[]
  readonly environments: Readonly<Record<string, { readonly enabled: boolean; readonly version: number; readonly killed: boolean }>>
}

export interface Evaluations {
  readonly usage: Usage
  readonly problems: readonly Problem[]
  readonly series: readonly EvaluationSeries[]
}

export interface Telemetry {
  readonly unknownFlags: readonly (Problem & { readonly meant: string | null })[]
  readonly wrongTypes: readonly (Problem & { readonly type: string | null })[]
  readonly unknownOperators: readonly Problem[]
  readonly errors: readonly Problem[]
  readonly evaluations: number
  readonly dropped: { readonly sdk: number; readonly server: number; readonly since: string }
  readonly storing: { readonly waiting: number; readonly problem: string | null }
}

export interface Changes {
  readonly revision: number
  readonly changes: readonly Change[]
  readonly more?: boolean
}

export interface Segments {
  readonly revision?: number
  readonly segments: readonly Segment[]
}

export interface WhoAmI {
  readonly id: string
  readonly kind: KeyKind
  readonly name: string
  readonly grants: readonly Grant[]
  readonly project: string | null
  readonly environment: string | null
}

export interface Status {
  readonly version: string
  readonly startedAt: string
  readonly storage: { readonly healthy: boolean; readonly problem: string | null; readonly volatile: number }
  readonly environments: readonly {
    readonly project: string
    readonly environment: string
    readonly revision: number
    readonly instances: number
    readonly kills: number
    /** An older server does not say. */
    readonly notifiers?: { readonly paused: number; readonly failing: number }
    /** Left out by an older server. */
    readonly rollouts?: readonly {
      readonly flag: string
      readonly state: PlanState
      readonly step: number | null
      readonly steps: number
      readonly why: string
    }[]
    /** Those that do not flow; an older server does not say. */
    readonly valves?: readonly {
      readonly flag: string
      readonly state: ValveState
      readonly admit: number
      readonly by: 'kill' | 'off' | 'throttle' | 'flag'
    }[]
    /** What triggers did that is in force; an older server does not say. */
    readonly tripped?: readonly {
      readonly trigger: string
      readonly flags: readonly string[]
      readonly at: string
      readonly alert: string
      readonly hook: string
      readonly undo: string
    }[]
  }[]
}

/** A key as it is listed: no secret, no hash. */
export interface ListedKey {
  readonly id: string
  readonly kind: KeyKind
  readonly name: string
  readonly grants?: readonly Grant[]
  readonly project?: string | null
  readonly environment?: string | null
  /** Null for a key set by configuration. */
  readonly createdAt?: string | null
  readonly expiresAt?: string | null
}
