/**
 * A rule in front of a flag's others and the variation that it serves, which one request makes, changes or takes away: how some
 * contexts are held to a rate, and how a valve is throttled by hand. Pure, called inside a write's turn. The rule stands in
 * one environment; the variation in each that has the flag, as what a flag is belongs to the project.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Clause } from '../../schemas/clause.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag, Rule, Serve, Variation } from '../../schemas/flag.ts'
import { RULES_MAX, VARIATIONS_MAX } from '../../schemas/limits.ts'
import { clauseText } from '../kills/kill.ts'
import { hashOf } from '../log/canonical.ts'
import { logOf, type State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { arranged } from './arrange.ts'

const ID_DIGITS = 10

export interface FrontPlace {
  /** `default/production`, for messages and as a key of `standing`. */
  readonly log: string
  /** The flag in every environment that has it, by log. */
  readonly standing: ReadonlyMap<string, Flag>
  /** Whether a prerequisite of another flag, anywhere, asks for this variation of the flag. */
  isNeeded(variation: string): boolean
}

/** What shall stand in front. */
export interface Front {
  /** How the ids of such rules begin, and the keys of the variations that are made for them. */
  readonly prefix: string
  readonly id: string
  readonly clauses: readonly Clause[]
  readonly reason: string
  readonly value: unknown
  /** The key of the variation, where none has the value and another does not have the key. */
  readonly name: string
  /** The variation may be one that others are served as well. */
  readonly isShared: boolean
  /** Rules that stay before it. */
  readonly after?: (rule: Rule) => boolean
}

export interface Fronted {
  readonly variation: string
  /** Every flag as it shall stand, by log; those that stay as they are included. */
  readonly flags: ReadonlyMap<string, Flag>
  /** The logs where the variation is new. */
  readonly gained: readonly string[]
}

/** The id of the rule for these clauses, whatever their order. */
export function frontId(prefix: string, clauses: readonly Clause[]): string {
  const texts = clauses.map(clause => clauseText({ ...clause, values: clause.op === 'between' ? clause.values : clause.values.toSorted() }))
  return `${prefix}${hashOf(texts.sort()).slice(0, ID_DIGITS)}`
}

/** The variation that a rule in front serves; null for a rule that is none. */
export function frontedBy(flag: Flag, rule: Rule, prefix: string): Variation | null {
  if (!rule.id.startsWith(prefix) || !('variation' in rule.serve)) return null
  const { variation } = rule.serve
  return flag.variations.find(({ key }) => key === variation) ?? null
}

export function firstServed(serve: Serve): string | undefined {
  return 'variation' in serve ? serve.variation : serve.rollout.weights[0]?.variation
}

/** Error: `LIMIT_EXCEEDED`. Whether the value itself can be is for `checkEdits` to say. */
export function putInFront(place: FrontPlace, flag: Flag, front: Front): Fronted {
  const standing = flag.rules.find(rule => rule.id === front.id)
  const before = standing === undefined ? undefined : frontedBy(flag, standing, front.prefix)?.key
  const variation = variationFor(place, flag, front)
  const rule: Rule = { id: front.id, description: front.reason, clauses: [...front.clauses], serve: { variation } }
  const others = flag.rules.filter(other => other.id !== front.id)
  const isBefore = front.after ?? (() => false)
  const end = others.findIndex(other => !isBefore(other))
  const index = end === -1 ? others.length : end
  // One that stands keeps its place and its reason when nothing about it is new.
  const isSame = before === variation && flag.rules[index] === standing
  const rules = isSame ? flag.rules : others.toSpliced(index, 0, rule)
  if (rules.length > RULES_MAX) throw tooMany(place.log, flag, 'rules', RULES_MAX)
  const flags = new Map<string, Flag>()
  const gained: string[] = []
  for (const [log, other] of place.standing) {
    const has = other.variations.some(({ key }) => key === variation)
    const variations = has ? other.variations : [...other.variations, { key: variation, value: front.value as Variation['value'] }]
    if (variations.length > VARIATIONS_MAX) throw tooMany(log, other, 'variations', VARIATIONS_MAX)
    if (!has) gained.push(log)
    flags.set(log, { ...other, variations, ...(log === place.log ? { rules } : {}) })
  }
  return { variation, flags: withoutLeft(place, flags, front.prefix, before, variation), gained }
}

/** Every flag as it shall stand without the rule. */
export function takenAway(place: FrontPlace, flag: Flag, rule: Rule, prefix: string): ReadonlyMap<string, Flag> {
  const flags = new Map(place.standing)
  flags.set(place.log, { ...flag, rules: flag.rules.filter(each => each !== rule) })
  return withoutLeft(place, flags, prefix, firstServed(rule.serve), null)
}

/** The variation that has this value in every environment, or the key of a new one. */
function variationFor(place: FrontPlace, flag: Flag, { value, name, isShared }: Front): string {
  const flags = [...place.standing.values()]
  const isFit = (other: Flag, key: string, canLack: boolean): boolean => {
    const found = other.variations.find(variation => variation.key === key)
    return found === undefined ? canLack : isDeepStrictEqual(found.value, value)
  }
  const same = isShared ? flag.variations.filter(({ key }) => flags.every(other => isFit(other, key, true))) : []
  if (same[0] !== undefined) return same[0].key
  for (let i = 1; ; i++) {
    const key = i === 1 ? name : `${name}-${i}`
    if (flags.every(other => isFit(other, key, true))) return key
  }
}

/** A variation that was made for a rule in front and serves nobody any more goes with it, everywhere. */
function withoutLeft(
  place: FrontPlace,
  flags: ReadonlyMap<string, Flag>,
  prefix: string,
  left: string | undefined,
  variation: string | null,
): ReadonlyMap<string, Flag> {
  const stays =
    left === undefined ||
    left === variation ||
    !left.startsWith(prefix) ||
    place.isNeeded(left) ||
    [...flags.values()].some(flag => isServed(flag, left))
  return new Map(
    [...flags].map(([log, flag]) => {
      const variations: Variation[] = stays ? flag.variations : flag.variations.filter(({ key }) => key !== left)
      return [log, arranged({ ...flag, variations })] as const
    }),
  )
}

function isServed(flag: Flag, variation: string): boolean {
  const serves = (serve: Serve): boolean =>
    'variation' in serve ? serve.variation === variation : serve.rollout.weights.some(weight => weight.variation === variation)
  return (
    flag.offVariation === variation ||
    serves(flag.fallthrough) ||
    flag.rules.some(rule => serves(rule.serve)) ||
    flag.targets.some(target => target.variation === variation) ||
    flag.kills.some(kill => kill.variation === variation)
  )
}

function tooMany(log: string, flag: Flag, what: string, most: number): SluiceError {
  const message = `would have more than ${most} ${what}`
  return new SluiceError('LIMIT_EXCEEDED', `Flag "${flag.key}" in "${log}": ${message}. Remove those nobody needs first.`, {
    details: [{ path: what, code: 'too_many', message }],
  })
}

/** What stands of a flag in all environments of its project, as a write's turn sees it. */
export function frontPlace(
  services: Pick<Services, 'log'>,
  log: string,
  key: string,
  environments: readonly { readonly project: string; readonly environment: string }[],
): FrontPlace {
  const states: State[] = environments.map(each => services.log.state(logOf(each.project, each.environment)))
  const standing = new Map(
    states.flatMap(state => {
      const flag = state.documents.flag.get(key)
      return flag === undefined ? [] : [[state.log, flag] as const]
    }),
  )
  return {
    log,
    standing,
    isNeeded: variation =>
      states.some(state =>
        [...state.documents.flag.values()].some(flag =>
          flag.prerequisites.some(each => each.flag === key && each.variations.includes(variation)),
        ),
      ),
  }
}
