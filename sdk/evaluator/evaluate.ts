/** Prepared ruleset + flag key + context → value and reason. Synchronous, pure, and never throws. */
import type { Context } from '../../schemas/context.ts'
import type { ValueType } from '../../schemas/reason.ts'
import { type Evaluation, type Outcome, outcomeOf } from './evaluation.ts'
import { failure } from './flag.ts'
import { firstFailing, firstMatch, NONE } from './match.ts'
import type {
  Prepared,
  PreparedFlag,
  PreparedKill,
  PreparedPrerequisite,
  PreparedRollout,
  PreparedRule,
  PreparedServe,
  PreparedTarget,
} from './prepared.ts'
import { canMeet } from './prerequisites.ts'
import { placeOf, roll, shareAt } from './rollout.ts'
import { era, nextTurn } from './turn.ts'

export { type Evaluation, typeOfValue } from './evaluation.ts'

/** Told of every step while a decision is made: how `explain` watches. Null when nobody does. */
export interface Trace {
  /** @param failing the place of the first clause that does not match, `NONE` when all do */
  kill(kill: PreparedKill, failing: number): void
  enabled(flag: PreparedFlag): void
  prerequisite(prerequisite: PreparedPrerequisite): void
  decided(prerequisite: PreparedPrerequisite, result: Outcome | null, isMet: boolean): void
  target(target: PreparedTarget, isListed: boolean): void
  rule(rule: PreparedRule, failing: number): void
  fallthrough(): void
  rollout(rollout: PreparedRollout, bucket: number | null, result: Outcome): void
}

const FLAG_NOT_FOUND = outcomeOf('', {
  value: undefined,
  variation: null,
  reason: 'ERROR',
  type: null,
  flagVersion: null,
  error: 'FLAG_NOT_FOUND',
  message: 'There is no such flag in this environment. Check its key.',
})

const NO_CONTEXT: Context = Object.freeze({})

/**
 * Decide one flag for one context. The answer is frozen and shared: it was built when the ruleset was prepared.
 * @param context what is not an object has no attributes
 */
export function evaluate(prepared: Prepared, flag: string, context: Context): Evaluation {
  const found = prepared.flags.get(flag)
  if (found === undefined) return FLAG_NOT_FOUND.evaluation
  return decideSafely(found, context, null).evaluation
}

/**
 * As `evaluate`, and a flag whose values are of another type than the caller's default is `ERROR TYPE_MISMATCH`.
 * @param type the type of the caller's default (`typeOfValue`); null asks for none
 */
export function evaluateAs(prepared: Prepared, flag: string, context: Context, type: ValueType | null): Evaluation {
  return outcomeAs(prepared, flag, context, type).evaluation
}

/** As `evaluateAs`, to be counted. */
export function outcomeAs(prepared: Prepared, flag: string, context: Context, type: ValueType | null): Outcome {
  const found = prepared.flags.get(flag)
  if (found === undefined) return FLAG_NOT_FOUND
  const outcome = decideSafely(found, context, null)
  return type === null || outcome.type === type || outcome.value === undefined ? outcome : mismatch(found)
}

export function decideSafely(flag: PreparedFlag, context: Context, trace: Trace | null): Outcome {
  if (trace === null && flag.settled !== null) return flag.settled
  try {
    const asked = isObject(context) ? context : NO_CONTEXT
    // Most flags have nothing but targets, rules and a fallthrough to ask. A turn is needed where something may be asked twice.
    if (trace === null && flag.isBare) return serve(flag, asked, 0)
    return decide(flag, asked, nextTurn(), trace)
  } catch {
    // A context with a trap that throws where nobody expects one.
    return failure(flag.key, flag.version, 'MALFORMED_FLAG', 'it could not be evaluated for this context.')
  }
}

/** The whole algorithm, in the order of `docs/evaluation.md`. Whoever watches is told of every step; else what is known beforehand is skipped. */
function decide(flag: PreparedFlag, context: Context, turn: number, trace: Trace | null): Outcome {
  const { kills } = flag
  for (let i = 0; i < kills.length; i++) {
    const kill = kills[i]!
    const failing = firstFailing(kill.clauses, context, turn)
    if (trace !== null) trace.kill(kill, failing)
    if (failing === NONE) return kill.result
  }

  if (trace === null) {
    if (flag.fixed !== null) return flag.fixed
  } else {
    trace.enabled(flag)
    if (!flag.enabled) return flag.off
    if (flag.malformed !== null) return flag.malformed
    if (flag.blocked !== null) return flag.blocked
  }

  const prerequisites = trace === null ? flag.open : flag.prerequisites
  for (let i = 0; i < prerequisites.length; i++) {
    const prerequisite = prerequisites[i]!
    if (!isMet(prerequisite, context, turn, trace)) return prerequisite.failed
  }

  return trace === null ? serve(flag, context, turn) : serveTraced(flag, context, turn, trace)
}

/** The first target or rule that matches, or the fallthrough. */
function serve({ block, fallthrough }: PreparedFlag, context: Context, turn: number): Outcome {
  const matched = block === null ? null : firstMatch(block, context, turn)
  return matched ?? fallthrough.literal ?? roll(fallthrough.rollout!, context)
}

/** As `serve`, one by one. */
function serveTraced(flag: PreparedFlag, context: Context, turn: number, trace: Trace): Outcome {
  const { literal, rollout } = tracedMatch(flag, context, turn, trace) ?? flag.fallthrough
  if (literal !== null) return literal
  const bucket = placeOf(rollout!, context)
  const outcome = shareAt(rollout!, bucket)
  trace.rollout(rollout!, bucket, outcome)
  return outcome
}

function tracedMatch({ targets, rules }: PreparedFlag, context: Context, turn: number, trace: Trace): PreparedServe | null {
  for (const target of targets) {
    const isListed = firstFailing(target.clauses, context, turn) === NONE
    trace.target(target, isListed)
    if (isListed) return { literal: target.result, rollout: null }
  }
  for (const rule of rules) {
    const failing = firstFailing(rule.clauses, context, turn)
    trace.rule(rule, failing)
    if (failing === NONE) return rule.serve
  }
  trace.fallthrough()
  return null
}

function isMet(prerequisite: PreparedPrerequisite, context: Context, turn: number, trace: Trace | null): boolean {
  if (trace !== null) trace.prerequisite(prerequisite)
  const parent = prerequisite.parent.now
  const result = parent === null ? null : decideParent(parent, context, turn, trace)
  const met = result !== null && (result === prerequisite.met || (result !== prerequisite.unmet && meets(result, prerequisite)))
  if (trace !== null) trace.decided(prerequisite, result, met)
  return met
}

/** Decided once per evaluation: prerequisites that share parents would otherwise double the work at every level. */
function decideParent(parent: PreparedFlag, context: Context, turn: number, trace: Trace | null): Outcome {
  if (trace === null && parent.settled !== null) return parent.settled
  if (parent.turn === turn && parent.era === era) return parent.decided
  const result = trace === null && parent.isBare ? serve(parent, context, turn) : decide(parent, context, turn, trace)
  parent.turn = turn
  parent.era = era
  parent.decided = result
  return result
}

function meets(result: Outcome, prerequisite: PreparedPrerequisite): boolean {
  const met = canMeet(result, prerequisite)
  if (met) prerequisite.met = result
  else prerequisite.unmet = result
  return met
}

function mismatch(flag: PreparedFlag): Outcome {
  flag.mismatch ??= failure(flag.key, flag.version, 'TYPE_MISMATCH', `its values are of type ${flag.type}. Ask for that type.`)
  return flag.mismatch
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
