/** What every kind of notifier says of itself. */
import type { Receipts } from '../../../schemas/instance.ts'
import type { Notifier } from '../../../schemas/notifier.ts'
import type { Outgoing } from '../../egress/egress.ts'
import type { State } from '../../log/types.ts'
import type { Incident, Message } from '../message.ts'

/** One thing to send, as the outbox keeps it: for tools that keep track, a message is one for each thing they keep track of. */
export interface Part {
  readonly message: Message
  readonly incident?: Incident
  /** Of Statuspage. */
  readonly component?: string
}

export interface Parcel {
  /** The same at every try. */
  readonly id: string
  readonly part: Part
  /** How far the change has arrived, where that is worth saying. */
  readonly receipts: Receipts | null
}

export interface Sending {
  readonly notifier: Notifier
  /** Those that could be read, by name. */
  readonly secrets: Readonly<Record<string, string>>
  readonly parcels: readonly [Parcel, ...Parcel[]]
  /** Milliseconds since 1970. */
  readonly now: number
  /** Of its environment, as it stands. */
  readonly state: State
}

export interface Kind {
  /** What it cannot do without. */
  readonly secretsNeeded: readonly string[]
  readonly secretsTaken: readonly string[]
  /** Where it sends to unless told otherwise, and where else it may; null when each notifier has to say. */
  readonly bases: readonly string[] | null
  /** What of a message is sent, each on its own. */
  parts(message: Message, notifier: Notifier): readonly Part[]
  /** How many of those that wait go with the first. */
  together(parts: readonly [Part, ...Part[]]): number
  /** At least so long between two requests. */
  readonly spacingMs: number
  /** Whether the tool documents that an answer like 400 to a request is final. */
  readonly isRefusalFinal: boolean
  request(sending: Sending): Outgoing
  /** What shows that it works and does no harm. */
  tests(sending: Sending): readonly Outgoing[]
}

/** Without the slash at its end. */
export function baseOf(notifier: Notifier, usual: string): string {
  return (notifier.url ?? usual).replace(/\/+$/, '')
}
