/** A moment as people say it, exact on hover; it grows older by itself. */
import { signal } from '@preact/signals'

const TICK_MS = 10_000
const now = signal(Date.now())
setInterval(() => (now.value = Date.now()), TICK_MS)

const UNITS: readonly (readonly [name: Intl.RelativeTimeFormatUnit, ms: number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
]
const words = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'short' })

export function Moment({ at }: { readonly at: string }) {
  const exact = new Date(at)
  return (
    <time dateTime={at} title={`${exact.toISOString().replace('T', ' ').replace('.000Z', ' UTC')} (${exact.toLocaleString()})`}>
      {relative(exact.getTime(), now.value)}
    </time>
  )
}

export function relative(at: number, from: number): string {
  const ms = at - from
  if (Math.abs(ms) < 10_000) return 'just now'
  const [unit, size] = UNITS.find(([, each]) => Math.abs(ms) >= each) ?? UNITS.at(-1)!
  return words.format(Math.round(ms / size), unit)
}
