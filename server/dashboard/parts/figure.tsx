/** Figures as people read them: numbers with separators, shares with a bar, tiles, and a table that turns into cards where it is narrow. */
import type { ComponentChildren } from 'preact'
import './live.css'

export function numberText(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

/** What share of the calls that is, and never `0 %` for some. */
export function shareOf(part: number, all: number): string {
  if (all === 0) return part === 0 ? '–' : '100 %'
  const percent = (part / all) * 100
  return percent > 0 && percent < 0.1 ? '<0.1 %' : `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)} %`
}

/** A share as a bar beside its number. */
export function Gauge({ share, tone, children }: { share: number; tone: string; children: ComponentChildren }) {
  return (
    <span class="gauge">
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" class={tone}>
        <rect class="ground" width="100" height="8" />
        <rect class="level" width={Math.max(0, Math.min(1, share)) * 100} height="8" />
      </svg>
      <span class="number">{children}</span>
    </span>
  )
}

export function Tiles({ children }: { readonly children: ComponentChildren }) {
  return <dl class="tiles">{children}</dl>
}

export function Tile({ name, children, tone = '' }: { name: string; children: ComponentChildren; tone?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={tone}>{children}</dd>
    </div>
  )
}

/** @param heads of columns; those that begin with `#` hold numbers */
export function Table({
  name,
  heads,
  rows,
}: {
  readonly name: string
  readonly heads: readonly string[]
  readonly rows: readonly { readonly key: string; readonly cells: readonly ComponentChildren[] }[]
}) {
  return (
    <table class="cards" aria-label={name}>
      <thead>
        <tr>
          {heads.map((head, i) => (
            <th key={i} scope="col" class={head.startsWith('#') ? 'number' : ''}>
              {head.replace('#', '')}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ key, cells }) => (
          <tr key={key}>
            {cells.map((cell, i) => (
              <td key={i} data-label={(heads[i] ?? '').replace('#', '')} class={heads[i]?.startsWith('#') === true ? 'number' : ''}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
