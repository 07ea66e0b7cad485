/** `SLUICE_EGRESS_ALLOW`: which places that are not public the server may send to all the same. */
import { BlockList, isIP } from 'node:net'
import { isNameable } from './ranges.ts'

export interface Allow {
  /** Whether a URL's host and port are listed, whatever the name stands for. */
  names(url: URL): boolean
  /** Whether an address may be connected to although it is not public, and without TLS. */
  address(url: URL, address: string): boolean
}

/** One entry: a network (`10.20.0.0/16`, `fd12::/64`), an address, or a host with its port (`hooks.internal:8443`). Null for anything else. */
type Entry = { readonly network: string; readonly bits: number; readonly version: 4 | 6 } | { readonly host: string }

/** What is wrong with an entry, for people; null when nothing is. */
export function allowProblem(entry: string): string | null {
  if (parseEntry(entry) !== null) return null
  return 'must be networks as in 10.20.0.0/16 or hosts with their port as in hooks.internal:8443, with commas between'
}

export function allowOf(entries: readonly string[]): Allow {
  const networks = new BlockList()
  const hosts = new Set<string>()
  for (const text of entries) {
    const entry = parseEntry(text)
    if (entry === null) continue
    if ('host' in entry) hosts.add(entry.host)
    else networks.addSubnet(entry.network, entry.bits, entry.version === 4 ? 'ipv4' : 'ipv6')
  }
  const names = (url: URL): boolean => hosts.has(hostOf(url))
  return {
    names,
    address(url, address) {
      const version = isIP(address)
      if (version === 0) return false
      return networks.check(address, version === 4 ? 'ipv4' : 'ipv6') || (names(url) && isNameable(address))
    },
  }
}

function parseEntry(text: string): Entry | null {
  const [network = '', bits, ...rest] = text.split('/')
  const version = isIP(network)
  if (version === 4 || version === 6) {
    const most = version === 4 ? 32 : 128
    if (rest.length > 0) return null
    if (bits === undefined) return { network, bits: most, version }
    return /^\d{1,3}$/.test(bits) && Number(bits) <= most ? { network, bits: Number(bits), version } : null
  }
  if (!/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(text)) return null
  const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`) : null
  return url === null ? null : { host: hostOf(url) }
}

/** `host:port` with the port written out: URLs leave out the usual one of their scheme. */
function hostOf({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`
}
