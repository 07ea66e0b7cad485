/** What a denied request is answered: a problem document (RFC 9457) of the type that the draft of the headers defines. */
import type { Limited } from '../types.ts'

/**
 * draft-ietf-httpapi-ratelimit-headers-11, 5.1. Also for too many at once, which is a quota in `concurrent-requests`
 * there; its `temporary-reduced-capacity` (503) is a service that is short, and not one client that asks for too much.
 */
const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded'
const STATUS = 429

export function problemOf(flag: string, limited: Limited): { status: number; body: string } {
  const problem = {
    type: QUOTA_EXCEEDED,
    title: 'Quota Exceeded',
    status: STATUS,
    detail: detailOf(flag, limited),
    // The name that the headers give it.
    'violated-policies': [limited.reason === 'CONCURRENCY' ? `${flag}/concurrency` : flag],
  }
  return { status: STATUS, body: JSON.stringify(problem) }
}

function detailOf(flag: string, { reason, headers }: Limited): string {
  const seconds = headers['Retry-After']
  const again = seconds === undefined ? '' : ` Try again in ${seconds} s.`
  switch (reason) {
    case 'CUT':
      return `The limit "${flag}" lets nothing through at present.`
    case 'TOO_COSTLY':
      return `The request takes more than the limit "${flag}" ever gives at once.`
    case 'CONCURRENCY':
      return `Too many requests at once for the limit "${flag}".${again}`
    default:
      return `The limit "${flag}" is used up.${again}`
  }
}
