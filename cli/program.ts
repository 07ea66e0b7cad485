/** The tree of commands: `sluice …`. Each command is one file that adds itself here. */
import { Command, Help, Option } from 'commander'
import { addChat } from './commands/chat.ts'
import { addCompletion } from './commands/completion.ts'
import { addDiff } from './commands/diff.ts'
import { addEnvironments } from './commands/environments.ts'
import { addExplain } from './commands/explain.ts'
import { addExport } from './commands/export.ts'
import { addFlag } from './commands/flag.ts'
import { addFlags } from './commands/flags.ts'
import { addHistory } from './commands/history.ts'
import { addHooks } from './commands/hooks.ts'
import { addImport } from './commands/import.ts'
import { addInstances } from './commands/instances.ts'
import { addKeys } from './commands/keys.ts'
import { addKill } from './commands/kill.ts'
import { addKills } from './commands/kills.ts'
import { addLift } from './commands/lift.ts'
import { addLimit } from './commands/limit.ts'
import { addLimits } from './commands/limits.ts'
import { addLogin } from './commands/login.ts'
import { addLogout } from './commands/logout.ts'
import { addNotifiers } from './commands/notifiers.ts'
import { addProjects } from './commands/projects.ts'
import { addRevert } from './commands/revert.ts'
import { addRollout } from './commands/rollout.ts'
import { addSchedule } from './commands/schedule.ts'
import { addSegments } from './commands/segments.ts'
import { addServe } from './commands/serve.ts'
import { addStatus } from './commands/status.ts'
import { addTelemetry } from './commands/telemetry.ts'
import { addValve } from './commands/valve.ts'
import { addValves } from './commands/valves.ts'
import { addTriggers } from './commands/triggers.ts'
import { addWatch } from './commands/watch.ts'
import { VERSION } from './version.ts'

const EXAMPLES = `
Examples:
  $ sluice login --url https://sluice.example.com
  $ sluice flags -e production --state killed
  $ sluice kill checkout -e production --where /device/os=android -m "double charges"
  $ sluice lift checkout -e production
  $ sluice watch -e production

Exit codes: 0 done · 1 the server refused · 2 the command line cannot be taken · 3 the server is not reachable or
failed · 4 done, but not every connected instance has confirmed it in time.

Where to go: --url, -p and -e, else SLUICE_URL, SLUICE_PROJECT and SLUICE_ENVIRONMENT, else what "sluice login"
stored. The key comes from SLUICE_KEY or "sluice login", never from the command line of another command.`

/** In the order that help lists them. */
const COMMANDS = [
  addStatus,
  addFlags,
  addFlag,
  addKill,
  addLift,
  addKills,
  addRollout,
  addSchedule,
  addLimit,
  addValve,
  addExplain,
  addWatch,
  addInstances,
  addLimits,
  addValves,
  addTriggers,
  addTelemetry,
  addHistory,
  addDiff,
  addRevert,
  addNotifiers,
  addSegments,
  addHooks,
  addExport,
  addImport,
  addEnvironments,
  addProjects,
  addKeys,
  addChat,
  addLogin,
  addLogout,
  addServe,
  addCompletion,
] as const

/** A fresh tree, ready to parse. */
export function buildProgram(): Command {
  const program = new Command('sluice')
    .description('Feature flags for operations: kill, lift, watch and change flags from a terminal.')
    .usage('<command> [options]')
    .version(VERSION, '-V, --version', 'the version of this command')
    .addOption(new Option('-p, --project <key>', 'the project (default: SLUICE_PROJECT, the login\'s, or "default")'))
    .addOption(
      new Option(
        '-e, --environment <key>',
        'the environment (default: SLUICE_ENVIRONMENT, the login\'s, or "development"; kill, lift, revert and import insist on one)',
      ),
    )
    .addOption(new Option('--url <url>', "the server (default: SLUICE_URL, the login's, or http://127.0.0.1:7400)"))
    .addOption(new Option('--json', 'answer with JSON on stdout, and failures as JSON on stderr'))
    .addOption(new Option('-m, --message <text>', 'why; kept in the log with the change'))
    .addOption(new Option('--dry-run', 'check everything and show what would change, but change nothing'))
    .addHelpText('after', EXAMPLES)
    .configureHelp({ showGlobalOptions: true, helpWidth: 110, optionDescription: descriptionOf })
    .exitOverride()
    // Usage errors are thrown and shown by main.ts, in the manner of every other failure.
    .configureOutput({ outputError: () => undefined })
    .helpCommand('help [command]', 'how a command is used')
  for (const add of COMMANDS) add(program)
  return program
}

/** An option that may be repeated begins as an empty list, which is no default worth showing. */
function descriptionOf(option: Option): string {
  return Help.prototype.optionDescription.call(new Help(), option).replace(/ ?\(default: \[\]\)$/, '')
}
