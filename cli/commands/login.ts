/** `sluice login`: check a key and store it with its server, readable by its owner alone. */
import type { Command } from 'commander'
import type { WhoAmI } from '../answers.ts'
import { ask, nonEmpty } from '../ask.ts'
import { createClient } from '../client.ts'
import { readText } from '../documents.ts'
import { usage } from '../failure.ts'
import { loginPath, saveLogin } from '../login.ts'
import { openOutput } from '../session.ts'
import { type GlobalOptions, serverUrl, URL_DEFAULT } from '../settings.ts'
import { reachText } from './keys.ts'

const HELP = `
Examples:
  $ sluice login                                       asks for the server and the key
  $ sluice login --url https://sluice.example.com -e production
  $ cat key.txt | sluice login --url https://sluice.example.com --key -

The key is checked, then stored in $XDG_CONFIG_HOME/sluice/login.json or ~/.config/sluice/login.json, readable by you
alone. With -e and -p, later commands go there unless told otherwise. A key given with --key ends up in the history of
the shell: prefer to be asked, or --key - to read it from stdin.`

export function addLogin(program: Command): void {
  program
    .command('login')
    .summary('check a key and remember it with its server')
    .description('Check a key and store it with its server for later commands.')
    .option('--key <key>', 'the key; - reads it from stdin (default: SLUICE_KEY, else it is asked for)')
    .addHelpText('after', HELP)
    .action(async (_options: object, self: Command) => login(self.optsWithGlobals<GlobalOptions & { key?: string }>()))
}

async function login(options: GlobalOptions & { key?: string }): Promise<void> {
  const output = openOutput(options.json === true)
  const url = serverUrl(options.url ?? nonEmpty(process.env.SLUICE_URL) ?? (await ask(`Server [${URL_DEFAULT}]: `, false)) ?? URL_DEFAULT)
  const key = (await keyOf(options)).trim()
  // fetch would refuse it with a message that repeats it.
  if (!/^[\x21-\x7e]+$/.test(key))
    throw usage(
      key === '' ? 'The key is empty.' : 'The key holds characters that no key has.',
      'Give the whole key, as it was shown when it was created.',
    )
  const you = await createClient(url, key).call<WhoAmI>('/api/v1/whoami')
  const { project, environment } = options
  const stored =
    options.dryRun === true
      ? null
      : saveLogin(process.env, {
          url,
          key,
          ...(project === undefined ? {} : { project }),
          ...(environment === undefined ? {} : { environment }),
        })
  output.data({ url, file: stored, you, project: project ?? null, environment: environment ?? null })
  output.line(`${stored === null ? 'The key is valid' : 'Logged in'} at ${url} as ${you.name} (${you.kind} key): ${reachText(you)}`)
  if (stored !== null) output.line(`  stored in ${loginPath(process.env)}, readable by you alone`)
  if (environment !== undefined) output.line(`  commands go to ${project ?? 'default'}/${environment} unless told otherwise`)
  if (you.kind !== 'admin')
    output.note(`sluice: this is a ${you.kind} key, for applications. Most commands need an admin key: "sluice keys create --kind admin".`)
  if (url.startsWith('http:') && !/^http:\/\/(127\.|localhost|\[::1\])/.test(url))
    output.note(`sluice: ${url} is not encrypted: whoever is on the way can read the key.`)
}

async function keyOf(options: { key?: string }): Promise<string> {
  if (options.key === '-') return (await readText('-')).split('\n')[0] ?? ''
  const given = options.key ?? nonEmpty(process.env.SLUICE_KEY) ?? (await ask('Key (not shown): ', true))
  if (given === null)
    throw usage(
      'No key was given, and nobody is there to ask.',
      'Give it on stdin: sluice login --url … --key - < key.txt, or in SLUICE_KEY.',
    )
  return given
}
