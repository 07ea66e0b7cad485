/** Prepares one flag: every answer it can give is built here, once, and frozen. */
import type { Json } from '../../schemas/json.ts'
import { SEED_MAX, WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { EvaluationError, Reason, ValueType } from '../../schemas/reason.ts'
import type { Attribute } from './attribute.ts'
import { type Gathered, prepareAttribute, prepareClauses, prepareTargets } from './clause.ts'
import { blocksOf } from './columns.ts'
import { type Fields, fieldsOf, frozenCopy, integerOf, listOf, Malformed, preparedList, textOf } from './document.ts'
import { type Evaluation, type Outcome, outcomeOf, typeOfValue } from './evaluation.ts'
import type {
  Linking,
  PreparedFlag,
  PreparedKill,
  PreparedPrerequisite,
  PreparedRollout,
  PreparedRule,
  PreparedServe,
  PreparedTarget,
} from './prepared.ts'

/** What is known of a flag once its head is read: enough to be killed or off. */
interface Head {
  readonly key: string
  readonly version: number | null
  readonly type: ValueType
  readonly values: ReadonlyMap<string, Json>
  readonly offVariation: string
}

/** What may stand in a result beside the value. */
type Extra = Partial<Pick<Evaluation, 'ruleId' | 'killId' | 'prerequisite' | 'unbucketed' | 'rollout' | 'static'>>

type Body = Pick<PreparedFlag, 'prerequisites' | 'targets' | 'rules' | 'block' | 'fallthrough'>

/**
 * A flag of which nothing can be understood is `ERROR MALFORMED_FLAG`. One whose head can (variations, kills, the
 * switch) is still killed and off as its operators want, and malformed otherwise.
 */
export function prepareFlag(key: string, document: unknown, linking: Linking): PreparedFlag {
  const gathered: Gathered = {
    attributes: linking.attributes,
    unknownOperators: null,
    segments: null,
    segmentLink: key => linking.segmentLink(key),
  }
  const about = aboutOf(document)
  let malformed: Outcome | null = null
  let off: Outcome = EMPTY
  let type: ValueType | null = null
  let enabled = true
  let kills: readonly PreparedKill[] = []
  let body: Body = { prerequisites: [], targets: [], rules: [], block: null, fallthrough: NO_SERVE }
  try {
    const fields = fieldsOf(document, '')
    const head = headOf(key, fields, about.version)
    if (typeof fields.enabled !== 'boolean') throw new Malformed('enabled', 'is not true or false')
    const preparedKills = prepareKills(fields.kills, head, gathered)
    off = result(head, head.offVariation, 'OFF', {}, 'offVariation')
    ;({ enabled } = fields)
    ;({ type } = head)
    kills = preparedKills
    body = bodyOf(fields, head, gathered, linking, kills.length === 0)
  } catch (error) {
    malformed = failure(key, about.version, 'MALFORMED_FLAG', error instanceof Malformed ? error.message : 'it cannot be prepared')
  }
  // Written out, without spreads: all flags then have one hidden class, which the decision is compiled for.
  return {
    settled: null,
    isBare: false,
    block: body.block,
    fallthrough: body.fallthrough,
    kills,
    fixed: null,
    open: body.prerequisites,
    turn: 0,
    era: 0,
    decided: off,
    key,
    version: about.version,
    type,
    clientVisible: about.clientVisible,
    metadata: about.metadata,
    unknownOperators: gathered.unknownOperators === null ? NO_NAMES : [...gathered.unknownOperators],
    hasSegments: gathered.segments !== null,
    enabled,
    off,
    malformed,
    blocked: null,
    prerequisites: body.prerequisites,
    targets: body.targets,
    rules: body.rules,
    mismatch: null,
  }
}

/** The result of a flag that cannot be decided. */
export function failure(key: string, version: number | null, error: EvaluationError, problem: string): Outcome {
  const message = `Flag "${key}": ${problem}`
  return outcomeOf(key, { value: undefined, variation: null, reason: 'ERROR', type: null, flagVersion: version, error, message })
}

const EMPTY: Outcome = failure('', null, 'MALFORMED_FLAG', '')
const NO_NAMES: readonly string[] = []
const NO_SERVE: PreparedServe = { literal: EMPTY, rollout: null }

/** What is no part of a decision: taken where it can be, left out where not. */
function aboutOf(document: unknown): Pick<PreparedFlag, 'version' | 'clientVisible' | 'metadata'> {
  if (typeof document !== 'object' || document === null) return { version: null, clientVisible: false, metadata: null }
  const { version, clientVisible, metadata } = document as Fields
  return {
    version: typeof version === 'number' && Number.isSafeInteger(version) ? version : null,
    clientVisible: clientVisible === true,
    metadata: metadataOf(metadata),
  }
}

function metadataOf(metadata: unknown): PreparedFlag['metadata'] {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return null
  const flat = Object.entries(metadata).filter(
    ([, value]) => typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value),
  )
  return flat.length === 0 ? null : Object.freeze(Object.fromEntries(flat) as Record<string, string | number | boolean>)
}

function headOf(key: string, fields: Fields, version: number | null): Head {
  const values = new Map<string, Json>()
  let type: ValueType | null = null
  listOf(fields.variations, 'variations').forEach((item, i) => {
    const path = `variations[${i}]`
    const variation = fieldsOf(item, path)
    const name = textOf(variation.key, `${path}.key`)
    if (values.has(name)) throw new Malformed(`${path}.key`, `"${name}" is there twice`)
    const own = typeOfValue(variation.value)
    if (own === null) throw new Malformed(`${path}.value`, 'is neither a boolean, a text, a number nor an object')
    if (type !== null && own !== type)
      throw new Malformed(
        `${path}.value`,
        `is of type ${own}, but the first variation is of type ${type}: the values of a flag share one type`,
      )
    type = own
    values.set(name, frozenCopy(variation.value, `${path}.value`))
  })
  if (type === null) throw new Malformed('variations', 'holds no variation')
  return { key, version, type, values, offVariation: textOf(fields.offVariation, 'offVariation') }
}

/** @throws Malformed when there is no such variation */
function result(head: Head, variation: string, reason: Reason, extra: Extra, path: string, by: Attribute | null = null): Outcome {
  const value = head.values.get(variation)
  if (value === undefined) throw new Malformed(path, `names the variation "${variation}", which the flag does not have`)
  return outcomeOf(head.key, { value, variation, reason, type: head.type, flagVersion: head.version, ...extra }, by)
}

function prepareKills(value: unknown, head: Head, gathered: Gathered): readonly PreparedKill[] {
  return preparedList(value, 'kills', (item, i) => {
    const path = `kills[${i}]`
    const fields = fieldsOf(item, path)
    const id = textOf(fields.id, `${path}.id`)
    const variation = textOf(fields.variation, `${path}.variation`)
    return {
      id,
      clauses: prepareClauses(fields.clauses, `${path}.clauses`, gathered),
      result: result(head, variation, 'KILLED', { killId: id }, `${path}.variation`),
    }
  })
}

function bodyOf(fields: Fields, head: Head, gathered: Gathered, linking: Linking, hasNoKills: boolean): Body {
  const prerequisites = preparedList(fields.prerequisites, 'prerequisites', (item, i) =>
    preparePrerequisite(item, `prerequisites[${i}]`, head, linking),
  )
  const targets = preparedList(fields.targets, 'targets', (item, i) => prepareTarget(item, `targets[${i}]`, head, gathered))
  const rules = preparedList(fields.rules, 'rules', (item, i) => prepareRule(item, `rules[${i}]`, head, fields, gathered))
  const isStatic = hasNoKills && prerequisites.length === 0 && targets.length === 0 && rules.length === 0
  const fallthrough = prepareServe(fields.fallthrough, 'fallthrough', head, fields, gathered, 'FALLTHROUGH', {}, isStatic)
  const block = blocksOf([...targets.map(({ clauses, result }) => ({ clauses, serve: { literal: result, rollout: null } })), ...rules])
  return { prerequisites, targets, rules, block, fallthrough }
}

function preparePrerequisite(value: unknown, path: string, head: Head, linking: Linking): PreparedPrerequisite {
  const fields = fieldsOf(value, path)
  const flag = textOf(fields.flag, `${path}.flag`)
  const variations = listOf(fields.variations, `${path}.variations`).map((item, i) => textOf(item, `${path}.variations[${i}]`))
  return {
    parent: linking.flagLink(flag),
    variations,
    met: null,
    unmet: null,
    failed: result(head, head.offVariation, 'PREREQUISITE_FAILED', { prerequisite: flag }, 'offVariation'),
  }
}

function prepareTarget(value: unknown, path: string, head: Head, gathered: Gathered): PreparedTarget {
  const fields = fieldsOf(value, path)
  const variation = textOf(fields.variation, `${path}.variation`)
  return { clauses: [prepareTargets(fields, path, gathered)], result: result(head, variation, 'TARGET_MATCH', {}, `${path}.variation`) }
}

function prepareRule(value: unknown, path: string, head: Head, flag: Fields, gathered: Gathered): PreparedRule {
  const fields = fieldsOf(value, path)
  const id = textOf(fields.id, `${path}.id`)
  return {
    id,
    clauses: prepareClauses(fields.clauses, `${path}.clauses`, gathered),
    serve: prepareServe(fields.serve, `${path}.serve`, head, flag, gathered, 'RULE_MATCH', { ruleId: id }, false),
  }
}

function prepareServe(
  value: unknown,
  path: string,
  head: Head,
  flag: Fields,
  gathered: Gathered,
  reason: Reason,
  extra: Extra,
  isStatic: boolean,
): PreparedServe {
  const fields = fieldsOf(value, path)
  const hasRollout = fields.rollout !== undefined && fields.rollout !== null
  const hasVariation = fields.variation !== undefined && fields.variation !== null
  if (hasRollout === hasVariation) throw new Malformed(path, 'must have either a variation or a rollout')
  if (hasRollout) return { literal: null, rollout: prepareRollout(fields.rollout, `${path}.rollout`, head, flag, gathered, reason, extra) }
  const variation = textOf(fields.variation, `${path}.variation`)
  return { literal: result(head, variation, reason, isStatic ? { ...extra, static: true } : extra, `${path}.variation`), rollout: null }
}

function prepareRollout(
  value: unknown,
  path: string,
  head: Head,
  flag: Fields,
  gathered: Gathered,
  reason: Reason,
  extra: Extra,
): PreparedRollout {
  const fields = fieldsOf(value, path)
  const seed =
    fields.seed === undefined || fields.seed === null
      ? integerOf(flag.seed, 'seed', SEED_MAX)
      : integerOf(fields.seed, `${path}.seed`, SEED_MAX)
  const by = prepareAttribute(fields.by, `${path}.by`, gathered)
  const bounds: number[] = []
  const results: Outcome[] = []
  let bound = 0
  listOf(fields.weights, `${path}.weights`).forEach((item, i) => {
    const weight = fieldsOf(item, `${path}.weights[${i}]`)
    const variation = textOf(weight.variation, `${path}.weights[${i}].variation`)
    bound += integerOf(weight.weight, `${path}.weights[${i}].weight`, WEIGHT_TOTAL)
    bounds.push(bound)
    results.push(result(head, variation, reason, { ...extra, rollout: true }, `${path}.weights[${i}].variation`, by))
  })
  if (results.length === 0) throw new Malformed(`${path}.weights`, 'is empty')
  bounds.pop()
  return {
    by,
    // As a signed integer: one above 2^31 would be a double, and made anew for every call.
    seed: seed | 0,
    bounds,
    results,
    unbucketed: result(head, head.offVariation, reason, { ...extra, unbucketed: true }, 'offVariation'),
  }
}
