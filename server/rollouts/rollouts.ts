/**
 * Carries plans out: for each it asks the engine what is next, makes that one entry of the log, and asks again when it is
 * published, when its time has come, when a slice of outcomes has ended, or when an alert or a valve speaks. The log is the
 * fence: an entry is made only on the very plan and flag that were decided on, so that two servers on one log take each step once.
 */
import { randomBytes } from 'node:crypto'
import type { Action as LogAction, Actor } from '../../schemas/change.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Outlook, Plan, PlanInput } from '../../schemas/plan.ts'
import type { Clock } from '../clock.ts'
import { findFlag } from '../flags/find.ts'
import { type ChangeLog, type Commit, type PlannedEdit, SERVER_LOG, type State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'
import { openTimetable } from '../schedules/timetable.ts'
import type { By, Hub, Notices, Rollouts } from '../services.ts'
import { type Action, decide, needsData, NOTHING_SEEN, startTrouble, type Time } from './engine.ts'
import { makePlan } from './make.ts'
import {
  advanced,
  approved,
  cancelled,
  cleared,
  completed,
  held,
  isUndoing,
  resumed,
  reverted,
  settled,
  started,
  type Transition,
} from './transitions.ts'
import type { Evidence } from './evidence.ts'
import { nameOf, openWatch, partsOf, type Watched, type WatchParts } from './watch.ts'

/** How long instances are waited for before what stood before counts as put back. */
const SETTLE_MS = 30_000
/** Actions in a row before others have their turn; a plan has at most so many steps without time. */
const ACTIONS_MAX = 100

export interface RolloutsParts extends WatchParts {
  readonly log: ChangeLog
  readonly hub: Pick<Hub, 'arrived'>
  readonly notices: Notices | null
}

export interface Standing {
  readonly plan: Plan
  readonly outlook: Outlook
}

/** What a person asks for; comment and dry run as with every write. */
export interface Asking {
  readonly actor: Actor
  readonly comment: string | null
  readonly dryRun: boolean
  readonly also?: By['also']
}

export interface PlanWritten {
  readonly commit: Commit
  readonly plan: Plan
}

export interface RolloutsHandle extends Rollouts {
  plans(log: string): readonly Standing[]
  /** Error: `PLAN_NOT_FOUND`. */
  plan(log: string, flag: string): Standing
  /** What happens next to a plan that would stand so. */
  outlook(log: string, plan: Plan, flag: Flag): Outlook
  evidence(log: string, plan: Plan): Evidence | null
  timeOf(log: string, plan: Plan): Time
  /** Errors: `FLAG_NOT_FOUND`, `INVALID_PLAN`, `ALREADY_EXISTS` (one that has not ended), `PLAN_LOCKED`, those of `checkEdits`. */
  make(log: string, flag: string, input: PlanInput, asking: Asking): Promise<PlanWritten>
  /** Errors, as of all below: `PLAN_NOT_FOUND`, `PLAN_STATE`, `PLAN_LOCKED`. */
  holdBy(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  resume(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  advance(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  approve(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  /** Error: `PLAN_CONFLICT`, unless `force`. */
  revertBy(log: string, flag: string, asking: Asking, force: boolean): Promise<PlanWritten>
  cancel(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  clear(log: string, flag: string, asking: Asking): Promise<PlanWritten>
  close(): Promise<void>
}

/** Error: those of reading what guards have seen, `STORAGE_UNAVAILABLE`. */
export async function openRollouts(parts: RolloutsParts): Promise<RolloutsHandle> {
  const { log, hub, clock, logger, notices } = parts
  const times = openTimes(clock)
  const settling = new Set<string>()
  let closed = false

  const standing = (name: string, flag: string): Plan | undefined => log.state(name).documents.plan.get(flag)
  const watched = function* (): Iterable<Watched> {
    for (const name of log.logs()) {
      if (name === SERVER_LOG) continue
      const { plan: plans, flag: flags } = log.state(name).documents
      for (const plan of plans.values()) {
        const flag = flags.get(plan.key)
        if (flag !== undefined && (plan.state === 'running' || plan.state === 'held')) yield { log: name, plan, flag }
      }
    }
  }
  const timetable = openTimetable(parts, 'A rollout', name => consider(...partsOf(name)))
  const watch = await openWatch(parts, watched, standing, (name, flag) => timetable.now(nameOf(name, flag)))

  const timeOf = (name: string, plan: Plan): Time => {
    const step = plan.steps[plan.step ?? 0]
    const missedMs = step !== undefined && needsData(plan, step) ? (watch.evidence(name, plan)?.missedMs ?? 0) : 0
    return { now: clock.now(), inStepMs: Math.max(0, times.inStepMs(name, plan) - missedMs) }
  }
  const decisionFor = (name: string, plan: Plan, flag: Flag | null) => decide(plan, flag, watch.seen(name, plan), timeOf(name, plan))

  /** What is due for one plan, action by action; answers when to ask again. */
  async function consider(name: string, key: string): Promise<number | null> {
    for (let i = 0; i < ACTIONS_MAX && !closed; i++) {
      const { plan: plans, flag: flags } = log.state(name).documents
      const plan = plans.get(key)
      if (plan === undefined) return null
      const flag = flags.get(key) ?? null
      if (plan.state === 'reverting') settle(name, plan)
      sayDry(name, plan)
      const { action, outlook } = decisionFor(name, plan, flag)
      if (action.kind === 'nothing') return outlook.inMs
      await carryOut(name, plan, flag, action)
    }
    return 0
  }

  /** One entry, by the plan itself; none when plan or flag are no longer what was decided on. */
  async function carryOut(name: string, plan: Plan, flag: Flag | null, action: Exclude<Action, { kind: 'nothing' }>): Promise<void> {
    const time = timeOf(name, plan)
    const by = actorOf(plan)
    const hold = (cause: 'edited', text: string): Transition =>
      held(plan, { cause, text, guard: null, by: by.name, now: time.now, inStepMs: time.inStepMs })
    const transition = transitionOf(plan, flag, action, time, by.name)
    try {
      await commit(name, plan, flag, transition, by)
    } catch (error) {
      // What people may not write either: the step cannot be taken, and somebody has to look.
      if (!(error instanceof SluiceError) || error.status !== 422 || plan.state === 'held') throw error
      await commit(name, plan, flag, hold('edited', `cannot go on: ${error.message}`), by)
    }
  }

  function commit(name: string, plan: Plan, flag: Flag | null, transition: Transition, actor: Actor): Promise<Commit> {
    return log.commit({
      log: name,
      actor,
      action: transition.action,
      comment: shortened(transition.text),
      // Turning back is as urgent as a kill.
      evenIfStorageFails: transition.action === 'rollout.revert',
      plan(state) {
        const { plan: plans, flag: flags } = state.documents
        if (plans.get(plan.key)?.version !== plan.version || (flags.get(plan.key)?.version ?? null) !== (flag?.version ?? null)) return []
        return editsOf(state, transition)
      },
    })
  }

  /** Waits for the instances, in the background; a restart begins to wait anew. */
  function settle(name: string, plan: Plan): void {
    const id = nameOf(name, plan.key)
    if (settling.has(id)) return
    settling.add(id)
    const { revision } = log.state(name)
    void hub
      .arrived(name, revision, SETTLE_MS)
      .then(({ confirmed, instances }) => {
        if (closed) return
        const text = instances === 0 ? 'no instance is connected' : `${confirmed} of ${instances} instances serve what stood before`
        return commit(name, plan, log.state(name).documents.flag.get(plan.key) ?? null, settled(plan, text), actorOf(plan))
      })
      .catch((error: unknown) => {
        if (!closed)
          logger.error({ err: error, log: name, flag: plan.key }, 'A rollout that was turned back could not be marked so; trying again')
      })
      .finally(() => {
        settling.delete(id)
        if (!closed && standing(name, plan.key)?.state === 'reverting') clock.after(1_000, () => timetable.now(id))
      })
  }

  /** What guards that only say would have done, once each. */
  function sayDry(name: string, plan: Plan): void {
    if (plan.state !== 'running') return
    for (const { guard, text } of watch.seen(name, plan).fired) {
      if (guard.dryRun !== true || !watch.saidOnce(name, plan, guard.id)) continue
      const would = guard.role === 'guardrail' ? 'turn back' : 'hold'
      logger.warn({ log: name, flag: plan.key, guard: guard.id }, `A guard would ${would} the rollout, and only says so: ${text}`)
      notices?.say({
        log: name,
        topic: 'rollouts',
        severity: 'warning',
        title: `A guard would ${would} the rollout of ${plan.key}`,
        text: `${text}. It is set to dryRun and changes nothing.`,
        flag: plan.key,
        dedupKey: `rollout/${name}/${plan.key}/${plan.run}/${guard.id}`,
      })
    }
  }

  /** A write that a person or a trigger asks for: planned on what stands in its turn. */
  async function write(
    name: string,
    key: string,
    action: LogAction,
    asking: Asking,
    make: (plan: Plan, flag: Flag, state: State) => Transition,
  ): Promise<PlanWritten> {
    const text = { comment: asking.comment }
    let made: Transition | undefined
    const attempt = (comment: string | null): Promise<Commit> =>
      log.commit({
        log: name,
        actor: asking.actor,
        action,
        comment,
        dryRun: asking.dryRun,
        evenIfStorageFails: action === 'rollout.revert',
        plan(state) {
          made = make(findPlan(state, key), findFlag(state, key), state)
          return [...editsOf(state, made), ...(asking.also?.(state) ?? [])]
        },
      })
    // The words of what is done are known only once it is planned: a dry run of the same says them.
    const { documents } = log.state(name)
    const [plan, flag] = [documents.plan.get(key), documents.flag.get(key)]
    if (text.comment === null && plan !== undefined && flag !== undefined) text.comment = make(plan, flag, log.state(name)).text
    const done = await attempt(text.comment === null ? null : shortened(text.comment))
    return { commit: done, plan: leftPlan(done, key, made?.plan ?? findPlan(log.state(name), key)) }
  }

  const holdOf = (plan: Plan, name: string, actor: Actor, comment: string | null): Transition =>
    held(plan, {
      cause: actor.kind === 'key' ? 'person' : 'trigger',
      text: comment ?? `held by ${actor.name}`,
      guard: null,
      by: actor.name,
      now: clock.now(),
      inStepMs: timeOf(name, plan).inStepMs,
    })

  const revertOf = (plan: Plan, flag: Flag, name: string, actor: Actor, comment: string | null, force: boolean): Transition => {
    if (isUndoing(plan, flag) && !force) {
      throw new SluiceError(
        'PLAN_CONFLICT',
        `The rollout of "${plan.key}" in "${name}": what it governs was changed by somebody else since, and turning back would undo that. Cancel the plan to keep what stands, or turn back all the same with force=true.`,
      )
    }
    const seen = watch.seen(name, plan)
    const text = [comment ?? `turned back by ${actor.name}`, seen.text].filter(part => part !== '').join('; ')
    return reverted(plan, flag, { by: actor.name, text, guard: null, numbers: null, now: clock.now() })
  }

  const stop = log.subscribe(({ log: name, change }) => {
    if (name === SERVER_LOG) return
    for (const { type, key } of change.edits) {
      if (type !== 'flag' && type !== 'plan') continue
      const plan = standing(name, key)
      if (plan === undefined) timetable.forget(nameOf(name, key))
      else if (type === 'plan' || !isEnded(plan)) timetable.now(nameOf(name, key))
    }
  })
  for (const name of log.logs()) {
    if (name === SERVER_LOG) continue
    for (const plan of log.state(name).documents.plan.values()) if (!isEnded(plan)) timetable.now(nameOf(name, plan.key))
  }

  const stands = (name: string, plan: Plan): Standing => ({
    plan,
    outlook: decisionFor(name, plan, log.state(name).documents.flag.get(plan.key) ?? null).outlook,
  })

  return {
    plans: name => [...log.state(name).documents.plan.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).map(plan => stands(name, plan)),
    plan: (name, key) => stands(name, findPlan(log.state(name), key)),
    outlook: (name, plan, flag) => decide(plan, flag, NOTHING_SEEN, { now: clock.now(), inStepMs: plan.spentMs }).outlook,
    evidence: (name, plan) => watch.evidence(name, plan),
    timeOf,

    async make(name, key, input, asking) {
      const run = newRun()
      const isNow = input.startsAt === undefined
      let made: Plan | undefined
      const commit = await log.commit({
        log: name,
        ...asking,
        action: isNow ? 'rollout.start' : 'rollout.plan',
        comment: asking.comment ?? input.description ?? null,
        plan(state) {
          const flag = findFlag(state, key)
          refuseStanding(state, key)
          const { plan, problems } = makePlan(flag, input, run)
          if (plan === null) throw invalid(name, key, problems)
          if (!isNow) {
            made = plan
            return [{ type: 'plan', key, after: plan }]
          }
          refuseTrouble(state, plan, flag)
          const first = started(plan, flag, clock.now())
          made = first.plan
          return editsOf(state, first)
        },
      })
      if (made === undefined) throw new Error('a plan was written that was not made')
      return { commit, plan: leftPlan(commit, key, made) }
    },

    holdBy: (name, key, asking) =>
      write(name, key, 'rollout.hold', asking, plan => {
        refuseState(name, plan, ['running', 'scheduled'], 'held')
        return holdOf(plan, name, asking.actor, asking.comment)
      }),
    resume: (name, key, asking) =>
      write(name, key, 'rollout.resume', asking, (plan, flag, state) => {
        refuseLocked(name, plan)
        refuseState(name, plan, ['held', 'pending', 'scheduled'], 'resumed')
        if (plan.step !== null) {
          const kill = flag.kills.find(each => each.clauses.length === 0)
          if (kill !== undefined || !flag.enabled)
            throw cannot(
              name,
              plan,
              kill === undefined ? 'the flag is off: switch it on first' : `the flag is killed (${kill.id}): lift that first`,
            )
          return resumed(plan, flag, clock.now(), '')
        }
        refuseTrouble(state, plan, flag)
        return { ...started(plan, flag, clock.now()), action: 'rollout.resume' }
      }),
    advance: (name, key, asking) =>
      write(name, key, 'rollout.advance', asking, (plan, flag) => {
        refuseLocked(name, plan)
        refuseState(name, plan, ['running'], 'advanced')
        const index = plan.step ?? 0
        const why = `by ${asking.actor.name}`
        if (index < plan.steps.length - 1) return advanced(plan, flag, index + 1, clock.now(), why)
        return completed(plan, flag, clock.now(), why)
      }),
    approve: (name, key, asking) =>
      write(name, key, 'rollout.approve', asking, plan => {
        refuseLocked(name, plan)
        refuseState(name, plan, ['running', 'held'], 'approved')
        if (plan.steps[plan.step ?? 0]?.gate !== 'approval') throw cannot(name, plan, 'its step waits for no approval')
        return approved(plan, asking.actor.name, clock.now())
      }),
    revertBy: (name, key, asking, force) =>
      write(name, key, 'rollout.revert', asking, (plan, flag) => {
        refuseState(name, plan, ['running', 'held'], 'turned back')
        if (plan.before === null) throw cannot(name, plan, 'it has not taken its first step, so there is nothing to turn back: cancel it')
        return revertOf(plan, flag, name, asking.actor, asking.comment, force)
      }),
    cancel: (name, key, asking) =>
      write(name, key, 'rollout.cancel', asking, plan => {
        refuseState(name, plan, ['pending', 'scheduled', 'running', 'held'], 'cancelled')
        return cancelled(plan, clock.now(), asking.comment ?? `by ${asking.actor.name}`)
      }),
    clear: (name, key, asking) =>
      write(name, key, 'rollout.clear', asking, plan => {
        refuseState(name, plan, ['reverted', 'reverting'], 'cleared')
        return cleared(plan, newRun())
      }),

    async hold(name, key, by) {
      if (standing(name, key)?.state !== 'running') return null
      return (
        await write(name, key, 'rollout.hold', askingOf(by), plan => {
          refuseState(name, plan, ['running'], 'held')
          return holdOf(plan, name, by.actor, by.comment)
        })
      ).commit
    },
    async revert(name, key, by) {
      const plan = standing(name, key)
      if (plan === undefined || plan.before === null || (plan.state !== 'running' && plan.state !== 'held')) return null
      return (
        await write(name, key, 'rollout.revert', askingOf(by), (each, flag) => revertOf(each, flag, name, by.actor, by.comment, false))
      ).commit
    },

    async close() {
      closed = true
      stop()
      await timetable.close()
      await watch.close()
    },
  }
}

function transitionOf(
  plan: Plan,
  flag: Flag | null,
  action: Exclude<Action, { kind: 'nothing' }>,
  { now, inStepMs }: Time,
  by: string,
): Transition {
  if (action.kind === 'cancel' || flag === null) return cancelled(plan, now, action.kind === 'cancel' ? action.text : 'the flag is gone')
  switch (action.kind) {
    case 'start':
      return started(plan, flag, now)
    case 'advance':
      return advanced(plan, flag, action.to, now, action.text)
    case 'complete':
      return completed(plan, flag, now, action.text)
    case 'hold':
      return held(plan, { ...action, by, now, inStepMs })
    case 'resume':
      return resumed(plan, flag, now, action.text)
    case 'revert':
      return reverted(plan, flag, { by, text: action.text, guard: action.guard, numbers: action.numbers, now })
  }
}

/** Turning back never fails because the rest of the flag no longer passes what edits must pass. */
function editsOf(state: State, { action, plan, flag }: Transition): readonly PlannedEdit[] {
  const edits: PlannedEdit[] = flag === null ? [] : [{ type: 'flag', key: flag.key, after: flag }]
  if (action !== 'rollout.revert') checkEdits(state, edits)
  return [...edits, { type: 'plan', key: plan.key, after: plan }]
}

/**
 * How long a step has stood. Within this process by the clock that only runs forward, from when the plan was seen first; what
 * passed before that goes by the moments in the log. So a wall clock that jumps neither ends a step early nor keeps it for ever.
 */
function openTimes(clock: Clock): { inStepMs(log: string, plan: Plan): number } {
  const anchors = new Map<string, { since: string; baseMs: number; at: number }>()
  return {
    inStepMs(log, plan) {
      if (plan.since === null) return 0
      if (plan.state === 'held') return plan.spentMs
      const name = nameOf(log, plan.key)
      const since = `${plan.run} ${plan.step} ${plan.since}`
      let anchor = anchors.get(name)
      if (anchor?.since !== since) {
        anchor = { since, baseMs: Math.max(0, clock.now() - Date.parse(plan.since)), at: clock.monotonic() }
        anchors.set(name, anchor)
      }
      return plan.spentMs + anchor.baseMs + clock.monotonic() - anchor.at
    },
  }
}

function actorOf(plan: Plan): Actor {
  return { kind: 'system', id: 'rollout', name: `rollout "${plan.key}"` }
}

function askingOf({ actor, comment, dryRun = false, also }: By): Asking {
  return { actor, comment, dryRun, also }
}

function isEnded({ state }: Plan): boolean {
  return state === 'completed' || state === 'cancelled' || state === 'reverted'
}

/** Error: `PLAN_NOT_FOUND`. */
export function findPlan(state: State, key: string): Plan {
  const plan = state.documents.plan.get(key)
  if (plan !== undefined) return plan
  findFlag(state, key)
  throw new SluiceError('PLAN_NOT_FOUND', `Flag "${key}" in "${state.log}": has no rollout plan. Make one with POST …/rollouts/${key}.`)
}

function refuseStanding(state: State, key: string): void {
  const plan = state.documents.plan.get(key)
  if (plan === undefined) return
  refuseLocked(state.log, plan)
  if (plan.state === 'completed' || plan.state === 'cancelled' || plan.state === 'pending') return
  throw new SluiceError(
    'ALREADY_EXISTS',
    `The rollout of "${key}" in "${state.log}": is ${plan.state}, and a flag has one plan at a time. Cancel that one first.`,
  )
}

function refuseLocked(log: string, plan: Plan): void {
  if (plan.state !== 'reverted' && plan.state !== 'reverting') return
  throw new SluiceError(
    'PLAN_LOCKED',
    `The rollout of "${plan.key}" in "${log}": was turned back (${plan.reverted?.text ?? ''}), and nothing advances until a person has cleared it: sluice rollout clear ${plan.key} -e ${log.slice(log.indexOf('/') + 1)}.`,
  )
}

function refuseState(log: string, plan: Plan, states: readonly Plan['state'][], what: string): void {
  if (states.includes(plan.state)) return
  throw cannot(log, plan, `it is ${plan.state}, and only one that is ${states.join(' or ')} is ${what}`)
}

function refuseTrouble(state: State, plan: Plan, flag: Flag): void {
  const trouble = startTrouble(plan, flag)
  if (trouble !== null) throw cannot(state.log, plan, trouble.text)
}

function cannot(log: string, plan: Plan, why: string): SluiceError {
  return new SluiceError('PLAN_STATE', `The rollout of "${plan.key}" in "${log}": ${why}.`)
}

export function invalid(log: string, key: string, problems: readonly ErrorDetail[]): SluiceError {
  const [first] = problems
  const more = problems.length > 1 ? ` (${problems.length - 1} more in details)` : ''
  return new SluiceError('INVALID_PLAN', `A rollout of "${key}" in "${log}": ${first?.path} ${first?.message}${more}`, {
    details: problems.slice(0, 50),
  })
}

function leftPlan(commit: Commit, key: string, otherwise: Plan): Plan {
  const edit = commit.change?.edits.find(each => each.type === 'plan' && each.key === key)
  return edit === undefined || edit.after === null ? otherwise : (edit.after as unknown as Plan)
}

/** Comments of the log have their limit. */
function shortened(text: string): string {
  return text.length <= 1_000 ? text : `${text.slice(0, 999)}…`
}

function newRun(): string {
  return `p_${randomBytes(6).toString('hex')}`
}
