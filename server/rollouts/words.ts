/** Numbers of plans in words, for entries of the log and answers. Pure. */

/** `5 %`, `0.5 %`. */
export function percentText(percent: number): string {
  return `${Number(percent.toFixed(3))} %`
}

/** A share from 0 to 1: `1.23 %`; null is nothing known. */
export function shareText(share: number | null): string {
  return share === null ? 'nothing' : `${Number((share * 100).toPrecision(3))} %`
}

/** `1 step`, `12,345 exposures`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** `45 s`, `12 min`, `3 h 5 min`, `4 days`. */
export function durationText(ms: number): string {
  if (ms < 60_000) return `${Math.round(ms / 1_000)} s`
  const minutes = Math.round(ms / 60_000)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 72) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.round(hours / 24)} days`
}
