/**
 * A plain limit on one number, as a step of a rollout looks at it every minute: how often it may be broken, how often its
 * source may fail to answer, and what an answer without a number means. Pure: who asks the source is the engine.
 */
import { type HardLimit, type HardLimitState, type HardLimitVerdict, type Look, STATE_VERSION } from './types.ts'

const INTERVAL_MS = 30_000
const CONSECUTIVE_ERRORS = 4

const BROKEN: Readonly<Record<HardLimit['op'], (value: number, threshold: number) => boolean>> = {
  '>': (value, threshold) => value > threshold,
  '>=': (value, threshold) => value >= threshold,
  '<': (value, threshold) => value < threshold,
  '<=': (value, threshold) => value <= threshold,
}

/** At the beginning of each step: what a limit bore in the last one is no debt of this. */
export function beginLimit(now: number): HardLimitState {
  const nothing = { looks: 0, failures: 0, consecutiveErrors: 0, last: null, problem: null }
  return { version: STATE_VERSION, beganAt: now, lookedAt: null, ...nothing }
}

/** When to look next, in ms since 1970. */
export function nextLook(limit: HardLimit, { beganAt, lookedAt }: HardLimitState): number {
  return lookedAt === null ? beganAt + (limit.initialDelayMs ?? 0) : lookedAt + (limit.intervalMs ?? INTERVAL_MS)
}

export function looked(limit: HardLimit, state: HardLimitState, look: Look, now: number): HardLimitState {
  const since = { ...state, lookedAt: now, looks: state.looks + 1 }
  if (look.kind === 'error') return { ...since, consecutiveErrors: state.consecutiveErrors + 1, problem: look.message }
  // PromQL answers NaN for nothing divided by nothing.
  const last = look.kind === 'value' && Number.isNaN(look.value) ? ({ kind: 'no-data' } as const) : look
  const isFailure = last.kind === 'value' && isBroken(limit, last.value)
  return { ...since, failures: state.failures + (isFailure ? 1 : 0), consecutiveErrors: 0, last, problem: null }
}

export function limitVerdict(limit: HardLimit, state: HardLimitState): HardLimitVerdict {
  const { failures, consecutiveErrors, looks, last, problem } = state
  const { failureLimit = 0, consecutiveErrorLimit = CONSECUTIVE_ERRORS, onNoData = 'hold', op, threshold } = limit
  if (failures > failureLimit) {
    return { kind: 'failed', why: `${failures} of ${looks} looks were ${op} ${threshold}; ${failureLimit} are borne.` }
  }
  // Until there are too many, what was known before stands: a source that restarts stops no rollout.
  if (consecutiveErrors > consecutiveErrorLimit)
    return { kind: 'holding', why: `${consecutiveErrors} looks in a row went wrong: ${problem}` }
  if (last === null)
    return { kind: 'waiting', why: problem === null ? 'It was not looked at yet.' : `The source has not answered yet: ${problem}` }
  if (last.kind === 'no-data') return { kind: onNoData === 'pass' ? 'passing' : 'holding', why: 'The source has no data.' }
  // The next may be one too many: it is no time to go on.
  if (isBroken(limit, last.value)) {
    return {
      kind: 'holding',
      why: `It is ${valueText(last.value)}, which is ${op} ${threshold}: ${failures} such looks of ${failureLimit} that are borne.`,
    }
  }
  return { kind: 'passing', why: `It is ${valueText(last.value)}; ${op} ${threshold} would be harm.` }
}

function isBroken({ op, threshold }: HardLimit, value: number): boolean {
  return BROKEN[op](value, threshold)
}

/** The largest number stands for infinity, which JSON does not have. */
function valueText(value: number): string {
  return Math.abs(value) === Number.MAX_VALUE ? `${value < 0 ? '-' : ''}infinity` : String(Number(value.toPrecision(6)))
}
