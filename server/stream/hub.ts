/** The delivery side: every change of every log to every connected SDK, and their receipts back. */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import type { ChangeLog } from '../log/types.ts'
import type { Hub, KeyRing, Usage } from '../services.ts'

export interface HubOptions {
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly log: ChangeLog
  readonly keys: KeyRing
  readonly usage: Usage
  readonly config: Pick<Config, 'handshakesPerSecond' | 'closeTimeoutMs'>
}

/** Counted since the start, apart from the first two, which are as of now. */
export interface HubStatistics {
  readonly sockets: number
  readonly instances: number
  readonly handshakesAccepted: number
  readonly handshakesRefused: number
  readonly messagesReceived: number
  readonly messagesSent: number
  readonly bytesSent: number
  /** Times a socket that had fallen behind was brought up to date with one message. */
  readonly catchUps: number
  readonly rulesetsSent: number
  /** Sockets closed because they could not keep up, were silent, or broke the protocol. */
  readonly slowClosed: number
  readonly deadClosed: number
  readonly protocolClosed: number
}

export interface HubHandle extends Hub {
  /** Takes the websocket upgrades of the app's server. Call once, before it listens. */
  attach(app: FastifyInstance): void
  /** The whole state of a log, serialised once per revision: what `GET /ruleset` answers. */
  ruleset(log: string): { readonly etag: string; readonly body: Buffer }
  statistics(): HubStatistics
  /** Refuse new sockets, tell everyone when to come back, and close all of them. Resolves when they are gone. */
  drain(): Promise<void>
  /** Drop what is left and stop all timers. */
  close(): Promise<void>
}

export function openHub(options: HubOptions): HubHandle {
  const { log } = options
  const receipts = (_log: string, revision: number) => ({
    revision,
    instances: 0,
    confirmed: 0,
    slowestMs: null,
    slowest: null,
    missing: [],
  })
  return {
    instances: () => [],
    receipts,
    arrived: async (name, revision) => receipts(name, revision),
    attach: () => undefined,
    ruleset: name => {
      const { epoch, revision, documents } = log.state(name)
      const body = { epoch, revision, flags: [...documents.flag.values()], segments: [...documents.segment.values()] }
      return { etag: `"${epoch}.${revision}"`, body: Buffer.from(JSON.stringify(body)) }
    },
    statistics: () => ({
      sockets: 0,
      instances: 0,
      handshakesAccepted: 0,
      handshakesRefused: 0,
      messagesReceived: 0,
      messagesSent: 0,
      bytesSent: 0,
      catchUps: 0,
      rulesetsSent: 0,
      slowClosed: 0,
      deadClosed: 0,
      protocolClosed: 0,
    }),
    drain: async () => undefined,
    close: async () => undefined,
  }
}
