/** Whether a flag may leave an environment: nobody leans on it, nobody evaluated it lately, no kill stands. */
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Usage } from '../../schemas/usage.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import { checkEdits, named } from '../rulesets/check.ts'

/** A flag evaluated within this time is in use. */
export const RECENT_MS = 24 * 3_600_000

/**
 * Errors: `FLAG_KILLED` (never forced: whoever killed it did not mean it to vanish), `FLAG_IN_USE` (a prerequisite, never
 * forced; or evaluated within 24 hours, unless `force`).
 */
export function planArchive(state: State, flag: Flag, usage: Usage, now: number, force: boolean): readonly PlannedEdit[] {
  refuseKilled(state, [flag])
  const edits = checkEdits(state, [{ type: 'flag', key: flag.key, after: null }])
  if (!force && usage.lastSeen !== null && now - Date.parse(usage.lastSeen) < RECENT_MS) {
    const message = usedText(usage, usage.lastSeen, now)
    throw new SluiceError(
      'FLAG_IN_USE',
      `Flag "${flag.key}" in "${state.log}": ${message}. Whoever asks for it then gets the default in the code. Remove it from the code first and wait until nobody asks any more, or archive it all the same with force=true.`,
      {
        details: [{ path: '', code: 'evaluated_recently', message }],
      },
    )
  }
  return edits
}

/** `was evaluated 3 h ago by checkout-service: 12,031 times in the last day`. */
function usedText({ services, lastDay }: Usage, lastSeen: string, now: number): string {
  const recent = services.filter(each => now - Date.parse(each.lastSeen) < RECENT_MS)
  const names = (recent.length === 0 ? services.slice(0, 1) : recent).map(({ service }) =>
    service === '' ? 'a service without a name' : service,
  )
  const by = names.length === 0 ? '' : ` by ${names.join(', ')}`
  const often = lastDay === null ? '' : `: ${lastDay.toLocaleString('en')} ${lastDay === 1 ? 'time' : 'times'} in the last day`
  return `was evaluated ${agoText(now - Date.parse(lastSeen))}${by}${often}`
}

function agoText(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return 'within the last minute'
  return minutes < 60 ? `${minutes} min ago` : `${Math.floor(minutes / 60)} h ago`
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
