/** How a flag is in an environment, in one mark. */
import type { Flag } from '../../../schemas/flag.ts'
import { State } from './state.tsx'

export function flagState(flag: Pick<Flag, 'kills' | 'enabled'>) {
  if (flag.kills.some(kill => kill.clauses.length === 0)) return <State tone="bad">killed</State>
  if (flag.kills.length > 0) return <State tone="bad">killed for some</State>
  return flag.enabled ? <State tone="good">on</State> : <State tone="quiet">off</State>
}
