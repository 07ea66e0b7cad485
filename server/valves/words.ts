/** What a valve's move says in the log, to whoever reads it at 3 a.m. Pure. */
import type { ValveCause, ValveRecord } from '../../schemas/valve.ts'

const CAUSES: Readonly<Record<ValveCause, string>> = {
  setting: 'as it is set',
  failures: 'too many calls failed',
  slow: 'too many calls were slow',
  overload: 'more was asked than the dependency answers',
  waited: 'it has waited and tries again',
  probes: 'probes went well',
  'probe-failed': 'probes failed',
  ramp: 'it opens step by step',
  fleet: 'the whole fleet together saw too much',
  restored: 'as it stood before',
}

/** `cut: too many calls failed (52 % of 1204 calls in 30 s; cut in 3 of 4 instances, 0 % admitted)`. */
export function moveText({ state, cause, admit, numbers }: Pick<ValveRecord, 'state' | 'cause' | 'admit' | 'numbers'>): string {
  const { calls, failures, slow, rejected, windowMs, instances, inState } = numbers
  const failed = calls === 0 ? 'no call' : `${percent(failures / calls)} of ${calls} calls failed`
  const took = slow === 0 ? '' : `, ${percent(slow / calls)} slow`
  const turned = rejected === 0 ? '' : `, ${rejected} turned away`
  return `${state}: ${CAUSES[cause]} (${failed}${took}${turned} in ${windowMs / 1_000} s; ${state} in ${inState} of ${instances} instances, ${percent(admit)} admitted)`
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
