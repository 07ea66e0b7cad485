/**
 * Whether the arms are seen in the shares they were given (sample-ratio mismatch), and whether the rising variation loses its
 * good outcomes (a crash that takes the telemetry with it): the same kind of bet, on who was seen instead of what failed.
 *
 * Chance places contexts once, not once a slice: of a hundred accounts at 10 %, six or fifteen may be in the rising variation, and
 * are so in every slice. So what is refuted is not the configured share but all shares that chance can make of it with so
 * many contexts, and what is staked on lies outside of them.
 */
import { logMean, logStep, staked, stakedLog } from './eprocess.ts'
import type { ShareNumbers, ShareState, Stratum } from './types.ts'

/** Factors between the odds, each way. */
const GRID = [1.25, 1.5, 2, 3, 5, 10] as const
/** Standard deviations of the share that chance is granted: passed once in 15,000 plans to each side. */
const DEVIATIONS = 4

export const EVEN: ShareState = {
  slices: 0,
  logTooMany: [],
  logTooFew: [],
  logLost: [],
  contexts: 0,
  seen: { rising: 0, control: 0 },
  succeeded: { rising: 0, control: 0 },
  expected: 0,
}

/**
 * @param stratum   of the service that saw most: contexts that several services see are not to be counted twice
 * @param share     the configured one, between 0 and 1 without either
 */
export function addShare(state: ShareState, { seen, succeeded = seen, distinct }: Stratum, share: number): ShareState {
  const { rising, control } = seen
  const all = rising + control
  if (all === 0) return state
  const contexts = Math.max(state.contexts, Math.min(all, distinct ?? all))
  const [low, high] = tolerated(share, contexts)
  const slices = state.slices + 1
  const add = (logs: readonly number[], w: number, isMore: boolean, mine: number, both: number): readonly number[] =>
    staked(logs, slices, GRID.length).map(
      // Chance may make anything of a few contexts: then nothing is to be won.
      (log, i) => (w <= 0 || w >= 1 ? log : log + logStep(isMore ? GRID[i]! : 1 / GRID[i]!, w, mine, both)),
    )
  return {
    slices,
    logTooMany: add(state.logTooMany, high, true, rising, all),
    logTooFew: add(state.logTooFew, low, false, rising, all),
    logLost: add(state.logLost, low, false, succeeded.rising, succeeded.rising + succeeded.control),
    contexts,
    seen: { rising: state.seen.rising + rising, control: state.seen.control + control },
    succeeded: {
      rising: state.succeeded.rising + succeeded.rising,
      control: state.succeeded.control + succeeded.control,
    },
    expected: state.expected + all * share,
  }
}

/** @param logThreshold of the three together, which have one alpha */
export function shareNumbers(state: ShareState, logThreshold: number): ShareNumbers {
  const all = state.seen.rising + state.seen.control
  const [many, few, lost] = [state.logTooMany, state.logTooFew, state.logLost].map(logs => stakedLog(logs, state.slices)) as [
    number,
    number,
    number,
  ]
  const logE = logMean([many, few, lost])
  const highest = Math.max(many, few, lost)
  const kind = logE < logThreshold ? 'as-configured' : many === highest ? 'too-many' : few === highest ? 'too-few' : 'lost'
  if (all === 0) return { observed: null, configured: null, tolerated: null, logE, kind }
  const configured = state.expected / all
  const [low, high] = tolerated(configured, state.contexts)
  return { observed: state.seen.rising / all, configured, tolerated: { low, high }, logE, kind }
}

function tolerated(share: number, contexts: number): readonly [low: number, high: number] {
  const deviation = DEVIATIONS * Math.sqrt((share * (1 - share)) / contexts)
  return [Math.max(0, share - deviation), Math.min(1, share + deviation)]
}
