/** Versions as semver.org orders them; `2` and `2.0` count as `2.0.0`, build data is ignored. */

export interface Version {
  /** Major, minor, patch as decimal digits without leading zeros: semver sets no bound that a number would hold. */
  readonly numbers: readonly string[]
  /** The identifiers after the hyphen; empty for a release. */
  readonly prerelease: readonly string[]
}

const NUMBER = '(0|[1-9][0-9]*)'
const VERSION = new RegExp(`^${NUMBER}(?:\\.${NUMBER}(?:\\.${NUMBER})?)?(?:-([0-9A-Za-z.-]+))?(?:\\+([0-9A-Za-z.-]+))?$`)
const DIGITS = /^[0-9]+$/

/** The longest text taken for a version, as in the semver package. */
export const VERSION_LENGTH_MAX = 256

/** @returns null when the text is no version: a leading `v`, a leading zero, an empty identifier */
export function parseVersion(text: string): Version | null {
  if (text.length > VERSION_LENGTH_MAX) return null
  const parts = VERSION.exec(text)
  if (parts === null) return null
  const prerelease = parts[4] === undefined ? [] : parts[4].split('.')
  if (!prerelease.every(isPrereleaseIdentifier)) return null
  if (parts[5]?.split('.').includes('') === true) return null
  return { numbers: [parts[1] ?? '0', parts[2] ?? '0', parts[3] ?? '0'], prerelease }
}

/** @returns negative, zero or positive: the precedence of `a` over `b` (semver.org, clause 11) */
export function compareVersions(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) {
    const order = compareDigits(a.numbers[i]!, b.numbers[i]!)
    if (order !== 0) return order
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length
  const shared = Math.min(a.prerelease.length, b.prerelease.length)
  for (let i = 0; i < shared; i++) {
    const order = compareIdentifiers(a.prerelease[i]!, b.prerelease[i]!)
    if (order !== 0) return order
  }
  return a.prerelease.length - b.prerelease.length
}

/** Letters, digits and hyphens; not empty; if all digits, without leading zeros. */
function isPrereleaseIdentifier(identifier: string): boolean {
  return identifier !== '' && !(identifier.length > 1 && identifier.startsWith('0') && DIGITS.test(identifier))
}

function compareIdentifiers(a: string, b: string): number {
  const aIsNumber = DIGITS.test(a)
  const bIsNumber = DIGITS.test(b)
  if (aIsNumber && bIsNumber) return compareDigits(a, b)
  if (aIsNumber !== bIsNumber) return aIsNumber ? -1 : 1
  return a === b ? 0 : a < b ? -1 : 1
}

/** Without leading zeros the longer number is the greater one. */
function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length
  return a === b ? 0 : a < b ? -1 : 1
}
