/** `sluice serve`: start the server, configured by options as well as by `SLUICE_…` variables. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { EXIT, Failure } from '../failure.ts'

/** The server's own settings and the option for each. What they mean and allow is the server's to say. */
const SETTINGS = [
  ['--host <address>', 'SLUICE_HOST', 'the address to listen on (default: 127.0.0.1)'],
  ['--port <number>', 'SLUICE_PORT', 'the port, 0 for any free one (default: 7400)'],
  ['--data <folder>', 'SLUICE_DATA', 'the folder of the database (default: sluice-data)'],
  ['--admin-key <key>', 'SLUICE_ADMIN_KEY', 'an admin key of your choice, at least 24 characters; better set as a variable'],
  ['--server-key <key>', 'SLUICE_SERVER_KEY', 'a server key for development, at least 24 characters; better set as a variable'],
  ['--log-level <level>', 'SLUICE_LOG_LEVEL', 'fatal, error, warn, info, debug, trace or silent (default: info)'],
  ['--handshakes-per-second <number>', 'SLUICE_HANDSHAKES_PER_SECOND', 'websocket handshakes admitted per second (default: 500)'],
  ['--api-limit <on|off>', 'SLUICE_API_LIMIT', 'whether requests to the API are limited (default: on)'],
  ['--close-timeout-ms <ms>', 'SLUICE_CLOSE_TIMEOUT_MS', 'how long a graceful close may take (default: 10000)'],
  ['--minute-counts-hours <hours>', 'SLUICE_MINUTE_COUNTS_HOURS', 'how long evaluations are kept by the minute (default: 48)'],
  ['--hour-counts-days <days>', 'SLUICE_HOUR_COUNTS_DAYS', 'how long evaluations are kept by the hour (default: 400)'],
  ['--egress-allow <places>', 'SLUICE_EGRESS_ALLOW', 'networks and host:port that are not public and may be sent to (default: none)'],
] as const

/** Variables of the CLI, and no business of the server: least of all the key. */
const CLI_VARIABLES = ['SLUICE_URL', 'SLUICE_KEY', 'SLUICE_PROJECT', 'SLUICE_ENVIRONMENT']

const HELP = `
Examples:
  $ sluice serve
  $ sluice serve --host 0.0.0.0 --port 7400 --data /var/lib/sluice
  $ SLUICE_ADMIN_KEY=… sluice serve

Ends with Ctrl-C or SIGTERM, after what is under way; its exit code is the server's.`

export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .summary('start the server')
    .description('Start the server. Each option is also a variable; an option wins.')
    .addHelpText('after', HELP)
  for (const [flags, variable, description] of SETTINGS) command.option(flags, `${description}; ${variable}`)
  command.action(async (_options: object, self: Command) => {
    process.exitCode = await serve(serverVariables(self, process.env))
  })
}

/** The variables of the child: ours left out, options over what stood. */
export function serverVariables(
  command: Command,
  variables: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const child: Record<string, string | undefined> = { ...variables }
  for (const variable of CLI_VARIABLES) delete child[variable]
  for (const [flags, variable] of SETTINGS) {
    const option = command.options.find(each => each.flags === flags)
    const value: unknown = option === undefined ? undefined : command.getOptionValue(option.attributeName())
    if (typeof value === 'string') child[variable] = value
  }
  return child
}

/** Runs the server until it ends; answers its exit code. */
async function serve(environment: Record<string, string | undefined>): Promise<number> {
  const main = fileURLToPath(new URL('../../server/main.js', import.meta.url))
  if (!existsSync(main))
    throw new Failure('FILE_UNREADABLE', EXIT.usage, `There is no server at ${main}.`, { advice: 'Build it first with "npm run build".' })
  const child = spawn(process.execPath, [main], { stdio: 'inherit', env: environment })
  // A terminal sends Ctrl-C to the whole group: passed on, the server would hear it twice, and twice means "at once".
  const fromTerminal = process.stdin.isTTY === true
  const forward = (signal: NodeJS.Signals) => (): void => {
    if (signal === 'SIGTERM' || !fromTerminal) child.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, forward(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}
