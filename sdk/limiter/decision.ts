/** The answer of a limit, and its headers. */
import type { Rate } from '../evaluator/rate.ts'
import type { Acquired, Limited, LimitReason } from '../types.ts'

/** The largest integer of RFC 9651. */
const INTEGER_MAX = 999_999_999_999_999
/** Windows that state a fraction in whole units, as multiples of the rate's own. */
const WINDOWS = [1, 2, 4, 5, 10, 20, 60, 100, 1_000]

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

export class Decision implements Limited {
  readonly allowed: boolean
  readonly reason: LimitReason
  readonly limit: number
  readonly remaining: number
  readonly retryAfterMs: number
  readonly variation: string | null
  readonly #flag: string
  readonly #rate: Rate | null

  constructor(
    allowed: boolean,
    reason: LimitReason,
    remaining: number,
    retryAfterMs: number,
    flag: string,
    variation: string | null,
    rate: Rate | null,
  ) {
    this.allowed = allowed
    this.reason = reason
    this.limit = rate === null ? Infinity : rate.rate
    this.remaining = remaining
    this.retryAfterMs = retryAfterMs
    this.variation = variation
    this.#flag = flag
    this.#rate = rate
  }

  get headers(): Readonly<Record<string, string>> {
    const rate = this.#rate
    return rate === null || isUntold(rate) ? NO_HEADERS : headersOf(this, this.#flag, rate)
  }
}

/** A place among those at once. */
export class Permit extends Decision implements Acquired {
  #counter: { inFlight: number } | null
  readonly #policy: { readonly flag: string; readonly rate: Rate } | null

  /** @param counter where the place was taken; null for none */
  constructor(
    allowed: boolean,
    reason: LimitReason,
    remaining: number,
    retryAfterMs: number,
    flag: string,
    variation: string | null,
    rate: Rate | null,
    counter: { inFlight: number } | null,
  ) {
    super(allowed, reason, remaining, retryAfterMs, flag, variation, rate)
    this.#counter = counter
    this.#policy = rate === null ? null : { flag, rate }
  }

  override get headers(): Readonly<Record<string, string>> {
    const policy = this.#policy
    return policy === null || isUntold(policy.rate) || policy.rate.concurrency === null
      ? NO_HEADERS
      : fieldsOf(this, `${policy.flag}/concurrency`, `q=${policy.rate.concurrency};qu="concurrent-requests"`)
  }

  release(): void {
    if (this.#counter !== null) this.#counter.inFlight--
    this.#counter = null
  }
}

/** Without a limit there is nothing to tell; and of one that only watches, so that nobody holds back because of it. */
function isUntold(rate: Rate): boolean {
  return rate.isUnlimited || rate.isShadow
}

function headersOf(limited: Limited, flag: string, rate: Rate): Record<string, string> {
  // Both are integers there: a fraction is stated over a longer window.
  const factor = WINDOWS.find(factor => Number.isInteger(rate.rate * factor)) ?? 1_000
  const quota = rate.rate === 0 ? 0 : Math.max(1, Math.round(rate.rate * factor))
  const unit = rate.unit === 'request' ? '' : `;qu=${quoted(rate.unit)}`
  return fieldsOf(limited, flag, `q=${quota};w=${(rate.perMs / 1_000) * factor}${unit}`)
}

/**
 * As in draft-ietf-httpapi-ratelimit-headers-11: the policy is named after the flag. The partition key is left out, for
 * it may name a person.
 */
function fieldsOf({ allowed, remaining, retryAfterMs }: Limited, policy: string, parameters: string): Record<string, string> {
  const name = quoted(policy)
  const left = Math.min(INTEGER_MAX, Math.max(0, Math.floor(remaining)))
  const wait = !allowed && Number.isFinite(retryAfterMs) ? Math.min(INTEGER_MAX, Math.max(1, Math.ceil(retryAfterMs / 1_000))) : null
  return {
    'RateLimit-Policy': `${name};${parameters}`,
    RateLimit: `${name};r=${left}${wait === null ? '' : `;t=${wait}`}`,
    ...(wait === null ? {} : { 'Retry-After': String(wait) }),
  }
}

/** A string of RFC 9651, which holds printable ASCII alone. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
}
