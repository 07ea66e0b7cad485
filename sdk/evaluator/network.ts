/** Addresses and networks (CIDR) of IPv4 and IPv6. Strict: no octal, no short forms, no zone ids. */

/** An address: one 32-bit word for IPv4, four for IPv6. An IPv4-mapped IPv6 address (`::ffff:1.2.3.4`) is IPv4. */
export type Address = readonly number[]

export interface Network {
  /** With the bits after the prefix cleared. */
  readonly words: Address
  readonly masks: readonly number[]
}

/** `ffff:ffff:…` with an embedded IPv4 address is never longer. */
const ADDRESS_LENGTH_MAX = 45
const MAPPED_BITS = 96
const HEX_GROUP = /^[0-9A-Fa-f]{1,4}$/
const PREFIX = /^(0|[1-9][0-9]{0,2})$/

/** @returns null when the text is no address */
export function parseAddress(text: string): Address | null {
  if (text.length > ADDRESS_LENGTH_MAX) return null
  if (!text.includes(':')) {
    const word = parseIpv4(text)
    return word === null ? null : [word]
  }
  const words = parseIpv6(text)
  return words !== null && isMapped(words) ? [words[3]!] : words
}

/** @returns null when the text is neither `address/prefix` nor an address, which is a network of one */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf('/')
  const addressText = slash === -1 ? text : text.slice(0, slash)
  const words = parseAddress(addressText)
  if (words === null) return null
  const isMappedText = words.length === 1 && addressText.includes(':')
  const bitsMax = addressText.includes(':') ? 128 : 32
  const prefixText = slash === -1 ? String(bitsMax) : text.slice(slash + 1)
  if (!PREFIX.test(prefixText) || Number(prefixText) > bitsMax) return null
  const bits = Number(prefixText)
  if (!isMappedText) return network(words, bits)
  // `::ffff:10.0.0.0/104` is 10.0.0.0/8; with fewer than 96 bits it is a network of IPv6, which holds no IPv4 address.
  return bits >= MAPPED_BITS ? network(words, bits - MAPPED_BITS) : network([0, 0, 0xffff, words[0]!], bits)
}

export function contains(network: Network, address: Address): boolean {
  const { words, masks } = network
  if (words.length !== address.length) return false
  for (let i = 0; i < words.length; i++) {
    if ((address[i]! & masks[i]!) >>> 0 !== words[i]) return false
  }
  return true
}

function network(address: Address, bits: number): Network {
  // A shift by 32 would be a shift by 0: the empty mask is written out.
  const masks = address.map((_, i) => {
    const own = Math.min(32, Math.max(0, bits - 32 * i))
    return own === 0 ? 0 : (0xffff_ffff << (32 - own)) >>> 0
  })
  return { words: address.map((word, i) => (word & masks[i]!) >>> 0), masks }
}

function isMapped(words: readonly number[]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/** Four decimal numbers of 0 to 255 without leading zeros. */
function parseIpv4(text: string): number | null {
  let word = 0
  let octet = -1
  let octets = 1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46) {
      if (octet === -1 || ++octets > 4) return null
      word = word * 256 + octet
      octet = -1
    } else if (code >= 48 && code <= 57) {
      if (octet === 0) return null
      octet = (octet === -1 ? 0 : octet * 10) + code - 48
      if (octet > 255) return null
    } else {
      return null
    }
  }
  return octets === 4 && octet !== -1 ? word * 256 + octet : null
}

/** RFC 4291, section 2.2: eight groups, one `::` for one or more groups of zeros, IPv4 in the place of the last two. */
function parseIpv6(text: string): number[] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = parseGroups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : []
  if (head === null || tail === null) return null
  const zeros = 8 - head.length - tail.length
  if (halves.length === 1 ? zeros !== 0 : zeros < 1) return null
  const groups = [...head, ...new Array<number>(zeros).fill(0), ...tail]
  return [0, 2, 4, 6].map(i => groups[i]! * 0x1_0000 + groups[i + 1]!)
}

/** @param isEnd whether the last group may be an IPv4 address */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!
    if (HEX_GROUP.test(part)) {
      groups.push(Number.parseInt(part, 16))
      continue
    }
    const word = isEnd && i === parts.length - 1 ? parseIpv4(part) : null
    if (word === null) return null
    groups.push(word >>> 16, word & 0xffff)
  }
  return groups
}
