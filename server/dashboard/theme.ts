/** Dark, light, or as the system has it; what was chosen is kept in this browser. */
import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const NAME = 'sluice-theme'

export const theme = signal<Theme>(read())
apply(theme.value)

export function setTheme(next: Theme): void {
  theme.value = next
  apply(next)
  try {
    localStorage.setItem(NAME, next)
  } catch {
    // A browser that keeps nothing forgets it with the page.
  }
}

function read(): Theme {
  try {
    const kept = localStorage.getItem(NAME)
    return kept === 'light' || kept === 'dark' ? kept : 'system'
  } catch {
    return 'system'
  }
}

function apply(next: Theme): void {
  if (next === 'system') document.documentElement.removeAttribute('data-theme')
  else document.documentElement.setAttribute('data-theme', next)
}
