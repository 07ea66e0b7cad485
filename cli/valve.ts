/** Valves in words. Pure. */
import type { ValveState } from '../schemas/valve.ts'
import type { ValveSetting } from '../schemas/valveusage.ts'
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

/** A share of calls: 0.333 is `33 %`, and what is hardly anything is not 0. */
export function shareText(share: number): string {
  const percent = share * 100
  return percent > 0 && percent < 1 ? '<1 %' : `${Math.round(percent)} %`
}

export function stateText(state: ValveState, colors: Colors): string {
  if (state === 'flowing') return colors.green(state)
  return state === 'cut' ? colors.red(state) : colors.yellow(state)
}

/** What holds it where it is: `by itself`, `a kill`, `by hand: 50 %`. */
export function settingText({ by, percent, isAuto }: ValveSetting): string {
  if (by === 'kill') return 'a kill'
  if (by === 'off') return 'the flag is off'
  const most = isAuto ? `by itself${percent < 100 ? `, at most ${percent} %` : ''}` : `${percent} %`
  return by === 'throttle' ? `by hand: ${most}` : isAuto ? most : `as the flag is set: ${most}`
}
