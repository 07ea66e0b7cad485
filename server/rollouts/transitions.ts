/** From one state of a plan to the next: what the plan and its flag shall be afterwards, and what the log says of it. Pure. */
import type { Action as LogAction } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { HoldCause, Numbers, Plan } from '../../schemas/plan.ts'
import { moment } from '../clock.ts'
import { arranged } from '../flags/arrange.ts'
import { finalServe, isAsPlanned, isLast, servedAt, servingAt, stepServe, stepWeight } from './serve.ts'
import { percentText } from './words.ts'

export interface Transition {
  readonly action: LogAction
  readonly plan: Plan
  /** Null where the flag stays as it is. */
  readonly flag: Flag | null
  /** What the log says beside what its actor does. */
  readonly text: string
}

/** The first step. What stands before it is what a revert puts back; a flag that is off is switched on with it. */
export function started(plan: Plan, flag: Flag, now: number): Transition {
  const before = { serve: servedAt(flag, plan.rule) ?? flag.fallthrough, enabled: flag.enabled }
  const serve = stepServe(plan, 0, before.serve)
  const step = plan.steps[0]!
  return {
    action: 'rollout.start',
    plan: {
      ...atStep({ ...plan, before }, 0, now),
      state: 'running',
      startedAt: moment(now),
      serving: serve,
      kills: flag.kills.map(kill => kill.id),
      approvals: [],
      held: null,
      reverted: null,
      watchedSince: moment(now),
      endedAt: null,
    },
    flag: arranged({ ...servingAt(flag, plan.rule, serve), enabled: true }),
    text: `step 1 of ${plan.steps.length}: ${shareText(plan, 0)} of ${step.variation}, the rest ${step.control}${before.enabled ? '' : '; the flag is switched on'}`,
  }
}

export function advanced(plan: Plan, flag: Flag, to: number, now: number, why: string): Transition {
  const serve = stepServe(plan, to, plan.before?.serve ?? null)
  const [from, step] = [plan.steps[plan.step ?? 0]!, plan.steps[to]!]
  const isOther = from.variation !== step.variation || from.control !== step.control
  return {
    action: 'rollout.advance',
    plan: {
      ...atStep(plan, to, now),
      state: 'running',
      held: null,
      serving: serve,
      // Other variations are compared from here on: what was seen of the former ones says nothing of them.
      watchedSince: isOther ? moment(now) : plan.watchedSince,
    },
    flag: servingAt(flag, plan.rule, serve),
    text: `step ${to + 1} of ${plan.steps.length}: ${from.variation} ${shareText(plan, plan.step ?? 0)} → ${step.variation} ${shareText(plan, to)}${because(why)}`,
  }
}

export function completed(plan: Plan, flag: Flag, now: number, why: string): Transition {
  const serve = finalServe(plan, plan.before?.serve ?? null)
  const last = plan.steps[plan.steps.length - 1]!
  return {
    action: 'rollout.complete',
    plan: { ...plan, state: 'completed', serving: serve, held: null, endedAt: moment(now) },
    flag: servingAt(flag, plan.rule, serve),
    text: `${percentText(last.percent)} of ${last.variation}${because(why)}`,
  }
}

export function held(
  plan: Plan,
  {
    cause,
    text,
    guard,
    by,
    now,
    inStepMs,
  }: { cause: HoldCause; text: string; guard: string | null; by: string; now: number; inStepMs: number },
): Transition {
  return {
    action: 'rollout.hold',
    plan: { ...plan, state: 'held', spentMs: Math.round(inStepMs), held: { at: moment(now), cause, by, text, guard } },
    flag: null,
    text: plan.step === null ? text : `stays at ${shareText(plan, plan.step)}: ${text}`,
  }
}

/**
 * On where it was. After a guard, a wrong share or silence the step begins anew, and so does what guards have seen: a person
 * has looked at it. What the step serves is served again, whatever somebody made of it meanwhile.
 */
export function resumed(plan: Plan, flag: Flag, now: number, why: string): Transition {
  const isAnew = plan.held?.cause === 'guard' || plan.held?.cause === 'sample-ratio' || plan.held?.cause === 'no-data'
  const index = plan.step ?? 0
  const serve = stepServe(plan, index, plan.before?.serve ?? null)
  return {
    action: 'rollout.resume',
    plan: {
      ...plan,
      state: 'running',
      since: moment(now),
      spentMs: isAnew ? 0 : plan.spentMs,
      serving: serve,
      kills: flag.kills.map(kill => kill.id),
      held: null,
      watchedSince: isAnew && plan.held?.cause !== 'no-data' ? moment(now) : plan.watchedSince,
    },
    flag: servingAt(flag, plan.rule, serve),
    text: `goes on at ${shareText(plan, index)}${because(why)}`,
  }
}

/**
 * What stood before the first step stands again. Only what the plan did is undone: a flag that somebody switched off meanwhile
 * stays off, kills stay, and everything else of the flag is as it is now.
 */
export function reverted(
  plan: Plan,
  flag: Flag,
  { by, text, guard, numbers, now }: { by: string; text: string; guard: string | null; numbers: Numbers | null; now: number },
): Transition {
  const before = plan.before
  const restored = before === null ? flag : servingAt(flag, plan.rule, before.serve)
  return {
    action: 'rollout.revert',
    plan: {
      ...plan,
      state: 'reverting',
      serving: null,
      held: null,
      reverted: { at: moment(now), by, text, guard, numbers },
      endedAt: moment(now),
    },
    flag: before === null ? null : arranged({ ...restored, enabled: flag.enabled && before.enabled }),
    text,
  }
}

/** Everyone has what stood before, or was waited for long enough. */
export function settled(plan: Plan, text: string): Transition {
  return { action: 'rollout.settle', plan: { ...plan, state: 'reverted' }, flag: null, text }
}

/** The plan ends; what is served stays. */
export function cancelled(plan: Plan, now: number, why: string): Transition {
  const stays =
    plan.step === null || plan.serving === null ? '' : `; ${shareText(plan, plan.step)} of ${plan.steps[plan.step]?.variation} stay`
  return {
    action: 'rollout.cancel',
    plan: { ...plan, state: 'cancelled', held: null, endedAt: moment(now) },
    flag: null,
    text: `${why}${stays}`,
  }
}

/** A person has looked at why it turned back: it waits to be started again, from its first step and with the same seed. */
export function cleared(plan: Plan, run: string): Transition {
  return {
    action: 'rollout.clear',
    plan: {
      ...plan,
      run,
      state: 'pending',
      step: null,
      since: null,
      spentMs: 0,
      before: null,
      serving: null,
      approvals: [],
      startsAt: null,
      endedAt: null,
    },
    flag: null,
    text: 'it may be started again',
  }
}

export function approved(plan: Plan, by: string, now: number): Transition {
  const step = plan.step ?? 0
  return {
    action: 'rollout.approve',
    plan: { ...plan, approvals: [...plan.approvals.filter(each => each.step !== step), { step, by, at: moment(now) }] },
    flag: null,
    text: `what comes after ${percentText(plan.steps[step]?.percent ?? 0)}`,
  }
}

/** Whether turning back would undo what somebody else did. */
export function isUndoing(plan: Plan, flag: Flag): boolean {
  return plan.before !== null && servedAt(flag, plan.rule) !== null && !isAsPlanned(plan, flag)
}

function atStep(plan: Plan, step: number, now: number): Plan {
  return { ...plan, step, since: moment(now), spentMs: 0 }
}

/** `5 %`; of the last step that is watched, what is served, as in `98 % (100 % when it is complete)`. */
function shareText(plan: Plan, index: number): string {
  const whole = percentText(plan.steps[index]?.percent ?? 0)
  const now = percentText(stepWeight(plan, index) / 1_000)
  return isLast(plan, index) && now !== whole ? `${now} (${whole} when it is complete)` : whole
}

function because(why: string): string {
  return why === '' ? '' : `, ${why}`
}
