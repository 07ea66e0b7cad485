/** Draws over what it has drawn, in place: each picture takes that of the one before, and the last one stays. */

/** A terminal, or what plays one. */
export interface Screen {
  write(text: string): unknown
  readonly columns?: number | undefined
  readonly rows?: number | undefined
}

const COLUMNS_USUAL = 80
const ROWS_USUAL = 24

/** Whether it is a terminal whose cursor can be moved. Colours are another question. */
export function canRedraw(screen: { readonly isTTY?: boolean }, environment: Readonly<Record<string, string | undefined>>): boolean {
  return screen.isTTY === true && environment.TERM !== 'dumb'
}

export interface Redraw {
  /** What a picture may take: a line less than there is, so that nothing scrolls. */
  size(): { readonly width: number; readonly height: number }
  draw(lines: readonly string[]): void
}

export function openRedraw(screen: Screen): Redraw {
  let drawn = 0
  let width = 0
  const size = (): { width: number; height: number } => ({
    width: screen.columns ?? COLUMNS_USUAL,
    height: Math.max(1, (screen.rows ?? ROWS_USUAL) - 1),
  })
  return {
    size,
    draw(lines) {
      const now = size()
      // In another width the old lines have been broken anew, and nobody knows how many there are: begin on an empty screen.
      const isMoved = drawn > 0 && (now.width !== width || drawn > now.height)
      const back = isMoved ? '\u001b[2J\u001b[H' : drawn > 0 ? `\u001b[${drawn}A\r` : ''
      screen.write(`${back}${lines.map(line => `${line}\u001b[K\n`).join('')}\u001b[J`)
      drawn = lines.length
      width = now.width
    },
  }
}
