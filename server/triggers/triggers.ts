/**
 * Triggers at work: told of alerts, they look at each environment one after the other, do what is to be done in one commit
 * each, and say so. Everything told while one look is under way is one more look: an alert storm is one fire. What is decided
 * is `decide.ts`, what is done `effect.ts`, what is put back `restore.ts`.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Alert } from '../../schemas/alert.ts'
import type { Actor, Change } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Hook } from '../../schemas/hook.ts'
import { type Trigger, TRIPPED_REVISIONS_MAX, type Tripped } from '../../schemas/trigger.ts'
import { type Clock, moment, type Timer } from '../clock.ts'
import { type ChangeLog, type Commit, type PlannedEdit, SERVER_LOG, type State } from '../log/types.ts'
import type { Alerts, Notice, Notices, Rollouts, Valves } from '../services.ts'
import { decide, type Decision, type Past, type Situation } from './decide.ts'
import { actorName, type Effect, effectOf, type EffectStamp, standingOf } from './effect.ts'
import { conditionOf, identityOf, selects } from './match.ts'
import { planRestore } from './restore.ts'
import { alertText, clipped, commentOf, linkOf, titleOf, undoText } from './words.ts'

const HOUR_MS = 3_600_000
/** After a fire that failed. */
const RETRY_MS = 10_000
/** The longest the timer sleeps: the wall clock may be set while it does. */
const SLEEP_MAX_MS = 60_000
/** Entries read at the start to know what fired within the hour. */
const ENTRIES_READ_MAX = 1_000
const COMMENT_TITLE_MAX = 300

/**
 * What came of a trigger: it changed something (or told, where it only tells) · there was nothing left to do · one more alert
 * of those that it fired for · it only said what it would do · the hook may not act · it failed · put back, or not.
 */
export const OUTCOMES = ['acted', 'nothing', 'coalesced', 'dry-run', 'not-allowed', 'failed', 'restored', 'not-restored'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** What a trigger did since the server started. */
export interface Activity {
  /** Alerts told that it waits for. */
  readonly alerts: number
  readonly outcomes: Readonly<Record<Outcome, number>>
  /** What came of it last; null for nothing yet. */
  readonly last: { readonly at: string; readonly outcome: Outcome; readonly text: string } | null
}

export interface TriggerParts {
  readonly log: ChangeLog
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  readonly alerts: Pick<Alerts, 'subscribe' | 'firing'>
  readonly notices: Notices
  readonly valves: Pick<Valves, 'standing' | 'throttle'>
  readonly rollouts: Pick<Rollouts, 'hold'>
}

export interface TriggersHandle {
  activity(log: string, trigger: string): Activity
  /** Of every trigger that was told of an alert since the start. */
  all(): Iterable<readonly [log: string, trigger: string, activity: Activity]>
  /** The flags over which what it did last is in force. */
  standing(log: string, trigger: Trigger): readonly string[]
  /** What it would decide, with these alerts beside those that fire. */
  situation(log: string, trigger: Trigger, more: readonly Alert[]): Situation
  effect(log: string, trigger: Trigger, by: Alert): Effect
  /** Whether an alert of this hook may make triggers do more than hold and tell, and whether they only say what they would do. */
  trust(log: string, hook: string): Trust
  /** Put back what it did last, as a person asks for it. Error: `TRIGGER_NOT_FOUND`. */
  restore(
    log: string,
    key: string,
    by: { readonly actor: Actor; readonly comment: string | null; readonly dryRun: boolean },
  ): Promise<Restored>
  /** Resolves when all that was told until now has been looked at. */
  settled(): Promise<void>
  close(): Promise<void>
}

export interface Trust {
  readonly mayAct: boolean
  readonly dryRun: boolean
}

export interface Restored {
  readonly commit: Commit | null
  readonly restored: readonly string[]
  readonly left: readonly { readonly flag: string; readonly why: string }[]
}

/** Of one trigger, in memory. */
interface Memory {
  alerts: number
  outcomes: Record<Outcome, number>
  last: Activity['last']
  /** Its fires within the hour. */
  fires: number[]
  /** When it told last: of that there is no entry. */
  toldAt: number | null
  /** Until when alerts are dealt with without an entry of the log: told of, or nothing was left to do. */
  dealtUntil: number | null
  /** What it only said: where it may not act, or runs dry. */
  said: Past
  /** An entry has said that nothing was left to do. */
  isNothingSaid: boolean
  /** The revision that could not be put back, so that it is said once. */
  notRestored: number | null
  /** Why it failed last, so that it is said once. */
  failure: string | null
}

interface Desk {
  readonly memories: Map<string, Memory>
  /** Edges told and not looked at. */
  edges: Alert[]
  /** What was told of the alerts that fire, by identity. */
  readonly trusts: Map<string, Trust>
  looking: Promise<void> | null
  isDirty: boolean
  isRead: boolean
  timer: Timer | null
}

export function openTriggers(parts: TriggerParts): TriggersHandle {
  const { log, clock, logger, alerts, notices, valves, rollouts } = parts
  const desks = new Map<string, Desk>()
  let closed = false

  function deskOf(name: string): Desk {
    let desk = desks.get(name)
    if (desk === undefined) {
      desk = { memories: new Map(), edges: [], trusts: new Map(), looking: null, isDirty: false, isRead: false, timer: null }
      desks.set(name, desk)
    }
    return desk
  }

  function look(name: string): Promise<void> {
    const desk = deskOf(name)
    if (closed) return Promise.resolve()
    desk.isDirty = true
    desk.looking ??= lookAll(name, desk).finally(() => (desk.looking = null))
    return desk.looking
  }

  async function lookAll(name: string, desk: Desk): Promise<void> {
    if (!desk.isRead) await readPast(name, desk)
    desk.isRead = true
    while (desk.isDirty && !closed) {
      desk.isDirty = false
      desk.timer?.cancel()
      desk.timer = null
      const edges = desk.edges
      desk.edges = []
      let nextMs = Infinity
      for (const key of [...log.state(name).documents.trigger.keys()]) {
        // Each is read when its turn comes: those before it may have changed what stands.
        const trigger = log.state(name).documents.trigger.get(key)
        if (trigger === undefined || closed) continue
        const memory = memoryOf(desk, key)
        try {
          const ms = await visit(name, desk, trigger, memory, edges)
          if (ms === 0) desk.isDirty = true
          else nextMs = Math.min(nextMs, ms)
        } catch (error) {
          if (closed) return
          nextMs = Math.min(nextMs, RETRY_MS)
          failed(name, trigger, memory, error)
        }
      }
      forget(name, desk)
      if (!closed && !desk.isDirty && nextMs < Infinity)
        desk.timer = clock.after(Math.min(Math.max(nextMs, 1), SLEEP_MAX_MS), () => void look(name))
    }
  }

  /** @returns after how long it must be looked at again: 0 for at once */
  async function visit(name: string, desk: Desk, trigger: Trigger, memory: Memory, edges: readonly Alert[]): Promise<number> {
    const told = edges.filter(alert => alert.status === (trigger.when.status ?? 'firing') && selects(trigger.when, alert)).length
    memory.alerts += told
    const all = situationOf(name, trigger, memory, edges)
    const trustOf = (alert: Alert): Trust => desk.trusts.get(identityOf(alert)) ?? trust(name, alert.hook)
    const may = (alert: Alert): boolean => !trustOf(alert).dryRun && (isGentle(trigger) || trustOf(alert).mayAct)

    const decision = trigger.dryRun === true ? REST : decide(trigger, { ...all, firing: all.firing.filter(may), edges: edges.filter(may) })
    if (decision.kind === 'fire') {
      memory.outcomes.coalesced += Math.max(0, told - 1)
      return fire(name, trigger, memory, decision)
    }
    // Where nothing may be done, it goes by what was said instead of by what was done.
    const saying = decide(trigger, { ...all, past: saidPast(memory.said, all.past), goesOn: false })
    if (saying.kind === 'fire' && (trigger.dryRun === true || !may(saying.by))) {
      memory.outcomes.coalesced += Math.max(0, told - 1)
      say(name, trigger, memory, saying, trigger.dryRun === true || trustOf(saying.by).dryRun)
      return 0
    }
    if (trigger.enabled) memory.outcomes.coalesced += told
    if (conditionOf(trigger.when, all.firing, all.now).alerts.length === 0) {
      memory.isNothingSaid = false
      await restoreIfResolved(name, trigger, memory, all)
    }
    return Math.min(decision.kind === 'wait' ? decision.ms : Infinity, saying.kind === 'wait' ? saying.ms : Infinity)
  }

  function situationOf(name: string, trigger: Trigger, memory: Memory, edges: readonly Alert[]): Situation {
    const fired = trigger.lastFiredAt === null ? null : Date.parse(trigger.lastFiredAt)
    // What began and ended between two looks has fired all the same, unless it should have fired for a while.
    const brief = (trigger.when.forMs ?? 0) > 0 ? [] : edges.filter(alert => alert.status === 'firing')
    return {
      firing: [...brief, ...alerts.firing(name)],
      edges,
      past: { lastAt: latest(fired, memory.toldAt), dealtUntil: latest(fired, memory.dealtUntil), fires: memory.fires },
      goesOn: hasStepsLeft(trigger) && isUntouched(log.state(name), trigger),
      now: clock.now(),
    }
  }

  async function fire(name: string, trigger: Trigger, memory: Memory, decision: Decision & { kind: 'fire' }): Promise<number> {
    const now = clock.now()
    const { by, alerts: together } = decision
    const effect = effectOf(log.state(name), trigger, stampOf(name, trigger, by, now))
    if (effect.kind === 'tell') return tellOnly(name, trigger, memory, decision, now)
    if (effect.kind === 'nothing') return nothing(name, trigger, memory, decision, effect.why, now)
    const done = await commit(name, trigger, effect, decision, now)
    if (done === 'stale') return 0
    if (done === null)
      return nothing(name, trigger, memory, decision, effect.kind === 'hold' ? 'no rollout runs' : 'it lets no more through', now)
    fired(memory, now)
    memory.isNothingSaid = false
    memory.notRestored = null
    memory.failure = null
    note(memory, 'acted', effect.text, now)
    logger.info(
      { log: name, trigger: trigger.key, alert: by.id, alerts: together.length, revision: done.revision },
      `a trigger fired: ${effect.text}`,
    )
    return 0
  }

  /** @returns null when there was nothing left to do after all, `stale` when the trigger was changed meanwhile */
  async function commit(
    name: string,
    trigger: Trigger,
    effect: Exclude<Effect, { kind: 'nothing' | 'tell' }>,
    { by, alerts: together }: Decision & { kind: 'fire' },
    now: number,
  ): Promise<Commit | null | 'stale'> {
    const actor = actorOf(trigger.key)
    const comment = commentOf(trigger, by, together.length, effect.text)
    let isStale = false
    const trippedEdit = (state: State, done: Exclude<Effect, { kind: 'nothing' | 'tell' }>): PlannedEdit => ({
      type: 'trigger',
      key: trigger.key,
      after: { ...trigger, tripped: trippedBy(state, trigger, done, by, now), lastFiredAt: moment(now) },
    })
    const isSame = (state: State): boolean => {
      const current = state.documents.trigger.get(trigger.key)
      isStale = current?.version !== trigger.version
      return !isStale
    }
    if (effect.kind === 'flags') {
      const done = await log.commit({
        log: name,
        actor,
        action: 'trigger.fire',
        comment,
        evenIfStorageFails: trigger.do.action === 'kill',
        plan: state => {
          if (!isSame(state)) return []
          const fresh = effectOf(state, trigger, stampOf(name, trigger, by, now))
          if (fresh.kind !== 'flags') return []
          return [...fresh.edits, trippedEdit(state, fresh)]
        },
      })
      if (isStale) return 'stale'
      return done.change === null ? 'stale' : done
    }
    const also = (state: State): readonly PlannedEdit[] => {
      if (!isSame(state)) throw new Stale()
      return [trippedEdit(state, effect)]
    }
    try {
      const by = { actor, comment, also }
      const done =
        effect.kind === 'hold' ? await rollouts.hold(name, effect.flag, by) : await valves.throttle(name, effect.flag, effect.percent, by)
      return done?.change === null ? null : done
    } catch (error) {
      if (error instanceof Stale) return 'stale'
      throw error
    }
  }

  function trippedBy(
    state: State,
    trigger: Trigger,
    effect: Exclude<Effect, { kind: 'nothing' | 'tell' }>,
    by: Alert,
    now: number,
  ): Tripped {
    const goesOn = standing(state.log, trigger).length > 0 && (trigger.do.action === 'kill' || isUntouched(state, trigger))
    const earlier = goesOn ? (trigger.tripped?.revisions ?? []) : []
    const before = effect.kind === 'hold' || !('flag' in trigger.do) ? undefined : state.documents.flag.get(trigger.do.flag)?.version
    return {
      at: moment(now),
      alert: by.id,
      hook: by.hook,
      title: titleOf(by),
      link: linkOf(by),
      text: effect.text,
      revisions: [...earlier, state.revision + 1].slice(-TRIPPED_REVISIONS_MAX),
      step: effect.kind === 'hold' ? 0 : effect.step,
      ...(before === undefined ? {} : { version: before + 1 }),
    }
  }

  /** Nothing to change: an entry says so once, but not while what stands is its own doing. */
  async function nothing(
    name: string,
    trigger: Trigger,
    memory: Memory,
    { by, alerts: together }: Decision & { kind: 'fire' },
    why: string,
    now: number,
  ): Promise<number> {
    const isKnown = memory.isNothingSaid || standing(name, trigger).length > 0
    memory.dealtUntil = now
    if (isKnown) {
      memory.outcomes.coalesced++
      return 0
    }
    memory.isNothingSaid = true
    note(memory, 'nothing', `there was nothing left to do: ${why}`, now)
    await log.commit({
      log: name,
      actor: actorOf(trigger.key),
      action: 'trigger.fire',
      comment: commentOf(trigger, by, together.length, `nothing left to do (${clipped(why, COMMENT_TITLE_MAX)})`),
      plan: ({ documents }) =>
        documents.trigger.get(trigger.key)?.version === trigger.version
          ? [{ type: 'trigger', key: trigger.key, after: { ...trigger, lastFiredAt: moment(now) } }]
          : [],
    })
    fired(memory, now)
    return 0
  }

  function tellOnly(
    name: string,
    trigger: Trigger,
    memory: Memory,
    { by, alerts: together }: Decision & { kind: 'fire' },
    now: number,
  ): number {
    memory.toldAt = now
    memory.dealtUntil = now
    fired(memory, now)
    note(memory, 'acted', `told of ${alertText(by)}`, now)
    notices.say(
      noticeOf(name, trigger, by, { title: `${titleOf(by)}: trigger "${trigger.key}" tells`, text: tellText(by, together.length) }),
    )
    return 0
  }

  /** What it would do, where it may not: said as often as it would be done. */
  function say(
    name: string,
    trigger: Trigger,
    memory: Memory,
    { by, alerts: together }: Decision & { kind: 'fire' },
    isDry: boolean,
  ): void {
    const now = clock.now()
    const would = wouldText(name, trigger, by)
    if (would === null) {
      memory.said = { ...memory.said, dealtUntil: now }
      memory.outcomes.coalesced++
      return
    }
    memory.said = { lastAt: now, dealtUntil: now, fires: [...memory.said.fires.filter(at => at > now - HOUR_MS), now] }
    note(memory, isDry ? 'dry-run' : 'not-allowed', would, now)
    const why = isDry ? 'it runs dry' : `the hook ${by.hook} may not act`
    notices.say(
      noticeOf(name, trigger, by, {
        title: `trigger "${trigger.key}" in ${name} changed nothing: ${why}`,
        text: `It ${would}. ${tellText(by, together.length)}`,
      }),
    )
    logger.info({ log: name, trigger: trigger.key, alert: by.id }, `a trigger changed nothing, because ${why}: it ${would}`)
  }

  /** @returns null when there is nothing left to do */
  function wouldText(name: string, trigger: Trigger, by: Alert): string | null {
    try {
      const effect = effectOf(log.state(name), trigger, stampOf(name, trigger, by, clock.now()))
      return effect.kind === 'nothing' ? null : `would have ${effect.text}`
    } catch (error) {
      return `would have failed: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  async function restoreIfResolved(name: string, trigger: Trigger, memory: Memory, situation: Situation): Promise<void> {
    if (trigger.tripped === null || trigger.onResolve !== 'restore') return
    // The one it fired on goes on firing, although it would not be waited for any more.
    if (situation.firing.some(alert => alert.id === trigger.tripped?.alert)) return
    const revision = trigger.tripped.revisions.at(-1) ?? 0
    if (memory.notRestored === revision) return
    const comment = `trigger "${trigger.key}": its alerts are resolved, put back what stood before`
    const { restored, left } = await putBack(name, trigger, { actor: actorOf(trigger.key), comment, dryRun: false })
    const now = clock.now()
    if (left.length === 0) {
      if (restored.length > 0) note(memory, 'restored', `put back ${restored.join(', ')}`, now)
      return
    }
    memory.notRestored = revision
    const why = left.map(each => `${each.flag}: ${each.why}`).join('; ')
    note(memory, 'not-restored', `not put back: ${why}`, now)
    notices.say({
      log: name,
      topic: 'triggers',
      severity: 'warning',
      title: `trigger "${trigger.key}" in ${name}: its alerts are resolved, and ${left.map(each => each.flag).join(', ')} stays as it is`,
      text: `Not put back: ${why}. Look with: sluice triggers show ${trigger.key}`,
      dedupKey: `trigger/${name}/${trigger.key}/restore`,
      ...flagField(left.map(each => each.flag)),
    })
    logger.warn({ log: name, trigger: trigger.key, left }, 'what a trigger did could not be put back, because it was touched since')
  }

  /** What it did last, undone in one commit with its state. */
  async function putBack(
    name: string,
    trigger: Trigger,
    by: { readonly actor: Actor; readonly comment: string; readonly dryRun: boolean },
  ): Promise<Restored> {
    const { tripped } = trigger
    if (tripped === null) return { commit: null, restored: [], left: [] }
    const changes: Change[] = []
    for (const revision of tripped.revisions) changes.push(await log.change(name, revision))
    const over = (state: State): PlannedEdit => {
      const current = state.documents.trigger.get(trigger.key)
      if (current?.version !== trigger.version) throw new Stale()
      return { type: 'trigger', key: trigger.key, after: { ...trigger, tripped: null } }
    }
    let planned: Omit<Restored, 'commit'> = { restored: [], left: [] }
    try {
      const commit = await log.commit({
        log: name,
        ...by,
        action: 'trigger.restore',
        evenIfStorageFails: trigger.do.action === 'kill',
        plan(state) {
          const { edits, restored, left } = planRestore(state, changes)
          planned = { restored, left }
          // As long as something is left, so is what says whose doing it is.
          return left.length > 0 ? edits : [...edits, over(state)]
        },
      })
      return { commit, ...planned }
    } catch (error) {
      if (error instanceof Stale) return { commit: null, restored: [], left: [] }
      throw error
    }
  }

  function failed(name: string, trigger: Trigger, memory: Memory, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    note(memory, 'failed', text, clock.now())
    if (memory.failure === text) return
    memory.failure = text
    logger.error(
      { err: error, log: name, trigger: trigger.key },
      `a trigger failed; trying again in ${RETRY_MS / 1_000} s while its alerts fire`,
    )
    notices.say({
      log: name,
      topic: 'trouble',
      severity: 'error',
      title: `trigger "${trigger.key}" in ${name} failed`,
      text: `${clipped(text, COMMENT_TITLE_MAX)} It is tried again every ${RETRY_MS / 1_000} s while its alerts fire. Look with: sluice triggers show ${trigger.key}`,
      dedupKey: `trigger/${name}/${trigger.key}/failed`,
    })
  }

  function stampOf(name: string, trigger: Trigger, by: Alert, now: number): EffectStamp {
    return {
      actor: actorName(trigger.key),
      now,
      reason: `${alertText(by)}, by trigger "${trigger.key}"`,
      valvePercent: flag => valves.standing(name, flag),
    }
  }

  function standing(name: string, trigger: Trigger): readonly string[] {
    return standingOf(log.state(name), trigger, flag => {
      try {
        return valves.standing(name, flag)
      } catch {
        // Not a valve any more.
        return Infinity
      }
    })
  }

  function trust(name: string, key: string): Trust {
    const hook = log.state(name).documents.hook.get(key)
    return hook === undefined ? { mayAct: false, dryRun: false } : trustOfHook(hook)
  }

  /** What fired within the last hour, from the log: a restart does not make room for more. */
  async function readPast(name: string, desk: Desk): Promise<void> {
    const since = clock.now() - HOUR_MS
    const triggers = [...log.state(name).documents.trigger.values()]
    if (!triggers.some(({ lastFiredAt }) => lastFiredAt !== null && Date.parse(lastFiredAt) > since)) return
    try {
      for (const change of await log.changes(name, { since, order: 'newest', limit: ENTRIES_READ_MAX })) {
        if (change.actor.kind !== 'system' || change.actor.id !== ACTOR_ID || change.action === 'trigger.restore') continue
        for (const edit of change.edits) if (edit.type === 'trigger') memoryOf(desk, edit.key).fires.unshift(Date.parse(change.at))
      }
    } catch (error) {
      logger.warn({ err: error, log: name }, 'what triggers did within the last hour cannot be read; they start anew at counting it')
      for (const { key, lastFiredAt } of triggers) if (lastFiredAt !== null) memoryOf(desk, key).fires = [Date.parse(lastFiredAt)]
    }
  }

  /** Alerts that fire no more, and triggers that are gone. */
  function forget(name: string, desk: Desk): void {
    const firing = new Set([...alerts.firing(name), ...desk.edges].map(identityOf))
    for (const identity of desk.trusts.keys()) if (!firing.has(identity)) desk.trusts.delete(identity)
    for (const key of desk.memories.keys()) if (!log.state(name).documents.trigger.has(key)) desk.memories.delete(key)
  }

  const unsubscribe = [
    alerts.subscribe(({ log: name, alert, mayAct, dryRun }) => {
      const desk = deskOf(name)
      desk.trusts.set(identityOf(alert), { mayAct, dryRun })
      // Without triggers there is nothing to look at: what fires is known when the first is made.
      if (log.state(name).documents.trigger.size === 0) return
      desk.edges.push(alert)
      return look(name)
    }),
    log.subscribe(({ log: name, change }) => {
      if (name === SERVER_LOG || change.actor.id === ACTOR_ID) return
      // A trigger that is made or enabled while its alert fires acts at once.
      if (change.edits.some(edit => edit.type === 'trigger' || edit.type === 'hook')) void look(name)
    }),
  ]
  for (const name of log.logs()) {
    const triggers = name === SERVER_LOG ? [] : [...log.state(name).documents.trigger.values()]
    for (const { key, when } of triggers) {
      // Of what was only told there is no entry: what was heard of before the start has been told of.
      const dealtUntil = clock.now() - START_SPAN_MS - (when.forMs ?? 0)
      const memory = memoryOf(deskOf(name), key)
      if (log.state(name).documents.trigger.get(key)?.do.action === 'notify') memory.dealtUntil = dealtUntil
      memory.said = { ...memory.said, dealtUntil }
    }
    if (triggers.length > 0) void look(name)
  }

  return {
    activity(name, key) {
      const { alerts: count, outcomes, last } = memoryOf(deskOf(name), key)
      return { alerts: count, outcomes, last }
    },
    *all() {
      for (const [name, desk] of desks)
        for (const [key, { alerts: count, outcomes, last }] of desk.memories) yield [name, key, { alerts: count, outcomes, last }]
    },
    standing,
    situation(name, trigger, more) {
      return situationOf(name, trigger, memoryOf(deskOf(name), trigger.key), more)
    },
    effect: (name, trigger, by) => effectOf(log.state(name), trigger, stampOf(name, trigger, by, clock.now())),
    trust,
    async restore(name, key, { actor, comment, dryRun }) {
      for (;;) {
        const trigger = log.state(name).documents.trigger.get(key)
        if (trigger === undefined) throw new SluiceError('TRIGGER_NOT_FOUND', `No trigger "${key}" in "${name}".`)
        const restored = await putBack(name, trigger, { actor, comment: comment ?? `put back what trigger "${key}" did`, dryRun })
        // Changed in between: what it did may be another thing now.
        if (log.state(name).documents.trigger.get(key)?.version === trigger.version || restored.commit !== null) return restored
      }
    },
    async settled() {
      for (const desk of desks.values()) await desk.looking
    },
    async close() {
      closed = true
      for (const end of unsubscribe) end()
      for (const desk of desks.values()) desk.timer?.cancel()
      await Promise.allSettled([...desks.values()].flatMap(desk => desk.looking ?? []))
    },
  }
}

const ACTOR_ID = 'trigger'
const REST: Decision = { kind: 'rest', why: 'it runs dry' }
/** Seconds may have passed since an alert was heard of, and the server started again meanwhile. */
const START_SPAN_MS = 10_000

/** The trigger was changed while its fire was on its way. */
class Stale extends Error {}

export function actorOf(key: string): Actor {
  return { kind: 'system', id: ACTOR_ID, name: actorName(key) }
}

function trustOfHook({ auth, mayAct, dryRun, enabled }: Hook): Trust {
  return { mayAct: enabled && (auth !== 'path' || mayAct), dryRun }
}

function memoryOf(desk: Desk, key: string): Memory {
  let memory = desk.memories.get(key)
  if (memory === undefined) {
    const outcomes = Object.fromEntries(OUTCOMES.map(outcome => [outcome, 0])) as Record<Outcome, number>
    memory = {
      ...{ alerts: 0, outcomes, last: null, fires: [], toldAt: null, dealtUntil: null },
      ...{ said: { lastAt: null, dealtUntil: null, fires: [] }, isNothingSaid: false, notRestored: null, failure: null },
    }
    desk.memories.set(key, memory)
  }
  return memory
}

function note(memory: Memory, outcome: Outcome, text: string, now: number): void {
  memory.outcomes[outcome]++
  memory.last = { at: moment(now), outcome, text }
}

function hasStepsLeft({ do: action, tripped }: Trigger): boolean {
  return 'percents' in action && tripped !== null && tripped.step < action.percents.length
}

/** Whether the flag is as the last entry of a trigger with steps left it. */
function isUntouched(state: State, { do: action, tripped }: Trigger): boolean {
  if (tripped === null || !('flag' in action)) return false
  return state.documents.flag.get(action.flag)?.version === tripped.version
}

/** As if what was said had been done. */
function saidPast(said: Past, done: Past): Past {
  return {
    lastAt: latest(said.lastAt, done.lastAt),
    dealtUntil: latest(said.dealtUntil, done.dealtUntil),
    fires: [...done.fires, ...said.fires].sort((a, b) => a - b),
  }
}

function latest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b)
}

function fired(memory: Memory, now: number): void {
  memory.fires = [...memory.fires.filter(at => at > now - HOUR_MS), now]
}

/** A trigger that does no more than hold and tell: also alerts that may not act reach it. */
export function isGentle({ do: { action } }: Trigger): boolean {
  return action === 'hold-rollout' || action === 'notify'
}

function tellText(by: Alert, count: number): string {
  const link = linkOf(by)
  const description = by.description === '' ? '' : ` ${clipped(by.description.toWellFormed(), COMMENT_TITLE_MAX)}`
  return `${alertText(by)}${count > 1 ? `, one of ${count} that fire` : ''}.${description}${link === null ? '' : ` ${link}`}`
}

function noticeOf(name: string, trigger: Trigger, by: Alert, { title, text }: { title: string; text: string }): Notice {
  const flags = 'flag' in trigger.do ? [trigger.do.flag] : 'flags' in trigger.do ? (trigger.do.flags ?? []) : []
  return {
    log: name,
    topic: 'triggers',
    severity: by.severity,
    title,
    text,
    dedupKey: `trigger/${name}/${trigger.key}`,
    ...flagField(flags),
  }
}

function flagField(flags: readonly string[]): { flag?: string } {
  return flags.length === 1 && flags[0] !== undefined ? { flag: flags[0] } : {}
}

/** For the answers that name it. */
export { undoText }
