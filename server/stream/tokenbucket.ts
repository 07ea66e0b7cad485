/** A bounded rate: so many a second, and as many at once after a quiet second. */
import type { Clock } from '../clock.ts'

export interface TokenBucket {
  /**
   * Whether one more is admitted now.
   * @param reserve how many must remain for those who matter more
   */
  take(reserve?: number): boolean
}

export function openTokenBucket(clock: Pick<Clock, 'monotonic'>, perSecond: number): TokenBucket {
  let tokens = perSecond
  let at = clock.monotonic()
  return {
    take(reserve = 0) {
      const now = clock.monotonic()
      tokens = Math.min(perSecond, tokens + ((now - at) / 1_000) * perSecond)
      at = now
      if (tokens < 1 + reserve) return false
      tokens--
      return true
    },
  }
}
