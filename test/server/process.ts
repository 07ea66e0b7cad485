/** The server as a process of its own, for what only a process can show: kill -9, signals, exit codes, what it prints. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { ADMIN_KEY, SERVER_KEY } from './start.ts'

const MAIN = fileURLToPath(new URL('../../server/main.js', import.meta.url))
const CLOCKED = fileURLToPath(new URL('./clocked.js', import.meta.url))
/** How long a start may take before the test fails: machines are busy. */
const START_MS = 60_000

export interface ProcessOptions {
  /** The data folder. */
  readonly data: string
  /** Any free one unless given. */
  readonly port?: number
  /** The admin key of the tests unless given; null for none, so that a first start makes one. */
  readonly adminKey?: string | null
  /** For `default/development`; as with the admin key. */
  readonly serverKey?: string | null
  /** Ms since 1970: its clock begins there and moves when told to. The machine's own clock unless given. */
  readonly clockAt?: number
  /** More variables. */
  readonly environment?: Readonly<Record<string, string>>
  /** Called with the child as soon as it runs, to have it killed at the end of a test whatever happens. */
  readonly onSpawn?: (child: ChildProcess) => void
}

export interface ServerProcess {
  readonly url: string
  readonly port: number
  readonly adminKey: string
  readonly serverKey: string
  readonly child: ChildProcess
  /** What it has printed so far. */
  stdout(): string
  stderr(): string
  /** Its clock moves on: resolves when what fell due is done, or when the process is gone. */
  advance(ms: number): Promise<void>
  /** As with `kill -9`: resolves when it is gone. */
  kill(): Promise<void>
  /** As with SIGTERM: resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** The variables of this process without those that would reach into a child: tap's own, and every SLUICE_ one. */
export function plainEnvironment(): Record<string, string> {
  const plain: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && name !== 'NODE_OPTIONS' && !/^(SLUICE_|TAP|NODE_V8_COVERAGE)/.test(name)) plain[name] = value
  }
  return plain
}

/** Starts a server and waits until it listens. Fails with what it printed when it does not. */
export async function startProcess(options: ProcessOptions): Promise<ServerProcess> {
  const run = runProcess(options)
  const url = await listening(run)
  return {
    url,
    port: Number(new URL(url).port),
    adminKey: options.adminKey ?? ADMIN_KEY,
    serverKey: options.serverKey ?? SERVER_KEY,
    child: run.child,
    stdout: run.stdout,
    stderr: run.stderr,
    async advance(ms) {
      run.child.send({ advanceMs: ms }, () => undefined)
      await Promise.race([once(run.child, 'message'), run.ended])
    },
    async kill() {
      run.child.kill('SIGKILL')
      await run.ended
    },
    async stop(signal = 'SIGTERM') {
      run.child.kill(signal)
      return run.ended
    },
  }
}

export interface Run {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** The exit code, null after a signal. */
  readonly ended: Promise<number | null>
}

/** Starts a server without waiting for anything. */
export function runProcess(options: ProcessOptions): Run {
  const { adminKey = ADMIN_KEY, serverKey = SERVER_KEY } = options
  const main = options.clockAt === undefined ? [MAIN] : [CLOCKED, String(options.clockAt)]
  const child = spawn(process.execPath, main, {
    env: {
      ...plainEnvironment(),
      SLUICE_DATA: options.data,
      SLUICE_PORT: String(options.port ?? 0),
      SLUICE_LOG_LEVEL: 'warn',
      ...(adminKey === null ? {} : { SLUICE_ADMIN_KEY: adminKey }),
      ...(serverKey === null ? {} : { SLUICE_SERVER_KEY: serverKey }),
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe', ...(options.clockAt === undefined ? [] : (['ipc'] as const))],
  })
  options.onSpawn?.(child)
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, stdout: () => stdout, stderr: () => stderr, ended }
}

/** A port that was free a moment ago. For a server that must come back on the same one, give it the port of its first start instead. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

function listening(run: Run): Promise<string> {
  return new Promise((resolve, reject) => {
    const failed = (why: string): void => {
      clearTimeout(late)
      run.child.kill('SIGKILL')
      reject(new Error(`the server ${why}.\n${run.stdout()}${run.stderr()}`))
    }
    const late = setTimeout(() => failed(`did not listen within ${START_MS / 1000} s`), START_MS)
    const look = (): void => {
      const match = /^Sluice listens at (\S+)$/m.exec(run.stdout())
      if (match?.[1] === undefined) return
      clearTimeout(late)
      run.child.stdout?.off('data', look)
      resolve(match[1])
    }
    run.child.stdout?.on('data', look)
    void run.ended.then(code => failed(`ended with ${code}`))
  })
}
