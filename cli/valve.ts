/** Valves in words. Pure. */
import type { ValveState } from '../schemas/valve.ts'
import { usage } from './failure.ts'
import type { Colors } from './output.ts'

/** `50%`, `12.5`; 0 to 100. Error: `USAGE`. */
export function parsePercent(text: string): number {
  const digits = /^(\d{1,3}(?:\.\d{1,4})?)%?$/.exec(text.trim())?.[1]
  const percent = Number(digits)
  if (digits === undefined || percent > 100)
    throw usage(`--throttle ${text} is not a share of calls.`, 'Write it as in --throttle 50%, from 0% to 100%.')
  return percent
}

export function stateText(state: ValveState, colors: Colors): string {
  if (state === 'flowing') return colors.green(state)
  return state === 'cut' ? colors.red(state) : colors.yellow(state)
}
