/** A client of the SDK over the real network, and waiting for what an application would notice of it. */
import { connect } from '../../sdk/index.ts'
import type { Options, Sluice } from '../../sdk/types.ts'
import { KEY } from './server.ts'

/** Far more than any of this takes: a test that waits so long has failed. */
export const LONG_MS = 120_000

interface Teardown {
  teardown(run: () => unknown): void
}

/** Nothing of the SDK keeps a process alive, so that a test which waits for it alone must. */
export function stayAlive(t: Teardown): void {
  const alive = setInterval(() => undefined, LONG_MS)
  t.teardown(() => clearInterval(alive))
}

export function open(t: Teardown, url: string, options: Partial<Options> = {}): Sluice {
  const client = connect({ url, key: KEY, logger: {}, pollIntervalMs: 1_000, readyTimeoutMs: LONG_MS, ...options })
  t.teardown(() => client.close())
  return client
}

/** Resolves once the condition holds; it is looked at now and after every event. */
export function holds(client: Sluice, condition: () => boolean): Promise<void> {
  return new Promise(resolve => {
    const ends: (() => void)[] = []
    const check = (): void => {
      if (!condition()) return
      for (const end of ends) end()
      resolve()
    }
    ends.push(client.on('change', check), client.on('stale', check), client.on('ready', check))
    check()
  })
}
