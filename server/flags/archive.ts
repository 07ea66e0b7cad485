/** Whether a flag may leave an environment: nobody leans on it, nobody evaluated it lately, no kill stands. */
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { checkEdits, named } from '../rulesets/check.ts'
import type { FlagUsage } from '../services.ts'

/** A flag evaluated within this time is in use. */
export const RECENT_MS = 24 * 3_600_000

/**
 * Errors: `FLAG_KILLED` (never forced: whoever killed it did not mean it to vanish), `FLAG_IN_USE` (a prerequisite, never
 * forced; or evaluated within 24 hours, unless `force`).
 */
export function planArchive(state: State, flag: Flag, usage: FlagUsage, now: number, force: boolean): readonly PlannedEdit[] {
  refuseKilled(state, [flag])
  const edits = checkEdits(state, [{ type: 'flag', key: flag.key, after: null }])
  if (!force && usage.lastSeen !== null && now - Date.parse(usage.lastSeen) < RECENT_MS) {
    const message = `was evaluated ${usage.evaluations} times, last at ${usage.lastSeen}`
    throw new SluiceError(
      'FLAG_IN_USE',
      `Flag "${flag.key}" in "${state.log}": ${message}. Remove it from the code first, or archive it all the same with force=true.`,
      {
        details: [{ path: '', code: 'evaluated_recently', message }],
      },
    )
  }
  return edits
}

/** Error: `FLAG_KILLED` when a kill stands on one of the flags that would go. */
export function refuseKilled(state: State, going: readonly Flag[]): void {
  const killed = going.filter(flag => flag.kills.length > 0)
  const [first] = killed
  if (first === undefined) return
  const subject =
    killed.length === 1
      ? `Flag "${first.key}" in "${state.log}": a kill stands on it`
      : `Flags ${named(killed.map(flag => flag.key))} in "${state.log}": kills stand on them`
  throw new SluiceError('FLAG_KILLED', `${subject}, and would be gone with it. Lift it first, or keep the flag.`, {
    details: killed
      .flatMap(flag =>
        flag.kills.map(kill => ({
          path: '',
          code: 'killed',
          message: `kill ${kill.id} stands on "${flag.key}" since ${kill.at}: ${kill.reason}`,
        })),
      )
      .slice(0, 50),
  })
}
