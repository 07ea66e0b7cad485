/**
 * Names to addresses. Asked of the name servers directly first, where any number of slow names wait without holding one of the four
 * threads that file writes need as well; only a name they do not know is looked up as the system does it (hosts file, search domains), two at a time.
 */
import { lookup, Resolver } from 'node:dns/promises'

/** The addresses of a name, in the order to be tried; empty or rejected when there are none. */
export type Resolve = (name: string) => Promise<readonly string[]>

const TIMEOUT_MS = 4_000
const TRIES = 2
const LOOKUPS_AT_ONCE = 2
/** What a name server that is there never said. Asking the system would wait for it again, and hold a thread meanwhile. */
const NO_ANSWER: ReadonlySet<string> = new Set(['ETIMEOUT', 'ECANCELLED', 'EDESTRUCTION'])

export function systemResolve(): Resolve {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  const turns: (() => void)[] = []
  let running = 0

  const looked = async (name: string): Promise<readonly string[]> => {
    if (running >= LOOKUPS_AT_ONCE) await new Promise<void>(resolve => turns.push(resolve))
    else running++
    try {
      return (await lookup(name, { all: true, order: 'ipv4first' })).map(({ address }) => address)
    } finally {
      // The turn is handed on as it is, so that nobody comes in between.
      const next = turns.shift()
      if (next === undefined) running--
      else next()
    }
  }

  return async name => {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const addresses = answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
    if (addresses.length > 0) return addresses
    const failure = answers.find(answer => answer.status === 'rejected' && NO_ANSWER.has(codeOf(answer.reason)))
    if (failure?.status === 'rejected') throw failure.reason
    return looked(name)
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
