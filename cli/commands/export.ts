/** `sluice export`: an environment as one file, to read, edit, keep and import. */
import type { Command } from 'commander'
import type { Ruleset } from '../../schemas/ruleset.ts'
import { rulesetYaml, writeText } from '../documents.ts'
import { placeAsked } from '../moment.ts'
import { openSession } from '../session.ts'
import { countText } from '../words.ts'

interface ExportOptions {
  readonly output?: string
  readonly revision?: string
  readonly at?: string
}

const HELP = `
Examples:
  $ sluice export -e production > production.yaml
  $ sluice export -e production -o production.json
  $ sluice export -e production --at 2026-11-21T03:00:00Z -o before.yaml`

export function addExport(program: Command): void {
  program
    .command('export')
    .summary('an environment as one file')
    .description('All flags and segments of an environment: YAML to read and edit, or JSON with --json or a file named .json.')
    .option('-o, --output <path>', 'write to this file; its ending .json or .yaml says in which form')
    .option('--revision <number>', 'as of this revision')
    .option('--at <when>', 'as of then: 2h (ago), or a moment')
    .addHelpText('after', HELP)
    .action(async (options: ExportOptions, self: Command) => {
      const session = openSession(self)
      const { output, settings } = session
      const place = placeAsked(options, Date.now())
      const ruleset = await session.client().call<Ruleset>(`${session.environmentPath}/ruleset`, { query: { ...place } })
      const asJson = options.output === undefined ? output.json : options.output.endsWith('.json')
      const when = place.revision === undefined ? (place.at === undefined ? '' : `, as of ${place.at}`) : `, revision ${place.revision}`
      const heading = [
        `Project ${settings.project}, environment ${settings.environment}${when}, exported ${new Date().toISOString()}.`,
        `See what an edit would change: sluice import <this file> ${['-e', settings.environment, ...settings.repeat].join(' ')} --dry-run`,
        'An import replaces the whole environment: a flag that is not listed is archived. Kills stay as they are.',
      ]
      const text = asJson
        ? `${JSON.stringify({ flags: ruleset.flags, segments: ruleset.segments }, null, 2)}\n`
        : rulesetYaml(ruleset, heading)
      if (options.output === undefined) return output.raw(text)
      writeText(options.output, text)
      output.data({ file: options.output, flags: ruleset.flags.length, segments: ruleset.segments.length })
      output.line(
        `${countText(ruleset.flags.length, 'flag')} and ${countText(ruleset.segments.length, 'segment')} of ${session.place} are in ${options.output}.`,
      )
    })
}
