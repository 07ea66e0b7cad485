/**
 * The evaluator again, slow and obvious: straight from the documents, every time anew, and with other people's code for
 * hashes, versions, networks, dates and expressions. Well-formed documents only; references may be unknown or cyclic.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import murmur from 'murmurhash'
import semver from 'semver'
import type { Clause } from '../../schemas/clause.ts'
import type { Flag, Rollout, Serve } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'

export interface Ruleset {
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
}

export interface Outcome {
  readonly value: unknown
  readonly variation: string | null
  readonly reason: string
  readonly flagVersion: number | null
  readonly ruleId?: string
  readonly killId?: string
  readonly prerequisite?: string
  readonly error?: string
  readonly unbucketed?: true
  readonly rollout?: true
  readonly static?: true
}

type Attributes = Readonly<Record<string, unknown>>

export function twin(ruleset: Ruleset, key: string, context: Attributes): Outcome {
  const flag = ruleset.flags.find(flag => flag.key === key)
  if (flag === undefined) return { value: undefined, variation: null, reason: 'ERROR', error: 'FLAG_NOT_FOUND', flagVersion: null }
  const give = (variation: string, reason: string, extra: Partial<Outcome> = {}): Outcome => {
    const found = flag.variations.find(item => item.key === variation)
    return { value: found?.value, variation, reason, flagVersion: flag.version, ...extra }
  }
  const serve = (outcome: Serve, reason: string, extra: Partial<Outcome> = {}): Outcome => {
    if ('variation' in outcome) return give(outcome.variation, reason, extra)
    const variation = choose(outcome.rollout, flag.seed, context)
    return variation === null
      ? give(flag.offVariation, reason, { ...extra, unbucketed: true })
      : give(variation, reason, { ...extra, rollout: true })
  }

  for (const kill of flag.kills) if (all(ruleset, kill.clauses, context)) return give(kill.variation, 'KILLED', { killId: kill.id })
  if (!flag.enabled) return give(flag.offVariation, 'OFF')
  if (requires(ruleset, flag, key, new Set())) {
    return { value: undefined, variation: null, reason: 'ERROR', error: 'PREREQUISITE_CYCLE', flagVersion: flag.version }
  }
  for (const prerequisite of flag.prerequisites) {
    const parent = twin(ruleset, prerequisite.flag, context)
    const decided = ['TARGET_MATCH', 'RULE_MATCH', 'FALLTHROUGH'].includes(parent.reason)
    if (!decided || !prerequisite.variations.includes(parent.variation!)) {
      return give(flag.offVariation, 'PREREQUISITE_FAILED', { prerequisite: prerequisite.flag })
    }
  }
  for (const target of flag.targets) {
    if (lists(target, context)) return give(target.variation, 'TARGET_MATCH')
  }
  for (const rule of flag.rules) {
    if (all(ruleset, rule.clauses, context)) return serve(rule.serve, 'RULE_MATCH', { ruleId: rule.id })
  }
  const isPlain =
    [flag.kills, flag.prerequisites, flag.targets, flag.rules].every(list => list.length === 0) && 'variation' in flag.fallthrough
  return serve(flag.fallthrough, 'FALLTHROUGH', isPlain ? { static: true } : {})
}

/** Whether the prerequisites of `flag` lead back to `goal`. */
function requires(ruleset: Ruleset, flag: Flag, goal: string, seen: Set<string>): boolean {
  return flag.prerequisites.some(({ flag: key }) => {
    if (key === goal) return true
    if (seen.has(key)) return false
    seen.add(key)
    const parent = ruleset.flags.find(flag => flag.key === key)
    return parent !== undefined && requires(ruleset, parent, goal, seen)
  })
}

function choose(rollout: Rollout, seed: number, context: Attributes): string | null {
  const value = get(context, rollout.by ?? 'targetingKey')
  const isInteger = typeof value === 'number' && Number.isSafeInteger(value)
  if (!isInteger && (typeof value !== 'string' || value === '')) return null
  const hash = BigInt(murmur.v3(String(value), rollout.seed ?? seed))
  const bucket = Number((hash * 100_000n) >> 32n)
  let end = 0
  for (const { variation, weight } of rollout.weights) {
    end += weight
    if (bucket < end) return variation
  }
  return rollout.weights.at(-1)?.variation ?? null
}

function all(ruleset: Ruleset, clauses: readonly Clause[], context: Attributes): boolean {
  return clauses.every(clause => clauseMatches(ruleset, clause, context))
}

function clauseMatches(ruleset: Ruleset, clause: Clause, context: Attributes): boolean {
  const negate = clause.negate === true
  if (clause.op === 'segment') return clause.values.some(key => isInSegment(ruleset, String(key), context)) !== negate
  const value = get(context, clause.attribute ?? '')
  const isMissing = value === undefined || value === null
  if (clause.op === 'exists') return clause.values[0] === !isMissing
  if (isMissing || !(clause.op in holds)) return false
  const values = Array.isArray(value) ? value : [value]
  return values.some(element => clause.values.some(operand => holds[clause.op]?.(element, operand, clause))) !== negate
}

function isInSegment(ruleset: Ruleset, key: string, context: Attributes): boolean {
  const segment = ruleset.segments.find(segment => segment.key === key)
  if (segment === undefined || contains(ruleset, segment, key, new Set())) return false
  if (segment.included.some(list => lists(list, context))) return true
  if (segment.excluded.some(list => lists(list, context))) return false
  return segment.rules.some(rule => all(ruleset, rule.clauses, context))
}

/** Whether the segments within `segment` lead back to `goal`. */
function contains(ruleset: Ruleset, segment: Segment, goal: string, seen: Set<string>): boolean {
  const inner = segment.rules.flatMap(rule => rule.clauses.filter(clause => clause.op === 'segment').flatMap(clause => clause.values))
  return inner.some(key => {
    if (key === goal) return true
    if (seen.has(String(key))) return false
    seen.add(String(key))
    const next = ruleset.segments.find(segment => segment.key === key)
    return next !== undefined && contains(ruleset, next, goal, seen)
  })
}

function lists(list: { readonly attribute?: string | undefined; readonly values: readonly unknown[] }, context: Attributes): boolean {
  const value = get(context, list.attribute ?? 'targetingKey')
  return (Array.isArray(value) ? value : [value]).some(element => list.values.some(listed => listed === element))
}

function get(context: Attributes, attribute: string): unknown {
  if (!attribute.startsWith('/')) return Object.entries(context).find(([name]) => name === attribute)?.[1]
  let value: unknown = context
  for (const part of attribute.split('/').slice(1)) {
    const name = part.split('~1').join('/').split('~0').join('~')
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.entries(value).find(([own]) => own === name)?.[1]
  }
  return value
}

type Holds = (value: unknown, operand: unknown, clause: Clause) => boolean

const folded = (text: string, clause: Clause): string => (clause.ignoreCase === true ? text.toLowerCase() : text)
const texts =
  (holds: (text: string, operand: string) => boolean): Holds =>
  (value, operand, clause) =>
    typeof value === 'string' && holds(folded(value, clause), folded(String(operand), clause))
const numbers =
  (holds: (number: number, operand: number) => boolean): Holds =>
  (value, operand) =>
    typeof value === 'number' && holds(value, Number(operand))
const moments =
  (holds: (moment: number, operand: number) => boolean): Holds =>
  (value, operand) => {
    const moment = momentIn(value)
    return moment !== null && holds(moment, momentIn(operand)!)
  }
const versions =
  (holds: (order: number) => boolean): Holds =>
  (value, operand) => {
    const version = versionIn(value)
    return version !== null && holds(semver.compare(version, versionIn(operand)!))
  }

const holds: Record<string, Holds | undefined> = {
  in: (value, operand, clause) =>
    value === operand || (typeof value === 'string' && typeof operand === 'string' && folded(value, clause) === folded(operand, clause)),
  startsWith: texts((text, operand) => text.startsWith(operand)),
  endsWith: texts((text, operand) => operand === '' || text.endsWith(operand)),
  contains: texts((text, operand) => text.includes(operand)),
  matches: texts((text, operand) => text.length <= 1_024 && new RegExp(operand, 'u').test(text)),
  lessThan: numbers((number, operand) => number < operand),
  lessThanOrEqual: numbers((number, operand) => !(number > operand)),
  greaterThan: numbers((number, operand) => number > operand),
  greaterThanOrEqual: numbers((number, operand) => !(number < operand)),
  between: (value, _, { values: [low, high] }) => typeof value === 'number' && Number(low) <= value && value <= Number(high),
  before: moments((moment, operand) => moment < operand),
  after: moments((moment, operand) => moment > operand),
  semverEqual: versions(order => order === 0),
  semverLessThan: versions(order => order === -1),
  semverLessThanOrEqual: versions(order => order !== 1),
  semverGreaterThan: versions(order => order === 1),
  semverGreaterThanOrEqual: versions(order => order !== -1),
  inCidr: (value, operand) => typeof value === 'string' && isInNetwork(value, String(operand)),
}

/** Only what `Date.parse` reads as RFC 3339 does: the generators keep to that. */
function momentIn(value: unknown): number | null {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value)) return null
  const moment = Date.parse(value)
  return Number.isNaN(moment) ? null : moment
}

function versionIn(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const [core = '', ...rest] = value.split(/(?=[-+])/)
  const full = /^\d+$/.test(core) ? `${core}.0.0` : /^\d+\.\d+$/.test(core) ? `${core}.0` : core
  return /^[v=\s]/.test(value) ? null : semver.valid(full + rest.join(''))
}

export function isInNetwork(address: string, network: string): boolean {
  if (!isIPv4(address) && !isIPv6(address)) return false
  if (address.includes('%')) return false
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  const [base = '', prefix] = network.split('/')
  if (isIPv4(plain) !== isIPv4(base)) return false
  const family = isIPv4(base) ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(base, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family)
  return list.check(plain, family)
}
