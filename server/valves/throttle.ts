/**
 * Valves by hand: a share of the calls is let through until that is taken away, to everyone or to who matches clauses. 0 is
 * an ordinary kill; anything else a rule in front of the others, which stands above what the valve does by itself.
 */
import type { Clause } from '../../schemas/clause.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag, Rule } from '../../schemas/flag.ts'
import type { Kill } from '../../schemas/kill.ts'
import { type Throttle, THROTTLE_PREFIX } from '../../schemas/throttle.ts'
import type { ValveValue } from '../../schemas/values.ts'
import type { ValveSetting } from '../../schemas/valveusage.ts'
import { valveOf } from '../../sdk/evaluator/valve.ts'
import type { Clock } from '../clock.ts'
import { commitEverywhere, projectEnvironments } from '../flags/everywhere.ts'
import { findFlag } from '../flags/find.ts'
import { firstServed, frontedBy, frontId, type FrontPlace, frontPlace, putInFront, takenAway } from '../flags/front.ts'
import { killEdits, type Killing, laidOver } from '../kills/kill.ts'
import type { ChangeLog, Commit, PlannedEdit, State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'
import type { By } from '../services.ts'

/** A share of calls is exact to so many digits. */
const ADMIT_DIGITS = 6

export interface ThrottleOf {
  readonly percent: number
  /** Empty for everyone. */
  readonly clauses: readonly Clause[]
  /** What the next person reads; the comment of the entry unless given. */
  readonly reason?: string
}

export interface Throttled {
  readonly commit: Commit
  /** Null for a kill. */
  readonly throttle: Throttle | null
  readonly kill: Kill | null
  readonly before: ValveSetting
  /** What was set by hand for the same clauses. */
  readonly stood: Throttle | null
  readonly existing: boolean
  readonly warnings: readonly ErrorDetail[]
  /** The other environments whose flag gained or lost the variation. */
  readonly elsewhere: Readonly<Record<string, number>>
}

type Collaborators = { readonly log: ChangeLog; readonly clock: Clock }

/** How a valve is set for these contexts. */
export function setFor(flag: Flag, clauses: readonly Clause[]): ValveSetting {
  const id = frontId(THROTTLE_PREFIX, clauses)
  const isCovered = (kill: Kill): boolean => kill.clauses.length === 0 || frontId(THROTTLE_PREFIX, kill.clauses) === id
  const kill = flag.kills.find(isCovered)
  if (kill !== undefined) return { by: 'kill', ...lets(flag, kill.variation) }
  if (!flag.enabled) return { by: 'off', ...lets(flag, flag.offVariation) }
  const rule = flag.rules.find(each => each.id === id) ?? flag.rules.find(isForEveryone)
  if (rule !== undefined) return { by: 'throttle', ...lets(flag, firstServed(rule.serve)) }
  return { by: 'flag', ...lets(flag, firstServed(flag.fallthrough)) }
}

function isForEveryone({ id, clauses }: Rule): boolean {
  return id.startsWith(THROTTLE_PREFIX) && clauses.length === 0
}

function lets(flag: Flag, variation: string | undefined): { percent: number; isAuto: boolean } {
  const valve = valveOf(flag.variations.find(({ key }) => key === variation)?.value)
  return { percent: percentOf(valve?.admit ?? 1), isAuto: valve?.mode === 'auto' }
}

/** Those in front of a flag's other rules, in their order. */
export function throttlesOf(flag: Flag): Throttle[] {
  return flag.rules.flatMap(rule => throttleOf(flag, rule) ?? [])
}

function throttleOf(flag: Flag, rule: Rule): Throttle | null {
  const variation = frontedBy(flag, rule, THROTTLE_PREFIX)
  const valve = valveOf(variation?.value)
  if (variation === null || valve === null) return null
  const { key, value } = variation
  return {
    ...{ id: rule.id, clauses: rule.clauses, variation: key, value: value as ValveValue },
    ...{ percent: percentOf(valve.admit), reason: rule.description ?? null },
  }
}

function percentOf(admit: number): number {
  return Number((admit * 100).toFixed(ADMIT_DIGITS - 2))
}

/**
 * Errors: `FLAG_NOT_FOUND`, `INVALID_FLAG` (no valve, a clause that cannot be, no variation that cuts), `LIMIT_EXCEEDED`, those of `commit`.
 * A system that asks for more than stands changes nothing: `commit.change` is null, and a warning `more` says so.
 */
export async function throttle(services: Collaborators, log: string, key: string, asked: ThrottleOf, by: By): Promise<Throttled> {
  return asked.percent === 0 ? cut(services, log, key, asked, by) : narrow(services, log, key, asked, by)
}

async function cut({ log: changeLog, clock }: Collaborators, log: string, key: string, asked: ThrottleOf, by: By): Promise<Throttled> {
  let planned: { killing: Killing; before: ValveSetting } | undefined
  const commit = await changeLog.commit({
    log,
    ...fieldsOf(by),
    action: 'flag.kill',
    evenIfStorageFails: true,
    plan(state) {
      const flag = findValve(log, findFlag(state, key))
      const request = { variation: cutOf(log, flag), clauses: [...asked.clauses], reason: reasonOf(asked, by) }
      const killing = laidOver(state, flag, request, { actor: by.actor.name, now: clock.now() })
      planned = { killing, before: setFor(flag, asked.clauses) }
      return withAlso(state, by, killEdits([killing]))
    },
  })
  if (planned === undefined) throw new Error('a kill of a valve was not planned')
  const { killing, before } = planned
  return { commit, throttle: null, kill: killing.kill, before, stood: null, existing: killing.existing, warnings: [], elsewhere: {} }
}

async function narrow(services: Collaborators, log: string, key: string, asked: ThrottleOf, by: By): Promise<Throttled> {
  let planned: Planned | undefined
  const { commit, elsewhere } = await everywhere(services, log, key, by, (place, flag) => (planned = planThrottle(place, flag, asked, by)))
  if (planned === undefined) throw new Error('a throttle of a valve was not planned')
  const { throttle: made, before, stood, warnings } = planned
  return { commit, throttle: made, kill: null, before, stood, existing: commit.change === null, warnings, elsewhere }
}

interface Planned {
  readonly flags: ReadonlyMap<string, Flag>
  readonly throttle: Throttle | null
  readonly before: ValveSetting
  readonly stood: Throttle | null
  readonly warnings: readonly ErrorDetail[]
}

/** Pure: what one throttle makes of a flag. */
export function planThrottle(place: FrontPlace, flag: Flag, asked: ThrottleOf, by: Pick<By, 'actor' | 'comment'>): Planned {
  const { percent, clauses } = asked
  const reason = reasonOf(asked, by)
  findValve(place.log, flag)
  const before = setFor(flag, clauses)
  const isSystem = by.actor.kind === 'system'
  if (isSystem && percent >= before.percent)
    return { flags: new Map(), throttle: null, before, stood: null, warnings: [refusal(percent, before.percent)] }
  const id = frontId(THROTTLE_PREFIX, clauses)
  // Of what they are served below: a throttle that stands is replaced, not built upon.
  const base = (flag.variations.find(each => each.key === firstServed(flag.fallthrough))?.value ?? {}) as Partial<ValveValue>
  const value = throttledValue(base, percent, isSystem)
  const front = { prefix: THROTTLE_PREFIX, id, clauses, reason, value, isShared: true, name: nameOf(value, percent) }
  const lower = (rule: Rule): boolean => isSystem && lets(flag, firstServed(rule.serve)).percent <= percent
  const special = (rule: Rule): boolean => clauses.length === 0 && rule.id.startsWith(THROTTLE_PREFIX) && rule.clauses.length > 0
  const { variation, flags, gained } = putInFront(place, flag, { ...front, after: rule => special(rule) || lower(rule) })
  const made = { id, clauses: [...clauses], variation, value, percent, reason }
  const stood = throttlesOf(flag).find(each => each.id === id) ?? null
  return { flags, throttle: made, before, stood, warnings: warningsOf(flag, made, before, gained) }
}

/**
 * A person's word stands as it is. A system's is the most that is let through: below it the valve goes on moving by itself, so
 * that an alert never opens what the valve has shut, nor keeps it from shutting.
 */
function throttledValue(base: Partial<ValveValue>, percent: number, isSystem: boolean): ValveValue {
  const { mode, admit: _admit, shadow: _shadow, ...rest } = base
  const admit = Number((percent / 100).toFixed(ADMIT_DIGITS))
  if (isSystem && mode === 'auto') return { mode, admit, ...rest }
  return percent === 100 ? { mode: 'flow', ...rest } : { mode: 'throttle', admit, ...rest }
}

/** `valve-50`, `valve-flow`, `valve-auto-50`. */
function nameOf({ mode }: ValveValue, percent: number): string {
  if (mode === 'flow') return `${THROTTLE_PREFIX}flow`
  return `${THROTTLE_PREFIX}${mode === 'auto' ? 'auto-' : ''}${Number(percent.toFixed(ADMIT_DIGITS - 2))}`
}

/** Take away what is done by hand for everyone, or by the rule that is named. Error: `THROTTLE_NOT_FOUND` when it is named. */
export async function release(
  services: Pick<Collaborators, 'log'>,
  log: string,
  key: string,
  id: string | null,
  by: By,
): Promise<{ readonly commit: Commit; readonly throttle: Throttle | null; readonly elsewhere: Readonly<Record<string, number>> }> {
  let gone: Throttle | null = null
  const done = await everywhere(services, log, key, by, (place, flag) => {
    findValve(log, flag)
    const rule = flag.rules.find(each => (id === null ? isForEveryone(each) : each.id === id))
    gone = rule === undefined ? null : throttleOf(flag, rule)
    if (rule === undefined || gone === null) {
      if (id !== null) throw notFound(log, flag, id)
      return { flags: new Map() }
    }
    return { flags: takenAway(place, flag, rule, THROTTLE_PREFIX) }
  })
  return { ...done, throttle: gone }
}

/** One transaction over all environments that have the flag: what a flag is, is the same everywhere. */
async function everywhere(
  services: Pick<Collaborators, 'log'>,
  log: string,
  key: string,
  by: By,
  plan: (place: FrontPlace, flag: Flag) => { readonly flags: ReadonlyMap<string, Flag> },
): Promise<{ readonly commit: Commit; readonly elsewhere: Readonly<Record<string, number>> }> {
  const [project = '', environment = ''] = log.split('/')
  const environments = projectEnvironments(services, project)
  const { revisions, changes, commits } = await commitEverywhere(services, environments, fieldsOf(by), 'valve.throttle', state => {
    // Planned anew for each environment: the plans of one write share its turn, so they all see the same and say the same.
    const { flags } = plan(frontPlace(services, log, key, environments), findFlag(services.log.state(log), key))
    const after = flags.get(state.log)
    if (after === undefined) return []
    const edits = checkEdits(state, [{ type: 'flag', key, after }])
    return state.log === log ? withAlso(state, by, edits) : edits
  })
  const commit = commits[environments.findIndex(each => each.environment === environment)]
  if (commit === undefined) throw new Error('a valve was written nowhere')
  const touched = Object.entries(revisions).filter(([other]) => other !== environment && (changes[other] ?? null) !== null)
  return { commit, elsewhere: Object.fromEntries(touched) }
}

/** What is written together with a change, and not without one. */
function withAlso(state: State, by: By, edits: readonly PlannedEdit[]): readonly PlannedEdit[] {
  return edits.length === 0 || by.also === undefined ? edits : [...edits, ...by.also(state)]
}

function reasonOf({ percent, reason }: ThrottleOf, { comment }: Pick<By, 'comment'>): string {
  return reason ?? (comment === '' ? `${percent} % by hand` : comment)
}

function fieldsOf({ actor, comment, dryRun = false }: By) {
  return { actor, comment: comment === '' ? null : comment, dryRun }
}

/** @returns the flag. Error: `INVALID_FLAG`. */
export function findValve(log: string, flag: Flag): Flag {
  if (flag.kind === 'safety-valve') return flag
  throw new SluiceError(
    'INVALID_FLAG',
    `Flag "${flag.key}" in "${log}": is of kind ${flag.kind}, and only a safety-valve flag is throttled. Name another flag, or kill this one.`,
    { details: [{ path: 'kind', code: 'not_a_valve', message: `is ${flag.kind}, not safety-valve` }] },
  )
}

/** The variation that a cut serves: when it is off, a valve cuts. */
function cutOf(log: string, flag: Flag): string {
  const isCut = (key: string): boolean => valveOf(flag.variations.find(each => each.key === key)?.value)?.mode === 'cut'
  const found = isCut(flag.offVariation) ? flag.offVariation : flag.variations.find(({ key }) => isCut(key))?.key
  if (found !== undefined) return found
  const message = 'has no variation with { "mode": "cut" }'
  throw new SluiceError('INVALID_FLAG', `Flag "${flag.key}" in "${log}": ${message}. Give it one as its offVariation.`, {
    details: [{ path: 'variations', code: 'no_cut', message }],
  })
}

function notFound(log: string, flag: Flag, id: string): SluiceError {
  const known = throttlesOf(flag).map(each => each.id)
  const standing = known.length === 0 ? 'Nothing is throttled by hand.' : `Throttled by hand is ${known.slice(0, 20).join(', ')}.`
  return new SluiceError('THROTTLE_NOT_FOUND', `Flag "${flag.key}" in "${log}": has no throttle "${id}". ${standing}`)
}

function refusal(percent: number, passes: number): ErrorDetail {
  const message = `${percent} % is not less than what passes (${passes} %), and only people let more through. Nothing was changed.`
  return { path: 'percent', code: 'more', message }
}

/** Why the throttle may not do what was meant, and what it did besides. */
function warningsOf(flag: Flag, made: Throttle, before: ValveSetting, gained: readonly string[]): ErrorDetail[] {
  const warnings: ErrorDetail[] = []
  const warn = (code: string, path: string, message: string): void => void warnings.push({ code, path, message })
  if (before.by === 'throttle' || !before.isAuto) {
    if (made.percent > before.percent)
      warn('more', 'percent', `this lets more through than stood: ${made.percent} % after ${before.percent} %.`)
  } else if (made.percent === 100)
    warn('more', 'percent', 'this lets everything through, whatever the valve sees: it will not cut by itself.')
  const kill = flag.kills.find(each => each.clauses.length === 0)
  if (kill !== undefined) warn('killed', 'kills', `the valve is killed for everyone (${kill.id}), so nothing passes until that is lifted.`)
  if (!flag.enabled) warn('off', 'enabled', 'the flag is off, so nothing passes until it is on.')
  if (flag.targets.length > 0) warn('target', 'targets', 'contexts that targets list go before every rule: they are served as before.')
  const others = throttlesOf(flag).filter(({ id, clauses }) => id !== made.id && clauses.length > 0 && made.clauses.length === 0)
  if (others.length > 0)
    warn(
      'others',
      'rules',
      `some contexts keep a throttle of their own: ${others.map(({ id, percent }) => `${id} (${percent} %)`).join(', ')}.`,
    )
  if (gained.length > 1)
    warn(
      'everywhere',
      'variations',
      `the variation "${made.variation}" is new in ${gained.join(', ')}: what a flag is, is the same everywhere. It serves nobody outside this throttle.`,
    )
  return warnings
}
