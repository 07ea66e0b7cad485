/** Where a command goes: from its options, else `SLUICE_…` variables, else what `login` stored, else the defaults. */
import { usage } from './failure.ts'
import type { Login } from './login.ts'

export const URL_DEFAULT = 'http://127.0.0.1:7400'
export const PROJECT_DEFAULT = 'default'
export const ENVIRONMENT_DEFAULT = 'development'

/** The options every command takes. */
export interface GlobalOptions {
  readonly url?: string
  readonly project?: string
  readonly environment?: string
  readonly json?: boolean
  readonly message?: string
  readonly dryRun?: boolean
}

export interface Settings {
  readonly url: string
  /** Null when none is known for this URL. */
  readonly key: string | null
  readonly project: string
  readonly environment: string
  /** Whether somebody named the environment, rather than nobody. What can do harm in the wrong one insists on it. */
  readonly environmentNamed: boolean
  /** The options that a printed command needs so that it means the same thing: `['-p', 'shop']`. */
  readonly repeat: readonly string[]
}

/** Error: `USAGE` for a URL that is none. */
export function readSettings(
  options: GlobalOptions,
  variables: Readonly<Record<string, string | undefined>>,
  login: Login | null,
): Settings {
  const set = (name: string): string | undefined => (variables[name] === '' ? undefined : variables[name])
  const url = serverUrl(options.url ?? set('SLUICE_URL') ?? login?.url ?? URL_DEFAULT)
  // A stored key belongs to the server it was stored for; another one must not see it.
  const stored = login !== null && serverUrl(login.url) === url ? login.key : null
  const projectElsewhere = set('SLUICE_PROJECT') ?? login?.project ?? PROJECT_DEFAULT
  const project = options.project ?? projectElsewhere
  const environment = options.environment ?? set('SLUICE_ENVIRONMENT') ?? login?.environment
  const urlElsewhere = serverUrl(set('SLUICE_URL') ?? login?.url ?? URL_DEFAULT)
  return {
    url,
    key: set('SLUICE_KEY') ?? stored,
    project,
    environment: environment ?? ENVIRONMENT_DEFAULT,
    environmentNamed: environment !== undefined,
    repeat: [...(project === projectElsewhere ? [] : ['-p', project]), ...(url === urlElsewhere ? [] : ['--url', url])],
  }
}

/** `http://host:7400`, with a path when the server stands below one, without a trailing slash. */
export function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw usage(`${JSON.stringify(withoutSecret(text))} is not the address of a server.`, 'Write it as in --url http://127.0.0.1:7400.')
  }
  if (url.username !== '' || url.password !== '')
    throw usage('The address of the server must not hold a name or password.', 'Give the key with "sluice login" or SLUICE_KEY.')
  if (url.search !== '' || url.hash !== '')
    throw usage(`The address of the server must not have a query: ${url.origin}${url.pathname}…`, `Write ${url.origin}${url.pathname}.`)
  return url.origin + url.pathname.replace(/\/+$/, '')
}

function withoutSecret(text: string): string {
  return text.replace(/\/\/[^/@]*@/, '//…@').replace(/slc_\S+/g, 'slc_…')
}
