/** `sluice revert`: put back what stood before one change, as a new change. */
import type { Command } from 'commander'
import type { Written } from '../answers.ts'
import { editLines, touchedText } from '../changes.ts'
import { at } from '../client.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession } from '../session.ts'

const HELP = `
Examples:
  $ sluice revert 9871 -e production -m "made it worse"
  $ sluice revert 9871 -e production --dry-run

Refused when what the change touched has changed again since; --force reverts all the same. Kills are never lifted or
brought back by a revert: use "sluice lift" and "sluice kill".`

export function addRevert(program: Command): void {
  const command = program
    .command('revert')
    .summary('undo one change')
    .description('Put back what stood before a change, as a new change.')
    .argument('<revision>', 'as "sluice history" lists it')
    .option('--force', 'although what it touched has changed again since')
    .addHelpText('after', HELP)
  withWait(command).action(async (revision: string, options: WaitOptions & { force?: boolean }, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const { dryRun, comment } = session.write
    const written = await session.client().call<Written>(`${session.environmentPath}${at`/changes/${revision.replace(/^r/, '')}/revert`}`, {
      method: 'POST',
      body: comment === undefined ? {} : { comment },
      query: { dryRun, ...(options.force === true ? { force: true } : {}) },
    })
    const { change } = written
    await reportWrite(session, written, options, {
      title:
        change === null
          ? `NOTHING TO REVERT: what stood before r${revision.replace(/^r/, '')} in ${session.place} stands already`
          : `${written.dryRun === true ? 'WOULD REVERT' : 'REVERTED'} r${revision.replace(/^r/, '')} in ${session.place}`,
      rows: [['touches', change === null ? '' : touchedText(change)]],
      lines: change === null ? [] : change.edits.flatMap(edit => editLines(edit, true, session.output)),
      undo: change === null ? null : ['revert', String(change.revision), '-e', session.settings.environment],
    })
  })
}
