/** Reads the value of a `safety-valve` flag: what SDKs and the server must understand alike. Lenient, and never throws. */
import { type Attribute, attributeOf } from './attribute.ts'

const MODES = ['auto', 'flow', 'throttle', 'cut'] as const
export type ValveMode = (typeof MODES)[number]

/** What a setting leaves out. */
export const VALVE_DEFAULTS = {
  windowMs: 30_000,
  buckets: 15,
  minCalls: 50,
  failureRate: 0.5,
  slowRate: 0.8,
  openMs: 10_000,
  maxOpenMs: 300_000,
  backoff: 2,
  probes: 5,
  probeSuccess: 0.8,
  K: 2,
  maxReject: 0.9,
  minRps: 5,
  ramp: 0,
} as const

/** A valve setting as decisions use it: nothing is left out. Shares are 0 to 1, times milliseconds. */
export interface Valve {
  readonly mode: ValveMode
  /** The share let through: 0 with `cut`, 1 with `flow` and, until it moves, `auto`. */
  readonly admit: number
  readonly breaker: Breaker
  readonly adaptive: Adaptive
  /** The application's own word for what it does instead; empty for none. */
  readonly fallback: string
  /** Null: each call is decided at random. */
  readonly stickyBy: Attribute | null
  readonly isShadow: boolean
  readonly isFleetTrip: boolean
}

export interface Breaker {
  readonly isEnabled: boolean
  readonly windowMs: number
  readonly buckets: number
  readonly minCalls: number
  readonly failureRate: number
  /** Null: nobody looks at how long calls take. */
  readonly slowMs: number | null
  readonly slowRate: number
  /** Null: `run` sets no limit of its own. */
  readonly timeoutMs: number | null
  readonly openMs: number
  readonly maxOpenMs: number
  readonly backoff: number
  readonly probes: number
  readonly probeSuccess: number
}

export interface Adaptive {
  readonly isEnabled: boolean
  readonly K: number
  readonly maxReject: number
  readonly minRps: number
  readonly ramp: number
}

/** @returns null for what is no valve setting. A field that cannot be what it should counts as left out. */
export function valveOf(value: unknown): Valve | null {
  if (!isObject(value)) return null
  const mode = MODES.find(known => known === value.mode)
  if (mode === undefined) return null
  const { stickyBy } = value
  return {
    mode,
    // A throttle that does not say how much is refused when written, and does least harm open.
    admit: mode === 'cut' ? 0 : mode === 'flow' ? 1 : within(value.admit, 0, 1, 1),
    breaker: breakerOf(isObject(value.breaker) ? value.breaker : {}),
    adaptive: adaptiveOf(isObject(value.adaptive) ? value.adaptive : {}),
    fallback: typeof value.fallback === 'string' ? value.fallback : '',
    stickyBy: typeof stickyBy === 'string' ? attributeOf(stickyBy) : null,
    isShadow: value.shadow === true,
    isFleetTrip: value.fleetTrip === true,
  }
}

function breakerOf(given: Readonly<Record<string, unknown>>): Breaker {
  const usual = VALVE_DEFAULTS
  const windowMs = whole(given.windowMs, 100, 3_600_000) ?? usual.windowMs
  const openMs = whole(given.openMs, 1, 86_400_000) ?? usual.openMs
  return {
    isEnabled: given.enabled !== false,
    windowMs,
    buckets: Math.min(whole(given.buckets, 2, 1_000) ?? usual.buckets, windowMs),
    minCalls: whole(given.minCalls, 1, Infinity) ?? usual.minCalls,
    failureRate: within(given.failureRate, Number.MIN_VALUE, 1, usual.failureRate),
    slowMs: whole(given.slowMs, 1, Infinity),
    slowRate: within(given.slowRate, Number.MIN_VALUE, 1, usual.slowRate),
    timeoutMs: whole(given.timeoutMs, 1, 2 ** 31 - 1),
    openMs,
    maxOpenMs: Math.max(openMs, whole(given.maxOpenMs, 1, 86_400_000) ?? usual.maxOpenMs),
    backoff: within(given.backoff, 1, 1_000, usual.backoff),
    probes: whole(given.probes, 1, 1e6) ?? usual.probes,
    probeSuccess: within(given.probeSuccess, Number.MIN_VALUE, 1, usual.probeSuccess),
  }
}

function adaptiveOf(given: Readonly<Record<string, unknown>>): Adaptive {
  const usual = VALVE_DEFAULTS
  return {
    isEnabled: given.enabled !== false,
    K: within(given.K, 1, 1_000, usual.K),
    maxReject: within(given.maxReject, 0, 1, usual.maxReject),
    minRps: within(given.minRps, 0, Infinity, usual.minRps),
    ramp: within(given.ramp, 0, 1, usual.ramp),
  }
}

function within(value: unknown, least: number, most: number, usual: number): number {
  return typeof value === 'number' && value >= least && value <= most ? value : usual
}

/** A whole number; null for anything else, so that there may be no usual one. */
function whole(value: unknown, least: number, most: number): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most ? value : null
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
