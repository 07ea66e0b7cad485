/** Runs the command line: parses, runs the command, turns what goes wrong into a message and an exit code. */
import { CommanderError } from 'commander'
import { EXIT, Failure } from './failure.ts'
import { buildProgram } from './program.ts'
import { openOutput } from './session.ts'

// `sluice history | head` closes the pipe early: that is an end, not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  throw error
})

await run(process.argv.slice(2))

/** Sets `process.exitCode`; ends when the command has. */
async function run(words: readonly string[]): Promise<void> {
  const options = words.slice(0, words.includes('--') ? words.indexOf('--') : words.length)
  const json = options.includes('--json')
  const program = buildProgram()
  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return fail(json, error)
    const failure = error instanceof Failure ? error : unforeseen(error)
    openOutput(json).failure(failure)
    process.exitCode = failure.exitCode
  }
}

/** Commander has printed its text (or, with `--json`, kept quiet) when it throws. */
function fail(json: boolean, error: CommanderError): void {
  if (error.exitCode === 0) return
  process.exitCode = EXIT.usage
  // Help that was shown because no command was named is its own message.
  if (error.code === 'commander.help' && !json) return
  openOutput(json).failure(
    new Failure(
      'USAGE',
      EXIT.usage,
      withoutKeys(error.message)
        .replace(/^error: /, '')
        .replace(/\.?\n\(Did you mean (.*)\?\)$/s, '. Did you mean $1?'),
    ),
  )
}

/** A mistake of ours, or an answer of a server that we do not know: never taken for one of the server's refusals. */
function unforeseen(error: unknown): Failure {
  const [message = '', frame = ''] =
    error instanceof Error ? (error.stack ?? error.message).split('\n').map(line => line.trim()) : [String(error)]
  return new Failure('INTERNAL', EXIT.unreachable, `Unforeseen: ${message} ${frame}. Whether the command was done is not known.`, {
    advice: 'Look with "sluice history". If it happens again, report it with this text.',
    cause: error,
  })
}

/** Commander repeats what it does not know, and a key typed in the wrong place is no less a key. */
function withoutKeys(text: string): string {
  return text.replace(/slc_[A-Za-z0-9_]+/g, 'slc_…')
}
