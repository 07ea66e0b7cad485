/** The SDK's own client with a server in the same process: everything as in an application, but the network. */
import type { Flag } from '../schemas/flag.ts'
import { startClient } from '../sdk/client.ts'
import { systemClock } from '../sdk/clock.ts'
import { readOptions } from '../sdk/options.ts'
import type { LinkEvents, Transport } from '../sdk/transport.ts'
import type { Sluice } from '../sdk/types.ts'

/** Silence of 15 s counts as a dead link. */
const BEAT_INTERVAL_MS = 4_000

export interface Local {
  readonly client: Sluice
  /** One commit, as the hub tells of it. */
  change(flag: Flag): void
}

/** A client that holds these flags. They reach it as text, over its own parser. */
export async function startLocal(flags: readonly Flag[]): Promise<Local> {
  const epoch = 'local'
  let revision = 1
  let link: LinkEvents | null = null
  const transport: Transport = {
    open(events) {
      link = events
      setImmediate(() => events.opened())
      return {
        send(text) {
          if ((JSON.parse(text) as { type: string }).type !== 'hello') return
          setImmediate(() => events.message(JSON.stringify({ type: 'ruleset', epoch, revision, flags, segments: [] })))
        },
        drop: () => (link = null),
        bytesRead: () => 0,
      }
    },
    poll: async () => ({ kind: 'failed', problem: 'there is no poll here' }),
    report: async () => true,
    close: async () => undefined,
  }
  setInterval(() => link?.message(JSON.stringify({ type: 'beat', epoch, revision })), BEAT_INTERVAL_MS).unref()
  const settings = readOptions({ url: 'ws://localhost', key: 'local' }, 'local')
  const client = startClient(settings, { clock: systemClock, random: Math.random, transport: () => transport })
  const { ok } = await client.ready(60_000)
  if (!ok) throw new Error('The client did not take the ruleset')
  return {
    client,
    change(flag) {
      const from = revision++
      link?.message(
        JSON.stringify({ type: 'change', epoch, from, revision, flags: [flag], segments: [], removedFlags: [], removedSegments: [] }),
      )
    },
  }
}
