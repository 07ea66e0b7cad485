/** A program that uses the SDK, in a process of its own: what it writes, how it ends, and how long it lived after its last word. */
import { spawn } from 'node:child_process'

const SDK = new URL('../../../sdk/index.js', import.meta.url).href

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** From the last thing written to the end of the process. */
  readonly lingeredMs: number
}

/**
 * @param code   runs as a module with `connect` and the values of `given` in reach
 * @param limits for the shell before it becomes the program, as in `ulimit -f 8`
 */
export function runProgram(code: string, given: Readonly<Record<string, unknown>>, limits = 'true'): Promise<Ended> {
  const constants = Object.entries(given).map(([name, value]) => `const ${name} = ${JSON.stringify(value)}\n`)
  const module = `import { connect } from ${JSON.stringify(SDK)}\n${constants.join('')}${code}`
  return new Promise((resolve, reject) => {
    // The shell takes out what the test runner puts into every process that is started: it catches signals and writes files.
    const shell = `unset NODE_OPTIONS; ${limits} && exec "$0" "$@"`
    const child = spawn('sh', ['-c', shell, process.execPath, '--expose-gc', '--input-type=module', '-e', module], {
      env: { ...process.env, ...(given.env as Record<string, string> | undefined) },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    })
    let stdout = ''
    let stderr = ''
    let lastWord = performance.now()
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString()
      lastWord = performance.now()
    })
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
    child.on('error', reject)
    child.on('close', exit => resolve({ code: exit, stdout, stderr, lingeredMs: performance.now() - lastWord }))
  })
}
