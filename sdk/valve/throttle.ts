/**
 * How a valve narrows: what it lets through stays near K times what the dependency answers well. The client-side throttle of
 * "Site Reliability Engineering" (Beyer and others, 2016), chapter 21.
 */
import type { Adaptive, Breaker } from '../evaluator/valve.ts'
import type { Window } from './window.ts'

/** With a `ramp` it opens step by step once so long was clean. */
const CLEAN_MS = 3_000
/** Clean is a stretch of time with no more than this share of calls ended badly: one stray failure is not a fault. */
const CLEAN_SHARE = 0.01
/** A process that was held up for long, or a valve that rested, opens no more at once. */
export const STEP_MAX_MS = 1_000
/** The part of the window that says where the throttle is heading. */
const HEADING_PART = 1 / 4

/** The share to turn away of so many requests, of which so many were answered well. */
export function rejectShare(requests: number, accepts: number, K: number, maxReject: number): number {
  return Math.min(maxReject, Math.max(0, (requests - K * accepts) / (requests + 1)))
}

/** A call under way that is older has not been answered well, whatever becomes of it. */
export function graceMsOf({ slowMs, timeoutMs, windowMs }: Breaker): number {
  return slowMs ?? timeoutMs ?? windowMs / 2
}

/** Whether there is enough traffic for a throttle to act on. */
export function isBusy(window: Window, { breaker, adaptive }: Setting, now: number): boolean {
  const { calls, rejected } = window.sums
  const all = calls + rejected
  return adaptive.isEnabled && all >= breaker.minCalls && (all * 1_000) / Math.max(1_000, window.spanMs(now)) >= adaptive.minRps
}

interface Setting {
  readonly breaker: Breaker
  readonly adaptive: Adaptive
}

/**
 * The share to let through now.
 * @param before    the share that was let through until now
 * @param elapsedMs since then
 */
export function openShare(window: Window, setting: Setting, before: number, elapsedMs: number, now: number): number {
  const { breaker, adaptive } = setting
  if (!isBusy(window, setting, now)) return 1
  const { requests, accepts } = window.asked(Infinity, graceMsOf(breaker))
  const share = 1 - rejectShare(requests, accepts, adaptive.K, adaptive.maxReject)
  if (adaptive.ramp === 0 || share >= before || !isClean(window)) return share
  return Math.max(share, Math.min(1, before + (adaptive.ramp * Math.min(elapsedMs, STEP_MAX_MS)) / 1_000))
}

function isClean(window: Window): boolean {
  const { ended, bad } = window.recent(CLEAN_MS)
  return ended > 0 && bad <= ended * CLEAN_SHARE
}

/** Whether narrowing is about to do all it may, and the dependency is not the better for it. */
export function isExhausted(window: Window, { breaker, adaptive }: Setting, minCalls: number): boolean {
  const { requests, accepts } = window.asked(breaker.windowMs * HEADING_PART, graceMsOf(breaker))
  return requests >= minCalls * HEADING_PART && requests - adaptive.K * accepts >= adaptive.maxReject * requests
}
