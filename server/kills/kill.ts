/**
 * What a kill may be and what it adds to a flag. Only the kill itself is judged here: it must not fail because the
 * rest of the flag no longer passes what edits must pass. Pure, called inside a write's turn.
 */
import { randomBytes } from 'node:crypto'
import type { Clause } from '../../schemas/clause.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Kill, KillRequest } from '../../schemas/kill.ts'
import { KILLS_MAX } from '../../schemas/limits.ts'
import { moment } from '../clock.ts'
import { arranged } from '../flags/arrange.ts'
import { findFlag } from '../flags/find.ts'
import { clauseProblems } from '../flags/validate.ts'
import type { PlannedEdit, State } from '../log/types.ts'

/** What the server adds to a request. */
export interface KillStamp {
  readonly actor: string
  /** Now, in ms since 1970. */
  readonly now: number
}

export type Killing =
  /** `kill` lies over `flag`, which is as it stands when the very same kill stood there already. */
  { readonly kill: Kill; readonly existing: boolean; readonly flag: Flag }

/**
 * The flag with the kill laid over it, or as it stands when an identical kill (variation, clauses, until) does already.
 * Errors: `INVALID_FLAG` (a variation the flag does not have, operands that cannot be used, an unknown segment),
 * `INVALID_REQUEST` (`until` has passed), `LIMIT_EXCEEDED`.
 */
export function laidOver(state: State, flag: Flag, request: KillRequest, stamp: KillStamp): Killing {
  const variation = request.variation ?? flag.offVariation
  const clauses = request.clauses ?? []
  const until = request.until === undefined || request.until === null ? null : moment(Date.parse(request.until))
  refuseProblems(state, flag, variation, clauses)
  const standing = flag.kills.find(kill => isSame(kill, variation, clauses, until))
  if (standing !== undefined) return { kill: standing, existing: true, flag }
  if (until !== null && Date.parse(until) <= stamp.now) {
    throw new SluiceError(
      'INVALID_REQUEST',
      `Kill of "${flag.key}" in "${state.log}": until is ${until}, which has passed. Give a later moment, or none.`,
      {
        details: [{ path: 'until', code: 'past', message: `has passed: it is ${moment(stamp.now)} now` }],
      },
    )
  }
  if (flag.kills.length >= KILLS_MAX) {
    throw new SluiceError(
      'LIMIT_EXCEEDED',
      `Flag "${flag.key}" in "${state.log}": has ${flag.kills.length} kills, the most there can be. Lift one first, or kill without clauses.`,
      {
        details: [{ path: '', code: 'too_many_kills', message: `at most ${KILLS_MAX} kills can stand on one flag` }],
      },
    )
  }
  const kill: Kill = {
    id: newKillId(),
    variation,
    clauses,
    reason: request.reason,
    actor: stamp.actor,
    at: moment(stamp.now),
    until,
    ...(request.incident === undefined ? {} : { incident: request.incident }),
  }
  return { kill, existing: false, flag: arranged({ ...flag, kills: [...flag.kills, kill] }) }
}

export interface Skipped {
  readonly flag: string
  readonly code: string
  readonly message: string
}

/**
 * The same kill over many flags. One that cannot be killed so (it does not exist, or lacks the variation) is skipped and
 * named, so that the others are not kept waiting. Errors: those of `laidOver` when none can be killed, `FLAG_NOT_FOUND`.
 */
export function laidOverAll(
  state: State,
  keys: readonly string[],
  request: KillRequest,
  stamp: KillStamp,
): { readonly killings: readonly Killing[]; readonly skipped: readonly Skipped[] } {
  const killings: Killing[] = []
  const skipped: Skipped[] = []
  let refusal: SluiceError | undefined
  for (const key of new Set(keys)) {
    try {
      killings.push(laidOver(state, findFlag(state, key), request, stamp))
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error
      refusal ??= error
      skipped.push({ flag: key, code: error.code, message: error.message })
    }
  }
  if (killings.length === 0 && refusal !== undefined) throw refusal
  return { killings, skipped }
}

/** What kills write: those that stood already write nothing. */
export function killEdits(killings: readonly Killing[]): PlannedEdit[] {
  return killings.filter(killing => !killing.existing).map(({ flag }): PlannedEdit => ({ type: 'flag', key: flag.key, after: flag }))
}

/** The keys of the flags with a tag, sorted. Error: `FLAG_NOT_FOUND` when none has it. */
export function taggedFlags(state: State, tag: string): string[] {
  const keys = [...state.documents.flag.values()].filter(flag => flag.tags?.includes(tag) ?? false).map(flag => flag.key)
  if (keys.length > 0) return keys.sort()
  const known = [...new Set([...state.documents.flag.values()].flatMap(flag => flag.tags ?? []))].sort().slice(0, 20)
  throw new SluiceError(
    'FLAG_NOT_FOUND',
    `No flag in "${state.log}" has the tag "${tag}". Tags in use: ${known.length === 0 ? 'none' : known.join(', ')}.`,
  )
}

/** The flag without some of its kills; the others keep their order. */
export function lifted(flag: Flag, isGone: (kill: Kill) => boolean): Flag {
  return arranged({ ...flag, kills: flag.kills.filter(kill => !isGone(kill)) })
}

function newKillId(): string {
  return `k_${randomBytes(6).toString('hex')}`
}

function refuseProblems(state: State, flag: Flag, variation: string, clauses: readonly Clause[]): void {
  const problems: ErrorDetail[] = []
  if (!flag.variations.some(candidate => candidate.key === variation)) {
    const names = flag.variations.map(candidate => `"${candidate.key}"`).join(', ')
    problems.push({
      path: 'variation',
      code: 'unknown_variation',
      message: `the flag has no variation "${variation}" to serve. Name one of ${names}.`,
    })
  }
  problems.push(...clauseProblems(clauses, { segments: state.documents.segment }, ''))
  const [first] = problems
  if (first === undefined) return
  const more = problems.length > 1 ? ` (${problems.length - 1} more in details)` : ''
  throw new SluiceError('INVALID_FLAG', `Kill of "${flag.key}" in "${state.log}": ${first.message}${more}`, {
    details: problems.slice(0, 50),
  })
}

function isSame(kill: Kill, variation: string, clauses: readonly Clause[], until: string | null): boolean {
  if (kill.variation !== variation || kill.clauses.length !== clauses.length) return false
  if ((kill.until === null ? null : Date.parse(kill.until)) !== (until === null ? null : Date.parse(until))) return false
  return kill.clauses.every((clause, i) => clauseText(clause) === clauseText(clauses[i]))
}

/** A clause as one text, whatever the order of its fields and with its defaults left out. */
export function clauseText(clause: Clause | undefined): string {
  if (clause === undefined) return ''
  return JSON.stringify([clause.attribute ?? null, clause.op, clause.values, clause.negate ?? false, clause.ignoreCase ?? false])
}
