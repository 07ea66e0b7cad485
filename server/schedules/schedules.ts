/**
 * Single changes that the server makes at a time: each is a document until its moment, and its entry of the log takes the
 * document away in the same commit, so that it is made once, whoever else looks. What was missed is made at the next start.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Actor } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Schedule } from '../../schemas/plan.ts'
import { type Clock, moment } from '../clock.ts'
import { patchSettings } from '../flags/defaults.ts'
import { findFlag } from '../flags/find.ts'
import { laidOver, lifted } from '../kills/kill.ts'
import { type ChangeLog, type PlannedEdit, SERVER_LOG, type State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'
import { openTimetable } from './timetable.ts'

/** Made so much later than asked for, the entry says so. */
const LATE_MS = 60_000

/** Starts watching every environment's schedules; `close` ends it. */
export function startSchedules({
  log,
  clock,
  logger,
}: {
  readonly log: ChangeLog
  readonly clock: Clock
  readonly logger: Pick<FastifyBaseLogger, 'error' | 'warn'>
}): { close(): Promise<void> } {
  const timetable = openTimetable({ clock, logger }, 'A scheduled change', async name => {
    const [where, key] = partsOf(name)
    const schedule = log.state(where).documents.schedule.get(key)
    if (schedule === undefined || schedule.failed !== null) return null
    const inMs = Date.parse(schedule.at) - clock.now()
    if (inMs > 0) return inMs
    await make(where, schedule)
    return null
  })

  async function make(where: string, schedule: Schedule): Promise<void> {
    const { key, version } = schedule
    const actor: Actor = { kind: 'system', id: 'schedule', name: `schedule of ${schedule.by.name}` }
    const write = { log: where, actor, action: 'schedule.run', comment: commentOf(schedule, clock.now()) } as const
    const isStanding = (state: State): boolean => state.documents.schedule.get(key)?.version === version
    try {
      await log.commit({
        ...write,
        evenIfStorageFails: schedule.do.action === 'kill',
        plan: state => (isStanding(state) ? [...scheduledEdits(state, schedule, clock.now()), { type: 'schedule', key, after: null }] : []),
      })
    } catch (error) {
      // What is refused now is refused in five seconds too; storage that is ill is tried again.
      if (!(error instanceof SluiceError) || error.status >= 500) throw error
      logger.warn({ err: error, log: where, schedule: key }, 'A scheduled change was refused when its moment came')
      const failed = { at: moment(clock.now()), code: error.code, text: error.message.slice(0, 1_000) }
      await log.commit({
        ...write,
        comment: `refused: ${error.message}`.slice(0, 1_000),
        plan: state => (isStanding(state) ? [{ type: 'schedule', key, after: { ...schedule, failed } }] : []),
      })
    }
  }

  const unsubscribe = log.subscribe(({ log: where, change }) => {
    if (where === SERVER_LOG) return
    for (const edit of change.edits) {
      if (edit.type !== 'schedule') continue
      if (edit.after === null) timetable.forget(nameOf(where, edit.key))
      else timetable.now(nameOf(where, edit.key))
    }
  })
  const missed = log
    .logs()
    .flatMap(where =>
      where === SERVER_LOG ? [] : [...log.state(where).documents.schedule.values()].map(schedule => ({ where, schedule })),
    )
  // In the order of their moments, so that the last word is the one that was to be said last.
  missed.sort((a, b) => Date.parse(a.schedule.at) - Date.parse(b.schedule.at))
  for (const { where, schedule } of missed) timetable.now(nameOf(where, schedule.key))

  return {
    async close() {
      unsubscribe()
      await timetable.close()
    },
  }
}

/** The flag as the schedule makes it. Errors: `FLAG_NOT_FOUND`, `INVALID_FLAG`, `INVALID_REQUEST`, `LIMIT_EXCEEDED`, those of `checkEdits`. */
export function scheduledEdits(state: State, schedule: Pick<Schedule, 'flag' | 'do' | 'by'>, now: number): readonly PlannedEdit[] {
  const flag = findFlag(state, schedule.flag)
  const edit = (after: Flag): PlannedEdit => ({ type: 'flag', key: flag.key, after })
  switch (schedule.do.action) {
    case 'edit':
      return checkEdits(state, [edit(patchSettings(flag, schedule.do.patch))])
    case 'kill':
      return [edit(laidOver(state, flag, schedule.do.kill, { actor: schedule.by.name, now }).flag)]
    case 'lift': {
      const kills = schedule.do.kills ?? []
      return [edit(lifted(flag, kill => kills.includes(kill.id)))]
    }
  }
}

function commentOf({ comment, at }: Schedule, now: number): string | null {
  const lateMs = now - Date.parse(at)
  if (lateMs < LATE_MS) return comment
  return `${comment === null ? '' : `${comment} `}(due at ${at}, ${Math.round(lateMs / 60_000)} min late)`
}

function nameOf(log: string, key: string): string {
  return `${log}/${key}`
}

function partsOf(name: string): [log: string, key: string] {
  const at = name.lastIndexOf('/')
  return [name.slice(0, at), name.slice(at + 1)]
}
