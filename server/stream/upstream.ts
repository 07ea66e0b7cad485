/** What an SDK sends, from bytes to an event of its session. Lenient about fields and types it does not know, strict about those it does. */
import { leaseSchema } from '../../schemas/lease.ts'
import { appliedSchema, countsSchema, helloSchema } from '../../schemas/stream.ts'
import { valvesSchema } from '../../schemas/valve.ts'
import type { SessionEvent } from './session.ts'

const UNKNOWN: SessionEvent = { kind: 'unknown' }

/** How every SDK of ours writes a receipt; digits and a brace follow. */
const RECEIPT = Buffer.from('{"type":"applied","revision":')
/** Digits that are a safe integer whatever they are. */
const DIGITS_MAX = 15

export function parseUpstream(data: Buffer, isBinary: boolean): SessionEvent {
  if (isBinary) return malformed('messages are text, not binary')
  // One from each of ten thousand after every change: read in place, without a text, an object and a schema.
  const revision = receiptIn(data)
  return revision === null ? parseText(data) : { kind: 'applied', revision }
}

/** The revision of a receipt that is written as SDKs write it; null for everything else. */
function receiptIn(data: Buffer): number | null {
  const digits = data.length - RECEIPT.length - 1
  if (digits < 1 || digits > DIGITS_MAX || data[data.length - 1] !== 0x7d) return null
  if (data.compare(RECEIPT, 0, RECEIPT.length, 0, RECEIPT.length) !== 0) return null
  // JSON knows no leading zeros.
  if (digits > 1 && data[RECEIPT.length] === 0x30) return null
  let revision = 0
  for (let i = RECEIPT.length; i < data.length - 1; i++) {
    const digit = (data[i] ?? 0) - 0x30
    if (digit < 0 || digit > 9) return null
    revision = revision * 10 + digit
  }
  return revision
}

function parseText(data: Buffer): SessionEvent {
  const message = messageIn(data)
  if (typeof message === 'string') return malformed(message)
  switch (message.type) {
    case 'applied': {
      const applied = appliedSchema.safeParse(message)
      return applied.success
        ? { kind: 'applied', revision: applied.data.revision, epoch: applied.data.epoch }
        : malformed('"applied" needs a revision')
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
    case 'lease': {
      const lease = leaseSchema.safeParse(message)
      return lease.success ? { kind: 'lease', lease: lease.data } : malformed(`"lease" is not as ${places(lease.error.issues)} should be`)
    }
    case 'valves': {
      const report = valvesSchema.safeParse(message)
      return report.success
        ? { kind: 'valves', report: report.data }
        : malformed(`"valves" is not as ${places(report.error.issues)} should be`)
    }
    default:
      return UNKNOWN
  }
}

/** What a text says, or what is wrong with it as a sentence. */
export function messageIn(data: Buffer): { readonly type: string; readonly context?: unknown } | string {
  let message: unknown
  try {
    message = JSON.parse(data.toString())
  } catch {
    return 'a message is not JSON'
  }
  const isObject = typeof message === 'object' && message !== null && !Array.isArray(message)
  return isObject && typeof (message as { type?: unknown }).type === 'string'
    ? (message as { type: string })
    : 'a message is an object with a "type"'
}

export function malformed(reason: string): SessionEvent {
  return { kind: 'malformed', reason }
}

/** Where it is wrong, short enough for a close frame. */
export function places(issues: readonly { readonly path: readonly PropertyKey[] }[]): string {
  return (issues[0]?.path ?? []).map(String).join('.').slice(0, 40) || 'it'
}
