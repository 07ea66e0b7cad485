/**
 * What a plan does next: pure, from the plan, the flag as it stands, what was seen, and the time. It decides one thing at a
 * time; whoever carries it out asks again. What people did is looked at first, harm second, and the way on last.
 */
import type { Flag } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Guard, HoldCause, Numbers, Outlook, Plan, PlanStep } from '../../schemas/plan.ts'
import { moment } from '../clock.ts'
import { isCompared, isShare, startProblems } from './make.ts'
import { isAsPlanned, isLast, servedAt, stepWeight } from './serve.ts'
import { countText, durationText, percentText } from './words.ts'

/** However clear the evidence, a step stands for so long (or for its own time, where that is less). */
export const EVIDENCE_LEAST_MS = 60_000
/** Exposures without which a step with a gate of evidence is not left by time, where it names none itself. */
export const EVIDENCE_EXPOSURES = 100
/** Silence is no data when it is longer than this and than half of the step. */
export const SILENCE_MS = 60_000

/** The time, measured by who can: `inStepMs` is not moved by a wall clock that jumps. */
export interface Time {
  /** Ms since 1970: for moments that people set. */
  readonly now: number
  /** How long the step has stood, without the time in which the plan was held. */
  readonly inStepMs: number
}

/** A guard that has made up its mind. */
export interface Fired {
  readonly guard: Guard
  /** One sentence with what was seen. */
  readonly text: string
  readonly numbers: Numbers
}

/** What is known of how the step went. */
export interface Seen {
  /** Contexts with an outcome under the variation since the step began. */
  readonly exposures: number
  /** How long ago the last outcome came, under the variation and under its control; null for never in this step. */
  readonly quietMs: { readonly rising: number | null; readonly control: number | null }
  /** Guards that say harm, those that only say so included. */
  readonly fired: readonly Fired[]
  /** The observed share is not the configured one: why. */
  readonly skewed: string | null
  /** Hard limits whose source says nothing: why. */
  readonly blind: string | null
  /** Hard limits of which the next look decides: what is said of the first. */
  readonly unsettled: string | null
  /** Whether the guards that compare have ruled out harm. */
  readonly isClear: boolean
  /** What they have seen so far, as a sentence for the log. */
  readonly text: string
}

export const NOTHING_SEEN: Seen = {
  exposures: 0,
  quietMs: { rising: null, control: null },
  fired: [],
  skewed: null,
  blind: null,
  unsettled: null,
  isClear: false,
  text: '',
}

export type Action =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'start' }
  | { readonly kind: 'advance'; readonly to: number; readonly text: string }
  | { readonly kind: 'complete'; readonly text: string }
  | { readonly kind: 'hold'; readonly cause: HoldCause; readonly text: string; readonly guard: string | null }
  | { readonly kind: 'resume'; readonly text: string }
  | { readonly kind: 'revert'; readonly text: string; readonly guard: string; readonly numbers: Numbers }
  | { readonly kind: 'cancel'; readonly text: string }

export interface Decision {
  readonly action: Action
  /** What happens next, once the action is taken. `inMs` says when to ask again, where time alone decides. */
  readonly outlook: Outlook
}

/** @param flag as it stands; null when it is gone */
export function decide(plan: Plan, flag: Flag | null, seen: Seen, time: Time): Decision {
  const { state } = plan
  if (state === 'completed' || state === 'cancelled') return stay('nothing', 'it has ended')
  if (flag === null) return state === 'reverted' ? stay('nothing', 'the flag is gone') : act({ kind: 'cancel', text: 'the flag is gone' })
  if (state === 'reverted') return stay('clear', 'nothing advances until a person has looked at what it saw and cleared it')
  if (state === 'reverting') return stay('nothing', 'instances take over what stood before')
  if (state === 'pending') return stay('resume', 'a person starts it')
  if (state === 'scheduled') return decideStart(plan, flag, time)
  return decideStanding(plan, flag, seen, time)
}

function decideStart(plan: Plan, flag: Flag, { now }: Time): Decision {
  const inMs = Math.max(0, Date.parse(plan.startsAt ?? '') - now)
  if (inMs > 0) return stay('start', `starts at ${plan.startsAt}`, inMs, now)
  const trouble = startTrouble(plan, flag)
  if (trouble !== null) return act({ kind: 'hold', cause: trouble.cause, text: trouble.text, guard: null })
  return act({ kind: 'start' })
}

/** Why the first step cannot be taken now; null when it can. */
export function startTrouble(plan: Plan, flag: Flag): { readonly cause: HoldCause; readonly text: string } | null {
  const kill = flag.kills.find(each => each.clauses.length === 0)
  if (kill !== undefined) return { cause: 'killed', text: `the flag is killed for everyone (${kill.id}): lift that first` }
  const [step] = plan.steps
  if (step === undefined) return { cause: 'edited', text: 'it has no steps' }
  const unknown = plan.steps.flatMap(each => [each.variation, each.control]).find(key => !flag.variations.some(each => each.key === key))
  if (unknown !== undefined) return { cause: 'edited', text: `the flag has no variation "${unknown}" any more` }
  const [problem] = startProblems(flag, plan.rule, step)
  return problem === undefined ? null : { cause: 'edited', text: `${problem.path} ${problem.message}` }
}

function decideStanding(plan: Plan, flag: Flag, seen: Seen, time: Time): Decision {
  const interference = interferenceOf(plan, flag)
  if (interference !== null) {
    // Whatever holds it already, what stands is no longer the plan's: guards have nothing to turn back.
    if (plan.state === 'running') return act({ kind: 'hold', ...interference, guard: null })
    return stay('resume', `held: ${plan.held?.text ?? interference.text}`)
  }

  const harm = seen.fired.find(({ guard }) => guard.role === 'guardrail' && guard.dryRun !== true)
  if (harm !== undefined) return act({ kind: 'revert', text: harm.text, guard: harm.guard.id, numbers: harm.numbers })

  if (plan.state === 'held') {
    if (plan.held?.cause === 'no-data' && isBack(plan, seen))
      return act({ kind: 'resume', text: 'there is data again: the step begins anew' })
    return plan.held?.cause === 'no-data'
      ? stay('data', `held: ${plan.held.text}. It goes on by itself when there is data`)
      : stay('resume', `held: ${plan.held?.text ?? ''}. A person lets it go on`)
  }

  const signal = seen.fired.find(({ guard }) => guard.role === 'signal' && guard.dryRun !== true)
  if (signal !== undefined) return act({ kind: 'hold', cause: 'guard', text: signal.text, guard: signal.guard.id })
  if (seen.skewed !== null) return act({ kind: 'hold', cause: 'sample-ratio', text: seen.skewed, guard: null })
  return decideStep(plan, seen, time)
}

/** What somebody did that takes the flag out of the plan's hands. */
function interferenceOf(plan: Plan, flag: Flag): { readonly cause: HoldCause; readonly text: string } | null {
  const kill = flag.kills.find(each => !plan.kills.includes(each.id))
  if (kill !== undefined) return { cause: 'killed', text: `${kill.actor} killed the flag (${kill.id}): ${kill.reason}` }
  if (!flag.enabled) return { cause: 'off', text: 'the flag was switched off' }
  if (isAsPlanned(plan, flag)) return null
  const what = servedAt(flag, plan.rule) === null ? `rule "${plan.rule}" is gone` : 'what it serves was changed by somebody else'
  return { cause: 'edited', text: `${what}; that stays` }
}

/** The way on: time, then data, exposures, and at last the gate. */
function decideStep(plan: Plan, seen: Seen, time: Time): Decision {
  const index = plan.step ?? 0
  const step = plan.steps[index]!
  const { holdMs, minExposures, gate } = step
  const leftMs = Math.max(0, holdMs - time.inStepMs)
  const has = seen.text === '' ? '' : `; ${seen.text}`

  const isBlind = seen.blind !== null || seen.unsettled !== null
  if (gate === 'evidence' && seen.isClear && !isBlind && seen.exposures >= minExposures) {
    const leastMs = Math.min(holdMs, EVIDENCE_LEAST_MS) - time.inStepMs
    if (leastMs <= 0) return leave(plan, index, `evidence rules out harm${has}`)
    if (leastMs < leftMs) return stay(nextKind(plan, index), `evidence rules out harm${has}`, leastMs, time.now)
  }
  if (leftMs > 0) return stay(nextKind(plan, index), nextText(plan, index), leftMs, time.now)

  if (needsData(plan, step) && !isHeard(plan, seen, time.inStepMs)) {
    // A slice that began with the step or after it has to end before anything can be heard.
    const patienceMs = SILENCE_MS - time.inStepMs
    if (patienceMs > 0) return stay('data', `waits for the first outcomes of ${step.variation} and ${step.control}`, patienceMs, time.now)
    return act({ kind: 'hold', cause: 'no-data', text: silenceText(plan, seen), guard: null })
  }
  if (seen.blind !== null) return act({ kind: 'hold', cause: 'no-data', text: seen.blind, guard: null })
  if (seen.unsettled !== null) return stay('data', `waits for the next look at a hard limit: ${seen.unsettled}`)

  const least = gate === 'evidence' ? Math.max(minExposures, EVIDENCE_EXPOSURES) : minExposures
  if (seen.exposures < least)
    return stay(
      'exposures',
      `waits for ${countText(least - seen.exposures, 'more exposure')} of ${step.variation} (${seen.exposures} of ${least})`,
    )
  if (gate === 'approval' && !plan.approvals.some(each => each.step === index))
    return stay('approval', `waits for a person to approve what comes after ${percentText(step.percent)}`)

  const stood = `after ${durationText(time.inStepMs)}`
  const why =
    gate === 'evidence' ? `${stood}, by time and ${countText(seen.exposures, 'exposure')}: too few errors to rule out harm` : stood
  if (isLast(plan, index)) return act({ kind: 'complete', text: `${why}${has}` })
  const to = foldedTo(plan, index, time.inStepMs - holdMs)
  const folded = to - index - 1
  return act({
    kind: 'advance',
    to,
    text: `${why}${folded === 0 ? '' : `, ${countText(folded, 'step')} missed meanwhile folded into this`}${has}`,
  })
}

function leave(plan: Plan, index: number, text: string): Decision {
  return isLast(plan, index) ? act({ kind: 'complete', text }) : act({ kind: 'advance', to: index + 1, text })
}

/**
 * Where time that was missed leads: over steps that ask for time alone, never past one that asks for anything else, and never
 * out of a stage that has not stood. The step that is reached begins now.
 */
function foldedTo(plan: Plan, index: number, overMs: number): number {
  let to = index + 1
  let left = overMs
  // What was spent waiting for a person, exposures or evidence was not missed.
  while (asksTimeAlone(plan, index) && !isLast(plan, to)) {
    const step = plan.steps[to]!
    if (!asksTimeAlone(plan, to) || step.holdMs > left || plan.steps[to + 1]?.variation !== step.variation) break
    left -= step.holdMs
    to++
  }
  return to
}

function asksTimeAlone(plan: Plan, index: number): boolean {
  const step = plan.steps[index]
  return step?.gate === 'time' && step.minExposures === 0 && guardsAt(plan, step).length === 0
}

/** Whether a step may be left only when outcomes were heard of. */
export function needsData(plan: Plan, step: PlanStep): boolean {
  return step.gate === 'evidence' || step.minExposures > 0 || guardsAt(plan, step).some(isShare)
}

/** The guards that watch while a step stands. */
export function guardsAt(plan: Pick<Plan, 'guards'>, step: Pick<PlanStep, 'guards'> | undefined): readonly Guard[] {
  return [...plan.guards, ...(step?.guards ?? [])]
}

/** Whether what was missing is there again. */
function isBack(plan: Plan, seen: Seen): boolean {
  const step = plan.steps[plan.step ?? 0]
  return seen.blind === null && (step === undefined || !needsData(plan, step) || isHeard(plan, seen))
}

/** Whether both arms say something. While everyone has the variation there is nobody left to speak for the control. */
function isHeard(plan: Plan, { quietMs, exposures }: Seen, inStepMs = 0): boolean {
  const longest = Math.max(SILENCE_MS, inStepMs / 2)
  const heard = (ms: number | null): boolean => ms !== null && ms <= longest
  if (exposures === 0 || !heard(quietMs.rising)) return false
  const step = plan.steps[plan.step ?? 0]
  const compares = guardsAt(plan, step).some(isCompared)
  return !compares || stepWeight(plan, plan.step ?? 0) === WEIGHT_TOTAL || heard(quietMs.control)
}

function silenceText(plan: Plan, { quietMs }: Seen): string {
  const step = plan.steps[plan.step ?? 0]
  const said = (name: string, ms: number | null): string =>
    `${name} ${ms === null ? 'reported no outcome in this step' : `reported no outcome for ${durationText(ms)}`}`
  return `no data: ${said(step?.variation ?? '', quietMs.rising)}, ${said(step?.control ?? '', quietMs.control)}`
}

function nextKind(plan: Plan, index: number): 'advance' | 'complete' {
  return isLast(plan, index) ? 'complete' : 'advance'
}

function nextText(plan: Plan, index: number): string {
  const { gate, minExposures } = plan.steps[index]!
  const next = plan.steps[index + 1]
  const to = next === undefined ? 'complete' : `${percentText(next.percent)} of ${next.variation}`
  const asks = [
    minExposures > 0 ? `${minExposures} exposures` : '',
    gate === 'approval' && !plan.approvals.some(each => each.step === index) ? 'an approval' : '',
    gate === 'evidence' ? 'evidence, or enough exposures' : '',
  ].filter(text => text !== '')
  return `then ${to}${asks.length === 0 ? '' : `, given ${asks.join(' and ')}`}`
}

/** What is about to happen, for whoever asks before it has. */
const AT_ONCE: Readonly<Record<Action['kind'], string>> = {
  nothing: '',
  start: 'takes its first step at once',
  advance: 'takes the next step at once',
  complete: 'is complete at once',
  hold: 'is held at once',
  resume: 'goes on at once',
  revert: 'turns back at once',
  cancel: 'ends at once',
}

function act(action: Action): Decision {
  return { action, outlook: { what: 'nothing', at: null, inMs: null, text: AT_ONCE[action.kind] } }
}

function stay(what: Outlook['what'], text: string, inMs: number | null = null, now = 0): Decision {
  const at = inMs === null ? null : moment(now + inMs)
  return { action: { kind: 'nothing' }, outlook: { what, at, inMs: inMs === null ? null : Math.ceil(inMs), text } }
}
