/** What a command needs a person to type: a plain answer, or a secret that must not end up in the history of a shell. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { readText } from './documents.ts'
import { usage } from './failure.ts'

/** What a person types, or null when stdin is no terminal or the answer is empty. A secret is not echoed. */
export async function ask(question: string, secret: boolean): Promise<string | null> {
  if (process.stdin.isTTY !== true) return null
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!secret) process.stderr.write(chunk)
      done()
    },
  })
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  // Only now: the terminal echoes what is typed until the interface has taken it over.
  process.stderr.write(question)
  lines.once('SIGINT', () => process.exit(130))
  try {
    return nonEmpty(await lines.question('')) ?? null
  } finally {
    lines.close()
    if (secret) process.stderr.write('\n')
  }
}

/**
 * A secret: `-` reads the first line of stdin, without the option it is asked for.
 * @param option as in `--secret`
 * @param given  what stands behind the option, where it was given
 */
export async function askSecret(option: string, what: string, given: string | undefined): Promise<string> {
  const secret = given === '-' ? (await readText('-')).split('\n')[0] : (given ?? (await ask(`${what} (not shown): `, true)))
  const trimmed = (secret ?? '').trim()
  if (trimmed !== '') return trimmed
  throw usage(`${what} was not given, and nobody is there to ask.`, `Give it on stdin: sluice … ${option} - < secret.txt`)
}

export function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text
}
