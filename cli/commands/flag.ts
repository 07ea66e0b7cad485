/** `sluice flag …`: one flag: look at it, create it, turn it on and off, archive, clone and copy it. */
import { type Command, Option } from 'commander'
import type { Flag, FlagInput, FlagKind } from '../../schemas/flag.ts'
import type { Json } from '../../schemas/json.ts'
import { affectedText, clauseText, ruleText, serveText } from '../../schemas/words.ts'
import type { Evaluations, FlagWritten, Written, WrittenEverywhere } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { documentYaml, readObject } from '../documents.ts'
import { editFlag, servesText } from '../edit.ts'
import { usage } from '../failure.ts'
import { momentText } from '../moment.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite, undoText } from '../report.ts'
import { openSession, type Session, pathOf } from '../session.ts'
import { type ShownTrigger, trippedText } from '../triggers.ts'
import { barsText, evaluatedText, problemText, seenText } from '../usage.ts'
import { FLAG_KINDS, stateOf, valueText } from '../words.ts'
import { addFlagRules } from './flag-rules.ts'
import { addFlagSet } from './flag-set.ts'

export function addFlag(program: Command): void {
  const flag = program
    .command('flag')
    .summary('one flag: show, create, on, off, set, rules, archive, clone')
    .description('Look at one flag, or change it.')
  addShow(flag)
  addCreate(flag)
  addOnAndOff(flag)
  addFlagSet(flag)
  addFlagRules(flag)
  addDefine(flag)
  addArchive(flag)
  addClone(flag)
  addCopy(flag)
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('What a flag is, what it does in an environment, and how it is used there.')
    .argument('<flag>')
    .option('--yaml', 'as the document it is, to read or edit')
    .addHelpText('after', '\nExamples:\n  $ sluice flag show checkout -e production\n  $ sluice flag show checkout -e production --yaml')
    .action(async (key: string, options: { yaml?: boolean }, self: Command) => {
      const session = openSession(self)
      const path = `${session.environmentPath}${at`/flags/${key}`}`
      const document = session.client().call<Flag>(path)
      if (options.yaml === true && !session.output.json) return session.output.raw(documentYaml(await document))
      // Only to say more: a server that cannot tell has the flag all the same.
      const used = session
        .client()
        .call<Evaluations>(`${path}/evaluations`, { query: { step: '1h' } })
        .catch(() => null)
      const tripping = session
        .client()
        .call<{ triggers: readonly ShownTrigger[] }>(`${session.environmentPath}/triggers`, { query: { flag: key } })
        .then(({ triggers }) => triggers)
        .catch(() => [])
      const [flag, evaluations, triggers] = await Promise.all([document, used, tripping])
      session.output.data({
        ...flag,
        ...(evaluations === null ? {} : { usage: evaluations.usage, problems: evaluations.problems }),
        ...(triggers.length === 0 ? {} : { trippedBy: triggers.map(({ key: trigger, tripped, undo }) => ({ trigger, ...tripped, undo })) }),
      })
      for (const line of flagLines(flag, evaluations, session)) session.output.line(line)
      for (const { key: trigger, tripped, undo } of triggers) {
        if (tripped === null) continue
        session.output.line(
          session.output.colors.red(`  ${trippedText({ trigger, alert: tripped.title, hook: tripped.hook, at: tripped.at })}; undo:`),
        )
        session.output.line(undo ?? '')
      }
    })
}

function flagLines(flag: Flag, evaluations: Evaluations | null, session: Session): string[] {
  const { colors } = session.output
  const row = (label: string, text: string): string[] => (text === '' ? [] : [`  ${colors.dim(label.padEnd(13))} ${text}`])
  const rules = flag.rules.map((rule, i) => `${i + 1}. ${rule.id}${rule.name === undefined ? '' : ` (${rule.name})`}: ${ruleText(rule)}`)
  return [
    `${colors.bold(flag.key)} in ${session.place}: ${stateOf(flag) === 'on' ? colors.green('on') : stateOf(flag) === 'off' ? 'off' : colors.red(stateOf(flag))}`,
    ...row('name', flag.name ?? ''),
    ...row('description', flag.description ?? ''),
    ...row(
      'kind',
      `${flag.kind}${flag.temporary === undefined ? '' : flag.temporary ? ', temporary' : ', permanent'}${flag.clientVisible === true ? ', visible to browsers' : ''}`,
    ),
    ...row('owner', flag.owner ?? ''),
    ...row('tags', (flag.tags ?? []).join(', ')),
    ...row('runbook', flag.runbook ?? ''),
    ...row('variations', flag.variations.map(each => `${each.key} (${valueText(each.value)})`).join(', ')),
    ...row('version', `${flag.version}`),
    ...row('serves', servesText(flag)),
    ...flag.kills.flatMap(kill =>
      row(
        'kill',
        `${kill.id}: ${kill.variation} to ${affectedText(kill.clauses)}, since ${momentText(kill.at)} by ${kill.actor}, ${JSON.stringify(kill.reason)}${kill.until === null ? '' : `, until ${momentText(kill.until)}`}`,
      ),
    ),
    ...row('when off', flag.offVariation),
    ...flag.prerequisites.flatMap(each => row('needs', `${each.flag} to serve ${each.variations.join(' or ')}`)),
    ...flag.targets.flatMap(each =>
      row('target', `${clauseText({ attribute: each.attribute ?? 'targetingKey', op: 'in', values: each.values })} → ${each.variation}`),
    ),
    ...rules.flatMap(rule => row('rule', rule)),
    ...row('otherwise', serveText(flag.fallthrough)),
    ...(evaluations === null ? [] : usageRows(evaluations, row)),
    ...flag.kills.slice(0, 1).flatMap(kill => row('lift', `sluice lift ${flag.key} -e ${session.settings.environment} --id ${kill.id}`)),
  ]
}

function usageRows({ usage, problems, series }: Evaluations, row: (label: string, text: string) => string[]): string[] {
  const now = Date.now()
  return [
    ...row('evaluated', evaluatedText(usage)),
    ...row('seen', seenText(usage, now)),
    ...row('by the hour', barsText(series)),
    // One that an instance did not have yet is no problem of the flag.
    ...problems.filter(({ code }) => code !== 'FLAG_NOT_FOUND').flatMap(problem => row('problem', problemText(problem, now))),
  ]
}

interface DefinitionOptions {
  readonly kind?: FlagKind
  readonly name?: string
  readonly description?: string
  readonly owner?: string
  readonly tag?: readonly string[]
  readonly runbook?: string
  readonly temporary?: boolean
  readonly permanent?: boolean
  readonly clientVisible?: boolean
  readonly variation?: readonly string[]
  readonly file?: string
}

function withDefinition(command: Command): Command {
  return command
    .addOption(new Option('--kind <kind>', 'the kind').choices(FLAG_KINDS))
    .option('--name <text>', 'a name for people')
    .option('--description <text>', 'what it decides')
    .option('--owner <text>', 'who answers for it')
    .option('--tag <tag>', 'a tag; may be repeated', collect)
    .option('--runbook <url>', 'where to read on at 3 a.m.')
    .option('--temporary', 'somebody should remove it one day')
    .option('--permanent', 'it stays')
    .option('--client-visible', 'browsers may evaluate it')
    .option('--no-client-visible', 'browsers may not evaluate it')
    .option('--variation <key=value>', 'a variation, its value JSON or else text; may be repeated', collect)
}

function definitionOf(options: DefinitionOptions): Partial<FlagInput> {
  const { kind, name, description, owner, tag, runbook, clientVisible, variation } = options
  if (options.temporary === true && options.permanent === true)
    throw usage('Both --temporary and --permanent were given.', 'Give one of them.')
  const temporary = options.temporary === true ? true : options.permanent === true ? false : undefined
  const given = { kind, name, description, owner, tags: tag, runbook, temporary, clientVisible, variations: variation?.map(parseVariation) }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** `on=true`, `limit={"rate":10,"per":"second"}`, `blue="17"`; what is not JSON is text. */
function parseVariation(text: string): { key: string; value: Json } {
  const split = text.indexOf('=')
  if (split < 1)
    throw usage(
      `--variation ${text} cannot be taken.`,
      'Write it as in --variation on=true or --variation \'free={"rate":10,"per":"second"}\'.',
    )
  const value = text.slice(split + 1)
  try {
    return { key: text.slice(0, split), value: JSON.parse(value) as Json }
  } catch {
    return { key: text.slice(0, split), value }
  }
}

const CREATE_HELP = `
Examples:
  $ sluice flag create new-cart --name "New cart" --owner shop --tag cart
  $ sluice flag create banner --kind config --variation none='""' --variation sale="50 % off" --off-variation none
  $ sluice flag create api-requests --kind rate-limit --variation 'free={"rate":10,"per":"second"}' --off-variation free
  $ sluice flag create ledger --kind migration          with a variation per stage
  $ sluice flag create -f new-cart.yaml

A flag starts off in every environment, but a kill-switch starts on: it serves until it is killed. A boolean flag needs no
variations: they are on (true) and off (false).`

function addCreate(parent: Command): void {
  withDefinition(parent.command('create'))
    .description('Create a flag in every environment of the project: off, but a kill-switch on.')
    .argument('[flag]', 'its key; may stand in the file')
    .option('--off-variation <key>', 'what it serves when off (default: off, when there is one)')
    .option('--fallthrough <key>', 'what it serves when on and nothing else matches (default: on, when there is one)')
    .option('-f, --file <path>', 'a YAML or JSON file with the flag, - for stdin; options come before it')
    .addHelpText('after', CREATE_HELP)
    .action(
      async (key: string | undefined, options: DefinitionOptions & { offVariation?: string; fallthrough?: string }, self: Command) => {
        const session = openSession(self)
        if (session.options.environment !== undefined) {
          throw usage(
            'A flag is created in every environment of its project, so -e says nothing.',
            'Leave it out, then turn the flag on with "sluice flag on <flag> -e …".',
          )
        }
        const base = options.file === undefined ? {} : await readObject(options.file)
        const body: Record<string, unknown> = {
          kind: 'release',
          ...base,
          ...definitionOf(options),
          ...(key === undefined ? {} : { key }),
          ...(options.offVariation === undefined ? {} : { offVariation: options.offVariation }),
          ...(options.fallthrough === undefined ? {} : { fallthrough: { variation: options.fallthrough } }),
        }
        if (typeof body.key !== 'string') throw usage('The flag has no key.', 'Name it, as in "sluice flag create new-cart".')
        const answer = await session
          .client()
          .call<WrittenEverywhere & { flag: Flag }>(`${session.projectPath}/flags`, { method: 'POST', body, query: session.write })
        const { enabled } = answer.flag
        reportEverywhere(
          session,
          answer,
          `${answer.dryRun === true ? 'WOULD CREATE' : 'CREATED'} ${body.key} in every environment of project ${session.settings.project}, ${enabled ? `on: it serves ${serveText(answer.flag.fallthrough)}` : 'off'}`,
          ['flag', 'archive', body.key, '--everywhere'],
          enabled
            ? `switch it off when you must with "sluice kill ${body.key} -e development -m …"`
            : `turn it on with "sluice flag on ${body.key} -e development"`,
        )
      },
    )
}

/**
 * The end of a write in all environments: which revisions stand where, and how to undo it.
 * @param undo a command that undoes it everywhere; null for one revert per environment
 */
function reportEverywhere(session: Session, answer: WrittenEverywhere, title: string, undo: string[] | null, next?: string): void {
  const { output } = session
  const reverts = Object.entries(answer.revisions)
    .filter(([environment]) => (answer.changes[environment] ?? null) !== null)
    .map(([environment, revision]) => undoText(session, ['revert', String(revision), '-e', environment]))
  const commands = answer.dryRun === true ? [] : undo === null ? reverts : [undoText(session, undo)]
  output.data({ ...answer, project: session.settings.project, undo: commands })
  output.line(output.colors.bold(title))
  const revisions = Object.entries(answer.revisions).map(([environment, revision]) => `${environment} ${revision}`)
  output.line(`  revisions ${revisions.join(', ')}${answer.dryRun === true ? ' stay: nothing was changed (--dry-run)' : ''}`)
  if (next !== undefined && answer.dryRun !== true) output.line(`  next      ${next}`)
  for (const { message } of answer.warnings ?? []) output.line(`  ${output.colors.yellow('mind')}      ${message}`)
  if (commands.length > 0) output.line(`  undo      with ${commands.length === 1 ? 'this command' : 'these commands'}:`)
  for (const command of commands) output.line(command)
}

function addOnAndOff(parent: Command): void {
  for (const state of ['on', 'off'] as const) {
    const command = parent
      .command(state)
      .description(
        state === 'on'
          ? 'Turn a flag on in an environment: its rules decide.'
          : 'Turn a flag off in an environment: everyone gets the off variation. In an emergency use "sluice kill".',
      )
      .argument('<flag>')
      .addHelpText(
        'after',
        `\nExample:\n  $ sluice flag ${state} checkout -e production -m "${state === 'on' ? 'go live' : 'not needed before Monday'}"`,
      )
    withWait(command).action(async (key: string, options: WaitOptions, self: Command) =>
      editFlag(openSession(self), key, options, () => ({ enabled: state === 'on' })),
    )
  }
}

function addDefine(parent: Command): void {
  withDefinition(parent.command('define'))
    .description('Change what a flag is, in every environment at once. What it does in one: "sluice flag set".')
    .argument('<flag>')
    .option('-f, --file <path>', 'a YAML or JSON file with the fields to change, - for stdin')
    .option('--force', 'although a rate changes by more than ten times')
    .addHelpText(
      'after',
      '\nExamples:\n  $ sluice flag define checkout --owner payments --tag dependency:payments-vendor\n  $ sluice flag define checkout --client-visible',
    )
    .action(async (key: string, options: DefinitionOptions & { force?: boolean }, self: Command) => {
      const session = openSession(self)
      const fields = { ...(options.file === undefined ? {} : await readObject(options.file)), ...definitionOf(options) }
      if (Object.keys(fields).length === 0) throw usage('Nothing to change was given.', `See what can be: sluice ${pathOf(self)} --help`)
      const answer = await session.client().call<WrittenEverywhere>(`${session.projectPath}${at`/flags/${key}`}`, {
        method: 'PATCH',
        body: fields,
        query: { ...session.write, ...(options.force === true ? { force: true } : {}) },
      })
      reportEverywhere(
        session,
        answer,
        `${answer.dryRun === true ? 'WOULD CHANGE' : 'CHANGED'} ${Object.keys(fields).join(', ')} of ${key} in every environment of project ${session.settings.project}`,
        null,
      )
    })
}

const ARCHIVE_HELP = `
Examples:
  $ sluice flag archive new-cart -e staging
  $ sluice flag archive new-cart --everywhere -m "shipped in June"

Refused while a kill stands on it or another flag has it as prerequisite; while it is still evaluated, unless --force is
given: whoever asks for it then gets the default in the code.`

function addArchive(parent: Command): void {
  const command = parent
    .command('archive')
    .description('Remove a flag from an environment, or with --everywhere from all. The log keeps it.')
    .argument('<flag>')
    .option('--everywhere', 'in every environment of the project')
    .option('--force', 'although it is still evaluated')
    .addHelpText('after', ARCHIVE_HELP)
  withWait(command).action(async (key: string, options: WaitOptions & { everywhere?: boolean; force?: boolean }, self: Command) => {
    const session = openSession(self, { environmentNamed: options.everywhere !== true })
    const query = { ...session.write, ...(options.force === true ? { force: true } : {}) }
    if (options.everywhere === true) {
      if (session.options.environment !== undefined) throw usage('Both -e and --everywhere were given.', 'Give one of them.')
      const answer = await session
        .client()
        .call<WrittenEverywhere>(`${session.projectPath}${at`/flags/${key}`}`, { method: 'DELETE', query })
      return reportEverywhere(
        session,
        answer,
        `${answer.dryRun === true ? 'WOULD ARCHIVE' : 'ARCHIVED'} ${key} in every environment of project ${session.settings.project}`,
        null,
        'who asks for it gets the default in the code',
      )
    }
    const answer = await session.client().call<Written>(`${session.environmentPath}${at`/flags/${key}`}`, { method: 'DELETE', query })
    await reportWrite(session, answer, options, {
      title: `${answer.dryRun === true ? 'WOULD ARCHIVE' : 'ARCHIVED'} ${key} in ${session.place}`,
      rows: [['affects', 'everyone: who asks for it gets the default in the code']],
      undo: ['revert', String(answer.revision), '-e', session.settings.environment],
    })
  })
}

function addClone(parent: Command): void {
  parent
    .command('clone')
    .description('Create a flag that is and does the same as another, under a new key: its own seed, no kills.')
    .argument('<flag>')
    .argument('<new-key>')
    .option('--name <text>', 'a name for people')
    .addHelpText('after', '\nExample:\n  $ sluice flag clone checkout checkout-v2 --name "Checkout, second try"')
    .action(async (key: string, copy: string, options: { name?: string }, self: Command) => {
      const session = openSession(self)
      const { dryRun, comment } = session.write
      const answer = await session.client().call<WrittenEverywhere>(`${session.projectPath}${at`/flags/${key}/clone`}`, {
        method: 'POST',
        body: { key: copy, ...(options.name === undefined ? {} : { name: options.name }), ...(comment === undefined ? {} : { comment }) },
        query: { dryRun },
      })
      reportEverywhere(
        session,
        answer,
        `${answer.dryRun === true ? 'WOULD CLONE' : 'CLONED'} ${key} into ${copy} in every environment of project ${session.settings.project}`,
        ['flag', 'archive', copy, '--everywhere'],
      )
    })
}

function addCopy(parent: Command): void {
  const command = parent
    .command('copy')
    .description('Copy what flags do in another environment to this one: settings, not kills.')
    .argument('<flags...>')
    .requiredOption('--from <environment>', 'the environment to copy from')
    .addHelpText('after', '\nExample:\n  $ sluice flag copy checkout new-cart --from staging -e production -m "as tested"')
  withWait(command).action(async (flags: string[], options: WaitOptions & { from: string }, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const { dryRun, comment } = session.write
    const answer = await session.client().call<Written & Partial<FlagWritten>>(`${session.environmentPath}/copy`, {
      method: 'POST',
      body: { from: options.from, flags, ...(comment === undefined ? {} : { comment }) },
      query: { dryRun },
    })
    await reportWrite(session, answer, options, {
      title:
        answer.change === null
          ? `NOTHING TO COPY: ${flags.join(', ')} in ${session.place} ${flags.length === 1 ? 'is' : 'are'} as in ${options.from}`
          : `${answer.dryRun === true ? 'WOULD COPY' : 'COPIED'} ${flags.join(', ')} from ${options.from} to ${session.place}`,
      rows: [],
      undo: answer.change === null ? null : ['revert', String(answer.revision), '-e', session.settings.environment],
    })
  })
}
