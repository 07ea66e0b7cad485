/** Moments as clauses compare them: RFC 3339 with an offset, or milliseconds since 1970. */

//                 1 year   2 month  3 day       4 hour   5 min    6 sec     7 fraction    8 zulu or sign, hours, minutes
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))$/

const DAY_MS = 86_400_000

/** The longest text looked at: more digits of a second than anybody has. */
const DATE_LENGTH_MAX = 64

/**
 * @param value an RFC 3339 date-time with `Z` or an offset, or a finite number of milliseconds since 1970
 * @returns milliseconds since 1970 with what a double holds of a finer fraction, or null when it is no moment
 *
 * A leap second (23:59:60 UTC on the last day of a month) is the same moment as the second after it, as in POSIX.
 */
export function momentOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'string' || value.length > DATE_LENGTH_MAX) return null
  const parts = RFC_3339.exec(value)
  if (parts === null) return null
  const [year, month, day, hour, minute, second] = [
    part(parts, 1),
    part(parts, 2),
    part(parts, 3),
    part(parts, 4),
    part(parts, 5),
    part(parts, 6),
  ]
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || hour > 23 || minute > 59 || second > 60) return null
  const [offsetHours, offsetMinutes] = [part(parts, 10), part(parts, 11)]
  if (offsetHours > 23 || offsetMinutes > 59) return null
  const offset = (parts[9] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes)
  const minutes = dayNumber(year, month, day) * 1_440 + hour * 60 + minute - offset
  if (second === 60 && !isLastMinuteOfMonth(minutes)) return null
  return minutes * 60_000 + second * 1_000 + Number(`0.${parts[7] ?? '0'}`) * 1_000
}

function part(parts: RegExpExecArray, index: number): number {
  return Number(parts[index] ?? '0')
}

function daysOf(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Days since 1970-01-01 of the Gregorian calendar. `Date.UTC` would take the years 0 to 99 for 1900 to 1999. */
function dayNumber(year: number, month: number, day: number): number {
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return date.getTime() / DAY_MS
}

/** @param minutes since 1970, UTC */
function isLastMinuteOfMonth(minutes: number): boolean {
  const next = new Date((minutes + 1) * 60_000)
  return next.getUTCDate() === 1 && next.getUTCHours() === 0 && next.getUTCMinutes() === 0
}
