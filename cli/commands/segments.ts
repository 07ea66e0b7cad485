/** `sluice segments`: named groups of contexts: list, show, create or set from a file, archive. */
import type { Command } from 'commander'
import type { Segment } from '../../schemas/segment.ts'
import { clauseText } from '../../schemas/words.ts'
import type { Segments, Written } from '../answers.ts'
import { editLines } from '../changes.ts'
import { at } from '../client.ts'
import { documentYaml, readObject } from '../documents.ts'
import { Failure, usage } from '../failure.ts'
import { table } from '../output.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { countText } from '../words.ts'

const HELP = `
Examples:
  $ sluice segments -e production
  $ sluice segments show beta -e production --yaml > beta.yaml
  $ sluice segments set beta -e production -f beta.yaml -m "two more accounts"
  $ sluice segments archive beta -e production

A segment in a file:
  key: beta
  included: [{ attribute: /account/id, values: [a-17, a-18] }]
  excluded: [{ attribute: /account/id, values: [a-19] }]
  rules: [{ id: r1, clauses: [{ attribute: plan, op: in, values: [beta] }] }]`

export function addSegments(program: Command): void {
  const segments = program
    .command('segments')
    .summary('segments: list, show, set, archive')
    .description('Segments of an environment: named groups of contexts that rules and kills may refer to.')
    .addHelpText('after', HELP)
  segments
    .command('list', { isDefault: true })
    .description('List the segments of an environment.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  addShow(segments)
  addSet(segments)
  addArchive(segments)
}

async function list(session: Session): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<Segments>(`${session.environmentPath}/segments`)
  output.data(answer)
  const listed = (lists: Segment['included']): string => String(lists.reduce((sum, each) => sum + each.values.length, 0))
  const rows = answer.segments.map(segment => [
    segment.key,
    listed(segment.included),
    listed(segment.excluded),
    String(segment.rules.length),
    segment.name ?? '',
  ])
  if (rows.length > 0) for (const line of table([['SEGMENT', 'INCLUDED', 'EXCLUDED', 'RULES', 'NAME'], ...rows])) output.line(line)
  output.line(`${countText(rows.length, 'segment')} in ${place}.`)
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('Who is in a segment.')
    .argument('<segment>')
    .option('--yaml', 'as YAML, to edit and give to "segments set"')
    .action(async (key: string, options: { yaml?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const segment = await read(session, key)
      if (options.yaml === true && !output.json) {
        const { version: _version, ...document } = segment
        return output.raw(documentYaml(document))
      }
      output.data(segment)
      output.line(`${output.colors.bold(key)} in ${session.place}${segment.name === undefined ? '' : `: ${segment.name}`}`)
      for (const [word, lists] of [
        ['included', segment.included],
        ['excluded', segment.excluded],
      ] as const) {
        for (const each of lists)
          output.line(`  ${word}  ${clauseText({ attribute: each.attribute ?? 'targetingKey', op: 'in', values: each.values })}`)
      }
      for (const rule of segment.rules)
        output.line(`  rule      ${rule.id}: ${rule.clauses.length === 0 ? 'everyone' : rule.clauses.map(clauseText).join(' and ')}`)
    })
}

function addSet(parent: Command): void {
  const command = parent
    .command('set')
    .alias('create')
    .description('Create a segment from a file, or replace what an existing one lists.')
    .argument('<segment>')
    .requiredOption('-f, --file <path>', 'a YAML or JSON file with the segment, - for stdin')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, options: WaitOptions & { file: string }, self: Command) => {
    const session = openSession(self)
    const { version: _version, ...document } = await readObject(options.file)
    if (document.key !== undefined && document.key !== key)
      throw usage(`The file holds the segment ${JSON.stringify(document.key)}, not ${JSON.stringify(key)}.`, 'Name the one you mean.')
    const existing = await readIfAny(session, key)
    const path = `${session.environmentPath}/segments`
    const { key: _key, ...fields } = document
    const written = await (existing === null
      ? session.client().call<Written>(path, { method: 'POST', body: { ...fields, key }, query: session.write })
      : session.client().call<Written>(`${path}${at`/${key}`}`, {
          method: 'PATCH',
          body: { included: [], excluded: [], rules: [], ...fields },
          ifMatch: existing.version,
          query: session.write,
        }))
    const verb = existing === null ? ['CREATED', 'WOULD CREATE'] : ['CHANGED', 'WOULD CHANGE']
    await reportWrite(session, written, options, {
      title:
        written.change === null
          ? `NOTHING TO CHANGE: segment ${key} in ${session.place} is already so`
          : `${verb[written.dryRun === true ? 1 : 0] ?? ''} segment ${key} in ${session.place}`,
      rows: [['affects', 'every flag with a clause that names it']],
      lines: (written.change?.edits ?? []).flatMap(edit => editLines(edit, false, session.output)),
      undo: undoOf(session, written),
    })
  })
}

function addArchive(parent: Command): void {
  const command = parent
    .command('archive')
    .description('Remove a segment; refused while a flag or segment refers to it.')
    .argument('<segment>')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, options: WaitOptions, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const written = await session
      .client()
      .call<Written>(`${session.environmentPath}${at`/segments/${key}`}`, { method: 'DELETE', query: session.write })
    await reportWrite(session, written, options, {
      title: `${written.dryRun === true ? 'WOULD ARCHIVE' : 'ARCHIVED'} segment ${key} in ${session.place}`,
      rows: [['affects', 'nobody: no flag refers to it']],
      undo: undoOf(session, written),
    })
  })
}

function undoOf(session: Session, written: Written): string[] | null {
  return written.change === null ? null : ['revert', String(written.revision), '-e', session.settings.environment]
}

async function read(session: Session, key: string): Promise<Segment> {
  return session.client().call<Segment>(`${session.environmentPath}${at`/segments/${key}`}`)
}

async function readIfAny(session: Session, key: string): Promise<Segment | null> {
  try {
    return await read(session, key)
  } catch (error) {
    if (error instanceof Failure && error.code === 'SEGMENT_NOT_FOUND') return null
    throw error
  }
}
