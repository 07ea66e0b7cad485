/** Runs `sluice` as people do: a process of its own, with a home of its own and nothing of the test runner's environment. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { plainEnvironment } from '../server/process.ts'
import { ADMIN_KEY, type Loose, type StartOptions, startServer, type TestServer } from '../server/start.ts'

export const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

export interface CliOptions {
  /** The server and key it is given as variables; null for none. */
  readonly url?: string | null
  readonly key?: string | null
  /** More variables. */
  readonly variables?: Readonly<Record<string, string>>
  readonly stdin?: string
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** stdout as JSON. */
  json(): Loose
}

/** A server, and `sluice` that reaches it; `done` also checks that the command ends well. */
export async function begin(
  t: Test,
  options?: StartOptions,
): Promise<{ server: TestServer; home: string; sluice: ReturnType<typeof cliOf>; done: (words: readonly string[]) => Promise<Ran> }> {
  const server = await startServer(t, options)
  const home = join(server.data, '..', 'home')
  mkdirSync(home)
  const sluice = cliOf(t, home, { url: server.url })
  const done = async (words: readonly string[]): Promise<Ran> => {
    const ran = await sluice(words)
    t.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`)
    return ran
  }
  return { server, home, sluice, done }
}

/**
 * @param home a folder for XDG_CONFIG_HOME and HOME
 * @returns runs the command line to its end
 */
export function cliOf(t: Test, home: string, defaults: CliOptions = {}): (words: readonly string[], options?: CliOptions) => Promise<Ran> {
  return async (words, options = {}) => {
    const child = startCli(t, home, words, { ...defaults, ...options })
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdin?.end(options.stdin ?? '')
    const [code] = (await once(child, 'close')) as [number | null]
    return {
      code,
      stdout,
      stderr,
      json: () => {
        try {
          return JSON.parse(stdout)
        } catch {
          throw new Error(`sluice ${words.join(' ')} answered no JSON (exit ${code}):\n${stdout}${stderr}`)
        }
      },
    }
  }
}

/** Starts it without waiting for its end; killed when the test ends. */
export function startCli(
  t: Test,
  home: string,
  words: readonly string[],
  { url = null, key = ADMIN_KEY, variables = {} }: CliOptions = {},
): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: {
      ...plainEnvironment(),
      HOME: home,
      XDG_CONFIG_HOME: `${home}/config`,
      // A colour library may take this for a terminal.
      CI: 'true',
      ...(url === null ? {} : { SLUICE_URL: url }),
      ...(key === null ? {} : { SLUICE_KEY: key }),
      ...variables,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A command that ends without reading its stdin breaks the pipe.
  child.stdin?.on('error', () => undefined)
  t.teardown(() => child.kill('SIGKILL'))
  return child
}
