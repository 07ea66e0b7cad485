/** What a command is given: where it goes, whom it talks to, what it may write to. */
import type { Command } from 'commander'
import { at, type Client, createClient } from './client.ts'
import { EXIT, Failure, usage } from './failure.ts'
import { isExposed, loginPath, readLogin } from './login.ts'
import { createOutput, type Output } from './output.ts'
import { type GlobalOptions, readSettings, type Settings } from './settings.ts'

export interface Session {
  readonly output: Output
  readonly settings: Settings
  readonly options: GlobalOptions
  /** Opened at first use. Error: `KEY_UNKNOWN` without a key. */
  client(): Client
  /** `/api/v1/projects/:project` */
  readonly projectPath: string
  /** `/api/v1/projects/:project/environments/:environment` */
  readonly environmentPath: string
  /** What every write carries: `--dry-run` and `--message`. */
  readonly write: { readonly dryRun?: true; readonly comment?: string }
  /** `default/production`, or `production` in the default project: for people. */
  readonly place: string
  /** Ends the command with a code other than 0, once everything is written. */
  exit(code: number): void
}

/** The output alone, for what happens before or without a session. */
export function openOutput(json: boolean): Output {
  return createOutput(process.stdout, process.stderr, { json, environment: process.env })
}

/**
 * @param command the command that runs, for its options and those of its parents
 * @param rules   `environmentNamed`: the command can do harm in the wrong environment, so nobody's default will do
 * Errors: `USAGE`, `FILE_UNREADABLE`.
 */
export function openSession(command: Command, rules: { environmentNamed?: boolean } = {}): Session {
  const options = command.optsWithGlobals<GlobalOptions>()
  const login = readLogin(process.env)
  const settings = readSettings(options, process.env, login)
  const output = openOutput(options.json === true)
  if (login !== null && isExposed(process.env))
    output.note(`sluice: ${loginPath(process.env)} holds your key and others can read it. Run: chmod 600 ${loginPath(process.env)}`)
  if (rules.environmentNamed === true && !settings.environmentNamed) {
    throw usage(
      `"sluice ${pathOf(command)}" needs to know the environment.`,
      'Name it with -e production (or SLUICE_ENVIRONMENT, or "sluice login -e production"): in the wrong one it does harm.',
    )
  }
  const projectPath = at`/api/v1/projects/${settings.project}`
  let client: Client | null = null
  return {
    output,
    settings,
    options,
    projectPath,
    environmentPath: `${projectPath}${at`/environments/${settings.environment}`}`,
    place: settings.project === 'default' ? settings.environment : `${settings.project}/${settings.environment}`,
    write: { ...(options.dryRun === true ? { dryRun: true } : {}), ...(options.message === undefined ? {} : { comment: options.message }) },
    client() {
      if (settings.key === null) {
        throw new Failure('KEY_UNKNOWN', EXIT.usage, `No key is known for ${settings.url}.`, {
          advice: 'Log in with "sluice login", or set SLUICE_KEY.',
        })
      }
      client ??= createClient(settings.url, settings.key)
      return client
    },
    exit(code) {
      process.exitCode = code
    },
  }
}

/** `flag set` for the command `sluice flag set`. */
export function pathOf(command: Command): string {
  const names: string[] = []
  for (let next = command; next.parent !== null; next = next.parent) names.unshift(next.name())
  return names.join(' ')
}
