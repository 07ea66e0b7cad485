/** Opens a client on the machine's own clock, chance and network. */
import { randomUUID } from 'node:crypto'
import { startClient } from './client.ts'
import { systemClock } from './clock.ts'
import { readOptions } from './options.ts'
import { networkTransport } from './transport.ts'
import type { Options, Sluice } from './types.ts'

/**
 * Connect to a server. Answers at once, connected or not, and never throws: wrong options are told to the logger, and
 * every value is then its default. With a cache file, its values are there when this returns.
 */
export function connect(options: Options): Sluice {
  return startClient(readOptions(options, randomUUID()), { clock: systemClock, random: Math.random, transport: networkTransport })
}
