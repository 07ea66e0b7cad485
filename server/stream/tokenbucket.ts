/** A bounded rate: so many a second, and as many at once after a quiet time as it holds. */
import type { Clock } from '../clock.ts'

export interface TokenBucket {
  /**
   * Whether one more is admitted now.
   * @param reserve how many must remain for those who matter more
   * @param cost    how many it takes
   */
  take(reserve?: number, cost?: number): boolean
  /** What it holds now. */
  tokens(): number
  /** Another rate from now on. What it holds stays as full as it was, so that a change is never a burst. */
  change(perSecond: number, depth: number): void
}

/** @param depth the most it holds; what a second brings unless given */
export function openTokenBucket(clock: Pick<Clock, 'monotonic'>, perSecond: number, depth: number = perSecond): TokenBucket {
  let rate = perSecond
  let most = depth
  let tokens = most
  let at = clock.monotonic()
  const refill = (): void => {
    const now = clock.monotonic()
    tokens = Math.min(most, tokens + ((now - at) / 1_000) * rate)
    at = now
  }
  return {
    take(reserve = 0, cost = 1) {
      refill()
      if (tokens < cost + reserve) return false
      tokens -= cost
      return true
    },
    tokens() {
      refill()
      return tokens
    },
    change(nextPerSecond, nextDepth) {
      if (nextPerSecond === rate && nextDepth === most) return
      refill()
      tokens = Math.min(tokens, most === 0 ? 0 : (tokens / most) * nextDepth)
      rate = nextPerSecond
      most = nextDepth
    },
  }
}
