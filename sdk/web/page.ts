/**
 * What is asked of the page, or of the worker: in one place, so that nothing else touches a global, and neither building
 * this nor using its types needs the types of the DOM. All of it may be missing.
 */
import type { Clock } from '../clock.ts'

export interface Page {
  readonly WebSocket?: new (url: string, protocols: string[]) => PageSocket
  readonly localStorage?: PageStorage
  readonly document?: PageEvents & { readonly visibilityState?: string }
  readonly console?: { error(text: string): void }
  readonly addEventListener?: PageEvents['addEventListener']
  readonly removeEventListener?: PageEvents['removeEventListener']
}

export interface PageSocket {
  send(text: string): void
  close(): void
  onopen: (() => void) | null
  onmessage: ((event: { readonly data: unknown }) => void) | null
  onerror: (() => void) | null
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null
}

export interface PageStorage {
  readonly length: number
  key(i: number): string | null
  getItem(key: string): string | null
  setItem(key: string, text: string): void
  removeItem(key: string): void
}

export interface PageEvents {
  addEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
  removeEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
}

export function thisPage(): Page {
  return globalThis as unknown as Page
}

/** The page's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    // A page that was frozen finds its timers due before what came on its socket: that is read first, then silence is judged.
    let timer = setTimeout(() => (timer = setTimeout(run)), Math.max(0, Math.ceil(ms)))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** A page that was hidden for so long may have slept meanwhile, and its link with it. */
const HIDDEN_MS = 30_000

/**
 * Tells what befalls the page.
 * @returns what ends it
 */
export function watchPage(page: Page, now: () => number, told: { woke(): void; hidden(): void; left(): void }): () => void {
  let hiddenAt: number | null = null
  const ends: (() => void)[] = []
  const on = (target: Partial<PageEvents> | undefined, type: string, listener: Parameters<PageEvents['addEventListener']>[1]): void => {
    target?.addEventListener?.(type, listener)
    ends.push(() => target?.removeEventListener?.(type, listener))
  }
  on(page, 'online', () => told.woke())
  // Back from the cache of pages that one goes back to.
  on(page, 'pageshow', event => {
    if (event.persisted === true) told.woke()
  })
  on(page, 'pagehide', () => told.left())
  on(page.document, 'resume', () => told.woke())
  on(page.document, 'visibilitychange', () => {
    if (page.document?.visibilityState === 'hidden') {
      hiddenAt = now()
      told.hidden()
    } else {
      // The wall clock: the other one may stand still while a machine sleeps.
      if (hiddenAt !== null && now() - hiddenAt > HIDDEN_MS) told.woke()
      hiddenAt = null
    }
  })
  return () => {
    for (const end of ends) end()
  }
}
