/**
 * The largest step of a rate: one digit too many must not open or close a service. Asked of writes that change what a
 * variation is; kills, lifts and reverts are never asked, for they bring back what stood.
 */
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Json } from '../../schemas/json.ts'
import { type Rate, rateOf } from '../../sdk/evaluator/rate.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { placed } from '../rulesets/draft.ts'

/** A rate may become so many times as large or as small in one write. */
export const RATE_STEP_MAX = 10
/** So far from a whole step two rates still count as one step apart: 1/3 is no exact number. */
const ROUNDING = 1e-9

/**
 * @param edits   what shall stand
 * @param placeOf where a flag stands in the request
 * Error: `RATE_STEP_TOO_LARGE`, naming every variation whose step is too large.
 */
export function refuseLargeSteps(state: State, edits: readonly PlannedEdit[], placeOf: (edit: PlannedEdit) => string = () => ''): void {
  const details: ErrorDetail[] = []
  let subject = ''
  for (const edit of edits) {
    if (edit.type !== 'flag' || edit.after === null) continue
    const before = state.documents.flag.get(edit.key)
    if (before === undefined || before.variations === edit.after.variations) continue
    const problems = stepProblems(before, edit.after)
    if (problems.length > 0 && subject === '') subject = `Flag "${edit.key}" in "${state.log}"`
    details.push(...placed(problems, placeOf(edit)))
  }
  const [first] = details
  if (first === undefined) return
  const more = details.length > 1 ? ` (${details.length - 1} more in details)` : ''
  throw new SluiceError(
    'RATE_STEP_TOO_LARGE',
    `${subject}: ${first.message}${more}. In one write a rate becomes at most ${RATE_STEP_MAX} times as large or small: take several steps, or confirm this one with force=true.`,
    { details: details.slice(0, 50) },
  )
}

function stepProblems(before: Flag, after: Flag): ErrorDetail[] {
  if (before.kind !== 'rate-limit' || after.kind !== 'rate-limit') return []
  return after.variations.flatMap((variation, i) => {
    const standing = before.variations.find(({ key }) => key === variation.key)
    const from = standing === undefined ? null : rateOf(standing.value)
    const to = rateOf(variation.value)
    if (from === null || to === null) return []
    const step = stepText(from, to)
    if (step === null) return []
    const message = `variation "${variation.key}" would go from ${rateText(from)} to ${rateText(to)}, ${step}`
    return [{ path: `variations[${i}].value`, code: 'rate_step', message }]
  })
}

/** How large a step is in words, or null for one that needs no confirmation. Cut and unlimited are as far as a rate can go. */
export function stepText(from: Rate, to: Rate): string | null {
  const [a, b] = [requestsPerMs(from), requestsPerMs(to)]
  if (a === b) return null
  if (b === 0) return 'which denies everything'
  if (b === Infinity) return 'which denies nothing any more'
  if (a === 0) return 'which admits again what was cut'
  if (a === Infinity) return 'where nothing was limited before'
  const factor = b > a ? b / a : a / b
  if (factor <= RATE_STEP_MAX * (1 + ROUNDING)) return null
  return b > a ? `${Number(factor.toPrecision(3))} times as much` : `a ${Number(factor.toPrecision(3))}th of it`
}

/** What a rate admits, in requests of the usual cost. */
function requestsPerMs(rate: Rate): number {
  return rate.ratePerMs / rate.cost
}

const UNIT_OF: Readonly<Record<number, string>> = { 1_000: 'second', 60_000: 'minute', 3_600_000: 'hour', 86_400_000: 'day' }

/** `10 per second`, `nothing`, `no limit`; with what a request costs where that is not one. */
export function rateText(rate: Rate): string {
  if (rate.isUnlimited) return 'no limit'
  if (rate.rate === 0) return 'nothing at all (rate 0)'
  return `${rate.rate} per ${UNIT_OF[rate.perMs] ?? ''}${rate.cost === 1 ? '' : ` at a cost of ${rate.cost}`}`
}

/** What a write should say beside its success: limits that deny everything, which is sometimes meant and sometimes a slip. */
export function rateWarnings(variations: readonly { readonly key: string; readonly value: Json }[], kind: Flag['kind']): ErrorDetail[] {
  if (kind !== 'rate-limit') return []
  return variations.flatMap(({ key, value }, i) => {
    const rate = rateOf(value)
    if (rate === null || rate.rate !== 0) return []
    const message = rate.isShadow
      ? `variation "${key}" has rate 0: it counts every request as one it would have denied.`
      : `variation "${key}" has rate 0: it denies every request that it is served to.`
    return [{ path: `variations[${i}].value.rate`, code: 'cut', message }]
  })
}
