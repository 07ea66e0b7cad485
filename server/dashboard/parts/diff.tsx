/** Two states side by side, the equal parts folded; at 360 pixels they stand below each other. */
import { useMemo } from 'preact/hooks'
import { hunks, type Row, sideBySide } from '../diff.ts'

/** Rows drawn at most: a list of 100,000 values can be another one as a whole. */
const ROWS_MAX = 400

const MARKS = { same: ' ', changed: '≠', added: '+', removed: '−' } as const

export interface DiffProps {
  readonly before: readonly string[]
  readonly after: readonly string[]
  readonly beforeTitle: string
  readonly afterTitle: string
}

export function Diff({ before, after, beforeTitle, afterTitle }: DiffProps) {
  const parts = useMemo(() => hunks(sideBySide(before, after)), [before, after])
  if (parts.every(part => typeof part === 'number')) return <p class="hint">Nothing differs.</p>
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`${beforeTitle} beside ${afterTitle}`}>
      <table class="diff">
        <thead>
          <tr>
            <th scope="col">{beforeTitle}</th>
            <th scope="col">{afterTitle}</th>
          </tr>
        </thead>
        <tbody>
          {parts.slice(0, ROWS_MAX).map((part, i) =>
            typeof part === 'number' ? (
              <tr key={i} class="fold">
                <td colSpan={2}>
                  {part} equal {part === 1 ? 'line' : 'lines'}
                </td>
              </tr>
            ) : (
              <DiffRow key={i} row={part} />
            ),
          )}
        </tbody>
      </table>
      {parts.length > ROWS_MAX && <p class="hint">and {parts.length - ROWS_MAX} lines more</p>}
    </div>
  )
}

function DiffRow({ row: { kind, left, right } }: { readonly row: Row }) {
  return (
    <tr class={kind}>
      <td class={left === null ? 'none' : kind === 'same' ? '' : 'before'}>
        {left !== null && `${kind === 'added' ? ' ' : kind === 'same' ? ' ' : MARKS.removed} ${left}`}
      </td>
      <td class={right === null ? 'none' : kind === 'same' ? '' : 'after'}>
        {right !== null && `${kind === 'same' ? ' ' : MARKS.added} ${right}`}
      </td>
    </tr>
  )
}
