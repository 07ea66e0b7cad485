/** What clients say, from bytes to an event of their session. As `upstream.ts`, with a context. */
import { clientCountsSchema, clientHelloSchema } from '../../schemas/clientstream.ts'
import type { Context } from '../../schemas/context.ts'
import { CLIENT_UPSTREAM_BYTES_MAX } from '../../schemas/protocol.ts'
import { contextOf, contextProblem } from '../ofrep/context.ts'
import type { SessionEvent } from './session.ts'
import { malformed, messageIn, places } from './upstream.ts'

/** Where a client says who is asking. */
export interface Asked {
  readonly context: Context
  readonly contextId: number
}

export interface ClientEvent {
  readonly event: SessionEvent
  /** With a hello. */
  readonly asked: Asked | null
}

/** The context is looked over as OFREP's is, which bounds its depth before anything walks through it. */
const headSchema = clientHelloSchema.omit({ context: true })

export function parseClientUpstream(data: Buffer, isBinary: boolean): ClientEvent {
  if (data.length > CLIENT_UPSTREAM_BYTES_MAX) return alone(malformed(`a message is larger than ${CLIENT_UPSTREAM_BYTES_MAX} bytes`))
  if (isBinary) return alone(malformed('messages are text, not binary'))
  const message = messageIn(data)
  if (typeof message === 'string') return alone(malformed(message))
  switch (message.type) {
    case 'hello': {
      const head = headSchema.safeParse(message)
      if (!head.success) return alone(malformed(`"hello" is not as ${places(head.error.issues)} should be`))
      // What exactly is wrong would name attributes of a person in the server's log.
      if (contextProblem(message.context) !== null) return alone(malformed('the context is none, or beyond a limit of docs/openfeature.md'))
      const { contextId, ...said } = head.data
      return {
        event: { kind: 'hello', hello: { ...said, instance: 'client', service: '' } },
        asked: { context: contextOf(message), contextId },
      }
    }
    case 'counts': {
      const counts = clientCountsSchema.safeParse(message)
      if (!counts.success) return alone(malformed(`"counts" is not as ${places(counts.error.issues)} should be`))
      return alone({ kind: 'counts', counts: { ...counts.data, dropped: 0, unknownOperators: [] } })
    }
    default:
      return alone({ kind: 'unknown' })
  }
}

function alone(event: SessionEvent): ClientEvent {
  return { event, asked: null }
}
