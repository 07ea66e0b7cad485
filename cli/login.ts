/** What `sluice login` stores: the server, the key, and the project and environment to start from. A file only its owner can read. */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { EXIT, Failure } from './failure.ts'

export interface Login {
  readonly url: string
  readonly key: string
  readonly project?: string
  readonly environment?: string
}

type Variables = Readonly<Record<string, string | undefined>>

/** `$XDG_CONFIG_HOME/sluice/login.json`, or `~/.config/sluice/login.json`. A relative XDG_CONFIG_HOME is ignored, as its specification asks. */
export function loginPath(variables: Variables): string {
  const base = variables.XDG_CONFIG_HOME
  const home = variables.HOME === undefined || variables.HOME === '' ? homedir() : variables.HOME
  return join(base !== undefined && isAbsolute(base) ? base : join(home, '.config'), 'sluice', 'login.json')
}

/** What is stored, or null. Error: `FILE_UNREADABLE`. */
export function readLogin(variables: Variables): Login | null {
  const path = loginPath(variables)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw unreadable(path, error)
  }
  try {
    const login = JSON.parse(text) as Partial<Record<string, unknown>> | null
    const { url, key, project, environment } = login ?? {}
    if (typeof url !== 'string' || typeof key !== 'string') throw new Error('url and key are missing')
    return { url, key, ...(typeof project === 'string' ? { project } : {}), ...(typeof environment === 'string' ? { environment } : {}) }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** Whether others than the owner may read the stored key. */
export function isExposed(variables: Variables): boolean {
  if (process.platform === 'win32') return false
  try {
    return (statSync(loginPath(variables)).mode & 0o077) !== 0
  } catch {
    return false
  }
}

/** Stores it, readable by the owner alone, whole or not at all. */
export function saveLogin(variables: Variables, login: Login): string {
  const path = loginPath(variables)
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(draft, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
    // The mode above passes through the umask; this one does not.
    chmodSync(draft, 0o600)
    renameSync(draft, path)
  } catch (error) {
    rmSync(draft, { force: true })
    throw new Failure('FILE_UNREADABLE', EXIT.usage, `${path} cannot be written: ${messageOf(error)}.`, { cause: error })
  }
  return path
}

/** Whether there was something to remove. */
export function removeLogin(variables: Variables): boolean {
  const path = loginPath(variables)
  try {
    rmSync(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw new Failure('FILE_UNREADABLE', EXIT.usage, `${path} cannot be removed: ${messageOf(error)}.`, { cause: error })
  }
}

function unreadable(path: string, error: unknown): Failure {
  // JSON.parse repeats the text it stumbles over, which may be the key.
  const why = error instanceof SyntaxError ? 'it is not JSON' : messageOf(error)
  return new Failure('FILE_UNREADABLE', EXIT.usage, `${path} cannot be read: ${why}.`, {
    advice: 'Remove it and run "sluice login" again.',
  })
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
