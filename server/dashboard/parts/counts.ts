/** Numbers as people read them. */

/** `1 flag`, `12,400 flags`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** `12 ms`, `0.8 s`. */
export function millisecondsText(ms: number): string {
  return ms < 100 ? `${Math.max(1, Math.round(ms))} ms` : `${Number((ms / 1_000).toFixed(ms < 10_000 ? 1 : 0))} s`
}

/** A share from 0 to 1: `25 %`. */
export function shareText(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}

/** `a`, `a and b`, `a, b and 12 more`. */
export function listText(items: readonly string[], most = 6): string {
  const shown = items.length > most ? [...items.slice(0, most), `${items.length - most} more`] : items
  return shown.length < 2 ? (shown[0] ?? '') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1) ?? ''}`
}
