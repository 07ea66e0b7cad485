/** Prepared ruleset + flag key + context → value and reason. Synchronous, pure, and never throws. */
import type { Context } from '../../schemas/context.ts'
import type { ValueType } from '../../schemas/reason.ts'
import { era, nextTurn, read } from './attribute.ts'
import { bucketKeyOf, bucketOf } from './bucket.ts'
import type { Evaluation } from './evaluation.ts'
import { failure } from './flag.ts'
import { firstFailing, isListed, NONE } from './match.ts'
import type {
  Prepared,
  PreparedFlag,
  PreparedKill,
  PreparedPrerequisite,
  PreparedRollout,
  PreparedRule,
  PreparedTarget,
  RuleIndex,
} from './prepared.ts'

export { type Evaluation, typeOfValue } from './evaluation.ts'

/** Told of every step while a decision is made: how `explain` watches. Null when nobody does. */
export interface Trace {
  /** @param failing the place of the first clause that does not match, `NONE` when all do */
  kill(kill: PreparedKill, failing: number): void
  enabled(flag: PreparedFlag): void
  prerequisite(prerequisite: PreparedPrerequisite): void
  decided(prerequisite: PreparedPrerequisite, result: Evaluation | null, isMet: boolean): void
  target(target: PreparedTarget, isListed: boolean): void
  rule(rule: PreparedRule, failing: number): void
  fallthrough(): void
  rollout(rollout: PreparedRollout, bucket: number | null, result: Evaluation): void
}

const FLAG_NOT_FOUND: Evaluation = Object.freeze({
  value: undefined,
  variation: null,
  reason: 'ERROR',
  type: null,
  flagVersion: null,
  error: 'FLAG_NOT_FOUND',
  message: 'There is no such flag in this environment. Check its key.',
})

const NO_RULES: readonly PreparedRule[] = []

const NO_CONTEXT: Context = Object.freeze({})

/**
 * Decide one flag for one context. The answer is frozen and shared: it was built when the ruleset was prepared.
 * @param context what is not an object has no attributes
 */
export function evaluate(prepared: Prepared, flag: string, context: Context): Evaluation {
  const found = prepared.flags.get(flag)
  if (found === undefined) return FLAG_NOT_FOUND
  return decideSafely(found, context, null)
}

/**
 * As `evaluate`, and a flag whose values are of another type than the caller's default is `ERROR TYPE_MISMATCH`.
 * @param type the type of the caller's default (`typeOfValue`); null asks for none
 */
export function evaluateAs(prepared: Prepared, flag: string, context: Context, type: ValueType | null): Evaluation {
  const found = prepared.flags.get(flag)
  if (found === undefined) return FLAG_NOT_FOUND
  const result = decideSafely(found, context, null)
  return type === null || result.type === type || result.error !== undefined ? result : mismatch(found)
}

export function decideSafely(flag: PreparedFlag, context: Context, trace: Trace | null): Evaluation {
  if (trace === null && flag.settled !== null) return flag.settled
  try {
    return decide(flag, isObject(context) ? context : NO_CONTEXT, nextTurn(), trace)
  } catch {
    // A context with a trap that throws where nobody expects one.
    return failure(flag.key, flag.version, 'MALFORMED_FLAG', 'it could not be evaluated for this context.')
  }
}

/** The whole algorithm, in the order of `docs/evaluation.md`. */
function decide(flag: PreparedFlag, context: Context, turn: number, trace: Trace | null): Evaluation {
  const { kills, prerequisites, targets } = flag
  for (let i = 0; i < kills.length; i++) {
    const kill = kills[i]!
    const failing = firstFailing(kill.clauses, 0, context, turn)
    if (trace !== null) trace.kill(kill, failing)
    if (failing === NONE) return kill.result
  }

  if (trace !== null) trace.enabled(flag)
  if (!flag.enabled) return flag.off

  if (flag.malformed !== null) return flag.malformed
  if (flag.blocked !== null) return flag.blocked

  for (let i = 0; i < prerequisites.length; i++) {
    const prerequisite = prerequisites[i]!
    if (!isMet(prerequisite, context, turn, trace)) return prerequisite.failed
  }

  for (let i = 0; i < targets.length; i++) {
    const target = targets[i]!
    const isTarget = isListed(target.list, context, turn)
    if (trace !== null) trace.target(target, isTarget)
    if (isTarget) return target.result
  }

  // Rules found by their first clause need not be asked for it again.
  const likely = trace === null && flag.index !== null ? likelyRules(flag.index, context, turn) : null
  const from = likely === null ? 0 : 1
  const rules = likely ?? flag.rules
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!
    const failing = firstFailing(rule.clauses, from, context, turn)
    if (trace !== null) trace.rule(rule, failing)
    if (failing === NONE) return rule.serve.literal ?? roll(rule.serve.rollout!, context, turn, trace)
  }

  if (trace !== null) trace.fallthrough()
  return flag.fallthrough.literal ?? roll(flag.fallthrough.rollout!, context, turn, trace)
}

/**
 * Those rules whose first clause matches, in their order; null when that is not known. `explain` tells of all, with the
 * same outcome.
 */
function likelyRules(index: RuleIndex, context: Context, turn: number): readonly PreparedRule[] | null {
  const value = read(index.attribute, context, turn)
  // Any element of an array may match.
  return typeof value === 'object' ? null : (index.rules.get(value) ?? NO_RULES)
}

/** Only a decision meets a prerequisite: a parent that is killed, off, cut itself or in error never does. */
function isMet(prerequisite: PreparedPrerequisite, context: Context, turn: number, trace: Trace | null): boolean {
  if (trace !== null) trace.prerequisite(prerequisite)
  const parent = prerequisite.parent.now
  const result = parent === null ? null : decideParent(parent, context, turn, trace)
  const met = result !== null && (result === prerequisite.met || (result !== prerequisite.unmet && meets(result, prerequisite)))
  if (trace !== null) trace.decided(prerequisite, result, met)
  return met
}

/** Decided once per evaluation: prerequisites that share parents would otherwise double the work at every level. */
function decideParent(parent: PreparedFlag, context: Context, turn: number, trace: Trace | null): Evaluation {
  if (trace === null && parent.settled !== null) return parent.settled
  if (parent.turn === turn && parent.era === era) return parent.decided
  const result = decide(parent, context, turn, trace)
  parent.turn = turn
  parent.era = era
  parent.decided = result
  return result
}

function meets(result: Evaluation, prerequisite: PreparedPrerequisite): boolean {
  const met = result.variation !== null && isDecision(result) && prerequisite.variations.includes(result.variation)
  if (met) prerequisite.met = result
  else prerequisite.unmet = result
  return met
}

function isDecision({ reason }: Evaluation): boolean {
  return reason === 'FALLTHROUGH' || reason === 'RULE_MATCH' || reason === 'TARGET_MATCH'
}

function roll(rollout: PreparedRollout, context: Context, turn: number, trace: Trace | null): Evaluation {
  const key = bucketKeyOf(read(rollout.by, context, turn))
  const bucket = key === null ? null : bucketOf(key, rollout.seed)
  const result = bucket === null ? rollout.unbucketed : share(rollout, bucket)
  if (trace !== null) trace.rollout(rollout, bucket, result)
  return result
}

/** Weights fill the buckets in order; the last share takes what remains, also of weights that do not add up. */
function share({ bounds, results }: PreparedRollout, bucket: number): Evaluation {
  let i = 0
  while (i < bounds.length && bucket >= bounds[i]!) i++
  return results[i]!
}

function mismatch(flag: PreparedFlag): Evaluation {
  flag.mismatch ??= failure(flag.key, flag.version, 'TYPE_MISMATCH', `its values are of type ${flag.type}. Ask for that type.`)
  return flag.mismatch
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
