/** Durations and moments as people type and read them. */
import { usage } from './failure.ts'

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/i

/** `30m`, `2h`, `1h30m`, `500ms`, `0` as milliseconds; null when it is none. */
export function durationMs(text: string): number | null {
  if (text === '0') return 0
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/.test(text)) return null
  let total = 0
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) total += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  return total
}

/** Error: `USAGE`. */
export function parseDuration(text: string, option: string): number {
  const ms = durationMs(text)
  if (ms === null) throw usage(`${option} ${text} is not a duration.`, `Write it as in ${option} 30s, ${option} 5m or ${option} 1h30m.`)
  return ms
}

/** A moment to come: a duration from now, or RFC 3339. Error: `USAGE`. */
export function momentAhead(text: string, option: string, now: number): string {
  const ms = durationMs(text)
  const moment = ms === null ? rfc3339(text) : now + ms
  if (moment === null)
    throw usage(
      `${option} ${text} is neither a duration nor a moment.`,
      `Write it as in ${option} 30m, ${option} 2h or ${option} 2026-11-21T05:00:00Z.`,
    )
  if (moment <= now) throw usage(`${option} ${text} is not in the future.`, `It is ${new Date(now).toISOString()} now.`)
  return new Date(moment).toISOString()
}

/** A place in the log: a revision number, a duration ago, or RFC 3339. Error: `USAGE`. */
export function placeInLog(text: string, option: string, now: number): { revision: number } | { at: string } {
  if (/^r?\d{1,16}$/.test(text)) return { revision: Number(text.replace('r', '')) }
  const ms = durationMs(text)
  const moment = ms === null ? rfc3339(text) : now - ms
  if (moment === null) {
    throw usage(
      `${option} ${text} is neither a revision, a duration ago nor a moment.`,
      `Write it as in ${option} 9871, ${option} 30m (ago) or ${option} 2026-11-21T03:12:00Z.`,
    )
  }
  return { at: new Date(moment).toISOString() }
}

/** The state that `--revision` or `--at` asks for; neither is now. Error: `USAGE`. */
export function placeAsked(options: { readonly revision?: string; readonly at?: string }, now: number): { revision?: number; at?: string } {
  if (options.at !== undefined && options.revision !== undefined) throw usage('Both --at and --revision were given.', 'Give one of them.')
  const text = options.revision ?? options.at
  return text === undefined ? {} : placeInLog(text, options.revision === undefined ? '--at' : '--revision', now)
}

/** The same as the text that `since`, `until`, `from` and `to` of the API take. */
export function placeText(text: string, option: string, now: number): string {
  const place = placeInLog(text, option, now)
  return 'revision' in place ? String(place.revision) : place.at
}

/** `2026-11-21 03:12:05Z`: UTC, to the second, as logs of other tools have it. */
export function momentText(moment: string): string {
  const ms = Date.parse(moment)
  return Number.isNaN(ms) ? moment : `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`
}

function rfc3339(text: string): number | null {
  if (!MOMENT.test(text)) return null
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? null : ms
}
