/**
 * How an evaluation came out, as one short text that sums are kept under: a letter for the reason or the error, then
 * the variation. Texts are stored, so a letter is never given another meaning. Pure.
 */

// Maps, as reasons come from outside and an object has more properties than it shows.
const LETTERS = new Map([
  ['KILLED', 'K'],
  ['OFF', 'O'],
  ['PREREQUISITE_FAILED', 'P'],
  ['TARGET_MATCH', 'T'],
  ['RULE_MATCH', 'R'],
  ['FALLTHROUGH', 'F'],
])
const ERROR_LETTERS = new Map([
  ['FLAG_NOT_FOUND', 'n'],
  ['TYPE_MISMATCH', 't'],
  ['MALFORMED_FLAG', 'm'],
  ['PREREQUISITE_CYCLE', 'c'],
])
/** A reason or error of a newer SDK, or an error that an older one did not name. */
const OTHER = 'X'
const OTHER_ERROR = 'e'
/** The sum of outcomes that were too many to tell apart: a variation of no flag, as keys are ASCII. */
export const REST = `${OTHER}…`
/** Before the letter: the rollout had nothing to bucket by. */
const UNBUCKETED = '-'

const REASONS = new Map([...LETTERS].map(([reason, letter]) => [letter, reason]))
const ERRORS = new Map([...ERROR_LETTERS].map(([error, letter]) => [letter, error]))

export interface Outcome {
  /** Null for an error: the caller's default took its place. */
  readonly variation: string | null
  readonly reason: string
  readonly error: string | null
  readonly unbucketed: boolean
}

export function outcomeText(variation: string | null, reason: string, error: string | null | undefined, unbucketed: boolean): string {
  if (variation === null || reason === 'ERROR') return ERROR_LETTERS.get(error ?? '') ?? OTHER_ERROR
  return `${unbucketed ? UNBUCKETED : ''}${LETTERS.get(reason) ?? OTHER}${variation}`
}

export function outcomeOf(text: string): Outcome {
  const unbucketed = text.startsWith(UNBUCKETED)
  const letter = text.charAt(unbucketed ? 1 : 0)
  const reason = REASONS.get(letter)
  if (reason !== undefined || letter === OTHER) {
    return { variation: text.slice(unbucketed ? 2 : 1), reason: reason ?? 'OTHER', error: null, unbucketed }
  }
  return { variation: null, reason: 'ERROR', error: ERRORS.get(letter) ?? 'OTHER', unbucketed: false }
}
