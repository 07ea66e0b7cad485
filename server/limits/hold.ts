/**
 * Holding some contexts to a rate: the rule and the variation that one request makes, changes or takes away. Pure, called
 * inside a write's turn. The rule stands in one environment, before its other rules; the variation in each that has the
 * flag, as what a flag is belongs to the project.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Clause } from '../../schemas/clause.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag, Rule, Serve, Variation } from '../../schemas/flag.ts'
import { type Hold, HOLD_PREFIX, type HoldRequest } from '../../schemas/hold.ts'
import { RULES_MAX, VARIATIONS_MAX } from '../../schemas/limits.ts'
import type { RateValue } from '../../schemas/values.ts'
import { rateOf } from '../../sdk/evaluator/rate.ts'
import { arranged } from '../flags/arrange.ts'
import { RATE_STEP_MAX, rateText } from '../flags/ratestep.ts'
import { clauseText } from '../kills/kill.ts'
import { hashOf } from '../log/canonical.ts'

const ID_DIGITS = 10

export interface HoldPlace {
  /** `default/production`, for messages and as a key of `standing`. */
  readonly log: string
  /** The flag in every environment that has it, by log. */
  readonly standing: ReadonlyMap<string, Flag>
  /** Whether a prerequisite of another flag, anywhere, asks for this variation of the flag. */
  isNeeded(variation: string): boolean
}

export interface Holding {
  readonly hold: Hold
  /** What stood for the same clauses; null for a new hold. */
  readonly before: Hold | null
  /** Every flag as it shall stand, by log; those that stay as they are included. */
  readonly flags: ReadonlyMap<string, Flag>
  readonly warnings: readonly ErrorDetail[]
}

/** The id of the hold of these clauses, whatever their order. */
export function holdId(clauses: readonly Clause[]): string {
  const texts = clauses.map(clause => clauseText({ ...clause, values: clause.op === 'between' ? clause.values : clause.values.toSorted() }))
  return `${HOLD_PREFIX}${hashOf(texts.sort()).slice(0, ID_DIGITS)}`
}

/** The holds of a flag, in the order of its rules. */
export function holdsOf(flag: Flag): Hold[] {
  return flag.rules.flatMap(rule => holdOf(flag, rule) ?? [])
}

/**
 * Errors: `INVALID_FLAG` (of another kind), `RATE_STEP_TOO_LARGE` (a cut, or much more than stood, unless `force`), `LIMIT_EXCEEDED`.
 * Whether the value itself can be is for `checkEdits` to say.
 */
export function planHold(place: HoldPlace, flag: Flag, request: HoldRequest, force: boolean): Holding {
  if (flag.kind !== 'rate-limit') {
    throw new SluiceError(
      'INVALID_FLAG',
      `Flag "${flag.key}" in "${place.log}": is of kind ${flag.kind}, and only a rate-limit flag holds anybody to a rate. Name another flag.`,
      { details: [{ path: 'kind', code: 'not_a_limit', message: `is ${flag.kind}, not rate-limit` }] },
    )
  }
  const id = holdId(request.clauses)
  const standing = flag.rules.find(rule => rule.id === id)
  const before = standing === undefined ? null : holdOf(flag, standing)
  const usual = flag.variations.find(({ key }) => key === firstServed(flag.fallthrough))?.value
  const value = wholeValue(request, before?.value ?? usual)
  if (!force) refuseStep(place.log, flag, value, before?.value, usual)

  const variation = variationFor(place, flag, id, value)
  const rule: Rule = { id, description: request.reason, clauses: request.clauses, serve: { variation } }
  const isSame = before !== null && before.variation === variation
  // A hold that stands keeps its place and its reason when nothing about the rate is new.
  const rules = isSame && flag.rules[0] === standing ? flag.rules : [rule, ...flag.rules.filter(other => other.id !== id)]
  if (rules.length > RULES_MAX) throw tooMany(place.log, flag, 'rules', RULES_MAX)
  const flags = new Map<string, Flag>()
  for (const [log, other] of place.standing) {
    const has = other.variations.some(({ key }) => key === variation)
    const variations = has ? other.variations : [...other.variations, { key: variation, value: value as Variation['value'] }]
    if (variations.length > VARIATIONS_MAX) throw tooMany(log, other, 'variations', VARIATIONS_MAX)
    flags.set(log, { ...other, variations, ...(log === place.log ? { rules } : {}) })
  }
  const gained = [...place.standing].filter(([, other]) => !other.variations.some(({ key }) => key === variation)).map(([log]) => log)
  const hold = { id, clauses: request.clauses, variation, value, reason: request.reason }
  return { hold, before, flags: withoutLeft(place, flags, before, variation), warnings: warningsOf(flag, hold, gained) }
}

/** Error: `LIMIT_NOT_FOUND`. */
export function planRelease(place: HoldPlace, flag: Flag, id: string): Holding {
  const rule = flag.rules.find(each => each.id === id)
  const hold = rule === undefined ? null : holdOf(flag, rule)
  if (hold === null) {
    const known = holdsOf(flag).map(each => each.id)
    const standing = known.length === 0 ? 'None stands on it.' : `Standing are ${known.slice(0, 20).join(', ')}.`
    throw new SluiceError('LIMIT_NOT_FOUND', `Flag "${flag.key}" in "${place.log}": has no limit "${id}". ${standing}`)
  }
  const flags = new Map(place.standing)
  flags.set(place.log, { ...flag, rules: flag.rules.filter(each => each !== rule) })
  return { hold, before: hold, flags: withoutLeft(place, flags, hold, null), warnings: [] }
}

function holdOf(flag: Flag, rule: Rule): Hold | null {
  if (!rule.id.startsWith(HOLD_PREFIX) || !('variation' in rule.serve)) return null
  const { variation } = rule.serve
  const value = flag.variations.find(({ key }) => key === variation)?.value
  if (value === undefined) return null
  return { id: rule.id, clauses: rule.clauses, variation, value: value as RateValue, reason: rule.description ?? null }
}

function firstServed(serve: Serve): string | undefined {
  return 'variation' in serve ? serve.variation : serve.rollout.weights[0]?.variation
}

/** What was asked for, with what was left out as it stood. A burst belongs to its rate, and is not taken along. */
function wholeValue(request: HoldRequest, base: unknown): RateValue {
  const { unit, cost, concurrency, onPartition, keyBy } = (rateOf(base) === null ? {} : base) as Partial<RateValue>
  const listed = request.clauses.flatMap(({ attribute, op, negate }) =>
    op === 'in' && negate !== true && attribute !== undefined ? [attribute] : [],
  )
  const usual = { unit, cost, concurrency, onPartition, keyBy: keyBy ?? (listed.length === 0 ? undefined : [...new Set(listed)].sort()) }
  const given = Object.fromEntries(Object.entries(usual).filter(([, field]) => field !== undefined))
  const value = { ...given, ...request.value }
  const rate = rateOf(value)
  // What a request costs is taken along, so the burst that nobody gave must let one pass.
  const isTooSmall = !('unlimited' in value) && value.burst === undefined && rate !== null && rate.depth < rate.cost
  return isTooSmall ? { ...value, burst: Math.ceil(rate.cost) } : value
}

/** To hold somebody means to lower a rate, however far; only a cut and a rate far above all that stood look like a slip. */
function refuseStep(log: string, flag: Flag, value: RateValue, before: unknown, usual: unknown): void {
  const to = rateOf(value)
  if (to === null || to.isUnlimited) return
  const stood = [rateOf(before), rateOf(usual)].filter(rate => rate !== null)
  const most = Math.max(...stood.map(rate => rate.ratePerMs / rate.cost))
  const isCut = to.rate === 0 && rateOf(before)?.rate !== 0
  if (!isCut && !(stood.length > 0 && to.ratePerMs / to.cost > most * RATE_STEP_MAX)) return
  const message = isCut
    ? 'rate 0 denies them everything'
    : `${rateText(to)} is more than ${RATE_STEP_MAX} times what they have (${stood.map(rateText).join(', by the fallthrough ')})`
  throw new SluiceError(
    'RATE_STEP_TOO_LARGE',
    `Flag "${flag.key}" in "${log}": ${message}. Confirm it with force=true, or correct the rate.`,
    {
      details: [{ path: 'value.rate', code: 'rate_step', message }],
    },
  )
}

/** The variation that has this value in every environment, or the key of a new one. */
function variationFor(place: HoldPlace, flag: Flag, id: string, value: RateValue): string {
  const flags = [...place.standing.values()]
  const rate = rateOf(value)
  // One counter for all who are served it: shared with nobody outside this hold.
  const isShared = rate !== null && rate.keyBy.length === 0
  const isFit = (other: Flag, key: string, canLack: boolean): boolean => {
    const found = other.variations.find(variation => variation.key === key)
    return found === undefined ? canLack : isDeepStrictEqual(found.value, value)
  }
  const same = isShared ? [] : flag.variations.filter(({ key }) => flags.every(other => isFit(other, key, true)))
  if (same[0] !== undefined) return same[0].key
  const name = isShared ? id : keyOf(value)
  for (let i = 1; ; i++) {
    const key = i === 1 ? name : `${name}-${i}`
    if (flags.every(other => isFit(other, key, true))) return key
  }
}

/** `limit-10-per-second`, `limit-cut`, `limit-unlimited`. */
function keyOf(value: RateValue): string {
  if ('unlimited' in value) return `${HOLD_PREFIX}unlimited`
  return value.rate === 0 ? `${HOLD_PREFIX}cut` : `${HOLD_PREFIX}${String(value.rate).replace('+', '')}-per-${value.per}`
}

/** A variation that was made for the hold and serves nobody any more goes with it, everywhere. */
function withoutLeft(
  place: HoldPlace,
  flags: ReadonlyMap<string, Flag>,
  before: Hold | null,
  variation: string | null,
): ReadonlyMap<string, Flag> {
  const left = before?.variation
  const stays =
    left === undefined ||
    left === variation ||
    !left.startsWith(HOLD_PREFIX) ||
    place.isNeeded(left) ||
    [...flags.values()].some(flag => isServed(flag, left))
  return new Map(
    [...flags].map(([log, flag]) => {
      const variations: Variation[] = stays ? flag.variations : flag.variations.filter(({ key }) => key !== left)
      return [log, arranged({ ...flag, variations })] as const
    }),
  )
}

function isServed(flag: Flag, variation: string): boolean {
  const serves = (serve: Serve): boolean =>
    'variation' in serve ? serve.variation === variation : serve.rollout.weights.some(weight => weight.variation === variation)
  return (
    flag.offVariation === variation ||
    serves(flag.fallthrough) ||
    flag.rules.some(rule => serves(rule.serve)) ||
    flag.targets.some(target => target.variation === variation) ||
    flag.kills.some(kill => kill.variation === variation)
  )
}

function tooMany(log: string, flag: Flag, what: string, most: number): SluiceError {
  const message = `would have more than ${most} ${what}`
  return new SluiceError('LIMIT_EXCEEDED', `Flag "${flag.key}" in "${log}": ${message}. Remove those nobody needs first.`, {
    details: [{ path: what, code: 'too_many', message }],
  })
}

/** Why the hold may not do what was meant, and what it did besides. */
function warningsOf(flag: Flag, hold: Hold, gained: readonly string[]): ErrorDetail[] {
  const warnings: ErrorDetail[] = []
  const warn = (code: string, path: string, message: string): void => void warnings.push({ code, path, message })
  const rate = rateOf(hold.value)
  if (rate?.rate === 0)
    warn(
      'cut',
      'value.rate',
      rate.isShadow ? 'rate 0: everything of theirs is counted as denied.' : 'rate 0: everything of theirs is denied.',
    )
  const kill = flag.kills.find(each => each.clauses.length === 0)
  if (kill !== undefined)
    warn('killed', 'kills', `the flag is killed for everyone (${kill.id}), so the limit holds nobody until that is lifted.`)
  if (!flag.enabled)
    warn('off', 'enabled', `the flag is off: everyone is served "${flag.offVariation}", and the limit holds nobody until it is on.`)
  for (const { attribute, op, values, negate } of hold.clauses) {
    if (op !== 'in' || negate === true) continue
    const target = flag.targets.find(
      each => (each.attribute ?? 'targetingKey') === attribute && each.values.some(value => values.includes(value)),
    )
    if (target !== undefined)
      warn(
        'target',
        'targets',
        `a target lists them by ${attribute ?? ''} and goes before every rule: they are served "${target.variation}" as before.`,
      )
  }
  if (gained.length > 1)
    warn(
      'everywhere',
      'variations',
      `the variation "${hold.variation}" is new in ${gained.join(', ')}: what a flag is, is the same everywhere. It serves nobody outside this limit.`,
    )
  return warnings
}
