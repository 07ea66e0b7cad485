/** Every way a command can end badly, with the exit code that says which. `docs/cli.md` documents both. */
import type { ErrorDetail } from '../schemas/errors.ts'

export const EXIT = {
  /** Done. */
  ok: 0,
  /** The server understood and refused (4xx). */
  refused: 1,
  /** The command line cannot be taken; nothing was sent. */
  usage: 2,
  /** The server could not be reached, or failed itself (5xx). */
  unreachable: 3,
  /** Done, but not every connected instance confirmed it in time. */
  unconfirmed: 4,
  /** What was watched has ended otherwise than it was to: a rollout that was turned back or cancelled. */
  turnedBack: 5,
} as const

/** Codes of the CLI's own, beside those of the server. */
export const CODES = {
  USAGE: EXIT.usage,
  KEY_UNKNOWN: EXIT.usage,
  FILE_UNREADABLE: EXIT.usage,
  NOT_REACHABLE: EXIT.unreachable,
  BAD_ANSWER: EXIT.unreachable,
  INTERNAL: EXIT.unreachable,
} as const

/** A failure as it is shown: `message` says what and where, `advice` what to do next. */
export class Failure extends Error {
  readonly code: string
  readonly exitCode: number
  readonly details: readonly ErrorDetail[]
  readonly advice: string | null

  constructor(
    code: string,
    exitCode: number,
    message: string,
    options: { details?: readonly ErrorDetail[]; advice?: string | null; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Failure'
    this.code = code
    this.exitCode = exitCode
    this.details = options.details ?? []
    this.advice = options.advice ?? null
  }
}

/** The command line cannot be taken: nothing was sent. */
export function usage(message: string, advice?: string): Failure {
  return new Failure('USAGE', EXIT.usage, message, { advice: advice ?? null })
}
