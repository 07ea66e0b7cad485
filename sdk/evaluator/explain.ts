/** The same decision as `evaluate`, by the same code, with every step that led to it. */
import type { Context } from '../../schemas/context.ts'
import type { Json } from '../../schemas/json.ts'
import { type Attribute, attributeOf, read } from './attribute.ts'
import { decideSafely, evaluate, type Trace } from './evaluate.ts'
import type { Evaluation } from './evaluation.ts'
import { NONE, segmentVerdict } from './match.ts'
import type { Link, Prepared, PreparedClause, PreparedFlag, PreparedPrerequisite, PreparedSegment, SegmentVerdict } from './prepared.ts'
import { nextTurn } from './turn.ts'

/** One clause that was looked at; those after the first that did not match are not. */
export interface ClauseStep {
  readonly attribute?: string
  readonly op: string
  /** At most the first `VALUES_SHOWN_MAX`. */
  readonly values: readonly Json[]
  readonly negate?: true
  readonly ignoreCase?: true
  /** What the context has there; absent when it is missing. */
  readonly value?: Json
  readonly matched: boolean
  /** Why, where that is not plain: an unknown operator, a missing attribute, what a segment said. */
  readonly note?: string
}

/** One thing that was looked at, in order. */
export interface Step {
  readonly step: 'kill' | 'enabled' | 'prerequisite' | 'target' | 'rule' | 'fallthrough' | 'rollout' | 'error'
  /** Whether it decided (for `enabled`: whether it is; for `prerequisite`: whether it is met). */
  readonly matched: boolean
  /** A sentence for people. */
  readonly text: string
  /** Of the kill or rule, or the key of the prerequisite. */
  readonly id?: string
  readonly variation?: string | null
  readonly clauses?: readonly ClauseStep[]
  /** For a rollout: 0 to 99,999; null when the context has nothing to bucket by. */
  readonly bucket?: number | null
  /** For a prerequisite: its own steps. */
  readonly steps?: readonly Step[]
}

export interface Explanation extends Evaluation {
  readonly flag: string
  readonly revision: number
  readonly steps: readonly Step[]
}

const VALUES_SHOWN_MAX = 20

/** Never throws. */
export function explain(prepared: Prepared, flag: string, context: Context): Explanation {
  const steps: Step[] = []
  const found = prepared.flags.get(flag)
  const result = found === undefined ? evaluate(prepared, flag, context) : decideSafely(found, context, recorder(steps, context)).evaluation
  if (result.reason === 'ERROR') steps.push({ step: 'error', matched: true, text: result.message ?? 'The flag could not be decided.' })
  return { ...result, flag, revision: prepared.revision, steps }
}

/** Writes down what the decision tells it. */
function recorder(top: Step[], context: Context): Trace {
  // Prerequisites have steps of their own: the innermost one under way is last.
  const nested: Step[][] = [top]
  const add = (step: Step): void => void (nested.at(-1) ?? top).push(step)
  return {
    kill(kill, failing) {
      const matched = failing === NONE
      const text = matched ? `Kill ${kill.id} covers this context.` : `Kill ${kill.id} does not cover this context.`
      add({
        step: 'kill',
        matched,
        text,
        id: kill.id,
        variation: kill.result.evaluation.variation,
        clauses: clauseSteps(kill.clauses, failing, context),
      })
    },
    enabled({ key, enabled, off }: PreparedFlag) {
      const text = enabled ? `Flag "${key}" is on.` : `Flag "${key}" is off.`
      add({ step: 'enabled', matched: enabled, text, ...(enabled ? {} : { variation: off.evaluation.variation }) })
    },
    prerequisite() {
      nested.push([])
    },
    decided(prerequisite, result, isMet) {
      const steps = nested.pop() ?? []
      add(prerequisiteStep(prerequisite, result?.evaluation ?? null, isMet, steps))
    },
    target({ clauses: [{ attribute }], result }, isListed) {
      const seen = listed(attribute!, context)
      const text = isListed ? `${seen} is a target.` : `${seen} is not a target of "${result.evaluation.variation}".`
      add({ step: 'target', matched: isListed, text, variation: result.evaluation.variation })
    },
    rule(rule, failing) {
      const matched = failing === NONE
      const text = matched ? `Rule ${rule.id} matches.` : `Rule ${rule.id} does not match: its clause ${failing + 1} fails.`
      add({
        step: 'rule',
        matched,
        text,
        id: rule.id,
        ...(rule.serve.literal === null ? {} : { variation: rule.serve.literal.evaluation.variation }),
        clauses: clauseSteps(rule.clauses, failing, context),
      })
    },
    fallthrough() {
      add({ step: 'fallthrough', matched: true, text: 'Nothing before decided: the fallthrough does.' })
    },
    rollout(rollout, bucket, { evaluation: { variation } }) {
      const text =
        bucket === null
          ? `The context has no "${rollout.by.name}" to place it by: the off variation "${variation}".`
          : `"${rollout.by.name}" falls in bucket ${bucket} of 100000: "${variation}".`
      add({ step: 'rollout', matched: bucket !== null, text, variation, bucket })
    },
  }
}

function prerequisiteStep(
  { parent, variations }: PreparedPrerequisite,
  result: Evaluation | null,
  isMet: boolean,
  steps: readonly Step[],
): Step {
  const wanted = variations.map(key => `"${key}"`).join(' or ')
  const got =
    result === null
      ? 'does not exist'
      : result.variation === null
        ? `is in error (${result.error ?? result.reason})`
        : `gives "${result.variation}" (${result.reason})`
  const text = `Prerequisite "${parent.key}" ${got}, ${isMet ? 'as required' : `but ${wanted} by a decision of its own is required`}.`
  return { step: 'prerequisite', matched: isMet, text, id: parent.key, variation: result?.variation ?? null, steps }
}

function listed(attribute: Attribute, context: Context): string {
  const value = seenBy(attribute, context)
  return value === undefined ? `The context has no "${attribute.name}", so it` : `"${attribute.name}" ${shown(value)}`
}

/** Those up to the one that failed. */
function clauseSteps(clauses: readonly PreparedClause[], failing: number, context: Context): ClauseStep[] {
  return clauses.slice(0, failing === NONE ? clauses.length : failing + 1).map((clause, i) => clauseStep(clause, i !== failing, context))
}

function clauseStep(clause: PreparedClause, matched: boolean, context: Context): ClauseStep {
  const { attribute, op, values, negate, ignoreCase } = clause.source
  const value = clause.attribute === null ? undefined : seenBy(clause.attribute, context)
  const note = noteOf(clause, value, context)
  return {
    ...(typeof attribute === 'string' && { attribute }),
    op,
    values: Array.isArray(values) ? values.slice(0, VALUES_SHOWN_MAX) : [],
    ...(negate === true && { negate }),
    ...(ignoreCase === true && { ignoreCase }),
    ...(value !== undefined && { value: value as Json }),
    matched,
    ...(note !== null && { note }),
  }
}

function noteOf(clause: PreparedClause, value: unknown, context: Context): string | null {
  if (clause.segments !== null) {
    const turn = nextTurn()
    return clause.segments.map(link => segmentNote(link, context, turn)).join('; ')
  }
  if (clause.attribute === null) return `the operator "${String(clause.source.op)}" is not known here, so the clause does not match`
  if (value === undefined && clause.exists === null)
    return `the context has no "${clause.attribute.name}", and a missing attribute never matches`
  return null
}

/** The decision stops at the first segment that contains the context; what a later one meets there must not change it. */
function segmentNote(link: Link<PreparedSegment>, context: Context, turn: number): string {
  try {
    return `segment "${link.key}" ${verdictText(segmentVerdict(link, context, turn), link.now?.blocked ?? link.now?.malformed)}`
  } catch {
    return `segment "${link.key}" cannot be decided for this context`
  }
}

function verdictText({ by, rule }: SegmentVerdict, problem: string | null | undefined): string {
  switch (by) {
    case 'included':
      return 'includes this context'
    case 'excluded':
      return 'excludes this context'
    case 'rule':
      return `contains this context by its rule ${rule ?? ''}`
    case 'nothing':
      return 'does not contain this context'
    case 'unknown':
      return 'does not exist, so it contains nobody'
    case 'malformed':
    case 'cycle':
      return `cannot be used, so it contains nobody: ${problem ?? by}`
  }
}

/** Read again without what the decision remembers: an explanation must not change it. */
function seenBy({ name }: Attribute, context: Context): unknown {
  const attribute = attributeOf(name)
  return attribute === null || typeof context !== 'object' || context === null || Array.isArray(context)
    ? undefined
    : read(attribute, context)
}

function shown(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch {
    text = undefined
  }
  text ??= typeof value
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
