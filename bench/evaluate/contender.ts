/** What a contender is: the same flags in its own form, and the call an application makes. */
import { createRequire } from 'node:module'
import type { Context } from '../../schemas/context.ts'
import type { Sketch } from './sketch.ts'

export interface Contender {
  /** What runs, and in which version. */
  readonly version: string
  /** Whether rollouts place contexts in Sluice's buckets, so that every answer can be held against the expected one. */
  readonly keepsBuckets: boolean
  /** Whether its calls answer with a promise. */
  readonly isAsync: boolean
  /** The shapes it has no means for, and why. */
  readonly cannot: Readonly<Record<string, string>>
  /** Its own form of a context. Made before the clock starts: an application makes it once for a request with many flags. */
  userOf(context: Context): unknown
  /** A client that holds these flags. */
  open(sketches: readonly Sketch[]): Promise<Client>
}

export type Decide = (user: never, i: number) => unknown

export interface Client {
  /** The call for one flag, as it stands in an application. */
  one(key: string): Decide
  /** The call for a flag whose key is only known when it runs. */
  value(key: string, user: never): unknown
  /** All flags in one call, and how to read a value out of the answer; absent where there is no such call. */
  readonly all?: { readonly call: Decide; readonly read: (answer: never, key: string) => unknown }
}

/** A client of an SDK that has one call for everything. */
export function clientOf(value: (key: string, user: never) => unknown, all?: Client['all']): Client {
  return { one: key => user => value(key, user), value, ...(all === undefined ? {} : { all }) }
}

/** Another SDK, from `bench/peers`, where `npm ci --prefix bench/peers` puts it. Throws where it is not installed. */
export function peer(name: string, entry = name): { readonly module: unknown; readonly version: string } {
  const require = createRequire(new URL('../../../bench/peers/package.json', import.meta.url))
  const module: unknown = require(entry)
  const path = require.resolve(entry)
  const root = path.slice(0, path.lastIndexOf(`/node_modules/${name}/`))
  const { version } = require(`${root}/node_modules/${name}/package.json`) as { version: string }
  return { module, version: `${name} ${version}` }
}
