/**
 * What a trigger would do to an environment as it stands. Pure, called inside a write's turn. It never acts in the unsafe
 * direction: nobody who is served the off variation is served another one, no share and no percentage grows, and every kill
 * that stands goes on.
 */
import type { Flag, Rollout, Serve } from '../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../schemas/limits.ts'
import type { Trigger, TriggerDo } from '../../schemas/trigger.ts'
import { rateOf } from '../../sdk/evaluator/rate.ts'
import { moment } from '../clock.ts'
import { arranged } from '../flags/arrange.ts'
import { findFlag } from '../flags/find.ts'
import { clauseText, type KillStamp, killEdits, laidOverAll, lifted, taggedFlags } from '../kills/kill.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'

type KillDo = Extract<TriggerDo, { action: 'kill' }>

export interface EffectStamp extends KillStamp {
  /** Why, for the kills it makes. */
  readonly reason: string
  /** The percentage that a valve lets through at most, by people and triggers. Below that it goes on moving by itself. */
  valvePercent(flag: string): number
}

export type Effect =
  | { readonly kind: 'flags'; readonly edits: readonly PlannedEdit[]; readonly step: number; readonly text: string }
  | { readonly kind: 'throttle'; readonly flag: string; readonly percent: number; readonly step: number; readonly text: string }
  | { readonly kind: 'hold'; readonly flag: string; readonly text: string }
  | { readonly kind: 'tell'; readonly text: string }
  | { readonly kind: 'nothing'; readonly why: string }

/** How the log names a trigger. */
export function actorName(key: string): string {
  return `trigger "${key}"`
}

/** Errors: `FLAG_NOT_FOUND`, and those of kills and of `checkEdits`. */
export function effectOf(state: State, trigger: Trigger, stamp: EffectStamp): Effect {
  const { do: action } = trigger
  switch (action.action) {
    case 'kill':
      return killEffect(state, action, stamp)
    case 'set-variation':
      return flagEffect(state, findFlag(state, action.flag), flag => turnedTo(flag, action.variation))
    case 'set-percentage':
      return flagEffect(state, findFlag(state, action.flag), flag => lowered(flag, action.variation, action.percents))
    case 'throttle-valve':
      return throttleEffect(state, action, stamp)
    case 'hold-rollout':
      return { kind: 'hold', flag: findFlag(state, action.flag).key, text: `held the rollout of ${action.flag}` }
    case 'notify':
      return { kind: 'tell', text: 'only told' }
  }
}

/** The flags over which what a trigger did last is still in force. */
export function standingOf(state: State, trigger: Trigger, valvePercent: (flag: string) => number): string[] {
  const { tripped, do: action } = trigger
  if (tripped === null || action.action === 'notify') return []
  if (action.action === 'kill') {
    const name = actorName(trigger.key)
    return [...state.documents.flag.values()].filter(flag => flag.kills.some(kill => kill.actor === name)).map(flag => flag.key)
  }
  const flag = state.documents.flag.get(action.flag)
  return flag !== undefined && isInForce(state, flag, action, tripped.step, valvePercent) ? [flag.key] : []
}

function isInForce(
  state: State,
  flag: Flag,
  action: Exclude<TriggerDo, { action: 'kill' | 'notify' }>,
  step: number,
  valvePercent: (flag: string) => number,
): boolean {
  switch (action.action) {
    case 'set-variation':
      return weightsOf(flag.fallthrough).every(({ variation }) => variation === action.variation || variation === flag.offVariation)
    case 'set-percentage':
      return shareOf(flag.fallthrough, action.variation) <= weightOf(action.percents[step - 1] ?? 0)
    case 'throttle-valve':
      return valvePercent(flag.key) <= (action.percents[step - 1] ?? 0)
    case 'hold-rollout':
      return state.documents.plan.get(flag.key)?.state === 'held'
  }
}

function killEffect(state: State, action: KillDo, stamp: EffectStamp): Effect {
  const until = action.expiresAfterMs === undefined ? null : moment(stamp.now + action.expiresAfterMs)
  const left: string[] = []
  const keys = (action.tag === undefined ? (action.flags ?? []) : taggedFlags(state, action.tag)).filter(key => {
    const why = spared(state.documents.flag.get(key), action, until)
    if (why !== null) left.push(`${key} ${why}`)
    return why === null
  })
  if (keys.length === 0) return { kind: 'nothing', why: left.join(', ') }
  const request = {
    reason: stamp.reason,
    until,
    ...(action.variation === undefined ? {} : { variation: action.variation }),
    ...(action.clauses === undefined ? {} : { clauses: action.clauses }),
  }
  const { killings, skipped } = laidOverAll(state, keys, request, stamp)
  const edits = killEdits(killings.map(killing => ({ ...killing, flag: withoutOwnShorter(killing.flag, killing.kill.id, action, stamp) })))
  if (edits.length === 0) return { kind: 'nothing', why: keys.map(key => `${key} is killed so already`).join(', ') }
  const whom = (action.clauses ?? []).length === 0 ? '' : ' for the contexts that match its clauses'
  const ends = until === null ? '' : ` until ${until}`
  const not = [...left, ...skipped.map(each => `${each.flag}: ${each.message}`)]
  return {
    kind: 'flags',
    edits,
    step: 0,
    text: `killed ${listed(edits.map(edit => edit.key))}${whom}${ends}${not.length === 0 ? '' : `; left alone: ${listed(not)}`}`,
  }
}

/** Why a flag is not killed: one that is missing is for the kill itself to name. */
function spared(flag: Flag | undefined, action: KillDo, until: string | null): string | null {
  if (flag === undefined) return null
  const variation = action.variation ?? flag.offVariation
  const covering = flag.kills.find(
    kill =>
      kill.variation === variation &&
      (kill.clauses.length === 0 || isSameClauses(kill.clauses, action.clauses ?? [])) &&
      (kill.until === null || (until !== null && Date.parse(kill.until) >= Date.parse(until))),
  )
  if (covering !== undefined) return `is killed already (${covering.id} by ${covering.actor})`
  if (variation !== flag.offVariation && servesOff(flag)) return `serves "${flag.offVariation}" to some, whom "${variation}" would turn up`
  return null
}

/** A kill of its own that ends sooner goes when the new one lies over the flag, so that an alert that goes on prolongs one kill. */
function withoutOwnShorter(flag: Flag, id: string, action: KillDo, stamp: EffectStamp): Flag {
  return lifted(
    flag,
    kill =>
      kill.id !== id &&
      kill.actor === stamp.actor &&
      kill.until !== null &&
      kill.variation === (action.variation ?? flag.offVariation) &&
      isSameClauses(kill.clauses, action.clauses ?? []),
  )
}

function isSameClauses(a: Flag['kills'][number]['clauses'], b: Flag['kills'][number]['clauses']): boolean {
  return a.length === b.length && a.every((clause, i) => clauseText(clause) === clauseText(b[i]))
}

/** Whether anybody may be served the off variation, kills apart. */
function servesOff(flag: Flag): boolean {
  const names = (serve: Serve): boolean =>
    // Whoever a rollout cannot place is served the off variation as well.
    'rollout' in serve || serve.variation === flag.offVariation
  return (
    !flag.enabled ||
    flag.prerequisites.length > 0 ||
    names(flag.fallthrough) ||
    flag.rules.some(rule => names(rule.serve)) ||
    flag.targets.some(target => target.variation === flag.offVariation)
  )
}

type Turned = { readonly serve: Serve; readonly step: number; readonly text: string } | { readonly why: string }

function flagEffect(state: State, flag: Flag, turn: (flag: Flag) => Turned): Effect {
  if (!flag.enabled) return { kind: 'nothing', why: `${flag.key} is off` }
  const turned = turn(flag)
  if ('why' in turned) return { kind: 'nothing', why: turned.why }
  const after = arranged({ ...flag, fallthrough: turned.serve })
  return { kind: 'flags', edits: checkEdits(state, [{ type: 'flag', key: flag.key, after }]), step: turned.step, text: turned.text }
}

/** All who come to the fallthrough are served the variation, but nobody leaves the off variation for it. */
function turnedTo(flag: Flag, variation: string): Turned {
  const text = `turned ${flag.key} to ${variation}`
  if (weightsOf(flag.fallthrough).every(each => each.weight === 0 || each.variation === variation))
    return { why: `${flag.key} serves ${variation} already` }
  if (variation === flag.offVariation) return { serve: { variation }, step: 0, text }
  if (isFaster(flag, variation)) return { why: `${flag.key} serves a rate that is lower than that of ${variation}` }
  if ('variation' in flag.fallthrough) {
    if (flag.fallthrough.variation === flag.offVariation) return { why: `${flag.key} serves its off variation, and is not turned up` }
    return { serve: { variation }, step: 0, text }
  }
  const { rollout } = flag.fallthrough
  const off = rollout.weights.findIndex(each => each.variation === flag.offVariation && each.weight > 0)
  if (off === -1) return { serve: { rollout: { ...rollout, weights: [{ variation, weight: WEIGHT_TOTAL }] } }, step: 0, text }
  // It keeps its buckets, and takes those on the smaller side of it: a variation stands once in a rollout.
  const before = sum(rollout.weights.slice(0, off))
  const after = sum(rollout.weights.slice(off + 1))
  if (before + after === 0) return { why: `${flag.key} serves its off variation, and is not turned up` }
  const target = { variation, weight: Math.max(before, after) }
  const rest = { variation: flag.offVariation, weight: WEIGHT_TOTAL - target.weight }
  const weights = before > after ? [target, rest] : [rest, target]
  if (
    weights.length === rollout.weights.length &&
    weights.every((each, i) => each.variation === rollout.weights[i]?.variation && each.weight === rollout.weights[i]?.weight)
  )
    return { why: `${flag.key} serves ${variation} already, but to those who are served its off variation` }
  return { serve: { rollout: { ...rollout, weights } }, step: 0, text }
}

/** Whether the variation would let somebody have a higher rate than now. */
function isFaster(flag: Flag, variation: string): boolean {
  const rate = (key: string): number => {
    const read = rateOf(flag.variations.find(each => each.key === key)?.value)
    return read === null || read.isShadow ? Infinity : read.ratePerMs / read.cost
  }
  return flag.kind === 'rate-limit' && weightsOf(flag.fallthrough).some(each => each.weight > 0 && rate(each.variation) < rate(variation))
}

/** The first step below what stands; who leaves the variation is served the off variation. */
function lowered(flag: Flag, variation: string, percents: readonly number[]): Turned {
  const share = shareOf(flag.fallthrough, variation)
  const step = percents.findIndex(percent => weightOf(percent) < share)
  const percent = percents[step]
  if (percent === undefined) return { why: `${variation} of ${flag.key} has ${share / 1_000} % already` }
  if (variation === flag.offVariation) return { why: `${variation} is the off variation of ${flag.key}` }
  const weight = weightOf(percent)
  const weights = weightsOf(flag.fallthrough).map(each => (each.variation === variation ? { variation, weight } : each))
  const off = weights.findIndex(each => each.variation === flag.offVariation)
  // Beside the variation, so that its buckets are taken from one end and everybody else keeps theirs.
  if (off === -1)
    weights.splice(weights.findIndex(each => each.variation === variation) + 1, 0, { variation: flag.offVariation, weight: share - weight })
  else weights[off] = { variation: flag.offVariation, weight: weights[off]!.weight + share - weight }
  const rollout: Rollout = { ...('rollout' in flag.fallthrough ? flag.fallthrough.rollout : {}), weights }
  return { serve: { rollout }, step: step + 1, text: `lowered ${variation} of ${flag.key} from ${share / 1_000} % to ${percent} %` }
}

function throttleEffect(state: State, action: Extract<TriggerDo, { action: 'throttle-valve' }>, stamp: EffectStamp): Effect {
  const { key } = findFlag(state, action.flag)
  const stands = stamp.valvePercent(key)
  const step = action.percents.findIndex(percent => percent < stands)
  const percent = action.percents[step]
  if (percent === undefined) return { kind: 'nothing', why: `the valve ${key} lets ${stands} % through already` }
  return { kind: 'throttle', flag: key, percent, step: step + 1, text: `throttled the valve ${key} from ${stands} % to ${percent} %` }
}

function weightsOf(serve: Serve): Rollout['weights'] {
  return 'rollout' in serve ? serve.rollout.weights : [{ variation: serve.variation, weight: WEIGHT_TOTAL }]
}

function shareOf(serve: Serve, variation: string): number {
  return weightsOf(serve).find(each => each.variation === variation)?.weight ?? 0
}

function weightOf(percent: number): number {
  return Math.round((percent * WEIGHT_TOTAL) / 100)
}

function sum(weights: Rollout['weights']): number {
  return weights.reduce((total, each) => total + each.weight, 0)
}

const LISTED_MAX = 10

function listed(texts: readonly string[]): string {
  return texts.length <= LISTED_MAX ? texts.join(', ') : `${texts.slice(0, LISTED_MAX).join(', ')} and ${texts.length - LISTED_MAX} more`
}
