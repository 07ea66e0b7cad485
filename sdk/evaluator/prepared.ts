/** What documents become when they are prepared: everything an evaluation looks up, decided beforehand. */
import type { Clause } from '../../schemas/clause.ts'
import type { ValueType } from '../../schemas/reason.ts'
import type { Attribute } from './attribute.ts'
import type { Block } from './columns.ts'
import type { Outcome } from './evaluation.ts'
import type { Test } from './operators.ts'

/** A ruleset ready to be evaluated, at one revision. */
export interface Prepared {
  readonly revision: number
  readonly flags: ReadonlyMap<string, PreparedFlag>
  readonly segments: ReadonlyMap<string, PreparedSegment>
  readonly links: Links
}

/** The one place that says what stands under a key now, so that a change reaches all that refer to it. */
export interface Link<T> {
  readonly key: string
  /** Null when there is none. */
  now: T | null
  /** Keys of the flags that have it as a prerequisite. */
  readonly dependents: Set<string>
}

export interface Links {
  readonly flags: Map<string, Link<PreparedFlag>>
  readonly segments: Map<string, Link<PreparedSegment>>
  /** One per name: flags share what is read of a context, and the few there are stay in the processor's cache. */
  readonly attributes: Map<string, Attribute>
}

/** How to reach what a flag or segment refers to. */
export interface Linking {
  flagLink(key: string): Link<PreparedFlag>
  segmentLink(key: string): Link<PreparedSegment>
  readonly attributes: Map<string, Attribute>
}

/** What a decision mostly asks for stands first, in one or two lines of the processor's cache. */
export interface PreparedFlag {
  /** The answer, where no context can change it. */
  settled: Outcome | null
  /** Neither settled nor killed, and no prerequisite or segment is asked: targets, rules and the fallthrough alone decide. */
  isBare: boolean
  /** Targets and rules, to be found quickly; null when there are none. */
  readonly block: Block | null
  readonly fallthrough: PreparedServe
  readonly kills: readonly PreparedKill[]
  /** The answer once no kill covers the context, where no context can change it: it is off, cannot be decided, or nothing else asks. */
  fixed: Outcome | null
  /** The prerequisites that depend on the context: the others are met whatever it is. */
  open: readonly PreparedPrerequisite[]

  /** The answer in the evaluation under way: many flags may ask for the same prerequisite. */
  turn: number
  era: number
  decided: Outcome

  readonly key: string
  readonly version: number | null
  /** Of its values; null for a malformed flag. */
  readonly type: ValueType | null
  /** Whether client keys (browsers) may evaluate it. */
  readonly clientVisible: boolean
  /** The flag's own, handed to OpenFeature beside ours; null when it has none. */
  readonly metadata: Readonly<Record<string, string | number | boolean>> | null
  readonly unknownOperators: readonly string[]
  /** Whether a clause names a segment. */
  readonly hasSegments: boolean

  readonly enabled: boolean
  readonly off: Outcome
  /** The error of a flag that cannot be understood. Kills and the off switch come first where those could be. */
  readonly malformed: Outcome | null
  /** The error of a flag whose prerequisites cannot be followed: they form a cycle, or a chain without end. */
  blocked: Outcome | null
  readonly prerequisites: readonly PreparedPrerequisite[]
  readonly targets: readonly PreparedTarget[]
  readonly rules: readonly PreparedRule[]
  /** Made when first asked for. */
  mismatch: Outcome | null
}

export interface PreparedKill {
  readonly id: string
  readonly clauses: readonly PreparedClause[]
  readonly result: Outcome
}

export interface PreparedPrerequisite {
  readonly parent: Link<PreparedFlag>
  readonly variations: readonly string[]
  /** The last result that met it. Results are shared, so the next one is mostly the very same. */
  met: Outcome | null
  /** The last that did not. */
  unmet: Outcome | null
  readonly failed: Outcome
}

/** A segment's list of values of one attribute. */
export interface PreparedList {
  readonly attribute: Attribute
  readonly values: ReadonlySet<unknown>
}

/** A target's list, as the clause that asks for it. */
export interface PreparedTarget {
  readonly clauses: readonly [PreparedClause]
  readonly result: Outcome
}

export interface PreparedRule {
  readonly id: string
  readonly clauses: readonly PreparedClause[]
  readonly serve: PreparedServe
}

/** An outcome: a literal, or a rollout that chooses. */
export interface PreparedServe {
  readonly literal: Outcome | null
  readonly rollout: PreparedRollout | null
}

export interface PreparedRollout {
  readonly by: Attribute
  readonly seed: number
  /** The first bucket beyond each share, rising. The last share has no bound: it takes the remainder. */
  readonly bounds: readonly number[]
  readonly results: readonly Outcome[]
  readonly unbucketed: Outcome
}

export interface PreparedClause {
  readonly source: Clause
  /** Null for `segment`, and for an operator that is not known. */
  readonly attribute: Attribute | null
  readonly test: Test
  /** For `exists`: whether the attribute must be there. */
  readonly exists: boolean | null
  /** For `segment`. */
  readonly segments: readonly Link<PreparedSegment>[] | null
  readonly negate: boolean
}

export interface PreparedSegment {
  readonly key: string
  readonly unknownOperators: readonly string[]
  /** Why no context is in it: it cannot be understood, or it contains itself. Null for a sound one. */
  readonly malformed: string | null
  blocked: string | null
  readonly included: readonly PreparedList[]
  readonly excluded: readonly PreparedList[]
  readonly rules: readonly PreparedSegmentRule[]
  /** The keys of segments its rules name. */
  readonly names: readonly string[]

  /** The verdict in the evaluation under way. */
  turn: number
  era: number
  verdict: SegmentVerdict
}

export interface PreparedSegmentRule {
  readonly clauses: readonly PreparedClause[]
  readonly verdict: SegmentVerdict
}

/** Whether a context is in a segment, and what said so. */
export interface SegmentVerdict {
  readonly matched: boolean
  readonly by: 'included' | 'excluded' | 'rule' | 'nothing' | 'unknown' | 'malformed' | 'cycle'
  /** The rule's id. */
  readonly rule?: string
}
