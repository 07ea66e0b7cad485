/**
 * Every failure a caller can see. Codes are permanent: retire one, never reuse it. `docs/errors.md` explains each,
 * and a test holds the two lists equal.
 */
export const ERRORS = {
  // the request
  INVALID_REQUEST: { status: 400 },
  INVALID_JSON: { status: 400 },
  UNSUPPORTED_MEDIA_TYPE: { status: 415 },
  BODY_TOO_LARGE: { status: 413 },
  ROUTE_NOT_FOUND: { status: 404 },
  METHOD_NOT_ALLOWED: { status: 405 },
  LIMIT_EXCEEDED: { status: 422 },
  UPGRADE_REQUIRED: { status: 426 },
  // who asks
  KEY_MISSING: { status: 401 },
  KEY_INVALID: { status: 401 },
  KEY_EXPIRED: { status: 401 },
  SIGNATURE_INVALID: { status: 401 },
  FORBIDDEN: { status: 403 },
  TOO_MANY_REQUESTS: { status: 429 },
  HOOK_REFUSED: { status: 401 },
  // what is named
  PROJECT_NOT_FOUND: { status: 404 },
  ENVIRONMENT_NOT_FOUND: { status: 404 },
  FLAG_NOT_FOUND: { status: 404 },
  SEGMENT_NOT_FOUND: { status: 404 },
  KILL_NOT_FOUND: { status: 404 },
  LIMIT_NOT_FOUND: { status: 404 },
  TRIGGER_NOT_FOUND: { status: 404 },
  THROTTLE_NOT_FOUND: { status: 404 },
  KEY_NOT_FOUND: { status: 404 },
  CHANGE_NOT_FOUND: { status: 404 },
  CHAT_NOT_FOUND: { status: 404 },
  NOTIFIER_NOT_FOUND: { status: 404 },
  PLAN_NOT_FOUND: { status: 404 },
  SCHEDULE_NOT_FOUND: { status: 404 },
  HOOK_NOT_FOUND: { status: 404 },
  ALREADY_EXISTS: { status: 409 },
  // what is written
  INVALID_FLAG: { status: 422 },
  INVALID_SEGMENT: { status: 422 },
  INVALID_TRIGGER: { status: 422 },
  INVALID_NOTIFIER: { status: 422 },
  PREREQUISITE_CYCLE: { status: 422 },
  SEGMENT_CYCLE: { status: 422 },
  INVALID_HOOK: { status: 422 },
  HOOK_IN_USE: { status: 409 },
  FLAG_IN_USE: { status: 409 },
  FLAG_KILLED: { status: 409 },
  SEGMENT_IN_USE: { status: 409 },
  ENVIRONMENT_IN_USE: { status: 409 },
  LAST_ADMIN_KEY: { status: 409 },
  REVERT_CONFLICT: { status: 409 },
  RATE_STEP_TOO_LARGE: { status: 409 },
  INVALID_PLAN: { status: 422 },
  PLAN_STATE: { status: 409 },
  PLAN_LOCKED: { status: 409 },
  PLAN_CONFLICT: { status: 409 },
  BUILT_IN: { status: 409 },
  VERSION_CONFLICT: { status: 412 },
  // what is sent to the outside
  EGRESS_REFUSED: { status: 422 },
  EGRESS_FAILED: { status: 502 },
  // the server's own state
  STORAGE_FULL: { status: 507 },
  STORAGE_UNAVAILABLE: { status: 503 },
  NOT_READY: { status: 503 },
  INTERNAL: { status: 500 },
  // start-up: never sent over HTTP, printed and exited with
  CONFIG_INVALID: { status: 500 },
  DATA_LOCKED: { status: 500 },
  SQLITE_TOO_OLD: { status: 500 },
  LOG_DAMAGED: { status: 500 },
  DATA_TOO_NEW: { status: 500 },
  ROUTE_WITHOUT_POLICY: { status: 500 },
  PORT_IN_USE: { status: 500 },
} as const satisfies Record<string, { status: number }>

export type ErrorCode = keyof typeof ERRORS

/** One thing wrong at one place: `path` as in `rules[2].clauses[0].op`, empty for the whole body. */
export interface ErrorDetail {
  readonly path: string
  readonly code: string
  readonly message: string
}

/** What every failed request answers. */
export interface ErrorBody {
  readonly code: string
  readonly message: string
  readonly details: readonly ErrorDetail[]
}

/** The one error class. Callers switch on `code`, never on the text. */
export class SluiceError extends Error {
  readonly code: ErrorCode
  readonly details: readonly ErrorDetail[]

  constructor(code: ErrorCode, message: string, options: { details?: readonly ErrorDetail[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SluiceError'
    this.code = code
    this.details = options.details ?? []
  }

  /** The HTTP status this code answers with. */
  get status(): number {
    return ERRORS[this.code].status
  }

  toJSON(): ErrorBody {
    return { code: this.code, message: this.message, details: this.details }
  }
}
