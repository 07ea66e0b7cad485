/**
 * What is known of flags before any context: prerequisites that hold or fail for everybody are decided when a ruleset
 * changes, so that an evaluation asks for the others only.
 */
import type { Outcome } from './evaluation.ts'
import type { Link, PreparedFlag, PreparedPrerequisite } from './prepared.ts'

/** Only a decision meets a prerequisite: a parent that is killed, off, cut itself or in error never does. */
export function canMeet(outcome: Outcome, { variations }: PreparedPrerequisite): boolean {
  const { variation, reason } = outcome.evaluation
  const isDecision = reason === 'FALLTHROUGH' || reason === 'RULE_MATCH' || reason === 'TARGET_MATCH'
  return isDecision && variation !== null && variations.includes(variation)
}

/** Work out anew what is known of these flags and of all that have one of them as a prerequisite, at any depth. */
export function settle(
  keys: Iterable<string>,
  flags: ReadonlyMap<string, PreparedFlag>,
  links: ReadonlyMap<string, Link<PreparedFlag>>,
): void {
  const pending = new Set<string>()
  for (const key of keys) {
    const flag = flags.get(key)
    const isAlone = flag?.prerequisites.length === 0 && links.get(key) === undefined
    // Most flags have nothing to do with others.
    if (isAlone) settleAlone(flag)
    else pending.add(key)
  }
  // A set may grow while it is walked: what is added is visited too.
  for (const key of pending) for (const dependent of links.get(key)?.dependents ?? []) pending.add(dependent)
  for (const key of pending) {
    const flag = flags.get(key)
    if (flag !== undefined) settleOne(flag, pending)
  }
}

/** After its parents: chains that end are short, and those that do not are blocked. */
function settleOne(flag: PreparedFlag, pending: Set<string>): void {
  if (!pending.delete(flag.key)) return
  for (const { parent } of flag.blocked === null ? flag.prerequisites : []) if (parent.now !== null) settleOne(parent.now, pending)
  settleAlone(flag)
}

/** Its parents are settled. */
function settleAlone(flag: PreparedFlag): void {
  const { kills, enabled, off, malformed, blocked, prerequisites } = flag
  flag.open = prerequisites
  flag.fixed = enabled ? (malformed ?? blocked) : off
  if (flag.fixed === null) {
    if (prerequisites.length > 0) flag.open = openOf(prerequisites)
    const [first] = flag.open
    if (first === undefined) flag.fixed = flag.block === null ? flag.fallthrough.literal : null
    else if (verdictOf(first) === false) flag.fixed = first.failed
  }
  const [kill] = kills
  flag.settled = kill === undefined ? flag.fixed : kill.clauses.length === 0 ? kill.result : null
  flag.isBare = kill === undefined && flag.fixed === null && flag.open.length === 0 && !flag.hasSegments
}

/** Those that depend on the context, up to the first that never holds. */
function openOf(prerequisites: readonly PreparedPrerequisite[]): readonly PreparedPrerequisite[] {
  // Asking the same thing again gives the same: of ways that meet at one flag only the first counts.
  const open = new Map<string, PreparedPrerequisite>()
  const add = (prerequisite: PreparedPrerequisite): void => {
    const what = JSON.stringify([prerequisite.parent.key, prerequisite.variations])
    if (!open.has(what)) open.set(what, prerequisite)
  }
  for (const prerequisite of prerequisites) {
    const verdict = verdictOf(prerequisite)
    if (verdict === true) continue
    const parent = prerequisite.parent.now
    if (verdict === null && parent !== null && isGate(parent)) for (const own of parent.open) add({ ...own, failed: prerequisite.failed })
    else add(prerequisite)
    if (verdict === false) break
  }
  return [...open.values()]
}

/** Whether it holds whatever the context is; null when that depends. */
function verdictOf(prerequisite: PreparedPrerequisite): boolean | null {
  const parent = prerequisite.parent.now
  if (parent === null) return false
  if (parent.settled !== null) return canMeet(parent.settled, prerequisite)
  return isGate(parent) && !canMeet(parent.fallthrough.literal!, prerequisite) ? false : null
}

/** A flag that does nothing but ask its own prerequisites: who asks for it may ask them. */
function isGate({ kills, fixed, block, fallthrough }: PreparedFlag): boolean {
  return kills.length === 0 && fixed === null && block === null && fallthrough.literal !== null
}
