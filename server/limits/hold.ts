/**
 * Holding some contexts to a rate: the rule and the variation that one request makes, changes or takes away. Pure, called
 * inside a write's turn. The rule stands in one environment, before its other rules; the variation in each that has the
 * flag, as what a flag is belongs to the project.
 */
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag, Rule } from '../../schemas/flag.ts'
import { type Hold, HOLD_PREFIX, type HoldRequest } from '../../schemas/hold.ts'
import type { RateValue } from '../../schemas/values.ts'
import { rateOf } from '../../sdk/evaluator/rate.ts'
import { firstServed, frontedBy, frontId, type FrontPlace, putInFront, takenAway } from '../flags/front.ts'
import { RATE_STEP_MAX, rateText } from '../flags/ratestep.ts'

export interface Holding {
  readonly hold: Hold
  /** What stood for the same clauses; null for a new hold. */
  readonly before: Hold | null
  /** Every flag as it shall stand, by log; those that stay as they are included. */
  readonly flags: ReadonlyMap<string, Flag>
  readonly warnings: readonly ErrorDetail[]
}

/** The holds of a flag, in the order of its rules. */
export function holdsOf(flag: Flag): Hold[] {
  return flag.rules.flatMap(rule => holdOf(flag, rule) ?? [])
}

/**
 * Errors: `INVALID_FLAG` (of another kind), `RATE_STEP_TOO_LARGE` (a cut, or much more than stood, unless `force`), `LIMIT_EXCEEDED`.
 * Whether the value itself can be is for `checkEdits` to say.
 */
export function planHold(place: FrontPlace, flag: Flag, request: HoldRequest, force: boolean): Holding {
  if (flag.kind !== 'rate-limit') {
    throw new SluiceError(
      'INVALID_FLAG',
      `Flag "${flag.key}" in "${place.log}": is of kind ${flag.kind}, and only a rate-limit flag holds anybody to a rate. Name another flag.`,
      { details: [{ path: 'kind', code: 'not_a_limit', message: `is ${flag.kind}, not rate-limit` }] },
    )
  }
  const id = frontId(HOLD_PREFIX, request.clauses)
  const standing = flag.rules.find(rule => rule.id === id)
  const before = standing === undefined ? null : holdOf(flag, standing)
  const usual = flag.variations.find(({ key }) => key === firstServed(flag.fallthrough))?.value
  const value = wholeValue(request, before?.value ?? usual)
  if (!force) refuseStep(place.log, flag, value, before?.value, usual)

  const rate = rateOf(value)
  // One counter for all who are served it: shared with nobody outside this hold.
  const isShared = rate === null || rate.keyBy.length > 0
  const front = { prefix: HOLD_PREFIX, id, clauses: request.clauses, reason: request.reason, value, isShared }
  const { variation, flags, gained } = putInFront(place, flag, { ...front, name: isShared ? keyOf(value) : id })
  const hold = { id, clauses: request.clauses, variation, value, reason: request.reason }
  return { hold, before, flags, warnings: warningsOf(flag, hold, gained) }
}

/** Error: `LIMIT_NOT_FOUND`. */
export function planRelease(place: FrontPlace, flag: Flag, id: string): Holding {
  const rule = flag.rules.find(each => each.id === id)
  const hold = rule === undefined ? null : holdOf(flag, rule)
  if (rule === undefined || hold === null) {
    const known = holdsOf(flag).map(each => each.id)
    const standing = known.length === 0 ? 'None stands on it.' : `Standing are ${known.slice(0, 20).join(', ')}.`
    throw new SluiceError('LIMIT_NOT_FOUND', `Flag "${flag.key}" in "${place.log}": has no limit "${id}". ${standing}`)
  }
  return { hold, before: hold, flags: takenAway(place, flag, rule, HOLD_PREFIX), warnings: [] }
}

function holdOf(flag: Flag, rule: Rule): Hold | null {
  const variation = frontedBy(flag, rule, HOLD_PREFIX)
  if (variation === null) return null
  return {
    id: rule.id,
    clauses: rule.clauses,
    variation: variation.key,
    value: variation.value as RateValue,
    reason: rule.description ?? null,
  }
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

/** `limit-10-per-second`, `limit-cut`, `limit-unlimited`. */
function keyOf(value: RateValue): string {
  if ('unlimited' in value) return `${HOLD_PREFIX}unlimited`
  return value.rate === 0 ? `${HOLD_PREFIX}cut` : `${HOLD_PREFIX}${String(value.rate).replace('+', '')}-per-${value.per}`
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
