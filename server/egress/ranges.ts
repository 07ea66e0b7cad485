/** Which addresses belong to the public internet. Everything else is somebody's inside, and no place to send what a form was given. */
import { BlockList, isIP } from 'node:net'

/** IPv4 that is not public, from the registry of special-purpose addresses (RFC 6890 and what came after). */
const NOT_PUBLIC_4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // shared by carriers; one cloud has its metadata there
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local, and the metadata of most clouds
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, and broadcast
]

/**
 * Of IPv6 only what is handed out to the internet is public, and not what of it carries another address within. So `::1`, `fc00::/7`,
 * `fe80::/10`, multicast, IPv4 mapped (`::ffff:0:0/96`) or translated (`64:ff9b::/96`) are not, without being listed.
 */
const GLOBAL_6 = ['2000::', 3] as const
const NOT_PUBLIC_6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // protocol assignments: Teredo, benchmarks, ORCHID
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: an IPv4 address within
  ['3fff::', 20], // documentation
]

const notPublic = new BlockList()
for (const [network, bits] of NOT_PUBLIC_4) notPublic.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of NOT_PUBLIC_6) notPublic.addSubnet(network, bits, 'ipv6')
const globalUnicast = new BlockList()
globalUnicast.addSubnet(...GLOBAL_6, 'ipv6')

/** Link-local (the metadata of clouds), multicast and what is no address of anybody: not even for a host that is allowed by name. */
const never = new BlockList()
never.addSubnet('0.0.0.0', 8, 'ipv4')
never.addSubnet('169.254.0.0', 16, 'ipv4')
never.addAddress('100.100.100.200', 'ipv4')
never.addSubnet('224.0.0.0', 3, 'ipv4')
never.addAddress('::', 'ipv6')
never.addSubnet('fe80::', 10, 'ipv6')
never.addSubnet('ff00::', 8, 'ipv6')
never.addAddress('fd00:ec2::254', 'ipv6')

/** @param address an IPv4 or IPv6 address as text, without a zone; false for anything else */
export function isPublic(address: string): boolean {
  const version = isIP(address)
  if (version === 4) return !notPublic.check(address, 'ipv4')
  return version === 6 && globalUnicast.check(address, 'ipv6') && !notPublic.check(address, 'ipv6')
}

/** Whether a host that is allowed by its name may stand for this address. */
export function isNameable(address: string): boolean {
  const version = isIP(address)
  return version !== 0 && !never.check(address, version === 4 ? 'ipv4' : 'ipv6')
}
