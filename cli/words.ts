/** Flags and values in words: what a person reads at 3 a.m. Clauses and outcomes: `schemas/words.ts`. Pure. */
import type { Flag, FlagKind } from '../schemas/flag.ts'
import type { Json } from '../schemas/json.ts'

/** Whether and how the flag answers: `on`, `off`, or `KILLED` (for everyone) and `on, killed for some`. */
export function stateOf(flag: Pick<Flag, 'enabled' | 'kills'>): 'on' | 'off' | 'killed' | 'killed for some' {
  if (flag.kills.some(kill => kill.clauses.length === 0)) return 'killed'
  if (flag.kills.length > 0) return 'killed for some'
  return flag.enabled ? 'on' : 'off'
}

/** A variation with its value where that says more: `off (false)`. */
export function variationText(flag: Pick<Flag, 'variations'> | null, key: string): string {
  const variation = flag?.variations.find(each => each.key === key)
  return variation === undefined ? key : `${key} (${valueText(variation.value)})`
}

const VALUE_LENGTH_SHOWN = 80

/** A value as one line of JSON, cut when it is long. */
export function valueText(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length <= VALUE_LENGTH_SHOWN ? text : `${text.slice(0, VALUE_LENGTH_SHOWN - 1)}…`
}

/** `1 flag`, `3 flags`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** A command to copy: every word quoted for a shell where it needs it. */
export function commandText(words: readonly string[]): string {
  return words.map(word => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}

/** The kinds of flags, as `schemas/flag.ts` lists them; written again because that file brings zod, which a command line need not wait for. */
export const FLAG_KINDS: readonly FlagKind[] = ['release', 'kill-switch', 'config', 'rate-limit', 'safety-valve', 'migration']
