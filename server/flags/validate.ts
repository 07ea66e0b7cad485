/**
 * What a schema cannot say about one flag: keys that must differ, values that must fit the kind, names that must exist,
 * weights that must add up. Pure, over a draft of the environment. What spans several documents (cycles, dependents,
 * sizes of the whole) is `rulesets/check.ts`.
 */
import type { z } from 'zod'
import type { Clause } from '../../schemas/clause.ts'
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag, Prerequisite, Rollout, Serve, Target, Variation } from '../../schemas/flag.ts'
import { type Json, unfit } from '../../schemas/json.ts'
import { DOCUMENT_BYTES_MAX, VALUE_BYTES_MAX, WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { ValueType } from '../../schemas/reason.ts'
import {
  type CountedRate,
  countedRateSchema,
  type Stage,
  STAGES,
  stageSchema,
  unlimitedSchema,
  type ValveValue,
  valveValueSchema,
} from '../../schemas/values.ts'
import { checkClause } from '../../sdk/evaluator/check.ts'
import { rateOf } from '../../sdk/evaluator/rate.ts'
import { detailsOf } from '../http/parsed.ts'
import { bytesOf, type Draft, placed } from '../rulesets/draft.ts'
import { offProblems, valveProblems } from './valve.ts'

/** A burst is at most what so much time brings, or what the unit of time that the rate is per does. */
const BURST_SPAN_MS = 3_600_000
/** The slowest rate: what is slower is forgotten by whoever waits for it. */
const RATE_SPAN_MAX_MS = 30 * 86_400_000

/** Everything wrong with a flag in the environment it would stand in, each with its path in the flag and its cure. Empty when it is right. */
export function flagProblems(flag: Flag, draft: Draft): ErrorDetail[] {
  const names = new Set(flag.variations.map(variation => variation.key))
  return [
    ...variationProblems(flag),
    ...served(flag.offVariation, names, 'offVariation'),
    ...offProblems(flag),
    ...flag.prerequisites.flatMap((prerequisite, i) => prerequisiteProblems(prerequisite, draft, `prerequisites[${i}]`)),
    ...duplicates(
      flag.prerequisites,
      prerequisite => prerequisite.flag,
      i => `prerequisites[${i}].flag`,
      'flag',
    ),
    ...targetProblems(flag.targets, names),
    ...duplicates(
      flag.rules,
      rule => rule.id,
      i => `rules[${i}].id`,
      'rule id',
    ),
    ...flag.rules.flatMap((rule, i) => [
      ...clauseProblems(rule.clauses, draft, `rules[${i}].`),
      ...serveProblems(rule.serve, names, `rules[${i}].serve`),
    ]),
    ...serveProblems(flag.fallthrough, names, 'fallthrough'),
    ...(flag.kind === 'migration' ? stageProblems(flag) : []),
    ...killProblems(flag, names),
    ...sizeProblems(flag),
  ]
}

/** What the clauses of a rule, kill or segment cannot be, each placed below `place` (which ends with its own dot, or is empty). */
export function clauseProblems(clauses: readonly Clause[], draft: Pick<Draft, 'segments'>, place: string): ErrorDetail[] {
  return clauses.flatMap((clause, i) =>
    placed(checkClause(clause, draft.segments), `${place}clauses[${i}]`).map(problem => ({
      ...problem,
      message: `${problem.path}: ${problem.message}`,
    })),
  )
}

/** Keys that occur twice, each reported where it occurs again. */
export function duplicates<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  placeOf: (i: number) => string,
  noun: string,
): ErrorDetail[] {
  const first = new Map<string, number>()
  const problems: ErrorDetail[] = []
  for (const [i, item] of items.entries()) {
    const key = keyOf(item)
    const before = first.get(key)
    if (before === undefined) first.set(key, i)
    else
      problems.push({
        path: placeOf(i),
        code: 'duplicate',
        message: `${noun} "${key}" stands at ${placeOf(before)} already. Remove one, or rename it.`,
      })
  }
  return problems
}

function variationProblems(flag: Flag): ErrorDetail[] {
  const problems = duplicates(
    flag.variations,
    variation => variation.key,
    i => `variations[${i}].key`,
    'variation',
  )
  const [first] = flag.variations
  const type = first === undefined ? null : typeOf(first.value)
  for (const [i, variation] of flag.variations.entries()) {
    const place = `variations[${i}].value`
    const own = valueProblems(variation, place)
    problems.push(...own)
    if (own.length > 0) continue
    const valueType = typeOf(variation.value)
    if (valueType !== null && type !== null && valueType !== type) {
      const message = `the value of variation "${variation.key}" is of type ${valueType}, that of "${first?.key ?? ''}" of type ${type}. All values of one flag share one type: correct ${place}.`
      problems.push({ path: place, code: 'value_type', message })
      continue
    }
    problems.push(...kindProblems(flag, variation, place))
  }
  return problems.length === 0 && flag.kind === 'rate-limit' ? unitProblems(flag.variations) : problems
}

/** Limits of one flag count the same thing: else a rule that moves somebody to another variation would change what is counted. */
function unitProblems(variations: readonly Variation[]): ErrorDetail[] {
  const unitOf = (variation: Variation): string => rateOf(variation.value)?.unit ?? ''
  const [first] = variations
  if (first === undefined) return []
  return variations.flatMap((variation, i) => {
    if (unitOf(variation) === unitOf(first)) return []
    const message = `variation "${variation.key}" counts the unit "${unitOf(variation)}", "${first.key}" the unit "${unitOf(first)}". All variations of one flag count the same: correct variations[${i}].value.unit, or make another flag.`
    return [{ path: `variations[${i}].value.unit`, code: 'value_unit', message }]
  })
}

/** The type of a value, or null for null, which is none. */
function typeOf(value: Json): ValueType | null {
  if (value === null) return null
  if (typeof value === 'object') return 'object'
  return typeof value as ValueType
}

function valueProblems(variation: Variation, place: string): ErrorDetail[] {
  const value = variation.value as Json
  if (value === null) {
    return [
      {
        path: place,
        code: 'value_type',
        message: `the value of variation "${variation.key}" is null, which is no value. Give a boolean, text, number, object or array.`,
      },
    ]
  }
  const problem = unfit(value)
  if (problem !== null) {
    return placed([{ ...problem, message: `the value of variation "${variation.key}" ${problem.message}` }], place)
  }
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes <= VALUE_BYTES_MAX) return []
  const message = `the value of variation "${variation.key}" has ${bytes} bytes, more than ${VALUE_BYTES_MAX}. Keep what is large elsewhere and name it here.`
  return [{ path: place, code: 'too_large', message }]
}

function kindProblems(flag: Flag, variation: Variation, place: string): ErrorDetail[] {
  const subject = `the value of variation "${variation.key}" of a ${flag.kind} flag`
  if (flag.kind === 'kill-switch') {
    if (typeof variation.value === 'boolean') return []
    return [{ path: place, code: 'value_kind', message: `${subject} must be true or false. Correct ${place}, or make it a config flag.` }]
  }
  if (flag.kind === 'migration') {
    if (stageSchema.safeParse(variation.value).success) return []
    return [{ path: place, code: 'value_kind', message: `${subject} must be a stage: one of ${STAGES.join(', ')}. Correct ${place}.` }]
  }
  if (flag.kind === 'rate-limit') return rateProblems(variation.value, subject, place)
  if (flag.kind === 'safety-valve') {
    const shape = shapeProblems(valveValueSchema, variation.value, `${subject} is not a valve setting as in { "mode": "auto" }`, place)
    return shape.length > 0 ? shape : placed(valveProblems(variation.value as ValveValue, subject), place)
  }
  return []
}

function shapeProblems(schema: z.ZodType, value: unknown, subject: string, place: string): ErrorDetail[] {
  const result = schema.safeParse(value)
  if (result.success) return []
  return placed(result.error.issues.flatMap(detailsOf), place).map(detail => ({
    ...detail,
    message: `${subject}: ${detail.path} ${detail.message}. Correct it.`,
  }))
}

function rateProblems(value: Json, subject: string, place: string): ErrorDetail[] {
  const isUnlimited = typeof value === 'object' && value !== null && 'unlimited' in value
  // Not by the schema of both: what it says of a typo is that neither fits.
  const shape = shapeProblems(
    isUnlimited ? unlimitedSchema : countedRateSchema,
    value,
    isUnlimited
      ? `${subject} is not { "unlimited": true }, which takes neither rate nor burst`
      : `${subject} is not a rate as in { "rate": 100, "per": "second" } or { "unlimited": true }`,
    place,
  )
  if (shape.length > 0) return shape
  const problems = keyByProblems((value as CountedRate).keyBy ?? [])
  if (!isUnlimited) problems.push(...burstProblems(value as CountedRate))
  return placed(problems, place).map(problem => ({ ...problem, message: `${subject}: ${problem.message}` }))
}

function keyByProblems(keyBy: readonly string[]): ErrorDetail[] {
  return keyBy.flatMap((attribute, i) => {
    if (keyBy.indexOf(attribute) === i) return []
    return [{ path: `keyBy[${i}]`, code: 'duplicate', message: `keyBy names ${attribute} twice. Remove one.` }]
  })
}

/** A rate and a burst that each are possible and together are not. */
function burstProblems(value: CountedRate): ErrorDetail[] {
  const rate = rateOf(value)
  // A cut has no burst worth a word: nothing is admitted.
  if (rate === null || rate.rate === 0) return []
  const refuse = (path: string, message: string): ErrorDetail[] => [{ path, code: 'value_kind', message }]
  if (1 / rate.ratePerMs > RATE_SPAN_MAX_MS)
    return refuse('rate', `rate ${value.rate} per ${value.per} is less than one in 30 days. Raise it, or cut with rate 0.`)
  if (rate.depth < rate.cost) {
    const given = value.burst === undefined ? `burst, ${rate.depth} unless given,` : `burst ${value.burst}`
    return refuse(
      'burst',
      `${given} is less than the cost of one request (${rate.cost}), so that none could ever pass. Give a burst of at least ${Math.ceil(rate.cost)}.`,
    )
  }
  const most = Math.floor(Math.max(1, rate.cost, rate.rate, rate.ratePerMs * BURST_SPAN_MS))
  if (rate.depth <= most) return []
  const span = rate.perMs > BURST_SPAN_MS ? 'a day' : 'an hour'
  return refuse('burst', `burst ${value.burst} is more than what ${span} brings. Give at most ${most}, or raise the rate.`)
}

function served(variation: string, names: ReadonlySet<string>, place: string): ErrorDetail[] {
  if (names.has(variation)) return []
  return [
    {
      path: place,
      code: 'unknown_variation',
      message: `${place} names variation "${variation}", which the flag does not have. It has ${listed(names)}.`,
    },
  ]
}

function serveProblems(serve: Serve, names: ReadonlySet<string>, place: string): ErrorDetail[] {
  if ('variation' in serve) return served(serve.variation, names, `${place}.variation`)
  return rolloutProblems(serve.rollout, names, `${place}.rollout`)
}

function rolloutProblems(rollout: Rollout, names: ReadonlySet<string>, place: string): ErrorDetail[] {
  const problems = rollout.weights.flatMap((weight, i) => served(weight.variation, names, `${place}.weights[${i}].variation`))
  problems.push(
    ...duplicates(
      rollout.weights,
      weight => weight.variation,
      i => `${place}.weights[${i}].variation`,
      'variation',
    ),
  )
  const total = rollout.weights.reduce((sum, weight) => sum + weight.weight, 0)
  if (total !== WEIGHT_TOTAL) {
    const message = `rollout weights add up to ${total}, expected ${WEIGHT_TOTAL}. Correct ${place}.`
    problems.push({ path: `${place}.weights`, code: 'weights', message })
  }
  return problems
}

/** Stages at which the new side is read. */
const READS_NEW: readonly unknown[] = ['live', 'ramp-down', 'complete'] satisfies Stage[]

/**
 * Off must be safe whenever somebody reaches for it: who writes to one side alone must not be made to read the other, which
 * lacks what they wrote.
 */
function stageProblems(flag: Flag): ErrorDetail[] {
  const stages = new Map(flag.variations.map(({ key, value }) => [key, value]))
  const off = stages.get(flag.offVariation)
  const serves: Serve[] = [flag.fallthrough, ...flag.rules.map(({ serve }) => serve), ...flag.targets]
  const given = serves.flatMap(serve =>
    'variation' in serve ? [serve.variation] : serve.rollout.weights.flatMap(({ variation, weight }) => (weight > 0 ? [variation] : [])),
  )
  const lost = given.find(variation => stages.get(variation) === (READS_NEW.includes(off) ? 'off' : 'complete'))
  if (off === undefined || lost === undefined) return []
  const [written, read] = READS_NEW.includes(off) ? ['old', 'new'] : ['new', 'old']
  const cure =
    written === 'new'
      ? 'Let off be "ramp-down" or "complete" from now on: set offVariation to a variation with that stage.'
      : 'Let off be "off" or "dual-write" while that is so, or serve "dual-write" first.'
  const message = `variation "${lost}" is served, at whose stage the ${written} side alone is written to; switched off or killed, the flag would be at the stage ${JSON.stringify(off)}, which reads the ${read} side, without those writes. ${cure}`
  return [{ path: 'offVariation', code: 'unsafe_off', message }]
}

function targetProblems(targets: readonly Target[], names: ReadonlySet<string>): ErrorDetail[] {
  const problems: ErrorDetail[] = []
  // Per attribute, each listed value and the target that lists it: the same value in two targets is one of two intentions.
  const listedBy = new Map<string, Map<unknown, number>>()
  for (const [i, target] of targets.entries()) {
    problems.push(...served(target.variation, names, `targets[${i}].variation`))
    const attribute = target.attribute ?? 'targetingKey'
    const values = listedBy.get(attribute) ?? new Map<unknown, number>()
    listedBy.set(attribute, values)
    for (const [j, value] of target.values.entries()) {
      const before = values.get(value)
      if (before === undefined) values.set(value, i)
      else if (before !== i) {
        const message = `${JSON.stringify(value)} is listed in targets[${before}] already, for the same attribute. Remove it from one of them.`
        problems.push({ path: `targets[${i}].values[${j}]`, code: 'duplicate', message })
        break
      }
    }
  }
  return problems
}

function prerequisiteProblems(prerequisite: Prerequisite, draft: Draft, place: string): ErrorDetail[] {
  const parent = draft.flags.get(prerequisite.flag)
  if (parent === undefined) {
    const message = `the prerequisite "${prerequisite.flag}" is no flag of "${draft.log}". Create it first, or remove ${place}.`
    return [{ path: `${place}.flag`, code: 'unknown_flag', message }]
  }
  const names = new Set(parent.variations.map(variation => variation.key))
  return prerequisite.variations.flatMap((variation, i) => {
    if (names.has(variation)) return []
    const message = `the prerequisite "${prerequisite.flag}" has no variation "${variation}". It has ${listed(names)}.`
    return [{ path: `${place}.variations[${i}]`, code: 'unknown_variation', message }]
  })
}

/** Only that what stands can go on standing: a kill's clauses were checked when it was made. */
function killProblems(flag: Flag, names: ReadonlySet<string>): ErrorDetail[] {
  return flag.kills.flatMap(kill => {
    if (names.has(kill.variation)) return []
    const message = `the standing kill ${kill.id} serves variation "${kill.variation}", which would be gone. Keep that variation, or lift the kill first.`
    return [{ path: 'variations', code: 'unknown_variation', message }]
  })
}

function sizeProblems(flag: Flag): ErrorDetail[] {
  const bytes = bytesOf(flag) - (flag.kills.length === 0 ? 0 : Buffer.byteLength(JSON.stringify(flag.kills)))
  if (bytes <= DOCUMENT_BYTES_MAX) return []
  return [
    {
      path: '',
      code: 'too_large',
      message: `the flag has ${bytes} bytes as JSON, more than ${DOCUMENT_BYTES_MAX}. Move long lists of values into segments.`,
    },
  ]
}

function listed(names: ReadonlySet<string>): string {
  return [...names].map(name => `"${name}"`).join(', ')
}
