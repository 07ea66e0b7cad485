/** The server's configuration: `SLUICE_…` variables, or the same as flags of `sluice serve`. */
import { resolve } from 'node:path'
import { z } from 'zod'
import { type ErrorDetail, SluiceError } from '../schemas/errors.ts'
import { allowProblem } from './egress/allow.ts'

/** A key set by configuration is any text of at least this many characters. */
export const CONFIGURED_KEY_LENGTH_MIN = 24

/** What a header can carry as it is: anything else could never be sent. */
const KEY_TEXT = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

const configuredKey = z
  .string()
  .min(CONFIGURED_KEY_LENGTH_MIN, `must have at least ${CONFIGURED_KEY_LENGTH_MIN} characters`)
  .max(512)
  .regex(KEY_TEXT, 'must be letters, digits and signs of ASCII, as headers carry nothing else')
  .optional()

/** Kubernetes sets `SLUICE_PORT=tcp://10.0.0.7:7400` in every container beside a service called "sluice". */
const SERVICE_LINK = /^\w+:\/\//
const SERVICE_LINK_ADVICE =
  'It holds an address, as Kubernetes puts there for a service called "sluice": set enableServiceLinks: false for the pod, ' +
  'call the service otherwise, or set the variable in the container'

/** A setting that counts something: decimal digits only, so that nothing is read otherwise than it looks. */
const whole = (least: number, most: number, usual: number, advice?: (text: string) => string) =>
  z
    .string()
    .regex(/^\d{1,10}$/, {
      error: ({ input }) => `must be a whole number from ${least} to ${most}${advice?.(String(input)) ?? ''}`,
    })
    .transform(Number)
    .refine(value => value >= least && value <= most, `must be a whole number from ${least} to ${most}`)
    .default(usual)

const configSchema = z.object({
  /** The address to listen on; the loopback unless told otherwise. */
  host: z.string().min(1).default('127.0.0.1'),
  /** The port, 0 for any free one. */
  port: whole(0, 65_535, 7_400, text => (SERVICE_LINK.test(text) ? `. ${SERVICE_LINK_ADVICE}` : '')),
  /** The folder of the database and of the files beside it. */
  data: z.string().min(1).default('sluice-data'),
  adminKey: configuredKey,
  serverKey: configuredKey,
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Websocket handshakes admitted per second; more are answered 503 with Retry-After. */
  handshakesPerSecond: whole(1, 100_000, 500),
  /** Whether the built-in flag `api-requests` of the project `sluice` limits requests to the API. */
  apiLimit: z.enum(['on', 'off']).default('on'),
  /** Milliseconds that a graceful close may take. */
  closeTimeoutMs: whole(100, 600_000, 10_000),
  /** How long evaluations are kept by the minute, in hours; then they are kept by the hour. */
  minuteCountsHours: whole(24, 1_440, 48),
  /** How long evaluations are kept by the hour, in days: 13 months, to compare a month with that of the year before. */
  hourCountsDays: whole(7, 3_660, 400),
  /** What is not public and may be sent to all the same: networks, addresses, and hosts with their port. */
  egressAllow: z
    .string()
    .default('')
    .transform((text, context) => {
      const entries = text
        .split(',')
        .map(entry => entry.trim())
        .filter(entry => entry !== '')
      const problem = entries.map(allowProblem).find(each => each !== null)
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
      return entries
    }),
})

export type Config = Readonly<z.infer<typeof configSchema>>

/** The variable each setting is read from. */
export const VARIABLES = {
  host: 'SLUICE_HOST',
  port: 'SLUICE_PORT',
  data: 'SLUICE_DATA',
  adminKey: 'SLUICE_ADMIN_KEY',
  serverKey: 'SLUICE_SERVER_KEY',
  logLevel: 'SLUICE_LOG_LEVEL',
  handshakesPerSecond: 'SLUICE_HANDSHAKES_PER_SECOND',
  apiLimit: 'SLUICE_API_LIMIT',
  closeTimeoutMs: 'SLUICE_CLOSE_TIMEOUT_MS',
  minuteCountsHours: 'SLUICE_MINUTE_COUNTS_HOURS',
  hourCountsDays: 'SLUICE_HOUR_COUNTS_DAYS',
  egressAllow: 'SLUICE_EGRESS_ALLOW',
} as const satisfies Record<keyof Config, string>

/** Variables of the CLI and SDK that the server lets pass. */
const NOT_OURS: readonly string[] = ['SLUICE_URL', 'SLUICE_KEY', 'SLUICE_PROJECT', 'SLUICE_ENVIRONMENT']

/**
 * @param environment where the variables are read from, usually `process.env`; an empty one counts as not set
 * @returns the settings, `data` as an absolute path
 * Error: `CONFIG_INVALID`, naming each variable, what is wrong with it and what is allowed. Values are not repeated: they may be secrets.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const input: Record<string, string> = {}
  const details: ErrorDetail[] = []
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = environment[variable]
    if (value !== undefined && value !== '') input[name] = value
  }
  const result = configSchema.safeParse(input)
  if (!result.success) {
    for (const issue of result.error.issues) {
      const name = String(issue.path[0]) as keyof typeof VARIABLES
      details.push({ path: VARIABLES[name], code: issue.code, message: issue.message })
    }
  }
  if (result.data?.adminKey !== undefined && result.data.adminKey === result.data.serverKey) {
    details.push({ path: VARIABLES.serverKey, code: 'same', message: `must not be the same as ${VARIABLES.adminKey}` })
  }
  if (details.length > 0 || !result.success) {
    const lines = details.map(detail => `${detail.path}: ${detail.message}`).join('; ')
    throw new SluiceError('CONFIG_INVALID', `The configuration cannot be taken: ${lines}. Correct or remove it.`, { details })
  }
  return { ...result.data, data: resolve(result.data.data) }
}

/**
 * The `SLUICE_…` variables that are no setting, sorted: a slip as a rule, so the start names them. They do not stop it, as Kubernetes
 * sets `SLUICE_SERVICE_HOST`, `SLUICE_PORT_7400_TCP` and more beside a service called "sluice".
 */
export function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known: readonly string[] = [...Object.values(VARIABLES), ...NOT_OURS]
  return Object.keys(environment)
    .filter(variable => variable.startsWith('SLUICE_') && !known.includes(variable))
    .sort()
}
