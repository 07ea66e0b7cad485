/** `sluice import`: replace an environment by what a file says, in one change. */
import type { Command } from 'commander'
import type { Written } from '../answers.ts'
import { editLines } from '../changes.ts'
import { readDocument } from '../documents.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession } from '../session.ts'

/** Documents shown place by place. */
const DOCUMENTS_SHOWN = 50

const HELP = `
Examples:
  $ sluice import production.yaml -e production --dry-run
  $ sluice import production.yaml -e production -m "as reviewed in #812"
  $ sluice export -e staging --json | sluice import - -e development

The file replaces the environment as a whole: a flag it does not list is archived. Standing kills stay; an import that
would drop a killed flag is refused.`

export function addImport(program: Command): void {
  const command = program
    .command('import')
    .summary('replace an environment by what a file says')
    .description('Replace all flags and segments of an environment by those of a YAML or JSON file, in one change.')
    .argument('<file>', 'a file as of "sluice export", - for stdin')
    .option('--force', 'although a rate changes by more than ten times')
    .addHelpText('after', HELP)
  withWait(command).action(async (path: string, options: WaitOptions & { force?: boolean }, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const { text } = await readDocument(path)
    const written = await session.client().call<Written>(`${session.environmentPath}/ruleset`, {
      method: 'PUT',
      text,
      query: { ...session.write, ...(options.force === true ? { force: true } : {}) },
    })
    const edits = written.change?.edits ?? []
    const count = (type: 'new' | 'removed' | 'changed'): number =>
      edits.filter(edit => (edit.before === null ? 'new' : edit.after === null ? 'removed' : 'changed') === type).length
    await reportWrite(session, written, options, {
      title:
        written.change === null
          ? `NOTHING TO IMPORT: ${session.place} is already so`
          : `${written.dryRun === true ? 'WOULD IMPORT' : 'IMPORTED'} ${path === '-' ? 'stdin' : path} into ${session.place}`,
      rows: [['documents', edits.length === 0 ? '' : `${count('new')} new, ${count('changed')} changed, ${count('removed')} archived`]],
      lines: [
        ...edits.slice(0, DOCUMENTS_SHOWN).flatMap(edit => editLines(edit, true, session.output)),
        ...(edits.length > DOCUMENTS_SHOWN ? [`    … and ${edits.length - DOCUMENTS_SHOWN} more documents; --json shows all`] : []),
      ],
      undo: written.change === null ? null : ['revert', String(written.revision), '-e', session.settings.environment],
    })
  })
}
