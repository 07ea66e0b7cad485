/** Two lists of lines side by side: the longest common ones face each other. */

export interface Row {
  readonly kind: 'same' | 'changed' | 'added' | 'removed'
  readonly left: string | null
  readonly right: string | null
}

/** Beyond this the middle is shown as one block: a table of so many cells is what a browser does at once. */
const CELLS_MAX = 4_000_000

export function sideBySide(before: readonly string[], after: readonly string[]): Row[] {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end++
  const same = (text: string): Row => ({ kind: 'same', left: text, right: text })
  return [
    ...before.slice(0, start).map(same),
    ...middle(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ]
}

function middle(before: readonly string[], after: readonly string[]): Row[] {
  const rows: Row[] = []
  let removed: string[] = []
  let added: string[] = []
  const flush = (): void => {
    for (let i = 0; i < Math.max(removed.length, added.length); i++) {
      const left = removed[i] ?? null
      const right = added[i] ?? null
      rows.push({ kind: left === null ? 'added' : right === null ? 'removed' : 'changed', left, right })
    }
    removed = []
    added = []
  }
  const width = after.length + 1
  if ((before.length + 1) * width > CELLS_MAX) {
    removed = [...before]
    added = [...after]
    flush()
    return rows
  }
  // common[i][j]: how many lines the rests from i and j share.
  const common = new Uint32Array((before.length + 1) * width)
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i * width + j] =
        before[i] === after[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!)
    }
  }
  let i = 0
  let j = 0
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) {
      flush()
      rows.push({ kind: 'same', left: before[i]!, right: after[j]! })
      i++
      j++
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) removed.push(before[i++]!)
    else added.push(after[j++]!)
  }
  removed.push(...before.slice(i))
  added.push(...after.slice(j))
  flush()
  return rows
}

/** Rows near a difference; how many equal ones were left out stands where they were. */
export function hunks(rows: readonly Row[], around = 2): (Row | number)[] {
  const shown = new Uint8Array(rows.length)
  rows.forEach(({ kind }, i) => {
    if (kind === 'same') return
    for (let j = Math.max(0, i - around); j <= Math.min(rows.length - 1, i + around); j++) shown[j] = 1
  })
  const result: (Row | number)[] = []
  rows.forEach((row, i) => {
    const last = result.at(-1)
    if (shown[i] === 1) result.push(row)
    else if (typeof last === 'number') result[result.length - 1] = last + 1
    else result.push(1)
  })
  return result
}
