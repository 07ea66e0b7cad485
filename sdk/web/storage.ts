/** The last values in the page's `localStorage`, one entry per context. Whatever is wrong with it, it is as if it were empty. */
import type { Clock } from '../clock.ts'
import type { Place } from '../connection.ts'
import { isItems, type Item } from './messages.ts'
import type { Settings } from './options.ts'
import type { Page, PageStorage } from './page.ts'

/** Older values are not used: a page may be opened after a year. */
export const KEPT_MS = 24 * 60 * 60 * 1_000
/** The contexts that came last: a shared machine has many. */
export const CONTEXTS_KEPT = 10

const PREFIX = 'sluice:'

export interface Kept extends Place {
  readonly flags: readonly Item[]
}

export interface Store {
  load(context: string): Kept | null
  save(context: string, kept: Kept): void
}

export function localStore(page: Page, { base, key }: Pick<Settings, 'base' | 'key'>, clock: Pick<Clock, 'now'>): Store {
  // Neither the key nor the context can be read from the name, and the values of one are never taken for another's.
  const nameOf = (context: string): string => PREFIX + hashOf(`${base}\n${key}\n${context}`)

  function read(storage: PageStorage, name: string): (Kept & { readonly at: number }) | null {
    try {
      const entry = JSON.parse(storage.getItem(name) ?? 'null') as (Kept & { readonly at: number }) | null
      const age = clock.now() - (entry?.at ?? NaN)
      const isFit =
        typeof entry?.epoch === 'string' && Number.isSafeInteger(entry.revision) && typeof entry.hash === 'string' && isItems(entry.flags)
      // A clock that was put back makes everything seem to be of the future: as good as of now.
      return isFit && age < KEPT_MS && age > -KEPT_MS ? entry : null
    } catch {
      return null
    }
  }

  function forgetOld(storage: PageStorage): void {
    const names = Array.from({ length: storage.length }, (_, i) => storage.key(i) ?? '').filter(name => name.startsWith(PREFIX))
    const newestFirst = names.map(name => ({ name, at: read(storage, name)?.at ?? -Infinity })).sort((a, b) => b.at - a.at)
    for (const [i, { name, at }] of newestFirst.entries()) if (i >= CONTEXTS_KEPT || at === -Infinity) storage.removeItem(name)
  }

  return {
    load: context => attempt(page, storage => read(storage, nameOf(context))),
    save(context, kept) {
      attempt(page, storage => {
        storage.setItem(nameOf(context), JSON.stringify({ ...kept, at: clock.now() }))
        forgetOld(storage)
        return null
      })
    },
  }
}

/** The storage may be missing, forbidden (asking for it then throws), or full. */
function attempt<T>(page: Page, run: (storage: PageStorage) => T | null): T | null {
  try {
    return page.localStorage === undefined ? null : run(page.localStorage)
  } catch {
    return null
  }
}

/** FNV-1a (Fowler, Noll, Vo), and again with another start and factor: 64 bits, so that no two contexts of a page share a name. */
function hashOf(text: string): string {
  let [one, two] = [0x811c9dc5, 0x1b873593]
  for (let i = 0; i < text.length; i++) {
    one = Math.imul(one ^ text.charCodeAt(i), 0x01000193)
    two = Math.imul(two ^ text.charCodeAt(i), 0x85ebca6b)
  }
  return [one, two].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('')
}
