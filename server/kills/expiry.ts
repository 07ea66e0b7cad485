/**
 * Kills that end by themselves: the server writes the lift (`flag.expire`, by the system) when their moment comes; those
 * whose moment passed while it was down are lifted at once. One timer stands for the next moment.
 */
import type { Actor } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Timer } from '../clock.ts'
import { type PlannedEdit, SERVER_LOG } from '../log/types.ts'
import type { Services } from '../services.ts'
import { lifted } from './kill.ts'

/** How the log names the server itself. */
export const EXPIRY_ACTOR: Actor = { kind: 'system', id: 'expiry', name: 'expiry' }

/** The longest the timer sleeps: the wall clock may be set while it does, and a timer holds no more than 24 days. */
const SLEEP_MAX_MS = 60_000
/** After a lift that failed. Lifts are published even without storage, so this is for what nobody foresaw. */
const RETRY_MS = 5_000

/** Starts watching every environment's kills; the answer ends it. */
export function startExpiry(services: Pick<Services, 'log' | 'clock' | 'logger'>): { close(): void } {
  const { log, clock, logger } = services
  // Per log and flag, the earliest moment at which one of its kills ends.
  const due = new Map<string, Map<string, number>>()
  let timer: Timer | null = null
  let closed = false
  let busy = false

  const note = (name: string, flag: Flag): void => {
    const ends = flag.kills.flatMap(kill => (kill.until === null ? [] : [Date.parse(kill.until)]))
    const flags = due.get(name)
    if (ends.length === 0) {
      flags?.delete(flag.key)
      return
    }
    if (flags === undefined) due.set(name, new Map([[flag.key, Math.min(...ends)]]))
    else flags.set(flag.key, Math.min(...ends))
  }

  const arm = (): void => {
    if (closed || busy) return
    timer?.cancel()
    timer = null
    let next = Infinity
    for (const flags of due.values()) for (const end of flags.values()) next = Math.min(next, end)
    if (next === Infinity) return
    timer = clock.after(Math.min(Math.max(0, next - clock.now()), SLEEP_MAX_MS), () => void expire())
  }

  const expire = async (): Promise<void> => {
    if (closed || busy) return
    busy = true
    const now = clock.now()
    let failed = false
    for (const [name, flags] of due) {
      const ended = [...flags].filter(([, end]) => end <= now).map(([key]) => key)
      if (ended.length === 0) continue
      try {
        await log.commit({
          log: name,
          actor: EXPIRY_ACTOR,
          action: 'flag.expire',
          comment: `ended as set`,
          evenIfStorageFails: true,
          plan: state =>
            ended.flatMap((key): PlannedEdit[] => {
              const flag = state.documents.flag.get(key)
              if (flag === undefined) return []
              return [{ type: 'flag', key, after: lifted(flag, kill => kill.until !== null && Date.parse(kill.until) <= now) }]
            }),
        })
        // What the commit left is noted by the subscription; a flag it did not touch is looked at here.
        for (const key of ended) {
          const flag = log.state(name).documents.flag.get(key)
          if (flag === undefined) flags.delete(key)
          else note(name, flag)
        }
      } catch (error) {
        // Closed in the middle: the next start lifts what has ended by then.
        if (closed) return
        failed = true
        logger.error({ err: error, log: name, flags: ended }, `kills that ended could not be lifted; trying again in ${RETRY_MS / 1_000} s`)
      }
    }
    busy = false
    if (failed && !closed) timer = clock.after(RETRY_MS, () => void expire())
    else arm()
  }

  const unsubscribe = log.subscribe(({ log: name, change }) => {
    if (name === SERVER_LOG) return
    for (const edit of change.edits) {
      if (edit.type !== 'flag') continue
      if (edit.after === null) due.get(name)?.delete(edit.key)
      else note(name, edit.after as unknown as Flag)
    }
    arm()
  })
  for (const name of log.logs()) {
    if (name === SERVER_LOG) continue
    for (const flag of log.state(name).documents.flag.values()) note(name, flag)
  }
  arm()

  return {
    close() {
      closed = true
      timer?.cancel()
      unsubscribe()
    },
  }
}
