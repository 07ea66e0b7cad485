/**
 * Keeps what the guards of every plan have seen: from slices of outcomes, alerts, valves and hard limits, stored after each
 * slice so that a restart goes on. What it means is `evidence.ts`; what follows from it is the engine's.
 */
import type { FastifyBaseLogger } from 'fastify'
import { ALERT_SEVERITIES, type Alert } from '../../schemas/alert.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Guard, Plan } from '../../schemas/plan.ts'
import type { Clock } from '../clock.ts'
import { openTimetable } from '../schedules/timetable.ts'
import type { Alerts, Valves } from '../services.ts'
import type { EvidenceStorage } from '../storage/evidence.ts'
import { guardsAt, NOTHING_SEEN, type Seen } from './engine.ts'
import {
  dueLooks,
  type Evidence,
  followed,
  type FlagSlice,
  nextLookInMs,
  revivedEvidence,
  seenOf,
  withLook,
  withSlice,
  withTrip,
} from './evidence.ts'
import type { Look } from './statistics/types.ts'

/** Ask what a hard limit is about. Null: it answers, and has no data. Rejects when it does not answer. */
export type Measure = (guard: Guard & { readonly type: 'promql' }) => Promise<number | null>

/** Slices of outcomes, as `server/outcomes` tells them. */
export interface Slices {
  subscribe(
    listener: (slice: { readonly startedAt: number; readonly endedAt: number; of(log: string, flag: string): FlagSlice['sums'] }) => void,
  ): () => void
}

export interface WatchParts {
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'warn' | 'error'>
  readonly storage: EvidenceStorage
  readonly slices: Slices
  readonly alerts: Pick<Alerts, 'subscribe'>
  readonly valves: Pick<Valves, 'subscribe' | 'record'> | null
  readonly measure: Measure | null
}

/** A plan that runs or is held, with its flag. */
export interface Watched {
  readonly log: string
  readonly plan: Plan
  readonly flag: Flag
}

export interface Watch {
  seen(log: string, plan: Plan): Seen
  /** What its guards have seen; null before its first step, and once it has been forgotten. */
  evidence(log: string, plan: Plan): Evidence | null
  /** That a guard which only says has been heard of. False when it was already. */
  saidOnce(log: string, plan: Plan, guard: string): boolean
  close(): Promise<void>
}

/**
 * @param watched the plans that run or are held, as they stand now
 * @param changed told when something was seen that may move a plan
 */
export async function openWatch(
  parts: WatchParts,
  watched: () => Iterable<Watched>,
  standing: (log: string, flag: string) => Plan | undefined,
  changed: (log: string, flag: string) => void,
): Promise<Watch> {
  const { clock, logger, storage, slices, alerts, valves, measure } = parts
  const known = new Map<string, Evidence>()
  let saving: Promise<void> = Promise.resolve()
  let isIll = false
  let closed = false

  for (const row of await storage.all()) {
    const plan = standing(row.log, row.flag)
    const evidence = plan === undefined ? null : revivedEvidence(JSON.parse(row.body), plan, clock.now())
    if (evidence === null) await storage.remove(row.log, row.flag)
    else known.set(nameOf(row.log, row.flag), evidence)
  }

  const current = (log: string, plan: Plan): Evidence | null => {
    const name = nameOf(log, plan.key)
    const before = known.get(name) ?? null
    if (plan.step === null) return null
    if (plan.state !== 'running' && plan.state !== 'held') return before?.run === plan.run ? before : null
    const evidence = followed(before, plan, clock.now())
    if (evidence !== before) known.set(name, evidence)
    return evidence
  }

  /** One after the other; what could not be stored is stored with the next slice. */
  const save = (names: readonly (readonly [log: string, flag: string])[]): Promise<void> => {
    saving = saving.then(async () => {
      const rows = names.flatMap(([log, flag]) => {
        const evidence = known.get(nameOf(log, flag))
        return evidence === undefined ? [] : [{ log, flag, run: evidence.run, body: JSON.stringify(evidence) }]
      })
      try {
        await storage.save(rows)
        isIll = false
      } catch (error) {
        if (!isIll && !closed)
          logger.warn(
            { err: error },
            'What the guards of rollouts have seen cannot be stored; a restart would begin where it was stored last',
          )
        isIll = true
      }
    })
    return saving
  }

  /** The hard limits of one plan that are due; answers when the next is. */
  const looks = openTimetable(parts, 'A hard limit', async name => {
    const [log, flag] = partsOf(name)
    const plan = standing(log, flag)
    const evidence = plan === undefined ? null : current(log, plan)
    if (plan === undefined || evidence === null || (plan.state !== 'running' && plan.state !== 'held')) return null
    const due = dueLooks(evidence, plan, clock.now())
    await Promise.all(due.map(guard => look(log, plan, guard)))
    const after = known.get(name)
    return after === undefined ? null : nextLookInMs(after, plan, clock.now())
  })

  const look = async (log: string, plan: Plan, guard: Guard & { type: 'promql' }): Promise<void> => {
    const found = await lookAt(guard)
    const evidence = known.get(nameOf(log, plan.key))
    // It may stand on another step by now, where the limit began anew.
    if (evidence === undefined || evidence.run !== plan.run || evidence.since !== (plan.since ?? '') || closed) return
    known.set(nameOf(log, plan.key), withLook(evidence, guard, found, clock.now()))
    changed(log, plan.key)
  }

  const lookAt = async (guard: Guard & { type: 'promql' }): Promise<Look> => {
    if (measure === null) return { kind: 'error', message: 'this server cannot ask a Prometheus' }
    try {
      const value = await measure(guard)
      return value === null ? { kind: 'no-data' } : { kind: 'value', value }
    } catch (error) {
      return { kind: 'error', message: error instanceof Error ? error.message : String(error) }
    }
  }

  const trip = async (log: string, is: (guard: Guard) => boolean, text: string, mayRevert: boolean): Promise<void> => {
    const touched: (readonly [string, string])[] = []
    for (const { log: where, plan } of watched()) {
      if (where !== log) continue
      const before = current(log, plan)
      if (before === null) continue
      let evidence = before
      for (const guard of guardsAt(plan, plan.steps[plan.step ?? 0])) if (is(guard)) evidence = withTrip(evidence, guard, text, mayRevert)
      if (evidence === before) continue
      known.set(nameOf(log, plan.key), evidence)
      touched.push([log, plan.key])
    }
    if (touched.length > 0) await save(touched)
    for (const [where, flag] of touched) changed(where, flag)
  }

  const stops = [
    slices.subscribe(closed => {
      const { startedAt, endedAt } = closed
      const touched: (readonly [string, string])[] = []
      for (const { log, plan, flag } of watched()) {
        const evidence = current(log, plan)
        if (evidence === null) continue
        known.set(nameOf(log, plan.key), withSlice(evidence, plan, flag, { startedAt, endedAt, sums: closed.of(log, plan.key) }))
        touched.push([log, plan.key])
      }
      void save(touched)
      for (const [log, flag] of touched) changed(log, flag)
    }),
    alerts.subscribe(async ({ log, alert, mayAct, dryRun }) => {
      if (alert.status !== 'firing' || dryRun) return
      await trip(log, guard => guard.type === 'alert' && selects(guard, alert), `alert "${alert.title}" fires (${alert.hook})`, mayAct)
    }),
    valves?.subscribe(({ log, record }) => {
      if (record.state === 'flowing') return
      void trip(
        log,
        guard => guard.type === 'valve' && guard.flag === record.key,
        `valve ${record.key} is ${record.state} (${record.cause})`,
        true,
      )
    }),
  ]

  return {
    seen(log, plan) {
      const evidence = current(log, plan)
      if (evidence === null) return NOTHING_SEEN
      if (Object.keys(evidence.limits).length > 0) looks.now(nameOf(log, plan.key))
      return seenOf(evidence, plan, clock.now())
    },
    evidence: current,
    saidOnce(log, plan, guard) {
      const evidence = current(log, plan)
      if (evidence === null || evidence.said.includes(guard)) return false
      known.set(nameOf(log, plan.key), { ...evidence, said: [...evidence.said, guard] })
      void save([[log, plan.key]])
      return true
    },
    async close() {
      closed = true
      for (const stop of stops) stop?.()
      // What is being asked may take its time; nobody waits for the answer any more.
      void looks.close()
      await saving
    },
  }
}

/** Hook, labels and severity, as a trigger selects alerts. */
function selects({ hooks, labels, severity }: Guard & { type: 'alert' }, alert: Alert): boolean {
  return (
    (hooks === undefined || hooks.includes(alert.hook)) &&
    (severity === undefined || ALERT_SEVERITIES.indexOf(alert.severity) <= ALERT_SEVERITIES.indexOf(severity)) &&
    (labels ?? []).every(({ label, values, negate }) => {
      const value = Object.hasOwn(alert.labels, label) ? alert.labels[label] : undefined
      return value !== undefined && values.includes(value) !== (negate === true)
    })
  )
}

export function nameOf(log: string, flag: string): string {
  return `${log}/${flag}`
}

/** Of the name of a plan: a flag's key has no slash. */
export function partsOf(name: string): [log: string, flag: string] {
  const at = name.lastIndexOf('/')
  return [name.slice(0, at), name.slice(at + 1)]
}
