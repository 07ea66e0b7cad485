/**
 * The evaluator again, slow and obvious: straight from the documents, every time anew, with other people's code for
 * hashes, versions and expressions, and with bits and days counted one by one for networks and dates. It shares no line
 * with the evaluator. Well-formed documents and contexts of plain data only; references may be unknown or cyclic.
 */
import { isIPv4, isIPv6 } from 'node:net'
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
  const bucket = bucketIn(rollout, seed, context)
  if (bucket === null) return null
  let end = 0
  for (const { variation, weight } of rollout.weights) {
    end += weight
    if (bucket < end) return variation
  }
  return rollout.weights.at(-1)?.variation ?? null
}

/** The context's bucket in a rollout of a flag with this seed, null when there is nothing to place it by. */
export function bucketIn(rollout: Rollout, seed: number, context: Attributes): number | null {
  const value = get(context, rollout.by ?? 'targetingKey')
  const isInteger = typeof value === 'number' && Number.isSafeInteger(value)
  if (!isInteger && (typeof value !== 'string' || value === '')) return null
  const hash = BigInt(murmur.v3(String(value), rollout.seed ?? seed))
  return Number((hash * 100_000n) >> 32n)
}

function all(ruleset: Ruleset, clauses: readonly Clause[], context: Attributes): boolean {
  return clauses.every(clause => clauseMatches(ruleset, clause, context))
}

export function clauseMatches(ruleset: Ruleset, clause: Clause, context: Attributes): boolean {
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

export function get(context: Attributes, attribute: string): unknown {
  if (!attribute.startsWith('/')) return Object.getOwnPropertyDescriptor(context, attribute)?.value
  let value: unknown = context
  for (const part of attribute.split('/').slice(1)) {
    const name = part.split('~1').join('/').split('~0').join('~')
    if (typeof value !== 'object' || value === null) return undefined
    if (Array.isArray(value) && !/^\d+$/.test(name)) return undefined
    value = Object.getOwnPropertyDescriptor(value, name)?.value
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
  matches: texts((text, operand) => text.length <= 1_024 && expression(operand).test(text)),
  lessThan: numbers((number, operand) => number < operand),
  lessThanOrEqual: numbers((number, operand) => number < operand || number === operand),
  greaterThan: numbers((number, operand) => number > operand),
  greaterThanOrEqual: numbers((number, operand) => number > operand || number === operand),
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

/** As RE2 has it: `(?i)` in front is what JavaScript writes behind. */
function expression(text: string): RegExp {
  return text.startsWith('(?i)') ? new RegExp(text.slice(4), 'iu') : new RegExp(text, 'u')
}

const known = new Map<string, number | null>()

function momentIn(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'string') return null
  const moment = known.get(value) ?? countedMoment(value)
  known.set(value, moment)
  return moment
}

const MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const isLeap = (year: number): boolean => (year % 100 === 0 ? year % 400 === 0 : year % 4 === 0)
const daysIn = (year: number, month: number): number => (month === 2 && isLeap(year) ? 29 : (MONTHS[month - 1] ?? 0))

/** RFC 3339, section 5.6, with the days of every year and month counted up. */
export function countedMoment(text: string): number | null {
  const form = /^(....)-(..)-(..)[Tt](..):(..):(..)(\.\d+)?([Zz]|[+-]..:..)$/
  if (!form.test(text) || !/^[-+.:TtZz\d]+$/.test(text)) return null
  const [year, month, day, hour, minute, second] = form
    .exec(text)!
    .slice(1, 7)
    .map(digits => (/^\d+$/.test(digits) ? Number(digits) : -1))
  const [fraction = '.0', zone = ''] = form.exec(text)!.slice(7)
  const [zoneHour = 0, zoneMinute = 0] = /^[zZ]$/.test(zone) ? [] : [zone.slice(1, 3), zone.slice(4)].map(Number)
  if (year === undefined || month === undefined || day === undefined || hour === undefined || minute === undefined || second === undefined)
    return null
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return null
  if (!(zoneHour <= 23) || !(zoneMinute <= 59)) return null
  let days = 0
  for (let past = 1970; past < year; past++) days += isLeap(past) ? 366 : 365
  for (let past = year; past < 1970; past++) days -= isLeap(past) ? 366 : 365
  for (let past = 1; past < month; past++) days += daysIn(year, past)
  const local = (days + day - 1) * 1_440 + hour * 60 + minute
  const minutes = local - (zone.startsWith('-') ? -1 : 1) * (zoneHour * 60 + zoneMinute)
  // A leap second ends a month, in UTC.
  if (second === 60 && !new Date((minutes + 1) * 60_000).toISOString().endsWith('-01T00:00:00.000Z')) return null
  return minutes * 60_000 + second * 1_000 + Number(`0${fraction}`) * 1_000
}

function versionIn(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const [core = '', ...rest] = value.split(/(?=[-+])/)
  const full = /^\d+$/.test(core) ? `${core}.0.0` : /^\d+\.\d+$/.test(core) ? `${core}.0` : core
  return /^[v=\s]|\s$/.test(value) ? null : semver.valid(full + rest.join(''))
}

/** Whether the bits of the address begin with those of the network. */
export function isInNetwork(address: string, network: string): boolean {
  const [base = '', prefix] = network.split('/')
  const [bits, baseBits] = [bitsOf(address), bitsOf(base)]
  if (bits === null || baseBits === null) return false
  // A mapped network is one of IPv4 for as much of it as lies behind ::ffff:0:0/96.
  const length = prefix === undefined ? baseBits.length : Number(prefix) - (base.includes(':') && baseBits.length === 32 ? 96 : 0)
  if (length < 0) return false
  return bits.length === baseBits.length && bits.startsWith(baseBits.slice(0, length))
}

/** 32 characters for IPv4 and what is mapped from it, else 128; null for what is no address. */
function bitsOf(address: string): string | null {
  const binary = (number: number, width: number): string => number.toString(2).padStart(width, '0')
  const quads = (text: string): string => text.split('.').reduce((bits, part) => bits + binary(Number(part), 8), '')
  if (isIPv4(address)) return quads(address)
  if (!isIPv6(address) || address.includes('%')) return null
  const groups = (text: string): string =>
    text === ''
      ? ''
      : text.split(':').reduce((bits, part) => bits + (part.includes('.') ? quads(part) : binary(Number.parseInt(part, 16), 16)), '')
  const [head = '', tail] = address.split('::')
  const [first, last] = [groups(head), groups(tail ?? '')]
  const bits = tail === undefined ? first : first + '0'.repeat(128 - first.length - last.length) + last
  return bits.startsWith('0'.repeat(80) + '1'.repeat(16)) ? bits.slice(96) : bits
}
