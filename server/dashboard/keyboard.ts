/** Everything by keyboard: `/` searches, `k` kills, `g` and a letter goes to a page, `?` shows what there is. */
import { useLayoutEffect, useRef } from 'preact/hooks'

export interface Shortcut {
  /** As in `k`, `/` or `g f`. */
  readonly keys: string
  readonly what: string
  readonly run: () => void
}

const shortcuts = new Map<string, Shortcut[]>()
const SEQUENCE_MS = 1_200
let before: { readonly key: string; readonly at: number } | null = null

/** Those of all that is shown now, the innermost last. */
export function allShortcuts(): readonly Shortcut[] {
  return [...shortcuts.values()].flatMap(list => list.slice(-1))
}

/** In force while the component is shown; the innermost wins. */
export function useShortcut(keys: string, what: string, run: () => void): void {
  const latest = useRef(run)
  latest.current = run
  useLayoutEffect(() => {
    const own: Shortcut = { keys, what, run: () => latest.current() }
    shortcuts.set(keys, [...(shortcuts.get(keys) ?? []), own])
    return () => {
      const left = (shortcuts.get(keys) ?? []).filter(other => other !== own)
      if (left.length === 0) shortcuts.delete(keys)
      else shortcuts.set(keys, left)
    }
  }, [keys, what])
}

addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return
  const now = performance.now()
  const sequence = before !== null && now - before.at < SEQUENCE_MS ? `${before.key} ${event.key}` : ''
  const found = (shortcuts.get(sequence) ?? shortcuts.get(event.key))?.at(-1)
  before = found === undefined ? { key: event.key, at: now } : null
  if (found === undefined) return
  event.preventDefault()
  found.run()
})

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  // In a dialog a letter is for the dialog.
  return target.isContentEditable || target.closest('dialog[open]') !== null || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
}
