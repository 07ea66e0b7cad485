/** Opens a client on the page's own clock, chance, network and storage. */
import { startClient } from './client.ts'
import { readOptions } from './options.ts'
import { systemClock, thisPage } from './page.ts'
import { localStore } from './storage.ts'
import { networkTransport } from './transport.ts'
import type { Options, Sluice } from './types.ts'

/**
 * Connect to a server. Answers at once, connected or not, and never throws: wrong options are told to the logger, and
 * every value is then its default. With a cache, its values are there when this returns.
 */
export function connect(options: Options): Sluice {
  const page = thisPage()
  const settings = readOptions(options, page)
  return startClient(settings, {
    page,
    clock: systemClock,
    random: Math.random,
    transport: networkTransport(page, settings),
    store: settings.cache === 'local' ? localStore(page, settings, systemClock) : null,
  })
}
