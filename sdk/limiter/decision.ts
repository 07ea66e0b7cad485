/** The answer of a limit, and its headers. */
import type { Rate } from '../evaluator/rate.ts'
import type { Acquired, Limited, LimitReason } from '../types.ts'

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
    return rate === null || rate.isUnlimited ? NO_HEADERS : headersOf(this, this.#flag, rate)
  }
}

/** A place among those at once. */
export class Permit extends Decision implements Acquired {
  #counter: { inFlight: number } | null

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
  }

  release(): void {
    if (this.#counter !== null) this.#counter.inFlight--
    this.#counter = null
  }
}

/** As in draft-ietf-httpapi-ratelimit-headers-10: the policy is named after the flag. The partition key is left out, for it may name a person. */
function headersOf({ allowed, remaining, retryAfterMs }: Limited, flag: string, rate: Rate): Record<string, string> {
  const name = quoted(flag)
  const seconds = rate.perMs / 1_000
  // Both are integers there: a fraction is stated over a longer window.
  const [quota, window] = Number.isInteger(rate.rate) ? [rate.rate, seconds] : [Math.round(rate.rate * 1_000), seconds * 1_000]
  const unit = rate.unit === 'request' ? '' : `;qu=${quoted(rate.unit)}`
  const wait = !allowed && Number.isFinite(retryAfterMs) ? Math.max(1, Math.ceil(retryAfterMs / 1_000)) : null
  return {
    'RateLimit-Policy': `${name};q=${quota};w=${window}${unit}`,
    RateLimit: `${name};r=${Math.max(0, Math.floor(remaining))}${wait === null ? '' : `;t=${wait}`}`,
    ...(wait === null ? {} : { 'Retry-After': String(wait) }),
  }
}

/** A string of RFC 9651, which holds printable ASCII alone. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
}
