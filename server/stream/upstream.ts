/** What an SDK sends, from bytes to an event of its session. Lenient about fields and types it does not know, strict about those it does. */
import { appliedSchema, countsSchema, helloSchema } from '../../schemas/stream.ts'
import type { SessionEvent } from './session.ts'

const UNKNOWN: SessionEvent = { kind: 'unknown' }

export function parseUpstream(data: Buffer, isBinary: boolean): SessionEvent {
  if (isBinary) return malformed('messages are text, not binary')
  let message: unknown
  try {
    message = JSON.parse(data.toString())
  } catch {
    return malformed('a message is not JSON')
  }
  if (
    typeof message !== 'object' ||
    message === null ||
    Array.isArray(message) ||
    !('type' in message) ||
    typeof message.type !== 'string'
  ) {
    return malformed('a message is an object with a "type"')
  }
  switch (message.type) {
    case 'applied': {
      const applied = appliedSchema.safeParse(message)
      return applied.success ? { kind: 'applied', revision: applied.data.revision } : malformed('"applied" needs a revision')
    }
    case 'hello': {
      const hello = helloSchema.safeParse(message)
      return hello.success ? { kind: 'hello', hello: hello.data } : malformed(`"hello" is not as ${places(hello.error.issues)} should be`)
    }
    case 'counts': {
      const counts = countsSchema.safeParse(message)
      return counts.success
        ? { kind: 'counts', counts: counts.data }
        : malformed(`"counts" is not as ${places(counts.error.issues)} should be`)
    }
    default:
      return UNKNOWN
  }
}

function malformed(reason: string): SessionEvent {
  return { kind: 'malformed', reason }
}

/** Where it is wrong, short enough for a close frame. */
function places(issues: readonly { readonly path: readonly PropertyKey[] }[]): string {
  return (issues[0]?.path ?? []).map(String).join('.').slice(0, 40) || 'it'
}
